"""The image tab: how noise becomes a picture, step by step."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from components.image.paths import build_paths
from components.page.picture_tabs import example_if_ready, open_tab, with_inside_if_slow
from components.page.prompt_bar import DEFAULT_PROMPT, PromptBar
from components.runs.arguments import GuidanceScale, ImageModel, Scheduler, Steps
from components.runs.exact import exact_on_demand
from components.runs.files import save_png, written
from components.runs.frames import Frames
from components.runs.queues import STEPPER, endpoint
from components.runs.slot import RunSlot
from components.runs.stream import RunViews, sent_once, show_run
from components.runs.trace_view import finished_view, running_view
from components.ui.arguments import Seed, Text
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import ON_ENTER, live_html, tab_frame
from components.ui.scene import scene
from pipelines.image import image
from pipelines.image.request import SCHEDULERS, ImageRequest, Trace


def build_image_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and wire it.

    Args:
        bar: prompt, seed, scale and steps come from it; the trace goes into it.
    """
    with tab_frame(t, "image") as tab:
        with scene(t, "image.steps", kind="tab"):
            with gr.Row(elem_classes="image-actions", equal_height=True):
                generate = gr.Button(
                    t("image.generate"), variant="primary", elem_id="generate", elem_classes=ON_ENTER, scale=2
                )
                stop = gr.Button(t("image.stop"), variant="stop", interactive=False, elem_id="stop")
                reseed = gr.Button(t("image.reseed"), elem_id="reseed")
                download = gr.DownloadButton(t("image.download"), interactive=False, elem_id="download")
            view = live_html("runs/trace", "image-trace", t("image.title"))
            exact_on_demand(view, bar.run, "image-exact")
            scheduler = gr.Radio(
                [(t(f"image.scheduler_{name.replace('+', 'p')}"), name) for name in SCHEDULERS],
                value=SCHEDULERS[0], label=t("image.scheduler"), info=t("image.scheduler_info"),
                elem_id="scheduler",
            )  # fmt: skip
            gr.Markdown(t("image.same_seed"), elem_classes="sv-hint")
        build_paths(bar, t)
    bar.keep("image", scheduler=scheduler)
    inputs = [
        bar.prompt, bar.negative_prompt, bar.seed, bar.guidance_scale, bar.num_inference_steps,
        scheduler, bar.image_model, bar.trace, bar.run,
    ]  # fmt: skip
    outputs = [view, stop, download, bar.trace]
    draw, enter = _handlers(t)
    # A second click is not refused: it takes the place of the run under way.
    again = {"inputs": inputs, "outputs": outputs, "trigger_mode": "multiple", **STEPPER}
    generate.click(draw, **again)
    new_seed = "() => Math.floor(Math.random() * 4294967296)"
    reseed.click(None, outputs=bar.seed, js=new_seed, api_visibility="private").then(draw, **again)
    tab.select(enter, inputs=inputs, outputs=outputs, **STEPPER)
    stop.click(_stop, inputs=bar.run, outputs=stop, queue=False, api_visibility="private")


def _stop(slot: RunSlot) -> Any:
    slot.stop()
    return gr.update(interactive=False)


def _handlers(t: Texts) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What a click on Generate does, and what opening the tab does."""

    def request_of(prompt: str, negative: str, seed: int, scale: float, steps: int,
                   scheduler: str, model: str) -> ImageRequest:  # fmt: skip
        return ImageRequest(prompt, negative or "", seed, scale, steps, scheduler, model).validated()

    @explained(t)
    @sent_once
    def draw(*inputs: Any) -> Iterator[Any]:
        *values, previous, slot = inputs
        yield from draw_run(request_of(*values), previous, slot, t)

    @explained(t)
    @sent_once
    def enter(*inputs: Any) -> Iterator[Any]:
        *values, before, slot = inputs

        def show(trace: Trace) -> tuple[Any, ...]:
            is_example = before is None and example_if_ready(trace.request) == slot.shown
            return _show(trace, slot, t, t("image.example") if is_example else "")

        yield from open_tab(
            before, lambda: request_of(*values), slot, t,
            waiting=lambda reel: _running(reel, t), show=show, restored=lambda: _restore(None, slot, t),
            run=lambda request, _: draw_run(request, None, slot, t),
        )  # fmt: skip

    return draw, enter


def draw_run(request: ImageRequest, previous: Trace | None, slot: RunSlot, t: Texts) -> Iterator[Any]:
    """Draw a picture for one visitor, showing the steps as they come.

    Args:
        request: checked.
        previous: this visitor's trace before, which comes back should the run fail.

    Yields:
        Values for the view, the stop button, the download button and the trace.
    """
    views = RunViews(
        running=lambda reel: _running(reel, t),
        finished=lambda trace: _show(trace, slot, t, _remark(trace, previous, t)),
        restored=lambda: _restore(previous, slot, t),
    )
    yield from show_run(with_inside_if_slow(request), slot, views)


def _running(reel: Frames, t: Texts) -> tuple[Any, ...]:
    page = running_view(reel, t)
    if reel.steps:
        return page, gr.skip(), gr.skip(), gr.skip()
    return page, gr.update(interactive=True), gr.update(interactive=False), gr.skip()


def _show(trace: Trace, slot: RunSlot, t: Texts, remark: str = "") -> tuple[Any, ...]:
    page = finished_view(trace, slot.frames_of(trace), remark, t)
    whole = trace.steps[-1].index + 1 == trace.steps[-1].total
    path = written(lambda: save_png(trace), t) if whole else None
    download = gr.update(value=path, interactive=path is not None)
    return page, gr.update(interactive=False), download, trace


def _restore(previous: Trace | None, slot: RunSlot, t: Texts) -> tuple[Any, ...]:
    """What was there before a run that drew nothing."""
    if previous is not None:
        return _show(previous, slot, t)
    return "", gr.update(interactive=False), gr.update(interactive=False), gr.skip()


def _remark(trace: Trace, previous: Trace | None, t: Texts) -> str:
    """What is worth saying about this run: where it was stopped, or that it repeated the last one."""
    last = trace.steps[-1]
    if last.index + 1 < last.total:
        return t("image.stopped", step=last.index + 1, total=last.total)
    if previous is None or previous.request != trace.request or len(previous.steps) < last.total:
        return ""
    old, new = (np.asarray(each.image, dtype=int) for each in (previous, trace))
    return t("image.repeated", difference=int(np.abs(old - new).max()))


@endpoint(STEPPER)
def generate_image(
    prompt: Text = DEFAULT_PROMPT,
    negative_prompt: Text = "",
    seed: Seed = 0,
    guidance_scale: GuidanceScale = 5.0,
    num_inference_steps: Steps = 20,
    scheduler: Scheduler = "ddim",
    model: ImageModel = "classroom-image",
) -> tuple[gr.FileData, dict[str, Any]]:
    """Draw a picture from a text.

    Args:
        prompt: what the picture shall show, in English for the classroom model; up to 2000 characters.
        negative_prompt: what to steer away from, such as "text, watermark, blur"; may be empty.
        seed: 0 to 4294967295; the same seed and parameters give the same picture.
        guidance_scale: 0 to 20; 0 ignores the prompt, 1 is the plain conditional model. Models from which
            guidance was distilled away, such as SD-Turbo, draw with the prompt alone up to 1.
        num_inference_steps: 1 to 100 steps from noise to picture.
        scheduler: "ddim", "dpm++" or "euler".
        model: id of a picture model in the catalogue.

    Returns:
        The picture as PNG, with its parameters in the text chunk "parameters", and those parameters.
    """
    request = ImageRequest(
        prompt, negative_prompt, seed, guidance_scale, num_inference_steps, scheduler, model
    )
    trace = image.run(request)
    path = save_png(trace)
    file = gr.FileData(path=path, orig_name=Path(path).name, mime_type="image/png")
    return file, image.read_parameters(Path(path).read_bytes())


API: dict[str, Callable[..., Any]] = {"generate_image": generate_image}
