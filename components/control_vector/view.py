"""What is handed to the generator, as HTML: the sequence, the pooled vector, and which model reads which."""

import base64
import io
import json
from functools import lru_cache

import numpy as np
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb

from components.ui.colors import token_colours
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, short
from components.ui.plots import DIVERGING
from components.ui.token_text import limit_sentence, style_of
from pipelines.image.control_vector import ControlVector
from pipelines.serving import catalogue
from pipelines.text.tokens import TokenView, colour_keys

_TALL, _SHORT = 12, 40  # rows up to which they are drawn tall, and from which on flat
_TABLE = ("sequence", "attended", "pooled", "clip", "musicgen")


@lru_cache(maxsize=1)
def _palette() -> list[int]:
    """255 colours from below to above zero as `Image.putpalette` takes them."""
    colours = sample_colorscale([list(stop) for stop in DIVERGING], [i / 254 for i in range(255)])
    return [round(float(channel)) for colour in colours for channel in unlabel_rgb(colour)]


def heat_uri(values: np.ndarray, limit: float) -> str:
    """Numbers as colours, blue below zero and orange above, one px each.

    Args:
        values: `[row, column]`.
        limit: magnitude from which on colours are full.
    """
    picture = Image.fromarray(np.clip(np.rint(127 * values / limit + 127), 0, 254).astype(np.uint8))
    picture.putpalette(_palette())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def names_of(tokens: TokenView, t: Texts) -> list[str]:
    """What stands at each place that is not padding, in words."""
    return [t(f"tokens.strip.{p.special}") if p.word < 0 else p.text for p in tokens.fed]


def _row(place: int, total: int, chip: str, kinds: str, label: str) -> str:
    """One place; the heat is a window onto the one picture of all rows."""
    at = f"{100 * place / max(1, total - 1):.4f}%"
    return (
        f'<div role="option" tabindex="-1" aria-selected="false" class="cv-row {kinds}" data-place="{place}" '
        f'aria-label="{html_escape(label)}">{chip}<i class="cv-heat" style="--at:{at}"></i></div>'
    )


def _rows(vector: ControlVector, names: list[str], t: Texts) -> str:
    """All places: those in use large and with their token, padding small."""
    total, used = len(vector.sequence), vector.tokens.used
    colours = token_colours(colour_keys(vector.tokens.fed))
    rows = []
    for place, (name, colour) in enumerate(zip(names, colours, strict=True)):
        chip = f'<b class="cv-chip" dir="auto" style="{style_of(colour)}">{html_escape(name)}</b>'
        kind = "cv-end" if place == vector.end else ""
        label = t("control_vector.row", place=place + 1, name=name)
        rows.append(_row(place, total, chip, kind, label))
    padding = "".join(
        _row(place, total, "", "cv-pad", t("control_vector.row_padding", place=place + 1))
        for place in range(used, total)
    )
    if padding:
        count = html_escape(t("control_vector.padding_count", count=total - used))
        padding = (
            f'<div class="cv-padding" role="presentation"><span aria-hidden="true">{count}</span>'
            f'<div role="presentation">{padding}</div></div>'
        )
    return "".join(rows) + padding


def _data(vector: ControlVector, names: list[str], t: Texts) -> str:
    """What the script says of a row: its length and its nearest other rows."""
    padding = t("control_vector.padding_name")
    content = {
        "names": [*names, *[padding] * (len(vector.sequence) - len(names))],
        "lengths": [fixed(float(length), t, 1) for length in vector.lengths],
        "nearest": vector.nearest.tolist(),
        "cosines": [[fixed(float(c), t) for c in row] for row in vector.cosines],
        "start": vector.end,
        "texts": {key: t.entries[f"control_vector.{key}"] for key in ("detail_row", "detail_near")},
    }
    return f'<div hidden data-rows="{html_escape(json.dumps(content))}"></div>'


def _key(vector: ControlVector, t: Texts) -> str:
    """The fixed scale of colours."""
    limit = short(vector.limit, t)
    stops = ",".join(f"{colour} {place:.0%}" for place, colour in DIVERGING)
    return (
        f'<p class="cv-key"><b>−{limit}</b><i style="background:linear-gradient(90deg,{stops})"></i>'
        f"<b>{limit}</b><span>{html_escape(t('control_vector.key', limit=limit))}</span></p>"
    )


def _pooled(vector: ControlVector, difference: bool, t: Texts) -> str:
    """The one vector that stands for the whole text, and whether this model reads it."""
    values = (
        vector.pooled - vector.empty[vector.end] if difference and vector.pooled_is_row else vector.pooled
    )
    # a pooled vector of its own (SDXL) is on another scale than the sequence
    limit = vector.limit if vector.pooled_is_row else float(np.percentile(np.abs(values), 99)) or 1.0
    key = "pooled_row" if vector.pooled_is_row else "pooled_own"
    text = t(f"control_vector.{key}", place=vector.end + 1, size=len(vector.pooled))
    verdict = t(f"control_vector.pooled_verdict_{vector.reads.kind}")
    return (
        f"<h4>{html_escape(t('control_vector.pooled_title'))}</h4>"
        f'<img class="cv-pooled" src="{heat_uri(values[None], limit)}" alt="{html_escape(text)}">'
        f"<p>{html_escape(text)} <strong>{html_escape(verdict)}</strong></p>"
    )


def handed_view(vector: ControlVector, difference: bool, model: str, t: Texts) -> str:
    """The sequence as a heat picture, one row per token place, beside it the pooled vector.

    Args:
        vector: what the text became.
        difference: whether to show how it differs from the empty prompt's, instead of the numbers.
        model: catalogue id.
        t: texts.
    """
    values = vector.sequence - vector.empty if difference else vector.sequence
    names, (total, width) = names_of(vector.tokens, t), values.shape
    kind = "cv-tall" if vector.tokens.used <= _TALL else "cv-flat" if vector.tokens.used >= _SHORT else ""
    title = t("control_vector.sequence_title", places=total, width=width, title=catalogue.entry(model).title)
    why = _padding_sentence(vector, t)
    if difference:
        why = f"{t('control_vector.difference_why')} {why}"
    detail = html_escape(t("control_vector.detail_hint"))
    cut = (
        f'<p class="cv-cut">{html_escape(limit_sentence(vector.tokens, t))}</p>' if vector.tokens.cut else ""
    )
    return (
        f'<div class="cv {kind}" style="--rows:{total}"><h4>{html_escape(title)}</h4>{cut}'
        '<div class="cv-body">'
        f'<div class="cv-main" style="--heat:url({heat_uri(values, vector.limit)})">'
        f'<div class="cv-axis" aria-hidden="true"><span>{html_escape(t("control_vector.axis_first"))}</span>'
        f"<span>{html_escape(t('control_vector.axis_last', width=width))}</span></div>"
        f'<div role="listbox" tabindex="0" class="cv-rows" aria-label="{html_escape(title)}">'
        f"{_rows(vector, names, t)}</div>{_key(vector, t)}</div>"
        f'<div class="cv-aside"><div class="cv-detail" aria-live="polite"><p>{detail}</p></div>'
        f"<div>{_pooled(vector, difference, t)}</div></div></div>"
        f'<p class="cv-why">{html_escape(why)}</p>{_data(vector, names, t)}</div>'
    )


def _padding_sentence(vector: ControlVector, t: Texts) -> str:
    """Why padding is not empty, with the number that shows it for this very text."""
    count = len(vector.sequence) - vector.tokens.used
    if not count:
        return t("control_vector.padding_none")
    gap = (vector.sequence - vector.empty)[vector.tokens.used :]
    length = short(float(np.linalg.norm(gap, axis=1).mean()), t)
    return t("control_vector.padding_why", count=count, length=length)


def table_html(vector: ControlVector, model: str, t: Texts) -> str:
    """Which kind of model reads which part; the chosen one's row says its own numbers."""
    reads, (places, _) = vector.reads, vector.sequence.shape
    head = "".join(
        f'<th scope="col">{html_escape(t(f"control_vector.table.head_{key}"))}</th>'
        for key in ("model", "sequence", "pooled")
    )
    rows = ""
    for kind in _TABLE:
        chosen = ""
        if kind == reads.kind:
            values = {"places": places, "width": reads.width, "layers": reads.layers, "pooled": reads.pooled}
            key = "chosen_pooled" if reads.pooled else "chosen"
            facts = t(f"control_vector.table.{key}", title=catalogue.entry(model).title, **values)
            chosen = f"<small>{html_escape(facts)}</small>"
        cells = "".join(
            f'<td data-part="{html_escape(t(f"control_vector.table.head_{part}"))}">'
            f"{html_escape(t(f'control_vector.table.{kind}_{part}'))}</td>"
            for part in ("sequence", "pooled")
        )
        mark = ' class="cv-chosen" aria-current="true"' if chosen else ""
        name = html_escape(t(f"control_vector.table.{kind}"))
        rows += f'<tr{mark}><th scope="row">{name}{chosen}</th>{cells}</tr>'
    label = html_escape(t("control_vector.table_title"))
    return (
        f'<div class="cv-table" role="region" tabindex="0" aria-label="{label}"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )
