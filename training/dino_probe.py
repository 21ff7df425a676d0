"""How good a vision model's features are, on scenes with one thing whose name training never saw."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from pipelines.dino.components import foreground_scores, intersection_over_union, vote_of_neighbours
from pipelines.world.layout import draw_scene
from pipelines.world.render import render
from pipelines.world.scene import NOUNS
from training.pool import to_tensor

SIDE = 128  # px of the drawings; so large they are shown to find the foreground
KNN_SIDE = 64  # px at which whole pictures are compared: things then are as large as in the training's crops


@dataclass(frozen=True, eq=False)
class Singles:
    """Scenes with one thing.

    Attributes:
        pixels: `[n, 3, SIDE, SIDE]` in -1..1.
        nouns: `[n]` index into `NOUNS`.
        masks: `[n, SIDE, SIDE]` bool, where the thing is.
    """

    pixels: Tensor
    nouns: np.ndarray
    masks: np.ndarray


def draw_singles(count: int, seed: int) -> Singles:
    """Freshly drawn scenes with one thing; the same seed draws the same ones."""
    rng = np.random.default_rng(seed)
    pictures: list[np.ndarray] = []
    nouns: list[int] = []
    masks: list[np.ndarray] = []
    while len(pictures) < count:
        scene = draw_scene(rng)
        if len(scene.things) != 1:
            continue
        picture, visible = render(scene, rng, SIDE)
        pictures.append(np.asarray(picture))
        nouns.append(NOUNS.index(scene.things[0].noun))
        masks.append(visible[0])
    return Singles(to_tensor(pictures), np.array(nouns), np.stack(masks))


def pictures_of(scenes: Singles) -> list[Image.Image]:
    """The scenes as pictures, for what reads those."""
    values = ((scenes.pixels + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(v) for v in values]


@torch.no_grad()
def tokens_of(backbone: nn.Module, pixels: Tensor, device: str) -> np.ndarray:
    """`[n, 1 + patch, dim]` last tokens."""
    parts = [backbone(p.to(device)).last_hidden_state.float().cpu() for p in pixels.split(64)]
    return torch.cat(parts).numpy()


def class_tokens(backbone: nn.Module, pixels: Tensor, device: str) -> np.ndarray:
    """`[n, dim]` class tokens at `KNN_SIDE`."""
    return tokens_of(backbone, reduced(pixels), device)[:, 0]


def reduced(pixels: Tensor) -> Tensor:
    """`[n, 3, SIDE, SIDE]` brought to `KNN_SIDE`."""
    return nn.functional.avg_pool2d(pixels, SIDE // KNN_SIDE)


def enlarged(grids: np.ndarray, side: int) -> np.ndarray:
    """`[n, grid, grid]` brought to `[n, side, side]` without hard edges between patches."""
    big = nn.functional.interpolate(torch.from_numpy(grids)[:, None], size=(side, side), mode="bilinear")
    return big[:, 0].numpy()


class Probe:
    """The two measures on a few fixed scenes, for the log of a training; `make evaluate` asks for more."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.bank, self.queries = draw_singles(1024, seed=10_001), draw_singles(256, seed=10_002)

    def measure(self, backbone: nn.Module) -> dict[str, float]:
        """k-NN accuracy of the class token, and mIoU of the first principal component."""
        known = class_tokens(backbone, self.bank.pixels, self.device)
        asked = class_tokens(backbone, self.queries.pixels, self.device)
        votes = vote_of_neighbours(known, self.bank.nouns, asked)
        seen = tokens_of(backbone, self.queries.pixels, self.device)
        found = enlarged(foreground_scores(seen[:, 1:]), SIDE) > 0
        return {
            "knn": float((votes == self.queries.nouns).mean()),
            "miou": float(intersection_over_union(found, self.queries.masks).mean()),
        }
