"""Freshly drawn sounds for the codec, the music model and the judges, rendered by worker processes."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from pipelines.world.sound import SoundScene, draw_sound
from pipelines.world.sound_captions import sound_caption
from pipelines.world.sound_render import render_sound
from training.ring import Ring, Rows, worker_rng

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
        rng = worker_rng(self.seed)
        while True:
            yield [draw_sound_example(rng, unseen=self.unseen) for _ in range(self.chunk)]


def draw_sound_example(rng: np.random.Generator, *, unseen: bool = False) -> SoundExample:
    """Draw and render one scene."""
    scene = draw_sound(rng, unseen=unseen)
    return SoundExample(scene, (render_sound(scene, rng) * _FULL_SCALE).round().astype(np.int16))


def to_waves(examples: list[SoundExample]) -> Tensor:
    """Samples as `[batch, 1, 64000]` in -1..1."""
    return torch.from_numpy(np.stack([e.samples for e in examples])).float()[:, None] / _FULL_SCALE


class SoundPool(Ring[list[SoundExample]]):
    """A ring of rendered sounds: `sounds` and the `scenes` they are of.

    Args:
        args: of the command line; see `Ring`.
        encode: turns `[batch, 1, 64000]` waves into what the training keeps in their place.
    """

    def __init__(self, args: argparse.Namespace, encode: Callable[[Tensor], Tensor] = lambda w: w) -> None:
        def as_rows(drawn: list[SoundExample]) -> Rows:
            sounds = encode(to_waves(drawn).to(args.device))
            return {"sounds": sounds, "scenes": [e.scene for e in drawn]}

        stream = SoundStream(args.seed, CHUNK, unseen=getattr(args, "unseen", False))
        super().__init__(args, stream, as_rows, chunk=CHUNK, first=1024, ahead=4, what="sounds")

    def captions(self, scenes: list[SoundScene]) -> list[str]:
        """A newly worded caption for each."""
        return [sound_caption(s, self.rng) for s in scenes]
