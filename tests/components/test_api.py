"""What programs get: errors they can act on, and nothing of the server's insides."""

import inspect
import re

import gradio as gr
import pytest
from gradio.utils import get_function_params

import app
from components.runs import queues
from components.ui.errors import explained
from components.ui.language import load_texts
from pipelines.serving.errors import InputError

calm = explained(load_texts("en"), for_page=False)


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
        calm(double)(-1)
    assert "has to be one from the list (a, b)" in caught.value.message
    assert "<b>" in caught.value.message, "programs read text, not HTML"


def test_an_unexpected_error_tells_nothing_of_the_inside() -> None:
    with pytest.raises(gr.Error) as caught:
        calm(double)(13)
    assert "ZeroDivision" not in caught.value.message
    assert "division" not in caught.value.message


def test_the_wrapped_function_keeps_what_gradio_lists() -> None:
    wrapped = calm(double)
    assert wrapped(4) == {"double": 8}
    assert inspect.getdoc(wrapped) == inspect.getdoc(double)
    assert [(name, default) for name, _, default, _ in get_function_params(wrapped)] == [("number", 2)]


def table_of_queues() -> set[tuple[str, int]]:
    dicts = [value for value in vars(queues).values() if isinstance(value, dict)]
    return {(d["concurrency_id"], d["concurrency_limit"]) for d in dicts if "concurrency_id" in d}


def test_every_endpoint_says_its_queue() -> None:
    for name, function in app.ENDPOINTS.items():
        queue = queues.queue_of(function)
        assert (queue["concurrency_id"], queue["concurrency_limit"]) in table_of_queues(), name
    assert queues.queue_of(app.ENDPOINTS["generate_film"])["concurrency_id"] == "film"
    assert queues.queue_of(app.ENDPOINTS["tokens"])["concurrency_id"] == "text"


def test_the_table_of_queues_names_every_queue() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \|", queues.__doc__, re.MULTILINE)
    assert {(name, int(limit)) for name, limit in rows} == table_of_queues()
