"""What tabs share whose visitors train models of their own: whose a training is, and how it is shown."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, TypeVar

import gradio as gr

from pipelines.serving.live_training import TrainingRun, trainings

View = TypeVar("View")


def owner_of(request: gr.Request | None) -> str:
    """The name under which a visitor's trainings are kept: that of the open page."""
    return str(getattr(request, "session_hash", None) or "")


def _leave(request: gr.Request) -> None:
    if owner := owner_of(request):
        trainings.leave(owner)


def wire_leaving(page: gr.Blocks) -> None:
    """Put a visitor's trainings away when the page is closed or loaded anew."""
    page.unload(_leave)


def show_training(
    run: TrainingRun[Any],
    most: int,
    running: Callable[[], View],
    resting: Callable[[], View],
    pace: float,
    rate: float = 0.0,
) -> Iterator[View]:
    """Train for one visitor; closing the iterator, as Gradio does when a visitor leaves, ends the run.

    Args:
        run: of a training, begun by `trainings.run`, which ends the one before.
        most: steps to take.
        running: a view while it goes on.
        resting: a view of where it stopped.
        pace: s between two views.
        rate: steps a second at most; 0 for no limit.

    Yields:
        Views; nothing more once another run has taken this one's place.
    """
    shown = due = time.monotonic()
    with closing(run):
        yield running()
        for _ in itertools.islice(run, most):
            now = time.monotonic()
            if now - shown >= pace and not run.ended:
                yield running()
                shown = now
            due = max(due + 1 / rate, now) if rate else now
            run.wait(due - time.monotonic())
    if not run.superseded:
        yield resting()
