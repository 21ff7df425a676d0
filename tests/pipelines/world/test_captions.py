"""Captions say only what their scene holds, and the parser reads back what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.world.captions import (
    ATMOSPHERE_WORDS,
    COLOUR_WORDS,
    COMPOSITION_WORDS,
    DEFECT_WORDS,
    NOUN_WORDS,
    PLACE_WORDS,
    RELATION_WORDS,
    SIZE_WORDS,
    STYLE_WORDS,
    Facts,
    ThingFact,
    caption,
    facts_of,
    holds,
    parse,
)
from pipelines.world.layout import draw_scene
from pipelines.world.scene import Scene, Thing

LOOKS = {
    "place": PLACE_WORDS,
    "atmosphere": ATMOSPHERE_WORDS,
    "style": STYLE_WORDS,
    "composition": COMPOSITION_WORDS,
    "defect": DEFECT_WORDS,
}
LECTURE = {
    "A small cat on a bed.": Facts((ThingFact("cat", size="small"), ThingFact("bed")), relation="on"),
    "A  cat in front of a House.": Facts((ThingFact("cat"), ThingFact("house")), relation="in front of"),
    "A cat. Cozy atmosphere. Dimm lighting.": Facts((ThingFact("cat"),), atmosphere="dim"),
}
CAT_ON_BED = Scene((Thing("cat", colour="black", size="small"), Thing("bed")), relation="on", place="room")


@settings(derandomize=True, deadline=None, max_examples=2000)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_caption_parses_back_to_what_its_scene_holds(seed: int, unseen: bool) -> None:
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng, unseen=unseen)
    text = caption(scene, rng)
    facts = parse(text)
    nouns = [t.noun for t in scene.things]

    for look in LOOKS:
        assert getattr(facts, look) in (None, getattr(scene, look)), text
    said = [f.noun for f in facts.things]
    assert sorted(said) == sorted(set(nouns)), text
    if facts.relation is not None:
        assert (facts.relation, said) == (scene.relation, nouns), text
    for fact in facts.things:
        assert fact.count == nouns.count(fact.noun), text
        assert any(
            fact.noun == t.noun and fact.colour in (None, t.colour) and fact.size in (None, t.size)
            for t in scene.things
        ), text
    assert holds(facts, scene), text


@pytest.mark.parametrize(("prompt", "facts"), LECTURE.items())
def test_the_lecture_prompts_are_understood(prompt: str, facts: Facts) -> None:
    assert parse(prompt) == facts


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_is_understood(look: str) -> None:
    for value, phrases in LOOKS[look].items():
        for phrase in phrases:
            for text in (f"A cat, {phrase}.", f"{phrase.upper()}. A CAT.", f"a cat {phrase}"):
                assert parse(text) == Facts((ThingFact("cat"),), **{look: value}), text


def test_every_thing_is_understood() -> None:
    for noun, names in NOUN_WORDS.items():
        for name in names:
            assert parse(f"the {name}").things == (ThingFact(noun),)
            for colour, words in COLOUR_WORDS.items():
                for word in words:
                    assert parse(f"a {word} {name}").things == (ThingFact(noun, colour=colour),)
            for size, words in SIZE_WORDS.items():
                for word in words:
                    assert parse(f"a {word} {name}").things == (ThingFact(noun, size=size),)


def test_every_relation_is_understood() -> None:
    for relation, phrases in RELATION_WORDS.items():
        for phrase in phrases:
            facts = parse(f"a red dog {phrase} a big tree")
            things = (ThingFact("dog", colour="red"), ThingFact("tree", size="large"))
            assert facts == Facts(things, relation=relation), phrase


def test_captions_use_the_whole_vocabulary() -> None:
    rng = np.random.default_rng(3)
    text = " | ".join(caption(draw_scene(rng), rng).lower() for _ in range(8000))
    tables = (NOUN_WORDS, COLOUR_WORDS, SIZE_WORDS, RELATION_WORDS, *LOOKS.values())
    missing = {p for table in tables for phrases in table.values() for p in phrases if p not in text}
    assert not missing


def test_captions_vary_and_leave_things_out() -> None:
    rng = np.random.default_rng(4)
    texts = [caption(CAT_ON_BED, rng) for _ in range(300)]
    assert len(set(texts)) > 150
    assert 0.2 < np.mean([parse(t).place is None for t in texts]) < 0.6
    assert 0.05 < np.mean([parse(t).relation is None for t in texts]) < 0.3
    assert any(t.isupper() for t in texts)
    assert any(t.endswith(".") for t in texts)


def test_the_seed_decides_the_caption() -> None:
    first, again, other = (caption(CAT_ON_BED, np.random.default_rng(s)) for s in (5, 5, 6))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    "text",
    [
        "a dog on a bed",
        "a large cat on a bed",
        "a cat under a bed",
        "a bed on a cat",
        "two cats on a bed",
        "a cat on a bed, at night",
        "a cat on a bed, watercolor",
        "a white cat on a bed",
        "a cat on a red bed",
        "a cat and a dog",
    ],
)
def test_a_text_that_says_more_than_the_scene_holds_is_false(text: str) -> None:
    assert not holds(parse(text), CAT_ON_BED)


@pytest.mark.parametrize(
    "text",
    ["", "a cat", "a bed", "a bed and a cat", "a small black cat on a bed indoors", "🙂 ß", "no words known"],
)
def test_a_text_that_says_less_is_true(text: str) -> None:
    assert holds(parse(text), CAT_ON_BED)


def test_all_facts_of_a_scene_hold() -> None:
    rng = np.random.default_rng(7)
    for scene in (draw_scene(rng, unseen=True) for _ in range(500)):
        assert holds(facts_of(scene), scene)
