"""Which part of a given picture each word is looked at in, by noising the picture and asking once.

Source: the protocol of Helbling et al. 2025 (ConceptAttention), arXiv:2502.04320, section 4, for pictures
that no run has made.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipelines.image.autoencoder import pixels_of, to_latents
from pipelines.image.cross_attention import TraceMaps, grouped, read_pieces
from pipelines.image.encoding import encode
from pipelines.image.families.choice import family_of
from pipelines.image.families.family import title_of
from pipelines.image.families.unet import size_of
from pipelines.image.load import image_pipeline
from pipelines.image.recorder import RecordedRun, layout_of, recording
from pipelines.image.request import ImageRequest, Inside
from pipelines.image.schedulers import make_scheduler
from pipelines.image.steering import Steering
from pipelines.serving import catalogue
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.engine import whole_call
from pipelines.serving.errors import InputError
from pipelines.text.pieces import Piece
from pipelines.world.layout import draw_scene
from pipelines.world.render import render

TIMESTEPS = (200, 300, 400, 500)  # the range that shows outlines best (docs/decisions.md)


@dataclass(frozen=True, eq=False)
class PictureMaps:
    """Where the words of a text are looked at in a given picture.

    Attributes:
        picture: as the model saw it before noise was added.
        timesteps: noise levels; `maps` has one step for each.
        maps: by groups of layers.
    """

    picture: Image.Image
    timesteps: tuple[int, ...]
    maps: TraceMaps


@whole_call("image", image_pipeline)
def picture_maps(
    picture: Image.Image,
    prompt: str,
    model: str = "",
    timesteps: Sequence[int] = TIMESTEPS,
    seed: int = 0,
) -> PictureMaps:
    """Add noise to a picture, let the model estimate it once for each noise level, and note where it looks.

    Args:
        picture: of any size; it is brought to about the size that the model was trained at.
        prompt: what is said of the picture, true or not.
        model: catalogue id of the role "image"; empty means the preselected one.
        timesteps: noise levels, 0 (none) to 999.
        seed: decides the noise.

    Raises:
        InputError: `picture_maps_closed`, what `ImageRequest.validated` and `models.load` raise.
    """
    request = ImageRequest(prompt, seed=seed, guidance_scale=1, model=model).validated()
    if catalogue.entry(request.model).is_transformer:  # before it is loaded
        raise InputError("picture_maps_closed", title=title_of(request))
    pipe = image_pipeline(request.model)
    if family_of(pipe).denoiser != "unet":
        raise InputError("picture_maps_closed", title=title_of(request))
    prepared = picture.convert("RGB").resize(_size_for(pipe, picture), Image.Resampling.LANCZOS)
    request = replace(request, height=prepared.height, width=prepared.width)  # SDXL is told what it sees
    insides = _look(pipe, request, prepared, tuple(timesteps))
    maps = grouped(insides, read_pieces(request.prompt, request.model))
    return PictureMaps(prepared, tuple(timesteps), maps)


def _size_for(pipe: Any, picture: Image.Image) -> tuple[int, int]:
    """Width and height in px: the picture's proportions, the model's area, whole cells at every level."""
    side = math.sqrt(math.prod(size_of(pipe)))
    unit = pipe.vae_scale_factor * 2 ** (len(pipe.unet.config.block_out_channels) - 1)
    ratio = min(max(picture.width / picture.height, 0.25), 4.0)
    width, height = side * math.sqrt(ratio), side / math.sqrt(ratio)
    return max(1, round(width / unit)) * unit, max(1, round(height / unit)) * unit


@on_compute_thread
@torch.inference_mode()
def _look(
    pipe: Any, request: ImageRequest, picture: Image.Image, timesteps: tuple[int, ...]
) -> list[Inside | None]:
    clean = to_latents(pipe, pixels_of(picture)).to(pipe.unet.dtype)  # SDXL's autoencoder is held in float32
    noise = torch.randn(
        clean.shape, generator=torch.Generator().manual_seed(request.seed), dtype=torch.float32
    ).to(clean)
    read = encode(pipe, request)
    count = len(timesteps)
    times = torch.tensor(timesteps, device=clean.device)
    noisy = make_scheduler("ddim", pipe).add_noise(clean.repeat(count, 1, 1, 1), noise, times)
    subjects = [RecordedRun(read.ends[-1:], Steering(), look=True)] * count
    with recording(pipe.unet, subjects, (clean.shape[2], clean.shape[3])) as desk:
        pipe.unet(
            noisy,
            times,
            encoder_hidden_states=read.states[-1:].repeat(count, 1, 1),
            added_cond_kwargs={k: v[-1:].repeat(count, 1) for k, v in read.added.items()} or None,
        )
    return [desk.inside_of(i, layout_of(pipe.unet).blocks) for i in range(count)]


@dataclass(frozen=True, eq=False)
class KnownPicture:
    """A picture, and what is known to be in it; of an upload, nothing is.

    Attributes:
        picture: any size.
        nouns: one word for each thing.
        masks: `[y, x]` bool of the picture's size for each thing: where it really is.
    """

    picture: Image.Image
    nouns: tuple[str, ...] = ()
    masks: tuple[np.ndarray, ...] = ()


def world_picture(seed: int) -> tuple[KnownPicture, str]:
    """A scene of the classroom world with one thing or two different ones, and a plain text about it.

    Args:
        seed: decides everything about it.
    """
    rng = np.random.default_rng(seed)
    while True:
        scene = draw_scene(rng)
        apart = len({thing.noun for thing in scene.things}) == len(scene.things) <= 2
        if apart and scene.defect is None:
            break
    picture, masks = render(scene, rng)
    words = [f"{thing.colour or ''} {thing.noun}".strip() for thing in scene.things]
    text = f" {scene.relation or 'and'} ".join(f"{'an' if w[0] in 'aeiou' else 'a'} {w}" for w in words)
    known = KnownPicture(
        picture, tuple(t.noun for t in scene.things), tuple(np.asarray(m, bool) for m in masks)
    )
    return known, text


def rows_of(pieces: Sequence[Piece], word: str) -> list[int]:
    """The rows of a word's tokens, as often as it stands there."""
    texts: dict[int, str] = {}
    for piece in pieces:
        texts[piece.word] = texts.get(piece.word, "") + piece.text
    return [i for i, p in enumerate(pieces) if p.word >= 0 and texts[p.word].casefold() == word.casefold()]


def overlaps(found: PictureMaps, known: KnownPicture) -> list[tuple[str, np.ndarray, float]]:
    """For each thing that the text names: its noun, its true place, and how well the noun's map meets it.

    Returns:
        Noun, `[y, x]` uint8 (0 or 255) and mean intersection over union, 0..1 (`overlap`), of each.
    """
    maps = found.maps.finest
    out = []
    for noun, mask in zip(known.nouns, known.masks, strict=True):
        if rows := rows_of(maps.pieces, noun):
            looked = maps.maps[:, rows].sum(1).mean(0)
            out.append((noun, np.where(mask, 255, 0).astype(np.uint8), overlap(looked, mask)))
    return out


def overlap(looked: np.ndarray, mask: np.ndarray) -> float:
    """Mean intersection over union of figure and ground, where a map above its mean counts as figure.

    Args:
        looked: `[y, x]` attention on a word.
        mask: `[height, width]` bool, where the thing really is; the map is enlarged to its size.

    Returns:
        0..1; a map that is the same everywhere has about half the share of the ground.

    Source: Chefer et al. 2021, arXiv:2012.09838, section 4.1 (segmentation), also used by ConceptAttention.
    """
    height, width = mask.shape
    enlarged = Image.fromarray(looked.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    found = np.asarray(enlarged) > looked.mean()
    unions = [(found | mask).sum(), (~found | ~mask).sum()]
    hits = [(found & mask).sum(), (~found & ~mask).sum()]
    return float(np.mean([hit / max(union, 1) for hit, union in zip(hits, unions, strict=True)]))
