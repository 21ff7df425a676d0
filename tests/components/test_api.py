"""What programs get: errors they can act on, and nothing of the server's insides."""

import inspect

import gradio as gr
import pytest
from gradio.utils import get_function_params

from components.page.api import _clear_errors
from pipelines.serving.errors import InputError


def double(number: int = 2) -> dict[str, int]:
    """Double a number.

    Args:
        number: any whole number.
    """
    if number < 0:
        raise InputError("model_unknown", received="<b>", known="a, b")
    return {"double": number * 2 // (0 if number == 13 else 1)}


def test_an_input_error_is_a_clear_english_sentence() -> None:
    with pytest.raises(gr.Error) as caught:
        _clear_errors(double)(-1)
    assert "has to be one from the list (a, b)" in caught.value.message


def test_an_unexpected_error_tells_nothing_of_the_inside() -> None:
    with pytest.raises(gr.Error) as caught:
        _clear_errors(double)(13)
    assert "ZeroDivision" not in caught.value.message
    assert "division" not in caught.value.message


def test_the_wrapped_function_keeps_what_gradio_lists() -> None:
    wrapped = _clear_errors(double)
    assert wrapped(4) == {"double": 8}
    assert inspect.getdoc(wrapped) == inspect.getdoc(double)
    assert [(name, default) for name, _, default, _ in get_function_params(wrapped)] == [("number", 2)]
