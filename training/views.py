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

from pipelines.world.layout import draw_scene, lay_out
from pipelines.world.render import render
from pipelines.world.scene import Scene, is_held_out
from training.ring import Ring, worker_rng

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


def view_ring(args: argparse.Namespace, stream: IterableDataset[np.ndarray] | None = None) -> Ring:
    """A ring of drawn `pairs`, `[row, 2, SIDE, SIDE, 3]` uint8."""
    return Ring(
        args, stream or ViewStream(args.seed), lambda drawn: {"pairs": torch.as_tensor(drawn)},
        chunk=CHUNK, first=1024, ahead=8, what="pairs",
    )  # fmt: skip


def sample_views(ring: Ring, exchanged: float) -> tuple[Tensor, Tensor]:
    """A batch of both drawings, `[batch, 3, y, x]` in -1..1 each.

    Args:
        ring: of `view_ring`.
        exchanged: share of the batch that gets both; the rest gets the first one twice.
    """
    pairs = ring.sample()["pairs"]
    same = torch.from_numpy(ring.rng.random(len(pairs)) >= exchanged)
    pairs[same, 1] = pairs[same, 0]
    pixels = pairs.permute(1, 0, 4, 2, 3).to(ring.args.device).float() / 127.5 - 1
    return pixels[0], pixels[1]
