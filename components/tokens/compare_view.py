"""Two prompts side by side, and one prompt under several tokenizers."""

from collections.abc import Iterator, Sequence

from components.tokens.view import Chip, chip_of, colours_of
from components.ui.colors import token_colours
from components.ui.language import Texts
from components.ui.numbers import grouped
from components.ui.templates import quote, templates
from pipelines.serving import catalogue
from pipelines.text.pieces import Piece
from pipelines.text.tokens import Row, TokenChange, TokenView, colour_keys, compare

MAX_CHANGES = 6  # told in words
MAX_QUOTE = 120  # characters that are repeated in a sentence
MAX_IN_ROW = 24  # tokens of a tokenizer's row
COLUMNS = ("model", "tokenizer", "vocabulary", "count", "pieces")


def _quoted(pieces: Sequence[Piece]) -> str:
    """Pieces as they stand in the text: those of one word joined, a broken letter told once."""
    text = ""
    for i, piece in enumerate(pieces):
        if i and pieces[i - 1].ends_word:
            text += " "
        goes_on = bool(i) and not pieces[i - 1].ends_word
        letters = [x for x in piece.letters if not (goes_on and x.first)]
        text += "".join(x.label for x in letters)
    return text


def _short(text: str) -> str:
    return text if len(text) <= MAX_QUOTE else text[:MAX_QUOTE] + "…"


def _told(changes: Sequence[TokenChange], t: Texts) -> list[str]:
    """The changes in words."""
    unlike = [c for c in changes if c.kind != "equal"]
    items: list[str] = [
        t.html(f"tokens.compare.{c.kind}", a=quote(_short(_quoted(c.a))), b=quote(_short(_quoted(c.b))))
        for c in unlike[:MAX_CHANGES]
    ]
    if len(unlike) > MAX_CHANGES:
        items.append(t("tokens.compare.more", count=len(unlike) - MAX_CHANGES))
    return items


def _summary(a: TokenView, b: TokenView, changes: Sequence[TokenChange], t: Texts) -> str:
    """How much stays the same, in a sentence or two."""
    if all(c.kind == "equal" for c in changes):
        return t("tokens.compare.same" if a.prompt == b.prompt else "tokens.compare.same_unlike")
    equal = sum(len(c.a) for c in changes if c.kind == "equal")
    total = max(sum(len(c.a) for c in changes), sum(len(c.b) for c in changes))
    text = t("tokens.compare.summary", equal=equal, total=total)
    if any(c.kind == "equal" and c.a_place != c.b_place for c in changes):
        text += " " + t("tokens.compare.shifted")
    return text


def _groups(changes: Sequence[TokenChange], t: Texts) -> Iterator[tuple[str, list[Chip], list[Chip]]]:
    """Tokens that stand above and below each other: kind of change, those of A, those of B."""
    pieces = [p for c in changes for p in c.a] + [p for c in changes for p in c.b]
    colours = token_colours(colour_keys(pieces))
    upper, lower = iter(colours), iter(colours[sum(len(c.a) for c in changes) :])
    for c in changes:
        first = [chip_of(p, next(upper), t, place) for place, p in enumerate(c.a, c.a_place)]
        second = [chip_of(p, next(lower), t, place) for place, p in enumerate(c.b, c.b_place)]
        # What is alike stands token under token, so that it stays so where the row wraps.
        size = 1 if c.kind == "equal" else max(len(first), len(second))
        for i in range(0, max(len(first), len(second)), size):
            yield c.kind, first[i : i + size], second[i : i + size]


def compare_html(a: TokenView, b: TokenView, is_example: bool, t: Texts) -> str:
    """The tokens of two prompts in two rows, aligned where they are alike."""
    changes = compare(a, b)
    example = ""
    if is_example:
        example = t.html("tokens.compare.example", text=quote(_short(b.prompt)), where=t("prompt_bar.more"))
    summary, told = _summary(a, b, changes, t), _told(changes, t)
    return templates("tokens/view.html").compare(_groups(changes, t), example, summary, told, t)


def _verdict(row: Row, shown: TokenView) -> str:
    """Whether a row's ids are those of the model above; end of a text's key."""
    if shown.model in row.models:
        return "shown"
    ids = [[p.id for p in view.pieces if p.word >= 0] for view in (row.view, shown)]
    return "alike" if ids[0] == ids[1] else "unlike"


def _row(row: Row, shown: TokenView, t: Texts) -> dict[str, object]:
    """A tokenizer's row, its numbers written."""
    view = row.view
    beyond = view.needed - MAX_IN_ROW
    pairs = zip(view.pieces[:MAX_IN_ROW], colours_of(view), strict=False)
    return {
        "titles": [catalogue.entry(m).title for m in row.models],
        "verdict": _verdict(row, shown),
        "reader": view.reader,
        "vocabulary": grouped(view.vocabulary, t),
        "needed": grouped(view.needed, t),
        "cut": t("tokens.table.cut", cut=grouped(view.cut, t)) if view.cut else "",
        "chips": [chip_of(piece, colour, t, place) for place, (piece, colour) in enumerate(pairs)],
        "more": t("tokens.table.more", count=grouped(beyond, t)) if beyond > 0 else "",
    }


def table_html(rows: Sequence[Row], missing: Sequence[str], shown: TokenView, t: Texts) -> str:
    """The same prompt under every tokenizer at hand, and which ones are not."""
    titles = ", ".join(catalogue.entry(m).title for m in missing)
    absent = t("tokens.table.missing", titles=titles) if missing else ""
    shown_rows = [_row(row, shown, t) for row in rows]
    return templates("tokens/view.html").table(shown_rows, COLUMNS, absent, t)
