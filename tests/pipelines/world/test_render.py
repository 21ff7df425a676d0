"""Pictures show what their scene says, and masks say where: judged by the pixels alone."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pipelines.world.captions import NOUN_WORDS
from pipelines.world.layout import draw_scene, lay_out
from pipelines.world.render import render
from pipelines.world.scene import (
    ATMOSPHERES,
    COLOURABLE,
    COLOURS,
    DEFECTS,
    NOUNS,
    PLACES,
    STYLES,
    Scene,
    Thing,
)

seeds = st.integers(0, 2**32 - 1)
thorough = settings(derandomize=True, deadline=None, max_examples=60)
# At sea nothing casts a shadow, and in a cartoon nothing but a thin rim changes around a thing.
PLAIN = Scene((Thing("cat"),), place="sea", style="cartoon")


def pixels(scene: Scene, seed: int = 0, size: int = 64) -> np.ndarray:
    """A scene's picture, `[y, x, 3]`, 0..1."""
    return np.asarray(render(scene, np.random.default_rng(seed), size)[0], float) / 255


def masks(scene: Scene, seed: int = 0, size: int = 64) -> np.ndarray:
    return render(scene, np.random.default_rng(seed), size)[1]


def changed(one: Scene, other: Scene, size: int = 64) -> np.ndarray:
    """Where two pictures differ, `[y, x]`."""
    return np.abs(pixels(one, size=size) - pixels(other, size=size)).max(-1) > 0.02


def grown(mask: np.ndarray, by: int) -> np.ndarray:
    return ndimage.binary_dilation(mask, np.ones((3, 3)), by)


def without(scene: Scene, index: int) -> Scene:
    return replace(scene, things=tuple(t for i, t in enumerate(scene.things) if i != index), relation=None)


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize("size", ["small", "large", None])
def test_a_mask_is_where_the_thing_is_drawn(noun: str, size: str | None) -> None:
    scene = lay_out(replace(PLAIN, things=(Thing(noun, size=size),)), np.random.default_rng(1))
    (mask,) = masks(scene)
    empty = changed(scene, without(scene, 0))
    assert mask.sum() > 40
    assert (empty & ~grown(mask, 2)).sum() < 0.02 * mask.sum(), "something is drawn outside the mask"
    assert (empty & mask).sum() > 0.97 * mask.sum(), "the mask claims what is not drawn"


@pytest.mark.parametrize("noun", sorted(COLOURABLE))
def test_a_colour_changes_the_thing_and_nothing_else(noun: str) -> None:
    scene = lay_out(replace(PLAIN, things=(Thing(noun, "red"),)), np.random.default_rng(2))
    blue = replace(scene, things=(replace(scene.things[0], colour="blue"),))
    (mask,) = masks(scene, size=128)
    differs = changed(scene, blue, size=128)
    assert not (differs & ~grown(mask, 1)).any()
    assert (differs & mask).sum() > 0.5 * mask.sum()


@pytest.mark.parametrize("noun", sorted(COLOURABLE - {"flower"}))  # a flower keeps its green stem
def test_the_named_colour_is_the_one_to_see(noun: str) -> None:
    scene = lay_out(replace(PLAIN, things=(Thing(noun),)), np.random.default_rng(3))
    (mask,) = masks(scene)
    shown = {
        c: pixels(replace(scene, things=(replace(scene.things[0], colour=c),)))[mask].mean(0) for c in COLOURS
    }
    for colour in COLOURS.keys() - {"black", "white"}:
        hue, target = (colorsys.rgb_to_hsv(*rgb)[0] for rgb in (shown[colour], COLOURS[colour]))
        assert abs((hue - target + 0.5) % 1 - 0.5) < 0.03, colour
    assert min(shown, key=lambda c: shown[c].max()) == "black"
    assert max(shown, key=lambda c: shown[c].min()) == "white"


@thorough
@given(seeds)
def test_what_stands_behind_is_hidden(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = lay_out(replace(PLAIN, things=(Thing("dog"), Thing("house")), relation="in front of"), rng)
    near, far = masks(scene)
    (near_alone,), (far_alone,) = masks(without(scene, 1)), masks(without(scene, 0))
    assert (near == near_alone).all()
    assert far.sum() < far_alone.sum()
    assert not (far & ~far_alone).any()
    assert not (far & near_alone).any()

    behind = replace(scene, things=scene.things[::-1], relation="behind")
    assert (pixels(behind) == pixels(scene)).all(), "the same picture, said from the other side"


@thorough
@given(seeds)
def test_each_pixel_belongs_to_one_thing_at_most(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng, unseen=True)
    picture, visible = render(scene, rng)
    assert picture.size == (64, 64)
    assert picture.mode == "RGB"
    assert visible.shape == (len(scene.things), 64, 64)
    assert visible.dtype == bool
    assert visible.sum(0).max() <= 1
    assert all(m.any() for m in visible), scene


@thorough
@given(seeds)
def test_the_seed_decides_the_picture(seed: int) -> None:
    scene = draw_scene(np.random.default_rng(seed))
    assert (pixels(scene, seed) == pixels(scene, seed)).all()
    assert (masks(scene, seed) == masks(scene, seed)).all()


def test_another_seed_gives_another_picture() -> None:
    assert (pixels(PLAIN, 1) != pixels(PLAIN, 2)).any()


@pytest.mark.parametrize("noun", NOUNS)
def test_small_looks_smaller_than_large(noun: str) -> None:
    areas = []
    for size in ("small", None, "large"):
        scene = lay_out(replace(PLAIN, things=(Thing(noun, size=size),)), np.random.default_rng(4))
        areas.append(masks(scene).sum())
    assert areas[0] * 1.5 < areas[1]
    assert areas[1] * 1.5 < areas[2]


def test_copies_are_apart_enough_to_count() -> None:
    for count in (1, 2, 3, 4):
        scene = lay_out(replace(PLAIN, things=(Thing("ball"),) * count), np.random.default_rng(5))
        assert len(masks(scene)) == count
        assert ndimage.label(masks(scene).any(0))[1] == count


def test_a_flipped_thing_is_mirrored() -> None:
    scene = replace(PLAIN, things=(Thing("guitar", x=0.5, y=0.5, extent=0.5),))
    flipped = replace(scene, things=(replace(scene.things[0], flip=True),))
    (mask,), (mirror,) = masks(scene), masks(flipped)
    assert (mask != mirror).any()
    assert (mask[:, ::-1] != mirror).mean() < 0.02


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [32, 64, 128])
def test_every_style_renders_at_every_size(style: str, size: int) -> None:
    scene = replace(PLAIN, style=style)
    picture, visible = render(scene, np.random.default_rng(0), size)
    assert picture.size == (size, size)
    assert visible.shape == (1, size, size)
    assert np.asarray(picture).std() > 10
    if style != "cartoon":
        assert np.abs(pixels(scene, size=size) - pixels(PLAIN, size=size)).mean() > 0.01


def test_places_look_different() -> None:
    seen = [pixels(replace(PLAIN, things=(), place=p)) for p in PLACES]
    for i, one in enumerate(seen):
        for other in seen[:i]:
            assert np.abs(one - other).mean() > 0.05


def test_atmospheres_change_the_light() -> None:
    plain = pixels(replace(PLAIN, place="meadow")).mean()
    lights = {a: pixels(replace(PLAIN, place="meadow", atmosphere=a)) for a in ATMOSPHERES}
    assert all(lights[a].mean() < 0.75 * plain for a in ("dim", "dramatic", "at night"))
    assert lights["bright"].mean() > 1.1 * plain
    red, _, blue = lights["warm"].mean((0, 1))
    assert red > 1.3 * blue
    red, _, blue = lights["at night"].mean((0, 1))
    assert blue > 1.3 * red


@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_spoil_the_picture_but_not_the_masks(defect: str) -> None:
    spoilt = replace(PLAIN, place="street", defect=defect)
    clean = replace(spoilt, defect=None)
    assert np.abs(pixels(spoilt) - pixels(clean)).mean() > 0.01
    assert (masks(spoilt) == masks(clean)).all()
    detail = {s: np.abs(np.diff(pixels(s), axis=1)).mean() for s in (spoilt, clean)}
    assert (detail[spoilt] < detail[clean]) == (defect == "blur")


def test_every_noun_has_words() -> None:
    assert set(NOUN_WORDS) == set(NOUNS)
