import base64
import html
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from components.control_vector import blend, pooled, weight
from components.control_vector.figures import lever_figure
from components.control_vector.lever import draw_place, draw_strip
from components.control_vector.lever_view import LEVERS, Strip, strip_view
from components.control_vector.tab import _follow, control_vector, steer
from components.control_vector.view import handed_view, table_html
from components.page.prompt_bar import DEFAULT_PROMPT
from components.runs.frames import encode
from components.runs.slot import RunSlot
from components.ui.heat import heat_uri
from components.ui.language import load_texts
from components.ui.plots import DIVERGING
from pipelines.image import control_vector as pipeline
from pipelines.image import image
from pipelines.image.control_vector import Choice, choices
from pipelines.image.request import ImageRequest
from pipelines.serving.errors import InputError
from pipelines.text.tokens import token_view
from tests.oracles import data_of

T, DE = load_texts("en"), load_texts("de")
MODEL = "classroom-image"
HOSTILE = "<img src=x onerror=alert(1)>"


def request(**changes) -> ImageRequest:
    return ImageRequest(
        **({"prompt": DEFAULT_PROMPT, "num_inference_steps": 2, "model": MODEL} | changes)
    ).validated()


@pytest.fixture(scope="module")
def vector() -> pipeline.ControlVector:
    return pipeline.control_vector(DEFAULT_PROMPT, MODEL)


@pytest.fixture(scope="module")
def strip() -> Strip:
    """A strip of two steps from the example to its partner."""
    *_, (_, _, _, drawn) = draw_strip("blend", blend.asked_blend(request(), "", T), 0.0, None, RunSlot(), T)
    return drawn


# What is handed over ------------------------------------------------------------------------------


def test_heat_shows_a_number_a_pixel_in_fixed_colours():
    values = np.array([[-9.0, -2.0, 0.0], [1.0, 2.0, 9.0]])
    uri = heat_uri(values, 2.0)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"), int)
    assert picture.shape == (2, 3, 3)
    stops = {place: [int(c[i : i + 2], 16) for i in (1, 3, 5)] for place, c in DIVERGING}
    for (row, column), place in {
        (0, 0): 0,
        (0, 1): 0,
        (0, 2): 0.5,
        (1, 0): 0.75,
        (1, 1): 1,
        (1, 2): 1,
    }.items():
        assert np.abs(picture[row, column] - stops[place]).max() <= 4, (row, column)


def test_every_place_has_a_row_and_the_end_is_marked(vector):
    page = handed_view(vector, False, MODEL, T)
    places = [int(p) for p in re.findall(r'class="cv-row[^"]*" data-place="(\d+)"', page)]
    assert places == list(range(77))
    assert re.findall(r'class="cv-row cv-end" data-place="(\d+)"', page) == [str(vector.end)]
    assert page.count("cv-pad ") + page.count('cv-pad"') == 77 - vector.tokens.used
    content = data_of(page, "rows")
    assert content["names"][:4] == ["start", "a", "small", "cat"]
    assert content["lengths"][3] == f"{np.linalg.norm(vector.sequence[3]):.1f}"
    assert content["nearest"] == vector.nearest.tolist()
    assert "padding rows are not empty" in page


def test_german_numbers_have_a_comma(vector):
    assert "," in data_of(handed_view(vector, False, MODEL, DE), "rows")["lengths"][0]


def test_the_difference_is_another_picture_of_the_same_places(vector):
    numbers, difference = (handed_view(vector, each, MODEL, T) for each in (False, True))
    heat = [re.search(r"--heat:url\(([^)]*)\)", page)[1] for page in (numbers, difference)]
    assert heat[0] == heat_uri(vector.sequence, vector.limit)
    assert heat[1] == heat_uri(vector.sequence - vector.empty, vector.limit)
    assert T("control_vector.difference_why") in html.unescape(difference)


def test_a_full_prompt_has_no_padding_and_says_what_is_cut():
    page = handed_view(pipeline.control_vector("a red cat and " * 40, MODEL), False, MODEL, T)
    assert "cv-padding" not in page
    assert T("control_vector.padding_none") in page
    assert "this encoder reads 77" in page


def test_the_table_marks_the_chosen_models_row_with_its_own_numbers(vector):
    table = table_html(vector, MODEL, T)
    marked = re.search(r'(?s)<tr class="cv-chosen".*?</tr>', table)[0]
    assert T("control_vector.table.attended") in marked
    assert f"77 × 128, read in {vector.reads.layers}" in marked
    assert table.count("cv-chosen") == 1
    large = replace(vector, reads=pipeline.Reads("pooled", 70, 2048, 1280, 2))
    marked = re.search(r'(?s)<tr class="cv-chosen".*?</tr>', table_html(large, MODEL, T))[0]
    assert T("control_vector.table.pooled") in marked and "1280 pooled numbers" in marked


def test_what_visitors_type_stays_text():
    vector = pipeline.control_vector(HOSTILE, MODEL)
    tokens = vector.tokens
    pages = handed_view(vector, False, MODEL, T) + weight.tokens_html(tokens, None, HOSTILE, T)
    hostile = replace(request(), prompt=HOSTILE)
    made = Strip((hostile,) * 7, ("data:x",) * 7, np.zeros((7, 2)), (HOSTILE, "b"), (HOSTILE, "b"), HOSTILE)
    pages += strip_view("blend", made, 0.0, None, T)
    assert "<img src=x" not in pages
    assert "><</b>" not in pages and ">&lt;</b>" in pages  # tokens of markup are short
    assert all("<img" not in trace.name for trace in lever_figure("blend", made, T).data)


def test_following_is_silent_while_nobody_looks_and_explains_what_it_cannot_read():
    follow = _follow(T)
    page, table, pair, _, chosen = follow("A small cat", "", MODEL, "numbers", None)
    assert "cv-rows" in page and "cv-chosen" in table and chosen.text == "cat"
    assert blend.PARTNER in pair and T("prompt_bar.more") in pair
    refused, *rest = follow("a" * 2001, "", MODEL, "numbers", chosen)
    assert "2000 characters" in refused and all("value" not in update for update in rest)
    *_, kept = follow("", "", MODEL, "numbers", chosen)
    assert kept == chosen, "an empty prompt must not lose the choice"


# The levers ----------------------------------------------------------------------------------------


def test_a_strip_streams_and_ends_with_seven_pictures_over_seven_points(strip):
    outputs = list(draw_strip("blend", blend.asked_blend(request(), "", T), 0.5, None, RunSlot(), T))
    assert outputs[0][2]["interactive"] is True
    page, figure, stop, drawn = outputs[-1]
    content = data_of(page, "lever")
    assert len(content["sources"]) == len(content["scores"]) == page.count("data-station=") == 7
    assert content["at"] == 0.5
    first, second = figure["value"].data
    assert list(first.x) == list(LEVERS["blend"])
    np.testing.assert_allclose([first.y, second.y], drawn.scores.T)
    assert stop["interactive"] is False
    plain = image.run(request(prompt=blend.PARTNER)).image
    assert drawn.sources[6] == encode(plain)


def test_the_plot_keeps_its_scale_and_shows_where_the_slider_stands(strip):
    figure = lever_figure("blend", strip, T)
    low, high = figure.layout.yaxis.range
    assert low <= strip.scores.min() and strip.scores.max() <= high
    assert figure.layout.shapes[0].visible
    assert figure.layout.xaxis.ticktext == ("A", "17%", "33%", "50%", "67%", "83%", "B")


def test_without_a_second_prompt_an_example_is_used_and_said(strip):
    assert strip.texts == (DEFAULT_PROMPT, blend.PARTNER)
    assert T("control_vector.blend_example") in strip.remark
    own = blend.asked_blend(request(), "A dog.", T)
    assert T("control_vector.blend_example") not in own.remark and own.texts[1] == "A dog."
    assert blend.partner_of(blend.PARTNER) == DEFAULT_PROMPT


def test_a_second_prompt_that_is_too_long_is_cut_and_said():
    asked = blend.asked_blend(request(), "a red cat and " * 40, T)
    assert "B: The prompt has" in asked.remark and "77" in asked.remark


def test_what_stands_in_the_way_is_said_before_the_click():
    assert T("errors.prompts_equal") in html.unescape(blend.pair_html("a cat", "A  CAT", MODEL, T))
    said = blend.pair_html("a cat", "a red cat and " * 40, MODEL, T)
    assert "B: The prompt has" in said and T("prompt_bar.more") not in said
    assert "<img" not in blend.pair_html(HOSTILE, HOSTILE, MODEL, T)


@pytest.mark.parametrize("what", ["stop", "begin"])
def test_a_strip_that_is_stopped_shows_how_far_it_came_and_one_overtaken_keeps_still(what, strip):
    slot = RunSlot()
    asked = blend.asked_blend(request(num_inference_steps=60), "", T)
    outputs = draw_strip("blend", asked, 0.0, strip, slot, T)
    next(outputs), next(outputs)
    slot.stop() if what == "stop" else slot.begin("blend")
    rest = list(outputs)
    if what == "begin":
        assert rest == []
    else:
        page, figure, stop, kept = rest[-1]
        assert 'data-state="stopped"' in page and "of 60" in page
        assert figure["visible"] is False and stop["interactive"] is False and kept is None


def test_a_place_in_between_is_drawn_exactly_and_keeps_the_strip(strip):
    *_, (page, stop) = draw_place("blend", strip, 0.4, RunSlot(), T)
    content = data_of(page, "lever")
    assert content["extra"]["value"] == 0.4 and content["sources"] == list(strip.sources)
    alone = image.run(pipeline.at_blend(strip.requests[0], 0.4)).image
    assert content["extra"]["source"] == encode(alone)
    assert "CLIP" in content["extra"]["status"] and stop["interactive"] is False


def test_a_weights_strip_says_what_it_weighs_and_falls_back_where_the_token_is_gone():
    asked = weight.asked_weight(request(), Choice(3, "cat", "cat"), False, T)
    assert [r.steering.token_weights for r in asked.requests] == [((3, w),) for w in LEVERS["weight"]]
    assert asked.texts == (DEFAULT_PROMPT, "cat")
    gone = weight.asked_weight(request(), Choice(3, "dog", "dog"), True, T)
    assert T("control_vector.choice_gone", gone="dog", now="cat") in Markup(gone.remark).striptags()
    assert len(gone.requests[0].steering.token_weights) == 74


def test_the_tokens_are_buttons_in_their_colours_with_one_pressed():
    tokens = token_view(DEFAULT_PROMPT, MODEL)
    page = weight.tokens_html(tokens, choices(tokens)[2], "", T)
    assert page.count("<button") == len(choices(tokens)) == 7
    assert re.search(r'data-place="3"[^>]*aria-pressed="true"', page) and page.count('"true"') == 1
    assert T("control_vector.no_tokens") in weight.tokens_html(token_view("", MODEL), None, "", T)


def test_the_pooled_trial_names_its_means_and_their_sample_size():
    outputs = list(pooled.draw_pooled(request(), None, RunSlot(), T))
    page, stop, kept = outputs[-1]
    assert page == kept and page.count("<img") == 8 and page.count("(4 pictures)") == 2
    drawn = pipeline.draw(pipeline.pooled_requests(request()), [DEFAULT_PROMPT])
    for part in (drawn.clip_scores[:4], drawn.clip_scores[4:]):
        assert f"{part.mean():.2f} (4 pictures)" in page
    assert stop["interactive"] is False
    assert "<img" not in pooled.pooled_view(None, (), "", None, T)


# Endpoints -----------------------------------------------------------------------------------------


def test_the_endpoint_says_what_the_model_reads(vector):
    answer = control_vector()
    json.dumps(answer)
    assert answer["sequence_shape"] == [77, 128] and answer["pooled_place"] == 8
    assert answer["tokens"][3] == "cat" and answer["reads"]["text_in_time"] is True
    np.testing.assert_allclose(answer["sequence"], vector.sequence, atol=1e-5)
    np.testing.assert_allclose(answer["lengths"], vector.lengths, atol=1e-5)


def test_steering_by_program_draws_the_engines_picture():
    file, answer = steer(blend=0.25, token_weights=[[3, 0.5]], seed=7, num_inference_steps=2)
    again = image.run(ImageRequest(**answer["parameters"]))
    assert np.array_equal(np.asarray(Image.open(file.path)), np.asarray(again.image))
    assert again.request.steering.token_weights == ((3, 0.5),)
    assert -1 <= answer["clip_score"] <= 1 and -1 <= answer["clip_score_b"] <= 1
    _, plain = steer(prompt_b="", blend=0, num_inference_steps=1)
    assert plain["clip_score_b"] is None and "steering" not in plain["parameters"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"prompt": ""}, "prompt_empty"),
        ({"prompt_b": ""}, "prompt_b_empty"),
        ({"prompt_b": DEFAULT_PROMPT}, "prompts_equal"),
        ({"prompt_b": "b" * 2001}, "prompt_too_long"),
        ({"blend": -0.1}, "blend_range"),
        ({"blend": math.nan}, "blend_range"),
        ({"blend": "half"}, "blend_range"),
        ({"token_weights": [[3, 2.1]]}, "token_weight_range"),
        ({"token_weights": [[3, -1]]}, "token_weight_range"),
        ({"token_weights": [[3, math.nan]]}, "token_weight_range"),
        ({"token_weights": [[77, 1]]}, "token_place_unknown"),
        ({"token_weights": [[-1, 1]]}, "token_place_unknown"),
        ({"token_weights": [[1.5, 1]]}, "token_place_unknown"),
        ({"token_weights": [3, 1]}, "token_weights_shape"),
        ({"token_weights": {"3": 1}}, "token_weights_shape"),
        ({"token_weights": 3}, "token_weights_shape"),
        ({"model": "none"}, "model_unknown"),
    ],
)
def test_bad_input_has_a_message_in_both_languages(changes, key):
    with pytest.raises(InputError) as caught:
        steer(**({"num_inference_steps": 1} | changes))
    assert caught.value.key == key
    for language in ("de", "en"):
        assert load_texts(language)(f"errors.{key}", **caught.value.values)
