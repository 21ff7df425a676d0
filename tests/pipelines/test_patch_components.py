"""Components, masks and neighbours against the library's and against values by hand."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from pipelines.dino.components import (
    between_two_groups,
    border,
    foreground_scores,
    intersection_over_union,
    principal_components,
    vote_of_neighbours,
)


def test_components_are_the_librarys_up_to_sign() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((7, 40, 6)) * [5, 3, 2, 1, 0.5, 0.1] + 4
    mean, directions = principal_components(features, 3)
    expected = PCA(3).fit(features.reshape(-1, 6))
    np.testing.assert_allclose(mean, expected.mean_)
    np.testing.assert_allclose(np.abs(directions @ expected.components_.T), np.eye(3), atol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_border_decides_which_side_is_background(sign: int) -> None:
    rng = np.random.default_rng(1)
    truth = np.zeros((5, 8, 8), bool)
    truth[:, 2:6, 3:6] = True
    features = rng.standard_normal((5, 8, 8, 4)) * 0.1
    features[..., 0] += np.where(truth, 3, -1) * sign
    found = foreground_scores(features.reshape(5, 64, 4)) > 0
    assert np.array_equal(found, truth)


def test_little_foreground_is_found_where_the_background_differs_too() -> None:
    """Where a twentieth is foreground, a part of the background lies beyond the mean of all."""
    rng = np.random.default_rng(5)
    truth = np.zeros((40, 8, 8), bool)
    truth[:, 3, 3:6] = True
    features = rng.standard_normal((40, 8, 8, 4)) * 0.01
    features[..., 0] += np.where(truth, 3, 0) + 0.4 * rng.standard_normal(truth.shape)
    scores = foreground_scores(features.reshape(40, 64, 4))
    assert intersection_over_union(scores > 0, truth).mean() > 0.95
    assert intersection_over_union(scores > scores.mean(), truth).mean() < 0.5


def test_between_two_groups_either_is_as_likely() -> None:
    """The library's own verdict changes there; of groups of different sizes, the smaller is nearer."""
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.standard_normal(3600), 4 + rng.standard_normal(400)]) * 5 + 100
    edge = between_two_groups(values.reshape(40, 100))
    groups = GaussianMixture(2, covariance_type="tied", random_state=1).fit(values[:, None])
    sides = groups.predict(np.array([[edge - 0.3], [edge + 0.3]]))
    assert groups.means_[sides[0], 0] == pytest.approx(100, abs=1) and sides[0] != sides[1]
    # By hand: half way, and a fourth of ln 9 further, in units of the groups' width.
    assert edge == pytest.approx(100 + 5 * (2 + np.log(9) / 4), abs=0.7)
    assert between_two_groups(np.full((2, 2), 7.0)) == 7.0


def test_a_border_is_one_patch_wide() -> None:
    assert border(4).tolist() == [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]


def test_overlap_by_hand() -> None:
    found = np.array([[[1, 1], [0, 0]], [[0, 0], [0, 0]], [[1, 0], [0, 0]]], bool)
    truth = np.array([[[1, 0], [1, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 1]]], bool)
    assert intersection_over_union(found, truth).tolist() == pytest.approx([1 / 3, 1, 0])


def test_neighbours_vote_as_the_library_finds_them() -> None:
    rng = np.random.default_rng(2)
    centers = rng.standard_normal((4, 8))
    labels = rng.integers(0, 4, 200)
    bank = centers[labels] + 0.9 * rng.standard_normal((200, 8))
    queries = centers[rng.integers(0, 4, 50)] + 0.9 * rng.standard_normal((50, 8))
    distances, places = NearestNeighbors(n_neighbors=20, metric="cosine").fit(bank).kneighbors(queries)
    for query, (d, p) in enumerate(zip(distances, places, strict=True)):
        votes = [np.exp((1 - d[labels[p] == c]) / 0.07).sum() for c in range(4)]
        assert vote_of_neighbours(bank, labels, queries[query : query + 1])[0] == int(np.argmax(votes))
    # Lengths do not count.
    scaled = vote_of_neighbours(bank * 7, labels, queries * 0.1)
    assert np.array_equal(scaled, vote_of_neighbours(bank, labels, queries))
