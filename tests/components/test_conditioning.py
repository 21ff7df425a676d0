"""The conditioning tab: four heat maps, cut pictures, prompts that give way."""

from dataclasses import replace

import numpy as np
import pytest
from markupsafe import escape
from PIL import Image

from components.conditioning.tab import (
    OTHER,
    PRESETS,
    cut_blocks,
    cuts_run,
    effects_run,
    second_prompt,
    switch_prompts,
    switch_run,
    switches_run,
)
from components.conditioning.view import cuts_view, effects_figures, switch_figure, switch_row
from components.page.prompt_bar import BarValues
from components.runs.slot import RunSlot
from components.ui.language import load_texts
from pipelines.image import conditioning as pipeline
from pipelines.image import image
from pipelines.image.request import ImageRequest
from pipelines.image.steering import Steering

T, DE = load_texts("en"), load_texts("de")
PICTURE = Image.new("RGB", (4, 4))


def request(**changes) -> ImageRequest:
    values = {"prompt": "a red cat", "num_inference_steps": 2, "model": "classroom-image"}
    return ImageRequest(**(values | changes)).validated()


@pytest.mark.parametrize(("hears", "texts"), [(True, T), (False, DE)])
def test_there_is_a_map_for_each_effect(hears, texts):
    values = np.array([[0.1, 0.2, 0.3], [np.nan, np.nan, np.nan]])
    effects = pipeline.BlockEffects(("down_blocks.0", "mid_block"), values, values, values, values)
    figures = effects_figures(effects, hears, texts)
    assert len(figures) == 4
    for fig in figures:
        assert list(fig.data[0].y) == [
            texts("cross_attention.block_down", number=1),
            texts("cross_attention.block_mid"),
        ]
        assert list(fig.data[0].x) == [1, 2, 3] and fig.data[0].zmax == 0.3
    last = "conditioning.text_in_time" if hears else "conditioning.text_in_time_none"
    assert figures[3].layout.title.text == texts(last)


def test_a_figure_without_the_other_branch_can_be_drawn():
    nothing = np.full((1, 2), np.nan)
    effects = pipeline.BlockEffects(("mid_block",), nothing, nothing, nothing, nothing)
    assert [fig.data[0].zmax for fig in effects_figures(effects, True, T)] == [1.0] * 4


def test_a_run_leaves_figures_and_trace():
    shown = list(effects_run(request(), RunSlot(), T))
    *figures, status, stop, trace = shown[-1]
    assert [len(figure.data) for figure in figures] == [1] * 4
    assert all(len(values) == 7 for values in shown)
    assert request().prompt in status
    assert shown[0][5]["interactive"] and not stop["interactive"]
    assert trace.steps[0].inside is not None


def test_cuts_name_what_is_missed_most():
    found = pipeline.Cuts(
        ("none", "down_blocks.0", "mid_block", "all", "time"), (PICTURE,) * 5,
        np.array([0, 2.0, 9.5, 30, 12]), np.array([0.5, 0.4, 0.3, 0.2, 0.1]),
    )  # fmt: skip
    page = cuts_view(request(), found, T)
    assert page.count("<img") == 5
    assert escape(T("conditioning.worst", block="middle", change="9.5")) in page
    assert T("conditioning.changed", change="30") in page


def test_switches_stand_over_their_points():
    scores = np.array([[0.1, 0.6], [0.3, 0.4], [0.5, 0.1]])
    found = pipeline.Switches((0, 7, 20), (PICTURE,) * 3, scores)
    assert switch_row(found, T).count("<img") == 3
    fig = switch_figure(found, "a <b>cat</b>", "x" * 99, T)
    assert list(fig.data[0].y) == [0.1, 0.3, 0.5]
    assert list(fig.layout.xaxis.ticktext) == ["0", "7", "20"]
    assert fig.data[0].name == "a &lt;b&gt;cat&lt;/b&gt;"
    assert len(fig.data[1].name) == 60


def test_one_switch_leaves_the_visitors_trace_alone():
    slot = RunSlot()
    kept = (image.run(request()), None)
    slot.shown = kept
    levers = Steering(OTHER, switch_at=1)
    pages = list(switch_run(replace(request(), steering=levers), slot, T))
    assert slot.shown is kept
    assert 'data-state="running"' in pages[0]
    assert 'data-state="done"' in pages[-1]
    assert OTHER in pages[-1]


@pytest.mark.parametrize("start", [
    lambda slot, steps: cuts_run(request(num_inference_steps=steps), None, slot, T),
    lambda slot, steps: switches_run(request(num_inference_steps=steps), "a dog", None, slot, T),
])  # fmt: skip
def test_trials_show_their_pictures_while_they_are_drawn_stop_and_leave_the_button_to_the_next(start):
    first, *between, last = start(RunSlot(), 2)
    assert first[-1]["interactive"] is True and last[-1]["interactive"] is False
    assert between and all(values[0].count("<img") == last[0].count("<img") for values in between)
    assert last[-2] == last[:-2]
    slot = RunSlot()
    run = start(slot, 60)
    next(run), next(run)
    second = start(slot, 60)
    next(second), next(second)
    assert list(run) == []
    slot.stop()
    *_, stopped = second
    assert "of 60" in stopped[0] and "<img" in stopped[0] and stopped[-1]["interactive"] is False


def test_the_second_prompt_is_the_bars_or_the_first_with_a_word_changed():
    assert second_prompt("a cat", " a dog ") == "a dog"
    assert second_prompt("a red cat", "") == "a blue cat"


def swapped(prompt: str, prompt_b: str, seed: int, *at: int) -> list[np.ndarray]:
    """Pictures `[y, x, RGB]` of the shipped model with the swap at these steps of 20."""
    found = pipeline.switch_prompts(ImageRequest(prompt, seed=seed), prompt_b, list(at))
    return [np.asarray(picture, float) for picture in found.images]


@pytest.mark.slow
def test_the_presets_show_what_their_labels_say():
    def side(picture: np.ndarray) -> float:
        """Where what is orange stands, 0 left to 1 right."""
        orange = (picture[..., 0] > 180) & (picture[..., 1] < 190) & (picture[..., 2] < 80)
        return float(np.nonzero(orange)[1].mean() / 63)

    *texts, early = PRESETS["sides_2"]
    moved, kept = swapped(*texts, early, PRESETS["sides_8"][3])
    assert side(kept) < 0.45 < 0.55 < side(moved), "the cat goes right early, and stays left later"
    *texts, late = PRESETS["night_16"]
    night, day = swapped(*texts, late, 20)
    assert night.mean() < 0.8 * day.mean()


@pytest.mark.slow
def test_the_first_swap_keeps_the_place_and_changes_the_colour():
    first = BarValues()
    swap, kept = swapped(first.prompt, second_prompt(first.prompt, ""), first.seed, 6, 20)
    body = kept[..., 0] - kept[..., 1] > 90  # sand is yellow, the car red
    assert (swap[body][:, 2] > swap[body][:, 0]).mean() > 0.8, "blue where the red car stands"


def test_endpoints_return_pictures_and_numbers():
    found = switch_prompts("a cat", "a car", [0, 2], num_inference_steps=2)
    assert found["switch_at"] == [0, 2]
    assert np.shape(found["clip_scores"]) == (2, 2)
    cuts = cut_blocks("a cat", num_inference_steps=1)
    assert cuts["cuts"][0] == "none"
    assert len(cuts["images"]) == len(cuts["changes"]) == len(cuts["clip_scores"]) == 8


def test_a_picture_with_two_prompts_that_never_begins_leaves_nothing_running() -> None:
    slot = RunSlot()
    request = ImageRequest(
        "a cat", num_inference_steps=2, steering=Steering("a dog", switch_at=1)
    ).validated()
    run = switch_run(request, slot, T)
    assert 'data-state="running"' in next(run)
    slot.stop()
    assert list(run)[-1] == ""
