import base64
import io
import json
import math
import re
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
from markupsafe import escape
from PIL import Image

from components.guidance.sweep import SCALES, guidance_sweep, sweep_run
from components.guidance.tab import AWAY, compare_without_and_with, turn
from components.guidance.view import dial_view, formula, sum_view, sweep_figure, sweep_row
from components.page.prompt_bar import BarValues
from components.runs.frames import Frames
from components.runs.slot import RunSlot
from components.ui.language import load_texts
from components.ui.numbers import short
from pipelines.clip.model import clip_scores
from pipelines.image import image, stepper
from pipelines.image.guidance import GuidanceSweep
from pipelines.image.request import ImageRequest, Trace
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from tests.oracles import unpacked

T = load_texts("en")


def request(**changes) -> ImageRequest:
    values = {"prompt": "A small cat on a bed.", "num_inference_steps": 2, "model": "classroom-image"}
    return ImageRequest(**(values | changes)).validated()


@pytest.fixture(scope="module")
def trace() -> Trace:
    return image.run(request())


def sweep_of(scales: tuple[float, ...]) -> GuidanceSweep:
    """A sweep with made-up scores; what draws it takes any."""
    pictures = tuple(Image.new("RGB", (8, 8), (int(12 * s), 0, 0)) for s in scales)
    scores = np.linspace(0.1, 0.3, len(scales))
    return GuidanceSweep(np.array(scales), pictures, scores, np.zeros((len(scales), 4, 2, 2)))


@pytest.mark.parametrize(
    ("scale", "key"),
    [(0, "scale_zero"), (0.5, "scale_below"), (1, "scale_one"), (5, "scale_usual"), (20, "scale_high")],
)
def test_formula_says_what_the_scale_means(scale, key):
    text = formula(request(guidance_scale=scale), T)
    assert f"<b>{scale}</b>" in text
    assert escape(T(f"guidance.{key}")) in text


def test_a_distilled_model_is_not_said_to_ignore_the_prompt():
    """Up to a scale of 1 it draws with the prompt alone."""
    at_zero = formula(request(guidance_scale=0, model="sd-turbo"), T)
    assert escape(T("guidance.scale_distilled")) in at_zero and T("guidance.scale_zero") not in at_zero
    assert escape(T("guidance.scale_usual")) in formula(request(guidance_scale=5, model="sd-turbo"), T)
    figure = sweep_figure(sweep_of(SCALES), "sd-turbo", T)
    assert [a.text for a in figure.layout.annotations] == [T("guidance.sweep_distilled")]


def test_formula_names_the_negative_prompt_when_it_takes_the_empty_ones_place():
    assert "negative" not in formula(request(), T)
    assert "(with − negative)" in formula(request(negative_prompt="blur"), T)


@pytest.mark.parametrize("scale", [0.0, 1.0, 7.5])
def test_the_sum_on_the_page_holds_for_the_trace(scale):
    trace = image.run(request(guidance_scale=scale))
    told = sum_view(trace, Frames.of(trace), T)
    assert f'<span class="factor">{short(scale, T)}</span>' in told["html"]
    for sent in zip(*(told["latents"][row] for row in ("prompt", "empty", "guided")), strict=True):
        prompt, empty, guided = (unpacked(text) for text in sent)
        # Each value is sent as a multiple of its row's unit, so up to half of that is lost.
        lost = [np.abs(row).max() / 127 / 2 for row in (prompt, empty, guided)]
        rounding = abs(scale) * lost[0] + abs(1 - scale) * lost[1] + lost[2]
        np.testing.assert_allclose(guided, empty + scale * (prompt - empty), rtol=0, atol=1.01 * rounding)


def test_sum_shows_every_step_with_one_scale_of_colours(trace):
    frames = Frames.of(trace)
    told = sum_view(trace, frames, T)
    rows = re.findall(r'data-row="(\w+)"', told["html"])
    assert set(rows) == {"prompt", "empty", "difference", "magnitude", "guided"}
    assert all(len(told["latents"][row]) == len(trace.steps) for row in ("prompt", "empty", "guided"))
    assert told["first"] == 1, "before the first step there is nothing to add up"
    differences = [step.denoised_prompt - step.denoised_empty for step in trace.steps]
    assert told["limits"]["difference"] == pytest.approx(np.abs(differences).max())
    assert told["limits"]["magnitude"] == pytest.approx(np.linalg.norm(differences, axis=1).max())
    assert set(told["exact"]["guided"]) == {str(told["start"] - 1)}


def test_a_model_without_the_empty_branch_says_so_instead_of_showing_a_sum(trace):
    steps = tuple(replace(step, denoised_empty=None) for step in trace.steps)
    distilled = replace(trace, steps=steps)
    assert T("image.no_branch") in sum_view(distilled, Frames.of(distilled), T)


def test_distilled_models_carry_a_note():
    turbo = next(e for e in catalogue.entries("image") if e.distilled)
    assert turbo.title in dial_view(request(model=turbo.id), "", "", None, T)
    assert "turbo" not in dial_view(request(), "", "", None, T).casefold()


def test_turning_the_dial_puts_the_new_picture_beside_the_one_before(trace):
    outputs = list(turn(request(guidance_scale=12), trace, RunSlot(), T))
    page, equation, _, new = outputs[-1]
    assert page.index(T("guidance.before", scale="5")) < page.index(T("guidance.now", scale="12"))
    assert page.count("<img") == 2
    assert new.request.guidance_scale == 12
    assert len(equation["latents"]["guided"]) == len(new.steps)


def test_stopping_the_dial_keeps_the_steps_so_far(trace):
    slot = RunSlot()
    outputs = turn(request(num_inference_steps=100), trace, slot, T)
    next(outputs), next(outputs)
    slot.stop()
    page, _, _, kept = list(outputs)[-1]
    assert 1 <= len(kept.steps) < 100
    assert T("guidance.run_stopped", step=len(kept.steps), total=100) in page


def test_sweep_plot_has_a_point_under_every_picture_and_marks_zero_and_one():
    sweep = sweep_of(SCALES)
    figure = sweep_figure(sweep, "classroom-image", T)
    assert list(figure.data[0].x) == list(range(8))
    np.testing.assert_array_equal(figure.data[0].y, sweep.clip_scores)
    assert [shape.x0 for shape in figure.layout.shapes] == [0, 1]
    assert [a.text for a in figure.layout.annotations] == [T("guidance.sweep_zero"), T("guidance.sweep_one")]
    assert sweep_row(sweep, T).count("<img") == 8


def test_sweep_plot_without_zero_and_one_has_no_marks():
    assert not sweep_figure(sweep_of((2.0, 4.0)), "classroom-image", T).layout.shapes


def test_a_sweep_shows_its_pictures_while_they_come_out_of_the_noise():
    first, *between, last = sweep_run(request(), None, RunSlot(), T)
    assert first[-1]["interactive"] is True
    assert between and all(
        row.count("<img") == 8 and figure["visible"] is False for row, figure, *_ in between
    )
    row, figure, summary, kept, stop = last
    assert row.count("<img") == len(figure["value"].data[0].x) == 8
    assert kept == (row, figure, summary)
    assert T("image.fact_prompt") in summary
    assert stop["interactive"] is False


def test_a_sweep_that_is_stopped_shows_how_far_it_came_and_one_that_drew_nothing_what_was_there():
    slot = RunSlot()
    run = sweep_run(request(num_inference_steps=50), ("old",) * 3, slot, T)
    next(run), next(run)
    slot.stop()
    *_, (row, _, summary, _, stop) = run
    assert row.count("<img") == 8 and "of 50" in summary and stop["interactive"] is False
    run = sweep_run(request(), ("old",) * 3, slot, T)
    next(run)
    slot.stop()
    assert list(run) == [("old", "old", "old", gr.skip(), gr.update(interactive=False))]


def test_a_sweep_that_another_overtakes_leaves_the_stop_button_to_it():
    slot = RunSlot()
    first = sweep_run(request(num_inference_steps=50), None, slot, T)
    next(first), next(first)
    second = sweep_run(request(), None, slot, T)
    next(second)
    assert list(first) == []
    second.close()


def test_a_dial_that_a_sweep_overtakes_shows_how_far_it_came_and_gives_its_own_stop_button_back(trace):
    slot = RunSlot()
    dial = turn(request(num_inference_steps=100), trace, slot, T)
    next(dial), next(dial)
    sweep = sweep_run(request(), None, slot, T)
    next(sweep)
    *_, (page, _, stop, kept) = dial
    assert T("guidance.run_stopped", step=len(kept.steps), total=100) in page and not stop["interactive"]
    assert slot.busy, "the sweep goes on"
    sweep.close()


def test_a_visitor_who_leaves_ends_a_sweep_within_a_step():
    slot = RunSlot()
    run = sweep_run(request(num_inference_steps=100), None, slot, T)
    next(run), next(run)
    run.close()
    image.run(request(num_inference_steps=1))  # the engine drops closed runs before its next step
    assert stepper.queue_length() == 0 and not slot.busy


def test_steering_away_from_nothing_changes_nothing_and_from_something_does():
    *_, (same, _, _) = compare_without_and_with(request(), None, RunSlot(), T)
    assert T("guidance.negative_change", change="0") in same
    negative = request(negative_prompt="cat, bed")
    *_, (steered, kept, stop) = compare_without_and_with(negative, None, RunSlot(), T)
    assert T("guidance.negative_change", change="0") not in steered
    assert steered.count("<img") == 2 and kept == (steered,) and stop["interactive"] is False


def test_steering_away_is_one_batch_that_can_be_stopped_and_says_where():
    slot = RunSlot()
    run = compare_without_and_with(request(negative_prompt="cat", num_inference_steps=60), None, slot, T)
    assert next(run)[-1]["interactive"] is True
    next(run)
    assert stepper.queue_length() == 2
    slot.stop()
    *_, (page, _, stop) = run
    assert page.count("<img") == 2 and "Stopped after step" in page and stop["interactive"] is False


def test_endpoint_scores_its_own_pictures():
    result = guidance_sweep("a red car", scales=[0, 1, 9], num_inference_steps=2)
    pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in result["images"]]
    assert result["scales"] == [0, 1, 9]
    expected = clip_scores(pictures, ["a red car"], catalogue.default_id("clip"))[:, 0]
    np.testing.assert_allclose(result["clip_scores"], expected, atol=1e-4)
    plain = image.run(ImageRequest("a red car", guidance_scale=9, num_inference_steps=2))
    difference = np.asarray(plain.image, dtype=int) - np.asarray(pictures[2], dtype=int)
    assert np.abs(difference).max() <= 1
    json.dumps(result)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"scales": []}, "scales_count"),
        ({"scales": [1.0] * 9}, "scales_count"),
        ({"scales": None}, "scales_count"),
        ({"scales": "12"}, "scales_count"),
        ({"scales": [math.nan]}, "guidance_scale_range"),
        ({"scales": [-1]}, "guidance_scale_range"),
        ({"scales": ["5"]}, "guidance_scale_range"),
        ({"prompt": ""}, "prompt_empty"),
        ({"prompt": "a" * 10_000}, "prompt_too_long"),
        ({"seed": 1.5}, "seed_range"),
        ({"model": "none"}, "model_unknown"),
    ],
)
def test_bad_input_has_a_message_in_both_languages(changes, key):
    with pytest.raises(InputError) as caught:
        guidance_sweep(**({"prompt": "a cat"} | changes))
    assert caught.value.key == key
    for language in ("de", "en"):
        assert load_texts(language)(f"errors.{key}", **caught.value.values)


@pytest.mark.slow
def test_the_word_no_is_read_neither_in_a_prompt_nor_in_a_negative_prompt() -> None:
    asked = [("a cat", ""), ("a cat, no text", ""), *AWAY.values(), ("a cat, text", "")]
    requests = [ImageRequest(prompt, negative, BarValues().seed) for prompt, negative in asked]
    pictures = image.decode_steps(image.draw_together(requests), "classroom-image")
    plain, no_text, steered, text, _, _, invited = clip_scores(pictures, ["a cat, text"], "classroom-clip")[
        :, 0
    ]
    assert no_text > plain + 0.1, "a prompt that says no text draws text"
    assert steered < no_text - 0.1 and text < invited - 0.05, "a negative prompt takes it away"
    away = image.picture_change(pictures[3], pictures[6])
    assert image.picture_change(pictures[3], pictures[4]) < 0.5 * away, "with or without its no"
