"""What the tab shows of patches and neighbours, against scikit-learn and against plain loops."""

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from pipelines.clip import model as clip
from pipelines.dino import dino
from pipelines.dino.model import read_tokens, read_whole
from pipelines.serving.errors import InputError

MODEL, CLIP = "classroom-dino", "classroom-clip"


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [dino.world_picture(seed, things=1).picture for seed in (1, 2)]


def test_colours_are_the_librarys_components(pictures) -> None:
    patches = read_tokens(pictures, MODEL).patches
    colours, explained = dino.component_colours(patches)
    flat = patches.reshape(-1, patches.shape[-1]).astype(np.float64)
    expected = PCA(3).fit(flat)
    assert explained == pytest.approx(expected.explained_variance_ratio_.sum(), abs=1e-4)
    parts = expected.transform(flat)
    for channel in range(3):  # clipped to the middle 96 %, which keeps the order
        inside = (colours.reshape(-1, 3)[:, channel] > 0.01) & (colours.reshape(-1, 3)[:, channel] < 0.99)
        r = np.corrcoef(parts[inside, channel], colours.reshape(-1, 3)[inside, channel])[0, 1]
        assert abs(r) > 0.999
    assert colours.min() == 0 and colours.max() == 1


def test_one_colour_means_one_feature_in_both_pictures(pictures) -> None:
    both = dino.look_at([pictures[0], pictures[0]], MODEL)
    assert np.array_equal(both.colours[0], both.colours[1])
    assert np.array_equal(both.attention[0], both.attention[1])


def test_similarity_is_the_cosine_of_patches(pictures) -> None:
    seen, patches = dino.look_at(pictures, MODEL), read_tokens(pictures, MODEL).patches
    for a, picture, b in ((0, 0, 0), (17, 0, 200), (100, 1, 3)):
        one, two = patches[0, a], patches[picture, b]
        expected = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
        assert seen.similarity[a, picture * seen.grid**2 + b] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("flat", [True, False])
def test_pictures_without_differences_are_grey_and_raise_nothing(flat: bool) -> None:
    same = np.zeros((2, 16, 4)) if flat else np.ones((2, 16, 4)) * 3.5
    colours, explained = dino.component_colours(same)
    assert np.all(colours == 0.5) and explained == 0
    white = Image.new("RGB", (30, 30), "white")
    seen = dino.look_at([white, white], MODEL)
    assert np.isfinite(seen.colours).all() and np.isfinite(seen.similarity).all()


def test_the_nearest_is_the_picture_itself() -> None:
    known = dino.gallery()[7]
    for row in dino.neighbours(known.picture, MODEL, CLIP):
        assert row.found[0] == 7 and row.cosines[0] == pytest.approx(1, abs=1e-5)
        assert list(row.cosines) == sorted(row.cosines, reverse=True)


def test_neighbours_are_those_of_a_plain_loop(pictures) -> None:
    gallery = [known.picture for known in dino.gallery()]
    rows = {row.kind: row for row in dino.neighbours(pictures[0], MODEL, CLIP)}
    whole = read_whole([pictures[0], *gallery], MODEL)
    towers = clip.encode_images([pictures[0], *gallery], CLIP)
    for kind, features in (("dino", whole), ("clip", towers)):
        own = features[0] / np.linalg.norm(features[0])
        cosines = [float(own @ f / np.linalg.norm(f)) for f in features[1:]]
        best = sorted(range(len(gallery)), key=lambda i: -cosines[i])[: dino.NEIGHBOURS]
        assert list(rows[kind].cosines) == pytest.approx([cosines[i] for i in best], abs=1e-4)


def test_pixels_do_not_see_brightness_alone() -> None:
    dark, light = (Image.new("RGB", (40, 40), (v, v, v)) for v in (40, 200))
    assert np.allclose(dino.pixel_features([dark, light]), 0)


def test_a_gallery_is_always_the_same_and_has_one_kind_of_thing_each() -> None:
    known = dino.gallery()
    assert len(known) == dino.GALLERY and all(len(k.nouns) == 1 for k in known)
    for i in (0, 1, dino.GALLERY - 1):
        again = dino.world_picture(dino.GALLERY_SEED * 1000 + i, things=1)
        assert np.array_equal(known[i].picture, again.picture)


@pytest.mark.parametrize("count", [0, 3])
def test_one_or_two_pictures(pictures, count) -> None:
    with pytest.raises(InputError, match="dino_pictures"):
        dino.look_at(pictures[:1] * count, MODEL)


def test_a_model_of_another_role_is_refused(pictures) -> None:
    with pytest.raises(InputError, match="model_unknown"):
        dino.look_at(pictures, "classroom-clip")
