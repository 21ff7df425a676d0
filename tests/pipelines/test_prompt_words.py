"""Changing one word of a prompt: the world's parser must read the one new fact, and nothing else new."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.image.prompt_words import (
    DEFECTS,
    DIMENSIONS,
    MAX_WORDS,
    change_between,
    current,
    defects_of,
    left_out,
    said,
    toggled_defect,
    variants,
    with_value,
    without_value,
    words_of,
)
from pipelines.serving.errors import InputError
from pipelines.world.captions import caption, parse, phrases
from pipelines.world.layout import draw_scene

LECTURE = ("A small cat on a bed.", "A  cat in front of a House.", "A cat. Cozy atmosphere. Dimm lighting.")
FREE = ("an astronaut riding, <b>bold</b>", "🐱🐱", "x", "Ein Hund", 'say "cat" & run', "İ ﬁ cat")


def captions(count: int) -> list[str]:
    rng = np.random.default_rng(5)
    return [caption(draw_scene(rng), rng) for _ in range(count)]


def test_every_value_of_every_dimension_becomes_the_one_new_fact():
    rng = np.random.default_rng(6)
    for text in captions(300):
        facts = parse(text)
        for dimension in DIMENSIONS:
            value = str(rng.choice(list(words_of(dimension))))
            after = parse(with_value(text, dimension, value))
            if dimension == "relation" and len(facts.things) < 2:
                assert (after.relation, after.things[:1]) == (value, facts.things), text
                continue
            if dimension in ("content", "size", "colour"):
                named = {"noun" if dimension == "content" else dimension: value}
                expected = replace(facts, things=(replace(facts.things[0], **named), *facts.things[1:]))
            else:
                expected = replace(facts, **{dimension: value})
            assert after == expected, (text, dimension, value)


def test_taking_a_word_out_takes_its_fact_and_no_other():
    checked = 0
    for text in captions(300):
        facts = parse(text)
        for dimension in ("place", "atmosphere", "style", "composition"):
            if getattr(facts, dimension) is not None:
                after = parse(without_value(text, dimension, getattr(facts, dimension)))
                assert after == replace(facts, **{dimension: None}), text
                checked += 1
    assert checked > 200


@pytest.mark.parametrize(
    ("before", "dimension", "value", "after"),
    [
        (LECTURE[0], "content", "elephant", None),
        (LECTURE[0], "size", "large", "A large cat on a bed."),
        (LECTURE[0], "colour", "orange", "A small orange cat on a bed."),
        (LECTURE[0], "place", "snow", "A small cat on a bed in the snow."),
        (LECTURE[1], "relation", "behind", "A  cat behind a House."),
        (LECTURE[1], "colour", "orange", "An  orange cat in front of a House."),
        (LECTURE[1], "content", "dog", "A  dog in front of a House."),
        (LECTURE[2], "atmosphere", "warm", "A cat. Cozy atmosphere. Warm light."),
        ("a photo of a cat", "style", "cartoon", "a cartoon of a cat"),
        ("a photo of a cat", "style", "surreal", "a cat, surreal"),
        ("two dogs", "content", "bird", "two birds"),
        ("an orange cat", "colour", "red", "a red cat"),
        ("A RED CAR", "colour", "blue", "A BLUE CAR"),
        ("Cat on a chair", "size", "small", "Small cat on a chair"),
        ("a cat and a dog", "relation", "under", "a cat under a dog"),
        ("", "content", "cat", "a cat"),
        ("an astronaut", "style", "pixel art", "an astronaut, pixel art"),
        ("an astronaut.", "style", "pixel art", "an astronaut. Pixel art."),
    ],
)
def test_examples(before, dimension, value, after):
    if after is None:
        with pytest.raises(InputError, match="word_unknown"):
            with_value(before, dimension, value)
    else:
        assert with_value(before, dimension, value) == after


@pytest.mark.parametrize(
    ("before", "dimension", "value", "after"),
    [
        (LECTURE[0], "size", "small", "A cat on a bed."),
        (LECTURE[0], "relation", "on", "A small cat and a bed."),
        (LECTURE[0], "content", "cat", "A bed."),
        (LECTURE[0], "content", "bed", "A small cat."),
        (LECTURE[2], "atmosphere", "cozy", "A cat. Dimm lighting."),
        (LECTURE[2], "atmosphere", "dim", "A cat. Cozy atmosphere."),
        ("Cartoon, a cat", "style", "cartoon", "A cat"),
        ("an orange cat", "colour", "orange", "a cat"),
        ("a photo of a cat, warm light", "style", "photorealistic", "a cat, warm light"),
        ("a cat", "style", "cartoon", "a cat"),
        ("a cat", "content", "cat", ""),
    ],
)
def test_examples_of_taking_out(before, dimension, value, after):
    assert without_value(before, dimension, value) == after


@pytest.mark.parametrize("text", FREE)
def test_what_a_visitor_typed_is_kept_to_the_letter(text):
    for dimension in DIMENSIONS:
        for value in words_of(dimension):
            change = change_between(text, with_value(text, dimension, value))
            assert change.head + change.before + change.tail == text
            there = current(text, dimension)
            assert len(change.before) <= (there.end - there.start if there else 2), change


def test_of_two_things_the_first_is_changed_and_of_two_lights_the_last():
    assert current("a cat on a small bed", "size") is None
    assert with_value("a cat on a small bed", "size", "large") == "a large cat on a small bed"
    assert [p.value for p in said(LECTURE[2], "atmosphere")] == ["cozy", "dim"]
    assert current(LECTURE[2], "atmosphere").value == "dim"


def test_phrases_know_where_they_stand():
    text = "A  KITTEN, dimm   lighting"
    assert [(p.value, text[p.start : p.end]) for p in phrases(text)] == [
        (1, "A"), ("cat", "KITTEN"), ("dim", "dimm   lighting"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", LECTURE)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_variants_begin_with_the_prompt_and_differ_in_one_fact_each(text, dimension):
    found = variants(text, dimension)
    assert found[0][1] == text
    assert len({prompt for _, prompt in found}) == len(found) <= 9
    values = [value for value, _ in found if value is not None]
    assert len(values) == len(set(values)) <= 8
    assert set(values) <= set(words_of(dimension))


def test_leaving_out_covers_each_word_once_and_stops_at_twelve():
    assert left_out("A  cat in front") == [
        ("A", "cat in front"), ("cat", "A  in front"), ("in", "A  cat front"), ("front", "A  cat in"),
    ]  # fmt: skip
    assert len(left_out("word " * 40)) == MAX_WORDS
    for text in ("cat", " cat ", "🐱🐱", ""):
        with pytest.raises(InputError, match="words_too_few"):
            left_out(text)


def test_unknown_dimensions_and_words_are_named():
    for act in (words_of, lambda d: variants("a cat", d), lambda d: without_value("a cat", d, "cat")):
        with pytest.raises(InputError, match="dimension_unknown"):
            act("taste")
    with pytest.raises(InputError, match="word_unknown"):
        toggled_defect("", "typo")


def test_defects_come_and_go_in_the_negative_prompt():
    one = toggled_defect("", "text")
    two = toggled_defect(one, "blur")
    assert defects_of(two) == {"text", "blur"}
    assert toggled_defect(two, "text") == "blur"
    assert toggled_defect("ugly hands", "watermark") == f"ugly hands, {DEFECTS['watermark']}"
    assert toggled_defect("ugly, blurry, low", "blur") == "ugly, low"
