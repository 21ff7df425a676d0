"""What stands in a number field for a moment does no harm."""

import math

import gradio as gr
import pytest

import app
from components.ui.fields import slider


@pytest.mark.parametrize(
    ("typed", "read"), [(7.5, 7.5), (120, 20), (-3, 0), (None, 5), (math.nan, 5), (math.inf, 20), ("x", 5)]
)
def test_a_slider_gives_the_nearest_number_it_has(typed: object, read: float) -> None:
    assert slider(0, 20, value=5, step=0.5).preprocess(typed) == read  # type: ignore[arg-type]


def test_every_slider_of_the_page_is_one_of_these() -> None:
    sliders = [block for block in app.build().blocks.values() if isinstance(block, gr.Slider)]
    assert len(sliders) > 20
    for block in sliders:
        assert block.preprocess(None) == block.value, block.elem_id  # type: ignore[arg-type]
        assert block.preprocess(1e9) == block.maximum, block.elem_id
