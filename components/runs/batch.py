"""Several pictures that one visitor draws at once: while they draw, when done, when stopped."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from components.runs.frames import encode
from components.runs.slot import RunSlot
from components.ui.language import Texts
from pipelines.image import image
from pipelines.image.request import DenoiseStep, ImageRequest

PACE = 0.3  # s between two views of a batch: each decodes all of its pictures


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


def show_batch(
    requests: Sequence[ImageRequest], slot: RunSlot, place: str, views: BatchViews
) -> Iterator[tuple[Any, ...]]:
    """Draw a batch for one visitor, showing all pictures as they come out of the noise.

    Args:
        requests: checked, all of one model and size.
        slot: this visitor's; a run in it ends.
        place: the part of the page; a batch overtaken by the next one of its part falls silent, one
            overtaken by another part shows how far it came.
        views: of that part.

    Yields:
        Values for the part's outputs.
    """
    run = slot.begin(place)
    last: Sequence[DenoiseStep] = ()
    shown = -math.inf
    yield views.running((), 0)
    try:
        with closing(run.batch(requests)) as stream:
            for last in stream:
                if time.monotonic() - shown >= PACE:
                    yield views.running(estimates(last, requests[0].model), last[0].index + 1)
                    shown = time.monotonic()
        if run.superseded and slot.current is not None and slot.current.place == place:
            return
        end = views.finished(last) if last else views.restored()
    except Exception:
        yield views.restored()
        raise
    finally:
        run.finished = True
    yield end


def estimates(steps: Sequence[DenoiseStep], model: str) -> tuple[str, ...]:
    """What the model takes the finished pictures to be at a step, as addresses."""
    latents = np.stack([step.denoised_guided for step in steps])
    return tuple(encode(picture) for picture in image.preview(latents, model))


class EndedError(Exception):
    """The visitor stopped a batch of pictures, or started something else."""


def told(progress: gr.Progress, t: Texts) -> Callable[[int, int], None]:
    """A function that tells Gradio's progress bar, in the visitor's language, which step is done."""

    def tell(step: int, total: int) -> None:
        progress((step, total), desc=t("guidance.sweep_progress", step=step, total=total))

    return tell


@contextmanager
def batch_run(slot: RunSlot, progress: Callable[[int, int], None]) -> Iterator[Callable[..., None]]:
    """A visitor's turn for a batch of pictures that is shown as a whole when it is done.

    Args:
        slot: this visitor's; a run in it ends.
        progress: told `(steps done, steps in all)`.

    Yields:
        What to call with the steps of all runs; it raises `EndedError` once the visitor has stopped.
    """
    run = slot.begin()

    def on_step(steps: Sequence[DenoiseStep]) -> None:
        if run.ended:
            raise EndedError
        progress(steps[0].index + 1, steps[0].total)

    try:
        yield on_step
    finally:
        run.finished = True


def show_when_done(
    slot: RunSlot,
    progress: Callable[[int, int], None],
    draw: Callable[[Callable[..., None]], tuple[Any, ...]],
    outputs: int,
) -> Iterator[tuple[Any, ...]]:
    """Draw a batch for one visitor, with a stop button that is the last of the outputs.

    Args:
        slot: this visitor's.
        progress: told `(steps done, steps in all)`.
        draw: gets the function to call after every step; returns the values of all outputs but the button.
        outputs: number of outputs, the button included.

    Yields:
        Values for the outputs; a batch that was stopped leaves what was there before.
    """
    skipped = (gr.skip(),) * (outputs - 1)
    yield *skipped, gr.update(interactive=True)
    shown: tuple[Any, ...] = skipped
    try:
        with batch_run(slot, progress) as on_step:
            shown = draw(on_step)
    except EndedError:
        pass
    except Exception:
        yield *skipped, gr.update(interactive=False)
        raise
    yield *shown, gr.update(interactive=False)
