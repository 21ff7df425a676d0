"""A visitor's place for one run at a time: whose turn it is, how it is stopped, and what it left behind."""

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from components.runs.frames import Frames
from pipelines.image import image, stepper
from pipelines.image.request import DenoiseStep, ImageRequest, Trace

Arriving = TypeVar("Arriving")
Source = TypeVar("Source", covariant=True)
PATIENCE = 600.0  # s that a tab waits for a run under way, at most
# Held for the moment in which one run takes the place of another; shared by all slots, since a `gr.State`
# copies its first value, and a lock cannot be copied.
_handover = threading.Lock()


class Closable(Iterator[Source], Protocol[Source]):
    """Steps that come one by one; closing stops their run."""

    def close(self) -> None: ...


@dataclass(eq=False)
class VisitorRun:
    """One click's worth of pictures, films or sounds.

    Attributes:
        place: the part of the page that shows it.
        stopped: the visitor pressed stop; what was drawn so far is shown.
        superseded: the visitor started another run, of whatever part.
        silenced: that was a run of the same part, which is now the one to write there.
        finished: it has drawn all it will.
    """

    place: str = ""
    stopped: bool = False
    superseded: bool = False
    silenced: bool = False
    _sources: list[Closable[Any]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def finished(self) -> bool:
        return self._over.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until it has drawn all it will; whether it has."""
        return self._over.wait(seconds)

    @property
    def ended(self) -> bool:
        return self.stopped or self.superseded

    def follow(self, source: Closable[Arriving]) -> Generator[Arriving, None, None]:
        """What a source brings until it or this run ends; closing the iterator frees its engine."""
        # A generator cannot be closed while another thread runs it; it is left after its next step.
        if not isinstance(source, Generator):
            self._sources.append(source)
        return self._until_ended(source, source)

    def pictures(self, request: ImageRequest) -> Generator[list[DenoiseStep], None, None]:
        """The steps of a picture as they arrive, see `Steps.arrivals`.

        Raises:
            InputError: what `pipelines.image.image.generate` raises.
        """
        source = image.generate(request)
        self._sources.append(source)
        return self._until_ended(source.arrivals(), source)

    def batch(self, requests: Sequence[ImageRequest]) -> Generator[tuple[DenoiseStep, ...], None, None]:
        """The steps of several pictures that start together, all of them at the same step.

        Raises:
            InputError: what `pipelines.image.stepper.submit_all` raises.
        """
        sources = stepper.submit_all(requests)
        self._sources += sources
        # not strict: a stop between two of them leaves a step without its companions
        return self._until_ended(zip(*sources, strict=False), *sources)

    def _until_ended(
        self, arriving: Iterator[Arriving], *sources: Closable[Any]
    ) -> Generator[Arriving, None, None]:
        try:
            # it may have been ended while the model was loading, and while one waited for a step
            while not self.ended and (arrived := next(arriving, None)) is not None and not self.ended:
                yield arrived
        finally:
            for source in sources:
                source.close()

    def close(self) -> None:
        """Free the engine; a thread that waits for the next step wakes up."""
        for source in tuple(self._sources):
            source.close()

    def finish(self) -> None:
        """Nothing more comes of it: whoever waits for it goes on."""
        self.close()
        self._sources.clear()
        self._over.set()


@dataclass(eq=False)
class RunSlot:
    """A visitor's place for one run; lives in a `gr.State`, so no other visitor can reach it.

    Attributes:
        current: the run under way, or the last one.
        shown: trace and encoded frames that the tabs show, so that the second tab to show a
            trace need not decode it again.
    """

    current: VisitorRun | None = None
    shown: tuple[Trace, Frames] | None = None
    _latest: dict[str, VisitorRun] = field(default_factory=dict)  # of each part of the page

    @property
    def busy(self) -> bool:
        run = self.current
        return run is not None and not (run.ended or run.finished)

    def wait_idle(self) -> None:
        """Wait for a run under way, so that a tab opened meanwhile can show what it draws."""
        while self.busy and self.current is not None and self.current.wait(PATIENCE):
            pass

    @contextmanager
    def turn(self, place: str = "") -> Iterator[VisitorRun]:
        """A run that begins here and is finished on leaving, however one leaves; see `begin`."""
        run = self.begin(place)
        try:
            yield run
        finally:
            run.finish()

    def begin(self, place: str = "") -> VisitorRun:
        """Start a run; one that is still under way ends and frees the engine.

        Args:
            place: the part of the page that shows it; earlier runs of that part fall silent.
        """
        run = VisitorRun(place)
        with _handover:
            before, self.current = self.current, run
            same, self._latest[place] = self._latest.get(place), run
            if before is not None:
                before.superseded = True
            if same is not None:
                same.superseded = same.silenced = True
        if before is not None:
            before.close()
        return run

    def silence(self, place: str) -> None:
        """Let a run of a part of the page end and write nothing more: something else is shown there now."""
        with _handover:
            run = self._latest.pop(place, None)
            if run is not None:
                run.superseded = run.silenced = True
        if run is not None:
            run.close()

    def stop(self) -> None:
        """End the run under way within one step."""
        if (run := self.current) is not None:
            run.stopped = True
            run.close()

    def frames_of(self, trace: Trace) -> Frames:
        """The pictures of a trace, each encoded once, when it is looked at first."""
        if self.shown is None or self.shown[0] is not trace:
            self.shown = (trace, Frames.of(trace))
        return self.shown[1]
