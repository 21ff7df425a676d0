"""Several pictures that one visitor draws at once: while they draw, when done, when stopped."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from components.runs.frames import encode
from components.runs.slot import RunSlot
from components.runs.stream import Views, stream
from components.ui.language import Texts
from pipelines.image import image
from pipelines.image.previews import linear_decoder
from pipelines.image.request import DenoiseStep, ImageRequest

OnStep = Callable[[Sequence[DenoiseStep]], None]
PACE = 0.3  # s between two views of a batch: each sends all of its pictures


@dataclass(frozen=True)
class BatchViews:
    """How a part of a tab shows a batch; each returns the values of all its outputs.

    Attributes:
        running: of the pictures so far (addresses, none at first) and the number of steps taken.
        finished: of the last step of every picture, at the end or where the run was stopped.
        restored: what was there before, should the run draw nothing.
    """

    running: Callable[[Sequence[str], int], tuple[Any, ...]]
    finished: Callable[[Sequence[DenoiseStep]], tuple[Any, ...]]
    restored: Callable[[], tuple[Any, ...]]


class LiveBatch:
    """How far a batch has come: the last step of each of its pictures."""

    def __init__(self, requests: Sequence[ImageRequest], on_step: OnStep | None) -> None:
        self.model, self.on_step = requests[0].model, on_step
        self.steps: Sequence[DenoiseStep] = ()

    def add(self, steps: Sequence[DenoiseStep]) -> bool:
        """Note the next step of each picture."""
        self.steps = steps
        if self.on_step is not None:
            self.on_step(steps)
        return False

    def sources(self) -> tuple[str, ...]:
        """What the model takes the pictures to be by now, as addresses of previews; none at first."""
        if not self.steps:
            return ()
        previews = linear_decoder(self.model).pictures(_estimated(self.steps))
        return tuple(encode(picture) for picture in previews)

    def done(self) -> int:
        """Steps taken."""
        return self.steps[0].index + 1 if self.steps else 0


def show_batch(
    requests: Sequence[ImageRequest],
    slot: RunSlot,
    place: str,
    views: BatchViews,
    on_step: OnStep | None = None,
) -> Iterator[tuple[Any, ...]]:
    """Draw a batch for one visitor, showing all pictures as they come out of the noise; see `stream`.

    Args:
        requests: checked, all of one model and size.
        place: the part of the page; a batch overtaken by the next one of its part falls silent, one
            overtaken by another part shows how far it came.
        views: of that part.
        on_step: told every step of all pictures, shown or not.

    Yields:
        Values for the part's outputs.
    """
    whole: Views[LiveBatch] = Views(
        running=lambda live: views.running(live.sources(), live.done()),
        finished=lambda live: views.finished(live.steps),
        restored=views.restored,
    )
    live = LiveBatch(requests, on_step)
    yield from stream(lambda run: run.batch(requests), live, slot, place, whole, PACE)


def estimates(steps: Sequence[DenoiseStep], model: str) -> tuple[str, ...]:
    """What the model takes the finished pictures to be at a step, as addresses."""
    return tuple(encode(picture) for picture in image.preview(_estimated(steps), model))


def _estimated(steps: Sequence[DenoiseStep]) -> np.ndarray:
    return np.stack([step.denoised_guided for step in steps])


@dataclass(frozen=True)
class TrialViews:
    """How a trial of several pictures is shown that means something only when it is whole.

    Attributes:
        running: of the pictures so far (addresses, none at first) and a sentence about how far they are.
        whole: of the last step of every picture.
        idle: before there is anything to show.
    """

    running: Callable[[Sequence[str], str], tuple[Any, ...]]
    whole: Callable[[Sequence[DenoiseStep]], tuple[Any, ...]]
    idle: tuple[Any, ...]


def show_trial(
    requests: Sequence[ImageRequest],
    slot: RunSlot,
    place: str,
    views: TrialViews,
    kept: tuple[Any, ...] | None,
    t: Texts,
    on_step: OnStep | None = None,
) -> Iterator[tuple[Any, ...]]:
    """`show_batch` for a part of the page that keeps its last whole result and has a stop button.

    Args:
        requests: checked, all of one model and size.
        place: the part of the page.
        views: of that part.
        kept: the values of its last whole result, which come back should the run draw nothing.
        on_step: told every step of all pictures, shown or not.

    Yields:
        Values of the views; those to be kept; and the stop button's.
    """
    off = gr.update(interactive=False)

    def running(sources: Sequence[str], done: int) -> tuple[Any, ...]:
        if not done:
            return *views.running((), t("image.waiting")), gr.skip(), gr.update(interactive=True)
        status = t("image.step", step=done, total=requests[0].num_inference_steps)
        return *views.running(sources, status), gr.skip(), gr.skip()

    def finished(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        done, total = steps[0].index + 1, steps[0].total
        if done < total:
            status = t("control_vector.stopped", step=done, total=total)
            return *views.running(estimates(steps, requests[0].model), status), gr.skip(), off
        values = views.whole(steps)
        return *values, values, off

    def restored() -> tuple[Any, ...]:
        return *(kept or views.idle), gr.skip(), off

    yield from show_batch(requests, slot, place, BatchViews(running, finished, restored), on_step)
