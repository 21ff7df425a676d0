"""The one loop that shows a visitor's run, whatever it draws: begun, growing, then finished or overtaken."""

import functools
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

import gradio as gr

from components.runs.frames import Frames
from components.runs.slot import RunSlot, VisitorRun
from pipelines.image import image
from pipelines.image.request import ImageRequest, Trace

Arriving = TypeVar("Arriving")
Arriving_contra = TypeVar("Arriving_contra", contravariant=True)
PACE = 0.1  # s between two views of a run: more would keep server and browser from the picture itself
WHEN_DUE = float("inf")  # a pace: only what is due is shown
PICTURE = "picture"  # the place of all runs that draw the one picture which the tabs share


class Live(Protocol[Arriving_contra]):
    """What has arrived of a run so far."""

    def add(self, arrived: Arriving_contra, /) -> bool:
        """Take in what has arrived; whether it is due at once, however recent the last view is."""


AnyLive = TypeVar("AnyLive", bound=Live[Any])


@dataclass(frozen=True)
class Views(Generic[AnyLive]):
    """How a part of the page shows a run; each returns the values of all its outputs.

    Attributes:
        running: of what has arrived so far, nothing at first.
        finished: of what had arrived at the end, or where the run was stopped or overtaken.
        restored: what was there before, should nothing come of the run.
    """

    running: Callable[[AnyLive], tuple[Any, ...]]
    finished: Callable[[AnyLive], tuple[Any, ...]]
    restored: Callable[[], tuple[Any, ...]]


def stream(
    source: Callable[[VisitorRun], Generator[Any, None, None]],
    live: AnyLive,
    slot: RunSlot,
    place: str,
    views: Views[AnyLive],
    pace: float = PACE,
) -> Iterator[tuple[Any, ...]]:
    """Show a run of one visitor while it goes on; closing the iterator ends the run.

    A run that is overtaken by the next one of its place falls silent: it writes nothing more. One that is
    overtaken by a run of another place shows how far it came, as one that was stopped does.

    Args:
        source: starts the run and brings what arrives of it, until it ends; see `VisitorRun.follow`.
        live: takes in what arrives.
        place: the part of the page.
        views: of that part.
        pace: s between two views of what is not due; `WHEN_DUE` leaves all others out.

    Yields:
        Values for the part's outputs.
    """
    values: tuple[Any, ...] = ()
    failure: Exception | None = None
    with slot.turn(place) as run:
        yield views.running(live)
        shown, empty = time.monotonic() - pace, True
        try:
            with closing(source(run)) as arriving:
                for arrived in arriving:
                    due, empty = live.add(arrived), False
                    if (due or time.monotonic() - shown > pace) and not run.silenced:
                        yield views.running(live)
                        shown = time.monotonic()
            if not run.silenced:
                values = views.restored() if empty else views.finished(live)
        except Exception as error:
            failure = error
    # The turn is over before the last view is sent, so that nobody waits for the network.
    if not run.silenced:
        yield values if failure is None else views.restored()
    if failure is not None:
        raise failure


def sent_once(handler: Callable[..., Iterator[tuple[Any, ...]]]) -> Callable[..., Iterator[tuple[Any, ...]]]:
    """Decorator of a generator for the page: it ends with values that change nothing.

    Gradio sends the last values of a generator again when it ends, and whole.
    """

    @functools.wraps(handler)
    def wrapped(*args: Any, **kwargs: Any) -> Iterator[tuple[Any, ...]]:
        last: tuple[Any, ...] = ()
        with closing(cast("Generator[Any, None, None]", handler(*args, **kwargs))) as running:
            for last in running:
                yield last
        if last:
            yield (gr.skip(),) * len(last) if isinstance(last, tuple) else gr.skip()  # one for all outputs

    return wrapped


@dataclass(frozen=True)
class RunViews:
    """How a tab shows the drawing of one picture; each returns the values of all its outputs.

    Attributes:
        running: of the pictures so far, none at first.
        finished: of the trace, at the end or where the run was stopped.
        restored: what was there before, should the run draw nothing.
    """

    running: Callable[[Frames], tuple[Any, ...]]
    finished: Callable[[Trace], tuple[Any, ...]]
    restored: Callable[[], tuple[Any, ...]]


def show_run(
    request: ImageRequest, slot: RunSlot, views: RunViews, place: str = PICTURE
) -> Iterator[tuple[Any, ...]]:
    """Draw a picture for one visitor, showing the steps as they arrive; see `stream`.

    Args:
        request: checked.
        views: of the tab.
        place: the part of the page; the trace and frames of a run in `PICTURE` stay in the slot, for the
            other tabs to show.

    Yields:
        Values for the tab's outputs.
    """

    def finished(live: Frames) -> tuple[Any, ...]:
        trace = image.finish(request, live.steps)
        if place == PICTURE:
            slot.shown = (trace, live)
        return views.finished(trace)

    whole = Views(views.running, finished, views.restored)
    yield from stream(lambda run: run.pictures(request), Frames(request), slot, place, whole)
