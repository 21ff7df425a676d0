"""The prompts of the evaluation ask for what they say, and scenes made for them hold it."""

import re

import numpy as np
import pytest

from pipelines.world.captions import _table, holds, parse
from pipelines.world.scene import ATMOSPHERES, COLOURS, PLACES, RELATIONS, STYLES, is_held_out
from training.evaluation_prompts import (
    GENEVAL,
    OWN,
    inviting,
    prompts_of,
    scene_for,
    unseen_and_seen,
)
from training.free_wording import FREE_WORDING

CATEGORIES = (*GENEVAL, *OWN, "relation")


@pytest.mark.parametrize("category", CATEGORIES)
def test_scenes_made_for_a_prompt_hold_its_facts(category: str) -> None:
    rng = np.random.default_rng(1)
    for prompt in prompts_of(category):
        assert holds(prompt.facts, scene_for(prompt.facts, rng)), prompt.text


@pytest.mark.parametrize(
    ("category", "things", "asked"),
    [
        ("single", 1, ()),
        ("two", 2, ()),
        ("counting", 1, ()),
        ("colours", 1, ()),
        ("attribution", 2, ()),
        ("position", 2, ("relation",)),
        ("relation", 2, ("relation",)),
        *((look, 1, (look,)) for look in OWN if look != "size"),
    ],
)
def test_prompts_say_what_their_category_is_about(category: str, things: int, asked: tuple[str, ...]) -> None:
    prompts = prompts_of(category)
    assert len(prompts) == 50
    for prompt in prompts:
        assert len(prompt.facts.things) == things
        assert all(getattr(prompt.facts, name) is not None for name in asked)
        if category == "counting":
            assert prompt.facts.things[0].count > 1
        if category in ("colours", "attribution"):
            assert all(thing.colour for thing in prompt.facts.things)


def test_unseen_prompts_are_held_out_and_seen_ones_are_not() -> None:
    rng = np.random.default_rng(2)
    unseen, seen = unseen_and_seen()
    assert all(is_held_out(scene_for(p.facts, rng)) for p in unseen)

    def asks_for_held_out(facts) -> bool:
        return all(is_held_out(scene_for(facts, rng)) for _ in range(25))

    assert not any(asks_for_held_out(p.facts) for p in seen)


def test_prompts_that_invite_a_defect_name_it() -> None:
    for prompt, negative in inviting():
        assert prompt.facts.defect == negative


def test_the_list_is_the_same_in_every_run() -> None:
    assert [p.text for p in prompts_of("attribution")] == [p.text for p in prompts_of("attribution")]


def test_prompts_in_free_wording_use_words_that_no_caption_has() -> None:
    known = {"a", "an", "the", "and"} | {word for phrase in _table() for word in phrase.split()}
    texts = [prompt.text for prompt in FREE_WORDING]
    assert len(set(texts)) == 60
    for text in texts:
        assert set(re.findall(r"[a-z]+", text.lower())) - known, text


def test_prompts_in_free_wording_name_the_things_they_ask_for_and_the_world_can_show_it() -> None:
    for prompt in FREE_WORDING:
        things = [thing.noun for thing in parse(prompt.text).things]
        facts = prompt.facts
        assert sorted(things) == sorted(thing.noun for thing in facts.things), prompt.text
        assert {thing.colour for thing in facts.things} <= {None, *COLOURS}
        assert facts.relation in (None, *RELATIONS) and facts.place in (None, *PLACES)
        assert facts.atmosphere in (None, *ATMOSPHERES) and facts.style in (None, *STYLES)
        assert facts.relation is None or len(facts.things) == 2
