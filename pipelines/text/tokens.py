"""What a model reads instead of words: tokens, where they come from, and what is cut off."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.text.pieces import Piece, Word, words_of
from pipelines.text.readers import Cleaned, Reader, at_hand, byte_reader, reader

MAX_CHARACTERS = 20_000  # of a prompt; a model reads a few hundred at most
READ_ROLES = ("clip", "image")  # roles whose tokenizers are compared
MAX_CUT_SHOWN = 60  # tokens past the limit that are taken apart; the rest is only counted


@dataclass(frozen=True)
class TokenView:
    """A prompt as one model reads it.

    Attributes:
        model: catalogue id.
        reader: name of the tokenizer.
        kind: "bpe", "bytes" or "other".
        vocabulary: number of entries of its list.
        rules: number of merge rules.
        prompt: what was typed.
        cleaning: what became of it before it was split.
        pieces: start, tokens and end in order, uncut; of a very long prompt only its beginning.
        kept: `[piece]` bool, False for the pieces that the model never sees.
        words: the words of `pieces`.
        ids: `[places]` exactly what the model is fed, padding included.
        places: how many tokens the model reads, special tokens included.
        needed: how many the prompt would need, special tokens included.
    """

    model: str
    reader: str
    kind: str
    vocabulary: int
    rules: int
    prompt: str
    cleaning: tuple[Cleaned, ...]
    pieces: tuple[Piece, ...]
    kept: np.ndarray
    words: tuple[Word, ...]
    ids: np.ndarray
    places: int
    needed: int

    @property
    def cut(self) -> int:
        """How many tokens the model never sees."""
        return max(0, self.needed - self.places) if self.places else 0

    @property
    def used(self) -> int:
        """How many places hold start, text and end; the rest is padding."""
        return self.needed - self.cut

    @property
    def pooled_at(self) -> int:
        """Place at which CLIP's encoders pool, 0-based: the first end mark, which may be one that was typed.

        Source: Radford et al. 2021, arXiv:2103.00020, section 2.4; `argmax` over the ids in open_clip, the
        first `eos_token_id` in transformers.
        """
        ids = self.ids[: self.used]
        return int((ids == ids[-1]).argmax()) if self.used else 0

    @property
    def fed(self) -> tuple[Piece, ...]:
        """The pieces that the model reads, each at its place."""
        return tuple(p for p, kept in zip(self.pieces, self.kept, strict=True) if kept)

    @property
    def dropped(self) -> tuple[Piece, ...]:
        """The first pieces that it does not read; `cut` counts all of them."""
        return tuple(p for p, kept in zip(self.pieces, self.kept, strict=True) if not kept)


@dataclass(frozen=True)
class TokenChange:
    """A stretch of two prompts' tokens that is alike, or is not.

    Attributes:
        kind: "equal", "replace", "delete" (only in the first) or "insert" (only in the second).
        a: pieces of the first prompt.
        b: pieces of the second prompt.
        a_place: place of the first of `a` among the model's places, 0-based.
        b_place: place of the first of `b`.
    """

    kind: str
    a: tuple[Piece, ...]
    b: tuple[Piece, ...]
    a_place: int
    b_place: int


@dataclass(frozen=True)
class Row:
    """The same prompt under one tokenizer.

    Attributes:
        models: catalogue ids that read with it; empty for the byte reader.
        view: the prompt as it reads it.
    """

    models: tuple[str, ...]
    view: TokenView


def _checked(prompt: str) -> str:
    """A prompt that every tokenizer can take."""
    if len(prompt) > MAX_CHARACTERS:
        raise InputError("prompt_too_long", limit=MAX_CHARACTERS, received=len(prompt))
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise InputError("text_broken") from error
    return prompt


def _view(prompt: str, model: str, source: Reader) -> TokenView:
    with source.lock:
        reading = source.read(prompt)
        ids = source.feed(prompt, reading)
    room = source.places - (source.start is not None) - (source.end is not None)
    room = room if source.places else len(reading.ids)
    pieces, words = words_of(source, reading, (room if source.places else 0) + MAX_CUT_SHOWN)
    kept = [i < room for i in range(len(pieces))]
    if source.start:
        pieces, kept = [Piece(*source.start, (), -1, "start"), *pieces], [True, *kept]
    if source.end:
        pieces, kept = [*pieces, Piece(*source.end, (), -1, "end")], [*kept, True]
    needed = len(reading.ids) + (source.start is not None) + (source.end is not None)
    return TokenView(
        model, source.name, source.kind, source.vocabulary, len(source.ranks), prompt, reading.cleaning,
        tuple(pieces), np.array(kept, dtype=bool), tuple(words), np.array(ids, dtype=np.int64),
        source.places, needed,
    )  # fmt: skip


def token_view(prompt: str, model: str) -> TokenView:
    """A prompt as a model reads it.

    Args:
        prompt: any text of at most `MAX_CHARACTERS`; empty leaves start and end.
        model: catalogue id of the role "clip" or "image".

    Returns:
        The tokens; `ids` is exactly what the model's own pipeline feeds it.

    Raises:
        InputError: `prompt_too_long`; `text_broken` for half a surrogate pair;
            `model_unknown`, `model_needs_network` or `model_broken`.
    """
    return _view(_checked(prompt), model, reader(model))


def cut_of(prompt: str, model: str) -> int:
    """How many tokens of a prompt a model never sees; 0 where its tokenizer is not on this machine.

    Args:
        prompt: any text of at most `MAX_CHARACTERS`.
        model: catalogue id.
    """
    known = [e for role in READ_ROLES for e in catalogue.entries(role) if e.id == model]
    if not known or not at_hand(known[0]):
        return 0
    return token_view(prompt, model).cut


def compare(a: TokenView, b: TokenView) -> tuple[TokenChange, ...]:
    """What changed from one prompt to the other, among the tokens that the model reads.

    Source: Ratcliff & Metzener 1988, as in `difflib.SequenceMatcher`, over token ids.
    """
    sides = [tuple(p for p in view.fed if p.word >= 0) for view in (a, b)]
    a_ids, b_ids = ([p.id for p in side] for side in sides)
    places = [next((i for i, p in enumerate(view.fed) if p.word >= 0), 0) for view in (a, b)]
    return tuple(
        TokenChange(kind, sides[0][i1:i2], sides[1][j1:j2], places[0] + i1, places[1] + j1)
        for kind, i1, i2, j1, j2 in SequenceMatcher(None, a_ids, b_ids, autojunk=False).get_opcodes()
    )


def other_readers(shown: TokenView) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The same prompt under every tokenizer of the catalogue that needs no network.

    Models with the same tokenizer share a row; the last row reads plain bytes, for comparison. Transformers
    on this machine are left out: they wrap the prompt (`pipelines.image.handed_over.segments_of`).

    Args:
        shown: the prompt under one model, which is not read a second time.

    Returns:
        The rows, and the ids of the models whose tokenizer is not on this machine.
    """
    groups: dict[tuple[str, int], list[str]] = {}
    missing: list[str] = []
    for e in (e for role in READ_ROLES for e in catalogue.entries(role)):
        if e.is_transformer and at_hand(e):
            continue
        try:
            source = reader(e.id) if at_hand(e) else None
        except InputError:
            source = None
        if source is None:
            missing.append(e.id)
        else:
            groups.setdefault((source.name, source.vocabulary), []).append(e.id)
    rows = [
        Row(tuple(ids), shown if shown.model in ids else _view(shown.prompt, ids[0], reader(ids[0])))
        for ids in groups.values()
    ]
    return (*rows, Row((), _view(shown.prompt, "", byte_reader()))), tuple(missing)


def colour_keys(pieces: Sequence[Piece]) -> list[str]:
    """What `components.ui.colors.token_colours` takes to give a token the same hue in every tab."""
    return [piece.key for piece in pieces]
