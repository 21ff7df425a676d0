"""Models that visitors train before their own eyes: one each, in turns, put away when nobody comes back.

A visitor holds a key, never the model. Steps are computed where the engine says (`training_steps`); what was
measured, and weights to go on from, come back to the table, which therefore loses nothing with the process
that computed them.
"""

import secrets
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic

from pipelines.serving.errors import InputError
from pipelines.serving.steps import Closable
from pipelines.serving.training_steps import Learner, Record, Stretch, Taken, stretches, untrained

MOST_TRAININGS = 32
IDLE_S = 600.0  # s after which a training that nobody has touched is put away
MOST_STEPS = 500  # of one training: the records of every step are kept
MOST_SAVED = 8  # weights kept of one training, to go back to
STRETCH = 20  # steps asked for at once: as many are computed in vain, or again, at most


class Training(Generic[Record]):
    """One visitor's training: the learner, a record of every step, and weights saved on the way.

    Attributes:
        records: `records[k]` was measured after k steps; the first is of the untrained model.
    """

    def __init__(self, learner: Learner[Record], most_steps: int, most_saved: int) -> None:
        self.learner, self.most_steps, self.most_saved = learner, most_steps, most_saved
        first = untrained(learner)
        assert first.record is not None
        self.records: list[Record] = [first.record]
        self._saved: dict[int, Any] = {0: first.weights}
        self._latest: tuple[int, Any] = 0, first.weights  # those that came last, whether or not they stay
        self._every = 1  # steps between saved weights; doubles whenever there are too many of them
        self._updates = 0  # steps that the weights have taken; fewer than recorded after `rewind`
        self._under_way: tuple[Closable, int] | None = None  # a stretch and its last step
        self._wanted: deque[Any] = deque(maxlen=1)  # settings that hold from the next step on

    def change(self, settings: Any) -> None:
        """Let a visitor's settings hold from the next step on; any thread may do so."""
        self._wanted.append(settings)

    def stretch(self, stop: int) -> Stretch[Record]:
        """What leads to a step from where the training is."""
        return Stretch(self.learner, self._updates, self._latest, len(self.records) - 1, stop, self._every)

    def advance(self, last: int | None = None) -> Record | None:
        """Take one step.

        Args:
            last: the step after which no further one is wanted for the time being.

        Returns:
            What was measured after it; None if the step only leads back to where `rewind` went, or if `halt`
            came before it.
        """
        if self._wanted:
            self._drop()
            self.learner.change(self._wanted.pop(), len(self.records) - 1)
        if self._under_way is None:
            stop = min(self._updates + STRETCH, self.most_steps if last is None else last)
            self._under_way = stretches([self.stretch(stop)])[0], stop
        steps, stop = self._under_way
        try:
            taken: Taken[Record] | None = next(steps, None)
        except Exception:
            self._under_way = None
            raise
        if taken is None or taken.step == stop:
            self._under_way = None
        return None if taken is None else self._keep(taken)

    def halt(self) -> None:
        """Compute no further step ahead; any thread may say so, also while `advance` waits for one."""
        if (under_way := self._under_way) is not None:
            under_way[0].close()

    def _drop(self) -> None:
        self.halt()
        self._under_way = None

    def _keep(self, taken: Taken[Record]) -> Record | None:
        """Keep what was measured, and the weights now and then, evenly over all steps so far."""
        self._updates = taken.step
        if taken.weights is not None:
            self._latest = taken.step, taken.weights
            if taken.step % self._every == 0:
                self._saved[taken.step] = taken.weights
        while len(self._saved) > self.most_saved:
            self._every *= 2
            self._saved = {step: saved for step, saved in self._saved.items() if step % self._every == 0}
        if taken.record is not None:
            self.records.append(taken.record)
        return taken.record

    def rewind(self, step: int) -> None:
        """Forget what came after `step`; the next steps lead there from the weights saved last before it.

        Raises:
            InputError: `step_unknown` unless the training has come that far.
        """
        if not 0 <= step < len(self.records):
            raise InputError("step_unknown", received=step, high=len(self.records) - 1)
        self._drop()
        del self.records[step + 1 :]
        self._saved = {at: saved for at, saved in self._saved.items() if at <= step}
        if self._latest[0] > step:
            self._latest = max(self._saved.items())
        if step != self._updates:
            self._updates = self._latest[0]


class TrainingRun(Iterator[Record]):
    """A training under way, for the visitor who started it: each `next` takes a step.

    It ends when it is closed, when the visitor starts another run of the same training, when the training is
    put away, and after its last step.

    Args:
        place: of the training.
        most: steps to take.

    Attributes:
        superseded: whether it ended because of another run, or because its training was put away.
    """

    def __init__(self, place: "_Place", most: int) -> None:
        self.superseded = False
        self._place, training = place, place.training
        self._last = min(len(training.records) - 1 + most, training.most_steps)
        self._ended = threading.Event()

    def __next__(self) -> Record:
        record = None
        while record is None:
            with self._place.lock:  # a run that ends lets its step finish before the next begins
                training = self._place.training
                if self._ended.is_set() or self._place.gone or len(training.records) > self._last:
                    self.close()
                    raise StopIteration
                record = training.advance(self._last)
                self._place.touch()
        return record

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Leave the machine to others for a while, less if the run ends; whether it has."""
        return self._ended.wait(max(0.0, seconds))

    def close(self) -> None:
        """Stop; a step that has begun is the last."""
        if not self._ended.is_set():  # afterwards the training may be another run's
            self._ended.set()
            self._place.training.halt()

    def __del__(self) -> None:
        self.close()


@dataclass(eq=False)
class _Place:
    """A training's place in the table."""

    training: Training[Any]
    owner: str
    kind: str
    clock: Callable[[], float]
    lock: threading.Lock = field(default_factory=threading.Lock)  # held while a step is taken
    latest: Callable[[], TrainingRun[Any] | None] = lambda: (
        None
    )  # a weak reference: a run that is dropped ends
    touched: float = 0.0
    gone: bool = False

    def touch(self) -> None:
        self.touched = self.clock()

    @property
    def busy(self) -> bool:
        run = self.latest()
        return run is not None and not run.ended

    def end_run(self, superseded: bool) -> None:
        run = self.latest()
        if run is not None and not run.ended:
            run.superseded = superseded
            run.close()


class Trainings:
    """The trainings of all visitors.

    Args:
        most: trainings at once; a further one takes the place of the one that has rested longest.
        idle_s: s after which a training that rests is put away.
        most_steps, most_saved: of each, see `MOST_STEPS`, `MOST_SAVED`.
        clock: s that pass.
    """

    def __init__(
        self,
        most: int = MOST_TRAININGS,
        idle_s: float = IDLE_S,
        most_steps: int = MOST_STEPS,
        most_saved: int = MOST_SAVED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._idle_s, self._clock = most, idle_s, clock
        self._most_steps, self._most_saved = most_steps, most_saved
        self._changed = threading.Condition()  # guards the next two
        self._places: dict[str, _Place] = {}
        self._caretaker: threading.Thread | None = None

    def begin(self, learner: Learner[Any], owner: str = "", kind: str = "") -> str:
        """Start a training at step 0.

        Args:
            learner: not built yet.
            owner: whose it is; `leave` puts all of an owner's trainings away.
            kind: an owner has one training of each: the one before, whose key two quick starts may both have
                missed, is put away.

        Returns:
            The key by which its owner reaches it; nobody can guess it.

        Raises:
            InputError: `trainings_full` if all places are taken by trainings under way.
        """
        with self._changed:
            self._free_of(owner, kind)
        self._make_room()  # before the model takes its memory
        training = Training(learner, self._most_steps, self._most_saved)
        place = _Place(training, owner, kind, self._clock)
        place.touch()
        key = secrets.token_urlsafe(16)
        with self._changed:
            self._free_of(owner, kind)  # others may have begun meanwhile, the same owner included
            self._make_room()
            self._places[key] = place
            if self._caretaker is None:
                self._caretaker = threading.Thread(target=self._work, name="caretaker", daemon=True)
                self._caretaker.start()
            self._changed.notify_all()
        return key

    def run(self, key: str, step: int | None = None, most: int = MOST_STEPS) -> TrainingRun[Any]:
        """Go on with a training; a run of it that is under way ends.

        Args:
            key: of the training.
            step: where to go on; without it, where the training stopped. Later steps are forgotten.
            most: steps to take; none beyond is computed.

        Raises:
            InputError: `training_gone` if it was put away; `step_unknown`.
        """
        place = self._place(key)
        place.end_run(superseded=True)
        with place.lock:
            place.end_run(superseded=True)  # of somebody who was quicker
            if step is not None:
                place.training.rewind(step)
            run: TrainingRun[Any] = TrainingRun(place, most)
            place.latest = weakref.ref(run)
            return run

    def pause(self, key: str) -> None:
        """End the run of a training; a training that is gone stays so.

        Returns once the step that had begun is taken, so that what is recorded then is all there is.
        """
        place = self._places.get(key)
        if place is not None:
            place.end_run(superseded=False)
            with place.lock:
                pass

    def records(self, key: str) -> tuple[Any, ...]:
        """What was measured after each step so far, the untrained model first.

        Raises:
            InputError: `training_gone`.
        """
        return tuple(self._place(key).training.records)

    def learner(self, key: str) -> Any:
        """What is trained; its model may be in another process.

        Raises:
            InputError: `training_gone`.
        """
        return self._place(key).training.learner

    def change(self, key: str, settings: Any) -> None:
        """Let a visitor's settings hold from the next step on.

        Raises:
            InputError: `training_gone`.
        """
        self._place(key).training.change(settings)

    def present(self, key: str) -> Stretch[Any]:
        """What leads a model to where its training is now, while no run of it is under way; see `reached`.

        Raises:
            InputError: `training_gone`.
        """
        training = self._place(key).training
        return training.stretch(len(training.records) - 1)

    def holds(self, key: str) -> bool:
        """Whether a training is still there."""
        return key in self._places

    def free(self, key: str) -> None:
        """Put a training away; its run ends within one step."""
        with self._changed:
            self._free(key)

    def leave(self, owner: str) -> None:
        """Put away all that belongs to a visitor who has left."""
        with self._changed:
            for key in [key for key, place in self._places.items() if place.owner == owner]:
                self._free(key)

    def sweep(self) -> float:
        """Put away what has rested too long.

        Returns:
            s until there may be more to put away.
        """
        with self._changed:
            now = self._clock()
            for key, place in list(self._places.items()):
                if now - place.touched >= self._idle_s:
                    self._free(key)
            rests = [now - place.touched for place in self._places.values()]
            return self._idle_s - max(rests, default=0.0)

    def __len__(self) -> int:
        return len(self._places)

    def _place(self, key: str) -> _Place:
        place = self._places.get(key)
        if place is None:
            raise InputError("training_gone", minutes=round(self._idle_s / 60))
        place.touch()
        return place

    def _free(self, key: str) -> None:
        """With `_changed` held."""
        place = self._places.pop(key, None)
        if place is not None:
            place.gone = True
            place.end_run(superseded=True)
            self._changed.notify_all()

    def _free_of(self, owner: str, kind: str) -> None:
        """Put away what an owner has of a kind, the lock held."""
        for key, place in list(self._places.items()):
            if owner and kind and (place.owner, place.kind) == (owner, kind):
                self._free(key)

    def _make_room(self) -> None:
        with self._changed:
            if len(self._places) < self._most:
                return
            resting = [key for key, place in self._places.items() if not place.busy]
            if not resting:
                raise InputError("trainings_full", limit=self._most)
            self._free(min(resting, key=lambda key: self._places[key].touched))

    def _work(self) -> None:
        """Sweep whenever a training's time may be up; end with the last training."""
        while True:
            pause = self.sweep()
            with self._changed:
                if not self._places:
                    self._caretaker = None
                    return
                self._changed.wait(max(1.0, pause))


trainings = Trainings()  # shared by all tabs, so that its limits hold for the machine
