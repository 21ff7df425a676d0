"""The one way a pipeline says that an input cannot be used, and which faults of a machine have a sentence."""

import errno
import reprlib

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def short(value: object) -> str:
    """A value's `repr`, shortened, whatever the value is."""
    try:
        return reprlib.repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, say
        return f"<{type(value).__name__}>"


class InputError(ValueError):
    """An input that a visitor can mend.

    Args:
        key: name of the message in the texts of `components/ui/texts/errors.*.toml`.
        values: what the message says was required and what came.
    """

    def __init__(self, key: str, **values: object) -> None:
        self.key = key
        self.values = values
        super().__init__(f"{key}: {short(values)}" if values else key)


def is_disk_full(error: BaseException) -> bool:
    """Whether a file could not be written for want of room."""
    return isinstance(error, OSError) and error.errno in _DISK_FULL


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was short, a GPU's or the machine's; PyTorch's CPU allocator has no type for it."""
    # `torch.OutOfMemoryError` by its name: this is imported before OpenMP is told what PyTorch reads of it
    kinds = {kind.__name__ for kind in type(error).__mro__}
    told = str(error) if isinstance(error, RuntimeError) else ""
    return bool(kinds & {"OutOfMemoryError", "MemoryError"}) or "DefaultCPUAllocator" in told


def fault_of(error: BaseException | None) -> InputError | None:
    """The fault of the machine behind an exception or its causes: libraries wrap the first in others.

    Returns:
        `out_of_memory`, `disk_full`, or None for anything else.
    """
    while error is not None:
        if is_out_of_memory(error):
            return InputError("out_of_memory")
        if is_disk_full(error):
            return InputError("disk_full")
        error = error.__cause__ or error.__context__
    return None
