"""Two trials of what a heat map is worth: hiding tokens one by one, and pictures whose truth is known."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go
from PIL import Image

from components.cross_attention.view import still_view, token_rows
from components.page.picture_tabs import request_like
from components.page.prompt_bar import PromptBar
from components.runs.batch import TrialViews, show_trial
from components.runs.batch_view import running_gallery
from components.runs.frames import encode
from components.runs.queues import MODEL, STEPPER
from components.runs.slot import RunSlot
from components.ui.colors import token_colours
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import html_escape, live_html
from components.ui.numbers import fixed, short
from components.ui.plots import plot, style
from pipelines.image import cross_attention as pipeline
from pipelines.image import cross_attention_of_picture as picture_attention
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.serving.measured import figure
from pipelines.serving.uploads import open_picture
from pipelines.text.pieces import Piece
from pipelines.text.tokens import colour_keys


@dataclass(frozen=True)
class HiddenSection:
    """The components of the first trial."""

    start: gr.Button
    stop: gr.Button
    figure: gr.Plot
    pictures: gr.HTML
    kept: gr.State


@dataclass(frozen=True)
class PictureSection:
    """The components of the second trial.

    Attributes:
        scene: picture, masks and nouns of the world picture that is shown, or the picture alone.
    """

    draw: gr.Button
    upload: gr.UploadButton
    text: gr.Textbox
    ask: gr.Button
    view: gr.HTML
    scene: gr.State


_FIRST = 13  # seed of the first world picture: two things that do not hide each other
_APART = 0.3  # of the largest share and the largest change: from here on a map is said to mislead


def build_hidden_section(t: Texts) -> HiddenSection:
    """Draw the first trial."""
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
        gr.State(None),
    )


def wire_hidden(part: HiddenSection, inputs: Sequence[Any], t: Texts) -> None:
    """Let the button hide tokens one by one.

    Args:
        part: what `build_hidden_section` drew.
        inputs: what `request_like` reads after the trace, then trace and run slot of the visitor.
        t: texts.
    """

    @explained(t)
    def hide(*given: Any) -> Iterator[Any]:
        *values, trace, slot, kept = given
        yield from hidden_run(request_like(trace, *values), kept, slot, t)

    part.start.click(
        hide, [*inputs, part.kept], [part.figure, part.pictures, part.kept, part.stop],
        trigger_mode="multiple", **STEPPER,
    )  # fmt: skip
    part.stop.click(lambda slot: slot.stop(), inputs[-1], queue=False, api_visibility="private")


def hidden_run(
    request: ImageRequest, kept: tuple[Any, ...] | None, slot: RunSlot, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Hide each token for one visitor.

    Args:
        request: checked.
        kept: the values of the trial before.
        slot: this visitor's; a run in it ends.
        t: texts.

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
        return gr.update(value=hidden_figure(found, t), visible=True), hidden_pictures(found, t)

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
    without = [t("cross_attention.without_token", token=name) for name in names]
    return [t("cross_attention.hidden_none"), *without]


def hidden_pictures(found: pipeline.HiddenTokens, t: Texts) -> str:
    """The picture with all tokens and those without each, and what the comparison says."""
    names = [row["name"] for row in token_rows(found.pieces, t)[:-1]]
    captions = hidden_captions(found.pieces, t)
    figures = "".join(
        f'<figure><img src="{encode(image)}" alt="{html_escape(caption)}">'
        f"<figcaption>{html_escape(caption)}</figcaption></figure>"
        for image, caption in zip([found.reference, *found.images], captions, strict=True)
    )
    verdict = "".join(f"<p>{html_escape(line)}</p>" for line in _verdict(found, names, t))
    gallery = f'<div class="gallery">{figures}</div>'
    return f'<div class="xa still"><div class="verdict">{verdict}</div>{gallery}</div>'


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


def build_picture_section(t: Texts) -> PictureSection:
    """Draw the second trial."""
    with gr.Row(equal_height=False, elem_classes="dial-row"):
        draw = gr.Button(t("cross_attention.world"), elem_id="attention-world", scale=2)
        upload = gr.UploadButton(
            t("cross_attention.upload"), file_types=["image"], type="filepath", elem_id="attention-upload",
            scale=2,
        )  # fmt: skip
        text = gr.Textbox(
            label=t("cross_attention.text"),
            elem_id="attention-text",
            elem_classes="sv-text",
            scale=4,
            min_width=320,
        )
        ask = gr.Button(t("cross_attention.ask"), elem_id="attention-ask", scale=2)
    view = live_html("cross_attention/view", "attention-picture", t("cross_attention.picture_title"))
    gr.Markdown(_measured(t), elem_classes="sv-hint")
    return PictureSection(draw, upload, text, ask, view, gr.State(None))


def _measured(t: Texts) -> str:
    """How well maps and true places meet on average, if that was measured with the shipped models."""
    found = figure("image.attention_miou")
    if found is None:
        return t("cross_attention.not_measured")
    low, high = (fixed(value, t) for value in found.ci95)
    return t(
        "cross_attention.measured", n=found.n, value=fixed(found.value, t), low=low, high=high,
        must=fixed(found.must or 0, t),
    )  # fmt: skip


def wire_picture(part: PictureSection, bar: PromptBar, tab: gr.Tab, t: Texts) -> None:
    """Let the buttons draw, take and ask about a picture; opening the tab does so once."""
    fresh, taken, asked, entered = _picture_handlers(t)
    outputs = [part.view, part.scene, part.text]
    part.draw.click(fresh, bar.image_model, outputs, **MODEL)
    part.upload.upload(taken, [part.upload, part.text, bar.prompt, bar.image_model], outputs, **MODEL)
    gr.on(
        [part.ask.click, part.text.submit], asked, [part.scene, part.text, bar.image_model], part.view,
        show_progress_on=part.view, **MODEL,
    )  # fmt: skip
    tab.select(entered, [part.scene, bar.image_model], outputs, show_progress="hidden", **MODEL)


def _picture_handlers(t: Texts) -> tuple[Callable[..., Any], ...]:
    def look(scene: picture_attention.Known, text: str, model: str) -> str:
        return picture_page(scene, text, model, t)

    @explained(t)
    def fresh(model: str) -> Any:
        seed = int(np.random.default_rng().integers(2**32))
        scene, text = picture_attention.world_picture(seed)
        return look(scene, text, model), scene, text

    @explained(t)
    def taken(path: str, text: str, prompt: str, model: str) -> Any:
        scene = picture_attention.Known(open_picture(path), (), ())
        words = text if text.strip() else prompt
        return look(scene, words, model), scene, words

    @explained(t)
    def asked(scene: picture_attention.Known | None, text: str, model: str) -> Any:
        return gr.skip() if scene is None else look(scene, text, model)

    @explained(t)
    def entered(scene: picture_attention.Known | None, model: str) -> Any:
        if scene is not None:
            return (gr.skip(),) * 3
        known, text = picture_attention.world_picture(_FIRST)
        return look(known, text, model), known, text

    return fresh, taken, asked, entered


def picture_page(scene: picture_attention.Known, text: str, model: str, t: Texts) -> str:
    """Where the words of a text are looked at in a picture, and what is known of it.

    Args:
        scene: the picture, and its things if they are known.
        text: what is said of it.
        model: catalogue id of the role "image".
        t: texts.

    Raises:
        InputError: what `picture_maps` raises.
    """
    found = picture_attention.picture_maps(scene.picture, text, model)
    overlaps = picture_attention.overlaps(found, scene)
    truths = [(noun, Image.fromarray(mask), value) for noun, mask, value in overlaps]
    return still_view(found.picture, found.maps.finest, truths, t)
