"""A ring of what worker processes draw: almost fresh, and faster than drawing all of it anew."""

import argparse
import time
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

Item = TypeVar("Item")
Drawn = TypeVar("Drawn")


def worker_rng(seed: int) -> np.random.Generator:
    """Randomness of a worker process, different for each and at every start; fixed outside of workers."""
    info = torch.utils.data.get_worker_info()
    torch.set_num_threads(1)
    return np.random.default_rng([seed, info.id if info else 0, time.time_ns() if info else 0])


def drawn_by_workers(stream: IterableDataset[Drawn], workers: int, ahead: int) -> Iterator[Drawn]:
    """What a stream draws, in this process or by `workers`, each up to `ahead` draws in front."""
    prefetch = ahead if workers else None
    return iter(DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=prefetch))


class Ring(Generic[Item, Drawn]):
    """Items, each with a tensor, that are renewed a little at every step.

    Rendering is slower than a GPU's training step, so items are seen several times, each time under a new
    caption; the ring makes them almost fresh.

    Args:
        args: `seed`, `workers`, `pool`, `fresh` and `batch` of the command line.
        stream: endless draws, of `chunk` items each.
        chunk: items in a draw.
        first: items to begin with, at most.
        ahead: draws that each worker may be in front.
        what: the items' name on the progress bar.
    """

    def __init__(
        self, args: argparse.Namespace, stream: IterableDataset[Drawn], *,
        chunk: int, first: int, ahead: int, what: str,
    ) -> None:  # fmt: skip
        self.args, self.chunk = args, chunk
        self.source = drawn_by_workers(stream, args.workers, ahead)
        self.rng = np.random.default_rng(args.seed)
        self.items: list[Item] = []
        self.values: list[Tensor] = []
        self.next = 0
        self.due = 0.0  # new items that are owed, in chunks
        for _ in tqdm(range(0, min(args.pool, first), chunk), f"first {what}", mininterval=5):
            self._take()

    def prepared(self, drawn: Drawn) -> Iterable[tuple[Item, Tensor]]:
        """What the ring keeps of a draw."""
        raise NotImplementedError

    def _take(self) -> None:
        for item, value in self.prepared(next(self.source)):
            if len(self.items) < self.args.pool:
                self.items.append(item)
                self.values.append(value)
            else:
                self.items[self.next], self.values[self.next] = item, value
                self.next = (self.next + 1) % self.args.pool

    def sample(self, count: int | None = None) -> tuple[Tensor, list[Any]]:
        """One batch, or `count` items: the tensors, stacked, and the items behind them."""
        self.due += self.args.fresh / self.chunk
        while self.due >= 1:
            self._take()
            self.due -= 1
        indices = self.rng.choice(len(self.items), count or self.args.batch, replace=False)
        return torch.stack([self.values[i] for i in indices]), [self.items[i] for i in indices]
