"""The one picture run that a visitor has under way: how it is shown, and how it is stopped."""

import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from components.runs.frames import Frames, Reel
from pipelines.image import image, stepper
from pipelines.image.request import DenoiseStep, ImageRequest, Trace

Arriving = TypeVar("Arriving")
Source = TypeVar("Source", covariant=True)
PATIENCE = 600.0  # s that a tab waits for a run under way, at most
PACE = 0.1  # s between two views of a run: more would keep server and browser from the picture itself


class Closable(Iterator[Source], Protocol[Source]):
    """Steps that come one by one; closing stops their run."""

    def close(self) -> None: ...


@dataclass(eq=False)
class Run:
    """One click's worth of pictures.

    Attributes:
        stopped: the visitor pressed stop; what was drawn so far is shown.
        superseded: the visitor started another run; this one falls silent.
        finished: it has drawn all it will.
        place: the part of the page that shows it.
    """

    stopped: bool = False
    superseded: bool = False
    place: str = ""
    _sources: list[Closable[Any]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def finished(self) -> bool:
        return self._over.is_set()

    @finished.setter
    def finished(self, value: bool) -> None:
        if value:
            self._over.set()

    def wait(self, seconds: float) -> bool:
        """Wait until it has drawn all it will; whether it has."""
        return self._over.wait(seconds)

    @property
    def ended(self) -> bool:
        return self.stopped or self.superseded

    def arrivals(self, request: ImageRequest) -> Generator[list[DenoiseStep], None, None]:
        """The steps of a request as they arrive (`Steps.arrivals`), until they end or this run does.

        Closing the iterator, as Gradio does when a visitor leaves, frees the engine, too.

        Raises:
            InputError: what `pipelines.image.image.generate` raises.
        """
        source = image.generate(request)
        self._sources.append(source)
        try:
            if not self.ended:  # ended while the model was loading
                yield from self._until_ended(source.arrivals())
        finally:
            source.close()

    def steps(self, request: ImageRequest) -> Generator[DenoiseStep, None, None]:
        """The same one by one."""
        with closing(self.arrivals(request)) as arriving:
            for steps in arriving:
                yield from steps

    def batch(self, requests: Sequence[ImageRequest]) -> Generator[tuple[DenoiseStep, ...], None, None]:
        """The steps of several requests that start together, all pictures at the same step.

        Raises:
            InputError: what `pipelines.image.stepper.submit_all` raises.
        """
        sources = stepper.submit_all(requests)
        self._sources += sources
        try:
            if not self.ended:
                # not strict: a stop between two of them leaves a step without its companions
                yield from self._until_ended(zip(*sources, strict=False))
        finally:
            for source in sources:
                source.close()

    def follow(self, source: Closable[Arriving]) -> Generator[Arriving, None, None]:
        """Steps of any other run until they end or this one does; closing the iterator frees its engine."""
        self._sources.append(source)
        try:
            if not self.ended:
                yield from self._until_ended(source)
        finally:
            source.close()

    def _until_ended(self, arrivals: Iterator[Arriving]) -> Iterator[Arriving]:
        for steps in arrivals:
            if self.ended:
                return
            yield steps

    def close(self) -> None:
        """Free the engine; a thread that waits for the next step wakes up."""
        for source in self._sources:
            source.close()


@dataclass(eq=False)
class RunSlot:
    """A visitor's place for one run; lives in a `gr.State`, so no other visitor can reach it.

    Attributes:
        current: the run under way, or the last one.
        shown: trace and encoded frames that the tabs show, so that the second tab to show a
            trace need not decode it again.
    """

    current: Run | None = None
    shown: tuple[Trace, Frames] | None = None

    @property
    def busy(self) -> bool:
        return self.current is not None and not (self.current.ended or self.current.finished)

    def settle(self) -> None:
        """Wait for a run under way, so that a tab opened meanwhile can show what it draws."""
        while self.busy and self.current is not None and self.current.wait(PATIENCE):
            pass

    def begin(self, place: str = "") -> Run:
        """Start a run; one that is still under way falls silent and frees the engine."""
        if self.current is not None:
            self.current.superseded = True
            self.current.close()
        self.current = Run(place=place)
        return self.current

    def stop(self) -> None:
        """End the run under way within one step."""
        if self.current is not None:
            self.current.stopped = True
            self.current.close()

    def frames_of(self, trace: Trace) -> Frames:
        """The encoded frames of a trace, computed once; see `Frames.of`."""
        if self.shown is None or self.shown[0] is not trace:
            self.shown = (trace, Frames.of(trace))
        return self.shown[1]


@dataclass(frozen=True)
class RunViews:
    """How a tab shows a run; each returns the values of all its outputs.

    Attributes:
        running: of the pictures so far, none at first, and all at last: the picture is there before the
            rest of its trace is decoded.
        finished: of the trace, at the end or where the run was stopped.
        restored: what was there before, should the run draw nothing.
    """

    running: Callable[[Reel], tuple[Any, ...]]
    finished: Callable[[Trace], tuple[Any, ...]]
    restored: Callable[[], tuple[Any, ...]]


def show_run(
    request: ImageRequest, slot: RunSlot, views: RunViews, keep: bool = True
) -> Iterator[tuple[Any, ...]]:
    """Draw a picture for one visitor, showing the steps as they arrive.

    Args:
        request: checked.
        slot: this visitor's; a run in it ends.
        views: of the tab.
        keep: whether the run's trace and frames stay in the slot, for the other tabs to show.

    Yields:
        Values for the tab's outputs; nothing more once another run has taken this one's place.
    """
    run = slot.begin()
    reel = Reel(request)
    yield views.running(reel)
    shown = -math.inf
    try:
        with closing(run.arrivals(request)) as arriving:
            for steps in arriving:
                reel.extend(steps)
                if reel.whole or time.monotonic() - shown >= PACE:
                    yield views.running(reel)
                    shown = time.monotonic()
        if run.superseded:
            return
        if reel.steps:
            trace = image.finish(request, reel.steps)
            if keep:
                slot.shown = (trace, reel.frames())
            last = views.finished(trace)
        else:
            last = views.restored()
    except Exception:
        yield views.restored()
        raise
    finally:
        run.finished = True
    if not run.superseded:
        yield last
