"""What a self-supervised vision transformer sees: patches as colours, heads that look, neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from pipelines.clip.model import encode_images
from pipelines.dino.components import foreground_scores, principal_components
from pipelines.dino.model import read_tokens, read_whole, square
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.world.layout import draw_scene
from pipelines.world.render import render
from pipelines.world.scene import Scene

SAMPLE_SIDE = 256  # px of world pictures on the page; models read fewer
GALLERY, GALLERY_SEED = 320, 4242
KINDS = ("dino", "clip", "pixels")
PIXEL_SIDE = 24  # px to which pictures are reduced before their raw pixels are compared
NEIGHBOURS = 6


@dataclass(frozen=True, eq=False)
class Patches:
    """One or two pictures, patch by patch.

    Attributes:
        pictures: the squares that the model saw.
        colours: `[picture, grid, grid, 3]` 0..1: the first three principal components of all patches
            together, so that one colour means one feature in both pictures.
        explained: share of the variance (0..1) that these components hold.
        foreground: `[picture, grid, grid]` first component over the pictures, positive is foreground.
        attention: `[picture, layer, head, grid, grid]` of the class token.
        registers: tokens beside class token and patches that are no part of the picture.
        on_registers: `[picture, layer, head]` what of the class token's attention goes to all of them.
        similarity: `[patch, picture * patch]` cosine of each patch of the first picture with all patches.
    """

    pictures: tuple[Image.Image, ...]
    colours: np.ndarray
    explained: float
    foreground: np.ndarray
    attention: np.ndarray
    registers: int
    on_registers: np.ndarray
    similarity: np.ndarray

    @property
    def grid(self) -> int:
        return int(self.colours.shape[1])


@dataclass(frozen=True, eq=False)
class Known:
    """A picture of the world, and what is in it.

    Attributes:
        picture: `SAMPLE_SIDE` px.
        scene: the truth, which no model is told.
    """

    picture: Image.Image
    scene: Scene

    @property
    def nouns(self) -> frozenset[str]:
        return frozenset(thing.noun for thing in self.scene.things)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What one way of comparing finds similar.

    Attributes:
        kind: one of `KINDS`.
        found: places in the gallery, the most similar first.
        cosines: their similarity, -1..1.
    """

    kind: str
    found: tuple[int, ...]
    cosines: tuple[float, ...]


def look_at(pictures: Sequence[Image.Image], model: str) -> Patches:
    """Show one or two pictures to a model and lay open what it made of them.

    Args:
        pictures: one or two, of any size.
        model: catalogue id of the role "dino".

    Raises:
        InputError: `dino_pictures`, and those of `models.load`.
    """
    if not 1 <= len(pictures) <= 2:
        raise InputError("dino_pictures", received=len(pictures))
    read = read_tokens(pictures, model)
    grid = round(read.patches.shape[1] ** 0.5)
    colours, explained = component_colours(read.patches)
    unit = _unit(read.patches)
    side = min(SAMPLE_SIDE, max(min(p.size) for p in pictures))
    return Patches(
        tuple(square(p, side) for p in pictures),
        colours.reshape(len(pictures), grid, grid, 3),
        explained,
        foreground_scores(read.patches),
        read.attention.reshape(*read.attention.shape[:3], grid, grid),
        read.registers,
        read.on_registers,
        unit[0] @ unit.reshape(-1, unit.shape[-1]).T,
    )


def component_colours(features: np.ndarray) -> tuple[np.ndarray, float]:
    """Features as colours: the first three principal components become red, green and blue.

    Args:
        features: `[picture, patch, dim]`.

    Returns:
        `[picture, patch, 3]` in 0..1, and the share of the variance that three components hold, 0..1.
        Features that do not differ are grey.

    Source: Oquab et al. 2023, arXiv:2304.07193, figure 1.
    """
    mean, directions = principal_components(features, 3)
    centered = features - mean
    parts = centered @ directions.T
    # A component has no sign; the heavier tail points upwards, so that the same picture keeps its colours.
    parts = parts * np.where((parts**3).sum((0, 1)) < 0, -1, 1)
    low, high = np.quantile(parts, 0.02, axis=(0, 1)), np.quantile(parts, 0.98, axis=(0, 1))
    spread = high - low
    alike = spread < 1e-6 * max(1.0, float(np.abs(features).max()))
    colours = np.where(alike, 0.5, (parts - low) / np.where(alike, 1, spread)).clip(0, 1)
    total = float((centered**2).sum())
    return colours, float((parts**2).sum()) / total if total > 0 else 0.0


def _unit(features: np.ndarray) -> np.ndarray:
    """Features brought to length one; zeros stay zeros."""
    return features / np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1e-9)


def world_picture(seed: int, things: int | None = None) -> Known:
    """A freshly drawn picture of the classroom world.

    Args:
        seed: the same seed draws the same picture.
        things: how many things it shall show; None for any number.
    """
    rng = np.random.default_rng(seed)
    while True:
        scene = draw_scene(rng)
        if scene.defect is None and things in (None, len(scene.things)):
            return Known(render(scene, rng, SAMPLE_SIDE)[0], scene)


@lru_cache(maxsize=1)
def gallery() -> tuple[Known, ...]:
    """The pictures among which neighbours are sought, one thing in each, always the same."""
    return tuple(world_picture(GALLERY_SEED * 1000 + i, things=1) for i in range(GALLERY))


def pixel_features(pictures: Sequence[Image.Image]) -> np.ndarray:
    """Raw pixels as features: `[picture, PIXEL_SIDE² * 3]`, each picture's mean taken off."""
    small = np.stack([np.asarray(square(p, PIXEL_SIDE), np.float32).ravel() / 255 for p in pictures])
    return small - small.mean(1, keepdims=True)


def features(pictures: Sequence[Image.Image], kind: str, model: str, clip: str) -> np.ndarray:
    """`[picture, dim]`, each of length one.

    Args:
        pictures: at least one.
        kind: one of `KINDS`.
        model: catalogue id of the role "dino".
        clip: catalogue id of the role "clip".
    """
    if kind == "dino":
        return _unit(read_whole(pictures, model))
    return _unit(encode_images(pictures, clip) if kind == "clip" else pixel_features(pictures))


@lru_cache(maxsize=6)
def gallery_features(kind: str, model: str, clip: str) -> np.ndarray:
    """`features` of the gallery, computed once a model."""
    return features([known.picture for known in gallery()], kind, model, clip)


def neighbours(
    picture: Image.Image, model: str, clip: str, count: int = NEIGHBOURS
) -> tuple[Neighbours, ...]:
    """What DINO, CLIP's picture tower and raw pixels find most similar to a picture.

    Args:
        picture: of any size.
        model: catalogue id of the role "dino".
        clip: catalogue id of the role "clip".
        count: how many of the gallery.

    Raises:
        InputError: those of `models.load`.
    """
    model, clip = catalogue.entry(model, "dino").id, catalogue.entry(clip, "clip").id
    return tuple(_nearest(picture, kind, model, clip, count) for kind in KINDS)


def _nearest(picture: Image.Image, kind: str, model: str, clip: str, count: int) -> Neighbours:
    cosines = gallery_features(kind, model, clip) @ features([picture], kind, model, clip)[0]
    order = np.argsort(-cosines, kind="stable")[:count]
    return Neighbours(kind, tuple(map(int, order)), tuple(float(cosines[i]) for i in order))
