"""Steps of models that visitors train, a stretch of them at a time, computed where the engine says.

Each step is asked of the compute thread on its own, so all trainings, and the pictures that others draw, take
turns in the order in which they ask.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pipelines.serving.compute import TRAINING_S, due_later, on_compute_thread, one_core
from pipelines.serving.engine import starts_runs, whole_call
from pipelines.serving.loading import while_nothing_loads
from pipelines.serving.steps import Closable

Record = TypeVar("Record")


class Learner(ABC, Generic[Record]):
    """What a model learns from and, once it is built, the model with all that its next step depends on.

    Whatever is random in a step follows from a seed and the step's number alone, so that steps taken again
    from saved weights give the same to the bit. Before it is built it can be pickled: it is built where the
    steps are taken. All methods run on the compute thread, but for `build` and `change`.

    Attributes:
        at: steps that the model has taken; None before it is built.
    """

    at: int | None = None

    @abstractmethod
    def build(self) -> None:
        """Make the model; see `while_nothing_loads`."""

    @abstractmethod
    def update(self, step: int) -> None:
        """Take step number `step`, counted from 0."""

    @abstractmethod
    def measure(self) -> Record:
        """What the model makes of its examples now: small numpy, which is kept for every step."""

    @abstractmethod
    def save(self) -> Any:
        """A copy of weights and optimizer."""

    @abstractmethod
    def load(self, saved: Any) -> None:
        """Go back to what `save` returned, which stays as it is."""

    def change(self, settings: Any, step: int) -> None:
        """Let a visitor's settings hold from step number `step` on, where a learner has some."""


@dataclass(frozen=True, eq=False)
class Stretch(Generic[Record]):
    """Steps of a training, as they are asked for.

    Attributes:
        learner: without its model if that is, or will be, in another process.
        step: steps that the model has taken, if it is here.
        saved: weights to go on from if it is not, after the steps that they have taken.
        known: steps whose records are there already.
        stop: the last step.
        every: steps between two copies of the weights.
    """

    learner: Learner[Record]
    step: int
    saved: tuple[int, Any]
    known: int
    stop: int
    every: int


@dataclass(frozen=True, eq=False)
class Taken(Generic[Record]):
    """A step that was taken.

    Attributes:
        step: how many it makes.
        record: what was measured after it; None if that is known.
        weights: a copy, now and then.
    """

    step: int
    record: Record | None
    weights: Any = None


class Walk(Iterator[Taken[Record]]):
    """Takes the steps of a stretch one by one, in this process; any thread may close it."""

    def __init__(self, stretch: Stretch[Record]) -> None:
        self._stretch, self._closed = stretch, False
        self._lent = stretch.learner.at is None  # whoever asked has no other way to what it learns here
        if self._lent:
            while_nothing_loads(stretch.learner.build)
        if self._lent or stretch.learner.at != stretch.step:
            stretch.learner.at, weights = stretch.saved
            on_compute_thread(stretch.learner.load)(weights)

    def __next__(self) -> Taken[Record]:
        if self._closed or self._step >= self._stretch.stop:
            raise StopIteration
        return self._take()

    @property
    def _step(self) -> int:
        assert self._stretch.learner.at is not None  # it was built before the first step
        return self._stretch.learner.at

    @due_later(TRAINING_S)
    @one_core()
    def _take(self) -> Taken[Record]:
        stretch, learner, step = self._stretch, self._stretch.learner, self._step + 1
        learner.update(self._step)
        learner.at = step
        copied = step % stretch.every == 0 or (self._lent and step == stretch.stop)
        weights = learner.save() if copied else None
        return Taken(step, learner.measure() if step > stretch.known else None, weights)

    def close(self) -> None:
        """Stop; a step that has begun is the last."""
        self._closed = True


def load_nothing(model: str) -> None:
    """Learners build their models themselves."""


@starts_runs("image", load_nothing)
def stretches(asked: Sequence[Stretch[Record]]) -> Sequence[Closable]:
    """Take stretches of trainings; the steps of each are of type `Taken`."""
    return [Walk(stretch) for stretch in asked]


def reached(stretch: Stretch[Record]) -> Any:
    """The learner with its model at the end of a stretch, in this process."""
    for _ in Walk(stretch):
        pass
    return stretch.learner


@whole_call("image", load_nothing)
def untrained(learner: Learner[Record]) -> Taken[Record]:
    """Build a learner's model and measure it before its first step."""
    while_nothing_loads(learner.build)
    learner.at = 0
    return on_compute_thread(one_core()(lambda: Taken(0, learner.measure(), learner.save())))()
