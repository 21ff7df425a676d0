"""Freshly drawn sounds for the codec, the music model and the judges, rendered by worker processes."""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from pipelines.world.sound import SoundScene, draw_sound
from pipelines.world.sound_captions import sound_caption
from pipelines.world.sound_render import render_sound

CHUNK = 16  # sounds that a worker draws at once
_FULL_SCALE = 32767  # int16 halves what a ring of sounds takes in memory


@dataclass(frozen=True)
class SoundExample:
    """A rendered scene: `samples` is `[64000]` int16 at 16 kHz."""

    scene: SoundScene
    samples: np.ndarray


class SoundStream(IterableDataset[list[SoundExample]]):
    """Endless chunks of freshly drawn sounds; each worker process draws its own."""

    def __init__(self, seed: int, chunk: int, unseen: bool = False) -> None:
        self.seed, self.chunk, self.unseen = seed, chunk, unseen

    def __iter__(self) -> Iterator[list[SoundExample]]:
        info = torch.utils.data.get_worker_info()
        torch.set_num_threads(1)
        rng = np.random.default_rng([self.seed, info.id if info else 0, time.time_ns() if info else 0])
        while True:
            yield [draw_sound_example(rng, unseen=self.unseen) for _ in range(self.chunk)]


def draw_sound_example(rng: np.random.Generator, *, unseen: bool = False) -> SoundExample:
    """Draw and render one scene."""
    scene = draw_sound(rng, unseen=unseen)
    return SoundExample(scene, (render_sound(scene, rng) * _FULL_SCALE).round().astype(np.int16))


def to_waves(examples: list[SoundExample]) -> Tensor:
    """Samples as `[batch, 1, 64000]` in -1..1."""
    return torch.from_numpy(np.stack([e.samples for e in examples])).float()[:, None] / _FULL_SCALE


class SoundPool:
    """A ring of rendered sounds that is renewed a little at every step; compare `training.pool.Pool`.

    Args:
        args: `seed`, `workers`, `pool`, `fresh`, `batch` and `device` of the command line.
        prepare: turns `[batch, 1, 64000]` waves into what the training keeps in their place.
    """

    def __init__(self, args: argparse.Namespace, prepare: Callable[[Tensor], Tensor] = lambda w: w) -> None:
        self.args, self.prepare = args, prepare
        stream = SoundStream(args.seed, CHUNK, unseen=getattr(args, "unseen", False))
        ahead = 4 if args.workers else None
        self.source = iter(
            DataLoader(stream, batch_size=None, num_workers=args.workers, prefetch_factor=ahead)
        )
        self.rng = np.random.default_rng(args.seed)
        self.scenes: list[SoundScene] = []
        self.values: list[Tensor] = []
        self.next = 0
        self.due = 0.0  # new sounds that are owed
        for _ in tqdm(range(0, min(args.pool, 1024), CHUNK), "first sounds", mininterval=5):
            self._take()

    def _take(self) -> None:
        chunk = next(self.source)
        values = self.prepare(to_waves(chunk).to(self.args.device))
        for item, value in zip(chunk, values, strict=True):
            if len(self.scenes) < self.args.pool:
                self.scenes.append(item.scene)
                self.values.append(value)
            else:
                self.scenes[self.next], self.values[self.next] = item.scene, value
                self.next = (self.next + 1) % self.args.pool

    def sample(self) -> tuple[Tensor, list[SoundScene]]:
        """One batch of what `prepare` made, with the scenes behind it."""
        self.due += self.args.fresh / CHUNK
        while self.due >= 1:
            self._take()
            self.due -= 1
        indices = self.rng.choice(len(self.scenes), self.args.batch, replace=False)
        return torch.stack([self.values[i] for i in indices]), [self.scenes[i] for i in indices]

    def captions(self, scenes: list[SoundScene]) -> list[str]:
        """A newly worded caption for each."""
        return [sound_caption(s, self.rng) for s in scenes]
