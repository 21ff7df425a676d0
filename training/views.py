"""Scenes drawn twice for self-distillation: the same things, in another place, light and style.

Nobody says what the things are. But that they are the same ones is the makers' choice: it tells the model
that places and styles do not matter, as walking around a toy tells a child. Pictures alone would not.
Source: Ryali et al. 2021, arXiv:2103.12719 (backgrounds exchanged as an augmentation).
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset
from tqdm import tqdm

from pipelines.world.layout import draw_scene, lay_out
from pipelines.world.render import render
from pipelines.world.scene import Scene, is_held_out
from training.ring import drawn_by_workers, worker_rng

SIDE = 128  # px of the drawings that crops are cut from
CHUNK = 8  # pairs that a worker draws at once


def elsewhere(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same things at other spots, nearer or farther, in the place, light and style of another scene."""
    while True:
        other = draw_scene(rng)
        if scene.composition is None and len(scene.things) > 1 and other.composition is not None:
            continue  # copies stand side by side
        things = tuple(replace(t, size=None, flip=bool(rng.random() < 0.5)) for t in scene.things)
        changed = replace(other, things=things, relation=None)
        if len(things) == 1:
            changed = replace(changed, things=(replace(things[0], size=other.things[0].size),))
        if not is_held_out(changed):
            return lay_out(changed, rng)


def draw_views(rng: np.random.Generator) -> np.ndarray:
    """`[2, SIDE, SIDE, 3]` uint8: one scene, drawn twice.

    It shows one kind of thing, alone or in copies: two crops of a picture are taken for the same, which
    they are not where one holds a cat and the other a house.
    """
    scene = draw_scene(rng)
    while len({thing.noun for thing in scene.things}) > 1:
        scene = draw_scene(rng)
    pictures = [render(s, rng, SIDE)[0] for s in (scene, elsewhere(scene, rng))]
    return np.stack([np.asarray(p) for p in pictures])


class ViewStream(IterableDataset[np.ndarray]):
    """Endless chunks `[CHUNK, 2, SIDE, SIDE, 3]`; each worker process draws its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __iter__(self) -> Iterator[np.ndarray]:
        rng = worker_rng(self.seed)
        while True:
            yield np.stack([draw_views(rng) for _ in range(CHUNK)])


class ViewPool:
    """A ring of drawn pairs that is renewed a little at every step, in one array: compare `Ring`.

    Args:
        args: `seed`, `workers`, `pool`, `fresh` and `batch` of the command line.
        stream: where pairs come from.
    """

    def __init__(self, args: argparse.Namespace, stream: IterableDataset[np.ndarray] | None = None) -> None:
        self.args = args
        self.source = drawn_by_workers(stream or ViewStream(args.seed), args.workers, ahead=8)
        self.rng = np.random.default_rng(args.seed)
        self.pairs = np.empty((args.pool, 2, SIDE, SIDE, 3), np.uint8)
        self.held = self.next = 0
        self.due = 0.0  # new pairs that are owed
        for _ in tqdm(range(0, min(args.pool, 1024), CHUNK), "first scenes", mininterval=5):
            self._take()

    def _take(self) -> None:
        chunk = np.asarray(next(self.source))
        places = (self.next + np.arange(len(chunk))) % len(self.pairs)
        self.pairs[places] = chunk
        self.next = int(places[-1] + 1) % len(self.pairs)
        self.held = min(self.held + len(chunk), len(self.pairs))

    def sample(self, exchanged: float) -> tuple[Tensor, Tensor]:
        """A batch of both drawings, `[batch, 3, y, x]` in -1..1 each.

        Args:
            exchanged: share of the batch that gets both; the rest gets the first one twice.
        """
        self.due += self.args.fresh / CHUNK
        while self.due >= 1:
            self._take()
            self.due -= 1
        chosen = self.pairs[self.rng.choice(self.held, self.args.batch, replace=False)]
        same = self.rng.random(self.args.batch) >= exchanged
        chosen[same, 1] = chosen[same, 0]
        pixels = torch.from_numpy(chosen).permute(1, 0, 4, 2, 3).to(self.args.device).float() / 127.5 - 1
        return pixels[0], pixels[1]
