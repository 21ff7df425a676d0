"""Where models compute, chosen by `STEUERVEKTOR_ENGINE`; callers cannot tell which engine answers.

All work of models goes through two doors: `starts_runs` (requests in, the steps of each out, closing a run
stops it) and `whole_call` (one answer). What passes them can be pickled: strings, numbers, numpy, PIL,
dataclasses of these, and weights of trainings.

- `local`: in this process, on its stepper and its compute thread.
- `ray`: in replicas of Ray Serve, each a process with a stepper (`pipelines/serving/ray_engine.py`).
- `zerogpu`: hub models in forked processes of a ZeroGPU Space (`pipelines/serving/zerogpu_engine.py`).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from pipelines.serving.ray_engine import RayEngine
from pipelines.serving.work import Load, Work, engine_name
from pipelines.serving.zerogpu_engine import ZeroGpuEngine

P = ParamSpec("P")
R = TypeVar("R")
Request = TypeVar("Request")


class Engine(Protocol):
    """Where models compute."""

    def submit(self, work: Work, requests: Sequence[Any]) -> list[Any]:
        """Begin a run for each request, all at the same tick.

        Returns:
            Iterators of steps, as `Steps`.
        """

    def call(self, work: Work, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do work that has one answer; the caller waits."""


class LocalEngine:
    """In this process: nothing stands between caller and models."""

    def submit(self, work: Work, requests: Sequence[Any]) -> list[Any]:
        return cast("list[Any]", work.function(requests))

    def call(self, work: Work, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return work.function(*args, **kwargs)


ENGINES: dict[str, Callable[[], Engine]] = {
    "local": LocalEngine,
    "ray": RayEngine,
    "zerogpu": ZeroGpuEngine,
}


@functools.cache
def engine() -> Engine:
    """The engine of this process, see `engine_name`.

    Raises:
        SystemExit: the variable names none, or one whose package is not installed.
    """
    name = engine_name()
    if name not in ENGINES:
        raise SystemExit(f"STEUERVEKTOR_ENGINE is {name!r}; it can be {', '.join(ENGINES)}.")
    try:
        return ENGINES[name]()
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"STEUERVEKTOR_ENGINE={name} needs the package {error.name!r} (docs/scaling.md)."
        ) from error


def starts_runs(
    role: str, load: Load
) -> Callable[[Callable[[Sequence[Request]], R]], Callable[[Sequence[Request]], R]]:
    """Decorator of a module's function that begins a run for each of the requests it is given.

    Args:
        role: which replicas do it, see `ROLES`.
        load: loads the model of an id, where that is to happen beforehand.
    """

    def decorate(function: Callable[[Sequence[Request]], R]) -> Callable[[Sequence[Request]], R]:
        @functools.wraps(function)
        def door(requests: Sequence[Request]) -> R:
            return cast("R", engine().submit(work, requests))

        work = Work(door, role, load)
        return door

    return decorate


def whole_call(role: str, load: Load) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of a module's function with one answer; see `starts_runs`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def door(*args: P.args, **kwargs: P.kwargs) -> R:
            return cast("R", engine().call(work, args, kwargs))

        work = Work(door, role, load)
        return door

    return decorate
