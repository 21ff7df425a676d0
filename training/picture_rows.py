"""Scenes as rows of tensors on the training's device, renewed in the background.

A picture model on a GPU takes thousands of pictures a second: workers therefore do all that has to be done
for each of them (draw, word, tokenise), and a step does nothing but pick rows.
"""

import argparse
import queue
import threading
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import IterableDataset
from tqdm import tqdm

from pipelines.world.films import MOTIONS, Film, film_caption, parse_motion
from training.pool import Example, Shares, covered, draw_example
from training.ring import drawn_by_workers, worker_rng

CHUNK = 32  # scenes that a worker draws at once
WORDINGS = 3  # captions of each scene
GRID = 16  # side of the latents
AT_ONCE = 8  # chunks that a step takes at most, should it be behind
Rows = dict[str, Tensor]
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


class Feed:
    """The newest rows, as many as `--pool` says; at most `--fresh` of them are renewed at a step.

    A step never waits for workers: what they have not drawn yet comes later, and old rows serve once more.

    Args:
        args: `workers`, `pool`, `fresh`, `batch` and `device` of the command line.
        stream: of chunks.
        prepare: what is kept of a chunk, which it gets on the device.
        first: rows to wait for before training begins.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        stream: IterableDataset[Rows],
        prepare: Callable[[Rows], Rows],
        first: int = 4096,
    ) -> None:
        self.args, self.prepare = args, prepare
        self.drawn: queue.Queue[Rows] = queue.Queue(maxsize=16)
        self.rows: Rows = {}
        self.held = self.next = 0
        self.due = 0.0
        source = drawn_by_workers(stream, args.workers, ahead=4)
        self.fetching = threading.Thread(target=self._fetch, args=(source,), daemon=True)
        self.fetching.start()
        for _ in tqdm(range(0, min(first, args.pool), CHUNK), "first rows", mininterval=5):
            self._take()

    def _fetch(self, source: Iterator[Rows]) -> None:
        for chunk in source:
            self.drawn.put(chunk)

    @torch.no_grad()
    def _take(self) -> None:
        device = self.args.device
        chunk = self.prepare({k: v.to(device, non_blocking=True) for k, v in self.drawn.get().items()})
        count = len(next(iter(chunk.values())))
        places = (torch.arange(count, device=device) + self.next) % self.args.pool
        for name, values in chunk.items():
            if name not in self.rows:
                self.rows[name] = values.new_empty(self.args.pool, *values.shape[1:])
            self.rows[name][places] = values
        self.next = (self.next + count) % self.args.pool
        self.held = min(self.held + count, self.args.pool)

    def sample(self, count: int) -> Rows:
        """`count` rows drawn at random, of each a random one of its wordings."""
        self.due = min(self.due + self.args.fresh, AT_ONCE * CHUNK)
        while self.due >= CHUNK and not self.drawn.empty():
            self._take()
            self.due -= CHUNK
        device = self.args.device
        chosen = torch.randint(self.held, (count,), device=device)
        wording = torch.randint(WORDINGS, (count,), device=device)
        found = {k: v[chosen] for k, v in self.rows.items() if k not in ("ids", "motions")}
        return found | {k: self.rows[k][chosen, wording] for k in ("ids", "motions")}
