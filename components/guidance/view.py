"""What the guidance tab shows: the dial's pictures, the sum of pictures, the sweep, steering away."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.colors import get_colorscale

from components.runs.frames import Frames, encode
from components.runs.trace_data import trace_data, with_exact
from components.runs.trace_view import facts, note, over_plot
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, short
from components.ui.plots import DIVERGING, LEFT, RIGHT, SEQUENTIAL, style
from components.ui.templates import templates
from pipelines.image.encoding import wants_empty_branch
from pipelines.image.guidance import GuidanceSweep, guidance_difference
from pipelines.image.request import ImageRequest, Trace
from pipelines.serving import catalogue
from pipelines.serving.catalogue import GUIDANCE_INPUT, NO_GUIDANCE, TWO_BRANCHES

_html = templates("guidance/view.html")
_HIGH = 12.0  # from here on, pictures of most models burn


def formula(request: ImageRequest, t: Texts) -> Markup:
    """The guidance formula with this run's scale, and what that scale means.

    Source: Ho & Salimans 2022, arXiv:2207.12598, eq. 6, in the library's convention.
    """
    scale = request.guidance_scale
    if catalogue.entry(request.model).guidance == GUIDANCE_INPUT:
        return _html.formula("guidance.formula_told", short(scale, t), t("guidance.scale_told"), t)
    if not wants_empty_branch(request):
        why = "distilled" if catalogue.entry(request.model).distilled else "alone"
        return _html.formula("guidance.formula_prompt", short(scale, t), t(f"guidance.scale_{why}"), t)
    key = "guidance.formula_negative" if request.negative_prompt else "guidance.formula"
    if scale in (0, 1):
        meaning = "scale_zero" if scale == 0 else "scale_one"
    else:
        meaning = "scale_below" if scale < 1 else "scale_usual" if scale < _HIGH else "scale_high"
    return _html.formula(key, short(scale, t), t(f"guidance.{meaning}"), t)


def dial_sentence(model: str, t: Texts) -> str:
    """What the scale does in a model that is not asked with and without the prompt; "" in one that is.

    Args:
        model: catalogue id.
    """
    e = catalogue.entry(model, "image")
    return "" if e.guidance == TWO_BRANCHES else t(f"guidance.dial_{e.guidance}", title=e.title)


def refusal(request: ImageRequest, t: Texts) -> str:
    """Why a model does not draw at a request's scale, or with its negative prompt; "" where it does."""
    e = catalogue.entry(request.model)
    if e.guidance != TWO_BRANCHES and request.negative_prompt.strip():
        return t("errors.negative_prompt_closed", title=e.title)
    if e.guidance == NO_GUIDANCE and request.guidance_scale > 1:
        return t("errors.guidance_closed", title=e.title, received=short(request.guidance_scale, t))
    return ""


def dial_view(
    request: ImageRequest, now: str, status: str, before: tuple[str, float] | None, t: Texts
) -> Markup:
    """The picture at this scale beside the one before.

    Args:
        now: address of its picture, empty before the first step.
        status: where the run is; empty when it is done.
        before: address and scale of the picture before, if there was one.
    """
    return _html.dial(
        now=now, caption=t("guidance.now", scale=short(request.guidance_scale, t)), status=status,
        before=before and (before[0], t("guidance.before", scale=short(before[1], t))),
        formula=formula(request, t), facts=facts(request, t), model=catalogue.entry(request.model), t=t,
    )  # fmt: skip


def _colours(scale: Sequence[Sequence[object]], limit: float, t: Texts) -> dict[str, str]:
    """A colour scale as stops of a CSS gradient, and the value of its last colour."""
    stops = ",".join(f"{colour} {float(str(place)):.0%}" for place, colour in scale)
    return {"colours": stops, "limit": short(limit, t)}


def sum_view(trace: Trace, frames: Frames, t: Texts) -> Markup | dict[str, Any]:
    """One step as an equation of pictures, to scrub through."""
    if not frames.empty:
        return note(t("image.no_branch"))
    differences = np.stack([guidance_difference(step) for step in trace.steps])
    lengths = np.linalg.norm(differences, axis=1)
    limits = {"difference": float(np.abs(differences).max()) or 1.0, "magnitude": float(lengths.max()) or 1.0}
    page = _html.sum(
        without=t("image.negative" if trace.request.negative_prompt else "image.empty"),
        scale=short(trace.request.guidance_scale, t),
        signed=_colours(DIVERGING, limits["difference"], t),
        lengths=_colours(get_colorscale(SEQUENTIAL), limits["magnitude"], t), t=t,
    )  # fmt: skip
    at = min(3, len(trace.steps))  # shapes are there, and what the text wants is still large
    told = trace_data(frames, page, "done", t, first=1, start=at, limits=limits, strip="guided")
    return with_exact(told, frames, at)


def sweep_row(sweep: GuidanceSweep, t: Texts) -> Markup:
    """The pictures of a sweep, each over its point of the plot."""
    pictures = zip(sweep.scales, sweep.images, sweep.clip_scores, strict=True)
    return over_plot([
        (encode(image), t("guidance.sweep_picture", scale=short(scale, t), score=fixed(score, t)))
        for scale, image, score in pictures
    ])  # fmt: skip


def sweep_summary(request: ImageRequest, sweep: GuidanceSweep, t: Texts) -> Markup:
    """Which scale CLIP likes best, and for which run."""
    best = int(sweep.clip_scores.argmax())
    scale, score = short(sweep.scales[best], t), fixed(sweep.clip_scores[best], t)
    return note(t("guidance.sweep_best", scale=scale, score=score), facts(request, t, scale=False))


def sweep_figure(sweep: GuidanceSweep, model: str, t: Texts) -> go.Figure:
    """CLIP score against scale, one evenly spaced place per picture above.

    Args:
        model: catalogue id of the model that drew.
    """
    places = list(range(len(sweep.scales)))
    labels = [f"s = {short(scale, t)}" for scale in sweep.scales]
    low, high = float(sweep.clip_scores.min()), float(sweep.clip_scores.max())
    room = max(high - low, 0.02)
    figure = go.Figure(
        go.Scatter(
            x=places, y=sweep.clip_scores, mode="lines+markers", line={"width": 4}, marker={"size": 13},
            customdata=labels, hovertemplate="%{customdata}<br>CLIP %{y:.3f}<extra></extra>",
        )
    )  # fmt: skip
    marks = {0.0: "sweep_zero", 1.0: "sweep_one"}
    e = catalogue.entry(model)
    if e.guidance == GUIDANCE_INPUT:
        marks = {}
    elif e.distilled:  # up to 1 it draws with the prompt alone
        marks = {1.0: "sweep_distilled"}
    for scale, key in marks.items():
        for place in (i for i, value in enumerate(sweep.scales) if value == scale):
            _mark(
                figure, place, t(f"guidance.{key}"), low - room, high + (0.4 if scale == 0 else 0.15) * room
            )
    figure = style(figure, t, height=330)
    figure.update_layout(
        margin={"l": LEFT, "r": RIGHT, "t": 36, "b": 8}, showlegend=False,
        xaxis={"tickvals": places, "ticktext": labels, "range": [-0.5, len(places) - 0.5],
               "side": "top", "automargin": False, "zeroline": False},
        yaxis={"title": {"text": t("guidance.sweep_y")}, "range": [low - 0.15 * room, high + 0.65 * room],
               "automargin": False, "zeroline": False},
    )  # fmt: skip
    return figure


def _mark(figure: go.Figure, place: int, text: str, bottom: float, top: float) -> None:
    """A dashed line with its meaning at its upper end."""
    line = {"dash": "dash", "width": 2, "color": "#8a8f98"}
    figure.add_shape(type="line", x0=place, x1=place, y0=bottom, y1=top, line=line)
    figure.add_annotation(
        x=place, y=top, text=html_escape(text), showarrow=False, xanchor="left", yanchor="bottom", xshift=-8,
        font={"size": 16},
    )  # fmt: skip


def away_view(request: ImageRequest, pictures: tuple[str, str] | None, remark: str, t: Texts) -> Markup:
    """The same seed without and with a negative prompt.

    Args:
        pictures: addresses, without and with; None before the first step.
        remark: where the runs are, or how much the pictures differ.
    """
    shown = pictures or ("", "")
    return _html.away(shown, request.negative_prompt, remark, facts(request, t), t)


def away_idle(t: Texts) -> Markup:
    """The places of the two pictures before anybody asked for them."""
    return _html.away_idle(t)
