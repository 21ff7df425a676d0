"""A lever between text and picture: a slider, the pictures at its stations, and CLIP's scores beneath."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.control_vector.figures import lever_figure
from components.control_vector.lever_view import (
    LEVERS,
    Extra,
    Strip,
    idle_view,
    scores_text,
    strip_view,
    unfinished_view,
)
from components.page.picture_tabs import request_like
from components.page.prompt_bar import PromptBar
from components.runs.batch import BatchViews, estimates, show_batch
from components.runs.frames import encode
from components.runs.queues import STEPPER
from components.runs.slot import RunSlot
from components.ui.errors import explained
from components.ui.fields import slider
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.plots import plot
from pipelines.image.control_vector import Drawn, at_blend, at_weight, finish
from pipelines.image.request import DenoiseStep, ImageRequest

STEM, ALSO = "control_vector/lever", ("runs/trace",)  # whose rules and script the views of this part have
AT = {"blend": at_blend, "weight": at_weight}
_NEAR = 0.006  # nearer to a station than that, its own picture is shown
# Moves through the pictures in the browser; `lever.js` listens.
_SCRUB = """(value) => { document.querySelector('#cv-%s-view .lever')
  ?.dispatchEvent(new CustomEvent('place', {detail: value, bubbles: true})); }"""


@dataclass(frozen=True)
class Asked:
    """What a click asks for.

    Attributes:
        requests: one per station, checked.
        texts: the two that CLIP holds the pictures against.
        names: how the page names them.
        remark: what has to be said about these pictures; may be empty.
    """

    requests: tuple[ImageRequest, ...]
    texts: tuple[str, str]
    names: tuple[str, str]
    remark: str

    def strip(self, drawn: Drawn) -> Strip:
        """The drawn pictures as the page keeps them."""
        sources = tuple(encode(picture) for picture in drawn.images)
        return Strip(self.requests, sources, drawn.clip_scores, self.texts, self.names, self.remark)


@dataclass(frozen=True)
class Lever:
    """A lever's part of the tab.

    Attributes:
        name: "blend" or "weight".
        slider: 0..1 or 0..2.
        start, stop: buttons.
        view: the pictures.
        figure: CLIP's scores.
        strip: the visitor's `Strip`, or None.
    """

    name: str
    slider: gr.Slider
    start: gr.Button
    stop: gr.Button
    view: gr.HTML
    figure: gr.Plot
    strip: gr.State

    @property
    def outputs(self) -> list[Any]:
        return [self.view, self.figure, self.stop, self.strip]


def bar_inputs(bar: PromptBar) -> list[Any]:
    """What `request_like` reads after the trace, and then the trace."""
    return [
        bar.prompt, bar.negative_prompt, bar.seed, bar.guidance_scale, bar.num_inference_steps,
        bar.image_model, bar.trace,
    ]  # fmt: skip


def request_of(values: Sequence[Any]) -> ImageRequest:
    """What the values of `bar_inputs` ask for.

    Raises:
        InputError: what `ImageRequest.validated` raises.
    """
    *own, trace = values
    return request_like(trace, *own)


def build_lever(name: str, first: gr.components.Component, t: Texts) -> Lever:
    """Draw a lever's part of the tab.

    Args:
        name: "blend" or "weight".
        first: not rendered yet; stands beside the buttons.
    """
    places = LEVERS[name]
    with gr.Row(equal_height=False, elem_classes="away-row"):
        with gr.Column(scale=5, min_width=320):
            first.render()
        start = gr.Button(
            t(f"control_vector.{name}_start"),
            variant="primary",
            elem_id=f"cv-{name}-start",
            scale=3,
            min_width=280,
        )
        stop = gr.Button(
            t("control_vector.stop"), variant="stop", elem_id=f"cv-{name}-stop", interactive=False, scale=1
        )
    dial = slider(
        places[0], places[-1], value=places[0] if name == "blend" else 1.0,
        step=0.01 if name == "blend" else 0.05, label=t(f"control_vector.{name}_slider"),
        info=t(f"control_vector.{name}_slider_info"), elem_id=f"cv-{name}-slider",
    )  # fmt: skip
    row = t(f"control_vector.{name}_row")
    view = live_html(STEM, f"cv-{name}-view", row, idle_view(name, t), also=ALSO)
    figure = plot(t(f"control_vector.{name}_alt"), visible=False, elem_id=f"cv-{name}-figure")
    return Lever(name, dial, start, stop, view, figure, gr.State(None))


def wire_lever(
    lever: Lever, asked: Callable[..., Asked], inputs: Sequence[Any], slot: gr.State, t: Texts
) -> None:
    """Let a lever draw, scrub, stop, and draw a place between its stations.

    Args:
        lever: what `build_lever` drew.
        asked: from the values of `inputs` to what a click asks for.
        inputs: components that a click reads.
        slot: the visitor's run slot.
    """

    @explained(t)
    def on_click(*values: Any) -> Iterator[Any]:
        *given, at, strip, own_slot = values
        yield from draw_strip(lever.name, asked(*given), at, strip, own_slot, t)

    @explained(t)
    def on_release(at: float, strip: Strip | None, own_slot: RunSlot) -> Iterator[Any]:
        if strip is None or _is_station(lever.name, at):
            yield gr.skip(), gr.skip()
            return
        yield from draw_place(lever.name, strip, at, own_slot, t)

    lever.start.click(
        on_click,
        [*inputs, lever.slider, lever.strip, slot],
        lever.outputs,
        trigger_mode="multiple",
        **STEPPER,
    )
    gr.on([lever.slider.input, lever.slider.change], None, lever.slider, js=_SCRUB % lever.name,
          api_visibility="private")  # fmt: skip
    lever.slider.release(
        on_release, [lever.slider, lever.strip, slot], [lever.view, lever.stop], trigger_mode="multiple",
        **STEPPER,
    )  # fmt: skip
    lever.stop.click(lambda own_slot: own_slot.stop(), slot, queue=False, api_visibility="private")


def _is_station(name: str, at: float) -> bool:
    return any(abs(at - place) < _NEAR for place in LEVERS[name])


def draw_strip(
    name: str, asked: Asked, at: float, before: Strip | None, slot: RunSlot, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Draw the pictures at all stations for one visitor.

    Args:
        name: of the lever.
        asked: what to draw.
        at: where the slider stands.
        before: the strip shown so far, which comes back should the run draw nothing.

    Yields:
        Values for view, figure, stop button and strip.
    """
    first = asked.requests[0]

    def running(sources: Sequence[str], done: int) -> tuple[Any, ...]:
        status = t("image.step", step=done, total=first.num_inference_steps) if done else t("image.waiting")
        page = unfinished_view("running", name, first, sources, status, asked.remark, t)
        if done:
            return page, gr.skip(), gr.skip(), gr.skip()
        axes = gr.update(value=lever_figure(name, None, t), visible=True)
        return page, axes, gr.update(interactive=True), gr.skip()

    def finished(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        done, total = steps[0].index + 1, steps[0].total
        if done < total:
            status = t("control_vector.stopped", step=done, total=total)
            sources = estimates(steps, first.model)
            page = unfinished_view("stopped", name, first, sources, status, asked.remark, t)
            return page, gr.update(visible=False), gr.update(interactive=False), None
        strip = asked.strip(finish(asked.requests, steps, asked.texts))
        return *strip_values(name, strip, at, t), gr.update(interactive=False), strip

    def restored() -> tuple[Any, ...]:
        values = strip_values(name, before, at, t)
        return *values, gr.update(interactive=False), before

    yield from show_batch(asked.requests, slot, name, BatchViews(running, finished, restored))


def strip_values(name: str, strip: Strip | None, at: float, t: Texts) -> tuple[Any, Any]:
    """View and figure of a strip, or of none."""
    if strip is None:
        return idle_view(name, t), gr.update(visible=False)
    figure = gr.update(value=lever_figure(name, strip, t), visible=True)
    return strip_view(name, strip, at, None, t), figure


def draw_place(name: str, strip: Strip, at: float, slot: RunSlot, t: Texts) -> Iterator[tuple[Any, ...]]:
    """Draw the one picture at a place between two stations.

    Args:
        name: of the lever.
        strip: whose seed, texts and numbers hold for it.
        at: the place.

    Yields:
        Values for view and stop button.
    """
    request = AT[name](strip.requests[0], at)

    def page(source: str, status: str) -> str:
        return strip_view(name, strip, at, Extra(at, source, status), t)

    def running(sources: Sequence[str], done: int) -> tuple[Any, ...]:
        if not done:
            return page("", t("image.waiting")), gr.update(interactive=True)
        return page(sources[0], t("image.step", step=done, total=request.num_inference_steps)), gr.skip()

    def finished(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        drawn = finish([request], steps, strip.texts)
        status = scores_text(strip.names, drawn.clip_scores[0], t)
        if steps[0].index + 1 < steps[0].total:
            status = t("control_vector.stopped", step=steps[0].index + 1, total=steps[0].total)
        return page(encode(drawn.images[0]), status), gr.update(interactive=False)

    def restored() -> tuple[Any, ...]:
        return strip_view(name, strip, at, None, t), gr.update(interactive=False)

    yield from show_batch([request], slot, name, BatchViews(running, finished, restored))
