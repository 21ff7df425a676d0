"""Memory that is free but still the process's: glibc keeps it for later in a heap of each thread."""

import ctypes

_M_ARENA_MAX = -8  # malloc.h of glibc


def few_heaps(most: int = 2) -> bool:
    """Let threads share so many heaps; heaps that are there already stay.

    Without it, each of some hundred threads may keep one, as large as whatever it once computed.

    Returns:
        Whether the C library can: glibc alone has heaps of this kind.
    """
    limit = getattr(ctypes.CDLL(None), "mallopt", None)
    return _is_glibc() and limit is not None and bool(limit(_M_ARENA_MAX, most))


def give_back() -> bool:
    """Return free memory to the machine; whether there was any, and a C library that can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return _is_glibc() and trim is not None and bool(trim(0))


def _is_glibc() -> bool:
    return hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
