"""Many dimensions on two or three axes, and how much of the neighbourhood that costs."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from pipelines.clip.world_texts import map_vectors
from pipelines.serving.errors import InputError

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

METHODS = ("pca", "tsne")
_NEIGHBOURS = 8


@dataclass(frozen=True)
class Projection:
    """A map of the world captions with the prompts on it.

    Attributes:
        method: one of `METHODS`.
        world: `[caption, axis]` positions of `embedding_world.map_texts()`.
        prompts: `[prompt, axis]`.
        explained: share of the variance that the axes show, 0..1; None where the method has none.
        kept: share of the captions' eight nearest neighbours in the original space that are also
            among their eight nearest on the map, 0..1.
    """

    method: str
    world: np.ndarray
    prompts: np.ndarray
    explained: float | None
    kept: float


def nearest(vectors: np.ndarray, count: int) -> np.ndarray:
    """`[point, count]` indices of every point's nearest others by Euclidean distance, nearest first.

    For vectors of length one this is also the order by cosine.
    """
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=count).fit(vectors).kneighbors(return_distance=False)


def kept_neighbours(original: np.ndarray, projected: np.ndarray, count: int = _NEIGHBOURS) -> float:
    """Share of nearest neighbours that survive a projection, 0..1.

    Args:
        original: `[point, dim]`.
        projected: `[point, axis]`, the same points.
        count: how many neighbours of each point are compared.
    """
    pairs = zip(nearest(original, count), nearest(projected, count), strict=True)
    return float(np.mean([len(set(a) & set(b)) / count for a, b in pairs]))


@lru_cache(maxsize=4)
def _pca(model: str) -> "PCA":
    from sklearn.decomposition import PCA

    return PCA(n_components=3, svd_solver="full").fit(map_vectors(model))


@lru_cache(maxsize=4)
def pca_world(model: str) -> np.ndarray:
    """`[caption, 3]` the world captions on their first three principal axes."""
    return _pca(model).transform(map_vectors(model))


def pca_position(vectors: np.ndarray, model: str) -> np.ndarray:
    """`[point, 3]` any vectors on the axes that were fitted to the world captions alone.

    The axes never move, so a prompt moves over a fixed map while somebody types.
    """
    return _pca(model).transform(vectors)


@lru_cache(maxsize=16)
def _tsne(model: str, axes: int, prompts: bytes) -> np.ndarray:
    """t-SNE of captions and prompts together, as it cannot place new points.

    Kept for a while, since a change of colours draws the same map again.
    Source: van der Maaten & Hinton 2008, JMLR 9.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    world = map_vectors(model)
    both = np.concatenate([world, np.frombuffer(prompts, world.dtype).reshape(-1, world.shape[1])])
    reducer = TSNE(n_components=axes, metric="cosine", init="pca", perplexity=20, random_state=0)
    # A few hundred points are too few to share: on busy cores, threads that wait for each other made
    # this thirty times slower.
    with threadpool_limits(1):
        return reducer.fit_transform(both)


@lru_cache(maxsize=16)
def _kept_by_pca(model: str, axes: int) -> float:
    return kept_neighbours(map_vectors(model), pca_world(model)[:, :axes])


def project(vectors: np.ndarray, model: str, method: str = "pca", axes: int = 2) -> Projection:
    """Draw the map.

    Args:
        vectors: `[prompt, dim]` the prompts, each of length one.
        model: catalogue id of the role "clip" that made them.
        method: one of `METHODS`.
        axes: 2 or 3.

    Raises:
        InputError: `projection_unknown` or `axes_unknown`.
    """
    if method not in METHODS:
        raise InputError("projection_unknown", received=method, known=", ".join(METHODS))
    if axes not in (2, 3):
        raise InputError("axes_unknown", received=axes)
    world = map_vectors(model)
    if method == "pca":
        explained = float(_pca(model).explained_variance_ratio_[:axes].sum())
        return Projection(method, pca_world(model)[:, :axes], pca_position(vectors, model)[:, :axes],
                          explained, _kept_by_pca(model, axes))  # fmt: skip
    both = _tsne(model, axes, vectors.astype(world.dtype).tobytes())
    places, prompts = both[: len(world)], both[len(world) :]
    return Projection(method, places, prompts, None, kept_neighbours(world, places))
