"""What stands in a number field for a moment does no harm."""

import math

import gradio as gr
import pytest

import app
from components.ui.fields import Slider


@pytest.mark.parametrize(
    ("typed", "read"), [(7.5, 7.5), (120, 20), (-3, 0), (None, 5), (math.nan, 5), (math.inf, 20), ("x", 5)]
)
def test_a_slider_gives_the_nearest_number_it_has(typed: object, read: float) -> None:
    assert Slider(0, 20, value=5, step=0.5).preprocess(typed) == read  # type: ignore[arg-type]


def test_every_slider_of_the_page_is_one_of_these_and_is_drawn_as_gradios() -> None:
    demo = app.build()
    sliders = [block for block in demo.blocks.values() if isinstance(block, gr.Slider)]
    assert len(sliders) > 20 and all(isinstance(block, Slider) for block in sliders)
    assert {block.get_block_name() for block in sliders} == {"slider"}
