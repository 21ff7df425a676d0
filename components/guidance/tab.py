"""The guidance tab: what the text wants, as the difference that it makes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from components.guidance.sweep import build_sweep_section, guidance_sweep, wire_sweep
from components.guidance.view import away_idle, away_view, dial_sentence, dial_view, refusal, sum_view
from components.page.picture_tabs import open_tab, request_like
from components.page.prompt_bar import GUIDANCE, BarValues, PromptBar
from components.page.vocabulary import reads, watch
from components.runs.batch import TrialViews, show_trial
from components.runs.exact import exact_on_demand
from components.runs.frames import Frames, encode
from components.runs.queues import STEPPER
from components.runs.slot import RunSlot
from components.runs.stream import RunViews, sent_once, show_run
from components.runs.trace_view import note
from components.ui.errors import explained
from components.ui.fields import slider
from components.ui.language import Texts
from components.ui.layout import ON_ENTER, live_html, tab_frame
from components.ui.numbers import short
from components.ui.presets import preset_chips, wire_presets
from components.ui.scene import scene
from pipelines.image import image
from pipelines.image.request import DenoiseStep, ImageRequest, Trace
from pipelines.serving.catalogue import default_id


def build_guidance_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and wire it.

    Args:
        bar: prompt and numbers come from it; the trace is shared with the image tab.
    """
    with tab_frame(t, "guidance") as tab:
        with scene(t, "guidance.live", kind="lead"):
            with gr.Row(equal_height=False, elem_classes="dial-row"):
                dial = slider(
                    *GUIDANCE, value=BarValues().guidance_scale, step=0.5, label=t("guidance.scale"),
                    info=t("guidance.scale_info"), elem_id="guidance-dial", scale=4, min_width=320,
                )  # fmt: skip
                draw = gr.Button(t("image.generate"), variant="primary", elem_id="guidance-draw",
                                 elem_classes=ON_ENTER, scale=1, min_width=180)  # fmt: skip
                stop = gr.Button(
                    t("guidance.stop"), variant="stop", elem_id="guidance-stop", interactive=False
                )
            told = live_html("runs/trace", "guidance-told", value=_told(default_id("image"), t), script=False)
            live = live_html("runs/trace", "guidance-live", t("guidance.live_title"))
        with scene(t, "guidance.sum"):
            equation = live_html("runs/trace", "guidance-sum", t("guidance.sum_title"))
            exact_on_demand(equation, bar.run, "guidance-exact")
        sweep = build_sweep_section(t)
        away = _away_section(t)
    watch(away.text)
    bar.keep("guidance", away=away.text)
    inputs = [dial if part is bar.guidance_scale else part for part in bar.run_inputs]
    dial_outputs = [live, equation, stop, bar.trace]
    rerun, enter = _dial_handlers(t)
    # The dial and the bar's slider are one: `release` follows hands only, so they cannot chase each other.
    bar.guidance_scale.change(lambda s: s, bar.guidance_scale, dial, show_progress="hidden",
                              queue=False, api_visibility="private")  # fmt: skip
    bar.image_model.change(explained(t)(lambda model: _told(model, t)), bar.image_model, told, queue=False,
                           show_progress="hidden", api_visibility="private")  # fmt: skip
    turned = dial.release(lambda s: s, dial, bar.guidance_scale, show_progress="hidden", queue=False,
                          api_visibility="private")  # fmt: skip
    rerun_call = {"inputs": inputs, "outputs": dial_outputs, "trigger_mode": "multiple", **STEPPER}
    turned_and_drawn = turned.then(rerun, **rerun_call)
    drawn = draw.click(rerun, **rerun_call)
    entered = tab.select(enter, inputs, dial_outputs, **STEPPER)
    wire_sweep(sweep, inputs, [turned_and_drawn, drawn, entered], t)
    away_call: dict[str, Any] = {
        "fn": _away_handler(t), "inputs": [*inputs, away.text, away.kept],
        "outputs": [away.view, away.kept, away.stop], "trigger_mode": "multiple", **STEPPER,
    }  # fmt: skip
    gr.on([away.start.click, away.text.submit], **away_call)
    for chosen in wire_presets(away.presets, list(AWAY.values()), [bar.prompt, away.text]):
        chosen.then(**away_call)
    for button in (stop, away.stop):
        button.click(lambda slot: slot.stop(), bar.run, queue=False, api_visibility="private")


def _told(model: str, t: Texts) -> str:
    """What the dial does in the model that the bar names, where it is not guidance as the page tells it."""
    said = dial_sentence(model, t)
    return note(said) if said else ""


# Prompt, negative prompt and what they show: the "no" of a negative prompt is not read, nor that of a prompt.
AWAY = {
    "no_prompt": ("a cat, no text", "text"),
    "text": ("a cat, text", "text"),
    "no_text": ("a cat, text", "no text"),
    "lecture": ("a cat", "no text, no blur, no watermark"),
}


@dataclass(frozen=True)
class _Away:
    """The components of the comparison without and with a negative prompt."""

    presets: list[gr.Button]
    text: gr.Textbox
    start: gr.Button
    stop: gr.Button
    view: gr.HTML
    kept: gr.State


def _away_section(t: Texts) -> _Away:
    with scene(t, "guidance.negative", filled_by="away"):
        titles = [t(f"guidance.preset_{name}") for name in AWAY]
        presets = preset_chips(t("guidance.presets"), titles, "away-preset")
        with gr.Row(equal_height=False, elem_classes="away-row"):
            text = gr.Textbox(
                t("guidance.negative_default"), label=t("guidance.negative_prompt"), elem_id="away-text",
                elem_classes=["sv-text", reads("image")], scale=3, min_width=320,
            )  # fmt: skip
            start = gr.Button(t("guidance.negative"), elem_id="away", scale=2)
            stop = gr.Button(
                t("guidance.stop"), variant="stop", elem_id="away-stop", interactive=False, scale=0
            )
        view = live_html("runs/trace", "guidance-away", t("guidance.negative_title"), away_idle(t))
    return _Away(presets, text, start, stop, view, gr.State(None))


def _dial_handlers(t: Texts) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What letting go of the dial does, and what opening the tab does."""

    @explained(t)
    @sent_once
    def rerun(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot = inputs
        request = request_like(trace, *values)
        if said := refusal(request, t):
            yield note(said), *(gr.skip(),) * 3
        else:
            yield from turn(request, trace, slot, t)

    @explained(t)
    @sent_once
    def enter(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot = inputs
        yield from open_tab(
            trace, lambda: request_like(None, *values), slot, t,
            waiting=lambda reel: _turning(reel, None, t), show=lambda shown: _show(shown, None, slot, t),
            restored=lambda: _restore(None, slot, t), run=lambda request, _: turn(request, None, slot, t),
        )  # fmt: skip

    return rerun, enter


def turn(request: ImageRequest, previous: Trace | None, slot: RunSlot, t: Texts) -> Iterator[Any]:
    """Draw a picture again at another scale, beside the one before.

    Args:
        request: checked.
        previous: this visitor's trace before.

    Yields:
        Values for the dial's pictures, the sum of pictures, the stop button and the trace.
    """
    before = (encode(previous.image), previous.request.guidance_scale) if previous else None
    views = RunViews(
        running=lambda reel: _turning(reel, before, t),
        finished=lambda trace: _show(trace, before, slot, t),
        restored=lambda: _restore(previous, slot, t),
    )
    yield from show_run(request, slot, views)


def _turning(reel: Frames, before: tuple[str, float] | None, t: Texts) -> tuple[Any, ...]:
    if not reel.steps:
        page = dial_view(reel.request, "", t("image.waiting"), before, t)
        return page, gr.skip(), gr.update(interactive=True), gr.skip()
    last = reel.steps[-1]
    status = t("guidance.now_step", step=last.index + 1, total=last.total)
    return dial_view(reel.request, reel.guided[-1], status, before, t), gr.skip(), gr.skip(), gr.skip()


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


def _away_handler(t: Texts) -> Callable[..., Any]:
    @explained(t)
    def compare(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot, away, kept = inputs
        request = replace(request_like(trace, *values), negative_prompt=away or "").validated()
        if said := refusal(request, t):
            slot.silence("away")
            yield note(said), None, gr.update(interactive=False)
            return
        yield from compare_without_and_with(request, kept, slot, t)

    return compare


def compare_without_and_with(
    request: ImageRequest, kept: tuple[Any, ...] | None, slot: RunSlot, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Draw one seed twice, without and with the request's negative prompt, side by side.

    Args:
        request: checked.
        kept: the values of the comparison before.

    Yields:
        Values for the view, what is kept and the stop button.
    """

    def running(sources: Sequence[str], status: str) -> tuple[Any, ...]:
        return (away_view(request, (sources[0], sources[1]) if sources else None, status, t),)

    def whole(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        one, other = image.decode_steps(steps, request.model)
        remark = t("guidance.negative_change", change=short(image.picture_change(one, other), t))
        return (away_view(request, (encode(one), encode(other)), remark, t),)

    views = TrialViews(running, whole, (away_idle(t),))
    requests = [replace(request, negative_prompt=""), request]
    yield from show_trial(requests, slot, "away", views, kept, t)


API: dict[str, Callable[..., Any]] = {"guidance_sweep": guidance_sweep}
