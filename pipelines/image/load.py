"""Loading the picture models: a diffusers folder, with CLIP's text tower put in where it is shared."""

import inspect
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    AutoPipelineForText2Image,
    DDIMScheduler,
    DiffusionPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from pipelines.clip.convert import clip_tokenizer, text_encoder_of
from pipelines.image.families.choice import TRANSFORMER_PIPELINES
from pipelines.image.offload import take_turns
from pipelines.serving.catalogue import ASSETS, ModelEntry, device, entry
from pipelines.serving.loading import check_memory, fits, load, offloads


def classroom_scheduler() -> DDIMScheduler:
    """The noise schedule of the classroom model.

    Velocity prediction with zero terminal SNR: at the last timestep nothing of the picture is
    left, so the model must read its brightness from the text. `clip_sample` must be off: latents
    have unit deviation, and clipping them to -1..1 turns every picture to mush.

    Source: Lin et al. 2023, arXiv:2305.08891, sections 3.1 to 3.3.
    """
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,  # unused by trailing timesteps; the pipeline warns of any other value
    )


def assemble(folder: Path) -> StableDiffusionPipeline:
    """The classroom pipeline: its own autoencoder and U-Net, the classroom CLIP's text tower."""
    import open_clip

    clip, _, _ = open_clip.create_model_and_transforms(f"local-dir:{ASSETS / 'clip'}")
    pipe = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32),
        text_encoder=text_encoder_of(clip.float()),
        tokenizer=clip_tokenizer(),
        unet=UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32),
        scheduler=classroom_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return pipe


def weight_type(e: ModelEntry, device: str) -> torch.dtype:
    """How a model's weights are held: halved on a GPU, and where they would not fit otherwise.

    Transformers are published in bfloat16, whose range float16 lacks.
    """
    if e.denoiser == "unet":
        return torch.float16 if device == "cuda" else torch.float32
    return torch.float32 if device == "cpu" and fits(e, torch.float32.itemsize) else torch.bfloat16


def _from_pretrained(e: ModelEntry, device: str) -> Any:
    """A published pipeline, from the hub or from a folder, in half precision where it is offered.

    The safety checker is left out: pictures leave the stepper as latents, which it never sees, and
    it is 1.2 GB. Autoencoders that overflow in half precision (SDXL's) are held in full precision.
    """
    source = e.source
    config = DiffusionPipeline.load_config(source)
    unchecked = {"safety_checker": None, "requires_safety_checker": False}
    settings = {
        "torch_dtype": weight_type(e, device),
        "use_safetensors": True,
        **(unchecked if "safety_checker" in config else {}),
    }
    if config["_class_name"] in TRANSFORMER_PIPELINES:
        return DiffusionPipeline.from_pretrained(source, **settings)
    try:
        pipe = AutoPipelineForText2Image.from_pretrained(source, variant="fp16", **settings)
    except (ValueError, OSError):  # not every publisher offers a half-size copy
        pipe = AutoPipelineForText2Image.from_pretrained(source, **settings)
    if device == "cuda" and hasattr(pipe, "upcast_vae"):
        pipe.vae.to(torch.float32)
    return pipe


def image_pipeline(model: str) -> Any:
    """The loaded diffusers pipeline of a catalogue id.

    Raises:
        InputError: `model_unknown` for an id of another role, `model_needs_memory`, and what `loading.load`
            raises.
    """
    return load(entry(model, "image"), load_diffusion, _bring)


def tokenizers_of(model: str) -> Any:
    """The pipeline of a transformer's catalogue id without its weights: enough to split texts.

    Raises:
        InputError: what `image_pipeline` raises, but `model_needs_memory`.
    """
    return load(entry(model, "image"), _without_weights, part="+tokenizers")


def _without_weights(e: ModelEntry, device: str) -> Any:
    config = DiffusionPipeline.load_config(e.source)
    parts: dict[str, Any] = {}
    for name in inspect.signature(_class_of(config).__init__).parameters.keys() & config.keys():
        known = config[name]
        if not isinstance(known, list | tuple):
            parts[name] = known  # a flag, such as whether the model is distilled
        elif name.startswith("tokenizer") and known[1]:
            kind = getattr(transformers, known[1])
            parts[name] = kind.from_pretrained(e.source, subfolder=name)
        else:
            parts[name] = None
    return _class_of(config)(**parts)


def _class_of(config: dict[str, Any]) -> Any:
    """The class of one of the transformers' pipelines, by the name in its index.

    Raises:
        ValueError: it is the index of another pipeline.
    """
    name = config["_class_name"]
    if name not in TRANSFORMER_PIPELINES:
        raise ValueError(f"{name} is no pipeline of a transformer")
    return getattr(diffusers, name)


def parts_take_turns(model: str) -> bool:
    """Whether a model's parts will come to the GPU one after the other, said before anything is downloaded.

    Args:
        model: catalogue id of any role.
    """
    e = entry(model)
    return e.role == "image" and offloads(e, weight_type(e, device()).itemsize)


def _bring(e: ModelEntry) -> None:
    """Download a model, unless it could not run here."""
    check_memory(e, weight_type(e, device()).itemsize)
    download_pipeline(e.source)


def download_pipeline(source: str) -> None:
    """Bring the files of a published pipeline that `load_diffusion` reads, and no others."""
    config = DiffusionPipeline.load_config(source)
    if config["_class_name"] in TRANSFORMER_PIPELINES:
        DiffusionPipeline.download(source, use_safetensors=True)
        return
    unchecked = {"safety_checker": None} if "safety_checker" in config else {}
    try:
        DiffusionPipeline.download(source, variant="fp16", use_safetensors=True, **unchecked)
    except (ValueError, OSError) as error:  # not every publisher offers a half-size copy
        if isinstance(error, HfHubHTTPError | LocalEntryNotFoundError):
            raise
        DiffusionPipeline.download(source, use_safetensors=True, **unchecked)


def load_diffusion(e: ModelEntry, device: str) -> Any:
    """Load a diffusers text-to-image pipeline; safetensors only, never remote code.

    Args:
        e: a catalogue entry of the role "image".
        device: "cpu" or "cuda"; on a GPU the weights are held in half precision, and where they do not find
            room there together, its parts take turns.
    """
    folder = Path(e.source)
    if folder.is_dir() and not (folder / "model_index.json").exists():
        pipe: Any = assemble(folder)
    else:
        pipe = _from_pretrained(e, device)
    pipe.set_progress_bar_config(disable=True)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    if offloads(e, weight_type(e, device).itemsize):
        take_turns(pipe, device)
        return pipe
    return pipe.to(device)
