"""The sweep of the guidance tab: one text at eight scales, from the same noise, and what CLIP says of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gradio as gr

from components.guidance.view import sweep_figure, sweep_row, sweep_summary
from components.page.picture_tabs import example_request, request_like
from components.page.prompt_bar import DEFAULT_PROMPT
from components.runs.arguments import GuidanceScales, ImageModel, Scheduler, Steps
from components.runs.batch import TrialViews, show_trial
from components.runs.batch_view import running_row, running_status
from components.runs.frames import png_base64
from components.runs.queues import STEPPER, endpoint
from components.runs.slot import RunSlot
from components.runs.trace_view import note
from components.ui.arguments import Seed, Text
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.numbers import short
from components.ui.plots import plot
from components.ui.scene import scene
from pipelines.image.guidance import GuidanceSweep, finish_sweep, sweep_requests
from pipelines.image.guidance import guidance_sweep as run_sweep
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.serving import catalogue

SCALES = (0.0, 1.0, 2.0, 3.5, 5.0, 8.0, 12.0, 20.0)


@lru_cache(maxsize=1)
def compute_example_sweep() -> GuidanceSweep:
    """The sweep of the first example; the app computes it once after start."""
    return run_sweep(example_request(), SCALES)


@dataclass(frozen=True)
class SweepSection:
    """The sweep's part of the tab.

    Attributes:
        start, stop: buttons.
        row: the pictures.
        figure: CLIP score against scale.
        summary: what came out, for which run.
        kept: the values of the last sweep, or None.
    """

    start: gr.Button
    stop: gr.Button
    row: gr.HTML
    figure: gr.Plot
    summary: gr.HTML
    kept: gr.State


def build_sweep_section(t: Texts) -> SweepSection:
    """Draw the sweep's part of the tab."""
    with scene(t, "guidance.sweep"):
        with gr.Row():
            button = gr.Button(t("guidance.sweep"), elem_id="sweep", scale=0, min_width=340)
            stop = gr.Button(
                t("guidance.stop"), variant="stop", elem_id="sweep-stop", interactive=False, scale=0
            )
        with gr.Column(elem_classes="sv-wide", elem_id="guidance-sweep"):
            row = live_html("runs/trace", "guidance-sweep-row", t("guidance.sweep_title"), script=False)
            figure = plot(t("guidance.sweep_alt"))
        summary = live_html("runs/trace", "guidance-sweep-summary", t("guidance.sweep_title"))
    return SweepSection(button, stop, row, figure, summary, gr.State(None))


def wire_sweep(sweep: SweepSection, inputs: Sequence[Any], after: Sequence[Any], t: Texts) -> None:
    """Let the buttons sweep and stop.

    Args:
        sweep: what `build_sweep_section` drew.
        inputs: what `request_like` reads after the trace, then trace and run slot of the visitor.
        after: events after which a tab without a sweep gets its first one.
    """
    on_click, on_enter = _handlers(t)
    call: dict[str, Any] = {
        "inputs": [*inputs, sweep.kept],
        "outputs": [sweep.row, sweep.figure, sweep.summary, sweep.kept, sweep.stop],
        **STEPPER,
    }  # fmt: skip
    sweep.start.click(on_click, trigger_mode="multiple", **call)
    for event in after:
        event.then(on_enter, **call)
    slot = inputs[-1]
    sweep.stop.click(lambda slot: slot.stop(), slot, queue=False, api_visibility="private")


def sweep_run(
    request: ImageRequest, kept: tuple[Any, ...] | None, slot: RunSlot, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Sweep for one visitor, all pictures coming out of the noise together.

    Args:
        request: checked; its own scale is not used.
        kept: the values of the sweep before.

    Yields:
        Values for row, figure, summary, what is kept and stop button.
    """
    captions = [t("guidance.now", scale=short(scale, t)) for scale in SCALES]

    def running(sources: Sequence[str], status: str) -> tuple[Any, ...]:
        return running_row(captions, sources), gr.update(visible=False), running_status(status)

    def whole(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        return _views(request, finish_sweep(request, SCALES, steps), t)

    views = TrialViews(running, whole, ("", gr.update(visible=False), ""))
    yield from show_trial(sweep_requests(request, SCALES), slot, "sweep", views, kept, t)


def _views(request: ImageRequest, sweep: GuidanceSweep, t: Texts) -> tuple[Any, ...]:
    figure = gr.update(value=sweep_figure(sweep, request.model, t), visible=True)
    return sweep_row(sweep, t), figure, sweep_summary(request, sweep, t)


def _handlers(t: Texts) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What the button does, and what happens when the tab has no sweep to show yet."""

    @explained(t)
    def on_click(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot, kept = inputs
        request = request_like(trace, *values)
        e = catalogue.entry(request.model)
        if e.guidance == catalogue.NO_GUIDANCE:
            slot.silence("sweep")
            said = note(t("guidance.sweep_none", title=e.title))
            yield "", gr.update(visible=False), said, None, gr.update(interactive=False)
        else:
            yield from sweep_run(request, kept, slot, t)

    @explained(t)
    def on_enter(*inputs: Any) -> Iterator[Any]:
        *_, trace, slot, kept = inputs
        # the first sweep comes by itself, but not of a transformer: eight pictures of it take minutes
        if (
            kept is not None
            or trace is None
            or slot.busy
            or catalogue.entry(trace.request.model).is_transformer
        ):
            yield (gr.skip(),) * 5
        elif compute_example_sweep.cache_info().currsize and trace.request == example_request():
            values = _views(trace.request, compute_example_sweep(), t)
            yield *values, values, gr.skip()
        else:
            yield from sweep_run(trace.request, None, slot, t)

    return on_click, on_enter


@endpoint(STEPPER)
def guidance_sweep(
    prompt: Text = DEFAULT_PROMPT,
    negative_prompt: Text = "",
    seed: Seed = 0,
    scales: GuidanceScales = list(SCALES),  # noqa: B006  read only; shown to callers as the default
    num_inference_steps: Steps = 20,
    scheduler: Scheduler = "ddim",
    model: ImageModel = "classroom-image",
) -> dict[str, Any]:
    """Draw one text at several guidance scales from the same noise, and score each picture with CLIP.

    Args:
        prompt: what the pictures shall show, in English for the classroom model; up to 2000 characters.
        negative_prompt: what to steer away from, such as "text, watermark, blur"; may be empty.
        seed: 0 to 4294967295; decides the noise that all pictures start from.
        scales: one to eight guidance scales, each 0 to 20; 0 ignores the prompt, 1 is the plain
            conditional model. Models from which guidance was distilled away draw with the prompt alone up
            to 1.
        num_inference_steps: 1 to 100 steps from noise to picture.
        scheduler: "ddim", "dpm++" or "euler".
        model: id of a picture model in the catalogue.

    Returns:
        "scales", "clip_scores" (cosine, -1 to 1) and "images" (PNG, base64), in the order asked for.
    """
    own = 1.0  # a request has a scale of its own, which a sweep does not use
    request = ImageRequest(prompt, negative_prompt, seed, own, num_inference_steps, scheduler, model)
    sweep = run_sweep(request, scales if isinstance(scales, list) else [])
    return {
        "scales": sweep.scales.tolist(),
        "clip_scores": [round(float(score), 6) for score in sweep.clip_scores],
        "images": [png_base64(picture) for picture in sweep.images],
    }
