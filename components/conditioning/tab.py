"""The conditioning tab: how text and time modulate the network, and what is lost when a way is cut off."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from components.conditioning.view import (
    EFFECTS,
    cuts_running,
    cuts_view,
    effects_figures,
    modulation_figures,
    modulation_sentences,
    switch_figure,
    switch_one,
    switch_row,
)
from components.page.picture_tabs import open_tab, request_like
from components.page.prompt_bar import DEFAULT_PROMPT, FIRST, BarValues, PromptBar
from components.runs.arguments import GuidanceScale, ImageModel, Steps, SwitchSteps
from components.runs.batch import TrialViews, show_trial
from components.runs.batch_view import running_row, running_status
from components.runs.frames import Frames, encode, png_base64
from components.runs.queues import STEPPER, endpoint
from components.runs.slot import RunSlot
from components.runs.stream import RunViews, show_run
from components.runs.trace_view import drawn_from, facts, note
from components.runs.unasked import runs_unasked
from components.ui.arguments import Seed, Text
from components.ui.errors import explained
from components.ui.fields import slider
from components.ui.language import Texts
from components.ui.layout import ON_ENTER, is_open, live_html, tab_frame
from components.ui.plots import plot
from components.ui.presets import preset_chips, wire_presets
from components.ui.scene import scene
from pipelines.clip.embeddings import counterpart
from pipelines.image import conditioning as pipeline
from pipelines.image.cross_attention import has_maps
from pipelines.image.request import DenoiseStep, ImageRequest, Trace
from pipelines.image.steering import Steering
from pipelines.serving import catalogue

OTHER = "A red car in the snow."  # of programs that name no second prompt
_SIDES = ("A cat left of a tree.", "A cat right of a tree.", 3)
# Swaps that are one click away: first and second prompt, seed, and the step of the swap.
PRESETS = {
    "sides_2": (*_SIDES, 2),
    "sides_8": (*_SIDES, 8),
    "night_16": (FIRST.prompt, "A red car on the beach, at night.", FIRST.seed, 16),
}


@dataclass(frozen=True)
class _Parts:
    """The tab's components."""

    draw: gr.Button
    draw_stop: gr.Button
    effects: list[gr.Plot]
    status: gr.HTML
    cut: gr.Button
    cut_stop: gr.Button
    cuts: gr.HTML
    presets: list[gr.Button]
    at: gr.Slider
    switch: gr.Button
    switch_stop: gr.Button
    row: gr.HTML
    scores: gr.Plot
    one: gr.HTML
    one_draw: gr.Button


def second_prompt(prompt: str, prompt_b: str) -> str:
    """The prompt that takes over: the bar's second, or the first with one word changed."""
    return prompt_b.strip() or counterpart(prompt)


def build_conditioning_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and wire it.

    Args:
        bar: prompts and numbers come from it; the trace is shared with the other tabs about pictures.
    """
    with tab_frame(t, "conditioning") as tab:
        parts = _layout(t)
        cuts_kept, switches_kept = gr.State(None), gr.State(None)
        opened, shown = gr.Checkbox(True, visible=False), gr.State(False)
    bar.keep("conditioning", at=parts.at)
    inputs = bar.run_inputs
    draw, enter, cut, switch, one = _handlers(t)
    outputs = [*parts.effects, parts.status, parts.draw_stop, bar.trace]
    entered = tab.select(enter, inputs, outputs, **STEPPER)
    parts.draw.click(draw, inputs, outputs, trigger_mode="multiple", **STEPPER)
    parts.cut.click(
        cut, [*inputs, cuts_kept], [parts.cuts, cuts_kept, parts.cut_stop], trigger_mode="multiple", **STEPPER
    )
    parts.switch.click(
        switch, [*inputs, bar.prompt_b, switches_kept],
        [parts.row, parts.scores, switches_kept, parts.switch_stop], trigger_mode="multiple", **STEPPER,
    )  # fmt: skip
    one_call = {
        "fn": one, "inputs": [*inputs, bar.prompt_b, parts.at], "outputs": parts.one, **STEPPER,
        "trigger_mode": "multiple",
    }  # fmt: skip
    gr.on([parts.at.release, parts.one_draw.click], **one_call)
    entered.then(
        _first(one), [opened, shown, *inputs, bar.prompt_b, parts.at], [parts.one, shown],
        js=is_open("conditioning"), **STEPPER,
    )  # fmt: skip
    set_by_preset = [bar.prompt, bar.prompt_b, bar.seed, parts.at]
    for chosen in wire_presets(parts.presets, list(PRESETS.values()), set_by_preset):
        chosen.then(**one_call)
    for stop in (parts.draw_stop, parts.cut_stop, parts.switch_stop):
        stop.click(lambda slot: slot.stop(), bar.run, queue=False, api_visibility="private")


def _first(one: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """The first picture with two prompts: drawn once, when the tab is open and no run is under way.

    A model of the hub waits for a click.
    """

    def first(is_open: bool, shown: bool, *inputs: Any) -> Iterator[Any]:
        model, slot = inputs[5], inputs[-3]
        if shown or not is_open or slot.busy or not runs_unasked(model):
            yield gr.skip(), gr.skip()
            return
        for view in one(*inputs):
            yield view, True

    return first


def _layout(t: Texts) -> _Parts:
    with scene(t, "conditioning.switch", kind="lead", stage="beside"):
        titles = [t(f"conditioning.preset_{name}") for name in PRESETS]
        presets = preset_chips(t("conditioning.presets"), titles, "conditioning-preset")
        at = slider(
            0, BarValues().num_inference_steps, value=6, step=1, label=t("conditioning.at"),
            info=t("conditioning.at_info"), elem_id="conditioning-at",
        )  # fmt: skip
        one = live_html("runs/trace", "conditioning-one", t("conditioning.switch_title"))
        with gr.Row():
            one_draw = gr.Button(
                t("image.generate"), variant="primary", elem_id="conditioning-one-draw",
                elem_classes=ON_ENTER, scale=0, min_width=230,
            )  # fmt: skip
        with gr.Row():
            switch = gr.Button(
                t("conditioning.switch"), elem_id="conditioning-switch", scale=0, min_width=470
            )
            switch_stop = _stop_button("conditioning-switch-stop", t)
        with gr.Column(elem_classes="sv-wide"):
            row = live_html("runs/trace", "conditioning-row", t("conditioning.switch_title"))
            scores = plot(t("conditioning.switch_alt"), elem_id="conditioning-scores", visible=False)
    with scene(t, "conditioning.effects", stage="beside"):
        with gr.Row():
            draw = gr.Button(t("image.generate"), variant="primary", elem_id="conditioning-draw",
                             elem_classes=ON_ENTER, scale=0, min_width=470)  # fmt: skip
            draw_stop = _stop_button("conditioning-draw-stop", t)
        status = live_html("runs/trace", "conditioning-status", t("conditioning.effects_title"))
        effects = []
        with gr.Column(elem_id="conditioning-effects", elem_classes="sv-result"):
            for pair in (EFFECTS[:2], EFFECTS[2:]):
                with gr.Row():
                    effects += [_heat_map(name, t) for name in pair]
    with scene(t, "conditioning.cut", filled_by="conditioning-cut"):
        with gr.Row():
            cut = gr.Button(t("conditioning.cut"), elem_id="conditioning-cut", scale=0, min_width=470)
            cut_stop = _stop_button("conditioning-cut-stop", t)
        cuts = live_html(
            "conditioning/view", "conditioning-cuts", t("conditioning.cut_title"), also=["runs/trace"],
            script=False,
        )  # fmt: skip
    return _Parts(
        draw,
        draw_stop,
        effects,
        status,
        cut,
        cut_stop,
        cuts,
        presets,
        at,
        switch,
        switch_stop,
        row,
        scores,
        one,
        one_draw,
    )


def _heat_map(name: str, t: Texts) -> gr.Plot:
    with gr.Column(min_width=320):  # so wide, two do not fit on a telephone and stand one below the other
        return plot(t("conditioning.effects_alt", name=t(f"conditioning.{name}")))


def _stop_button(elem_id: str, t: Texts) -> gr.Button:
    return gr.Button(t("image.stop"), variant="stop", interactive=False, scale=0, elem_id=elem_id)


def _handlers(t: Texts) -> tuple[Callable[..., Any], ...]:
    """What the first button, opening the tab, the other two buttons and the slider do."""

    @explained(t)
    def draw(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot = inputs
        yield from effects_run(request_like(trace, *values), slot, t)

    @explained(t)
    def enter(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot = inputs
        yield from open_tab(
            trace, lambda: request_like(None, *values), slot, t, enough=_looked_inside,
            waiting=lambda reel: _unchanged(_progress(reel, t), stoppable=True),
            show=lambda shown: _effects(shown, t), restored=lambda: _unchanged("", stoppable=False),
            # the same picture once more, to the bit, this time with a look inside
            run=lambda request, _: effects_run(request, slot, t),
        )  # fmt: skip

    @explained(t)
    def cut(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot, kept = inputs
        request = request_like(trace, *values)
        e = catalogue.entry(request.model)
        if e.is_transformer:  # said in the place of the pictures, before anything is loaded
            slot.silence("cuts")
            yield note(t("errors.blocks_off_closed", title=e.title)), None, gr.update(interactive=False)
            return
        yield from cuts_run(request, kept, slot, t)

    @explained(t)
    def switch(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot, prompt_b, kept = inputs
        request = request_like(trace, *values)
        yield from switches_run(request, second_prompt(request.prompt, prompt_b), kept, slot, t)

    @explained(t)
    def one(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot, prompt_b, at = inputs
        request = request_like(trace, *values)
        other = second_prompt(request.prompt, prompt_b)
        levers = Steering(prompt_b=other, switch_at=min(int(at), request.num_inference_steps))
        yield from switch_run(replace(request, steering=levers).validated(), slot, t)

    return draw, enter, cut, switch, one


def effects_run(request: ImageRequest, slot: RunSlot, t: Texts) -> Iterator[Any]:
    """Draw a picture for one visitor and note how text and time act in it.

    Args:
        request: checked.

    Yields:
        Values for the figures, the status, the stop button and the trace.
    """
    views = RunViews(
        running=lambda reel: _unchanged(_progress(reel, t), stoppable=True),
        finished=lambda trace: _effects(trace, t),
        restored=lambda: _unchanged("", stoppable=False),
    )
    yield from show_run(replace(request, look_inside=True), slot, views)


def _progress(reel: Frames, t: Texts) -> str:
    total = reel.request.num_inference_steps
    text = t("image.step", step=len(reel.steps), total=total) if reel.steps else t("image.waiting")
    return note(text, live=True)


def _unchanged(status: str, stoppable: bool) -> tuple[Any, ...]:
    return (*[gr.skip()] * len(EFFECTS), status, gr.update(interactive=stoppable), gr.skip())


def _looked_inside(trace: Trace) -> bool:
    return has_maps(trace) or pipeline.has_modulation(trace)


def _effects(trace: Trace, t: Texts) -> tuple[Any, ...]:
    hears = pipeline.hears_text(trace.request.model)
    effects, said = pipeline.block_effects(trace), ""
    if pipeline.has_modulation(trace):
        found = pipeline.modulation(trace)
        figures, said = modulation_figures(effects, found, hears, t), modulation_sentences(found, hears, t)
    else:
        figures = effects_figures(effects, hears, t)
    return (
        *figures,
        note(said, facts(trace.request, t)),
        gr.update(interactive=False),
        trace,
    )


def cuts_run(
    request: ImageRequest, kept: tuple[Any, ...] | None, slot: RunSlot, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Draw a picture for one visitor with one way of the text cut off at a time.

    Args:
        request: checked.
        kept: the values of the trial before.

    Yields:
        Values for the pictures, what is kept and the stop button.
    """
    cuts = pipeline.cut_requests(request)

    def running(sources: Sequence[str], status: str) -> tuple[Any, ...]:
        return (cuts_running(list(cuts), sources, status, t),)

    def whole(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        return (cuts_view(request, pipeline.finish_cuts(cuts, steps), t) + drawn_from(request),)

    yield from show_trial(list(cuts.values()), slot, "cuts", TrialViews(running, whole, ("",)), kept, t)


def switches_run(
    request: ImageRequest, other: str, kept: tuple[Any, ...] | None, slot: RunSlot, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Draw pictures for one visitor whose prompt gives way to another at different steps.

    Args:
        request: checked; its prompt is the first.
        other: the second prompt.
        kept: the values of the trial before.

    Yields:
        Values for the row of pictures, the plot, what is kept and the stop button.
    """
    points = pipeline.switch_points(request.num_inference_steps)
    requests = pipeline.switch_requests(request, other, points)
    captions = [t("conditioning.switch_picture", step=step) for step in points]
    hidden = gr.update(visible=False)

    def running(sources: Sequence[str], status: str) -> tuple[Any, ...]:
        return running_row(captions, sources) + running_status(status), hidden

    def whole(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        found = pipeline.finish_switches(requests, steps)
        figure = switch_figure(found, request.prompt, other, t)
        return switch_row(found, t) + drawn_from(request), gr.update(value=figure, visible=True)

    yield from show_trial(requests, slot, "switches", TrialViews(running, whole, ("", hidden)), kept, t)


def switch_run(request: ImageRequest, slot: RunSlot, t: Texts) -> Iterator[Any]:
    """Draw one picture whose prompt gives way to another, showing its steps as they come.

    Args:
        request: checked, with `switch_at`.

    Yields:
        The view of the picture. The visitor's trace stays the one of the prompt alone.
    """
    views = RunViews(
        running=lambda reel: (switch_one(request, reel.guided[-1] if reel.guided else "", reel, t),),
        finished=lambda trace: (switch_one(request, encode(trace.image), None, t) + drawn_from(request),),
        restored=lambda: ("",),
    )
    for shown in show_run(request, slot, views, place="switch-one"):
        yield shown[0]


@endpoint(STEPPER)
def switch_prompts(
    prompt: Text = DEFAULT_PROMPT,
    prompt_b: Text = OTHER,
    switch_at: SwitchSteps = [0, 5, 10, 15, 20],  # noqa: B006  read only; shown to callers as the default
    seed: Seed = 0,
    guidance_scale: GuidanceScale = 5.0,
    num_inference_steps: Steps = 20,
    model: ImageModel = "classroom-image",
) -> dict[str, Any]:
    """Draw one seed with two texts, of which the second takes over at some step.

    Args:
        prompt: the first text, in English for the classroom model.
        prompt_b: the second text.
        switch_at: one to sixteen steps from which the second steers, each 0 (it alone) to
            num_inference_steps (never).
        seed: 0 to 4294967295.
        guidance_scale: 0 to 20.
        num_inference_steps: 1 to 100.
        model: id of a picture model in the catalogue.

    Returns:
        "switch_at", "images" (PNG, base64) and "clip_scores" (cosine with the first and the second text,
        -1 to 1).
    """
    request = ImageRequest(prompt, "", seed, guidance_scale, num_inference_steps, model=model).validated()
    found = pipeline.switch_prompts(request, prompt_b, switch_at if isinstance(switch_at, list) else [])
    return {
        "switch_at": list(found.steps),
        "images": [png_base64(picture) for picture in found.images],
        "clip_scores": found.clip_scores.round(6).tolist(),
    }


@endpoint(STEPPER)
def cut_blocks(
    prompt: Text = DEFAULT_PROMPT,
    negative_prompt: Text = "",
    seed: Seed = 0,
    guidance_scale: GuidanceScale = 5.0,
    num_inference_steps: Steps = 20,
    model: ImageModel = "classroom-image",
) -> dict[str, Any]:
    """Draw a picture with one way of the text into the network cut off at a time.

    Args:
        prompt: what the picture shall show, in English for the classroom model.
        negative_prompt: what to steer away from; may be empty.
        seed: 0 to 4294967295.
        guidance_scale: 0 to 20.
        num_inference_steps: 1 to 100.
        model: id of a picture model in the catalogue.

    Returns:
        "cuts" ("none", names of U-Net blocks whose cross-attention was off, "all" of them, "time" for a time
        embedding that does not hear the prompt), "images" (PNG, base64), "changes" (mean absolute difference
        to the uncut picture, 0 to 255) and "clip_scores" (cosine with the prompt, -1 to 1).
    """
    request = ImageRequest(prompt, negative_prompt, seed, guidance_scale, num_inference_steps, model=model)
    found = pipeline.cut_blocks(request)
    return {
        "cuts": list(found.names),
        "images": [png_base64(picture) for picture in found.images],
        "changes": found.changes.round(4).tolist(),
        "clip_scores": found.clip_scores.round(6).tolist(),
    }


API: dict[str, Callable[..., Any]] = {"switch_prompts": switch_prompts, "cut_blocks": cut_blocks}
