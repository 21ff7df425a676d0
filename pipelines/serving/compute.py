"""The one thread that models compute on.

Every thread that calls PyTorch gets a pool of OpenMP threads of its own. Once there are more of them than
cores, each operation waits for its helpers to be woken: on two cores, the same U-Net call takes twice as
long from the moment a second thread has called anything (docs/decisions.md). Visitors' requests come on
some fifty threads. So all of them hand their work to this one, which also keeps pipelines, which are not
thread-safe, from running beside themselves.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")

QUIET_S = 0.5  # nobody has asked for anything for so long: between two steps of a run there is no such pause

_here = threading.local()
_last_asked = 0.0  # when a visitor's work was last handed over or done, on the clock of `time.monotonic`


def _begin() -> None:
    _here.computes = True


_thread = ThreadPoolExecutor(
    1, thread_name_prefix="compute", initializer=_begin
)  # starts with its first work


def on_compute_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: calls run on the compute thread, in the order in which they come; the caller waits.

    Nested calls run at once. Nothing that waits for other threads may run there.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        if getattr(_here, "computes", False):
            return function(*args, **kwargs)
        if getattr(_here, "patient", False):
            wait_until_quiet()
            return _thread.submit(function, *args, **kwargs).result()
        _note_asked()
        try:
            return _thread.submit(function, *args, **kwargs).result()
        finally:
            _note_asked()

    return wrapped


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
    before = torch.get_num_threads()
    torch.set_num_threads(1)
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
            return thread.submit(function, *args, **kwargs).result()

    return wrapped
