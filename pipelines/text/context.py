"""How tokens take on meaning from each other: attention, moving vectors, one word in two sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.clip.model import Clip, clip_model
from pipelines.serving import catalogue
from pipelines.serving.compute import on_text_thread
from pipelines.serving.engine import whole_call
from pipelines.serving.errors import InputError
from pipelines.text.pieces import Piece
from pipelines.text.self_attention import TextRecord, blocks_of, is_causal, recorded, run_causal
from pipelines.text.tokens import TokenView, token_view
from pipelines.world.scene import NOUNS


@dataclass(frozen=True)
class Context:
    """One prompt on its way through a text transformer.

    Only the tokens from start to end are kept. Padding comes after them: a causal model's tokens
    cannot see it, the others are told to ignore it, but for SigLIP's, which look at it as well.

    Attributes:
        view: the prompt as the model reads it; `tokens` are its pieces.
        attention: `[layer, head, token, token]` float32; a row says whom its token looks at, and
            sums to one, less what goes to padding.
        states: `[layer + 1, token, dim]` float32; the embeddings (with their places) first, then
            the vectors after each layer.
        causal: whether a token sees only itself and what comes before it.
    """

    view: TokenView
    attention: np.ndarray
    states: np.ndarray
    causal: bool

    @property
    def tokens(self) -> tuple[Piece, ...]:
        """The tokens from start to end, each at its place."""
        return self.view.fed

    @property
    def padding_share(self) -> float:
        """How much of their attention tokens give to padding, 0..1: mean over layers, heads and tokens."""
        return max(0.0, 1 - float(self.attention.sum(-1, dtype=np.float64).mean()))

    @property
    def distances(self) -> np.ndarray:
        """`[layer + 1, token]` cosine distance of each token's vector from its embedding, 0..2."""
        return 1 - _cosines(self.states, self.states[:1])

    @property
    def start_share(self) -> tuple[float, float]:
        """How much of their attention all later tokens give to the first one, and its even share.

        Returns:
            The mean weight over layers, heads and tokens, 0..1, and what it would be if every token
            looked equally at all that it sees.
        """
        seen = self.attention[:, :, 1:]
        return float(seen[..., 0].mean()), float((1 / (seen > 0).sum(-1)).mean())


@dataclass(frozen=True)
class LookUp:
    """The rows of a prompt's tokens in the table of token embeddings, before any layer and any place.

    Attributes:
        view: the prompt as the model reads it; its rows are those of `view.fed`.
        rows: `[token, dim]` float32.
        entries: rows of the whole table.
        usual_length: median Euclidean length of all its rows.
    """

    view: TokenView
    rows: np.ndarray
    entries: int
    usual_length: float

    @property
    def lengths(self) -> np.ndarray:
        """`[token]` Euclidean lengths of the rows."""
        return np.linalg.norm(self.rows, axis=-1)


@dataclass(frozen=True)
class SharedWord:
    """A word that stands in two prompts.

    Attributes:
        text: the word; "" for the end mark at which CLIP pools.
        nth: which of the equal words of a prompt it is, 1-based.
        a_place, b_place: places of its last token, which has seen all of the word, 0-based.
        similarity: `[layer + 1]` cosine of its vectors in the two prompts, -1..1.
        is_open: whether something that its tokens can see differs between the prompts; if not,
            its vectors are the same.
    """

    text: str
    nth: int
    a_place: int
    b_place: int
    similarity: np.ndarray
    is_open: bool

    @property
    def key(self) -> str:
        """A name that it keeps while the prompts around it change."""
        return f"{self.text}·{self.nth}"


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines along the last axis, computed so that equal vectors give exactly 1."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    cosines = (a * b).sum(-1) / np.maximum(lengths, 1e-12)
    same = np.broadcast_to((a == b).all(-1), cosines.shape)
    return np.where(same, 1.0, np.clip(cosines, -1, 1))


def _transformer(model: Any) -> nn.Module | None:
    """The part of a CLIP whose attention is recorded; None where this cannot be done."""
    tower = getattr(model, "text", model)
    transformer = getattr(tower, "transformer", None)
    if hasattr(tower, "token_embedding"):
        # a class token behind the text, or padding that is masked for each text, takes another way
        plain = getattr(tower, "cls_emb", None) is None and not getattr(tower, "use_pad_mask", False)
        return transformer if plain and blocks_of(transformer) else None
    return transformer if hasattr(transformer, "set_attn_implementation") else None


def _packed(record: TextRecord, view: TokenView) -> Context:
    # a batch of one: layers take its place
    attention = torch.cat(record.attention)[..., : view.used, : view.used]
    states = torch.cat(record.states)[:, : view.used]
    return Context(view, attention.float().cpu().numpy(), states.float().cpu().numpy(), is_causal(attention))


@on_text_thread
@torch.inference_mode()
def _run(clip: Clip, transformer: nn.Module, views: Sequence[TokenView]) -> list[Context]:
    tower = getattr(clip.model, "text", clip.model)

    found = []
    with recorded(transformer) as record:
        for view in views:
            ids: Tensor = torch.from_numpy(view.ids[None]).to(clip.device)
            if not hasattr(tower, "token_embedding"):
                tower(ids[:, : view.used])
            elif tower.attn_mask is None:  # padding is looked at
                tower(ids)
            else:
                run_causal(tower, ids[:, : view.used])
            found.append(_packed(record, view))
    return found


@whole_call("text", clip_model)
def look_up(prompt: str, model: str) -> LookUp:
    """What a text transformer starts from: for every token its row of the table, whatever stands around it.

    Args:
        prompt: any text; what does not fit the model's places is cut off.
        model: catalogue id of the role "clip".

    Raises:
        InputError: see `read_contexts`; `context_closed` for a text tower without such a table.
    """
    view = token_view(prompt, model)
    table = _table(model)
    rows = table[torch.from_numpy(view.ids[: view.used]).to(table.device)]
    return LookUp(view, rows.float().cpu().numpy(), len(table), _usual_length(model))


@torch.inference_mode()
def _table(model: str) -> Tensor:
    """A text tower's table of token embeddings, `[id, dim]`."""
    clip = clip_model(model).model
    tower: Any = getattr(clip, "text", clip)
    embedding = getattr(tower, "token_embedding", None)
    inner: Any = getattr(tower, "transformer", None)
    if embedding is None and hasattr(inner, "get_input_embeddings"):
        embedding = inner.get_input_embeddings()
    if embedding is None:
        raise InputError("context_closed", title=catalogue.entry(model, "clip").title)
    table: Tensor = embedding.weight.detach()
    return table


@lru_cache(maxsize=8)
def _usual_length(model: str) -> float:
    return float(_table(model).float().norm(dim=-1).median())


@whole_call("text", clip_model)
def read_contexts(prompts: Sequence[str], model: str) -> list[Context]:
    """Send prompts through a CLIP's text transformer and keep what happens inside.

    Args:
        prompts: any texts; what does not fit the model's places is cut off, as the model does.
        model: catalogue id of the role "clip".

    Raises:
        InputError: `prompt_too_long`, `text_broken`, `model_unknown`, `model_needs_network` or
            `model_broken`; `context_closed` for a text tower of another build.
    """
    e = catalogue.entry(model, "clip")
    views = [token_view(prompt, model) for prompt in prompts]
    clip = clip_model(model)
    transformer = _transformer(clip.model)
    if transformer is None:
        raise InputError("context_closed", title=e.title)
    return _run(clip, transformer, views)


def _words(context: Context) -> dict[tuple[str, int], tuple[int, ...]]:
    """Places of the tokens of each word, by its text and by which of its like it is; the end last."""
    places: dict[int, list[int]] = {}
    for place, piece in enumerate(context.tokens):
        if piece.word >= 0:
            places.setdefault(piece.word, []).append(place)
    found: dict[tuple[str, int], tuple[int, ...]] = {}
    for word, at in places.items():
        text = context.view.words[word].text
        nth = 1
        while (text, nth) in found:
            nth += 1
        found[text, nth] = tuple(at)
    if context.tokens[-1].special == "end":
        found["", 1] = (context.view.pooled_at,)
    return found


def shared_words(a: Context, b: Context) -> tuple[SharedWord, ...]:
    """The words that two prompts have in common, in the order of the first, the end mark last.

    The second "a" of one prompt is compared with the second "a" of the other. Words spelled alike
    but cut off at different tokens are left out.

    Args:
        a, b: two prompts read by the same model.
    """
    ids = [[piece.id for piece in context.tokens] for context in (a, b)]
    alike = next((i for i, (x, y) in enumerate(zip(*ids, strict=False)) if x != y), min(map(len, ids)))
    others = _words(b)
    found = []
    for (text, nth), at in _words(a).items():
        there = others.get((text, nth))
        if there is None or [ids[0][i] for i in at] != [ids[1][i] for i in there]:
            continue
        seen = at[-1] if a.causal else max(map(len, ids)) - 1
        is_open = seen >= alike if ids[0] != ids[1] else False
        similarity = _cosines(a.states[:, at[-1]], b.states[:, there[-1]])
        found.append(SharedWord(text, nth, at[-1], there[-1], similarity, is_open))
    return tuple(found)


def most_telling(words: Sequence[str]) -> int:
    """Which word to look at first: a thing of the classroom world, else the longest.

    Args:
        words: at least one text.
    """

    def order(i: int) -> tuple[bool, int, int]:
        return (False, 0, i) if words[i] in NOUNS else (True, -len(words[i]), i)

    return min(range(len(words)), key=order)


def first_choice(words: Sequence[SharedWord]) -> SharedWord | None:
    """The shared word to begin with: one whose surroundings differ, if there is any."""
    spoken = [word for word in words if word.text]
    candidates = [word for word in spoken if word.is_open] or spoken or list(words)
    return candidates[most_telling([word.text for word in candidates])] if candidates else None
