"""A batch of pictures on the page: while it draws, when it is done, and when it is stopped."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.frames import encode
from components.runs import RunSlot
from pipelines import image
from pipelines.prompt_lab import Batch
from pipelines.trace import DenoiseStep

PACE = 0.3  # s between two views of a batch: each decodes all of its pictures


@dataclass(frozen=True)
class BatchViews:
    """How a part of the tab shows a batch; each returns the values of all its outputs.

    Attributes:
        running: of the pictures so far (addresses, none at first) and the steps taken.
        finished: of the last step of every picture, at the end or where the run was stopped.
        restored: what was there before, should the run draw nothing.
    """

    running: Callable[[Sequence[str], int], tuple[Any, ...]]
    finished: Callable[[Sequence[DenoiseStep]], tuple[Any, ...]]
    restored: Callable[[], tuple[Any, ...]]


def show_batch(batch: Batch, slot: RunSlot, place: str, views: BatchViews) -> Iterator[tuple[Any, ...]]:
    """Draw a batch for one visitor, showing all pictures as they come out of the noise.

    Args:
        batch: checked.
        slot: this visitor's; a run in it ends.
        place: the part of the tab; a batch overtaken by the next one of its part falls silent, one
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
        with closing(run.batch(batch.requests)) as stream:
            for last in stream:
                if time.monotonic() - shown >= PACE:
                    yield views.running(_previews(last, batch.requests[0].model), last[0].index + 1)
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


def _previews(steps: Sequence[DenoiseStep], model: str) -> list[str]:
    estimates = np.stack([step.denoised_guided for step in steps])
    return [encode(picture) for picture in image.preview(estimates, model)]
