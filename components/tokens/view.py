"""The token view: what was typed, its pieces, the places they take, how words were built."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

from components.ui.colors import NEUTRAL, text_on, token_colours
from components.ui.language import Texts
from components.ui.numbers import grouped
from components.ui.templates import templates
from components.ui.token_text import (
    are_unread,
    foreign_sentence,
    limit_sentence,
    style_of,
    typed_end_sentence,
    typo_sentence,
    unread_sentence,
)
from pipelines.text.pieces import MAX_WORD, Letter, Piece, Word, visible
from pipelines.text.tokens import TokenView, colour_keys

MAX_TEXT = 160  # characters of a prompt that are drawn one by one
LONG = 80  # characters from which on they are drawn smaller
MAX_OVERFLOW = 12  # cells of the meter past the limit
_BLANKS = {" ": "·", "\n": "↵", "\t": "⇥"}
_JOINERS = "\u200d\ufe0f"  # make one emoji of several; shown by what they do


def colours_of(view: TokenView) -> list[str]:
    """One colour per piece of a view."""
    return token_colours(colour_keys(view.pieces))


# What was typed, and what is left of it -----------------------------------------------------


class Glyph(NamedTuple):
    """A character as it is drawn, with class and style of its own where it needs them."""

    label: str
    kind: str = ""
    style: str = ""


def _kind(label: str) -> str:
    return "tk-code" if label.startswith("U+") else ""


def _shown(text: str) -> list[Glyph]:
    """A text with its blanks and invisible characters made visible."""
    return [
        Glyph(_BLANKS[char], "tk-blank") if char in _BLANKS else Glyph(visible(char), _kind(visible(char)))
        for char in text
    ]


def _diff(before: str, after: str) -> list[tuple[str, list[Glyph]]]:
    """The beginning of a text in parts: what a step took away ("del"), put in ("ins") and left ("")."""
    is_cut = max(len(before), len(after)) > MAX_TEXT
    before, after = before[:MAX_TEXT], after[:MAX_TEXT]
    parts = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        shifted_out = is_cut and i2 == len(before) and j2 == len(after)
        if kind == "equal" or shifted_out:
            parts.append(("", _shown(after[j1:j2])))
            continue
        if i2 > i1:
            parts.append(("del", _shown(before[i1:i2])))
        if j2 > j1:
            parts.append(("ins", _shown(after[j1:j2])))
    return parts


def _rest(length: int, t: Texts) -> str:
    """The remark that a text goes on."""
    return t("tokens.story.more", count=grouped(length - MAX_TEXT, t)) if length > MAX_TEXT else ""


def _story(view: TokenView, t: Texts) -> list[tuple[str, list[tuple[str, list[Glyph]]], str]]:
    """The prompt as typed, then every step of cleaning that changed something: name, parts and remark."""
    texts = [("typed", view.prompt), *((step.name, step.text) for step in view.cleaning)]
    before = [view.prompt, *(text for _, text in texts)]
    return [
        (name, _diff(last, text), _rest(len(text), t))
        for last, (name, text) in zip(before, texts, strict=False)
        if name == "typed" or text != last
    ]


# The pieces -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chip:
    """A token as it is drawn.

    Attributes:
        piece: the token.
        place: 0-based place at which the model reads it; None for a token that is cut off.
        style: its colour and ink.
        title: what it is, in words.
        face: its text.
        cells: its letters with their bytes, and which of a letter's bytes these are where it is broken; empty
            for plain ASCII.
        is_unread: whether its word stood in no caption of the model's training.
    """

    piece: Piece
    place: int | None
    style: str
    title: str
    face: list[Glyph]
    cells: list[tuple[str, str, str]]
    is_unread: bool = False


def _part(letter: Letter, t: Texts) -> str:
    """Which bytes of a letter a piece holds, in words; nothing if it holds all."""
    if letter.whole:
        return ""
    first, last = letter.first + 1, letter.first + len(letter.data)
    key = "byte_one" if first == last else "byte_many"
    return t(f"tokens.strip.{key}", first=first, last=last, size=letter.size)


def _face(letter: Letter) -> Glyph:
    """A letter; of a broken one, the part that this piece holds is dark, the rest pale."""
    kind = _kind(letter.label)
    if letter.whole:
        return Glyph(letter.label, kind)
    low = 100 * letter.first // letter.size
    high = 100 * (letter.first + len(letter.data)) // letter.size
    return Glyph(letter.label, f"tk-broken {kind}", f"--low:{low}%;--high:{high}%")


def _cells(letters: Sequence[Letter], t: Texts) -> list[tuple[str, str, str]]:
    if all(x.whole and x.char.isascii() and x.char.isprintable() for x in letters):
        return []
    return [(x.label, x.data.hex(" ").upper(), _part(x, t)) for x in letters]


def chip_of(piece: Piece, colour: str, t: Texts, place: int | None = None, is_unread: bool = False) -> Chip:
    """A token as it is drawn, in a hex colour; `place` and `is_unread` as in `Chip`."""
    key = "special" if piece.word < 0 else "cut_piece" if place is None else "piece"
    values = {"text": piece.text, "id": piece.id, "place": None if place is None else place + 1}
    title = t(f"tokens.strip.{key}", **values)
    if piece.special == "typed":
        title += ": " + t("tokens.strip.typed_mark")
    if is_unread:
        title += ": " + t("vocabulary.never")
    named = [Glyph(t(f"tokens.strip.{piece.special}"))] if piece.word < 0 else map(_face, piece.letters)
    return Chip(piece, place, style_of(colour), title, list(named), _cells(piece.letters, t), is_unread)


def _words(chips: Sequence[Chip]) -> list[list[Chip]]:
    """Chips of the same word put together."""
    words: list[list[Chip]] = []
    for chip in chips:
        if words and 0 <= chip.piece.word == words[-1][-1].piece.word:
            words[-1].append(chip)
        else:
            words.append([chip])
    return words


# How words are built -----------------------------------------------------------------------------


def _word_data(view: TokenView, word: Word, colours: Sequence[str]) -> dict[str, object]:
    """One word for the script that draws its merges; see `view.js` for the names."""
    span = slice(word.first, word.first + word.count)
    return {
        "text": word.text,
        "name": "".join(x.char if x.char in _JOINERS else x.label for x in word.letters),
        "letters": [[x.label, x.size] for x in word.letters],
        "bytes": b"".join(x.char.encode() for x in word.letters).hex(),
        "merges": [[m.rank, list(m.at), list(m.candidates)] for m in word.merges],
        "pieces": [
            [p.id, len(p.data), c, text_on(c)] for p, c in zip(view.pieces[span], colours[span], strict=True)
        ],
        "drawn": bool(word.symbols),
    }


def _start_word(words: Sequence[Word]) -> int:
    """The word to begin with: the first that breaks into several tokens, else the longest."""
    drawable = [i for i, word in enumerate(words) if word.merges]
    split = [i for i in drawable if words[i].count > 1 and any(x.char.isalpha() for x in words[i].letters)]
    if split:
        return split[0]
    return max(drawable, key=lambda i: len(words[i].merges), default=0)


_LABELS = (
    "steps", "back", "next", "play", "pause", "start", "rule", "done_one", "done_many", "single",
    "candidates", "progress", "ids", "too_long", "words", "end_mark",
)  # fmt: skip


def _merges(view: TokenView, t: Texts) -> dict[str, object]:
    """The data of the step-by-step view."""
    colours = colours_of(view)
    return {
        "words": [_word_data(view, word, colours) for word in view.words],
        "start": _start_word(view.words),
        "rules": view.rules,
        "limit": MAX_WORD,
        "language": t.language,
        "labels": {key: t.entries[f"tokens.merges.{key}"] for key in _LABELS},
    }


def reading_html(view: TokenView, title: str, t: Texts) -> str:
    """Everything about one prompt under one model, which is called `title`."""
    html = templates("tokens/view.html")
    taken = [c for c, kept in zip(colours_of(view), view.kept, strict=True) if kept]
    marked = zip(view.fed, taken, are_unread(view.fed, view.model), strict=True)
    fed = [chip_of(p, c, t, place, is_unread) for place, (p, c, is_unread) in enumerate(marked)]
    dropped = [chip_of(p, NEUTRAL, t) for p in view.dropped]
    more = view.cut - len(dropped)
    strip = html.strip(view, _words(fed), _words(dropped), grouped(more, t) if more > 0 else "", t)
    over, cut = min(view.cut, MAX_OVERFLOW), grouped(view.cut, t)
    meter = html.meter(view, taken, over, cut, limit_sentence(view, t), t)
    kind = "tk-text tk-long" if len(view.prompt) > LONG else "tk-text"
    said = (
        foreign_sentence(view.prompt, t), typed_end_sentence(view, t),
        unread_sentence(view.prompt, view.model, t), typo_sentence(view.prompt, view.model, t),
    )  # fmt: skip
    hints = [hint for hint in said if hint]
    return html.reading(_story(view, t), kind, hints, strip, meter, title, view.reader, t)


def merges_html(view: TokenView, t: Texts) -> str:
    """How the prompt's words are built out of pieces, as data that `view.js` draws."""
    return templates("tokens/view.html").merges(view, _merges(view, t), t)
