"""A self-supervised vision transformer as the DINO tab uses it: pictures become tokens, heads look around.

The library's classes for DINO (a plain ViT), DINOv2 (with and without registers) and DINOv3 are behind
one object.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from huggingface_hub import snapshot_download
from PIL import Image, ImageOps
from torch import Tensor

from pipelines.serving.catalogue import ModelEntry, entry
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.engine import whole_call
from pipelines.serving.errors import InputError
from pipelines.serving.loading import load, whole

# The library's class for each model type of a published config.
_CLASSES = {
    "vit": "ViTModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "dinov3_vit": "DINOv3ViTModel",
}
BATCH = 32  # pictures at once; more would keep other visitors waiting


@dataclass(frozen=True)
class Vision:
    """A loaded vision transformer.

    Attributes:
        model: transformers `ViTModel`, `Dinov2Model`, `Dinov2WithRegistersModel` or `DINOv3ViTModel` in eval
            mode.
        side: px to which pictures are brought when patches are the point.
        whole_side: px to which they are brought when one feature stands for all: at most the size that the
            model was made for.
        patch: px of a patch's side.
        pixels: `(picture, side) -> [3, side, side]` normalised.
    """

    model: Any
    side: int
    whole_side: int
    patch: int
    pixels: Callable[[Image.Image, int], Tensor]

    @property
    def registers(self) -> int:
        """Tokens between class token and patches that are no part of the picture, on which heads may look.

        Source: Darcet et al. 2023, arXiv:2309.16588.
        """
        return int(getattr(self.model.config, "num_register_tokens", 0))

    @property
    def grid(self) -> int:
        """Patches in a row."""
        return self.side // self.patch

    def __call__(self, pixels: Tensor, **options: Any) -> Any:
        """The library's own call; positions are interpolated where a picture is not the trained size."""
        if self.model.config.model_type == "vit":
            options["interpolate_pos_encoding"] = True
        return self.model(pixels.to(self.model.device), **options)


@dataclass(frozen=True, eq=False)
class Tokens:
    """What a vision transformer makes of the parts of pictures.

    Attributes:
        patches: `[picture, grid * grid, dim]` row by row.
        attention: `[picture, layer, head, grid * grid]` how the class token spreads its attention over the
            patches; what is missing to a sum of 1 stays on itself and on the registers.
        on_registers: `[picture, layer, head]` what of it goes to all registers together; 0 without any.
        registers: number of registers of the model.
    """

    patches: np.ndarray
    attention: np.ndarray
    on_registers: np.ndarray
    registers: int


def vision_model(model: str) -> Vision:
    """The loaded vision transformer of a catalogue id.

    Raises:
        InputError: `model_unknown` for an id of another role, and what `loading.load` raises.
    """
    return load(entry(model, "dino"), load_vision, _download)


def _download(e: ModelEntry) -> None:
    snapshot_download(e.source, allow_patterns=["*.json", "model.safetensors"])


def load_vision(e: ModelEntry, device: str) -> Vision:
    """Load a DINO, DINOv2 or DINOv3 model from a folder or from the hub.

    Raises:
        InputError: `model_broken` if it is another kind of model.
    """
    config = transformers.AutoConfig.from_pretrained(e.source)
    name = _CLASSES.get(config.model_type)
    if name is None:
        raise InputError("model_broken", title=e.title, reason=config.model_type)
    settings = {"add_pooling_layer": False} if config.model_type == "vit" else {}
    model = whole(getattr(transformers, name), e.source, dtype=torch.float32, **settings)
    processor = transformers.AutoImageProcessor.from_pretrained(e.source)
    side = _side(processor)
    side -= side % config.patch_size
    mean, std = (torch.tensor(v)[:, None, None] for v in (processor.image_mean, processor.image_std))

    def pixels(picture: Image.Image, side: int) -> Tensor:
        values = np.asarray(square(picture, side), np.float32) / 255
        return (torch.from_numpy(values).permute(2, 0, 1) - mean) / std

    model = model.to(device).eval().requires_grad_(False)
    return Vision(model, side, min(side, config.image_size), config.patch_size, pixels)


def _side(processor: Any) -> int:
    """The side of the square that a model's own preprocessing ends with, px."""
    size = processor.crop_size if processor.do_center_crop else processor.size
    return int(size["height"])


def square(picture: Image.Image, side: int) -> Image.Image:
    """The middle square of a picture, `side` px."""
    return ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.BICUBIC)


@contextmanager
def eager(vision: Vision) -> Iterator[None]:
    """Let the library compute attention weights openly, as its faster kernels do not; restored afterwards."""
    before = vision.model.config._attn_implementation
    vision.model.set_attn_implementation("eager")
    try:
        yield
    finally:
        vision.model.set_attn_implementation(before)


@whole_call("image", vision_model)
def read_tokens(pictures: Sequence[Image.Image], model: str) -> Tokens:
    """Show pictures to a model and note what it makes of their patches, and where its heads look.

    Args:
        pictures: a few, of any size; the middle square of each is seen.
        model: catalogue id of the role "dino".
    """
    return _read_tokens(vision_model(model), pictures)


@on_compute_thread
@torch.inference_mode()
def _read_tokens(vision: Vision, pictures: Sequence[Image.Image]) -> Tokens:
    pixels = torch.stack([vision.pixels(picture, vision.side) for picture in pictures])
    with eager(vision):
        out = vision(pixels, output_attentions=True)
    looks, first = torch.stack(out.attentions, 1)[..., 0, :], 1 + vision.registers
    found = out.last_hidden_state[:, first:], looks[..., first:], looks[..., 1:first].sum(-1)
    patches, attention, on_registers = (x.float().cpu().numpy() for x in found)
    return Tokens(patches, attention, on_registers, vision.registers)


@whole_call("image", vision_model)
def read_whole(pictures: Sequence[Image.Image], model: str) -> np.ndarray:
    """One feature for each picture: the class token, `[picture, dim]`.

    Args:
        pictures: at least one, of any size; the middle square of each is seen.
        model: catalogue id of the role "dino".
    """
    vision = vision_model(model)
    return np.concatenate(
        [_read_whole(vision, pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]
    )


@on_compute_thread
@torch.inference_mode()
def _read_whole(vision: Vision, pictures: Sequence[Image.Image]) -> np.ndarray:
    pixels = torch.stack([vision.pixels(picture, vision.whole_side) for picture in pictures])
    return vision(pixels).last_hidden_state[:, 0].float().cpu().numpy()
