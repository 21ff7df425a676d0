"""Pairs that a CLIP in small learns: which it sees, which are kept from it, and which it cannot have."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipelines.clip.contrastive import Recipe, begin_training
from pipelines.clip.contrastive_pairs import (
    POOL,
    draw_pairs,
    first_pairs,
    own_pairs,
    pool_of,
    with_twin,
    without,
)
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import trainings


@pytest.mark.parametrize("count", range(2, 9))
@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_unseen_pairs_have_seen_words_in_new_combinations(count: int, seed: int | None) -> None:
    pairs = (first_pairs(count) if seed is None else draw_pairs(count, seed)).validated()
    assert len(pairs) == count and len(set(pairs.captions)) == count
    assert len(pairs.unseen_captions) in (count, 2 * count)
    assert set(" ".join(pairs.unseen_captions).split()) <= set(" ".join(pairs.captions).split()) | {"A", "An"}
    known = {(s.noun, s.place) for s in pairs.subjects if s is not None}
    kept_back = {(s.noun, s.place) for s in pairs.unseen_subjects}
    assert not known & kept_back
    for start in range(0, len(pairs.unseen_captions), count):
        assert len(set(pairs.unseen_captions[start : start + count])) == count
    images, captions = pool_of(pairs)
    assert len(images) == len(captions) == POOL
    assert not set(captions) & set(pairs.unseen_captions)


def test_drawn_pairs_follow_their_seed() -> None:
    assert draw_pairs(5, 1).captions == draw_pairs(5, 1).captions != draw_pairs(5, 2).captions


@pytest.mark.parametrize("seed", range(6))
def test_pairs_that_are_left_keep_combinations_that_none_of_them_shows(seed: int) -> None:
    """Down from eight, two of which stand at one place, by taking away any of them."""
    rng = np.random.default_rng(seed)
    pairs = draw_pairs(8, seed)
    while len(pairs) > 2:
        gone = int(rng.integers(len(pairs)))
        left = without(pairs, gone)
        kept = [i for i in range(len(pairs)) if i != gone]
        assert left.captions == tuple(pairs.captions[i] for i in kept)
        assert left.images == tuple(pairs.images[i] for i in kept)
        assert left.unseen_subjects and len(left.unseen_subjects) % len(left) == 0
        assert len(left.unseen_images) == len(left.unseen_captions) == len(left.unseen_subjects)
        shown = {(s.noun, s.place) for s in left.subjects if s is not None}
        unseen = {(s.noun, s.place) for s in left.unseen_subjects}
        assert not shown & unseen and len(unseen) == len(left.unseen_subjects)
        if left.mixed:
            assert {place for _, place in unseen} <= {place for _, place in shown}
        begin_training(left, Recipe(), "left")
        pairs = left
    with pytest.raises(InputError, match="pairs_needed"):
        without(pairs, 0)
    trainings.leave("left")


def test_two_things_at_one_place_borrow_other_unseen_pairs() -> None:
    flower, rabbit = (first_pairs(8).subjects[i] for i in (3, 7))
    assert flower is not None and rabbit is not None and flower.place == rabbit.place
    pairs = first_pairs(8)
    for gone in (6, 5, 4, 2, 1, 0):
        pairs = without(pairs, gone)
    assert pairs.subjects == (flower, rabbit) and not pairs.mixed
    assert len(pairs.unseen_images) == 2 and pairs.validated()


def test_a_twin_is_another_picture_under_the_same_text() -> None:
    twins = with_twin(first_pairs()).validated()
    assert twins.captions[0] == twins.captions[1] == first_pairs().captions[0]
    assert twins.captions[2:] == first_pairs().captions[2:]
    photo = Image.effect_noise((40, 30), 90).convert("RGB")
    own = with_twin(own_pairs([photo, photo.rotate(90)], ["noise", "more noise"]))
    assert own.captions == ("noise", "noise")
    assert np.array_equal(np.asarray(own.images[1]), np.asarray(photo)[:, ::-1])


def plain(colour: str) -> Image.Image:
    image = Image.new("RGB", (90, 70), colour)
    ImageDraw.Draw(image).rectangle((10, 10, 30, 30), "white")
    return image


@pytest.mark.parametrize(
    "images, captions, key, values",
    [
        ([plain("red")], ["a"], "pairs_count", {"received": 1, "fewest": 2, "most": 8}),
        ([], [], "pairs_count", {"received": 0, "fewest": 2, "most": 8}),
        ([plain(f"hsl({40 * i}, 50%, 50%)") for i in range(9)], ["a"] * 9, "pairs_count",
         {"received": 9, "fewest": 2, "most": 8}),
        ([plain("red"), plain("blue")], ["a"], "pairs_uneven", {"pictures": 2, "captions": 1}),
        ([plain("red"), plain("blue")], ["a", " \t"], "caption_empty", {"number": 2}),
        ([plain("red"), plain("blue")], ["a", "\ud83d"], "text_broken", {}),
        ([plain("red"), plain("blue")], ["a" * 2001, "b"], "text_too_long",
         {"number": 1, "received": 2001, "most": 2000}),
        ([plain("red"), plain("blue"), plain("red")], ["a", "b", "c"], "pictures_same",
         {"first": 1, "second": 3}),
    ],
)  # fmt: skip
def test_pairs_that_cannot_be_learnt_are_refused(images, captions, key: str, values: dict) -> None:
    with pytest.raises(InputError) as error:
        own_pairs(images, captions)
    assert (error.value.key, error.value.values) == (key, values)


@pytest.mark.parametrize("count", [0, 1, 9])
@pytest.mark.parametrize("draw", [first_pairs, lambda count: draw_pairs(count, 0)])
def test_the_number_of_drawn_pairs_is_checked(draw: Callable, count: int) -> None:
    with pytest.raises(InputError, match="pairs_count"):
        draw(count)
