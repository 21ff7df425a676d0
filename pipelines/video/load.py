"""Loading the models that draw films: the classroom's adapter over its picture model, and the hub's."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKLWan,
    DDIMScheduler,
    MotionAdapter,
    WanPipeline,
)
from huggingface_hub import snapshot_download

from pipelines.image.load import assemble, download_pipeline
from pipelines.serving.catalogue import ASSETS, ModelEntry, entry
from pipelines.serving.loading import check_memory, load
from pipelines.video.motion_unet import with_motion


def assemble_animatediff(folder: Path) -> AnimateDiffPipeline:
    """The classroom pipeline: its picture model, and the attention between frames."""
    pictures = assemble(ASSETS / "image")
    adapter = MotionAdapter.from_pretrained(folder, torch_dtype=torch.float32)
    return AnimateDiffPipeline(
        pictures.vae, pictures.text_encoder, pictures.tokenizer, with_motion(pictures.unet, adapter), adapter,
        pictures.scheduler,
    )  # fmt: skip


def _animatediff(e: ModelEntry, dtype: torch.dtype) -> AnimateDiffPipeline:
    """A published adapter over the picture model that its entry names.

    Source: the settings of the adapter's model card: a linear schedule, no clipping.
    """
    settings: dict[str, Any] = {"torch_dtype": dtype, "use_safetensors": True}
    adapter = _with_half_size(MotionAdapter, e.source, settings)
    pipe = _with_half_size(AnimateDiffPipeline, e.base, settings | {"motion_adapter": adapter})
    pipe.scheduler = DDIMScheduler.from_config(
        pipe.scheduler.config, clip_sample=False, timestep_spacing="linspace", beta_schedule="linear",
        steps_offset=1,
    )  # fmt: skip
    return pipe


def _with_half_size(kind: Any, source: str, settings: dict[str, Any]) -> Any:
    """The publisher's half-size copy where there is one."""
    try:
        return kind.from_pretrained(source, variant="fp16", **settings)
    except (ValueError, OSError):
        return kind.from_pretrained(source, **settings)


def _wan(e: ModelEntry, dtype: torch.dtype) -> WanPipeline:
    """Wan 2.1; its autoencoder is held in full precision, as its card asks.

    Raises:
        ValueError: it is a Wan 2.2, whose steps are shared by two transformers or have times of their own.
    """
    config = WanPipeline.load_config(e.source)
    if config.get("boundary_ratio") is not None or config.get("expand_timesteps"):
        raise ValueError(f"{e.source} is a Wan 2.2; a Wan 2.1 can be drawn")
    vae = AutoencoderKLWan.from_pretrained(e.source, subfolder="vae", torch_dtype=torch.float32)
    return WanPipeline.from_pretrained(e.source, vae=vae, torch_dtype=dtype, use_safetensors=True)


def video_pipeline(model: str) -> Any:
    """The loaded diffusers pipeline of a catalogue id.

    Raises:
        InputError: `model_unknown` for an id of another role, `model_needs_memory`, and what `loading.load`
            raises.
    """
    return load(entry(model, "video"), load_video_model, _download)


def _download(e: ModelEntry) -> None:
    check_memory(e)
    if e.base:
        snapshot_download(e.source, allow_patterns=["config.json", "*.safetensors"])
    download_pipeline(e.base or e.source)


def load_video_model(e: ModelEntry, device: str) -> Any:
    """Load a diffusers text-to-film pipeline; safetensors only, never remote code.

    Args:
        e: a catalogue entry of the role "video": a folder with an adapter alone is the classroom's, an entry
            with a `base` is an adapter over that picture model, anything else a Wan pipeline.
        device: "cpu" or "cuda"; on a GPU the weights are held in half precision.
    """
    gpu = device == "cuda"
    if e.base:
        pipe: Any = _animatediff(e, torch.float16 if gpu else torch.float32)
    elif (Path(e.source) / "config.json").exists():
        pipe = assemble_animatediff(Path(e.source))
    else:
        pipe = _wan(e, torch.bfloat16 if gpu else torch.float32)
    pipe.set_progress_bar_config(disable=True)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    return pipe.to(device)
