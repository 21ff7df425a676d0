"""The two threads that models compute on: one for texts, one for everything else.

Every thread that calls PyTorch gets a pool of OpenMP threads of its own. Once there are more of them than
cores, each operation waits for its helpers to be woken: on two cores, the same U-Net call takes twice as
long from the moment a second thread has called anything (docs/decisions.md). Visitors' requests come on
some fifty threads. So all of them hand their work to the compute thread, which also keeps pipelines, which
are not thread-safe, from running beside themselves.

Text encoders alone have a thread of their own, on one core and so without a pool: they take milliseconds, and
who reads does not wait until eight pictures have taken a step.
"""

import atexit
import functools
import itertools
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

import torch

from pipelines.serving.errors import InputError

log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

QUIET_S = 0.5  # nobody has asked for anything for so long: between two steps of a run there is no such pause
# How long work lets later work go first: a picture is watched, and a sound is heard while it is made. It is a
# time and no rank, so that nothing waits for ever.
FILM_S, TRAINING_S = 0.4, 1.0

END_S = 5.0  # for all work under way when the process ends

_here = threading.local()
_browser_expected = False
_last_asked = 0.0  # when a visitor's work was last handed over or done, on the clock of `time.monotonic`


_bearing = threading.Lock()


def _contained(work: Callable[[], R]) -> R:
    """Do it, and let no thread end by it, neither this one nor that of the caller, to which the error goes.

    Raises:
        InputError: `engine_stopped` where the work asked its thread to end, as `sys.exit` does.
    """
    try:
        return work()
    except Exception:
        raise
    except BaseException as error:
        log.exception("work asked its thread to end")
        raise InputError("engine_stopped") from error


class _Worker:
    """A thread that takes the work that is due first; it starts with its first work.

    Should it end all the same, whoever waits for it is told so, and the next work starts another, unless the
    process is about to end.

    Args:
        name: of the thread.
        cores: that its operations use.
    """

    def __init__(self, name: str, cores: int) -> None:
        self._name, self._cores = name, cores
        self.begin_anew()

    def begin_anew(self) -> None:
        """No thread yet and no lock held, as in a forked process, which has no threads of the first."""
        self._line: queue.PriorityQueue[tuple[float, int, Future[Any], Callable[[], Any] | None]] = (
            queue.PriorityQueue()
        )
        self._count = itertools.count()  # of two that are due at once, the first comes first
        self._thread: threading.Thread | None = None
        self._under_way: Future[Any] | None = None
        self._last = ""  # once there is no later work, the key of what is said to whoever wants some
        self._starting = threading.Lock()  # held while work is put in line, so that none is after the last

    def is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def call(self, function: Callable[[], R], slack_s: float) -> R:
        """Run it as if it had come `slack_s` later; waits for it.

        Raises:
            InputError: `engine_stopped` if the thread ended before it was done, `app_ends` if the process is
                about to.
        """
        answer: Future[R] = Future()
        with self._starting:
            if self._last:
                raise InputError(self._last)
            if self._thread is None:
                self._thread = threading.Thread(target=self._live, name=self._name, daemon=True)
                self._thread.start()
            self._line.put((time.monotonic() + slack_s, next(self._count), answer, function))
        return answer.result()

    def end(self, deadline: float) -> None:
        """Let the work under way be the last; waits for it until then, on the clock of `time.monotonic`.

        Whoever waits for other work, or wants some, is told that the app ends. A second call waits no more.
        """
        with self._starting:
            if self._last:
                return
            self._last, thread = "app_ends", self._thread
            self._refuse_waiting(self._last)
            self._line.put((-math.inf, -1, Future(), None))
        if thread is not None:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _live(self) -> None:
        try:
            self._work()
        except BaseException:
            log.exception("the thread %r ended; who waited for it is told", self._name)
            with self._starting:
                self._thread = None
                if self._under_way is not None and not self._under_way.done():
                    self._under_way.set_exception(InputError("engine_stopped"))
                self._under_way = None
                self._refuse_waiting("engine_stopped")

    def _refuse_waiting(self, key: str) -> None:
        with suppress(queue.Empty):
            while True:
                self._line.get_nowait()[2].set_exception(InputError(key))

    def _work(self) -> None:
        with _bearing:
            torch.set_num_threads(self._cores)
            torch.get_num_threads()  # a thread takes its number at its first look, which comes too late else
        while True:
            *_, self._under_way, function = self._line.get()
            if function is None:
                return
            try:
                self._under_way.set_result(_contained(function))
            except Exception as error:
                self._under_way.set_exception(error)
            self._under_way = None  # an idle thread holds nobody's pictures
            del function


_compute = _Worker("compute", torch.get_num_threads())
_texts = _Worker("texts", 1)


def _in_forked_process() -> None:
    global _bearing
    _bearing = threading.Lock()
    for worker in (_compute, _texts):
        worker.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_process)


@atexit.register
def end() -> None:
    """Let both end in order, within `END_S`: a process that ends in the midst of PyTorch's work aborts."""
    deadline = time.monotonic() + END_S
    for worker in (_compute, _texts):
        worker.end(deadline)


def _on(worker: _Worker, slack_s: float) -> Callable[[Callable[P, R]], Callable[P, R]]:
    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            if worker.is_here():
                return function(*args, **kwargs)
            if _texts.is_here():
                raise RuntimeError(
                    "the texts' thread must not wait for the compute thread, which waits for it"
                )
            work = functools.partial(function, *args, **kwargs)
            if getattr(_here, "patient", False):
                wait_until_quiet()
                return worker.call(work, slack_s)
            _note_asked()
            try:
                return worker.call(work, slack_s)
            finally:
                _note_asked()

        return wrapped

    return decorate


def due_later(slack_s: float) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator: as `on_compute_thread`, but work that comes within `slack_s` goes first."""
    return _on(_compute, slack_s)


def on_compute_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: calls run on the compute thread, in the order in which they come; the caller waits.

    Nested calls run at once. Of other threads, only the texts' may be waited for there.
    """
    return _on(_compute, 0.0)(function)


def on_text_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: calls run on the texts' thread, in the order in which they come; the caller waits.

    Whatever calls a text encoder that visitors share runs there, and nothing else.
    """
    return _on(_texts, 0.0)(function)


def _note_asked() -> None:
    global _last_asked
    _last_asked = time.monotonic()


def wait_until_quiet() -> None:
    """Return once no visitor has asked for anything for `QUIET_S`."""
    while (left := _last_asked + QUIET_S - time.monotonic()) > 0:
        time.sleep(left)


@contextmanager
def low_priority() -> Iterator[None]:
    """Let what this thread asks for wait whenever visitors ask for something."""
    _here.patient = True
    try:
        yield
    finally:
        _here.patient = False


@contextmanager
def one_core() -> Iterator[None]:
    """Let operations of this thread use one core.

    For models so small that sharing an operation costs more than it gains; and sums are then in the same
    order on every machine, however many cores it has.
    """
    with _cores(1):
        yield


def expect_browser() -> None:
    """Say that a browser on this machine shows what is computed here; see `beside_browser`."""
    global _browser_expected
    _browser_expected = True


@contextmanager
def beside_browser() -> Iterator[None]:
    """Let operations of this thread leave a core to a browser, if one is expected on this machine.

    For what it shows step by step, where operations are so small that all cores do them hardly sooner than
    all but one: whoever shares an operation waits for the thread whose core the browser has.
    """
    all_cores = torch.get_num_threads()
    with _cores(max(1, all_cores - 1) if _browser_expected else all_cores):
        yield


@contextmanager
def _cores(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_short_lived_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: calls run on a thread that ends with them and takes its OpenMP pool along.

    For what takes too long to keep all other visitors waiting, such as loading a model.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with ThreadPoolExecutor(1, thread_name_prefix="passing") as thread:
            return thread.submit(_contained, functools.partial(function, *args, **kwargs)).result()

    return wrapped
