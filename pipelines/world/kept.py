"""Arrays that are made once and kept, as many as fit into so many bytes."""

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import ParamSpec

import numpy as np

P = ParamSpec("P")


def kept_arrays(most_bytes: int) -> Callable[[Callable[P, np.ndarray]], Callable[P, np.ndarray]]:
    """Decorator like `lru_cache`, whose limit is the size of what is kept, not its number.

    The arrays cannot be written to: all callers get the same.
    """

    def decorate(make: Callable[P, np.ndarray]) -> Callable[P, np.ndarray]:
        kept: OrderedDict[Hashable, np.ndarray] = OrderedDict()  # the least recently used first
        lock, held = threading.Lock(), 0

        @functools.wraps(make)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> np.ndarray:
            nonlocal held
            key = (args, tuple(sorted(kwargs.items())))
            with lock:
                if key in kept:
                    kept.move_to_end(key)
                    return kept[key]
            made = np.ascontiguousarray(make(*args, **kwargs))  # a view would hold what it is a view of
            made.setflags(write=False)
            with lock:
                if key not in kept:  # another thread may have been quicker
                    held += made.nbytes
                    kept[key] = made
                while held > most_bytes:
                    held -= kept.popitem(last=False)[1].nbytes
            return made

        wrapped.kept = kept  # type: ignore[attr-defined]
        return wrapped

    return decorate
