"""Between pixels and latents, on the scale that the library's pipelines work on."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.image.offload import device_of


def to_pixels(pipe: Any, latents: Tensor) -> Tensor:
    """`[picture, channel, y, x]` latents at unit deviation to `[picture, 3, y, x]` pixels, -1..1."""
    latents = latents.to(device_of(pipe), pipe.vae.dtype)
    factor, shift = _scaling(pipe, latents)
    return pipe.vae.decode(latents / factor + shift, return_dict=False)[0]


def to_latents(pipe: Any, pixels: Tensor) -> Tensor:
    """`[picture, 3, y, x]` pixels, -1..1, to the latents that `to_pixels` takes; without its noise."""
    latents = _encoded(pipe, pixels)
    factor, shift = _scaling(pipe, latents)
    return (latents - shift) * factor


def patched_to_pixels(pipe: Any, latents: Tensor) -> Tensor:
    """`[picture, 4 * channel, y, x]` latents of FLUX.2 to `[picture, 3, 16 y, 16 x]` pixels, -1..1.

    Four cells are one patch, and a batch norm brings each of a patch's numbers to unit deviation.
    """
    latents = latents.to(device_of(pipe), pipe.vae.dtype)
    mean, deviation = _batch_norm(pipe, latents)
    cells = pipe._unpatchify_latents(latents * deviation + mean)
    return pipe.vae.decode(cells, return_dict=False)[0]


def pixels_to_patched(pipe: Any, pixels: Tensor) -> Tensor:
    """`[picture, 3, y, x]` pixels, -1..1, to the latents that `patched_to_pixels` takes, without noise."""
    latents = pipe._patchify_latents(_encoded(pipe, pixels))
    mean, deviation = _batch_norm(pipe, latents)
    return (latents - mean) / deviation


def _batch_norm(pipe: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation, each `[1, channel, 1, 1]`."""
    norm = pipe.vae.bn
    mean = norm.running_mean.view(1, -1, 1, 1)
    deviation = torch.sqrt(norm.running_var.view(1, -1, 1, 1) + pipe.vae.config.batch_norm_eps)
    return mean.to(like), deviation.to(like)


def _encoded(pipe: Any, pixels: Tensor) -> Tensor:
    """What an autoencoder makes of pixels: the middle of its distribution, where it has one."""
    found = pipe.vae.encode(pixels.to(device_of(pipe), pipe.vae.dtype), return_dict=False)[0]
    return found.mode() if hasattr(found, "mode") and not isinstance(found, Tensor) else found


def pixels_of(picture: Image.Image) -> Tensor:
    """`[1, 3, y, x]` pixels of an RGB picture, -1..1."""
    return torch.from_numpy(np.asarray(picture, np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def _scaling(pipe: Any, like: Tensor) -> tuple[Any, Any]:
    """What the pipeline multiplies the autoencoder's latents by, and subtracts from them first.

    Numbers, as in the library, which are not rounded to half precision; `[1, channel, 1, 1]` where an
    autoencoder says a mean and a deviation for each channel.
    """
    config = pipe.vae.config
    mean, deviation = config.get("latents_mean"), config.get("latents_std")
    if mean is None or deviation is None:
        return config.scaling_factor, config.get("shift_factor") or 0.0
    shift, spread = (like.new_tensor(v).view(1, -1, 1, 1) for v in (mean, deviation))
    return config.scaling_factor / spread, shift
