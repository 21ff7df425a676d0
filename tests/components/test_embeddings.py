"""What the embeddings tab draws and answers, without a browser."""

import html
import json

import numpy as np
import pytest

from components.embeddings import figures, tab, view
from components.embeddings import map as tab_map
from components.ui.language import load_texts
from components.ui.templates import quote
from pipelines.clip import directions, projections
from pipelines.clip import embeddings as emb
from pipelines.clip import world_texts as world
from pipelines.serving.errors import InputError

MODEL = "classroom-clip"
EVIL = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def pair():
    return emb.embed(["A small cat on a bed.", f"a red car {EVIL}"], MODEL)


def project(pair, axes=2):
    return projections.project(np.stack([e.vector for e in pair]), MODEL, "pca", axes)


def test_map_draws_every_caption_as_its_picture_where_it_stands(pair):
    fig = figures.map_figure(project(pair), pair, "noun", None, load_texts("en"))
    points = projections.pca_world(MODEL)[:, :2]
    assert len(fig.layout.images) == world.MAP_SIZE
    places = np.array([[i.x, i.y] for i in fig.layout.images])
    assert places == pytest.approx(points, abs=1e-3)
    assert all(i.source.startswith("data:image/webp;base64,") for i in fig.layout.images)
    assert list(fig.data[0].hovertext) == [w.text for w in world.map_texts()]
    assert len(fig.to_json()) < 400_000, "thirty visitors share one network"


def test_filter_fades_what_does_not_say_the_value(pair):
    fig = figures.map_figure(project(pair), pair, "colour", "red", load_texts("en"))
    bright = [i for i in fig.layout.images if i.opacity == 1]
    red = [w for w in world.map_texts() if w.facts.things and w.facts.things[0].colour == "red"]
    assert 0 < len(bright) == len(red) < world.MAP_SIZE


def test_three_dimensions_show_coloured_dots(pair):
    fig = figures.map_figure(project(pair, 3), pair, "place", "sea", load_texts("de"))
    assert fig.data[0].type == "scatter3d"
    assert not fig.layout.images
    sea = figures.group_colours("place")["sea"]
    shown = [w.facts.place == "sea" for w in world.map_texts()]
    assert [c == sea for c in fig.data[0].marker.color] == shown


@pytest.mark.parametrize("axes", [2, 3])
def test_what_moves_while_typing_is_what_a_fresh_map_would_show(pair, axes):
    fig = figures.map_figure(project(pair, axes), pair, "none", None, load_texts("en"))
    moved = json.loads(json.dumps(tab_map.moved(*pair, MODEL, ("pca", axes))))
    assert len(json.dumps(moved)) < 4000
    for trace, sent in zip(fig.data[1:], moved["coordinates"], strict=True):
        for axis, values in sent.items():
            drawn = [None if v is None or np.isnan(v) else v for v in trace[axis]]
            assert drawn == pytest.approx(values, abs=1e-3)
    assert tab_map.moved(*pair, MODEL, ("tsne", 2)) == {"stale": True}


def test_lines_lead_to_the_neighbours_of_the_original_space(pair):
    projection = project(pair)
    near = [projection.world[[n.index for n in e.neighbours]] for e in pair]
    line = figures.prompt_traces(projection.prompts, near)[0]
    ends = np.array([line["x"][1::3], line["y"][1::3]], float).T
    assert ends == pytest.approx(near[0], abs=1e-3)
    assert line["x"][2::3] == [None] * emb.NEIGHBOURS


def test_what_visitors_type_is_never_markup(pair):
    t = load_texts("en")
    sum_ = emb.arithmetic(EVIL, "dog", "cat", MODEL)
    for text in (
        view.neighbours_html(pair, False, 0.5, t),
        view.equation_html((EVIL, "dog", EVIL), sum_, t),
        view.message_html(EVIL),
        figures.map_figure(project(pair), pair, "noun", None, t).to_json(),
        json.dumps(tab_map.moved(*pair, MODEL, ("pca", 2))),
    ):
        assert "<img src=x" not in text


def test_strip_keeps_one_scale_for_all_prompts(pair):
    t = load_texts("en")
    a, b = (e.vector for e in pair)
    first, second = figures.strip_figure(a, b, t).data[0], figures.strip_figure(b, b, t).data[0]
    assert (first.zmin, first.zmax) == (second.zmin, second.zmax)
    assert first.zmax == -first.zmin == pytest.approx(3 / np.sqrt(len(a)))
    assert np.asarray(first.z)[2] == pytest.approx(b - a, abs=1e-4)


def test_direction_puts_both_pictures_at_their_own_ends():
    found = directions.direction("size", "small", "large", MODEL)
    said = {(s.noun, s.value): s for s in world.short_texts() if s.kind == "size"}
    shorts = [(said[n, "large"], said[n, "small"]) for n in found.nouns]
    fig = figures.direction_figure(found, shorts, load_texts("en"))
    by_place = {(round(i.y), i.source): i.x for i in fig.layout.images}
    assert len(fig.layout.images) == 2 * len(found.nouns)
    for row, (large, small) in enumerate(shorts):
        x_large, x_small = (by_place[row, figures.thumb(s.world, 48)] for s in (large, small))
        assert (x_small > x_large) == bool(found.transfer.ordered[row])


def test_ranking_marks_inputs_and_says_what_leaving_them_out_changed():
    t = load_texts("en")
    result = emb.arithmetic("red car", "car", "boat", MODEL)
    text = view.equation_html(("red car", "car", "boat"), result, t)
    assert t("embeddings.is_input") in text
    first = result.candidates[0]
    key = "exclusion_mattered" if first.is_input else "exclusion_idle"
    values = {"answer": quote(result.answer.short.world.text), "first": quote(first.short.world.text)}
    assert t.html(f"embeddings.{key}", **values) in text


@pytest.mark.parametrize("language", ["en", "de"])
def test_numbers_and_words_follow_the_language(pair, language):
    t = load_texts(language)
    found = emb.difference(pair[0].vector, pair[1].vector, MODEL)
    text = view.difference_html(found, t) + view.neighbours_html(pair, True, found.cosine, t)
    point = "," if language == "de" else "."
    assert f"{found.length:.2f}".replace(".", point) in text
    assert t("embeddings.suggestion") in html.unescape(text)
    for grouping in figures.GROUPINGS:
        assert t(f"embeddings.kind.{grouping}")
        view.legend_html(grouping, t)


def test_legend_and_frames_agree():
    colours = figures.group_colours("colour")
    assert colours["red"] == "#db1a1f"
    assert set(colours) == {*figures.values_of("colour"), None}
    assert figures.value_of(world.parse("a blue cat and a red dog"), "colour") == "blue"
    assert figures.value_of(world.parse("at night"), "noun") is None


def test_endpoint_answers_in_plain_numbers():
    answer = json.loads(json.dumps(tab.embeddings("a red car", "a blue car", neighbours=3)))
    assert np.linalg.norm(answer["vector"]) == pytest.approx(1, abs=1e-4)
    assert len(answer["neighbours"]) == len(answer["neighbours_b"]) == 3
    assert len(answer["map"]) == len(answer["map_b"]) == 3
    assert answer["cosine"] == pytest.approx(np.dot(answer["vector"], answer["vector_b"]), abs=1e-4)
    assert answer["words"][0]["word"] == "blue"
    assert not {"vector_b", "cosine", "words"} & set(tab.embeddings("a red car"))
    with pytest.raises(InputError):
        tab.embeddings("a red car", model="no-such-model")
