"""The token view as HTML: what was typed, its pieces, the places they take, how words were built."""

import json
from collections.abc import Sequence
from difflib import SequenceMatcher

from components.ui.colors import NEUTRAL, text_on, token_colours
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import grouped
from components.ui.token_text import limit_sentence, style_of
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


def _shown(text: str) -> str:
    """A text with its blanks and invisible characters made visible."""
    out = []
    for char in text:
        if char in _BLANKS:
            out.append(f'<span class="tk-blank">{_BLANKS[char]}</span><wbr>')
            continue
        label = visible(char)
        out.append(f'<span class="tk-code">{label}</span>' if label.startswith("U+") else html_escape(label))
    return "".join(out)


def _diff(before: str, after: str) -> str:
    """The beginning of a text with what a step of cleaning took away and put in."""
    is_cut = max(len(before), len(after)) > MAX_TEXT
    before, after = before[:MAX_TEXT], after[:MAX_TEXT]
    parts = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        shifted_out = is_cut and i2 == len(before) and j2 == len(after)
        if kind == "equal" or shifted_out:
            parts.append(_shown(after[j1:j2]))
            continue
        if i2 > i1:
            parts.append(f"<del>{_shown(before[i1:i2])}</del>")
        if j2 > j1:
            parts.append(f"<ins>{_shown(after[j1:j2])}</ins>")
    return "".join(parts)


def _line(label: str, body: str, kind: str = "") -> str:
    label = f'<div class="tk-label">{html_escape(label)}</div>'
    return f'<div class="tk-line {kind}">{label}<div class="tk-body">{body}</div></div>'


def _rest(length: int, t: Texts) -> str:
    """The remark that a text goes on."""
    if length <= MAX_TEXT:
        return ""
    count = grouped(length - MAX_TEXT, t)
    return f' <span class="tk-soft">{html_escape(t("tokens.story.more", count=count))}</span>'


def cleaning_html(view: TokenView, t: Texts) -> str:
    """The prompt as typed, then one line per step of cleaning that changed something."""
    typed = _shown(view.prompt[:MAX_TEXT]) or f'<span class="tk-soft">{t("tokens.story.nothing")}</span>'
    kind = "tk-text tk-long" if len(view.prompt) > LONG else "tk-text"
    lines = [_line(t("tokens.story.typed"), typed + _rest(len(view.prompt), t), kind)]
    before = view.prompt
    for step in view.cleaning:
        if step.text != before:
            body = _diff(before, step.text) + _rest(len(step.text), t)
            lines.append(_line(t(f"tokens.story.{step.name}"), body, kind))
        before = step.text
    return "".join(lines)


# The pieces -----------------------------------------------------------------------------------


def _part(letter: Letter, t: Texts) -> str:
    """Which bytes of a letter a piece holds, in words; nothing if it holds all."""
    if letter.whole:
        return ""
    first, last = letter.first + 1, letter.first + len(letter.data)
    key = "byte_one" if first == last else "byte_many"
    return t(f"tokens.strip.{key}", first=first, last=last, size=letter.size)


def _face(letter: Letter) -> str:
    """A letter; of a broken one, the part that this piece holds is dark, the rest pale."""
    label = html_escape(letter.label)
    kind = "tk-code" if letter.label.startswith("U+") else ""
    if letter.whole:
        return f'<span class="{kind}">{label}</span>' if kind else label
    low = 100 * letter.first // letter.size
    high = 100 * (letter.first + len(letter.data)) // letter.size
    return f'<span class="tk-broken {kind}" style="--low:{low}%;--high:{high}%">{label}</span>'


def hex_bytes(data: bytes) -> str:
    """Bytes as people write them: C3 B6."""
    return data.hex(" ").upper()


def _bytes_html(piece: Piece, t: Texts) -> str:
    """The letters of a piece with their bytes beneath; plain ASCII needs no such row."""
    if all(x.whole and x.char.isascii() and x.char.isprintable() for x in piece.letters):
        return ""
    cells = "".join(
        f'<span class="tk-cell"><b>{html_escape(x.label)}</b><i>{hex_bytes(x.data)}</i>'
        f"{f'<em>{_part(x, t)}</em>' if not x.whole else ''}</span>"
        for x in piece.letters
    )
    return f'<span class="tk-bytes">{cells}</span>'


def chip_html(piece: Piece, colour: str, t: Texts, place: int | None = None, button: bool = False) -> str:
    """One token: its text, its id, and its bytes where letters need more than one.

    Args:
        piece: the token.
        colour: hex.
        t: texts.
        place: 0-based place at which the model reads it; None for a token that is cut off.
        button: whether it selects its word.
    """
    if piece.word < 0:
        key, face = "special", html_escape(t(f"tokens.strip.{piece.special}"))
    else:
        key = "cut_piece" if place is None else "piece"
        face = "".join(_face(letter) for letter in piece.letters)
    values = {"text": piece.text, "id": piece.id, "place": None if place is None else place + 1}
    title = html_escape(t(f"tokens.strip.{key}", **values))
    if piece.special == "typed":
        title += ": " + html_escape(t("tokens.strip.typed_mark"))
    kinds = ["tk-chip", f"tk-{piece.special}" if piece.special else "", "tk-cut" if place is None else ""]
    tag = 'button type="button"' if button and piece.word >= 0 else "span"
    where = "" if place is None else f' data-place="{place}"'
    word = f' data-word="{piece.word}"' if piece.word >= 0 else ""
    names = f'class="{" ".join(filter(None, kinds))}" style="{style_of(colour)}"{where}{word}'
    role = "" if tag != "span" else ' role="img"'
    return (
        f'<{tag} {names}{role} title="{title}" aria-label="{title}">'
        f'<span class="tk-face" dir="auto">{face}</span>'
        f'<span class="tk-id">{piece.id}</span>{_bytes_html(piece, t)}</{tag.split()[0]}>'
    )


def _grouped(pieces: Sequence[Piece], chips: Sequence[str]) -> str:
    """Chips of the same word put together."""
    out, last = "", None
    for piece, chip in zip(pieces, chips, strict=True):
        if last is not None and piece.word == last and piece.word >= 0:
            out += chip
        else:
            out += ("" if last is None else "</span>") + f'<span class="tk-word">{chip}'
        last = piece.word
    return out + ("</span>" if out else "")


def strip_html(view: TokenView, t: Texts) -> str:
    """All tokens: those that are fed at their places, then padding, then those cut off."""
    paired = list(zip(view.pieces, colours_of(view), view.kept, strict=True))
    fed = [(piece, colour) for piece, colour, kept in paired if kept]
    chips = [chip_html(p, c, t, place, button=True) for place, (p, c) in enumerate(fed)]
    out = _grouped([p for p, _ in fed], chips)
    empty = view.places - view.used
    if empty > 0:
        key = "padding_one" if empty == 1 else "padding"
        text = t(f"tokens.strip.{key}", count=empty, id=int(view.ids[-1]))
        out += f'<span class="tk-padding">{html_escape(text)}</span>'
    if view.cut:
        out += f'<span class="tk-limit"><b>{view.places}</b> {html_escape(t("tokens.strip.cut_here"))}</span>'
        dropped = [chip_html(p, NEUTRAL, t) for p in view.dropped]
        out += _grouped(view.dropped, dropped)
        if view.cut > len(view.dropped):
            count = grouped(view.cut - len(view.dropped), t)
            out += f'<span class="tk-padding">{html_escape(t("tokens.strip.cut_more", count=count))}</span>'
    label = html_escape(t("tokens.strip.label"))
    return f'<div class="tk-strip" role="group" aria-label="{label}">{out}</div>'


# The places -----------------------------------------------------------------------------------


def meter_html(view: TokenView, t: Texts) -> str:
    """One cell per place: taken ones in their token's colour, and beyond the limit what is cut."""
    taken = [c for c, kept in zip(colours_of(view), view.kept, strict=True) if kept]
    cells = [f'<i style="--c:{c}" data-place="{place}"></i>' for place, c in enumerate(taken)]
    cells += ["<i></i>"] * (view.places - len(taken))
    over = min(view.cut, MAX_OVERFLOW)
    beyond = f'<div class="tk-over" style="flex-grow:{over}">{"<i></i>" * over}</div>' if over else ""
    counts = {"used": view.used, "places": view.places}
    label = html_escape(t("tokens.meter.label", **counts))
    plus = f' <b class="tk-plus">+ {grouped(view.cut, t)}</b>' if view.cut else ""
    return (
        f'<div class="tk-meter" role="meter" aria-valuemin="0" aria-valuemax="{view.places}" '
        f'aria-valuenow="{view.used}" aria-label="{label}">'
        f'<div class="tk-cells" style="flex-grow:{view.places}">{"".join(cells)}</div>{beyond}</div>'
        f'<div class="tk-count"><b>{t("tokens.meter.full", **counts)}</b>{plus}</div>'
        f'<p class="tk-sentence{" tk-warn" if view.cut else ""}">{html_escape(limit_sentence(view, t))}</p>'
    )


# How words are built -----------------------------------------------------------------------------


def _word_data(view: TokenView, word: Word, colours: Sequence[str]) -> dict[str, object]:
    """One word for the script that draws its merges; see `tokens.js` for the names."""
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


def merges_html(view: TokenView, t: Texts) -> str:
    """The data of the step-by-step view, drawn by `tokens.js`, and a remark where there is none."""
    title = f'<div class="sv-section"><h3>{t("tokens.merges.title")}</h3>'
    if not view.rules:
        return f"{title}<p>{html_escape(t('tokens.merges.none'))}</p></div>"
    title += f"<p>{html_escape(t('tokens.merges.hint'))}</p></div>"
    if not view.words:
        return f'{title}<p class="tk-soft">{html_escape(t("tokens.merges.nothing"))}</p>'
    colours = colours_of(view)
    data = {
        "words": [_word_data(view, word, colours) for word in view.words],
        "start": _start_word(view.words),
        "rules": view.rules,
        "limit": MAX_WORD,
        "language": t.language,
        "labels": {key: t.entries[f"tokens.merges.{key}"] for key in _LABELS},
    }
    return f'{title}<div class="tk-merges" data-merges="{html_escape(json.dumps(data))}"></div>'


def reading_html(view: TokenView, title: str, t: Texts) -> str:
    """Everything about one prompt under one model."""
    fed_to = t("tokens.story.fed_to", title=title, reader=view.reader)
    hint = f'<p class="tk-soft tk-hint">{html_escape(t("tokens.strip.hint") + " " + fed_to)}</p>'
    return (
        f'<div class="tk-story">{cleaning_html(view, t)}'
        f"{_line(t('tokens.story.tokens'), strip_html(view, t) + hint)}"
        f"{_line(t('tokens.story.places'), meter_html(view, t))}</div>{merges_html(view, t)}"
    )
