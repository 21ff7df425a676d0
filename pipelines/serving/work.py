"""What engines are handed: a function of a module of ours, by name, and whose model it needs."""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Load: TypeAlias = Callable[[str], Any]
ROLES = ("text", "image", "video", "audio")  # of replicas; CLIP and DINO see pictures in those of "image"


def engine_name() -> str:
    """What `STEUERVEKTOR_ENGINE` says; without it, "zerogpu" on a Space of that kind, else "local"."""
    on_zerogpu = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
    return os.environ.get("STEUERVEKTOR_ENGINE") or ("zerogpu" if on_zerogpu else "local")


@dataclass(frozen=True)
class Work:
    """A function that models work for.

    Attributes:
        door: the function of a module that callers call; pickle knows it by its name.
        role: which replicas do it.
        load: loads the model of an id.
    """

    door: Callable[..., Any]
    role: str
    load: Load

    @property
    def function(self) -> Callable[..., Any]:
        """The function as it is written, past the engine."""
        return behind(self.door)

    def model_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The id of the model that a call asks for, "" where it names none."""
        given = inspect.signature(self.function).bind(*args, **kwargs).arguments
        return str(given.get("model") or "") or next(filter(None, map(model_in, given.values())), "")


def model_in(request: Any) -> str:
    """The id of the model that a request, what came of one, or a pair with one asks for."""
    if isinstance(request, tuple):
        return next(filter(None, map(model_in, request)), "")
    asked = getattr(request, "request", request)
    return str(getattr(asked, "model", ""))


def behind(door: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is written, past the engine."""
    function: Callable[..., Any] = door.__wrapped__  # type: ignore[attr-defined]
    return function
