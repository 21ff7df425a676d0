"""What a transformer's own tokenizers make of a prompt, with what its pipeline wraps around it."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from markupsafe import Markup

from components.ui.colors import NEUTRAL, token_colours
from components.ui.language import Texts
from components.ui.numbers import grouped
from components.ui.templates import templates
from components.ui.token_text import style_of
from pipelines.image.families.family import Segment
from pipelines.image.request import TextRow
from pipelines.serving.catalogue import ModelEntry
from pipelines.text.pieces import visible

_html = templates("tokens/segments.html")
UNHANDED = "unhanded"  # read by the encoder, but without rows of their own for the denoiser
KINDS = (
    "mark",
    "template",
    UNHANDED,
)  # of tokens that no visitor typed, in the order in which they are explained


class SegmentChip(NamedTuple):
    """A token as it is drawn: letters, what it is (`TextRow.kind` or `UNHANDED`), place, style and title."""

    face: str
    kind: str
    place: int | None
    style: str
    title: str
    is_new: bool = False


def rows_of(segments: Sequence[Segment]) -> list[TextRow]:
    """All tokens in the order of the sequence, padding left out."""
    return [row for segment in segments for row in segment.tokens]


def _colours(segments: Sequence[Segment]) -> list[str]:
    """One colour a token: a word has the same in every encoder, what nobody typed is grey."""
    rows = rows_of(segments)
    words = iter(token_colours([row.text for row in rows if row.kind == "word"]))
    return [next(words) if row.kind == "word" else NEUTRAL for row in rows]


def _face(text: str) -> str:
    """The letters of a token as something that can be seen."""
    return "".join(visible(char) for char in text) or visible(" ")


def _chips(segments: Sequence[Segment], new: frozenset[int], t: Texts) -> list[list[SegmentChip]]:
    """The tokens of each segment.

    Args:
        new: which of all tokens are marked as such, counted over all segments.
    """
    colours, at, found = _colours(segments), 0, []
    for segment in segments:
        chips = []
        for place, row in enumerate(segment.tokens, segment.first):
            face = _face(row.text)
            title = t(f"tokens.segments.title_{row.kind}", text=face, place=place + 1)
            chips.append(SegmentChip(face, row.kind, place, style_of(colours[at]), title, at in new))
            at += 1
        found.append([*chips[:1], *_unhanded(segment, t), *chips[1:]])
    return found


def _unhanded(segment: Segment, t: Texts) -> list[SegmentChip]:
    """Tokens that only the encoder reads; they stand behind the first."""
    faces = [_face(row.text) for row in segment.unhanded]
    titles = [t("tokens.segments.title_unhanded", text=face) for face in faces]
    style = style_of(NEUTRAL)
    return [SegmentChip(f, UNHANDED, None, style, title) for f, title in zip(faces, titles, strict=True)]


def _heading(segment: Segment, several: bool, t: Texts) -> str:
    """Which tokenizer split it, into how many tokens, and where they stand."""
    name = t(f"tokens.segments.{segment.tokenizer if several else 'only'}")
    places = segment.stop - segment.start
    if not segment.tokens:
        return t("tokens.segments.absent", name=name, places=grouped(places, t))
    return t(
        "tokens.segments.heading", name=name, count=grouped(len(segment.tokens), t),
        places=grouped(places, t), first=segment.start + 1, last=segment.stop,
    )  # fmt: skip


def _cut(segment: Segment, t: Texts) -> str:
    """How many tokens found no place, in a sentence; "" where all did."""
    if not segment.cut:
        return ""
    key = "cut_one" if segment.cut == 1 else "cut_many"
    return t(f"tokens.segments.{key}", cut=grouped(segment.cut, t))


def _strips(segments: Sequence[Segment], new: frozenset[int], t: Texts) -> list[dict[str, object]]:
    """What is drawn of each segment; padding stands where the tokenizer puts it."""
    return [
        {
            "heading": _heading(segment, len(segments) > 1, t),
            "before": grouped(before, t) if (before := segment.first - segment.start) else "",
            "chips": chips,
            "behind": grouped(behind, t) if (behind := segment.stop - segment.end) else "",
            "cut": _cut(segment, t),
        }
        for segment, chips in zip(segments, _chips(segments, new, t), strict=True)
    ]


def _explained(segments: Sequence[Segment], t: Texts) -> list[tuple[str, str]]:
    """Kinds of tokens that nobody typed, as far as there are some, each with a sentence."""
    kinds = {row.kind for row in rows_of(segments)}
    if any(segment.unhanded for segment in segments):
        kinds.add(UNHANDED)
    return [(kind, t(f"tokens.segments.why_{kind}")) for kind in KINDS if kind in kinds]


def segments_html(segments: Sequence[Segment], e: ModelEntry, t: Texts) -> Markup:
    """The tokens of each encoder in order, with what the pipeline wraps around the prompt and marks.

    Args:
        segments: of one prompt.
        e: the model that reads it.
    """
    fed = t("tokens.segments.fed_to", title=e.title, encoder=e.encoder)
    return _html.reading(fed, _strips(segments, frozenset(), t), _explained(segments, t), t)


def _new(first: Sequence[TextRow], second: Sequence[TextRow]) -> frozenset[int]:
    """Which tokens of the second prompt the first does not have.

    Source: Ratcliff & Metzener 1988, as in `difflib.SequenceMatcher`, over tokens.
    """
    changes = SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    return frozenset(i for kind, _, _, start, stop in changes if kind != "equal" for i in range(start, stop))


def compared_html(first: Sequence[Segment], second: Sequence[Segment], prompt_b: str, t: Texts) -> Markup:
    """The tokens of a second prompt, those that the first does not have marked.

    Args:
        prompt_b: the second prompt, as it was typed or taken as an example.
    """
    new = _new(rows_of(first), rows_of(second))
    total = len(rows_of(second))
    said = t("tokens.segments.same", equal=grouped(total - len(new), t), total=grouped(total, t))
    return _html.compared(prompt_b, _strips(second, new, t), said, t)


def calm(text: str) -> Markup:
    """A sentence in the place of a view."""
    return _html.calm(text)
