"""The guidance tab: what the text wants, as the difference that it makes."""

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from typing import Any

import gradio as gr

from components.errors import explained
from components.frames import encode, guided_uri
from components.guidance_view import (
    away_idle,
    away_view,
    change_between,
    dial_view,
    sum_view,
    sweep_figure,
    sweep_row,
    sweep_summary,
)
from components.image import STEPPER, example_if_ready, example_request
from components.language import Texts
from components.layout import section, tab_frame
from components.plots import plot
from components.prompt_bar import GUIDANCE, BarValues, PromptBar
from components.runs import RunSlot
from components.trace_view import number, trace_html
from pipelines import image
from pipelines.guidance import GuidanceSweep
from pipelines.guidance import guidance_sweep as run_sweep
from pipelines.image import SCHEDULERS, DenoiseStep, ImageRequest, Trace

SCALES = (0.0, 1.0, 2.0, 3.5, 5.0, 8.0, 12.0, 20.0)
# Eight pictures over their eight points need room: where there is too little, both scroll together.
_ROW_HTML = """<style>
#guidance-sweep { overflow-x: auto; display: block; }
#guidance-sweep > *.block { min-width: 720px !important; }
#sweep { max-width: 340px; }
.gradio-container .dial-row, .gradio-container .away-row { align-items: end; }
</style>${value}"""
_ROW_CSS = """
& .row { display: grid; gap: 0; box-sizing: border-box; }
& .row figure { margin: 0 3px; text-align: center; }
& .row img { width: 100%; aspect-ratio: 1; display: block; margin: 0; border-radius: 5px; }
"""


class _EndedError(Exception):
    """A sweep whose visitor has started something else."""


@lru_cache(maxsize=1)
def compute_example_sweep() -> GuidanceSweep:
    """The sweep of the first example; the app computes it once after start."""
    return run_sweep(example_request(), SCALES)


def build_guidance_tab(bar: PromptBar, t: Texts, public: bool) -> None:
    """Draw the tab and wire it.

    Args:
        bar: prompt and numbers come from it; the trace is shared with the image tab.
        t: texts.
        public: not used, as the endpoint in `API` belongs to no language's page.
    """
    with tab_frame(t, "guidance") as tab:
        section(t("guidance.live_title"), t("guidance.live_hint"))
        with gr.Row(equal_height=False, elem_classes="dial-row"):
            dial = gr.Slider(
                *GUIDANCE, value=BarValues.guidance_scale, step=0.5, label=t("guidance.scale"),
                info=t("guidance.scale_info"), elem_id="guidance-dial", scale=4,
            )  # fmt: skip
            stop = gr.Button(t("guidance.stop"), variant="stop", elem_id="guidance-stop", interactive=False)
        live = trace_html("guidance-live", t("guidance.live_title"))
        section(t("guidance.sum_title"), t("guidance.sum_hint"))
        equation = trace_html("guidance-sum", t("guidance.sum_title"))
        sweep_views = _sweep_section(t)
        away = _away_section(t)
    swept = gr.State(None)
    inputs = [
        bar.prompt, bar.negative_prompt, bar.seed, dial, bar.num_inference_steps, bar.image_model,
        bar.trace, bar.run,
    ]  # fmt: skip
    dial_outputs = [live, equation, stop, bar.trace]
    rerun, enter = _dial_handlers(t)
    sweep, sweep_first = _sweep_handlers(t)
    sweep_call = {"inputs": [*inputs, swept], "outputs": [*sweep_views[1:], swept], **STEPPER}
    sweep_call |= {"show_progress": "full", "show_progress_on": sweep_views[1]}
    # The dial and the bar's slider are one: `release` follows hands only, so they cannot chase each other.
    bar.guidance_scale.change(lambda s: s, bar.guidance_scale, dial, show_progress="hidden",
                              queue=False, api_visibility="private")  # fmt: skip
    turned = dial.release(lambda s: s, dial, bar.guidance_scale, show_progress="hidden", queue=False,
                          api_visibility="private")  # fmt: skip
    rerun_call = {"inputs": inputs, "outputs": dial_outputs, "trigger_mode": "multiple", **STEPPER}
    turned.then(rerun, **rerun_call).then(sweep_first, **sweep_call)
    tab.select(enter, inputs, dial_outputs, **STEPPER).then(sweep_first, **sweep_call)
    sweep_views[0].click(sweep, trigger_mode="multiple", **sweep_call)
    gr.on([away[0].click, away[1].submit], _away_handler(t), [*inputs, away[1]], away[2],
          trigger_mode="multiple", **STEPPER)  # fmt: skip
    stop.click(lambda slot: slot.stop(), bar.run, queue=False, api_visibility="private")


def _sweep_section(t: Texts) -> tuple[gr.Button, gr.HTML, gr.Plot, gr.HTML]:
    section(t("guidance.sweep_title"), t("guidance.sweep_hint"))
    button = gr.Button(t("guidance.sweep"), elem_id="sweep")
    with gr.Column(elem_classes="sweep-scroll", elem_id="guidance-sweep"):
        row = gr.HTML(
            html_template=_ROW_HTML,
            css_template=_ROW_CSS,
            apply_default_css=False,
            js_on_load=None,
        )
        figure = plot(t("guidance.sweep_alt"))
    summary = trace_html("guidance-sweep-summary", t("guidance.sweep_title"))
    return button, row, figure, summary


def _away_section(t: Texts) -> tuple[gr.Button, gr.Textbox, gr.HTML]:
    section(t("guidance.negative_title"), t("guidance.negative_hint"))
    with gr.Row(equal_height=False, elem_classes="away-row"):
        text = gr.Textbox(
            t("guidance.negative_default"), label=t("guidance.negative_prompt"), elem_id="away-text",
            elem_classes="sv-text", scale=3,
        )  # fmt: skip
        button = gr.Button(t("guidance.negative"), elem_id="away", scale=2)
    return button, text, trace_html("guidance-away", t("guidance.negative_title"), away_idle(t))


def _request(trace: Trace | None, prompt: str, negative: str, seed: int, scale: float, steps: int,
             model: str) -> ImageRequest:  # fmt: skip
    """What the bar asks for; the scheduler stays the one of the picture that is shown."""
    scheduler = trace.request.scheduler if trace else SCHEDULERS[0]
    return ImageRequest(prompt, negative or "", seed, scale, steps, scheduler, model).validated()


def _dial_handlers(t: Texts) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What letting go of the dial does, and what opening the tab does."""

    @explained(t)
    def rerun(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot = inputs
        yield from turn(_request(trace, *values), trace, slot, t)

    @explained(t)
    def enter(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot = inputs
        if slot.busy:
            yield gr.skip()
            return
        if trace is None:
            request = _request(None, *values)
            example = example_if_ready(request)
            if example is None:
                yield from turn(request, None, slot, t)
                return
            slot.shown, trace = example, example[0]
        yield _show(trace, None, slot, t)

    return rerun, enter


def turn(request: ImageRequest, previous: Trace | None, slot: RunSlot, t: Texts) -> Iterator[Any]:
    """Draw a picture again at another scale, beside the one before.

    Args:
        request: checked.
        previous: this visitor's trace before.
        slot: this visitor's; a run in it ends.
        t: texts.

    Yields:
        Values for the dial's pictures, the sum of pictures, the stop button and the trace.
    """
    run = slot.begin()
    before = (encode(previous.image), previous.request.guidance_scale) if previous else None
    steps: list[DenoiseStep] = []
    guided: list[str] = []
    page = dial_view(request, "", t("image.waiting"), before, t)
    yield page, gr.skip(), gr.update(interactive=True), gr.skip()
    try:
        with closing(run.steps(request)) as arriving:
            for step in arriving:
                steps.append(step)
                guided.append(guided_uri(step, request.model))
                status = t("guidance.now_step", step=step.index + 1, total=step.total)
                yield dial_view(request, guided[-1], status, before, t), gr.skip(), gr.skip(), gr.skip()
        if run.superseded:
            return
        trace = image.finish(request, steps) if steps else previous
        if trace is not None:
            slot.frames_of(trace, guided if steps else ())
    except Exception:
        yield _restore(previous, slot, t)
        raise
    finally:
        run.finished = True
    if not run.superseded:
        yield _show(trace, before, slot, t) if trace and steps else _restore(previous, slot, t)


def _restore(previous: Trace | None, slot: RunSlot, t: Texts) -> tuple[Any, ...]:
    """What was there before a run that drew nothing."""
    if previous is not None:
        return _show(previous, None, slot, t)
    return "", "", gr.update(interactive=False), gr.skip()


def _show(trace: Trace, before: tuple[str, float] | None, slot: RunSlot, t: Texts) -> tuple[Any, ...]:
    last = trace.steps[-1]
    early = last.index + 1 < last.total
    status = t("guidance.run_stopped", step=last.index + 1, total=last.total) if early else ""
    return (
        dial_view(trace.request, encode(trace.image), status, before, t),
        sum_view(trace, slot.frames_of(trace), t),
        gr.update(interactive=False),
        trace,
    )


def _sweep_handlers(t: Texts) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What the sweep's button does, and what happens when the tab has none to show yet."""

    def views(request: ImageRequest, sweep: GuidanceSweep) -> tuple[Any, ...]:
        return sweep_row(sweep, t), sweep_figure(sweep, t), sweep_summary(request, sweep, t), request

    def compute(request: ImageRequest, slot: RunSlot, progress: gr.Progress) -> tuple[Any, ...]:
        run = slot.begin()

        def on_step(done: int, total: int) -> None:
            if run.ended:
                raise _EndedError
            progress((done, total), desc=t("guidance.sweep_progress", step=done, total=total))

        try:
            return views(request, run_sweep(request, SCALES, on_step))
        except _EndedError:
            return (gr.skip(),) * 4
        finally:
            run.finished = True

    @explained(t)
    def sweep(prompt: str, negative: str, seed: int, scale: float, steps: int, model: str,
              trace: Trace | None, slot: RunSlot, swept: ImageRequest | None,
              progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008  # fmt: skip
        return compute(_request(trace, prompt, negative, seed, scale, steps, model), slot, progress)

    @explained(t)
    def sweep_first(prompt: str, negative: str, seed: int, scale: float, steps: int, model: str,
                    trace: Trace | None, slot: RunSlot, swept: ImageRequest | None,
                    progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008  # fmt: skip
        if swept is not None or trace is None or slot.busy:
            return (gr.skip(),) * 4
        if compute_example_sweep.cache_info().currsize and trace.request == example_request():
            return views(trace.request, compute_example_sweep())
        return compute(trace.request, slot, progress)

    return sweep, sweep_first


def _away_handler(t: Texts) -> Callable[..., Any]:
    @explained(t)
    def compare(*inputs: Any) -> Iterator[str]:
        *values, trace, slot, away = inputs
        request = replace(_request(trace, *values), negative_prompt=away or "").validated()
        yield from compare_without_and_with(request, slot, t)

    return compare


def compare_without_and_with(request: ImageRequest, slot: RunSlot, t: Texts) -> Iterator[str]:
    """Draw one seed twice, without and with the request's negative prompt, side by side.

    Args:
        request: checked.
        slot: this visitor's; a run in it ends.
        t: texts.

    Yields:
        The view after every step of both.
    """
    run = slot.begin()
    yield away_view(request, None, t("image.waiting"), t)
    plain = replace(request, negative_prompt="")
    try:
        with closing(run.steps(plain)) as without, closing(run.steps(request)) as steered:
            for pair in zip(without, steered, strict=False):
                left, right = (guided_uri(step, request.model) for step in pair)
                status = t("guidance.now_step", step=pair[0].index + 1, total=pair[0].total)
                yield away_view(request, (left, right), status, t)
        if run.ended:
            return
        pictures = [image.decode(step.latents, request.model)[0] for step in pair]
    finally:
        run.finished = True
    remark = t("guidance.negative_change", change=number(change_between(*pictures), t))
    yield away_view(request, (encode(pictures[0]), encode(pictures[1])), remark, t)


def guidance_sweep(
    prompt: str = BarValues.prompt,
    negative_prompt: str = "",
    seed: int = 0,
    scales: list[float] = list(SCALES),  # noqa: B006  read only; shown to callers as the default
    num_inference_steps: int = 20,
    scheduler: str = "ddim",
    model: str = "classroom-image",
) -> dict[str, Any]:
    """Draw one text at several guidance scales from the same noise, and score each picture with CLIP.

    Args:
        prompt: what the pictures shall show, in English for the classroom model; up to 2000 characters.
        negative_prompt: what to steer away from, such as "text, watermark, blur"; may be empty.
        seed: 0 to 4294967295; decides the noise that all pictures start from.
        scales: one to eight guidance scales, each 0 to 20; 0 ignores the prompt, 1 is the plain
            conditional model.
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
        "images": [_base64(picture) for picture in sweep.images],
    }


def _base64(picture: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


API: dict[str, Callable[..., Any]] = {"guidance_sweep": guidance_sweep}
