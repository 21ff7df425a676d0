"""Films hold what their captions say, move as their motion says, and stay in one piece otherwise."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.world import films
from pipelines.world.captions import parse
from pipelines.world.films import (
    FRAMES,
    MOTION_WORDS,
    MOTIONS,
    Film,
    draw_film,
    draw_siblings,
    draw_takes,
    film_caption,
    is_held_out_motion,
    parse_motion,
    render_film,
    sibling_captions,
)
from pipelines.world.scene import COLOURABLE, NOUNS, STYLES, Scene, Thing, is_held_out
from tests.oracles import film_holds

PLAIN = Scene((Thing("cat", "orange", x=0.5, y=0.6, extent=0.4),), place="meadow", style="cartoon")


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(200))
def test_every_caption_holds_and_a_named_motion_is_read_back(seed: int) -> None:
    film = draw_film(rng_of(seed))
    text = film_caption(film, rng_of(seed))
    assert film_holds(text, film), text
    named = [m for m, phrases in MOTION_WORDS.items() if any(p in text.lower() for p in phrases)]
    assert parse_motion(text) == (film.motion if named else None)


def test_a_caption_does_not_hold_of_another_film() -> None:
    film = Film(PLAIN, "walks left")
    assert film_holds("An orange cat walks left in a meadow.", film)
    assert not film_holds("An orange cat walks right in a meadow.", film)
    assert not film_holds("A dog walks left.", film)
    assert parse_motion("a cat left of a house") is None
    assert parse_motion("a cat walks to the left of a house, CAMERA PANS") == "pans"


def centre(mask: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean())


@pytest.mark.parametrize("motion", MOTIONS)
def test_what_the_masks_show_is_the_motion(motion: str) -> None:
    film = replace(draw_film(rng_of(3), motion=motion))
    film = replace(film, scene=replace(film.scene, style="cartoon", atmosphere=None))
    shot = render_film(film, 7)
    assert len(shot.frames) == FRAMES and shot.masks.shape == (FRAMES, 64, 64)
    sizes = shot.masks.sum((1, 2))
    assert sizes.min() > 8
    x, y = np.array([centre(mask) for mask in shot.masks]).T
    expected = {
        "walks left": x[0] - x[-1] > 15 and np.ptp(y) < 6,
        "walks right": x[-1] - x[0] > 15 and np.ptp(y) < 6,
        "flies up": y[0] - y[-1] > 15 and np.ptp(x) < 3,
        "falls": y[-1] - y[0] > 15 and y[8] - y[0] < y[-1] - y[8],
        "jumps": y[4] < y[0] - 10 and y[12] < y[8] - 10 and abs(y[8] - y[0]) < 3,
        "grows": sizes[-1] > 4 * sizes[0],
        "spins": np.ptp(x) < 6 and np.ptp(y) < 6 and np.ptp(sizes) < 0.3 * sizes.mean(),
        "zooms in": sizes[-1] > 2 * sizes[0],
        "pans": x[0] - x[-1] > 15,
    }
    assert expected[motion]


def test_the_track_says_where_the_masks_are() -> None:
    for motion in MOTIONS:
        shot = render_film(Film(draw_film(rng_of(11), motion=motion).scene, motion), 1)
        for mask, (x, y, extent, _) in zip(shot.masks, shot.track, strict=True):
            if 0.2 < x < 0.8 and 0.2 < y < 0.8 and extent < 0.4:  # whole inside the picture
                left, top = np.nonzero(mask.any(0))[0], np.nonzero(mask.any(1))[0]
                middle = (left.min() + left.max() + 1) / 128, (top.min() + top.max() + 1) / 128
                assert np.allclose(middle, (x, y), atol=0.06), motion


def test_only_what_moves_changes() -> None:
    still = render_film(Film(PLAIN), 5)
    assert all(np.array_equal(np.asarray(still.frames[0]), np.asarray(f)) for f in still.frames)
    moved = render_film(Film(PLAIN, "jumps"), 5)
    first, last = (np.asarray(moved.frames[i], int) for i in (0, 4))
    far = np.ones((64, 64), bool)
    for mask in (moved.masks[0], moved.masks[4]):
        rows, columns = np.nonzero(mask)
        far[max(rows.min() - 8, 0) : rows.max() + 12, max(columns.min() - 8, 0) : columns.max() + 8] = False
    assert far.sum() > 500
    assert np.array_equal(first[far], last[far])
    assert not np.array_equal(first, last)


def test_a_turned_thing_comes_round() -> None:
    turned = [films.scene_at(Film(PLAIN, "spins"), t).things[0].angle for t in (0, 0.25, 0.5)]
    assert turned == [0, 90, 180]


def test_training_never_sees_what_is_held_out() -> None:
    pairs = [(motion, noun) for motion in MOTIONS for noun in NOUNS if is_held_out_motion(motion, noun)]
    assert 0.04 < len(pairs) / (len(MOTIONS) * len(NOUNS)) < 0.18
    drawn = [draw_film(rng_of(seed)) for seed in range(300)]
    assert not any(is_held_out_motion(f.motion, f.scene.things[0].noun) for f in drawn)
    motion, noun = pairs[0]
    found = (draw_film(rng_of(seed), unseen=True, motion=motion) for seed in range(400))
    assert any(f.scene.things[0].noun == noun for f in found)


@pytest.mark.parametrize("seed", range(40))
def test_siblings_differ_in_nothing_but_what_moves(seed: int) -> None:
    siblings = draw_siblings(rng_of(seed), 4)
    assert len({film.motion for film in siblings}) == 4
    plain = {
        replace(film.scene, things=(replace(film.scene.things[0], x=0, y=0, extent=0),)) for film in siblings
    }
    assert len(plain) == 1
    assert not any(is_held_out_motion(f.motion, f.scene.things[0].noun) for f in siblings)
    captions = sibling_captions(siblings, rng_of(seed))
    assert all(film_holds(text, film) for text, film in zip(captions, siblings, strict=True)), captions
    assert [parse_motion(text) for text in captions] == [film.motion for film in siblings]
    assert len({words_but_motion(text) for text in captions}) == 1, captions


@pytest.mark.parametrize("seed", range(40))
def test_a_caption_is_true_of_all_takes(seed: int) -> None:
    takes, captions = draw_takes(rng_of(seed), 4, 8)
    assert len(takes) == 8
    motions = [parse_motion(text) for text in captions]
    for films_of_a_scene in takes:
        assert [film.motion for film in films_of_a_scene] == motions
        assert all(map(film_holds, captions, films_of_a_scene)), captions
        scene = films_of_a_scene[0].scene
        thing = scene.things[0]
        assert not is_held_out(scene)
        assert not any(is_held_out_motion(motion, thing.noun) for motion in motions)
        assert thing.colour is None or thing.noun in COLOURABLE


def test_what_a_caption_leaves_open_differs_from_take_to_take() -> None:
    takes, captions = draw_takes(rng_of(0), 2, 40)
    said, scenes = parse(captions[0]), [films_of_a_scene[0].scene for films_of_a_scene in takes]
    assert said.style is None and said.things[0].colour is None, "the seed is to draw a caption like this"
    assert {scene.style for scene in scenes} == set(STYLES)
    assert len({scene.things[0].colour for scene in scenes}) > 3
    assert len({scene.things[0].y for scene in scenes}) == 40
    assert {scene.things[0].noun for scene in scenes} == {said.things[0].noun}


def words_but_motion(text: str) -> tuple[str, ...]:
    """A text's words but those that name a motion, in alphabetical order."""
    for phrase in sorted((p for phrases in MOTION_WORDS.values() for p in phrases), key=len, reverse=True):
        text = text.lower().replace(phrase, "")
    return tuple(sorted(text.replace(",", " ").replace(".", " ").split()))
