"""Values from outside: what passes, and what is said of the rest."""

import math

import numpy as np
import pytest

from pipelines.serving.checks import MAX_CHARACTERS, number, readable, whole, within
from pipelines.serving.errors import InputError


@pytest.mark.parametrize(
    ("value", "expected"), [(3, 3.0), (2.5, 2.5), (np.float32(0.5), 0.5), (10**400, math.inf)]
)
def test_numbers_are_numbers(value: object, expected: float) -> None:
    assert number(value) == expected


@pytest.mark.parametrize("value", [None, True, False, "3", [3], float("nan")])
def test_nothing_else_is_a_number(value: object) -> None:
    assert math.isnan(number(value))


@pytest.mark.parametrize("value", [-1, 11, 2.5, math.nan, math.inf, None, True, "3"])
def test_whole_numbers_have_bounds(value: object) -> None:
    assert whole("steps_range", 7.0, 0, 10) == 7
    with pytest.raises(InputError, match="steps_range") as caught:
        whole("steps_range", value, 0, 10)
    assert caught.value.values["low"] == 0 and caught.value.values["high"] == 10


@pytest.mark.parametrize("value", [-0.1, 2.1, math.nan, None, True])
def test_numbers_have_bounds(value: object) -> None:
    assert within("seconds_range", 1, 0, 2) == 1.0
    with pytest.raises(InputError, match="seconds_range"):
        within("seconds_range", value, 0, 2)


def test_text_is_readable() -> None:
    assert readable("🙂 ß") == "🙂 ß"
    for text in ("\ud800", 3):
        with pytest.raises(InputError, match="text_broken"):
            readable(text)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="prompt_too_long"):
        readable("a" * (MAX_CHARACTERS + 1))
