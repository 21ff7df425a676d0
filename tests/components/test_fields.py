"""What stands in a number field for a moment does no harm."""

import math

import gradio as gr
import pytest

from components.ui.fields import filled, slider, told
from pipelines.serving.errors import InputError


@pytest.mark.parametrize(
    ("typed", "read"), [(7.5, 7.5), (120, 20), (-3, 0), (None, 5), (math.nan, 5), (math.inf, 20), ("x", 5)]
)
def test_a_slider_gives_the_nearest_number_it_has(typed: object, read: float) -> None:
    assert slider(0, 20, value=5, step=0.5).preprocess(typed) == read  # type: ignore[arg-type]


def test_every_slider_of_the_page_is_one_of_these(demo: gr.Blocks) -> None:
    sliders = [block for block in demo.blocks.values() if isinstance(block, gr.Slider)]
    assert len(sliders) > 20
    for block in sliders:
        assert block.preprocess(None) == block.value, block.elem_id  # type: ignore[arg-type]
        assert block.preprocess(1e9) == block.maximum, block.elem_id


@pytest.mark.parametrize(
    ("value", "kind", "read"),
    [(3, int, 3), (3.0, int, 3), (0.5, float, 0.5), (2, float, 2.0), ("a", str, "a"), ([1], list, [1])],
)
def test_what_a_script_tells_is_read_as_what_it_is(value: object, kind: type, read: object) -> None:
    found = told(gr.EventData(None, {"name": value}), "name", kind)
    assert found == read and type(found) is kind


@pytest.mark.parametrize("kind", [int, float, str, list])
@pytest.mark.parametrize("data", [None, {}, [], "name", {"name": None}, {"name": {}}, {"name": True}])
def test_what_no_script_of_the_page_tells_is_refused(data: object, kind: type) -> None:
    with pytest.raises(InputError, match="value_forged"):
        told(gr.EventData(None, data), "name", kind)


@pytest.mark.parametrize("value", [0.5, 1e300, 10**400, math.nan, math.inf, "3"])
def test_what_is_no_whole_number_is_none(value: object) -> None:
    with pytest.raises(InputError, match="value_forged"):
        told(gr.EventData(None, {"name": value}), "name", int)


def test_an_empty_field_of_the_page_has_what_it_begins_with() -> None:
    assert filled(gr.Textbox("at first"), None) == ""
    assert filled(gr.Radio(["a", "b"], value="a"), None) == "a"
    assert filled(gr.Number(3), None) is None
    assert filled(gr.Radio(["a", "b"], value="a"), "b") == "b"


@pytest.mark.parametrize("value", [[], ["a"], {}, {"a": 1}])
def test_where_one_thing_is_chosen_a_list_is_none(value: object) -> None:
    free = gr.Dropdown(["a", "b"], value="a", allow_custom_value=True)
    with pytest.raises(InputError, match="value_forged"):
        filled(free, value)
    assert filled(gr.Dropdown(["a"], multiselect=True), ["a"]) == ["a"]
