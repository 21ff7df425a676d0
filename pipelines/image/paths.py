"""The way of a run's latents from noise to picture, seen in two dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipelines.image.request import Trace
from pipelines.serving.compute import on_compute_thread


@dataclass(frozen=True, eq=False)
class LatentPaths:
    """Runs of one model and size, on axes that they share.

    Attributes:
        points: of each run, `[step + 1, 2]` float32, from its noise to its last latents.
        explained: `[2]` share of the points' variance that lies along each axis, 0..1.
        straightness: of each run, the distance from its beginning to its end relative to the length of its
            way, in all dimensions: 1 is a straight line.
    """

    points: tuple[np.ndarray, ...]
    explained: np.ndarray
    straightness: tuple[float, ...]


@on_compute_thread
@torch.inference_mode()
def latent_paths(traces: Sequence[Trace]) -> LatentPaths:
    """The principal components of the latents that runs went through.

    Latents are taken where the model's own path has them: at unit deviation in diffusion, where the shares of
    picture and noise lie on a circle, and between the two on a straight line in flow matching.

    Args:
        traces: at least one, all of one model and size.

    Source: Pearson 1901; by the matrix of products, as there are far fewer points than dimensions.
    """
    ways = [_way(trace) for trace in traces]
    every = torch.cat(ways)
    centred = every - every.mean(0)
    values, vectors = torch.linalg.eigh(centred @ centred.T)  # ascending
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    found = vectors[:, :2] * values[:2].sqrt()
    points = found.float().split([len(way) for way in ways])
    return LatentPaths(
        tuple(p.numpy() for p in points),
        (values[:2] / values.sum().clamp(min=1e-12)).float().numpy(),
        tuple(_straightness(way) for way in ways),
    )


def _way(trace: Trace) -> torch.Tensor:
    """`[step + 1, number]` float64 latents before the first step and after each."""
    first = trace.steps[0]
    before = [] if first.start is None else [first.start * first.deviations[0]]
    after = [step.latents * step.deviations[1] for step in trace.steps]
    return torch.from_numpy(np.stack([*before, *after])).double().flatten(1)


def _straightness(way: torch.Tensor) -> float:
    steps = (way[1:] - way[:-1]).norm(dim=1).sum()
    return float((way[-1] - way[0]).norm() / steps.clamp(min=1e-12))
