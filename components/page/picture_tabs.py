"""What all tabs about pictures share: the request of the bar, the first example, what opening a tab shows."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import gradio as gr

from components.page.prompt_bar import BarValues
from components.runs.frames import Frames
from components.runs.slot import RunSlot
from components.runs.unasked import waits_for_click
from components.ui.language import Texts
from pipelines.image import image
from pipelines.image.request import SCHEDULERS, ImageRequest, Trace
from pipelines.serving import catalogue


def example_request() -> ImageRequest:
    """What the bar says when the page opens for the first time."""
    bar = BarValues()
    return ImageRequest(
        prompt=bar.prompt,
        negative_prompt=bar.negative_prompt,
        seed=bar.seed,
        guidance_scale=bar.guidance_scale,
        num_inference_steps=bar.num_inference_steps,
    ).validated()


def request_like(trace: Trace | None, prompt: str, negative: str, seed: int, scale: float, steps: int,
             model: str) -> ImageRequest:  # fmt: skip
    """What the bar asks for; the scheduler stays the one of the picture that is shown."""
    scheduler = trace.request.scheduler if trace else SCHEDULERS[0]
    return ImageRequest(prompt, negative or "", seed, scale, steps, scheduler, model).validated()


def with_inside_if_slow(request: ImageRequest) -> ImageRequest:
    """The same request, looking inside where drawing again for that would take minutes.

    The classroom model draws the same picture again in a second, when a tab asks what happened inside.
    """
    slow = catalogue.entry(request.model).family != "classroom"
    return replace(request, look_inside=request.look_inside or slow)


@lru_cache(maxsize=1)
def compute_example() -> tuple[Trace, Frames]:
    """Run the first example; the app does so once after start, and all visitors see that run."""
    trace = image.run(replace(example_request(), look_inside=True))  # every tab shows this one
    return trace, Frames.of(trace)


def example_if_ready(request: ImageRequest) -> tuple[Trace, Frames] | None:
    """The first example, if this is it and it has been computed."""
    ready = compute_example.cache_info().currsize
    return compute_example() if ready and request == example_request() else None


def trace_at_hand(trace: Trace | None, request: ImageRequest, slot: RunSlot) -> Trace | None:
    """This visitor's trace; without one, the first example, if it is what the bar asks for and is there.

    A run under way is waited for: it may have been begun by a tab that the visitor has left.

    Args:
        trace: this visitor's last, before that run.
        request: what the bar asks for.
        slot: this visitor's; the example's frames go into it.
    """
    if slot.busy:
        slot.wait_idle()
        trace = slot.shown[0] if slot.shown is not None else trace
    if trace is None and (example := example_if_ready(request)):
        slot.shown, trace = example, example[0]
    return trace


def open_tab(
    trace: Trace | None,
    request_of: Callable[[], ImageRequest],
    slot: RunSlot,
    t: Texts,
    *,
    waiting: Callable[[Frames], tuple[Any, ...]],
    show: Callable[[Trace], tuple[Any, ...]],
    restored: Callable[[], tuple[Any, ...]],
    run: Callable[[ImageRequest, Trace | None], Iterator[Any]],
    enough: Callable[[Trace], bool] = lambda trace: True,
) -> Iterator[Any]:
    """What a tab shows when it is opened: the picture at hand, or a run of what the bar asks for.

    Args:
        trace: this visitor's last.
        request_of: what the bar asks for.
        waiting: values of the tab's outputs while what another tab draws is waited for.
        show: values for a trace.
        restored: values without one, should nothing come of what was waited for.
        run: draws the request; told the trace at hand, if there is one that is not enough.
        enough: whether a trace holds what this tab shows.

    Yields:
        Values for the tab's outputs; `gr.skip()` where a model waits for a click.
    """
    request = trace.request if trace is not None else request_of()
    waited = slot.busy
    if waited:
        yield waiting(Frames(request))
    trace = trace_at_hand(trace, request, slot)
    if trace is not None and enough(trace):
        yield show(trace)
    elif trace is None and waits_for_click(request.model, t):
        yield restored() if waited else gr.skip()
    else:
        yield from run(trace.request if trace is not None else request, trace)
