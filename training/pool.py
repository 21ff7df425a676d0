"""Freshly drawn scenes for all trainings, rendered by worker processes."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from pipelines.world.films import FRAMES, Film, draw_film, film_caption, render_frame
from pipelines.world.layout import draw_scene, lay_out
from pipelines.world.render import render
from pipelines.world.scene import Scene, is_held_out
from training.ring import Ring, Rows, worker_rng

CHUNK = 16  # scenes that a worker draws at once
LECTURE_PAIRS = (("cat", "on", "bed"), ("cat", "in front of", "house"))
_PAIR_SIZES = (None, "small", "small", "large")


@dataclass(frozen=True)
class Shares:
    """How much of a training's scenes has to be of a kind; the rest is as `draw_scene` draws it.

    Attributes:
        lecture: two things as in the lecture's prompts (`LECTURE_PAIRS`), 0..1.
        pairs: any two things in a relation, 0..1.
        coloured: of those pairs, how many have a colour on both things, 0..1.
        films: single frames of films, whose captions name a motion, 0..1.
        wide: one thing in a wide shot, 0..1; no thing is smaller.
    """

    lecture: float = 0.0
    pairs: float = 0.0
    coloured: float = 0.0
    films: float = 0.0
    wide: float = 0.0


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
        rng = worker_rng(self.seed)
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
    if kind >= shares.lecture + shares.pairs + shares.wide:
        return draw_scene(rng, unseen=unseen)
    wide = kind >= shares.lecture + shares.pairs
    coloured = rng.random() < shares.coloured
    while True:
        scene = draw_scene(rng, unseen=unseen)
        if wide:
            if scene.composition == "wide shot":
                return scene
        elif scene.relation is not None and (not coloured or all(t.colour for t in scene.things)):
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


class Pool(Ring[list[Example]]):
    """A ring of rendered scenes: `images` `[row, 3, 64, 64]` in -1..1 and `examples`."""

    def __init__(self, args: argparse.Namespace, shares: Shares | None = None) -> None:
        stream = SceneStream(args.seed, CHUNK, unseen=getattr(args, "unseen", False), shares=shares)
        super().__init__(args, stream, _as_rows, chunk=CHUNK, first=4096, ahead=8, what="scenes")

    def captions(self, examples: list[Example]) -> list[str]:
        """A newly worded caption for each."""
        return [film_caption(Film(e.scene, e.motion), self.rng) for e in examples]


def _as_rows(drawn: list[Example]) -> Rows:
    return {"images": to_tensor([e.image for e in drawn]), "examples": drawn}


def to_tensor(images: list[np.ndarray]) -> Tensor:
    """uint8 `[y, x, 3]` pictures as `[batch, 3, y, x]` in -1..1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def covered(masks: Sequence[np.ndarray]) -> Tensor:
    """Where any thing is seen, `[batch, 1, y, x]` 0 or 1, of each picture's `[thing, y, x]` masks."""
    return torch.from_numpy(np.stack([m.any(0) for m in masks])).float()[:, None]
