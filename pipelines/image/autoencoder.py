"""Between pixels and latents, on the scale that the library's pipelines work on."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_pixels(pipe: Any, latents: Tensor) -> Tensor:
    """`[picture, channel, y, x]` latents at unit deviation to `[picture, 3, y, x]` pixels, -1..1."""
    factor, shift = _scaling(pipe, latents)
    return pipe.vae.decode(latents.to(pipe.device, pipe.vae.dtype) / factor + shift, return_dict=False)[0]


def to_latents(pipe: Any, pixels: Tensor) -> Tensor:
    """`[picture, 3, y, x]` pixels, -1..1, to the latents that `to_pixels` takes; without its noise."""
    latents = pipe.vae.encode(pixels.to(pipe.device, pipe.vae.dtype)).latent_dist.mode()
    factor, shift = _scaling(pipe, latents)
    return (latents - shift) * factor


def pixels_of(picture: Image.Image) -> Tensor:
    """`[1, 3, y, x]` pixels of an RGB picture, -1..1."""
    return torch.from_numpy(np.asarray(picture, np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def _scaling(pipe: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """What the pipeline multiplies the autoencoder's latents by, and subtracts from them first."""
    config = pipe.vae.config
    mean, deviation = config.get("latents_mean"), config.get("latents_std")
    factor = like.new_tensor(config.scaling_factor)
    if mean is None or deviation is None:
        return factor, like.new_tensor(config.get("shift_factor") or 0.0)
    shift, spread = (like.new_tensor(v).view(1, -1, 1, 1) for v in (mean, deviation))
    return factor / spread, shift
