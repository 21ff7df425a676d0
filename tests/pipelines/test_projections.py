"""Maps and how much of the neighbourhood they keep."""

import numpy as np
import pytest

from pipelines.clip import projections
from pipelines.clip import world_texts as world
from pipelines.serving.errors import InputError

MODEL = "classroom-clip"


def test_kept_neighbours_counts_by_hand():
    # Four points on a line: the nearest of 0 is 1, of 1 it is 0, of 4 it is 5, of 5 it is 4.
    line = np.array([[0.0], [1.0], [4.0], [5.0]])
    assert projections.kept_neighbours(line, line * 3 + 1, count=1) == 1.0
    swapped = np.array([[0.0], [4.0], [1.0], [5.0]])  # now 0 has 4's place beside it, and so on
    assert projections.kept_neighbours(line, swapped, count=1) == 0.0
    half = np.array([[0.0], [1.0], [9.0], [3.0]])  # 0 and 1 keep theirs; 4 too; 5 has lost it to 1
    assert projections.kept_neighbours(line, half, count=1) == 0.75


def test_nearest_agrees_with_a_full_distance_table():
    points = np.random.default_rng(0).normal(size=(40, 6))
    table = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.diag(np.full(40, np.inf))
    assert np.array_equal(projections.nearest(points, 5), np.argsort(table, axis=1)[:, :5])


def test_a_prompt_that_repeats_a_caption_lands_beside_it():
    vectors = world.map_vectors(MODEL)[[3, 90]]
    found = projections.project(vectors, MODEL, "tsne", 2)
    assert found.world.shape == (world.MAP_SIZE, 2)
    assert found.explained is None
    for prompt, own in zip(found.prompts, found.world[[3, 90]], strict=True):
        nearer = np.linalg.norm(found.world - prompt, axis=1) < np.linalg.norm(own - prompt)
        assert nearer.mean() < 0.05
    pca = projections.project(vectors, MODEL)
    assert found.kept > pca.kept, "what the method is for"


def test_tsne_repeats_to_the_digit():
    vectors = world.map_vectors(MODEL)[:2]
    first = projections.project(vectors, MODEL, "tsne", 2)
    projections._tsne.cache_clear()
    assert np.array_equal(projections.project(vectors, MODEL, "tsne", 2).world, first.world)


@pytest.mark.parametrize(
    ("method", "axes", "key"), [("mds", 2, "projection_unknown"), ("pca", 4, "axes_unknown")]
)
def test_unknown_maps_are_explained(method, axes, key):
    with pytest.raises(InputError) as error:
        projections.project(world.map_vectors(MODEL)[:1], MODEL, method, axes)
    assert error.value.key == key
