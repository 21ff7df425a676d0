"""What the guidance tab shows: the dial's pictures, the sum of pictures, the sweep, steering away."""

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go
from plotly.colors import get_colorscale

from components.runs.frames import Frames, encode
from components.runs.trace_view import facts, film, hole, picture, readout, scrubber, store
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, short
from components.ui.plots import DIVERGING, LEFT, RIGHT, SEQUENTIAL, style
from pipelines.image.guidance import GuidanceSweep
from pipelines.image.request import ImageRequest, Trace
from pipelines.serving import catalogue

_HIGH = 12.0  # from here on, pictures of most models burn


def formula(request: ImageRequest, t: Texts) -> str:
    """The guidance formula with this run's scale, and what that scale means.

    Source: Ho & Salimans 2022, arXiv:2207.12598, eq. 6, in the library's convention.
    """
    scale = request.guidance_scale
    key = "formula_negative" if request.negative_prompt else "formula"
    if scale in (0, 1):
        meaning = "scale_zero" if scale == 0 else "scale_one"
    else:
        meaning = "scale_below" if scale < 1 else "scale_usual" if scale < _HIGH else "scale_high"
    return (
        f'<p class="formula">{t(f"guidance.{key}", scale=short(scale, t))}'
        f"<span>{html_escape(t(f'guidance.{meaning}'))}</span></p>"
    )


def _still(source: str, caption: str, hint: str = "") -> str:
    return picture("still", source, caption, hint)


def dial_view(
    request: ImageRequest, now: str, status: str, before: tuple[str, float] | None, t: Texts
) -> str:
    """The picture at this scale beside the one before.

    Args:
        request: of the run that is shown or under way.
        now: address of its picture, empty before the first step.
        status: where the run is; empty when it is done.
        before: address and scale of the picture before, if there was one.
        t: texts.
    """
    scale = t("guidance.now", scale=short(request.guidance_scale, t))
    right = _still(now, scale, status) if now else hole(t("image.waiting"), scale, status)
    left = _still(before[0], t("guidance.before", scale=short(before[1], t))) if before else ""
    entry = catalogue.entry(request.model)
    note = f'<p class="remark">{html_escape(t("guidance.distilled", title=entry.title))}</p>'
    return (
        f'<div class="trace" data-state="{"running" if status else "done"}"><div class="dial">'
        f'<div class="pair">{left}{right}</div><div class="words">{formula(request, t)}{facts(request, t)}'
        f"{note if entry.distilled else ''}</div></div></div>"
    )


def _gradient(scale: Sequence[Sequence[object]]) -> str:
    stops = ",".join(f"{colour} {float(str(place)):.0%}" for place, colour in scale)
    return f'<span class="key" style="background:linear-gradient(to right,{stops})"></span>'


def _sign(text: str) -> str:
    return f'<div class="sign" aria-hidden="true"><span>{text}</span></div>'


def _measured(row: str, source: str, key: str, t: Texts) -> str:
    """A grid of numbers as a figure, with a colour key after its caption."""
    figure = picture(row, source, t(f"guidance.{row}"), t(f"guidance.{row}_hint"), crisp=True)
    return figure.replace("</figcaption>", f"<small>{key}</small></figcaption>")


def sum_view(trace: Trace, frames: Frames, t: Texts) -> str:
    """One step as an equation of pictures, to scrub through.

    Args:
        trace: of at least one step.
        frames: its pictures.
        t: texts.
    """
    if not frames.empty:
        return f'<div class="trace"><p class="remark">{html_escape(t("image.no_branch"))}</p></div>'
    at = (len(trace.steps) - 1) // 3  # late enough for shapes, early enough for the text to matter
    request, decoded = trace.request, t("guidance.decoded_hint")
    without = t("image.negative") if request.negative_prompt else t("image.empty")
    signed, length = short(frames.signed_limit, t), short(frames.length_limit, t)
    signed_key = f"−{signed}{_gradient(DIVERGING)}{signed}"
    length_key = f"0{_gradient(get_colorscale(SEQUENTIAL))}{length}"
    difference = _measured("difference", frames.difference[at], signed_key, t)
    magnitude = _measured("magnitude", frames.magnitude[at], length_key, t)
    magnitude = magnitude.replace("<figure>", '<figure class="magnitude">', 1)
    empty = picture("empty", frames.empty[at], without, decoded)
    scale = f'<span class="factor">{short(request.guidance_scale, t)}</span>'
    cells = [
        picture("prompt", frames.prompt[at], t("image.prompt"), decoded), _sign("−"), empty, _sign("="),
        difference, magnitude,
        empty, _sign(f"+ {scale} ·"), difference, _sign("="),
        picture("guided", frames.guided[at], t("guidance.guided"), decoded),
    ]  # fmt: skip
    rows = {name: getattr(frames, name) for name in ("prompt", "empty", "difference", "magnitude", "guided")}
    step = trace.steps[at]
    console = readout(step, step.total, t) + scrubber(at, len(trace.steps), True, t)
    return (
        f'<div class="trace" data-state="done"><div class="sum">{"".join(cells)}</div>'
        f'<div class="console">{console}</div>'
        f"{film(frames.guided, len(trace.steps), t)}{store(trace, rows, at, t)}</div>"
    )


def sweep_row(sweep: GuidanceSweep, t: Texts) -> str:
    """The pictures of a sweep, each over its point of the plot."""
    cells = []
    for scale, image, score in zip(sweep.scales, sweep.images, sweep.clip_scores, strict=True):
        scale_text, score_text = short(scale, t), fixed(score, t)
        alt = html_escape(t("guidance.sweep_picture", scale=scale_text, score=score_text))
        cells.append(f'<figure><img src="{encode(image)}" alt="{alt}"></figure>')
    columns = f"grid-template-columns:repeat({len(cells)},minmax(0,1fr));padding:0 {RIGHT}px 0 {LEFT}px"
    return f'<div class="row" role="group" style="{columns}">{"".join(cells)}</div>'


def sweep_summary(request: ImageRequest, sweep: GuidanceSweep, t: Texts) -> str:
    """Which scale CLIP likes best, and for which run."""
    best = int(sweep.clip_scores.argmax())
    scale, score = short(sweep.scales[best], t), fixed(sweep.clip_scores[best], t)
    text = html_escape(t("guidance.sweep_best", scale=scale, score=score))
    return f'<div class="trace"><p class="remark">{text}</p>{facts(request, t, scale=False)}</div>'


def sweep_figure(sweep: GuidanceSweep, t: Texts) -> go.Figure:
    """CLIP score against scale, one evenly spaced place per picture above."""
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
    for scale, key in ((0.0, "sweep_zero"), (1.0, "sweep_one")):
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
        x=place, y=top, text=escape(text), showarrow=False, xanchor="left", yanchor="bottom", xshift=-8,
        font={"size": 16},
    )  # fmt: skip


def away_view(request: ImageRequest, pictures: tuple[str, str] | None, remark: str, t: Texts) -> str:
    """The same seed without and with a negative prompt.

    Args:
        request: of the run with the negative prompt.
        pictures: addresses, without and with; None before the first step.
        remark: where the runs are, or how much the pictures differ.
        t: texts.
    """
    captions = (
        t("guidance.negative_without"),
        t("guidance.negative_with", text=request.negative_prompt),
    )
    if pictures is None:
        cells = [hole(t("image.waiting"), caption) for caption in captions]
    else:
        cells = [_still(source, caption) for source, caption in zip(pictures, captions, strict=True)]
    label = html_escape(t("guidance.negative_alt"))
    return (
        f'<div class="trace"><div class="pair" role="group" aria-label="{label}">{"".join(cells)}</div>'
        f'<p class="remark" role="status">{html_escape(remark)}</p>{facts(request, t)}</div>'
    )


def away_idle(t: Texts) -> str:
    """The places of the two pictures before anybody asked for them."""
    idle = t("guidance.negative_idle")
    captions = (t("guidance.negative_without"), t("image.negative"))
    cells = "".join(hole(idle, caption) for caption in captions)
    return f'<div class="trace"><div class="pair">{cells}</div></div>'
