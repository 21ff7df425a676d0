"""Previews of runs: large latents are averaged down before they are decoded."""

import numpy as np
import torch
import torch.nn.functional as F

SIDE = 16  # latent cells; larger latents are averaged down to this


def shrunk(latents: np.ndarray) -> np.ndarray:
    """`[picture, channel, y, x]` latents on a grid of at most `SIDE` cells; small ones as they are."""
    side = max(latents.shape[-2:])
    if side <= SIDE:
        return latents
    return F.interpolate(torch.tensor(latents), scale_factor=SIDE / side, mode="area").numpy()
