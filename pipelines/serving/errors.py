"""The one way a pipeline says that an input cannot be used."""

import reprlib


def short(value: object) -> str:
    """A value's `repr`, shortened, whatever the value is."""
    try:
        return reprlib.repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, say
        return f"<{type(value).__name__}>"


class InputError(ValueError):
    """An input that a visitor can mend.

    Args:
        key: name of the message in the texts of `components/texts/*/errors.toml`.
        values: what the message says was required and what came.
    """

    def __init__(self, key: str, **values: object) -> None:
        self.key = key
        self.values = values
        super().__init__(f"{key}: {short(values)}" if values else key)
