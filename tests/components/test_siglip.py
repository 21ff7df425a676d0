"""What the tabs show of SigLIP 2: each pair alone, padding that is read, no temperature."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from components.clip_matrix import tab, view
from components.clip_matrix.state import MatrixState, compare, name, panels, with_images
from components.context.view import view_html
from components.journey.view import reading_view
from components.ui.language import load_texts
from components.ui.token_text import limit_sentence
from pipelines import journey
from pipelines.clip import clip_matrix
from pipelines.serving.errors import InputError
from pipelines.text.context import read_contexts
from pipelines.text.tokens import token_view
from tests.pipelines.tiny_siglip import BIAS, MODEL, PLACES, build_siglip, siglip_in_catalogue

PROMPTS = ["A small cat on a bed.", "Eine Kätzin, die SCHLÄFT", "cat"]
EN, DE = load_texts("en"), load_texts("de")


@pytest.fixture(scope="module", autouse=True)
def _catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with siglip_in_catalogue(build_siglip(tmp_path_factory.mktemp("siglip"))):
        yield


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return clip_matrix.draw_pairs(3, seed=4)[0]


def test_a_single_token_is_no_empty_prompt() -> None:
    assert limit_sentence(token_view("cat", MODEL), EN) != EN("tokens.meter.empty_end")
    assert limit_sentence(token_view("", MODEL), EN) == EN("tokens.meter.empty_end")
    assert limit_sentence(token_view("", "classroom-clip"), EN) == EN("tokens.meter.empty")


def test_what_goes_to_padding_is_said_and_the_journey_reads_it_too() -> None:
    (read,) = read_contexts(["a cat"], MODEL)
    share = f"{100 * read.padding_share:.0f}%"
    assert EN("context.padding_read", places=PLACES, share=share) in view_html(read, EN)
    found = journey.read("a cat", MODEL, "classroom-image")
    for t in (EN, DE):
        page = reading_view(found, t)
        assert ">a<" in page and ">cat<" in page


@pytest.fixture
def bench(pictures: list[Image.Image]) -> MatrixState:
    state = compare(with_images(MatrixState(), pictures), "\n".join(PROMPTS), MODEL)
    return name(state, "cat\ndog", "a {label}", MODEL)


def test_the_tab_shows_each_pair_alone_and_no_temperature(bench: MatrixState) -> None:
    probabilities = bench.matrix.pair_probability()
    for t in (EN, DE):
        slider, matrix, named, hint = panels(bench, "texts", 0.01, t)
        assert "cm-tau" not in slider and t("clip_matrix.sigmoid_title") in slider
        assert "Σ" not in matrix and t("clip_matrix.view_hint.pairs") in matrix
        first = view.percent(float(probabilities[0, 0]), t)
        assert f"<span>{first}</span>" in matrix
        assert t("clip_matrix.zero_sigmoid") in named and t("clip_matrix.zero_softmax") not in named
        assert "−10" in hint
    assert panels(bench, "texts", 0.01, EN) == panels(bench, "pairs", 0.5, EN)
    expected = clip_matrix.classify(bench.images, ["cat", "dog"], "a {label}", MODEL).matrix
    np.testing.assert_allclose(bench.zero_shot.probabilities(0.01), expected.pair_probability())


def test_back_at_a_softmax_the_slider_returns(bench: MatrixState) -> None:
    back = compare(bench, "\n".join(PROMPTS), "classroom-clip")
    slider, matrix, *_ = panels(back, "pairs", None, EN)
    assert "cm-tau" in slider and "Σ 100%" in matrix


def test_the_endpoint_gives_probabilities_of_pairs_and_refuses_a_temperature(upload, pictures) -> None:
    file = [upload(pictures[0], "a.png")]
    answer = tab.clip_matrix(file, PROMPTS[:2], model=MODEL)
    assert answer["softmax_over_texts"] is None and answer["temperature"] is None
    assert answer["logit_bias"] == pytest.approx(BIAS)
    logits = np.array(answer["similarity"]) * answer["logit_scale"] + BIAS
    np.testing.assert_allclose(answer["pair_probability"], 1 / (1 + np.exp(-logits)), rtol=1e-4)
    json.dumps(answer)
    with pytest.raises(InputError, match="temperature_closed"):
        tab.clip_matrix(file, PROMPTS[:1], temperature=0.1, model=MODEL)
    assert tab.clip_matrix(file, PROMPTS[:1])["pair_probability"] is None
