"""Scenes as rows of tensors that are ready for a training of pictures.

A picture model on a GPU takes thousands of pictures a second: workers therefore do all that has to be done
for each of them (draw, word, tokenise), and a step does nothing but pick rows.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import IterableDataset

from pipelines.world.films import MOTIONS, Film, film_caption, parse_motion
from training.pool import Example, Shares, covered, draw_example
from training.ring import Rows, worker_rng

CHUNK = 32  # scenes that a worker draws at once
WORDINGS = 3  # captions of each scene
GRID = 16  # side of the latents
Tokenize = Callable[[list[str]], Tensor]


def motion_number(caption: str) -> int:
    """0 if a caption names no motion, else 1 + its index in `MOTIONS`."""
    motion = parse_motion(caption)
    return 0 if motion is None else 1 + MOTIONS.index(motion)


def coverage(masks: list[np.ndarray]) -> Tensor:
    """Share of each latent cell that shows a thing, `[batch, 1, 16, 16]`, of `[thing, 64, 64]` masks."""
    return F.avg_pool2d(covered(masks), 64 // GRID)


def as_rows(examples: list[Example], tokenize: Tokenize, rng: np.random.Generator) -> Rows:
    """What a training of pictures needs of examples.

    Returns:
        `pixels` `[n, 3, 64, 64]` uint8, `coverage` `[n, 1, 16, 16]`, `ids` `[n, WORDINGS, 77]` of newly
        worded captions, and the `motions` `[n, WORDINGS]` that those name.
    """
    films = [Film(e.scene, e.motion) for e in examples]
    captions = [film_caption(film, rng) for film in films for _ in range(WORDINGS)]
    return {
        "pixels": torch.from_numpy(np.stack([e.image for e in examples])).permute(0, 3, 1, 2).contiguous(),
        "coverage": coverage([e.masks for e in examples]),
        "ids": tokenize(captions).int().unflatten(0, (-1, WORDINGS)),
        "motions": torch.tensor([motion_number(c) for c in captions]).unflatten(0, (-1, WORDINGS)),
    }


class RowStream(IterableDataset[Rows]):
    """Endless chunks of rows; each worker process draws its own."""

    def __init__(self, seed: int, tokenize: Tokenize, shares: Shares | None = None) -> None:
        self.seed, self.tokenize, self.shares = seed, tokenize, shares

    def __iter__(self) -> Iterator[Rows]:
        rng = worker_rng(self.seed)
        while True:
            drawn = [draw_example(rng, shares=self.shares) for _ in range(CHUNK)]
            yield as_rows(drawn, self.tokenize, rng)


def one_wording(rows: Rows) -> Rows:
    """The same rows with a random one of the wordings of each."""
    ids = rows["ids"]
    each = torch.arange(len(ids), device=ids.device)
    wording = torch.randint(WORDINGS, each.shape, device=ids.device)
    return rows | {name: rows[name][each, wording] for name in ("ids", "motions")}
