"""Memory that nobody needs: what glibc keeps for later in a heap of each thread, and compilers for GPUs."""

import ctypes
import logging
import sys

import torch

_M_ARENA_MAX = -8  # malloc.h of glibc


def few_heaps(most: int = 2) -> bool:
    """Let threads share so many heaps; heaps that are there already stay.

    Without it, each of some hundred threads may keep one, as large as whatever it once computed.

    Returns:
        Whether the C library can: glibc alone has heaps of this kind.
    """
    glibc = _glibc()
    return glibc is not None and bool(glibc.mallopt(_M_ARENA_MAX, most))


def give_back() -> bool:
    """Return free memory to the machine; whether there was any, and a C library that can."""
    glibc = _glibc()
    return glibc is not None and bool(glibc.malloc_trim(0))


def without_triton() -> None:
    """Let `import triton` fail as if it were not installed, unless a GPU is there to compile for.

    PyTorch's compiler, which diffusers imports, imports it wherever it is found: 80 MB.
    """
    if not torch.cuda.is_available() and "triton" not in sys.modules:
        sys.modules["triton"] = None  # type: ignore[assignment]  # the language's own way to halt an import
        logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)  # says that it is not there


def _glibc() -> ctypes.CDLL | None:
    """The C library of this process if it is glibc."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows has no library without a name
        return None
    return library if hasattr(library, "gnu_get_libc_version") else None
