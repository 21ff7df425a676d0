"""Values from outside: what they have to be, and what is said where they are not."""

import math

import numpy as np

from pipelines.serving.errors import InputError

MAX_CHARACTERS = 2000  # of a prompt
MAX_SEED = 2**32 - 1


def number(value: object) -> float:
    """A float, or NaN for whatever is none (text, None, true and false)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def whole(key: str, value: object, low: int, high: int) -> int:
    """A whole number within bounds; JSON clients may send 20.0 for 20.

    Raises:
        InputError: `key`, with the bounds and what came.
    """
    found = number(value)
    if not (low <= found <= high and found == int(found)):
        raise InputError(key, low=low, high=high, received=value)
    return int(found)


def within(key: str, value: object, low: float, high: float) -> float:
    """A number within bounds.

    Raises:
        InputError: `key`, with the bounds and what came.
    """
    found = number(value)
    if not low <= found <= high:  # false for NaN, too
        raise InputError(key, low=low, high=high, received=value)
    return found


def has_lone_surrogate(text: str) -> bool:
    """Whether there are halves of UTF-16 pairs in a text, which no tokenizer reads and no UTF-8 holds."""
    return any("\ud800" <= c <= "\udfff" for c in text)


def readable(text: str, added: int = 0) -> str:
    """Text that a tokenizer can read: not endless, and no halves of UTF-16 pairs.

    Args:
        added: characters of it that nobody typed; only the others count.

    Raises:
        InputError: `text_broken` or `prompt_too_long`.
    """
    if not isinstance(text, str) or has_lone_surrogate(text[: MAX_CHARACTERS + added + 1]):
        raise InputError("text_broken")
    typed = len(text) - added
    if typed > MAX_CHARACTERS:
        raise InputError("prompt_too_long", limit=MAX_CHARACTERS, received=typed)
    return text


def more_added(text: str, other: str, added: int) -> int:
    """How many characters nobody typed of a text made of another, of which nobody typed `added`."""
    return added + max(0, len(other) - len(text))
