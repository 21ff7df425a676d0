"""How the matrix tab draws: thumbnails, the coloured grid, bars. Plain functions from data to HTML."""

from collections.abc import Sequence

import numpy as np

from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, percent
from components.ui.plots import cell_colour
from components.ui.uploads import _picture
from pipelines.clip.clip_matrix import ClipMatrix, ZeroShot

_CORNER = '<td role="cell" class="cm-corner"></td>'
COLDEST, HOTTEST = 0.005, 1.0  # ends of the temperature slider


def _cell(value: float, view: str, t: Texts, paired: bool, label: str) -> str:
    share = (value + 1) / 2 if view == "cosine" else value  # fixed scales: -1..1 and 0..1
    background, ink = cell_colour(view, round(200 * min(max(share, 0.0), 1.0)))
    shown = fixed(value, t) if view == "cosine" else percent(value, t)
    mark = f'<span class="sv-sr">{html_escape(t("clip_matrix.paired"))}</span>' if paired else ""
    kind = "cm-cell cm-paired" if paired else "cm-cell"
    return (
        f'<td role="cell" class="{kind}" style="--cell:{background};--ink:{ink}" '
        f'title="{html_escape(label)}"><span>{html_escape(shown)}</span>{mark}</td>'
    )


def _values(matrix: ClipMatrix, view: str, temperature: float) -> np.ndarray:
    """`[image, text]` numbers that a view shows."""
    if view == "texts":
        return matrix.softmax_over_texts(temperature)
    if view == "images":
        return matrix.softmax_over_images(temperature)
    return matrix.similarity


def _sum(kind: str, t: Texts) -> str:
    return f'<td role="cell" class="cm-sum {kind}">Σ {percent(1.0, t)}</td>'


def _text_head(place: int, prompt: str) -> str:
    """What stands before a row; `place` counts from 1."""
    return (
        f'<th role="rowheader" scope="row" class="cm-text"><b class="cm-number">{place}</b>'
        f"<span>{html_escape(prompt)}</span></th>"
    )


def _rows(prompts: Sequence[str], matrix: ClipMatrix, view: str, temperature: float, t: Texts) -> str:
    """One row per text, and below them the sums of the columns where those are the point."""
    values, pairs = _values(matrix, view, temperature), set(matrix.pairing())
    rows = ""
    for j, prompt in enumerate(prompts):
        row = _text_head(j + 1, prompt)
        for i in range(len(values)):
            label = f"{t('clip_matrix.picture_name', number=i + 1)} · {prompt}"
            row += _cell(float(values[i, j]), view, t, (i, j) in pairs, label)
        row += _sum("", t) if view == "images" else ""
        rows += f'<tr role="row">{row}</tr>'
    if view == "texts":
        sums = _sum("cm-below", t) * len(values)
        rows += f'<tr role="row" class="cm-sums">{_CORNER}{sums}</tr>'
    return rows


def matrix_html(
    thumbs: Sequence[str],
    prompts: Sequence[str],
    matrix: ClipMatrix | None,
    view: str,
    temperature: float,
    t: Texts,
) -> str:
    """The matrix as a table: pictures along the top, texts down the side, a value in each cell.

    Args:
        thumbs: a `data:` address for each picture.
        prompts: the texts, as typed.
        matrix: `[image, text]`, or None while it is being computed.
        view: "cosine", "texts" (softmax over texts, each picture's column sums to 1) or "images"
            (softmax over pictures, each text's row sums to 1).
        temperature: of the softmax.
        t: texts of the page.
    """
    head = "".join(
        f'<th role="columnheader" scope="col" class="cm-picture">{_picture(i, uri, t)}</th>'
        for i, uri in enumerate(thumbs, 1)
    )
    if matrix is None:
        waiting = '<td role="cell" class="cm-cell cm-waiting">…</td>' * len(thumbs)
        rows = "".join(
            f'<tr role="row">{_text_head(j, prompt)}{waiting}</tr>' for j, prompt in enumerate(prompts, 1)
        )
    else:
        rows = _rows(prompts, matrix, view, temperature, t)
        head += _CORNER if view == "images" else ""
    kind = "cm-table"
    kind += " cm-across" if matrix is not None and view == "images" else ""
    kind += " cm-few" if len(thumbs) <= 6 else " cm-many" if len(thumbs) > 9 else ""
    name, hint = html_escape(t("clip_matrix.table_label")), html_escape(t(f"clip_matrix.view_hint.{view}"))
    return (
        f'<p class="cm-view">{hint}</p><div class="cm-scroll" tabindex="0" role="region" aria-label="{name}">'
        f'<table role="table" class="{kind}" style="--columns:{len(thumbs)}"><tbody role="rowgroup">'
        f'<tr role="row">{_CORNER}{head}</tr>{rows}</tbody></table></div>'
        f"{_legend(view, t)}{summary_html(matrix, t)}"
    )


def _legend(view: str, t: Texts) -> str:
    """The fixed colour scale, and what the ring means."""
    low, middle, high = (
        ("−1", "0", "1") if view == "cosine" else (percent(0, t), percent(0.5, t), percent(1, t))
    )
    stops = ",".join(cell_colour(view, step)[0] for step in range(0, 201, 20))
    return (
        f'<div class="cm-legend"><span>{html_escape(t("clip_matrix.scale." + view))}</span>'
        f'<span class="cm-scale"><i style="background:linear-gradient(90deg,{stops})"></i>'
        f"<b>{low}</b><b>{middle}</b><b>{high}</b></span>"
        f'<span class="cm-ring">{html_escape(t("clip_matrix.ring"))}</span></div>'
    )


def summary_html(matrix: ClipMatrix | None, t: Texts) -> str:
    """One sentence on how many pairs stand on the diagonal; only a square matrix has one."""
    if matrix is None or matrix.similarity.shape[0] != matrix.similarity.shape[1]:
        return ""
    pairs = matrix.pairing()
    right = sum(i == j for i, j in pairs)
    sentence = t("clip_matrix.summary", right=right, total=len(pairs))
    return f'<p class="cm-summary" role="status">{html_escape(sentence)}</p>'


def temperature_html(temperature: float, learned: float, t: Texts) -> str:
    """A logarithmic slider for the temperature, with a mark where the model's own lies."""
    low, high = np.log10(COLDEST), np.log10(HOTTEST)
    place = float(np.clip((np.log10(learned) - low) / (high - low), 0, 1))
    shown = fixed(temperature, t, 3)
    mark = t("clip_matrix.learned", temperature=fixed(learned, t, 3), logit_scale=fixed(1 / learned, t, 1))
    return (
        f'<div class="cm-temperature" style="--learned:{place:.4f}"><label for="cm-tau">'
        f'{html_escape(t("clip_matrix.temperature"))} <output class="cm-tau">{shown}</output></label>'
        f'<div class="cm-rail"><input id="cm-tau" type="range" min="{low:.4f}" max="{high:.4f}" step="any" '
        f'value="{np.log10(temperature):.4f}" data-learned="{np.log10(learned):.6f}" '
        f'data-comma="{t.language == "de"}" aria-valuetext="{shown}"><i aria-hidden="true"></i></div>'
        f'<div class="cm-ends"><span>{html_escape(t("clip_matrix.cold"))}</span>'
        f'<button type="button" class="cm-reset">{html_escape(mark)}</button>'
        f"<span>{html_escape(t('clip_matrix.hot'))}</span></div></div>"
    )


def _bar(label: str, share: float, shown: str, kind: str = "") -> str:
    return (
        f'<li class="{kind}"><span class="cm-name">{html_escape(label)}</span>'
        f'<span class="cm-bar"><i style="width:{100 * share:.1f}%"></i></span>'
        f'<span class="cm-value">{html_escape(shown)}</span></li>'
    )


def zero_shot_html(
    thumbs: Sequence[str], result: ZeroShot, temperature: float, t: Texts, most: int = 4
) -> str:
    """A card for each picture: its likeliest labels as bars from 0 to 100 %."""
    cards: list[str] = []
    for uri, shares in zip(thumbs, result.probabilities(temperature), strict=True):
        order = np.argsort(-shares, kind="stable")[:most]
        bars = "".join(
            _bar(result.labels[k], float(shares[k]), percent(shares[k], t), "cm-top" if n == 0 else "")
            for n, k in enumerate(order)
        )
        name = html_escape(t("clip_matrix.picture_name", number=len(cards) + 1))
        cards.append(f'<li class="cm-card"><img src="{uri}" alt="{name}"><ol>{bars}</ol></li>')
    read = html_escape(t("clip_matrix.zero_read", text=result.texts[0]))
    return f'<ul class="cm-cards">{"".join(cards)}</ul><p class="cm-hint">{read}</p>'


def score_html(uri: str, rows: Sequence[tuple[str, str, float]], caption: str, t: Texts) -> str:
    """A picture and its cosine with each text, on one fixed scale from -1 to 1.

    Args:
        uri: the picture.
        rows: name of the text ("Prompt A"), the text, and its cosine.
        caption: where the picture comes from.
        t: texts of the page.
    """
    bars = ""
    for name, text, value in rows:
        left, width = 50 + 50 * min(value, 0.0), 50 * abs(value)
        kind = "cm-minus" if value < 0 else ""
        bars += (
            f'<li><span class="cm-name"><b>{html_escape(name)}</b> {html_escape(text)}</span>'
            f'<span class="cm-bar cm-signed {kind}">'
            f'<i style="left:{left:.1f}%;width:{width:.1f}%"></i></span>'
            f'<span class="cm-value">{fixed(value, t)}</span></li>'
        )
    return (
        f'<div class="cm-score"><figure><img src="{uri}" alt="{html_escape(caption)}">'
        f"<figcaption>{html_escape(caption)}</figcaption></figure><div><ol>{bars}</ol>"
        f'<div class="cm-axis"><span>−1</span><span>0</span><span>1</span></div></div></div>'
    )


def alert_html(text: str) -> str:
    """A message in the place of what could not be computed."""
    return f'<p class="cm-alert" role="alert">{html_escape(text)}</p>'
