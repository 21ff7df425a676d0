"""The judge of pictures sees what is drawn, and says no to what is not."""

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.world.captions import Facts, ThingFact, parse
from pipelines.world.render import render
from pipelines.world.scene import NOUNS, PLACES, Scene, Thing
from training.evaluate import parse_all, wilson
from training.evaluation_prompts import prompts_of, scene_for
from training.scorers import COLOUR_CLASSES, GRID, Scorer, load_scorer, look_at, truth_of


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return load_scorer()


def _renders(category: str, seed: int) -> tuple[list[Image.Image], list[Facts]]:
    rng = np.random.default_rng(seed)
    facts = [p.facts for p in prompts_of(category)]
    return [render(scene_for(f, rng), rng)[0] for f in facts], facts


@pytest.mark.parametrize("category", ["single", "counting", "colours", "place", "style", "position"])
def test_right_pictures_are_seen_as_right(scorer: Scorer, category: str) -> None:
    images, facts = _renders(category, 11)
    right = [all(v.answers(f).values()) for v, f in zip(look_at(images, scorer), facts, strict=True)]
    assert np.mean(right) >= 0.9


@pytest.mark.parametrize("category", ["single", "counting", "colours", "place", "style", "position"])
def test_wrong_pictures_are_seen_as_wrong(scorer: Scorer, category: str) -> None:
    images, facts = _renders(category, 12)
    moved = facts[1:] + facts[:1]
    pairs = [(v, f) for v, f, own in zip(look_at(images, scorer), moved, facts, strict=True) if f != own]
    assert np.mean([all(v.answers(f).values()) for v, f in pairs]) <= 0.2


def test_labels_follow_the_scene() -> None:
    scene = Scene((Thing("cat", "red", "small"), Thing("bed")), "on", place="beach")
    masks = np.zeros((2, 64, 64), bool)
    masks[0, :10, :10] = masks[1, 32:, 32:] = True
    truth = truth_of(scene, masks)
    assert truth.nouns.shape == (GRID, GRID)
    assert truth.nouns[0, 0] == 1 + NOUNS.index("cat")
    assert truth.nouns[-1, -1] == 1 + NOUNS.index("bed")
    assert truth.colours[0, 0] == COLOUR_CLASSES.index("red")
    assert truth.colours[10, 10] == -1
    assert truth.counts.sum() == 2
    assert truth.looks["place"] == PLACES.index("beach")


def test_copies_count_and_have_no_relation() -> None:
    scene = Scene((Thing("cat"),) * 3)
    truth = truth_of(scene, np.zeros((3, 64, 64), bool))
    assert truth.counts[NOUNS.index("cat")] == 3
    assert (truth.relation, truth.size, truth.second) == (-1, -1, -1)


def test_pictures_of_any_size_are_judged_alike(scorer: Scorer) -> None:
    image, _ = render(Scene((Thing("car", "red", x=0.5, y=0.6, extent=0.6),)), np.random.default_rng(0))
    large = image.resize((512, 512), Image.Resampling.NEAREST)
    one, two = look_at([image, large], scorer)
    assert one.counts == two.counts == {"car": 1}
    assert torch.allclose(one.maps, two.maps, atol=1e-4)


def test_a_neighbour_on_the_left_is_left_of() -> None:
    facts = parse("a cat left of a car")
    assert facts == Facts((ThingFact("cat"), ThingFact("car")), relation="left of")


def test_two_lights_are_two_readings() -> None:
    lights = [f.atmosphere for f in parse_all("A cat. Cozy atmosphere. Dimm lighting.")]
    assert lights == ["cozy", "dim"]
    assert [f.atmosphere for f in parse_all("A small cat on a bed.")] == [None]


def test_interval_of_a_share() -> None:
    # Worked example: 8 of 10, z = 1.96.
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.4902, abs=1e-3)
    assert high == pytest.approx(0.9433, abs=1e-3)
