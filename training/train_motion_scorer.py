"""Train the judge of classroom films on fresh renders, held-out combinations included.

Run: `python -m training.train_motion_scorer --minutes 15` (CPU or CUDA; resumes from its checkpoint).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import IterableDataset

from pipelines.world.films import Film, draw_film, render_film
from training.common import Progress, load_fp32, parse_args, save_fp16, train
from training.film_scorers import ANSWERS, FOLDER, WEIGHTS, FilmScorer
from training.muon import Muon
from training.ring import Ring, Rows, worker_rng

NAME = "film_scorers"
EDGES = ("body.0.", "answer")
MOST_BENT = 0.09  # standard deviation as a share of half the picture's side: 3 px
MOST_TINTED = 0.25
MOST_SPECKLED = 0.3


@dataclass(frozen=True, eq=False)
class Rendered:
    """A film of the world: `frames` is `[frame, 64, 64, 3]` uint8."""

    film: Film
    frames: np.ndarray


class Renders(IterableDataset[Rendered]):
    """Endless freshly drawn films; each worker process draws its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __iter__(self) -> Iterator[Rendered]:
        rng = worker_rng(self.seed)
        while True:
            film = draw_film(rng, unseen=True)
            shot = render_film(film, int(rng.integers(2**31)))
            yield Rendered(film, np.stack([np.asarray(frame) for frame in shot.frames]))


def as_rows(drawn: Rendered) -> Rows:
    """One film: its `pixels` `[1, frame, 3, 64, 64]` uint8 and its `truth`, the index of the answer."""
    pixels = torch.from_numpy(drawn.frames).permute(0, 3, 1, 2)[None]
    return {"pixels": pixels, "truth": torch.tensor([ANSWERS.index(drawn.film.motion)])}


def softened(films: Tensor, rng: np.random.Generator) -> Tensor:
    """Some films blurred or grainy, as a model's are: what moves has to be seen nevertheless."""
    if rng.random() < 0.4:
        flat = F.avg_pool2d(films.flatten(0, 1), 2)
        films = F.interpolate(flat, scale_factor=2.0, mode="bilinear").unflatten(0, films.shape[:2])
    if rng.random() < 0.4:
        films = films + 0.1 * torch.randn_like(films)
    return films


def swimming(films: Tensor, generator: torch.Generator) -> Tensor:
    """Films whose frames agree less, as those of a model do: what moves has to be seen nevertheless.

    Every frame, for itself, is bent like rubber, tinted in large spots and speckled in small ones. How much
    of each is drawn for every film, from nothing to a lot.

    Args:
        films: `[film, frame, 3, side, side]` in -1..1.
        generator: source of all randomness.

    Returns:
        The same shape.
    """
    (count, frames), side = films.shape[:2], films.shape[-1]
    device = films.device

    def spots(channels: int, cells: int, most: float) -> Tensor:
        """Smooth noise for every frame, of a strength that a film has."""
        drawn = torch.randn(count * frames, channels, cells, cells, generator=generator).to(device)
        strength = most * (1.5 * torch.rand(count, generator=generator) - 0.5).clamp(min=0).to(device)
        smooth = F.interpolate(drawn, size=(side, side), mode="bicubic", align_corners=False)
        return smooth * strength.repeat_interleave(frames)[:, None, None, None]

    pictures = films.flatten(0, 1)
    straight = F.affine_grid(torch.eye(2, 3, device=device)[None], [1, 3, side, side], align_corners=True)
    grid = straight + spots(2, 8, MOST_BENT).permute(0, 2, 3, 1)
    bent = F.grid_sample(pictures, grid, padding_mode="border", align_corners=True)
    painted = bent + spots(3, 4, MOST_TINTED) + spots(3, 16, MOST_SPECKLED)
    return painted.clamp(-1, 1).view_as(films)


def loss_of(scorer: FilmScorer, films: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of the motion, and accuracy."""
    logits = scorer(films)
    right = (logits.argmax(1) == truth).float().mean().item()
    return F.cross_entropy(logits, truth, label_smoothing=0.02), {"right": right}


def export(weights: dict[str, Tensor]) -> None:
    """Write the averaged weights."""
    save_fp16(weights, FOLDER / WEIGHTS)


def main() -> None:
    args = parse_args("train_motion_scorer", minutes=15, batch=32, lr=2e-3, fresh=4, pool=2000)
    args.seed += 8888
    torch.manual_seed(args.seed)
    scorer = FilmScorer().to(args.device)
    optimizer = Muon(scorer, outer=EDGES, weight_decay=0.02)
    run = Progress.resume(NAME, scorer, optimizer, args, load_fp32(FOLDER / WEIGHTS))
    ring = Ring(args, Renders(args.seed), as_rows, chunk=1, first=256, ahead=8, what="films")
    scorer.train()
    generator = torch.Generator().manual_seed(args.seed)

    def compute() -> tuple[Tensor, dict[str, float]]:
        rows = ring.sample()
        films = rows["pixels"].to(args.device).float() / 127.5 - 1
        return loss_of(scorer, softened(swimming(films, generator), ring.rng), rows["truth"].to(args.device))

    train(run, args, compute, export=export, log_every=50, save_every=200, clip_norm=5.0)


if __name__ == "__main__":
    main()
