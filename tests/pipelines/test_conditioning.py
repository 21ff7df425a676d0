"""Effects on blocks, cut ways, and prompts that give way."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.clip.model import clip_scores
from pipelines.image import conditioning, image
from pipelines.image.request import ImageRequest
from pipelines.image.steering import Steering
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError

pytestmark = pytest.mark.usefixtures("tiny_models")

ROOM = ImageRequest("a red cat", seed=3, num_inference_steps=3, model="classroom-image")
BLOCKS = ("down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.1", "up_blocks.2")


def test_effects_are_those_of_the_steps():
    trace = image.run(replace(ROOM, look_inside=True))
    effects = conditioning.block_effects(trace)
    assert len(effects.blocks) == 7
    for name in ("text_effect", "attention_effect", "time_effect", "text_in_time"):
        values = getattr(effects, name)
        assert values.shape == (7, 3)
        assert np.array_equal(values[:, 1], getattr(trace.steps[1].inside, name), equal_nan=True)
    with pytest.raises(InputError, match="attention_not_traced"):
        conditioning.block_effects(image.run(ROOM))


def test_cuts_are_their_lone_runs():
    found = conditioning.cut_blocks(ROOM)
    assert found.names == ("none", *BLOCKS, "all", "time")
    levers = [Steering(), *(Steering(blocks_off=(b,)) for b in BLOCKS), Steering(blocks_off=BLOCKS)]
    levers.append(Steering(text_in_time=False))
    for picture, lever in zip(found.images, levers, strict=True):
        assert image.picture_change(picture, image.run(replace(ROOM, steering=lever)).image) < 0.5
    assert found.changes[0] == 0
    assert found.changes[-2] == image.picture_change(found.images[-2], found.images[0]) > 1
    expected = clip_scores(found.images, [ROOM.prompt], catalogue.default_id("clip"))[:, 0]
    assert np.allclose(found.clip_scores, expected, atol=1e-6)


def test_models_that_hear_no_text_in_time_have_no_such_cut():
    assert conditioning.cut_blocks(replace(ROOM, model="tiny-sd")).names == (
        "none", "down_blocks.0", "mid_block", "up_blocks.1", "all",
    )  # fmt: skip
    assert conditioning.hears_text("classroom-image")
    assert conditioning.hears_text("tiny-turbo")
    assert not conditioning.hears_text("tiny-sd")


def test_switches_go_from_one_prompt_to_the_other():
    other = "a blue car in the snow"
    found = conditioning.switch_prompts(ROOM, other, (0, 1, 3))
    first, second = image.run(ROOM).image, image.run(replace(ROOM, prompt=other)).image
    assert image.picture_change(found.images[0], second) < 0.5
    assert image.picture_change(found.images[2], first) < 0.5
    assert image.picture_change(found.images[1], first) > 1
    assert np.allclose(found.clip_scores, clip_scores(found.images, [ROOM.prompt, other], "classroom-clip"))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(20, (0, 3, 7, 10, 13, 17, 20)), (3, (0, 1, 2, 3)), (1, (0, 1))],
)
def test_switch_points_span_the_run(steps, expected):
    assert conditioning.switch_points(steps) == expected


@pytest.mark.parametrize(
    ("prompt_b", "steps", "key"),
    [
        ("", (1,), "prompt_b_empty"),
        ("a car", (4,), "switch_range"),
        ("a car", (), "switches_count"),
        ("a car", (1,) * 17, "switches_count"),
        ("a car", ("x",), "switch_range"),
    ],
)
def test_switches_that_cannot_be_are_refused(prompt_b, steps, key):
    with pytest.raises(InputError, match=key):
        conditioning.switch_prompts(ROOM, prompt_b, steps)
