"""Two prompts side by side, and one prompt under several tokenizers, as HTML."""

from collections.abc import Sequence

from components.tokens.view import chip_html, colours_of
from components.ui.colors import token_colours
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import grouped
from pipelines.serving import catalogue
from pipelines.text.pieces import Piece
from pipelines.text.tokens import Change, Row, TokenView, colour_keys, compare

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


def _side(name: str, pieces: Sequence[Piece], colours: Sequence[str], place: int, t: Texts) -> str:
    """One prompt's half of a change."""
    chips = [
        chip_html(piece, colour, t, place + i)
        for i, (piece, colour) in enumerate(zip(pieces, colours, strict=True))
    ]
    return f'<div class="tk-side" data-name="{html_escape(name)}">{"".join(chips)}</div>'


def _told(changes: Sequence[Change], t: Texts) -> str:
    """The changes in words."""
    unlike = [c for c in changes if c.kind != "equal"]
    items = [
        t(f"tokens.compare.{c.kind}", a=_short(_quoted(c.a)), b=_short(_quoted(c.b)))
        for c in unlike[:MAX_CHANGES]
    ]
    if len(unlike) > MAX_CHANGES:
        items.append(t("tokens.compare.more", count=len(unlike) - MAX_CHANGES))
    return "".join(f"<li>{html_escape(item)}</li>" for item in items)


def _summary(a: TokenView, b: TokenView, changes: Sequence[Change], t: Texts) -> str:
    """How much stays the same, in a sentence or two."""
    if all(c.kind == "equal" for c in changes):
        key = "same" if a.prompt == b.prompt else "same_unlike"
        return f'<p class="tk-sentence">{html_escape(t(f"tokens.compare.{key}"))}</p>'
    equal = sum(len(c.a) for c in changes if c.kind == "equal")
    total = max(sum(len(c.a) for c in changes), sum(len(c.b) for c in changes))
    text = t("tokens.compare.summary", equal=equal, total=total)
    if any(c.kind == "equal" and c.a_place != c.b_place for c in changes):
        text += " " + t("tokens.compare.shifted")
    return f'<p class="tk-sentence">{html_escape(text)}</p><ul class="tk-told">{_told(changes, t)}</ul>'


def compare_html(a: TokenView, b: TokenView, is_example: bool, t: Texts) -> str:
    """The tokens of two prompts in two rows, aligned where they are alike."""
    changes = compare(a, b)
    pieces = [p for c in changes for p in c.a] + [p for c in changes for p in c.b]
    colours = token_colours(colour_keys(pieces))
    names = [t(f"tokens.compare.{key}") for key in ("first", "second")]
    groups, at, bt = [], 0, sum(len(c.a) for c in changes)
    for c in changes:
        upper, lower = colours[at : at + len(c.a)], colours[bt : bt + len(c.b)]
        at, bt = at + len(c.a), bt + len(c.b)
        # What is alike stands token under token, so that it stays so where the row wraps.
        size = 1 if c.kind == "equal" else max(len(c.a), len(c.b))
        for i in range(0, max(len(c.a), len(c.b)), size):
            span = slice(i, i + size)
            halves = _side(names[0], c.a[span], upper[span], c.a_place + i, t)
            halves += _side(names[1], c.b[span], lower[span], c.b_place + i, t)
            groups.append(f'<div class="tk-change tk-{c.kind}">{halves}</div>')
    note = ""
    if is_example:
        example = t("tokens.compare.example", text=_short(b.prompt), where=t("prompt_bar.more"))
        note = f'<p class="tk-soft">{html_escape(example)}</p>'
    return (
        f'<div class="sv-section"><h3>{t("tokens.compare.title")}</h3>'
        f"<p>{html_escape(t('tokens.compare.hint'))}</p></div>{note}"
        f'<div class="tk-changes">{"".join(groups)}</div>{_summary(a, b, changes, t)}'
    )


def _row_names(row: Row, t: Texts) -> str:
    """Who reads so."""
    if not row.models:
        return (
            f"<b>{html_escape(t('tokens.table.bytes'))}</b>"
            f'<span class="tk-soft">{html_escape(t("tokens.table.bytes_hint"))}</span>'
        )
    return "".join(f"<b>{html_escape(catalogue.entry(m).title)}</b>" for m in row.models)


def _verdict(row: Row, shown: TokenView, t: Texts) -> str:
    """Whether a row's ids are those of the model above."""
    if shown.model in row.models:
        key = "shown"
    else:
        ids = [[p.id for p in view.pieces if p.word >= 0] for view in (row.view, shown)]
        key = "alike" if ids[0] == ids[1] else "unlike"
    return f'<span class="tk-verdict tk-{key}">{html_escape(t(f"tokens.table.{key}"))}</span>'


def _row_html(row: Row, shown: TokenView, t: Texts) -> str:
    view = row.view
    colours = colours_of(view)
    chips = [
        chip_html(piece, colour, t, place)
        for place, (piece, colour) in enumerate(zip(view.pieces[:MAX_IN_ROW], colours, strict=False))
    ]
    if view.needed > MAX_IN_ROW:
        more = t("tokens.table.more", count=grouped(view.needed - MAX_IN_ROW, t))
        chips.append(f'<span class="tk-padding">{html_escape(more)}</span>')
    cut = t("tokens.table.cut", cut=grouped(view.cut, t)) if view.cut else ""
    labels = {key: html_escape(t(f"tokens.table.{key}")) for key in COLUMNS}
    return (
        f'<tr><th scope="row">{_row_names(row, t)}{_verdict(row, shown, t)}</th>'
        f'<td data-label="{labels["tokenizer"]}">{html_escape(view.reader)}</td>'
        f'<td data-label="{labels["vocabulary"]}" class="tk-number">{grouped(view.vocabulary, t)}</td>'
        f'<td data-label="{labels["count"]}" class="tk-number"><b>{grouped(view.needed, t)}</b>'
        f'<span class="tk-soft">{html_escape(cut)}</span></td>'
        f'<td data-label="{labels["pieces"]}"><div class="tk-row">{"".join(chips)}</div></td></tr>'
    )


def table_html(rows: Sequence[Row], missing: Sequence[str], shown: TokenView, t: Texts) -> str:
    """The same prompt under every tokenizer at hand, and which ones are not."""
    heads = "".join(f'<th scope="col">{html_escape(t(f"tokens.table.{key}"))}</th>' for key in COLUMNS)
    body = "".join(_row_html(row, shown, t) for row in rows)
    titles = ", ".join(catalogue.entry(m).title for m in missing)
    absent = html_escape(t("tokens.table.missing", titles=titles)) if missing else ""
    return (
        f'<div class="sv-section"><h3>{t("tokens.table.title")}</h3>'
        f"<p>{html_escape(t('tokens.table.hint'))}</p></div>"
        f'<table class="tk-table"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'
        f'<p class="tk-soft">{absent}</p>'
    )
