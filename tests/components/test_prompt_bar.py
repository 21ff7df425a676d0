"""The bar reads its values out of an address for which nobody vouches."""

import json

import gradio as gr
import numpy as np
import pytest

from components.page import prompt_bar
from components.page.prompt_bar import (
    EXAMPLES,
    FIRST,
    LECTURE,
    BarValues,
    build_prompt_bar,
    values_from_query,
)
from components.ui.language import load_texts
from pipelines.clip.model import clip_scores
from pipelines.image.image import decode_steps, draw_together
from pipelines.image.request import ImageRequest
from pipelines.serving import catalogue
from pipelines.serving.checks import MAX_SEED


def test_the_lectures_prompts_are_the_examples_letter_by_letter() -> None:
    assert [example.prompt for example in LECTURE] == [
        "A small cat on a bed.",
        "A  cat in front of a House.",
        "A cat. Cozy atmosphere. Dimm lighting.",
    ]
    assert EXAMPLES == LECTURE and FIRST not in EXAMPLES


def test_a_chip_sets_prompt_and_seed_in_the_browser_alone() -> None:
    with gr.Blocks() as page:
        bar = build_prompt_bar(load_texts("en"))
    chips = [block._id for block in page.blocks.values() if "sv-chip" in (block.elem_classes or ())]
    clicks = [f for f in page.fns.values() if any(i in chips for i, _ in f.targets)]
    assert len(chips) == len(clicks) == len(EXAMPLES)
    for example, click in zip(EXAMPLES, clicks, strict=True):
        assert not click.fn and click.outputs == [bar.prompt, bar.seed]
        assert json.loads(click.js.removeprefix("() => (").removesuffix(")")) == [
            example.prompt,
            example.seed,
        ]


@pytest.mark.slow
def test_the_shipped_model_draws_what_each_example_says() -> None:
    steps = draw_together([ImageRequest(e.prompt, seed=e.seed) for e in (FIRST, *EXAMPLES)])
    pictures = decode_steps(steps, "classroom-image")
    texts = [e.prompt for e in (FIRST, *EXAMPLES)]
    scores = clip_scores(pictures, texts, "classroom-clip")
    assert (scores.argmax(1) == np.arange(len(texts))).all(), "each fits its own text best"
    assert scores.diagonal().min() > 0.35  # what is drawn with another prompt scores below 0.27


def test_what_the_address_says_is_restored() -> None:
    query = {"prompt": "Zwei Bären", "prompt_b": "b", "negative_prompt": "snow", "seed": "7",
             "guidance_scale": "3.5", "num_inference_steps": "12"}  # fmt: skip
    assert values_from_query(query) == BarValues("Zwei Bären", "b", "snow", 7, 3.5, 12)
    assert values_from_query({}) == BarValues()


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "", "seven", "<script>", "1e999"])
def test_what_is_no_finite_number_becomes_the_default(text: str) -> None:
    values = values_from_query({"seed": text, "guidance_scale": text, "num_inference_steps": text})
    assert values == BarValues()


def test_numbers_out_of_range_are_moved_to_its_edge_and_texts_are_cut() -> None:
    values = values_from_query(
        {"seed": "-3", "guidance_scale": "900", "num_inference_steps": "0", "prompt": "a" * 9000}
    )
    assert (values.seed, values.guidance_scale, values.num_inference_steps) == (0, 20.0, 1)
    assert len(values.prompt) == 2000
    assert values_from_query({"seed": str(2**40)}).seed == MAX_SEED


def test_an_address_chooses_among_models_on_disk_and_starts_no_download(monkeypatch) -> None:
    assert values_from_query({"image_model": "sdxl-turbo"}) == BarValues()
    monkeypatch.setattr(catalogue, "on_disk", lambda e: e.id == "sdxl-turbo")
    assert values_from_query({"image_model": "sdxl-turbo"}).image_model == "sdxl-turbo"


def test_models_that_the_catalogue_lacks_fall_back_to_the_preselected() -> None:
    assert values_from_query({"clip_model": "evil/model"}) == BarValues()
    assert values_from_query({"clip_model": "classroom-image"}) == BarValues(), "wrong role"


def test_the_components_start_with_the_default_values() -> None:
    with gr.Blocks():
        bar = build_prompt_bar(load_texts("de"))
    default = BarValues()
    assert [component.value for component in bar.values] == [
        default.prompt, default.prompt_b, default.negative_prompt, default.seed,
        default.guidance_scale, default.num_inference_steps, default.clip_model, default.image_model,
    ]  # fmt: skip


def test_a_distilled_model_brings_its_own_scale_and_steps(monkeypatch) -> None:
    assert prompt_bar._own_values("sd-turbo") == (1.0, 4)
    assert prompt_bar._own_values("classroom-image") == (5.0, 20)
    monkeypatch.setattr(
        catalogue, "default_id", lambda role: {"image": "sd-turbo"}.get(role, "classroom-clip")
    )
    assert (BarValues().guidance_scale, BarValues().num_inference_steps) == (1.0, 4)
