"""What the cross-attention tab shows of a model in which text and picture attend to each other."""

import html
from pathlib import Path

import numpy as np
import pytest

from components.cross_attention.joint import LOOKS, joint_rows, joint_view, looks_figure
from components.cross_attention.tab import cross_attention, look_run
from components.runs.frames import Frames
from components.runs.slot import RunSlot
from components.ui.language import load_texts
from components.ui.numbers import percent
from pipelines.image import image
from pipelines.image.joint_attention import who_looks, word_maps
from pipelines.image.request import ImageRequest, TextRow, Trace
from pipelines.serving import catalogue
from tests.oracles import data_of

T, DE = load_texts("en"), load_texts("de")
ASKED = ImageRequest("a small cat", "", 5, 4.5, 2, "euler", "tiny-sd3", look_inside=True)
pytestmark = pytest.mark.usefixtures("transformers_of_today")


@pytest.fixture(scope="module")
def trace(transformers_of_today: None) -> Trace:
    return image.run(ASKED)


def test_maps_of_words_stand_over_the_pictures_by_attention_and_by_output(trace: Trace) -> None:
    data = data_of(joint_view(trace, Frames.of(trace), T), "maps")
    branch, found = data["branches"]["prompt"], word_maps(trace)
    assert len(branch["rows"]) == len(found.rows)
    assert branch["rows"][branch["first"]]["name"] == "a"
    assert {"all", "output", "early", "middle", "late"} == set(branch["groups"])
    assert branch["groups"]["all"]["shares"] == pytest.approx(found.looked_at.mean((0, 2, 3)), abs=1e-4)
    assert len(data["pictures"]) == len(data["labels"]) == 2
    encoders = {row["encoder"] for row in branch["rows"]}
    assert encoders == {T("cross_attention.tokenizer"), T("cross_attention.tokenizer_3")}


def test_a_word_has_one_colour_whoever_split_it_and_marks_none(trace: Trace) -> None:
    rows = [
        TextRow("tokenizer", "<|start|>", "mark"), TextRow("tokenizer", "cat", "word"),
        TextRow("tokenizer_3", "Cat", "word"), TextRow("tokenizer_3", "", "padding"),
    ]  # fmt: skip
    mark, word, again, padding = joint_rows(rows, DE)
    assert word["colour"] == again["colour"] != mark["colour"] == padding["colour"]
    assert padding["name"] == DE("cross_attention.padding")
    assert {row["encoder"] for row in joint_rows(rows[:2], DE)} == {""}, "one encoder needs no name"


def test_the_four_shares_of_each_layer_pile_up_to_all_attention(trace: Trace) -> None:
    figure, shares = looks_figure(trace, DE), who_looks(trace).shares.mean(1)
    assert [area.name for area in figure.data] == [DE(f"cross_attention.{name}") for *_, name, _ in LOOKS]
    assert np.sum([area.y for area in figure.data], axis=0) == pytest.approx(1, abs=1e-3)
    for area, (looker, at, *_) in zip(figure.data, LOOKS, strict=True):
        assert np.asarray(area.y) == pytest.approx(shares[:, looker, at], abs=1e-4)


def test_it_is_said_where_patches_look_and_that_text_is_changed(trace: Trace) -> None:
    page = joint_view(trace, Frames.of(trace), T)
    share = float(who_looks(trace).by_looker[..., 1, 0].mean())
    assert T("cross_attention.joint_looks", share=percent(share, T)) in html.unescape(page)
    assert "each block moves a token" in html.unescape(page)


def test_the_button_fills_view_and_figure_and_a_u_net_takes_the_figure_away() -> None:
    shown = list(look_run(ASKED, None, RunSlot(), T))[-1]
    assert "data-maps" in shown[0] and shown[3]["visible"] is True and shown[3]["value"] is not None
    net = ImageRequest("a cat", num_inference_steps=1, model="classroom-image")
    assert list(look_run(net, None, RunSlot(), T))[-1][3]["visible"] is False


def test_a_program_gets_the_four_shares_beside_the_maps() -> None:
    found = cross_attention("a small cat", num_inference_steps=2, scheduler="euler", model="tiny-sd3")
    assert np.sum(found["who_looks"]) == pytest.approx(1, abs=1e-3)
    assert len(found["tokens"]) == len(found["tokenizers"]) == len(found["shares"]) == len(found["maps"])
    assert Path(catalogue.entry("tiny-sd3").source).exists()
