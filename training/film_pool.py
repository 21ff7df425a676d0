"""Films of one scene, rendered in families, as latents for the motion adapter."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.utils.data import IterableDataset

from pipelines.world.films import (
    FRAMES,
    Film,
    draw_siblings,
    draw_takes,
    film_caption,
    render_film,
    render_frame,
    sibling_captions,
)
from training.common import mixed_precision
from training.pool import to_tensor
from training.ring import Ring, Rows, worker_rng
from training.train_unet import latents_of

SIBLINGS = 4  # films of one scene
TAKES = 8  # scenes over which a film is averaged
EVERY_OTHER = tuple(range(0, FRAMES, 2))  # frames that are averaged: neighbours are much alike
_AT_ONCE = 64  # frames the autoencoder gets


@dataclass(frozen=True, eq=False)
class Family:
    """Rendered films of one scene in which different things happen.

    `frames` is `[film, frame, 64, 64, 3]` uint8, `masks` `[film, frame, 1, 64, 64]` bool.
    """

    films: list[Film]
    frames: np.ndarray
    masks: np.ndarray


class FamilyStream(IterableDataset[Family]):
    """Endless freshly drawn families; each worker process draws its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __iter__(self) -> Iterator[Family]:
        rng = worker_rng(self.seed)
        while True:
            films, seed = draw_siblings(rng, SIBLINGS), int(rng.integers(2**31))
            shots = [render_film(film, seed) for film in films]
            frames = np.stack([[np.asarray(frame) for frame in shot.frames] for shot in shots])
            yield Family(films, frames, np.stack([shot.masks[:, None] for shot in shots]))


class FilmPool(Ring[Family]):
    """A ring of families: `latents` `[row, film, frame, 4, 16, 16]`, their `films` and `masks`.

    Args:
        args: of the command line; see `Ring`.
        vae: the picture model's autoencoder.
    """

    def __init__(self, args: argparse.Namespace, vae: AutoencoderKL) -> None:
        self.vae = vae
        first = max(4 * args.batch, 32)
        super().__init__(
            args, FamilyStream(args.seed), self._as_rows, chunk=1, first=first, ahead=2, what="families"
        )

    def _as_rows(self, drawn: Family) -> Rows:
        images = to_tensor(list(drawn.frames.reshape(-1, *drawn.frames.shape[2:]))).to(self.args.device)
        latents = latents_of(self.vae, images).cpu().unflatten(0, (1, SIBLINGS, FRAMES))
        return {"latents": latents, "films": [drawn.films], "masks": [drawn.masks]}

    def batch(self) -> tuple[Tensor, list[np.ndarray], list[str]]:
        """One film of each of several families.

        Returns:
            Latents `[film, frame, 4, 16, 16]`, masks of all frames, a new caption for each film.
        """
        rows = self.sample()
        chosen = self.rng.integers(SIBLINGS, size=len(rows["films"]))
        masks = [mask for family, i in zip(rows["masks"], chosen, strict=True) for mask in family[i]]
        captions = [film_caption(films[i], self.rng) for films, i in zip(rows["films"], chosen, strict=True)]
        return rows["latents"][torch.arange(len(chosen)), torch.from_numpy(chosen)], masks, captions

    def siblings(self) -> tuple[Tensor, list[str]]:
        """Whole families, about as many films as a batch has.

        Returns:
            Latents `[family, film, frame, 4, 16, 16]`, and a caption for each film, alike in a family but for
            the motion.
        """
        rows = self.sample(max(1, self.args.batch // SIBLINGS))
        return rows["latents"], [c for films in rows["films"] for c in sibling_captions(films, self.rng)]


@dataclass(frozen=True, eq=False)
class Takes:
    """Siblings rendered in several scenes; `frames` is `[take, film, frame, 64, 64, 3]` uint8."""

    captions: list[str]
    frames: np.ndarray


class TakesStream(IterableDataset[Takes]):
    """Endless freshly drawn takes, of the frames `EVERY_OTHER`; each worker process draws its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __iter__(self) -> Iterator[Takes]:
        rng = worker_rng(self.seed)
        while True:
            takes, captions = draw_takes(rng, SIBLINGS, TAKES)
            yield Takes(captions, np.stack([_rendered(siblings, rng) for siblings in takes]))


def _rendered(siblings: list[Film], rng: np.random.Generator) -> np.ndarray:
    """`[film, frame, 64, 64, 3]`, the same textures and grain in all."""
    seed = int(rng.integers(2**31))
    return np.stack(
        [
            [np.asarray(render_frame(film, i, np.random.default_rng(seed))[0]) for i in EVERY_OTHER]
            for film in siblings
        ]
    )


class MeanFilms(Ring[Takes]):
    """A ring of siblings as captions alone predict them: the means of the `latents` of many takes.

    A film that is all noise tells nothing of itself, so the right answer is the mean of all films of which
    the caption is true. One film says little about it: what a caption leaves open varies six times as much
    as what moves.

    Source: the same idea for any timestep, Xu et al. 2023 (Stable Target Field), arXiv:2302.00670.

    Args:
        args: of the command line; see `Ring`.
        vae: the picture model's autoencoder.
    """

    def __init__(self, args: argparse.Namespace, vae: AutoencoderKL) -> None:
        self.vae = vae
        first = max(args.batch // SIBLINGS, 8)
        super().__init__(
            args, TakesStream(args.seed), self._as_rows, chunk=1, first=first, ahead=2, what="mean films"
        )

    def _as_rows(self, drawn: Takes) -> Rows:
        images = to_tensor(list(drawn.frames.reshape(-1, *drawn.frames.shape[3:]))).to(self.args.device)
        with mixed_precision(self.args.device):
            latents = torch.cat([latents_of(self.vae, part).float() for part in images.split(_AT_ONCE)])
        means = latents.unflatten(0, drawn.frames.shape[:3]).mean(0, keepdim=True).cpu()
        return {"latents": means, "captions": [drawn.captions]}

    def siblings(self) -> tuple[Tensor, list[str]]:
        """Whole families, about as many films as a batch has.

        Returns:
            Mean latents `[family, film, frame, 4, 16, 16]` of the frames `EVERY_OTHER`, and a caption for
            each film.
        """
        rows = self.sample(max(1, self.args.batch // SIBLINGS))
        return rows["latents"], [c for family in rows["captions"] for c in family]
