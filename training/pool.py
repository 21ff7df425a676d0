"""Freshly drawn scenes for all trainings, rendered by worker processes."""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from pipelines.world.films import FRAMES, Film, draw_film, film_caption, render_frame
from pipelines.world.layout import draw_scene, lay_out
from pipelines.world.render import render
from pipelines.world.scene import Scene, is_held_out

CHUNK = 16  # scenes that a worker draws at once
LECTURE_PAIRS = (("cat", "on", "bed"), ("cat", "in front of", "house"))
_PAIR_SIZES = (None, "small", "small", "large")


@dataclass(frozen=True)
class Shares:
    """How much of a training's scenes has to be of a kind; the rest is as `draw_scene` draws it.

    Attributes:
        lecture: two things as in the lecture's prompts (`LECTURE_PAIRS`), 0..1.
        pairs: any two things in a relation, 0..1.
        films: single frames of films, whose captions name a motion, 0..1.
    """

    lecture: float = 0.0
    pairs: float = 0.0
    films: float = 0.0


@dataclass(frozen=True)
class Example:
    """A rendered scene: `image` is `[64, 64, 3]` uint8, `masks` `[thing, 64, 64]` bool.

    Of a frame of a film, `scene` is what its first frame shows, and `motion` what moves.
    """

    scene: Scene
    image: np.ndarray
    masks: np.ndarray
    motion: str | None = None


class SceneStream(IterableDataset[list[Example]]):
    """Endless chunks of freshly drawn scenes; each worker process draws its own."""

    def __init__(self, seed: int, chunk: int, unseen: bool = False, shares: Shares | None = None) -> None:
        self.seed, self.chunk, self.unseen, self.shares = seed, chunk, unseen, shares or Shares()

    def __iter__(self) -> Iterator[list[Example]]:
        info = torch.utils.data.get_worker_info()
        torch.set_num_threads(1)
        rng = np.random.default_rng([self.seed, info.id if info else 0, time.time_ns() if info else 0])
        while True:
            yield [draw_example(rng, unseen=self.unseen, shares=self.shares) for _ in range(self.chunk)]


def draw_example(rng: np.random.Generator, *, unseen: bool = False, shares: Shares | None = None) -> Example:
    """Draw and render one scene."""
    shares = shares or Shares()
    if rng.random() < shares.films:
        film = draw_film(rng, unseen=unseen)
        picture, mask = render_frame(film, int(rng.integers(FRAMES)), rng)
        return Example(film.scene, np.asarray(picture), mask[None], film.motion)
    scene = _draw(rng, unseen, shares)
    image, masks = render(scene, rng)
    return Example(scene, np.asarray(image), masks)


def _draw(rng: np.random.Generator, unseen: bool, shares: Shares) -> Scene:
    kind = rng.random()
    if kind < shares.lecture:
        return _as_in_the_lecture(rng, unseen)
    while True:
        scene = draw_scene(rng, unseen=unseen)
        if kind >= shares.lecture + shares.pairs or scene.relation is not None:
            return scene


def _as_in_the_lecture(rng: np.random.Generator, unseen: bool) -> Scene:
    """One of the lecture's pairs at any place, in any light, style, size and colour."""
    noun, relation, other = LECTURE_PAIRS[rng.integers(len(LECTURE_PAIRS))]
    while True:
        scene = draw_scene(rng, unseen=unseen)
        if scene.relation is None:
            continue
        a, b = (replace(t, noun=n) for t, n in zip(scene.things, (noun, other), strict=True))
        a = replace(a, size=_PAIR_SIZES[rng.integers(len(_PAIR_SIZES))])
        scene = lay_out(replace(scene, things=(a, b), relation=relation), rng)
        if unseen or not is_held_out(scene):
            return scene


class Pool:
    """A ring of rendered scenes that is renewed a little at every step.

    Rendering is slower than a GPU's training step, so scenes are seen several times, each time
    under a new caption; the ring makes them almost fresh.

    Args:
        args: `seed`, `workers`, `pool` and `fresh` of the command line.
        prepare: turns `[batch, 3, y, x]` pictures (-1..1) into what the training keeps.
        shares: kinds of scenes that this training needs more of.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        prepare: Callable[[Tensor], Tensor] | None = None,
        shares: Shares | None = None,
    ) -> None:
        self.args, self.prepare = args, prepare
        stream = SceneStream(args.seed, CHUNK, unseen=getattr(args, "unseen", False), shares=shares)
        ahead = 8 if args.workers else None
        self.source = iter(
            DataLoader(stream, batch_size=None, num_workers=args.workers, prefetch_factor=ahead)
        )
        self.rng = np.random.default_rng(args.seed)
        self.items: list[Example] = []
        self.values: list[Tensor] = []
        self.next = 0
        self.due = 0.0  # new scenes that are owed
        for _ in tqdm(range(0, min(args.pool, 4096), CHUNK), "first scenes", mininterval=5):
            self._take()

    def _take(self) -> None:
        chunk = next(self.source)
        values = list(
            to_tensor([e.image for e in chunk])
            if self.prepare is None
            else self.prepare(to_tensor([e.image for e in chunk]).to(self.args.device))
        )
        for item, value in zip(chunk, values, strict=True):
            if len(self.items) < self.args.pool:
                self.items.append(item)
                self.values.append(value)
            else:
                self.items[self.next], self.values[self.next] = item, value
                self.next = (self.next + 1) % self.args.pool

    def sample(self) -> tuple[Tensor, list[Example]]:
        """One batch of what `prepare` made, with the scenes behind it."""
        self.due += self.args.fresh / CHUNK
        while self.due >= 1:
            self._take()
            self.due -= 1
        indices = self.rng.choice(len(self.items), self.args.batch, replace=False)
        return torch.stack([self.values[i] for i in indices]), [self.items[i] for i in indices]

    def captions(self, examples: list[Example]) -> list[str]:
        """A newly worded caption for each."""
        return [film_caption(Film(e.scene, e.motion), self.rng) for e in examples]


def to_tensor(images: list[np.ndarray]) -> Tensor:
    """uint8 `[y, x, 3]` pictures as `[batch, 3, y, x]` in -1..1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
