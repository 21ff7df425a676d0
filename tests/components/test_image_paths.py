"""The path of a picture's latents in two dimensions, of U-Nets and of transformers."""

import html

import numpy as np
import pytest

from components.image.figures import paths_figure, paths_sentence
from components.image.paths import paths_of
from components.ui.language import load_texts
from components.ui.numbers import fixed
from pipelines.image import image
from pipelines.image.paths import latent_paths
from pipelines.image.request import ImageRequest, Trace

T, DE = load_texts("en"), load_texts("de")
pytestmark = pytest.mark.usefixtures("transformers_of_today")
ASKED = {
    "classroom-image": ImageRequest("a cat", seed=5, num_inference_steps=6, model="classroom-image"),
    "tiny-sd3": ImageRequest("a cat", "", 5, 4.5, 4, "euler", "tiny-sd3", 64, 64),
}


@pytest.fixture(scope="module")
def traces(transformers_of_today: None) -> dict[str, Trace]:
    return {model: image.run(request) for model, request in ASKED.items()}


@pytest.mark.parametrize("model", list(ASKED))
def test_the_way_has_a_point_a_step_and_a_straight_line_beside_it(model: str, traces) -> None:
    found = latent_paths([traces[model]])
    straight, way = paths_figure(found, T).data
    assert len(way.x) == len(traces[model].steps) + 1
    np.testing.assert_allclose(np.stack([way.x, way.y], axis=1), found.points[0])
    np.testing.assert_allclose([straight.x[0], straight.x[-1]], [way.x[0], way.x[-1]])
    assert (way.text[0], way.text[-1]) == (T("image.paths_noise"), T("image.paths_picture"))
    distance = np.hypot(np.ptp(straight.x), np.ptp(straight.y))
    walked = np.hypot(np.diff(way.x), np.diff(way.y)).sum()
    assert distance < walked, "a way is longer than the line between its ends"


def test_both_axes_have_one_scale_so_that_a_bend_is_seen_as_one(traces) -> None:
    figure = paths_figure(latent_paths([traces["classroom-image"]]), DE)
    assert figure.layout.yaxis.scaleanchor == "x"
    low, high = figure.layout.xaxis.range
    assert low < min(figure.data[1].x) and max(figure.data[1].x) < high
    assert "%" in figure.layout.xaxis.title.text


def test_the_sentence_measures_and_tells_flow_matching_from_diffusion(traces) -> None:
    for model, key in (("classroom-image", "paths_diffusion"), ("tiny-sd3", "paths_flow")):
        found = latent_paths([traces[model]])
        said = paths_sentence(traces[model], found, DE)
        assert fixed(found.straightness[0], DE) in said and DE(f"image.{key}") in said
        other = {"paths_diffusion": "paths_flow", "paths_flow": "paths_diffusion"}[key]
        assert DE(f"image.{other}") not in said


def test_the_button_fills_figure_and_sentence_and_says_so_where_there_is_no_picture(traces) -> None:
    figure, said = paths_of(traces["classroom-image"], T)
    assert figure["visible"] is True and len(figure["value"].data) == 2
    assert T("image.paths_diffusion") in html.unescape(said) and "a cat" in said
    figure, said = paths_of(None, T)
    assert figure["visible"] is False and T("image.paths_nothing") in html.unescape(said)
