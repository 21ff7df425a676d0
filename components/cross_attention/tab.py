"""The cross-attention tab: which word the model looks at, where and when."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np

from components.cross_attention.hide_tokens import build_hidden_section, wire_hidden
from components.cross_attention.joint import joint_view, looks_figure
from components.cross_attention.known_pictures import build_picture_section, wire_picture
from components.cross_attention.view import running_view, trace_view, waiting_view
from components.page.picture_tabs import open_tab, request_like
from components.page.prompt_bar import DEFAULT_PROMPT, PromptBar
from components.runs.arguments import GuidanceScale, ImageModel, Scheduler, Steps
from components.runs.frames import Frames
from components.runs.queues import STEPPER, endpoint
from components.runs.slot import RunSlot
from components.runs.stream import RunViews, show_run
from components.ui.arguments import Seed, Text
from components.ui.attention import attention_kinds
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import ON_ENTER, live_html, tab_frame
from components.ui.plots import plot
from components.ui.scene import scene
from pipelines.image import cross_attention as pipeline
from pipelines.image import image
from pipelines.image.joint_attention import has_joint, who_looks, word_maps
from pipelines.image.request import ImageRequest, Trace


def build_cross_attention_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and wire it.

    Args:
        bar: prompt and numbers come from it; the trace is shared with the other tabs about pictures.
    """
    with tab_frame(t, "cross_attention") as tab:
        with scene(t, "cross_attention.maps", kind="tab"):
            with gr.Row(elem_classes="image-actions", equal_height=True):
                look = gr.Button(
                    t("cross_attention.look"),
                    variant="primary",
                    elem_id="attention-look",
                    elem_classes=ON_ENTER,
                    scale=2,
                )
                stop = gr.Button(t("image.stop"), variant="stop", elem_id="attention-stop", interactive=False)
            view = live_html("cross_attention/view", "attention-view", t("cross_attention.title"))
            looks = plot(t("cross_attention.joint_alt"), elem_id="attention-looks", visible=False)
        with scene(t, "cross_attention.hidden", filled_by="attention-hide"):
            hidden = build_hidden_section(t)
        with scene(t, "cross_attention.picture"):
            picture = build_picture_section(t)
    attention_kinds(tab, "cross_attention", t)
    inputs = bar.run_inputs
    outputs = [view, stop, bar.trace, looks]
    draw, enter = _handlers(t)
    look.click(draw, inputs, outputs, trigger_mode="multiple", **STEPPER)
    tab.select(enter, inputs, outputs, **STEPPER)
    stop.click(lambda slot: slot.stop(), bar.run, queue=False, api_visibility="private")
    wire_hidden(hidden, bar, inputs, t)
    wire_picture(picture, bar, tab, t)


def _handlers(t: Texts) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What the button does, and what opening the tab does."""

    @explained(t)
    def draw(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot = inputs
        yield from look_run(request_like(trace, *values), trace, slot, t)

    @explained(t)
    def enter(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot = inputs
        yield from open_tab(
            trace, lambda: request_like(None, *values), slot, t, enough=_looked_inside,
            waiting=lambda reel: _running(reel, t), show=lambda shown: _show(shown, slot, t),
            restored=lambda: _restore(None, slot, t),
            # the same picture once more, to the bit, this time with a look inside
            run=lambda request, before: look_run(request, before, slot, t),
        )  # fmt: skip

    return draw, enter


def look_run(request: ImageRequest, previous: Trace | None, slot: RunSlot, t: Texts) -> Iterator[Any]:
    """Draw a picture for one visitor and note where the model looks.

    Args:
        request: checked.
        previous: this visitor's trace before.

    Yields:
        Values for the view, the stop button, the trace and the figure of who looks at whom.
    """
    views = RunViews(
        running=lambda reel: _running(reel, t),
        finished=lambda trace: _show(trace, slot, t),
        restored=lambda: _restore(previous, slot, t),
    )
    yield from show_run(replace(request, look_inside=True), slot, views)


def _looked_inside(trace: Trace) -> bool:
    return pipeline.has_maps(trace) or has_joint(trace)


def _running(reel: Frames, t: Texts) -> tuple[Any, ...]:
    stop = gr.skip() if reel.steps else gr.update(interactive=True)
    return running_view(reel, t), stop, gr.skip(), gr.skip()


def _show(trace: Trace, slot: RunSlot, t: Texts) -> tuple[Any, ...]:
    ended = gr.update(interactive=False), trace
    if has_joint(trace):
        page, figure = joint_view(trace, slot.frames_of(trace), t), looks_figure(trace, t)
        return page, *ended, gr.update(value=figure, visible=True)
    prompt = pipeline.trace_maps(trace)
    two = trace.steps[0].denoised_empty is not None
    empty = pipeline.trace_maps(trace, negative=True) if two else None
    page = trace_view(trace, slot.frames_of(trace), prompt, empty, t)
    return page, *ended, gr.update(visible=False)


def _restore(previous: Trace | None, slot: RunSlot, t: Texts) -> tuple[Any, ...]:
    """What was there before a run that drew nothing."""
    if previous is not None and _looked_inside(previous):
        return _show(previous, slot, t)
    return waiting_view(t("cross_attention.nothing")), gr.update(interactive=False), gr.skip(), gr.skip()


def _joint_json(trace: Trace) -> dict[str, Any]:
    found, looks = word_maps(trace), who_looks(trace).shares.mean((0, 1))
    shares = found.looked_at.mean((0, 2, 3))
    return {
        "tokens": [row.text if row.kind != "padding" else "padding" for row in found.rows],
        "tokenizers": [row.tokenizer for row in found.rows],
        "shares": [round(float(share), 5) for share in shares],
        "maps": found.looked_at.mean(0).round(4).tolist(),
        "layers": len(found.layers),
        "who_looks": [[None if np.isnan(v) else round(float(v), 5) for v in row] for row in looks],
    }


@endpoint(STEPPER)
def cross_attention(
    prompt: Text = DEFAULT_PROMPT,
    negative_prompt: Text = "",
    seed: Seed = 0,
    guidance_scale: GuidanceScale = 5.0,
    num_inference_steps: Steps = 20,
    scheduler: Scheduler = "ddim",
    model: ImageModel = "classroom-image",
) -> dict[str, Any]:
    """Draw a picture and say where the model looked for each token while it drew.

    Args:
        prompt: what the picture shall show, in English for the classroom model; up to 2000 characters.
        negative_prompt: what to steer away from; may be empty.
        seed: 0 to 4294967295.
        guidance_scale: 0 to 20.
        num_inference_steps: 1 to 100.
        scheduler: "ddim", "dpm++" or "euler".
        model: id of a picture model in the catalogue.

    Returns:
        "tokens" from start to end; "shares" of all attention, one for each token and a last one for the
        padding together; "maps" `[row][y][x]` of the same rows, averaged over steps and over the layers of
        the finest grid (rows sum to one in each cell); "layers", their number. Where text and picture attend
        to each other, the rest of a cell's attention goes to the picture, "who_looks" holds the four shares
        `[looker][looked at]` of all attention, words first, and rows are named by their tokenizers.
    """
    request = ImageRequest(
        prompt, negative_prompt, seed, guidance_scale, num_inference_steps, scheduler, model,
        look_inside=True,
    )  # fmt: skip
    trace = image.run(request)
    if has_joint(trace):
        return _joint_json(trace)
    found = pipeline.trace_maps(trace)
    maps, everything = found.finest, found.groups[pipeline.ALL]
    return {
        "tokens": [piece.text for piece in maps.pieces],
        "shares": [round(float(share), 5) for share in everything.shares],
        "maps": maps.maps.mean(0).round(4).tolist(),
        "layers": maps.layers,
    }


API: dict[str, Callable[..., Any]] = {"cross_attention": cross_attention}
