"""What a heat map is worth: hiding tokens one by one, and what that does to the picture."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup

from components.cross_attention.view import token_rows
from components.page.picture_tabs import request_like
from components.runs.batch import show_when_done, told
from components.runs.frames import encode
from components.runs.queues import STEPPER
from components.runs.slot import RunSlot
from components.ui.colors import token_colours
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import html_escape, live_html
from components.ui.numbers import fixed, short
from components.ui.plots import plot, style
from components.ui.templates import templates
from pipelines.image import cross_attention as pipeline
from pipelines.image.image import ImageRequest
from pipelines.text.tokens import colour_keys

_html = templates("cross_attention/view.html")
_APART = 0.3  # of the largest share and the largest change: from here on a map is said to mislead


@dataclass(frozen=True)
class HiddenSection:
    """The components of the section."""

    start: gr.Button
    stop: gr.Button
    figure: gr.Plot
    pictures: gr.HTML


def build_hidden_section(t: Texts) -> HiddenSection:
    """Draw the section."""
    with gr.Row():
        start = gr.Button(t("cross_attention.hide"), elem_id="attention-hide", scale=0, min_width=360)
        stop = gr.Button(
            t("image.stop"), variant="stop", elem_id="attention-hide-stop", interactive=False, scale=0
        )
    figure = plot(t("cross_attention.hidden_alt"), elem_id="attention-hidden-figure", visible=False)
    return HiddenSection(
        start,
        stop,
        figure,
        live_html("cross_attention/view", "attention-hidden", t("cross_attention.hidden_title")),
    )


def wire_hidden(part: HiddenSection, inputs: Sequence[Any], t: Texts) -> None:
    """Let the button hide tokens one by one.

    Args:
        part: what `build_hidden_section` drew.
        inputs: what `request_like` reads after the trace, then trace and run slot of the visitor.
        t: texts.
    """

    # Gradio counts parameters to find the one for the progress bar, so they are spelt out.
    @explained(t)
    def hide(prompt: str, negative: str, seed: int, scale: float, steps: int, model: str, trace: Any,
             slot: RunSlot, progress: gr.Progress = gr.Progress()) -> Iterator[Any]:  # noqa: B008  # fmt: skip
        request = request_like(trace, prompt, negative, seed, scale, steps, model)
        yield from hidden_run(request, slot, progress, t)

    part.start.click(
        hide, inputs, [part.figure, part.pictures, part.stop], trigger_mode="multiple",
        **STEPPER | {"show_progress": "full", "show_progress_on": part.pictures},
    )  # fmt: skip
    part.stop.click(lambda slot: slot.stop(), inputs[-1], queue=False, api_visibility="private")


def hidden_run(request: ImageRequest, slot: RunSlot, progress: gr.Progress, t: Texts) -> Iterator[Any]:
    """Hide each token for one visitor.

    Args:
        request: checked.
        slot: this visitor's; a run in it ends.
        progress: told after every step.
        t: texts.

    Yields:
        Values for figure, pictures and stop button; a run that was stopped leaves what was there before.
    """

    def draw(on_step: Callable[..., None]) -> tuple[Any, ...]:
        found = pipeline.hide_tokens(request, on_step)
        return gr.update(value=hidden_figure(found, t), visible=True), hidden_pictures(found, t)

    yield from show_when_done(slot, told(progress, t), draw, outputs=3)


def hidden_figure(found: pipeline.HiddenTokens, t: Texts) -> go.Figure:
    """Attention and effect of every token, side by side."""
    colours = token_colours(colour_keys(found.pieces))
    names = [row["name"] for row in token_rows(found.pieces, t)[:-1]]
    places = [f"{i} {html_escape(name)}" for i, name in zip(found.places, names, strict=True)]
    fig = go.Figure()
    sides = (
        (found.shares * 100, "x", t("cross_attention.hidden_share")),
        (found.changes, "x2", t("cross_attention.hidden_change")),
    )
    for values, axis, title in sides:
        fig.add_bar(
            x=values, y=places, orientation="h", xaxis=axis, marker_color=colours, showlegend=False,
            text=[short(v, t) for v in values], textposition="outside", textfont_size=16,
            cliponaxis=False, hovertemplate="%{y}: %{x:.1f}<extra></extra>",
        )  # fmt: skip
        fig.update_layout(
            {f"{axis.replace('x', 'xaxis')}": {"title": {"text": title}, "rangemode": "tozero"}}
        )
    fig.update_layout(
        xaxis={"domain": [0, 0.44]}, xaxis2={"domain": [0.56, 1], "anchor": "y"}, bargap=0.25,
        yaxis={"autorange": "reversed", "ticklabelposition": "outside", "tickfont": {"size": 18}},
    )  # fmt: skip
    return style(fig, t, height=110 + 42 * len(places))


def hidden_pictures(found: pipeline.HiddenTokens, t: Texts) -> Markup:
    """The picture with all tokens and those without each, and what the comparison says."""
    names = [row["name"] for row in token_rows(found.pieces, t)[:-1]]
    captions = [
        t("cross_attention.hidden_none"),
        *(t("cross_attention.without_token", token=name) for name in names),
    ]
    sources = [encode(image) for image in (found.reference, *found.images)]
    return _html.hidden(_verdict(found, names, t), list(zip(sources, captions, strict=True)))


def _verdict(found: pipeline.HiddenTokens, names: Sequence[str], t: Texts) -> list[str]:
    """Where attention and effect part most: looked at much without need, and little though it matters."""
    lines = []
    if np.isfinite(found.rank_correlation):
        rho = fixed(found.rank_correlation, t)
        lines.append(t("cross_attention.rank", rho=rho, count=len(names)))
    apart = found.shares / found.shares.max() - found.changes / max(found.changes.max(), 1e-6)
    for key, at in (("idle", int(apart.argmax())), ("quiet", int(apart.argmin()))):
        if abs(apart[at]) >= _APART:
            share, change = short(100 * found.shares[at], t), short(found.changes[at], t)
            lines.append(t(f"cross_attention.{key}", token=names[at], share=share, change=change))
    return lines
