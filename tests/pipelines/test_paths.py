"""Paths of latents: straight where the model's own are, and the principal components of runs."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.image import image
from pipelines.image.paths import latent_paths
from pipelines.image.request import ImageRequest, Trace

pytestmark = pytest.mark.usefixtures("transformers_of_today")

SD3 = ImageRequest("a small cat", seed=5, guidance_scale=4.5, num_inference_steps=4, model="tiny-sd3")
ROOM = replace(SD3, model="classroom-image")


def ways(trace: Trace) -> np.ndarray:
    """`[step + 1, number]` on the model's own path."""
    first = trace.steps[0]
    assert first.start is not None
    after = [step.latents * step.deviations[1] for step in trace.steps]
    return np.stack([first.start * first.deviations[0], *after]).reshape(len(after) + 1, -1)


def test_each_step_of_flow_matching_goes_straight_towards_its_estimate() -> None:
    trace = image.run(SD3)
    before = ways(trace)[:-1]
    for at, then, step in zip(before, ways(trace)[1:], trace.steps, strict=True):
        towards, gone = step.denoised_guided.ravel() - at, then - at
        cosine = towards @ gone / np.linalg.norm(towards) / np.linalg.norm(gone)
        assert cosine == pytest.approx(1, abs=1e-4)
    assert trace.steps[-1].deviations[1] == pytest.approx(1)
    assert trace.steps[1].deviations[0] < 1 == trace.steps[0].deviations[0]
    assert all(step.deviations == (1, 1) for step in image.run(ROOM).steps)


def test_points_are_the_principal_components() -> None:
    traces = [image.run(replace(SD3, num_inference_steps=steps)) for steps in (4, 7)]
    found = latent_paths(traces)
    every = np.concatenate([ways(trace) for trace in traces]).astype(float)
    left, sizes, _ = np.linalg.svd(every - every.mean(0), full_matrices=False)
    points = np.concatenate(found.points)
    assert [len(p) for p in found.points] == [5, 8]
    for axis in range(2):
        expected = left[:, axis] * sizes[axis]
        sign = np.sign(expected @ points[:, axis])
        np.testing.assert_allclose(points[:, axis], sign * expected, atol=1e-3)
    np.testing.assert_allclose(found.explained, sizes[:2] ** 2 / (sizes**2).sum(), atol=1e-4)


def test_one_step_is_straight_and_the_bend_of_others_is_measured() -> None:
    one = latent_paths([image.run(replace(SD3, num_inference_steps=1))])
    assert one.straightness == pytest.approx((1,))
    trace = image.run(ROOM)
    way = ways(trace)
    length = np.linalg.norm(np.diff(way, axis=0), axis=1).sum()
    (bend,) = latent_paths([trace]).straightness
    assert bend == pytest.approx(np.linalg.norm(way[-1] - way[0]) / length, rel=1e-4)
    assert 0 < bend < 1
