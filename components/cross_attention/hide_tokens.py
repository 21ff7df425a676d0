"""What a heat map is worth: hiding tokens one by one, and what that does to the picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup

from components.cross_attention.view import token_rows
from components.page.picture_tabs import request_like
from components.page.prompt_bar import FIRST, PromptBar
from components.runs.batch import TrialViews, show_trial
from components.runs.batch_view import running_gallery
from components.runs.frames import encode
from components.runs.queues import STEPPER
from components.runs.slot import RunSlot
from components.runs.trace_view import drawn_from
from components.ui.colors import token_colours
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import html_escape, live_html
from components.ui.numbers import fixed, short
from components.ui.plots import plot, style
from components.ui.presets import preset_chips, wire_presets
from components.ui.templates import quote, templates
from pipelines.image import cross_attention as pipeline
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.text.pieces import Piece
from pipelines.text.tokens import colour_keys

_html = templates("cross_attention/view.html")
# Prompt and seed of trials that are one click away; in the first, attention and effect part.
PRESETS = {"apart": ("A red car next to a blue house.", 0), "together": (FIRST.prompt, FIRST.seed)}
_APART = 0.3  # of the largest share and the largest change: from here on a map is said to mislead


@dataclass(frozen=True)
class HiddenSection:
    """The components of the section."""

    presets: list[gr.Button]
    start: gr.Button
    stop: gr.Button
    figure: gr.Plot
    pictures: gr.HTML
    kept: gr.State


def build_hidden_section(t: Texts) -> HiddenSection:
    """Draw the section."""
    titles = [t(f"cross_attention.preset_{name}") for name in PRESETS]
    presets = preset_chips(t("cross_attention.presets"), titles, "attention-preset")
    with gr.Row():
        start = gr.Button(t("cross_attention.hide"), elem_id="attention-hide", scale=0, min_width=360)
        stop = gr.Button(
            t("image.stop"), variant="stop", elem_id="attention-hide-stop", interactive=False, scale=0
        )
    figure = plot(t("cross_attention.hidden_alt"), elem_id="attention-hidden-figure", visible=False)
    return HiddenSection(
        presets,
        start,
        stop,
        figure,
        live_html("cross_attention/view", "attention-hidden", t("cross_attention.hidden_title")),
        gr.State(None),
    )


def wire_hidden(part: HiddenSection, bar: PromptBar, inputs: Sequence[Any], t: Texts) -> None:
    """Let the button hide tokens one by one, and the presets their own prompt's.

    Args:
        part: what `build_hidden_section` drew.
        inputs: what `request_like` reads after the trace, then trace and run slot of the visitor.
    """

    @explained(t)
    def hide(*given: Any) -> Iterator[Any]:
        *values, trace, slot, kept = given
        yield from hidden_run(request_like(trace, *values), kept, slot, t)

    call: dict[str, Any] = {
        "fn": hide, "inputs": [*inputs, part.kept],
        "outputs": [part.figure, part.pictures, part.kept, part.stop], "trigger_mode": "multiple", **STEPPER,
    }  # fmt: skip
    part.start.click(**call)
    for chosen in wire_presets(part.presets, list(PRESETS.values()), [bar.prompt, bar.seed]):
        chosen.then(**call)
    part.stop.click(lambda slot: slot.stop(), inputs[-1], queue=False, api_visibility="private")


def hidden_run(
    request: ImageRequest, kept: tuple[Any, ...] | None, slot: RunSlot, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Hide each token for one visitor.

    Args:
        request: checked.
        kept: the values of the trial before.

    Yields:
        Values for figure, pictures, what is kept and stop button.
    """
    batch = pipeline.HiddenBatch(request)
    captions = hidden_captions(batch.pieces, t)
    hidden = gr.update(visible=False)

    def running(sources: Sequence[str], status: str) -> tuple[Any, ...]:
        return hidden, running_gallery("xa still", captions, sources, status, t)

    def whole(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        found = batch.finish(steps)
        figure = gr.update(value=hidden_figure(found, t), visible=True)
        return figure, hidden_pictures(found, t) + drawn_from(request)

    views = TrialViews(running, whole, (hidden, ""))
    yield from show_trial(batch.requests, slot, "hidden", views, kept, t, batch.add)


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


def hidden_captions(pieces: Sequence[Piece], t: Texts) -> list[str]:
    """What each picture lacks, the one with all tokens first."""
    names = [row["name"] for row in token_rows(pieces, t)[:-1]]
    without = [t.html("cross_attention.without_token", token=quote(name)) for name in names]
    return [t("cross_attention.hidden_none"), *without]


def hidden_pictures(found: pipeline.HiddenTokens, t: Texts) -> Markup:
    """The picture with all tokens and those without each, and what the comparison says."""
    names = [row["name"] for row in token_rows(found.pieces, t)[:-1]]
    captions = hidden_captions(found.pieces, t)
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
            lines.append(t.html(f"cross_attention.{key}", token=quote(names[at]), share=share, change=change))
    return lines
