"""Pictures of the evaluation are the library's, however they are sampled."""

import numpy as np
import pytest

from pipelines.image.image import run
from pipelines.image.load import image_pipeline
from pipelines.image.request import ImageRequest
from training.drawing import Sampling, draw, drawn_with
from training.evaluate_sampling import held_against
from training.evaluation_rows import evaluation_row

PROMPT = "A red car on the beach."


def pixels(sampling: Sampling) -> np.ndarray:
    with drawn_with(sampling):
        return np.asarray(draw([PROMPT], [3])[0], float)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++"])
def test_a_way_to_sample_draws_what_the_app_draws(scheduler: str) -> None:
    app = run(ImageRequest(PROMPT, seed=3, scheduler=scheduler, num_inference_steps=4)).image
    assert np.abs(pixels(Sampling(scheduler, 4)) - np.asarray(app, float)).mean() < 1.0  # bfloat16


def test_the_shared_pipeline_gets_its_own_scheduler_back() -> None:
    own = image_pipeline("classroom-image").scheduler
    pixels(Sampling("dpm++", 1))
    assert image_pipeline("classroom-image").scheduler is own
    assert (pixels(Sampling(steps=2)) == pixels(Sampling(steps=2))).all()


def test_guidance_within_an_interval_is_guidance_in_these_steps_only() -> None:
    whole, nowhere = pixels(Sampling(steps=4)), pixels(Sampling(steps=4, guided=(1.0, 1.0)))
    middle, all_of_it = (pixels(Sampling(steps=4, guided=part)) for part in ((0.25, 0.75), (0.0, 1.0)))
    assert (all_of_it == whole).all()
    unguided = pixels(Sampling(steps=4, guidance_scale=1 + 1e-6))
    assert (nowhere == unguided).all()
    assert np.abs(middle - whole).mean() > 1 and np.abs(middle - nowhere).mean() > 1


def test_scales_by_step() -> None:
    guided = Sampling(steps=10, guided=(0.2, 0.5))
    assert [guided.scale_at(step) > 2 for step in range(10)] == [False] * 2 + [True] * 3 + [False] * 5


def test_a_row_below_its_interval_is_not_as_good() -> None:
    before = {"value": 0.9, "ci95": [0.85, 0.95]}
    assert held_against(evaluation_row("image.two", 0.86, None, 9, (0, 1)), before)["ok"]
    assert not held_against(evaluation_row("image.two", 0.84, None, 9, (0, 1)), before)["ok"]
    assert held_against(evaluation_row("image.negative_ratio", 0.1, None, 9, (0, 1)), before)["ok"]
    assert not held_against(evaluation_row("image.negative_ratio", 0.96, None, 9, (0, 1)), before)["ok"]
