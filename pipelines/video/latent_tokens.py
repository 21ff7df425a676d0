"""A film as space-time tokens: what each is, where it looks, and where its thing is in other frames."""

from dataclasses import dataclass

import numpy as np

from pipelines.serving.checks import whole
from pipelines.serving.errors import InputError
from pipelines.video.request import VideoTrace

DIMENSIONS = 16  # directions in which tokens are compared; the strongest of some tens to hundreds
MOST_SIDE = 16  # tokens in a row at most; finer grids are averaged
_SPREAD = 2.5  # deviations from black to full colour


@dataclass(frozen=True, eq=False)
class VideoTokens:
    """The latents of a film as a grid of tokens.

    Attributes:
        shape: frames, rows, columns and channels as the model has them.
        values: `[frame, y, x, channel]` of the grid that is shown.
        colours: `[frame, y, x, 3]` 0..1, the three directions in which the tokens differ most.
        features: `[frame, y, x, dim]` unit vectors, what the model makes of each token; None where it did not
            look.
        looks: `[y, x, frame, frame]` how much the token of a frame looks at its own place in the others, or,
            not `same_place`, at all places of theirs; None where frames do not look at each other.
    """

    shape: tuple[int, int, int, int]
    values: np.ndarray
    colours: np.ndarray
    features: np.ndarray | None
    looks: np.ndarray | None
    same_place: bool = True


def video_tokens(trace: VideoTrace) -> VideoTokens:
    """The tokens of a run: latents of its last step, looks and features of the step that kept them."""
    latents = trace.steps[-1].latents if trace.whole else trace.steps[-1].denoised
    frames, channels, height, width = latents.shape
    shape = (frames, height, width, channels)
    noted = [step.inside for step in trace.steps if step.inside is not None]
    kept = next((inside for inside in noted if inside.features is not None), None)
    if kept is None or kept.features is None or kept.places is None:
        values = _grid(latents, None)
        return VideoTokens(shape, values, colours_of(values), None, None)
    looks = kept.places.astype(np.float32)
    values = _grid(latents, looks.shape[:2])
    features = _compared(kept.features.astype(np.float32))
    return VideoTokens(shape, values, colours_of(values), features, looks, kept.same_place)


def grid_like(latents: np.ndarray, tokens: VideoTokens) -> np.ndarray:
    """Latents of another step on the grid of a film's tokens; `[frame, y, x, channel]`."""
    return _grid(latents, tokens.values.shape[1:3])


def _grid(latents: np.ndarray, grid: tuple[int, ...] | None) -> np.ndarray:
    """`[frame, channel, y, x]` averaged onto rows and columns of tokens; `[frame, y, x, channel]`.

    Args:
        latents: of a film.
        grid: rows and columns; None is the latents' own, averaged to at most `MOST_SIDE`.
    """
    factor = -(-max(latents.shape[-2:]) // MOST_SIDE)
    rows, columns = grid or (side // factor for side in latents.shape[-2:])
    values = latents.transpose(0, 2, 3, 1)
    down, across = (
        np.array_split(np.arange(n), k) for n, k in zip(values.shape[1:3], (rows, columns), strict=True)
    )
    lines = np.stack([values[:, part].mean(1) for part in down], 1)
    return np.stack([lines[:, :, part].mean(2) for part in across], 2)


def colours_of(values: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """Vectors as colours: their three strongest directions as red, green and blue, 0..1.

    Args:
        values: `[…, channel]`.
        like: vectors that decide the directions, so that all steps of a run get the same; None is `values`.
    """
    base = (values if like is None else like).reshape(-1, values.shape[-1])
    mean = base.mean(0)
    _, _, axes = np.linalg.svd(base - mean, full_matrices=False)
    axes = axes[:3] * np.sign(axes[:3].sum(1, keepdims=True) + 1e-9)  # a direction's sign is arbitrary
    spread = ((base - mean) @ axes.T).std(0).clip(1e-6) * _SPREAD
    return (((values - mean) @ axes.T) / (2 * spread) + 0.5).clip(0, 1).astype(np.float32)


def _compared(features: np.ndarray) -> np.ndarray:
    """`[frame, dim, y, x]` to unit vectors in the strongest directions, what all tokens share taken off."""
    rows = features.transpose(0, 2, 3, 1)
    flat = rows.reshape(-1, rows.shape[-1])
    flat = flat - flat.mean(0)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True).clip(1e-6)
    _, _, axes = np.linalg.svd(flat, full_matrices=False)
    kept = flat @ axes[:DIMENSIONS].T
    kept = kept / np.linalg.norm(kept, axis=1, keepdims=True).clip(1e-6)
    return kept.reshape(*rows.shape[:3], -1).astype(np.float32)


def follow(tokens: VideoTokens, frame: int, y: int, x: int) -> np.ndarray:
    """Where the thing under a token is in every frame: the most similar token of each.

    Args:
        tokens: of a run whose model looked.
        frame, y, x: the token, 0-based.

    Returns:
        `[frame, 3]`: row, column, and cosine with the token that was picked.

    Raises:
        InputError: `film_token_unknown`, `frames_apart` where nothing was noted.

    Source: Tang et al. 2023 (DIFT), arXiv:2306.03881: features of a diffusion model at a late step find the
        same thing in other pictures.
    """
    if tokens.features is None:
        raise InputError("frames_apart")
    frames, height, width, _ = tokens.features.shape
    frame, y, x = (
        whole("film_token_unknown", value, 0, most - 1)
        for value, most in ((frame, frames), (y, height), (x, width))
    )
    similar = (tokens.features @ tokens.features[frame, y, x]).reshape(frames, -1)
    best = similar.argmax(1)
    return np.stack([*np.divmod(best, width), similar.max(1)], axis=1)


def central_token(tokens: VideoTokens) -> tuple[int, int, int]:
    """The token to begin with: the one in the first frame that stands out most from the rest of it."""
    first = tokens.values[0]
    apart = np.linalg.norm(first - np.median(first, axis=(0, 1)), axis=-1)
    y, x = np.unravel_index(int(apart.argmax()), apart.shape)
    return 0, int(y), int(x)
