"""The steps of runs on their way from whatever computes them to whoever asked."""

import contextlib
import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from pipelines.serving.errors import InputError, fault_of

log = logging.getLogger(__name__)
Step = TypeVar("Step")
RETRY_S = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # pauses before a run that was lost is asked for again


class Outbox(Generic[Step]):
    """What a run's iterator and its engine share, and nobody else."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        # A step, or an error, or None at the end. It holds a run's steps at most, so an iterator
        # that is read slowly delays nobody.
        self.steps: queue.SimpleQueue[Step | Exception | None] = queue.SimpleQueue()

    def put(self, item: Step | Exception | None) -> None:
        self.steps.put(item)


class Steps(Iterator[Step]):
    """The steps of one run, for the visitor who asked; closing or dropping it stops the run."""

    def __init__(self, outbox: Outbox[Step]) -> None:
        self._outbox = outbox

    def __next__(self) -> Step:
        if self._outbox.closed.is_set():
            raise StopIteration
        item = self._outbox.steps.get()
        if item is not None and not isinstance(item, Exception):
            return item
        self._outbox.closed.set()
        if item is None:
            raise StopIteration
        raise item

    def arrivals(self) -> Iterator[list[Step]]:
        """The same steps in lists: whatever has come since one last looked, at least one.

        Who needs longer to show a step than the engine to take it thus falls no further behind.
        """
        for step in self:
            steps = [step]
            while not self._outbox.steps.empty():
                item = self._outbox.steps.get()
                if item is None or isinstance(item, Exception):
                    self._outbox.steps.put(item)  # the ending, which nothing follows
                    break
                steps.append(item)
            yield steps

    def close(self) -> None:
        """Stop the run at the next tick; nobody else's."""
        self._outbox.closed.set()
        self._outbox.put(None)  # wakes a thread that waits for the next step

    def __del__(self) -> None:
        self.close()


class Closable(Iterator[Any], Protocol):
    """Steps that come one by one; closing stops their run."""

    def close(self) -> None: ...


Start: TypeAlias = Callable[[Sequence[Any]], Sequence[Closable]]
# The number of a run and what came of it: ("step", step), ("end", None) or ("error", exception). The first of
# all, when the runs have begun, is (-1, "begun", None), or (-1, "error", exception) where they could not.
Message: TypeAlias = tuple[int, str, Any]


class Begun(Iterator[Message]):
    """Runs that were begun together, as messages that can be pickled; any thread may close it.

    Args:
        start: begins a run for each of the requests.
    """

    def __init__(self, start: Start, requests: Sequence[Any]) -> None:
        self._closed = False
        self._runs: dict[int, Closable] = {}
        self._messages = self._told(start, requests)

    def __next__(self) -> Message:
        return next(self._messages)

    def _told(self, start: Start, requests: Sequence[Any]) -> Iterator[Message]:
        try:
            self._runs = dict(enumerate(start(requests)))
        except Exception as error:
            yield -1, "error", portable(error)
            return
        yield -1, "begun", None
        while self._runs and not self._closed:
            for number, run in tuple(self._runs.items()):  # runs of one start are at the same step
                try:
                    yield number, "step", next(run)
                except StopIteration:
                    del self._runs[number]
                    yield number, "end", None
                except Exception as error:
                    del self._runs[number]
                    yield number, "error", portable(error)

    def close(self) -> None:
        """Stop the runs at their next step."""
        self._closed = True
        for run in tuple(self._runs.values()):
            with contextlib.suppress(ValueError):  # a generator that computes: it is left after its next step
                run.close()


def pause(seconds: float) -> None:
    """Let whatever was lost come back."""
    time.sleep(seconds)


class EngineError(RuntimeError):
    """An error of another process, with what is in its log."""


def portable(error: Exception) -> Exception:
    """An error as another process can read it: an `InputError`, or the text of any other."""
    if isinstance(error, InputError):
        return error
    if (fault := fault_of(error)) is not None:
        return fault
    log.exception("a run of another process failed", exc_info=error)
    return EngineError(f"{type(error).__name__}: {error}")


class Relay:
    """Brings the steps of runs that are computed elsewhere to their iterators, on a thread of its own.

    Runs are decided by their requests, so those that are lost with the process that drew them are asked for
    again; steps that their iterators already have are left out.

    Args:
        attempt: begins runs of these requests elsewhere and returns their messages, see `Begun`.
        requests: one of each run.
        is_lost: whether an error means that the other process is gone.
    """

    def __init__(
        self,
        attempt: Callable[[Sequence[Any]], Closable],
        requests: Sequence[Any],
        is_lost: Callable[[Exception], bool] = lambda error: False,
    ) -> None:
        self._attempt, self._requests, self._is_lost = attempt, requests, is_lost
        self._outboxes: list[Outbox[Any]] = [Outbox() for _ in requests]
        self._received = [0] * len(requests)
        self._ended: set[int] = set()
        self._begun: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def start(self) -> list[Steps[Any]]:
        """Begin; returns once the runs have begun.

        Raises:
            Exception: what the start raised there.
        """
        runs = [Steps(outbox) for outbox in self._outboxes]
        # whose request it is, which libraries look up, goes along
        work = contextvars.copy_context().run
        threading.Thread(target=work, args=(self._bring,), name="relay", daemon=True).start()
        if (error := self._begun.get()) is not None:
            raise error
        return runs

    def _bring(self) -> None:
        for seconds in RETRY_S:
            pause(seconds)
            try:
                self._follow()
                return
            except Exception as error:
                if not self._is_lost(error):
                    self._end_all(error)
                    return
                log.warning("runs were lost and are begun again: %s", error)
        self._end_all(InputError("engine_stopped"))

    def _follow(self) -> None:
        """One attempt at all runs that have not ended."""
        open_ones = [number for number in range(len(self._requests)) if not self._is_over(number)]
        if not open_ones:
            return
        seen = [0] * len(open_ones)
        messages = self._attempt([self._requests[number] for number in open_ones])
        try:
            for at, kind, value in messages:
                if at < 0:
                    self._begun.put(value)
                    if kind == "error":
                        return self._end_all(value)
                    continue
                number = open_ones[at]
                if kind == "step":
                    seen[at] += 1
                    if seen[at] > self._received[number]:
                        self._received[number] += 1
                        self._outboxes[number].put(value)
                else:
                    self._ended.add(number)
                    self._outboxes[number].put(value)
                if all(map(self._is_over, open_ones)):
                    return None
        finally:
            messages.close()
        if not all(map(self._is_over, open_ones)):
            raise InputError("engine_stopped")
        return None

    def _is_over(self, number: int) -> bool:
        return number in self._ended or self._outboxes[number].closed.is_set()

    def _end_all(self, error: Exception) -> None:
        self._begun.put(error)
        for number, outbox in enumerate(self._outboxes):
            if number not in self._ended:
                outbox.put(error)
