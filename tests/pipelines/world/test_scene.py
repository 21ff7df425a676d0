"""Scenes: what training never shows, and geometry that makes what captions say true."""

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines.world.layout import draw_scene, lay_out
from pipelines.world.scene import (
    COLOURABLE,
    COMPOSITIONS,
    NOUNS,
    PLACES,
    RELATIONS,
    STYLES,
    Scene,
    Thing,
    held_out_combinations,
)

DRAWS = 6000
SPRITES = Path(__file__).parents[3] / "assets" / "world"
# Written out here, not imported: what the pictures of a relation look like with the names swapped.
SWAPPED = {
    "on": "under",
    "under": "on",
    "in front of": "behind",
    "behind": "in front of",
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "next to": "next to",
}
# The sprites are cropped to their ink: width and height as shares of the longer one.
SHAPES = {n: np.array(Image.open(SPRITES / f"{n}.png").size) / 128 for n in NOUNS}

seeds = st.integers(0, 2**32 - 1)
every = settings(derandomize=True, deadline=None, max_examples=200)


@pytest.fixture(scope="module")
def drawn() -> list[Scene]:
    rng = np.random.default_rng(1)
    return [draw_scene(rng) for _ in range(DRAWS)]


def combinations_of(scene: Scene) -> set[tuple[str, ...]]:
    """Everything of a scene that could have been held out, under every name that it has."""
    found: set[tuple[str, ...]] = {(t.colour, t.noun) for t in scene.things if t.colour}
    if scene.atmosphere:
        found.add((scene.atmosphere, scene.style))
    if scene.relation:
        a, b = (t.noun for t in scene.things)
        found |= {(a, scene.relation, b), (b, SWAPPED[scene.relation], a)}
    return found


def box(thing: Thing) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a thing's ink, as shares of the picture."""
    width, height = SHAPES[thing.noun] * thing.extent
    return thing.x - width / 2, thing.y - height / 2, thing.x + width / 2, thing.y + height / 2


def gaps(scene: Scene) -> tuple[float, float]:
    """Free space between two things, rightwards and downwards; negative where they overlap."""
    a, b = (box(t) for t in scene.things)
    return max(b[0] - a[2], a[0] - b[2]), max(b[1] - a[3], a[1] - b[3])


def pair(a: str, relation: str, b: str, seed: int) -> Scene:
    return lay_out(Scene((Thing(a), Thing(b)), relation), np.random.default_rng(seed))


def test_training_never_shows_what_is_held_out(drawn: list[Scene]) -> None:
    held_out = {c for kind in held_out_combinations().values() for c in kind}
    for scene in drawn:
        assert not combinations_of(scene) & held_out, scene


def test_the_evaluation_can_show_what_is_held_out() -> None:
    rng = np.random.default_rng(2)
    held_out = held_out_combinations()
    shown = set().union(*(combinations_of(draw_scene(rng, unseen=True)) for _ in range(DRAWS)))
    for kind in held_out.values():
        assert shown & set(kind)


def test_about_one_in_ten_combinations_is_held_out() -> None:
    held_out = held_out_combinations()
    possible = {"colour": len(COLOURABLE) * 8, "relation": 16 * 15 * 9, "look": 7 * 6}
    for kind, total in possible.items():
        assert 0.06 < len(held_out[kind]) / total < 0.14, kind


def test_a_held_out_relation_is_held_out_under_both_its_names() -> None:
    held_out = set(held_out_combinations()["relation"])
    assert {(b, SWAPPED[r], a) for a, r, b in held_out} == held_out


def test_the_lecture_is_never_held_out() -> None:
    held_out = held_out_combinations()
    assert ("cat", "on", "bed") not in held_out["relation"]
    assert ("cat", "in front of", "house") not in held_out["relation"]
    assert not {("cozy", "cartoon"), ("dim", "cartoon")} & set(held_out["look"])


def test_training_shows_the_whole_world(drawn: list[Scene]) -> None:
    assert {t.noun for s in drawn for t in s.things} == set(NOUNS)
    assert {len(s.things) for s in drawn} == {1, 2, 3, 4}
    assert {s.relation for s in drawn} == {None, *RELATIONS}
    assert {s.place for s in drawn} == set(PLACES)
    assert {s.style for s in drawn} == set(STYLES)
    assert {s.composition for s in drawn} == {None, *COMPOSITIONS}


@every
@given(seeds)
def test_the_seed_decides_the_scene(seed: int) -> None:
    assert draw_scene(np.random.default_rng(seed)) == draw_scene(np.random.default_rng(seed))


@every
@given(seeds)
def test_things_stay_in_the_picture(seed: int) -> None:
    scene = draw_scene(np.random.default_rng(seed))
    if scene.composition != "close-up":
        for thing in scene.things:
            left, top, right, bottom = box(thing)
            assert min(left, top) > -0.01, thing
            assert max(right, bottom) < 1.01, thing


@pytest.mark.parametrize("a", NOUNS)
def test_relations_are_true(a: str) -> None:
    for b, seed in product(set(NOUNS) - {a}, range(3)):
        one, other = pair(a, "left of", b, seed), pair(a, "right of", b, seed)
        assert box(one.things[0])[2] + 0.06 < box(one.things[1])[0]
        assert box(other.things[1])[2] + 0.06 < box(other.things[0])[0]

        one, other = pair(a, "above", b, seed), pair(a, "below", b, seed)
        assert box(one.things[0])[3] + 0.06 < box(one.things[1])[1]
        assert box(other.things[1])[3] + 0.06 < box(other.things[0])[1]

        for relation, upper in (("on", 0), ("under", 1)):
            scene = pair(a, relation, b, seed)
            assert scene.things[upper].y + 0.08 < scene.things[1 - upper].y
            across, down = gaps(scene)
            assert across < -0.15, "one stands over the other"
            assert down < 0.14, "and close to it"

        scene = pair(a, "next to", b, seed)
        across, down = gaps(scene)
        assert -0.01 < across < 0.18
        assert down < -0.1, "at the same height"

        for relation, near in (("in front of", 0), ("behind", 1)):
            scene = pair(a, relation, b, seed)
            assert max(gaps(scene)) < 0, "one hides a part of the other"
            assert box(scene.things[near])[3] > box(scene.things[1 - near])[3], "and stands nearer"
            assert scene.painted[-1] == near, "and is painted over it"


@every
@given(seeds, st.sampled_from(NOUNS), st.sampled_from([2, 3, 4]))
def test_copies_can_be_counted(seed: int, noun: str, count: int) -> None:
    scene = lay_out(Scene((Thing(noun),) * count), np.random.default_rng(seed))
    assert len(scene.things) == count
    for one, other in combinations(scene.things, 2):
        assert max(gaps(Scene((one, other)))) > -0.09, "they touch at most"


@every
@given(seeds, st.sampled_from(NOUNS))
def test_sizes_are_in_order(seed: int, noun: str) -> None:
    small, plain, large = (
        lay_out(Scene((Thing(noun, size=s),)), np.random.default_rng(seed)).things[0].extent
        for s in ("small", None, "large")
    )
    assert small * 1.3 < plain
    assert plain * 1.3 < large


@every
@given(seeds, st.sampled_from(NOUNS))
def test_compositions_place_the_thing(seed: int, noun: str) -> None:
    def placed(composition: str) -> Thing:
        scene = Scene((Thing(noun),), composition=composition)
        return lay_out(scene, np.random.default_rng(seed)).things[0]

    centred = placed("centered")
    assert (centred.x, centred.y) == (0.5, 0.5)
    assert placed("wide shot").extent < 0.25
    assert placed("close-up").extent > 0.9
