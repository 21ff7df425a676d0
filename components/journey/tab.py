"""The landing tab: one prompt at all stations on its way to a picture, each a door to its tab."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from components.journey.audio_row import build_audio_row
from components.journey.time_row import fill_when_seen, new_shown, opens_elsewhere
from components.journey.video_row import build_video_row
from components.journey.view import HTML, READING, STEERING, reading_view, steering_view, waiting_view
from components.page.address import asked_tab
from components.page.picture_tabs import open_tab, request_like
from components.page.prompt_bar import DEFAULT_PROMPT, PromptBar, run_values, values_from_query
from components.runs.arguments import ClipModel, GuidanceScale, ImageModel, Steps
from components.runs.frames import Frames
from components.runs.queues import STEPPER, TEXT, endpoint
from components.runs.slot import RunSlot
from components.runs.stream import RunViews, show_run
from components.ui.arguments import Seed, Text
from components.ui.errors import explained, message
from components.ui.language import Texts
from components.ui.layout import ON_ENTER, live_html, tab_frame
from components.ui.scene import scene
from pipelines import journey
from pipelines.image import image
from pipelines.image.request import ImageRequest, Trace
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError


@dataclass(frozen=True)
class Landing:
    """How the tab fills itself when the page opens at it.

    Attributes:
        follow, enter: handlers of the upper and of the lower row of stations.
        draw_inputs, reading, outputs: their components.
        drawn: has to be told of each event that draws the lower row, so that film and sound follow.
    """

    follow: Callable[..., Any]
    enter: Callable[..., Any]
    draw_inputs: list[Any]
    reading: gr.HTML
    outputs: list[Any]
    drawn: Callable[[Any], None]

    def open_at(self, page: gr.Blocks) -> None:
        """Fill the stations when the page loads, unless its address names another tab.

        What the bar says is read from the address, too: the bar itself may not have been told yet.
        """

        def read(request: gr.Request) -> Any:
            if opens_elsewhere(request):
                return gr.skip()
            bar = values_from_query(request.query_params)
            return self.follow(bar.prompt, bar.clip_model, bar.image_model)

        def draw(trace: Trace | None, slot: RunSlot, request: gr.Request) -> Iterator[Any]:
            if opens_elsewhere(request):
                yield gr.skip()
                return
            values = run_values(values_from_query(request.query_params))
            yield from self.enter(*values, trace, slot)

        page.load(read, None, self.reading, **TEXT)
        self.drawn(page.load(draw, self.draw_inputs[-2:], self.outputs, **STEPPER))


def build_journey_tab(bar: PromptBar, t: Texts) -> Landing:
    """Draw the tab and wire it.

    Args:
        bar: prompt and numbers come from it; the trace is shared with the tabs about pictures.

    Returns:
        What to do when the page opens.
    """
    with tab_frame(t, "journey") as tab:
        with scene(t, "journey.reading", t("journey.reading"), t("journey.claim"), kind="tab"):
            reading = live_html(
                "journey/view", "journey-reading", t("journey.reading"), waiting_view(READING, t)
            )
        with scene(t, "journey.steering", t("journey.steering"), kind="open"):
            with gr.Row(elem_classes="journey-actions", equal_height=True):
                start = gr.Button(
                    t("journey.draw"), variant="primary", elem_id="journey-draw", elem_classes=ON_ENTER,
                    scale=0, min_width=320,
                )  # fmt: skip
                stop = gr.Button(
                    t("image.stop"), variant="stop", interactive=False, elem_id="journey-stop", scale=0
                )
            steering = live_html(
                "journey/view", "journey-steering", t("journey.steering"), waiting_view(STEERING, t)
            )
        with scene(t, "journey.time", t("journey.time_title"), kind="open"):
            shown = new_shown()
            drawn = fill_when_seen(bar, shown, [build_video_row(shown, t), build_audio_row(shown, t)])
        gr.HTML(HTML.lessons(t), apply_default_css=False)
    read_inputs = [bar.prompt, bar.clip_model, bar.image_model]
    draw_inputs = bar.run_inputs
    outputs = [steering, stop, bar.trace]
    follow, draw, enter, entered = _handlers(t)
    changes = [part.change for part in read_inputs]
    bar.follow(tab, changes, follow, read_inputs, reading, even_closed=True, **TEXT)
    drawn(start.click(draw, draw_inputs, outputs, trigger_mode="multiple", **STEPPER))
    drawn(tab.select(entered, draw_inputs, outputs, **STEPPER))
    stop.click(lambda slot: slot.stop(), bar.run, queue=False, api_visibility="private")
    return Landing(follow, enter, draw_inputs, reading, outputs, drawn)


def _handlers(t: Texts) -> tuple[Callable[..., Any], ...]:
    """What typing, the button, and opening the tab do."""

    @explained(t)
    def follow(prompt: str, clip_model: str, image_model: str) -> str:
        try:
            return reading_view(journey.read(prompt or "", clip_model, image_model), t)
        except InputError as error:
            return HTML.refused(message(error, t))

    @explained(t)
    def draw(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot = inputs
        yield from journey_run(request_like(trace, *values), trace, slot, t)

    @explained(t)
    def enter(*inputs: Any) -> Iterator[Any]:
        *values, trace, slot = inputs
        yield from open_tab(
            trace, lambda: request_like(None, *values), slot, t,
            waiting=lambda reel: _running(reel.request, reel, t), show=lambda shown: _show(shown, slot, t),
            restored=lambda: _restore(None, slot, t),
            run=lambda request, _: journey_run(request, None, slot, t),
        )  # fmt: skip

    @explained(t)
    def entered(prompt: str, negative: str, seed: int, scale: float, steps: int, model: str,
                trace: Trace | None, slot: RunSlot, request: gr.Request) -> Iterator[Any]:  # fmt: skip
        """Gradio also tells of the first tab's selection while the page opens, at whatever tab it does.

        Until the bar has been told what the address says, the address is what counts.
        """
        values: tuple[Any, ...] = (prompt, negative, seed, scale, steps, model)
        if asked_tab(request.query_params) != "journey":
            yield gr.skip()
            return
        if trace is None:
            values = run_values(values_from_query(request.query_params))
        yield from enter(*values, trace, slot)

    return follow, draw, enter, entered


def journey_run(request: ImageRequest, previous: Trace | None, slot: RunSlot, t: Texts) -> Iterator[Any]:
    """Draw a picture for one visitor, all stations of the lower row live.

    Args:
        request: checked.
        previous: this visitor's trace before.

    Yields:
        Values for the lower row, the stop button and the trace.
    """
    request = replace(request, look_inside=True)
    views = RunViews(
        running=lambda reel: _running(request, reel, t),
        finished=lambda trace: _show(trace, slot, t),
        restored=lambda: _restore(previous, slot, t),
    )
    yield from show_run(request, slot, views)


def _running(request: ImageRequest, reel: Frames, t: Texts) -> tuple[Any, ...]:
    return steering_view(request, reel, None, None, t), gr.update(interactive=True), gr.skip()


def _show(trace: Trace, slot: RunSlot, t: Texts) -> tuple[Any, ...]:
    page = steering_view(trace.request, slot.frames_of(trace), trace, journey.judge(trace), t)
    return page, gr.update(interactive=False), trace


def _restore(previous: Trace | None, slot: RunSlot, t: Texts) -> tuple[Any, ...]:
    """What was there before a run that drew nothing."""
    if previous is not None:
        return _show(previous, slot, t)
    return waiting_view(STEERING, t), gr.update(interactive=False), gr.skip()


@endpoint(STEPPER)
def follow_prompt(
    prompt: Text = DEFAULT_PROMPT,
    seed: Seed = 0,
    guidance_scale: GuidanceScale = 5.0,
    num_inference_steps: Steps = 20,
    clip_model: ClipModel = "classroom-clip",
    image_model: ImageModel = "classroom-image",
) -> dict[str, Any]:
    """Follow one prompt from its tokens to its picture, in numbers.

    Args:
        prompt: in English for the classroom models; up to 2000 characters.
        seed: 0 to 4294967295.
        guidance_scale: 0 to 20.
        num_inference_steps: 1 to 100.
        clip_model: id of a CLIP of the catalogue.
        image_model: id of a picture model of the catalogue.

    Returns:
        "tokens" with their "ids"; "nearest" captions of the classroom world; "layers" and "heads" of the text
        transformer; "sequence" `[places, width]`, the size of what the picture model is handed; "clip_score"
        of the picture, a cosine, and "usual_clip_score", its mean with captions that it was not drawn for.
    """
    reading = journey.read(prompt, catalogue.entry(clip_model, "clip").id, image_model)
    trace = image.run(ImageRequest(prompt, "", seed, guidance_scale, num_inference_steps, model=image_model))
    context, verdict = reading.context, journey.judge(trace)
    return {
        "tokens": [piece.text for piece in context.tokens],
        "ids": [piece.id for piece in context.tokens],
        "nearest": [near.world.text for near in reading.neighbours],
        "layers": context.attention.shape[0],
        "heads": context.attention.shape[1],
        "sequence": list(reading.vector.sequence.shape),
        "clip_score": round(verdict.score, 6),
        "usual_clip_score": round(verdict.usual, 6),
    }


API: dict[str, Callable[..., Any]] = {"follow_prompt": follow_prompt}
