"""Pictures along a lever, CLIP's scores beneath them, and the pair of rows of the pooled trial."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from components.runs.trace_view import facts, hole
from components.ui.colors import COLOUR_A, COLOUR_B
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, percent, short
from components.ui.plots import TEXT, style
from pipelines.image.control_vector import SEEDS, STATIONS, WEIGHTS
from pipelines.image.request import ImageRequest

LEVERS = {"blend": STATIONS, "weight": WEIGHTS}
_LEFT, _RIGHT = 64, 10  # px beside the plot; the row of pictures above it keeps the same margins


@dataclass(frozen=True, eq=False)
class Strip:
    """Pictures at the stations of a lever, as the page keeps them for one visitor.

    Attributes:
        requests: one per station.
        sources: addresses of the pictures.
        scores: `[station, 2]` CLIP's cosines with two texts.
        texts: the two texts.
        names: how the page names them.
        remark: what has to be said about this strip; may be empty.
    """

    requests: tuple[ImageRequest, ...]
    sources: tuple[str, ...]
    scores: np.ndarray
    texts: tuple[str, str]
    names: tuple[str, str]
    remark: str


@dataclass(frozen=True, eq=False)
class Extra:
    """The picture at a place between two stations.

    Attributes:
        value: the place.
        source: address of the picture; empty before the first step.
        status: where its run is, or what CLIP says of it.
    """

    value: float
    source: str
    status: str


def label_of(lever: str, value: float, t: Texts) -> str:
    """How the plot and the pictures name a place on a lever."""
    if lever == "weight":
        return f"× {short(value, t, 2)}"
    if value in (0, 1):
        return "B" if value else "A"
    return percent(value, t)


def scores_text(names: tuple[str, str], scores: Sequence[float], t: Texts) -> str:
    """CLIP's two cosines of one picture in a line."""
    parts = (f"{name} {fixed(float(score), t)}" for name, score in zip(names, scores, strict=True))
    return "CLIP: " + " · ".join(parts)


def _thumbs(lever: str, sources: Sequence[str], t: Texts) -> str:
    """The row of pictures, each over its point of the plot."""
    cells = []
    for i, value in enumerate(LEVERS[lever]):
        label = label_of(lever, value, t)
        name = html_escape(t(f"control_vector.{lever}_station", place=label))
        inside = f'<img alt="" src="{sources[i]}">' if sources else '<span class="hole"></span>'
        off = "" if sources else " disabled"
        cells.append(f'<button type="button" data-station="{i}" aria-label="{name}"{off}>{inside}</button>')
    columns = f"grid-template-columns:repeat({len(cells)},minmax(0,1fr));padding:0 {_RIGHT}px 0 {_LEFT}px"
    label = html_escape(t(f"control_vector.{lever}_row"))
    return (
        f'<div class="lever-row" role="group" aria-label="{label}" style="{columns}">{"".join(cells)}</div>'
    )


def _frame(lever: str, state: str, lead: str, words: str, sources: Sequence[str], t: Texts) -> str:
    return (
        f'<div class="trace lever" data-state="{state}"><div class="lever-top">{lead}'
        f'<div class="words">{words}</div></div>{_thumbs(lever, sources, t)}'
    )


def idle_view(lever: str, t: Texts) -> str:
    """The places of the pictures before anybody asked for them."""
    lead = hole(t(f"control_vector.{lever}_idle"), "")
    words = f'<p class="remark">{html_escape(t(f"control_vector.{lever}_help"))}</p>'
    return _frame(lever, "idle", lead, words, (), t) + "</div>"


def running_view(
    lever: str, request: ImageRequest, sources: Sequence[str], status: str, remark: str, t: Texts
) -> str:
    """All stations while they draw, or where they were stopped; the middle one large.

    Args:
        lever: "blend" or "weight".
        request: of one of them.
        sources: addresses; none before the first step.
        status: where the run is.
        remark: what has to be said about these pictures.
        t: texts.
    """
    middle = len(LEVERS[lever]) // 2
    caption = html_escape(
        t(f"control_vector.{lever}_station", place=label_of(lever, LEVERS[lever][middle], t))
    )
    lead = hole(t("image.waiting"), "")
    if sources:
        image = f'<img alt="{caption}" src="{sources[middle]}">'
        lead = f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    words = (
        f'<div class="lever-read" role="status">{html_escape(status)}</div>'
        f'<p class="remark">{html_escape(remark)}</p>{facts(request, t)}'
    )
    return _frame(lever, "running", lead, words, sources, t) + "</div>"


def strip_view(lever: str, strip: Strip, at: float, extra: Extra | None, t: Texts) -> str:
    """All stations to scrub through with the slider.

    Args:
        lever: "blend" or "weight".
        strip: the pictures.
        at: where the slider stands.
        extra: a picture in between, if one was asked for.
        t: texts.
    """
    station = int(np.abs(np.array(LEVERS[lever]) - at).argmin())
    lead = (
        f'<figure><img data-lead alt="" src="{strip.sources[station]}"><figcaption data-caption></figcaption>'
        "</figure>"
    )
    words = (
        '<div class="lever-read" role="status" data-read></div><p class="lever-scores" data-scores></p>'
        f'<p class="remark">{html_escape(strip.remark)}</p>{facts(strip.requests[0], t)}'
        '<p class="lever-note" data-note></p>'
    )
    content = {
        "lever": lever,
        "stations": LEVERS[lever],
        "sources": strip.sources,
        "captions": [
            t(f"control_vector.{lever}_station", place=label_of(lever, v, t)) for v in LEVERS[lever]
        ],
        "scores": [scores_text(strip.names, row, t) for row in strip.scores],
        "extra": extra and {"value": extra.value, "source": extra.source, "status": extra.status},
        "at": at,
        "comma": t.language == "de",
        "texts": {
            "read": t.entries[f"control_vector.{lever}_read"],
            "between": t("control_vector.between"),
            "exact": t("control_vector.exact"),
            "waiting": t("image.waiting"),
        },
    }
    store = f'<div hidden data-lever="{html_escape(json.dumps(content))}"></div></div>'
    return _frame(lever, "done", lead, words, strip.sources, t) + store


def lever_figure(lever: str, strip: Strip | None, t: Texts) -> go.Figure:
    """CLIP's two scores along a lever, on a scale that stays; without a strip, the empty axes."""
    places = list(LEVERS[lever])
    half = (places[1] - places[0]) / 2
    figure = go.Figure()
    if strip is not None:
        for i, (name, colour) in enumerate(zip(strip.names, (COLOUR_A, COLOUR_B), strict=True)):
            figure.add_scatter(
                x=places, y=strip.scores[:, i], name=html_escape(name), mode="lines+markers",
                line={"width": 4, "color": colour}, marker={"size": 12, "symbol": ("circle", "square")[i]},
                hovertemplate="CLIP %{y:.3f}",
            )  # fmt: skip
    low, high = (0.0, 1.0) if strip is None else (float(strip.scores.min()), float(strip.scores.max()))
    bottom, top = np.floor(10 * low - 0.2) / 10, np.ceil(10 * high + 0.2) / 10
    figure.add_shape(  # where the slider stands; the script moves it
        type="line", x0=places[0], x1=places[0], y0=bottom, y1=top, layer="below",
        line={"width": 2, "dash": "dot", "color": TEXT}, visible=strip is not None,
    )  # fmt: skip
    figure = style(figure, t, height=205)
    labels = [label_of(lever, value, t) for value in places]
    figure.update_layout(
        margin={"l": _LEFT, "r": _RIGHT, "t": 28, "b": 8}, hovermode="x",
        legend={"y": -0.06, "x": 0.5, "xanchor": "center", "yanchor": "top", "font": {"size": 16}},
        xaxis={"tickvals": places, "ticktext": labels, "range": [places[0] - half, places[-1] + half],
               "side": "top", "automargin": False, "zeroline": False},
        yaxis={"title": {"text": "CLIP"}, "range": [bottom, top], "automargin": False, "zeroline": False,
               "nticks": 6},
    )  # fmt: skip
    return figure


def pooled_view(
    request: ImageRequest | None,
    sources: Sequence[str],
    status: str,
    means: tuple[float, float] | None,
    t: Texts,
) -> str:
    """The same seeds with the whole sequence, and with one vector at every place.

    Args:
        request: of one of the runs; None before anybody asked.
        sources: addresses, first those with the sequence; none before the first step.
        status: where the run is, or what came out.
        means: CLIP's mean score of either row, once it is known.
        t: texts.
    """
    rows = []
    for i, key in enumerate(("pooled_sequence", "pooled_only")):
        score = t("control_vector.pooled_mean", score=fixed(means[i], t), count=SEEDS) if means else ""
        alt = html_escape(t(f"control_vector.{key}"))
        pictures = "".join(
            f'<img alt="{alt}" src="{sources[i * SEEDS + k]}">' if sources else '<span class="hole"></span>'
            for k in range(SEEDS)
        )
        rows.append(
            f'<div class="pooled-row"><div><b>{alt}</b><span>{html_escape(score)}</span></div>'
            f'<div class="pooled-pictures">{pictures}</div></div>'
        )
    state = "idle" if request is None else "done" if means else "running"
    below = facts(request, t) if request else ""
    return (
        f'<div class="trace" data-state="{state}"><div class="pooled">{"".join(rows)}</div>'
        f'<p class="remark" role="status">{html_escape(status)}</p>{below}</div>'
    )
