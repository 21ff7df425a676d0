"""CLIP and SigLIP as every tab uses them: texts and pictures become points of one space."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
from huggingface_hub import snapshot_download
from PIL import Image
from torch import Tensor

from pipelines.serving.catalogue import ModelEntry, entry
from pipelines.serving.compute import on_compute_thread, on_text_thread
from pipelines.serving.engine import whole_call
from pipelines.serving.loading import load


@dataclass(frozen=True)
class Clip:
    """A loaded CLIP.

    Attributes:
        model: open_clip model in eval mode.
        tokenize: `(texts) -> [batch, context_length]` token ids.
        preprocess: `(picture) -> [3, y, x]` normalised pixels.
        context_length: places for tokens, special tokens included.
    """

    model: open_clip.CLIP
    tokenize: Callable[[Sequence[str]], Tensor]
    preprocess: Callable[[Image.Image], Tensor]
    context_length: int

    @property
    def device(self) -> torch.device:
        return self.model.logit_scale.device

    @property
    def logit_scale(self) -> float:
        """The learned factor between cosine and logit: one over the temperature."""
        return float(self.model.logit_scale.exp())

    @property
    def logit_bias(self) -> float | None:
        """What is added to the logit of a model that was trained with a sigmoid for each pair; None for CLIP.

        Source: Zhai et al. 2023 (SigLIP), arXiv:2303.15343, section 3.2.
        """
        bias = getattr(self.model, "logit_bias", None)
        return None if bias is None else float(bias)


def clip_model(model: str) -> Clip:
    """The loaded CLIP of a catalogue id.

    Raises:
        InputError: `model_unknown` for an id of another role, and what `loading.load` raises.
    """
    return load(entry(model, "clip"), load_clip, _download)


def _download(e: ModelEntry) -> None:
    files = ["open_clip_config.json", "open_clip_model.safetensors", "tokenizer*", "special_tokens_map.json"]
    snapshot_download(e.source, allow_patterns=files)


def load_clip(e: ModelEntry, device: str) -> Clip:
    """Load an open_clip model from a folder with `open_clip_config.json`, or from the hub."""
    name = f"local-dir:{e.source}" if Path(e.source).is_dir() else f"hf-hub:{e.source}"
    model, _, preprocess = open_clip.create_model_and_transforms(name, device=device)
    tokenizer = open_clip.get_tokenizer(name)
    model = model.float().eval().requires_grad_(False)
    return Clip(model, tokenizer, preprocess, int(tokenizer.context_length))


@whole_call("text", clip_model)
def encode_texts(prompts: Sequence[str], model: str) -> np.ndarray:
    """Texts as points of CLIP's space.

    Args:
        prompts: at least one text; tokens beyond the context length are cut off.
        model: catalogue id of the role "clip".

    Returns:
        `[text, dim]` float32, each of length one.
    """
    return _encode_texts(clip_model(model), prompts)


@on_text_thread
@torch.inference_mode()
def _encode_texts(clip: Clip, prompts: Sequence[str]) -> np.ndarray:
    tokens = clip.tokenize(list(prompts)).to(clip.device)
    return clip.model.encode_text(tokens, normalize=True).float().cpu().numpy()


@whole_call("image", clip_model)
def encode_images(images: Sequence[Image.Image], model: str) -> np.ndarray:
    """Pictures as points of CLIP's space.

    Args:
        images: at least one picture of any size.
        model: catalogue id of the role "clip".

    Returns:
        `[image, dim]` float32, each of length one.
    """
    return _encode_images(clip_model(model), images)


@on_compute_thread
@torch.inference_mode()
def _encode_images(clip: Clip, images: Sequence[Image.Image]) -> np.ndarray:
    pixels = torch.stack([clip.preprocess(image.convert("RGB")) for image in images])
    return clip.model.encode_image(pixels.to(clip.device), normalize=True).float().cpu().numpy()


def clip_scores(images: Sequence[Image.Image], prompts: Sequence[str], model: str) -> np.ndarray:
    """Cosine of every picture with every text, `[image, text]`, -1..1."""
    return encode_images(images, model) @ encode_texts(prompts, model).T
