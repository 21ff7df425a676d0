"""Instruments in a transformer with joint attention: who looks at whom, and what a block does to whom.

They watch the library's own calls of `scaled_dot_product_attention`, so that its output stays the same to the
bit. Attention between patches is never held as a whole, nor computed a second time where the kernel tells the
sum that it divided by: with that, what goes to words is a narrow product, and the rest of a patch's attention
went to patches.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend
from torch.overrides import TorchFunctionMode

from pipelines.image.families.family import DenoiseRun, Segment
from pipelines.image.recorder import MAX_SIDE, NAN, per_block
from pipelines.image.request import Inside, JointAttention

SCORES_AT_ONCE = 2**22  # of a block of rows, where the kernel does not tell its sums
Gate = Callable[[Any, Tensor], Tensor | None]


@dataclass(frozen=True)
class TransformerLayout:
    """Where things are in a transformer with joint attention.

    Attributes:
        blocks: names, in the order of computation.
        modulations: for each block, the layer that makes its shifts, scales and gates, in this order.
        attention: name of the part of each block in which words are looked at.
        picture_first: whether patches stand before words in what is attended to.
    """

    blocks: tuple[str, ...]
    modulations: tuple[str, ...]
    attention: str = "attn"
    picture_first: bool = False


@dataclass(frozen=True)
class Attended:
    """One call of attention.

    Attributes:
        query: `[sample, head, query, dim]`.
        key: `[sample, head, key, dim]`.
        out: `[sample, head, query, dim]` what came of it.
        sums: `[sample, head, query]` logarithm of what softmax divides by; None where it is not known.
        mask: over `[sample, head, query, key]`, where one of heads and of queries stands for all: False where
            nobody may look, or what is added to the scores; or None.
    """

    query: Tensor
    key: Tensor
    out: Tensor
    sums: Tensor | None
    mask: Tensor | None


class Watch(TorchFunctionMode):
    """Tells of each call of attention in this thread, and lets it be.

    Args:
        tell: called with what was attended.
    """

    def __init__(self, tell: Callable[[Attended], None]) -> None:
        super().__init__()
        self.tell = tell

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, key, value, mask, usual = _arguments(*args, **kwargs)
        out, sums = None, None
        if usual and mask is None and query.device.type == "cpu":
            out, sums = _with_sums(query, key, value)
        out = func(*args, **kwargs) if out is None else out
        if usual:
            self.tell(Attended(query, key, out, sums, mask))
        return out


def _arguments(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **rest: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, bool]:
    """The arguments of `scaled_dot_product_attention`, and whether the others are as they usually are."""
    return query, key, value, attn_mask, not any(rest.values())


def _with_sums(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Attention by the very kernel that PyTorch would choose, which tells its sums; or nothing.

    Source: Dao et al. 2022 (FlashAttention), arXiv:2205.14135, algorithm 1: the sums are by-products.
    """
    if torch._fused_sdp_choice(query, key, value) != SDPBackend.FLASH_ATTENTION.value:
        return None, None
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)


def log_sums(query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
    """`[head, query]` logarithms of what softmax divides by, a block of rows at a time.

    Args:
        query: `[head, query, dim]`.
        key: `[head, key, dim]`.
        mask: `[key]`; see `Attended`.
    """
    rows = max(1, SCORES_AT_ONCE // (len(key) * key.shape[1]))
    blocks = query.split(rows, dim=1)
    return torch.cat([_scores(block, key, mask).logsumexp(-1) for block in blocks], dim=1)


def _scores(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """`[..., query, key]` scaled products, -inf where nobody may look."""
    scores = (query @ key.transpose(-1, -2)).float() / math.sqrt(query.shape[-1])
    if mask is None:
        return scores
    return scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.float()


def look(query: Tensor, key: Tensor, sums: Tensor, mask: Tensor | None = None) -> Tensor:
    """`[query, key]` attention to some of the keys, averaged over heads, one head at a time.

    Args:
        query: `[head, query, dim]`.
        key: `[head, key, dim]`; of all keys, those that are asked about.
        sums: `[head, query]` over all keys; see `log_sums`.
        mask: `[key]`.

    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
    """
    total = torch.zeros(query.shape[1], key.shape[1], device=query.device)
    for q, k, s in zip(query, key, sums, strict=True):
        total += (_scores(q, k, mask) - s.float()[:, None]).exp_()
    return total / len(query)


@dataclass
class TransformerRecord:
    """What the recording of one call has noted, for all runs of the batch.

    Attributes:
        layout: of the transformer.
        segments: of each run's text; None for runs that do not look.
        branches: samples of each run, one after the other; the prompt's is the last.
        grid: rows and columns of patches.
    """

    layout: TransformerLayout
    segments: Sequence[tuple[Segment, ...] | None]
    branches: int
    grid: tuple[int, int]
    _layers: dict[str, list[JointAttention | None]] = field(default_factory=dict)
    _added: dict[str, Tensor] = field(default_factory=dict)  # [sample, patch, dim] until its block is through
    _effects: dict[str, Tensor] = field(default_factory=dict)  # [sample]: share that attention adds
    _outputs: dict[str, Tensor] = field(default_factory=dict)  # [run]: difference by the prompt
    _words: dict[str, list[np.ndarray]] = field(default_factory=dict)  # of each run, [row]
    _times: dict[str, Tensor] = field(default_factory=dict)  # [sample, set, part, dim]

    def prompt_of(self, run: int) -> int:
        """The sample of a run's branch with the prompt."""
        return (run + 1) * self.branches - 1

    def inside_of(self, run: int) -> Inside | None:
        """What was noted of one run; None where it did not ask."""
        segments = self.segments[run]
        if segments is None:
            return None
        blocks = self.layout.blocks
        found = (self._layers[block][run] for block in blocks if block in self._layers)
        rows = tuple(row for segment in segments for row in segment.rows)
        none = np.full(len(rows), NAN, np.float32)
        changes = [self._words[block][run] if block in self._words else none for block in blocks]
        return Inside(
            blocks=blocks,
            maps=(),
            text_effect=per_block(blocks, self._text_effect, run),
            attention_effect=per_block(blocks, self._attention_effect, run),
            time_effect=per_block(blocks, self._time_effect, run),
            text_in_time=per_block(blocks, self._text_in_time, run),
            joint=tuple(layer for layer in found if layer is not None),
            rows=rows,
            word_changes=np.stack(changes) if self._words else None,
            modulation=np.stack([self._modulation(block, run) for block in blocks]),
            text_in_modulation=np.stack([self._text_in_modulation(block, run) for block in blocks]),
        )

    def _text_effect(self, block: str, run: int) -> float:
        return self._outputs[block][run].item() if block in self._outputs else NAN

    def _attention_effect(self, block: str, run: int) -> float:
        return self._effects[block][self.prompt_of(run)].item() if block in self._effects else NAN

    def _time_effect(self, block: str, run: int) -> float:
        return _together(self._modulation(block, run))

    def _text_in_time(self, block: str, run: int) -> float:
        return _together(self._text_in_modulation(block, run))

    def _modulation(self, block: str, run: int) -> np.ndarray:
        return _strengths(self._times[block][self.prompt_of(run)])

    def _text_in_modulation(self, block: str, run: int) -> np.ndarray:
        if self.branches == 1:
            return np.full(3, NAN, np.float32)
        prompt = self.prompt_of(run)
        return _strengths(self._times[block][prompt] - self._times[block][prompt - 1])

    def note_attention(self, block: str, attended: Attended) -> None:
        """Keep who looked at whom."""
        self._layers[block] = [
            None if segments is None else self._layer(block, attended, self.prompt_of(run), segments)
            for run, segments in enumerate(self.segments)
        ]

    def _layer(
        self, block: str, attended: Attended, sample: int, segments: tuple[Segment, ...]
    ) -> JointAttention:
        count = self.grid[0] * self.grid[1]
        query, key, out = attended.query[sample], attended.key[sample], attended.out[sample]
        mask = None if attended.mask is None else attended.mask[sample, 0, 0]
        sums = log_sums(query, key, mask) if attended.sums is None else attended.sums[sample]
        text = segments[-1].stop
        picture, words = _places(count, text, self.layout.picture_first)
        of_words = None if mask is None else mask[words]
        if query.shape[1] == count:  # text does not look
            to_words = look(query, key[:, words], sums, of_words)
            share = to_words.sum(1).mean().item()
            alone = np.array([[NAN, NAN], [share, 1 - share]], np.float32)
            looked_at = self._map(_summed(to_words.T, segments))
            return JointAttention(self._name(block), block, self.grid, alone, looked_at, None, None)
        to_words = look(query[:, picture], key[:, words], sums[:, picture], of_words)
        of_text = look(query[:, words], key, sums[:, words], mask)
        shares = torch.stack([
            torch.stack([of_text[:, words].sum(), of_text[:, picture].sum()]),
            torch.stack([to_words.sum(), count - to_words.sum()]),
        ]) / key.shape[1]  # fmt: skip
        return JointAttention(
            self._name(block), block, self.grid, shares.cpu().numpy(),
            self._map(_summed(to_words.T, segments)),
            self._map(_averaged(of_text[:, picture], segments)),
            self._map(_alike(out[:, picture], out[:, words], segments)),
        )  # fmt: skip

    def _name(self, block: str) -> str:
        return f"{block}.{self.layout.attention}"

    def _map(self, rows: Tensor) -> np.ndarray:
        """`[row, patch]` to `[row, y, x]` float16, coarser where it is large."""
        maps = rows.unflatten(1, self.grid)
        factor = -(-max(self.grid) // MAX_SIDE)
        if factor > 1:
            maps = F.avg_pool2d(maps[None], factor, ceil_mode=True, count_include_pad=False)[0]
        return maps.half().cpu().numpy()

    def note_block(self, block: str, before: Sequence[Tensor | None], after: Sequence[Tensor | None]) -> None:
        """Keep what a block did to words and picture.

        Args:
            before: words and picture, each `[sample, token, dim]`, as the block got them.
            after: the same as it gave them; no words where nothing reads them any more.
        """
        picture = after[1]
        if self.branches == 2 and picture is not None:
            empty, prompt = picture.unflatten(0, (-1, 2)).unbind(1)
            self._outputs[block] = lengths(prompt - empty) / lengths(empty).clamp(min=1e-12)
        if before[0] is None or after[0] is None or block == self.layout.blocks[-1]:
            return
        added = (after[0] - before[0]).float().norm(dim=-1)
        change = added / before[0].float().norm(dim=-1).clamp(min=1e-12)  # [sample, token]
        self._words[block] = [
            np.zeros(0)
            if s is None
            else _averaged(change[self.prompt_of(run), :, None], s)[:, 0].cpu().numpy()
            for run, s in enumerate(self.segments)
        ]


def _places(patches: int, words: int, picture_first: bool) -> tuple[slice, slice]:
    """Where patches and words are in a sequence of both, or of words alone."""
    if picture_first:
        return slice(0, patches), slice(patches, patches + words)
    return slice(words, words + patches), slice(0, words)


def _by_rows(
    values: Tensor, segments: tuple[Segment, ...], together: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """`[word, value]` to `[row, value]` of each segment, its padding taken together."""
    out = []
    for segment in segments:
        rows = values[segment.first : segment.end]
        if len(segment.rows) > len(rows):
            padding = [values[segment.start : segment.first], values[segment.end : segment.stop]]
            rows = torch.cat([rows, together(torch.cat(padding))[None]])
        out.append(rows)
    return out


def _summed(values: Tensor, segments: tuple[Segment, ...]) -> Tensor:
    return torch.cat(_by_rows(values, segments, lambda padding: padding.sum(0)))


def _averaged(values: Tensor, segments: tuple[Segment, ...]) -> Tensor:
    return torch.cat(_by_rows(values, segments, lambda padding: padding.mean(0)))


def _alike(picture: Tensor, words: Tensor, segments: tuple[Segment, ...]) -> Tensor:
    """`[row, patch]` products of output vectors, made to sum to one over the rows of each encoder.

    Args:
        picture: `[head, patch, dim]`.
        words: `[head, word, dim]`.

    Source: Helbling et al. 2025 (ConceptAttention), arXiv:2502.04320, section 4, with the prompt's own tokens
        in the place of concepts.
    """
    vectors = words.transpose(0, 1).flatten(1).float()  # [word, head * dim]
    patches = picture.transpose(0, 1).flatten(1).float()
    per_encoder = _by_rows(vectors, segments, lambda padding: padding.mean(0))
    return torch.cat([(rows @ patches.T).softmax(0) for rows in per_encoder])


def lengths(values: Tensor) -> Tensor:
    """Euclidean length of each sample, `[sample]`."""
    return values.flatten(1).float().norm(dim=1)


def _strengths(values: Tensor) -> np.ndarray:
    """`[set, part, dim]` to `[part]` float32 root mean squares."""
    return values.float().square().mean((0, 2)).sqrt().cpu().numpy()


def _together(parts: np.ndarray) -> float:
    """Root mean square of all parts, from those of each."""
    return float(np.sqrt(np.square(parts).mean()))


def _as_given(block: Any, given: Tensor) -> Tensor:
    return given


@dataclass(frozen=True)
class Instruments:
    """What a family says of its transformer, so that it can be looked into.

    Attributes:
        layout_of: names its parts.
        gate: `(block, its modulation)` to what its attention is multiplied by before it is added to the
            picture; None where it is not added alone.
        patch_of: latent cells of a patch, in each direction.
        modulate: `(block, what its modulation's layer gives)` to the block's own modulation.
    """

    layout_of: Callable[[Any], TransformerLayout]
    gate: Gate
    patch_of: Callable[[Any], int]
    modulate: Callable[[Any, Tensor], Tensor] = _as_given


def looking(
    runs: Sequence[DenoiseRun], transformer: Any, branches: int, instruments: Instruments
) -> AbstractContextManager[TransformerRecord | None]:
    """Instruments where one of the runs looks inside; the untouched transformer elsewhere.

    Args:
        runs: of one batch.
        transformer: of the library.
        branches: samples of each run in the call.
        instruments: what its family says of it.
    """
    if not any(run.request.look_inside for run in runs):
        return nullcontext()
    segments = [run.conditioning.segments if run.request.look_inside else None for run in runs]
    patch = instruments.patch_of(transformer)
    height, width = (side // patch for side in runs[0].latents.shape[-2:])
    record = TransformerRecord(instruments.layout_of(transformer), segments, branches, (height, width))
    return recording(transformer, record, instruments)


@contextmanager
def recording(
    transformer: Any, record: TransformerRecord, instruments: Instruments
) -> Iterator[TransformerRecord]:
    """Let a transformer be recorded for one call; everything is put back, whatever happens."""
    here: list[str] = []  # the block whose joint attention is being computed
    with ExitStack() as stack:
        layout = record.layout
        for block, modulation in zip(layout.blocks, layout.modulations, strict=True):
            module = transformer.get_submodule(block)
            attention = getattr(module, layout.attention)
            hooks = (
                attention.register_forward_pre_hook(_enter(here, block)),
                attention.register_forward_hook(_leave(here, record, block)),
                module.register_forward_hook(_note_block(record, block, instruments), with_kwargs=True),
                transformer.get_submodule(modulation).register_forward_hook(_note_time(record, block)),
            )
            for hook in hooks:
                stack.callback(hook.remove)

        def tell(attended: Attended) -> None:
            if here:
                record.note_attention(here[-1], attended)

        stack.enter_context(Watch(tell))
        yield record


def _enter(here: list[str], block: str) -> Callable[..., None]:
    def enter(module: nn.Module, inputs: object) -> None:
        here.append(block)

    return enter


def _leave(here: list[str], record: TransformerRecord, block: str) -> Callable[..., None]:
    def leave(module: nn.Module, inputs: object, out: Tensor | tuple[Tensor, ...]) -> None:
        here.clear()
        record._added[block] = out[0] if isinstance(out, tuple) else out

    return leave


def _note_time(record: TransformerRecord, block: str) -> Callable[..., None]:
    def note(module: nn.Module, inputs: object, out: Tensor) -> None:
        record._times[block] = out  # taken apart once the block is through

    return note


def _note_block(record: TransformerRecord, block: str, instruments: Instruments) -> Callable[..., None]:
    def note(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], out: Any) -> None:
        picture = args[0] if args else kwargs["hidden_states"]
        words = kwargs.get("encoder_hidden_states")
        count = record.grid[0] * record.grid[1]
        if picture.shape[1] > count:  # one stream for both, words first
            after = out[:, :-count], out[:, -count:]
            words, picture = picture[:, :-count], picture[:, -count:]
        else:
            after = out if isinstance(out, tuple) else (None, out)
        record.note_block(block, (words, picture), after)
        given, added = record._times[block], record._added.pop(block)
        gate = instruments.gate(module, given)
        if gate is not None:
            record._effects[block] = lengths(gate * added) / lengths(picture).clamp(min=1e-12)
        modulation = instruments.modulate(module, given)
        record._times[block] = modulation.unflatten(-1, (-1, 3, picture.shape[-1]))

    return note
