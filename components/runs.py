"""The one picture run that a visitor has under way, and how it is stopped."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from components.frames import Frames
from pipelines import image, stepper
from pipelines.image import DenoiseStep, ImageRequest, Trace


@dataclass(eq=False)
class Run:
    """One click's worth of pictures.

    Attributes:
        stopped: the visitor pressed stop; what was drawn so far is shown.
        superseded: the visitor started another run; this one falls silent.
        finished: it has drawn all it will.
    """

    stopped: bool = False
    superseded: bool = False
    finished: bool = False
    _sources: list[stepper.Steps] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.stopped or self.superseded

    def steps(self, request: ImageRequest) -> Generator[DenoiseStep, None, None]:
        """The steps of a request, until they end or this run does.

        Closing the iterator, as Gradio does when a visitor leaves, frees the engine, too.

        Raises:
            InputError: what `pipelines.image.generate` raises.
        """
        source = image.generate(request)
        self._sources.append(source)
        try:
            if not self.ended:  # ended while the model was loading
                yield from self._until_ended(source)
        finally:
            source.close()

    def _until_ended(self, source: Iterator[DenoiseStep]) -> Iterator[DenoiseStep]:
        for step in source:
            if self.ended:
                return
            yield step

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

    def begin(self) -> Run:
        """Start a run; one that is still under way falls silent and frees the engine."""
        if self.current is not None:
            self.current.superseded = True
            self.current.close()
        self.current = Run()
        return self.current

    def stop(self) -> None:
        """End the run under way within one step."""
        if self.current is not None:
            self.current.stopped = True
            self.current.close()

    def frames_of(self, trace: Trace, guided: Sequence[str] = ()) -> Frames:
        """The encoded frames of a trace, computed once; see `Frames.of`."""
        if self.shown is None or self.shown[0] is not trace:
            self.shown = (trace, Frames.of(trace, guided))
        return self.shown[1]
