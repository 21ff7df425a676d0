"""What patch features say without labels: principal components, a foreground, nearest neighbours."""

import numpy as np


def principal_components(features: np.ndarray, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """The directions in which features differ most.

    Args:
        features: `[..., dim]`.
        count: how many.

    Returns:
        Mean `[dim]` and orthonormal directions `[count, dim]`, those of largest variance first.
    """
    flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
    mean = flat.mean(0)
    _, directions = np.linalg.eigh((flat - mean).T @ (flat - mean))
    return mean, directions[:, ::-1].T[:count]


def border(grid: int) -> np.ndarray:
    """`[grid, grid]` bool: the outermost patches."""
    rim = np.ones((grid, grid), bool)
    rim[1:-1, 1:-1] = False
    return rim


def foreground_direction(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first principal component over a set of pictures, pointing to the foreground.

    A component has no sign of its own. Without asking the truth, the side on which the pictures'
    borders lie is called background, since things stand inside.

    Args:
        features: `[picture, patch, dim]`, patches row by row of a square grid.

    Returns:
        Mean `[dim]` and direction `[dim]` of length one.
    """
    mean, directions = principal_components(features, 1)
    scores = (features - mean) @ directions[0]
    rim = border(round(features.shape[1] ** 0.5)).ravel()
    return mean, directions[0] if scores[:, rim].mean() < scores.mean() else -directions[0]


def foreground_scores(features: np.ndarray) -> np.ndarray:
    """How far patches lie along the direction of the foreground; positive is foreground.

    Zero is where the values fall into two groups. Their mean would be the border only if things filled
    half of the pictures.

    Args:
        features: `[picture, patch, dim]`, patches row by row of a square grid.

    Returns:
        `[picture, grid, grid]`.

    Source: Oquab et al. 2023, arXiv:2304.07193, section 7.6 (with the mean as the border); Kittler and
    Illingworth 1986, "Minimum error thresholding" (the border between groups of different sizes).
    """
    mean, direction = foreground_direction(features)
    grid = round(features.shape[1] ** 0.5)
    scores = ((features - mean) @ direction).reshape(-1, grid, grid)
    return scores - between_two_groups(scores)


def between_two_groups(values: np.ndarray) -> float:
    """The number on whose two sides lie the two groups that values of any shape fall into.

    The groups are normal distributions of one width, of which one may be much the smaller: there, a value
    is as likely to belong to one as to the other.
    """
    from sklearn.mixture import GaussianMixture

    width, middle = float(values.std()), float(values.mean())
    if width == 0:
        return middle
    column = (values.reshape(-1, 1) - middle) / width
    ends = [[column.min()], [column.max()]]
    groups = GaussianMixture(2, covariance_type="tied", means_init=ends, random_state=0).fit(column)
    (low, share), (high, other) = sorted(zip(groups.means_[:, 0], groups.weights_, strict=True))
    edge = (low + high) / 2 + groups.covariances_[0, 0] / max(high - low, 1e-6) * np.log(share / other)
    return middle + width * float(np.clip(edge, low, high))


def intersection_over_union(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """`[picture]`: shared over joint area of `[picture, y, x]` masks; 1 where both are empty."""
    joint = (found | truth).sum((1, 2))
    return np.where(joint > 0, (found & truth).sum((1, 2)) / np.maximum(joint, 1), 1.0)


def vote_of_neighbours(bank: np.ndarray, labels: np.ndarray, queries: np.ndarray, k: int = 20) -> np.ndarray:
    """Each query gets the label that its `k` nearest in the bank vote for.

    Args:
        bank: `[n, dim]`; queries: `[m, dim]`; both of any length, compared by cosine.
        labels: `[n]` int.

    Returns:
        `[m]` int. Votes count exp(cosine / 0.07), as in the source.

    Source: Wu et al. 2018, arXiv:1805.01978, section 3.4; used so by Caron et al. 2021.
    """
    unit_bank, unit_queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank, queries))
    cosines = unit_queries @ unit_bank.T
    nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    weights = np.exp(np.take_along_axis(cosines, nearest, 1) / 0.07)
    votes = np.zeros((len(queries), int(labels.max()) + 1))
    np.add.at(votes, (np.arange(len(queries))[:, None], labels[nearest]), weights)
    return votes.argmax(1)
