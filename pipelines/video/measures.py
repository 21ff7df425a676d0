"""Does a film stay in one piece, and does anything move in it? Two questions, two numbers, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from pipelines.dino.model import read_whole
from pipelines.serving import catalogue

SIDE = 64  # px to which frames are brought before motion is measured
_BLOCK, _REACH = 8, 6  # px: side of the pieces that are searched, and how far
_WIN = 0.8  # a move must leave at most this share of the difference that standing still leaves
_NOISE = 12.0  # grey levels; where a piece changes less than this, nothing has moved
MOVING = 1.5  # px at `SIDE`: VBench's threshold of 6 px at 256
MOVING_PAIRS = 4  # of 16 frames, as in VBench


@dataclass(frozen=True, eq=False)
class VideoMeasures:
    """A film in numbers.

    Attributes:
        similarity: `[frame, frame]` cosine of DINO's features of the frames, -1..1.
        consistency: 0..1, how alike each frame is to the first and to the one before it.
        motion: `[frame - 1]` px at 64 px width, how far the fastest twentieth of the picture moves from one
            frame to the next.
        change: how much neighbouring frames differ, mean over pixels, 0..255. It has no eyes to be fooled:
            DINO was trained to call the same thing in another place and light equal.
        model: catalogue id of the DINO that looked.
    """

    similarity: np.ndarray
    consistency: float
    motion: np.ndarray
    change: float
    model: str

    @property
    def speed(self) -> float:
        """The mean of `motion`, px a frame."""
        return float(self.motion.mean())

    @property
    def moves(self) -> bool:
        """Whether VBench would count the film as dynamic: enough frames move far enough."""
        needed = max(1, round(MOVING_PAIRS * (len(self.motion) + 1) / 16))
        return int((self.motion > MOVING).sum()) >= needed


def measure(frames: Sequence[Image.Image], model: str | None = None) -> VideoMeasures:
    """Compare the frames of a film.

    Args:
        frames: at least two, of one size.
        model: catalogue id of the role "dino"; None is the preselected one.
    """
    model = model or catalogue.default_id("dino")
    similarity = cosines(read_whole(frames, model))
    return VideoMeasures(similarity, consistency(similarity), motion(frames), change(frames), model)


def change(frames: Sequence[Image.Image]) -> float:
    """Mean absolute difference of neighbouring frames over pixels and channels, 0..255."""
    pixels = [np.asarray(frame.convert("RGB"), np.float32) for frame in frames]
    return float(np.mean([np.abs(a - b).mean() for a, b in pairwise(pixels)]))


def cosines(features: np.ndarray) -> np.ndarray:
    """`[frame, dim]` features to `[frame, frame]` cosines."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    return unit @ unit.T


def consistency(similarity: np.ndarray) -> float:
    """How alike each frame is to the first and to the one before, averaged over the later frames.

    Args:
        similarity: `[frame, frame]` cosines.

    Source: Huang et al. 2023 (VBench), arXiv:2311.17982, appendix; there subject consistency takes DINO's
        features, background consistency CLIP's, in the same formula.
    """
    later = np.arange(1, len(similarity))
    first, before = similarity[0, later].clip(0), similarity[later - 1, later].clip(0)
    return float(((first + before) / 2).mean())


def motion(frames: Sequence[Image.Image]) -> np.ndarray:
    """How far the fastest twentieth of the picture moves between neighbours, `[frame - 1]` px at 64 px.

    VBench asks a network for the optical flow; here 8 px pieces are looked up in the next frame, which is
    enough for a drawn world, needs no download, and cannot see moves of more than 6 px.

    Source: Huang et al. 2023 (VBench), arXiv:2311.17982, appendix, dynamic degree: mean of the largest 5 %.
    """
    grey = [np.asarray(f.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) for f in frames]
    return np.array([_fastest(flow(a, b)) for a, b in pairwise(grey)], np.float32)


def _fastest(moves: np.ndarray) -> float:
    lengths = np.sort(np.hypot(moves[..., 0], moves[..., 1]), axis=None)
    return float(lengths[-max(1, len(lengths) // 20) :].mean())


def flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where each piece of a picture went: block matching, `[row, column, 2]` px down and right.

    Pieces overlap by half. One that changes little has not moved, and a move counts only if it explains the
    change clearly better than standing still does.

    Args:
        before, after: `[y, x]` grey levels 0..255.
    """
    padded = np.pad(after, _REACH, mode="edge")
    windows = sliding_window_view(padded, (_BLOCK, _BLOCK))  # [y, x, block, block]
    starts = range(0, before.shape[0] - _BLOCK + 1, _BLOCK // 2)
    out = np.zeros((len(starts), len(starts), 2), np.float32)
    for i, y in enumerate(starts):
        for j, x in enumerate(starts):
            near = windows[y : y + 2 * _REACH + 1, x : x + 2 * _REACH + 1]
            apart = np.abs(near - before[y : y + _BLOCK, x : x + _BLOCK]).mean((2, 3))
            still = apart[_REACH, _REACH]
            best = np.unravel_index(int(apart.argmin()), apart.shape)
            if still > _NOISE and apart[best] < _WIN * still:
                out[i, j] = best[0] - _REACH, best[1] - _REACH
    return out
