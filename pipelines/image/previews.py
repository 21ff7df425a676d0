"""Previews of runs: large latents are made small, and a linear map stands in for the decoder."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pipelines.image.families.choice import cell_size, family_of
from pipelines.image.load import image_pipeline
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.engine import whole_call

SIDE = 16  # latent cells; larger latents are averaged down to this
_PATCH = 4  # pixels that a cell becomes in a linear preview, in each direction
_PICTURES, _NOISES = 8, (0.0, 0.5, 0.9)  # that the linear map is fitted on; shares of noise in them
_RIDGE = 1e-3


def shrunk(latents: np.ndarray, noisy: bool = False) -> np.ndarray:
    """`[picture, channel, y, x]` latents on a grid of at most `SIDE` cells; small ones as they are.

    Args:
        noisy: cells are picked, not averaged: the mean of noise is no noise.
    """
    height, width = latents.shape[-2:]
    side = max(height, width)
    if side <= SIDE:
        return latents
    size = max(1, height * SIDE // side), max(1, width * SIDE // side)
    return F.interpolate(torch.tensor(latents), size, mode="nearest" if noisy else "area").numpy()


@dataclass(frozen=True, eq=False)
class LinearDecoder:
    """The linear map that comes nearest to an autoencoder's decoder, quick enough for every step.

    A patch of pixels is a weighted sum of a cell, its eight neighbours (0 beyond the edge) and 1.

    Attributes:
        weights: `[9 * channel + 1, patch * patch * 3]` float32. Inputs in the order channel, y, x, then 1;
            outputs in the order y, x, colour, as 0..255.
        patch: pixels a cell becomes, in each direction.
    """

    weights: np.ndarray
    patch: int

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """`[picture, channel, y, x]` latents to `[picture, y, x, 3]` uint8 pixels."""
        count, _, height, width = latents.shape
        cells = _neighbourhoods(torch.tensor(latents)).numpy() @ self.weights
        patches = cells.reshape(count, height, width, self.patch, self.patch, 3)
        pixels = patches.transpose(0, 1, 3, 2, 4, 5).reshape(
            count, height * self.patch, width * self.patch, 3
        )
        return pixels.clip(0, 255).round().astype(np.uint8)

    def pictures(self, latents: np.ndarray) -> list[Image.Image]:
        """`decode` as pictures, one for each of the latents."""
        return [Image.fromarray(pixels) for pixels in self.decode(latents)]


def _neighbourhoods(latents: Tensor) -> Tensor:
    """`[picture, cell, 9 * channel + 1]` what a linear decoder reads."""
    around = F.unfold(latents.float(), kernel_size=3, padding=1).transpose(1, 2)
    return torch.cat([around, torch.ones_like(around[..., :1])], dim=-1)


@lru_cache(maxsize=8)
def linear_decoder(model: str) -> LinearDecoder:
    """A model's linear decoder, fitted by least squares on what its own decoder makes of drawn shapes.

    Shapes and noise are drawn here, so that the map knows no prompt and no picture of the model's training.

    Args:
        model: catalogue id of the role "image".
    """
    return _fitted(model)


@whole_call("image", image_pipeline)
def _fitted(model: str) -> LinearDecoder:
    pipe = image_pipeline(model)
    family = family_of(pipe)
    return fit(partial(family.to_latents, pipe), partial(family.decode, pipe), cell_size(pipe))


@on_compute_thread
@torch.inference_mode()
def fit(
    to_latents: Callable[[Tensor], Tensor], decode: Callable[[Tensor], Tensor], factor: int
) -> LinearDecoder:
    """The linear decoder of an autoencoder, see `linear_decoder`.

    Args:
        to_latents: `[picture, 3, y, x]` pixels, -1..1, to `[picture, channel, y, x]` latents.
        decode: the way back.
        factor: pixels that a latent cell becomes, in each direction.
    """
    pixels = torch.from_numpy(_shapes(SIDE * factor)).permute(0, 3, 1, 2)
    clean = to_latents(pixels).float().cpu()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    latents = torch.cat([(1 - share) ** 0.5 * clean + share**0.5 * noise for share in _NOISES])
    pictures = torch.cat([decode(part).float().cpu() for part in latents.split(_PICTURES)])
    patch = min(_PATCH, factor)
    small = F.interpolate(pictures.clamp(-1, 1), size=(SIDE * patch, SIDE * patch), mode="area")
    target = F.unfold(small, kernel_size=patch, stride=patch).transpose(1, 2)  # colour, y, x
    target = target.unflatten(-1, (3, patch * patch)).transpose(-1, -2).flatten(2) * 127.5 + 127.5
    read, wanted = _neighbourhoods(latents).flatten(0, 1).double(), target.flatten(0, 1).double()
    square = read.T @ read
    ridge = _RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=torch.float64)
    return LinearDecoder(torch.linalg.solve(square + ridge, read.T @ wanted).float().numpy(), patch)


def _shapes(side: int) -> np.ndarray:
    """`[_PICTURES, side, side, 3]` float32 pixels, -1..1: a coloured slope with boxes and discs before it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    out = np.empty((_PICTURES, side, side, 3), np.float32)
    for picture in out:
        one, other = rng.uniform(-1, 1, (2, 3))
        angle = rng.uniform(0, 2 * np.pi)
        slope = (0.5 + np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5))[..., None]
        picture[:] = one + (other - one) * slope
        for _ in range(6):
            (cx, cy), size = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.3)
            away = np.abs(x - cx), np.abs(y - cy)
            inside = np.maximum(*away) < size if rng.random() < 0.5 else np.hypot(*away) < size
            picture[inside] = rng.uniform(-1, 1, 3)
    return out.clip(-1, 1)
