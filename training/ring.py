"""A ring buffer of what worker processes draw: almost fresh, and faster than drawing all of it anew."""

import argparse
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

Drawn = TypeVar("Drawn")
Rows = dict[str, Any]  # columns by name: a tensor `[row, ...]`, or a list with one entry a row
AT_ONCE = 8  # draws that a step takes at most, should it be behind and not wait


def worker_rng(seed: int) -> np.random.Generator:
    """Randomness of a worker process, different for each and at every start; fixed outside of workers."""
    info = torch.utils.data.get_worker_info()
    torch.set_num_threads(1)
    return np.random.default_rng([seed, info.id if info else 0, time.time_ns() if info else 0])


class Prefetched(Iterator[Drawn]):
    """An iterator that runs ahead in a thread, so that one can ask whether the next item is there."""

    def __init__(self, source: Iterator[Drawn]) -> None:
        self.items: queue.Queue[Drawn] = queue.Queue(maxsize=16)
        self.thread = threading.Thread(target=self._fetch, args=(source,), daemon=True)
        self.thread.start()

    def _fetch(self, source: Iterator[Drawn]) -> None:
        for item in source:
            self.items.put(item)

    def __next__(self) -> Drawn:
        return self.items.get()


class Ring(Generic[Drawn]):
    """The newest rows, as many as `--pool` says, of which `--fresh` are renewed at every step.

    Rendering is slower than a GPU's training step, so rows are seen several times, each time under a new
    caption; the ring makes them almost fresh.

    Args:
        args: `seed`, `workers`, `pool`, `fresh` and `batch` of the command line.
        stream: endless draws.
        prepare: turns a draw into rows; tensors are kept on the device on which it leaves them.
        chunk: rows of a draw.
        first: rows to begin with, at most.
        ahead: draws that each worker may be in front.
        what: the rows' name on the progress bar.
        waits: whether a step waits for workers that are late. Otherwise old rows serve once more, and what
            is late comes later.
    """

    def __init__(
        self, args: argparse.Namespace, stream: IterableDataset[Drawn], prepare: Callable[[Drawn], Rows], *,
        chunk: int, first: int, ahead: int, what: str, waits: bool = True,
    ) -> None:  # fmt: skip
        self.args, self.prepare, self.chunk = args, prepare, chunk
        self.rng = np.random.default_rng(args.seed)
        self.rows: Rows = {}
        self.held = self.next = 0
        self.due = 0.0  # draws that are owed
        prefetch = ahead if args.workers else None
        loader = DataLoader(stream, batch_size=None, num_workers=args.workers, prefetch_factor=prefetch)
        self.source: Iterator[Drawn] = iter(loader) if waits else Prefetched(iter(loader))
        for _ in tqdm(range(0, min(args.pool, first), chunk), f"first {what}", mininterval=5):
            self._take()

    @torch.no_grad()
    def _take(self) -> None:
        drawn = self.prepare(next(self.source))
        count = len(next(iter(drawn.values())))
        places = (np.arange(count) + self.next) % self.args.pool
        for name, values in drawn.items():
            if isinstance(values, Tensor):
                if name not in self.rows:
                    self.rows[name] = values.new_empty(self.args.pool, *values.shape[1:])
                self.rows[name][torch.from_numpy(places)] = values
            else:
                column = self.rows.setdefault(name, [None] * self.args.pool)
                for place, value in zip(places, values, strict=True):
                    column[place] = value
        self.next = (self.next + count) % self.args.pool
        self.held = min(self.held + count, self.args.pool)

    def _renew(self) -> None:
        self.due += self.args.fresh / self.chunk
        if isinstance(self.source, Prefetched):
            self.due = min(self.due, AT_ONCE)
        while self.due >= 1 and not (isinstance(self.source, Prefetched) and self.source.items.empty()):
            self._take()
            self.due -= 1

    def sample(self, count: int | None = None) -> Rows:
        """One batch, or `count` rows, drawn at random; without repetition as long as there are enough."""
        self._renew()
        count = count or self.args.batch
        chosen = self.rng.choice(self.held, count, replace=count > self.held)
        index = torch.from_numpy(chosen)
        return {
            name: values[index.to(values.device, non_blocking=True)]
            if isinstance(values, Tensor)
            else [values[i] for i in chosen]
            for name, values in self.rows.items()
        }

    def column(self, name: str) -> Any:
        """One column of all rows that are there."""
        return self.rows[name][: self.held]
