"""The catalogue: the only place that knows a model's name. It loads none (`pipelines/serving/loading.py`)."""

import logging
import os
import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from huggingface_hub import try_to_load_from_cache
from pydantic import BaseModel, Field, ValidationError

from pipelines.serving.errors import InputError
from pipelines.serving.work import engine_name

log = logging.getLogger(__name__)
ASSETS = Path(__file__).parents[2] / "assets" / "models"
ROLES = ("clip", "dino", "image", "video", "audio")
GENERATORS = ("image", "video", "audio")
DENOISERS = ("unet", "joint", "cross")
TWO_BRANCHES, GUIDANCE_INPUT, NO_GUIDANCE = "branches", "input", "none"
GUIDANCE = (TWO_BRANCHES, GUIDANCE_INPUT, NO_GUIDANCE)
# Of each role, files of which one is there once a model was downloaded whole.
_WEIGHTS = {
    "clip": ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    "dino": ("model.safetensors",),
    "image": ("unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.safetensors",
              "transformer/diffusion_pytorch_model.safetensors",
              "transformer/diffusion_pytorch_model.safetensors.index.json"),
    "video": ("diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors",
              "transformer/diffusion_pytorch_model.safetensors.index.json"),
    "audio": ("model.safetensors", "pytorch_model.bin", "state_dict.bin"),
}  # fmt: skip


@dataclass(frozen=True)
class FrameRule:
    """What the films of a model are like.

    Attributes:
        count: pictures in a film unless more or fewer are asked for.
        most: pictures in a film at most.
        unit: px; sides are multiples of it.
        rate: pictures a second.
        held: pictures that one frame of latents holds, but for the first, which holds one.
        teraflop: of one guided step at the model's own size and number of pictures
            (`python -m benchmarks.true_films` counts them); 0 where a film takes seconds.
        gib: memory of the weights in half precision.
    """

    count: int
    most: int
    unit: int = 8
    rate: int = 8
    held: int = 1
    teraflop: float = 0.0
    gib: float = 0.0


@dataclass(frozen=True)
class ModelEntry:
    """One model that visitors can choose.

    Attributes:
        id: name used by the page and the API.
        role: what it does, one of `ROLES`.
        family: "classroom" (shipped), "hub" (downloaded by id) or "local" (added by whoever
            starts the app).
        title: name for people.
        source: hub id, or path of a local folder.
        licence: SPDX name or the publisher's own.
        parameters: number of weights.
        download_mb: size of the download in MB; 0 for models on disk.
        distilled: whether it was distilled to run without an unconditional branch (turbo
            models): its guidance views are approximations, and the page says so.
        backends: libraries that can run it, where there is a choice; the first is the usual one.
        base: of an adapter, hub id or folder of the model that it is put into.
        frame: of a model of the role "video", what its films are like.
        steps, guidance_scale: what a model of the role "image" draws well with.
        denoiser: of the role "image", how text reaches the picture: "unet" (cross-attention of a U-Net), "joint"
            (a transformer in which text and picture attend to each other) or "cross" (a transformer with
            cross-attention).
        guidance: of the role "image", what the guidance scale is: "branches" (the model is asked with and
            without the prompt), "input" (a number the distilled model is told) or "none" (distilled away).
        encoder: of the role "image", what reads the prompt.
        places: tokens that a model of the role "image" reads, where its tokenizer does not say; 0 where it does.
        largest_part: weights of the largest part of a transformer and its text encoders; 0 where nobody says.
    """

    id: str
    role: str
    family: str
    title: str
    source: str
    licence: str
    parameters: int
    download_mb: int = 0
    distilled: bool = False
    backends: tuple[str, ...] = ()
    base: str = ""
    frame: FrameRule | None = None
    steps: int = 20
    guidance_scale: float = 5.0
    denoiser: str = "unet"
    guidance: str = TWO_BRANCHES
    encoder: str = "CLIP"
    places: int = 0
    largest_part: int = 0

    @property
    def is_transformer(self) -> bool:
        """Of the role "image", whether the denoiser is a transformer, which has its own way with a prompt."""
        return self.denoiser != "unet"


_BUILT_IN = (
    ModelEntry("classroom-clip", "clip", "classroom", "Classroom CLIP", str(ASSETS / "clip"), "Apache-2.0", 7_986_817),
    ModelEntry("clip-vit-b-32", "clip", "hub", "OpenCLIP ViT-B/32 (LAION-2B)", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "MIT", 151_277_313, 605),
    ModelEntry("clip-xlm-roberta-b-32", "clip", "hub", "OpenCLIP XLM-RoBERTa ViT-B/32 (LAION-5B, multilingual)", "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k", "MIT", 366_120_000, 1465),
    ModelEntry("siglip2-b-32", "clip", "hub", "SigLIP 2 ViT-B/32 (multilingual)", "timm/ViT-B-32-SigLIP2-256", "Apache-2.0", 376_856_066, 1540),
    ModelEntry("classroom-dino", "dino", "classroom", "Classroom DINO", str(ASSETS / "dino"), "Apache-2.0", 1_224_704),
    ModelEntry("dinov2-small", "dino", "hub", "DINOv2 ViT-S/14", "facebook/dinov2-small", "Apache-2.0", 22_056_576, 88),
    ModelEntry("dinov2-registers-small", "dino", "hub", "DINOv2 with registers ViT-S/14", "facebook/dinov2-with-registers-small", "Apache-2.0", 22_058_112, 88),
    ModelEntry("dinov3-small", "dino", "hub", "DINOv3 ViT-S/16", "facebook/dinov3-vits16-pretrain-lvd1689m", "DINOv3 License (to be accepted)", 21_596_544, 86),
    ModelEntry("dino-vits8", "dino", "hub", "DINO ViT-S/8", "facebook/dino-vits8", "Apache-2.0", 21_670_272, 87),
    ModelEntry("classroom-image", "image", "classroom", "Classroom diffusion", str(ASSETS / "image"), "Apache-2.0", 7_242_123),
    ModelEntry("sd-turbo", "image", "hub", "SD-Turbo", "stabilityai/sd-turbo", "Stability AI Community", 1_290_000_000, 2580, distilled=True, steps=4, guidance_scale=1.0),
    ModelEntry("stable-diffusion-v1-5", "image", "hub", "Stable Diffusion 1.5", "stable-diffusion-v1-5/stable-diffusion-v1-5", "CreativeML OpenRAIL-M", 1_066_000_000, 2740),
    ModelEntry("sdxl-turbo", "image", "hub", "SDXL-Turbo", "stabilityai/sdxl-turbo", "Stability AI Community", 3_470_000_000, 6940, distilled=True, steps=4, guidance_scale=1.0),
    ModelEntry("sana-sprint-0.6b", "image", "hub", "SANA-Sprint 0.6B", "Efficient-Large-Model/Sana_Sprint_0.6B_1024px_diffusers", "NVIDIA NSCL v2-custom (non-commercial), Gemma", 3_520_093_379, 7700, distilled=True, steps=2, guidance_scale=4.5, denoiser="cross", guidance=GUIDANCE_INPUT, encoder="Gemma 2 2B", places=300, largest_part=2_614_341_888),
    ModelEntry("prx-256", "image", "hub", "PRX 256", "Photoroom/prx-256-t2i", "Apache-2.0, Gemma", 3_868_853_219, 7700, steps=28, guidance_scale=5.0, denoiser="cross", encoder="T5Gemma 2B", largest_part=2_614_341_888),
    ModelEntry("flux-2-klein-4b", "image", "hub", "FLUX.2 klein 4B", "black-forest-labs/FLUX.2-klein-4B", "Apache-2.0", 7_982_058_787, 16000, distilled=True, steps=4, guidance_scale=1.0, denoiser="joint", guidance=NO_GUIDANCE, encoder="Qwen3 4B", places=512, largest_part=4_022_468_096),
    ModelEntry("stable-diffusion-3.5-medium", "image", "hub", "Stable Diffusion 3.5 medium", "stabilityai/stable-diffusion-3.5-medium", "Stability AI Community (to be accepted)", 7_907_612_003, 16300, steps=28, guidance_scale=4.5, denoiser="joint", encoder="CLIP ViT-L, CLIP ViT-G, T5 XXL", largest_part=4_762_310_656),
    ModelEntry("classroom-video", "video", "classroom", "Classroom films (AnimateDiff)", str(ASSETS / "motion"), "Apache-2.0", 9_695_307, frame=FrameRule(16, 32)),
    ModelEntry("animatediff-v1-5-3", "video", "hub", "AnimateDiff v3 on Stable Diffusion 1.5", "guoyww/animatediff-motion-adapter-v1-5-3", "Apache-2.0, CreativeML OpenRAIL-M", 1_483_372_907, 3600, base="stable-diffusion-v1-5/stable-diffusion-v1-5", frame=FrameRule(16, 32, teraflop=35.3, gib=2.8)),
    ModelEntry("wan-2.1-1.3b", "video", "hub", "Wan 2.1 1.3B (space-time patches)", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "Apache-2.0", 7_226_799_667, 29000, frame=FrameRule(81, 81, 16, 16, 4, teraflop=566.0, gib=13.5)),
    ModelEntry("classroom-audio", "audio", "classroom", "Classroom MusicGen", str(ASSETS / "audio"), "Apache-2.0", 3_428_282, backends=("transformers", "audiocraft")),
    ModelEntry("musicgen-small", "audio", "hub", "MusicGen small", "facebook/musicgen-small", "CC-BY-NC-4.0", 591_000_000, 2360, backends=("transformers", "audiocraft")),
    ModelEntry("audiogen-medium", "audio", "hub", "AudioGen medium (sounds)", "facebook/audiogen-medium", "CC-BY-NC-4.0", 1_500_000_000, 3700, backends=("audiocraft",)),
    ModelEntry("bark-small", "audio", "hub", "Bark small (speech)", "suno/bark-small", "MIT", 415_000_000, 1680, backends=("bark",)),
)  # fmt: skip


class ModelsFileError(ValueError):
    """The file named by `STEUERVEKTOR_MODELS` cannot be used; the message is for whoever starts the app."""


def check_added() -> None:
    """Read the models that whoever starts the app adds.

    Raises:
        ModelsFileError: their file is missing, or holds something else.
    """
    _added()


class _Row(BaseModel, extra="forbid"):
    """What a row of that file may say; see `ModelEntry`."""

    id: Annotated[str, Field(min_length=1)]
    role: Literal["clip", "dino", "image", "video", "audio"]
    source: Annotated[str, Field(min_length=1)]
    licence: str
    family: str | None = None
    title: str | None = None
    parameters: Annotated[int, Field(ge=0)] | None = None
    download_mb: Annotated[int, Field(ge=0)] | None = None
    distilled: bool | None = None
    backends: tuple[str, ...] | None = None
    base: str | None = None
    frame: FrameRule | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    guidance_scale: Annotated[float, Field(ge=0)] | None = None
    denoiser: Literal["unet", "joint", "cross"] | None = None
    guidance: Literal["branches", "input", "none"] | None = None
    encoder: str | None = None
    places: Annotated[int, Field(ge=0)] | None = None
    largest_part: Annotated[int, Field(ge=0)] | None = None

    def entry(self) -> ModelEntry:
        """What it says, and where it says nothing, what is usual for its kind of model."""
        usual: dict[str, Any] = {
            "family": "local" if Path(self.source).is_dir() else "hub", "title": self.id, "parameters": 0,
        }  # fmt: skip
        if self.role == "audio":
            usual["backends"] = ("transformers",)
        if self.role == "video":
            usual["frame"] = FrameRule(16, 32)
        if self.distilled:
            usual |= {"steps": 4, "guidance_scale": 1.0}
        return ModelEntry(**usual | {name: said for name, said in self if said is not None})


class _ModelsFile(BaseModel, extra="forbid"):
    model: Annotated[list[_Row], Field(min_length=1)]


def _read_rows(path: str) -> list[_Row]:
    """The rows of the file, checked.

    Raises:
        ModelsFileError: see `check_added`.
    """
    wanted = (
        "STEUERVEKTOR_MODELS has to name a TOML file with a table [[model]] for each model (id, role, source "
        "and licence; docs/hub_models.md)"
    )
    then = "Correct the file or unset the variable, and start again."
    try:
        with open(path, "rb") as file:
            read = _ModelsFile.model_validate(tomllib.load(file))
    except OSError as error:
        raise ModelsFileError(f"{wanted}; {path!r} cannot be read: {error.strerror}. {then}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(n + 1) if isinstance(n, int) else str(n) for n in first["loc"])
        raise ModelsFileError(f"{wanted}; in {path!r}, {place}: {first['msg']}. {then}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise ModelsFileError(f"{wanted}; {path!r} is no TOML: {error}. {then}") from error
    return read.model


_taken_over: tuple[ModelEntry, ...] | None = None


def take_over(entries: tuple[ModelEntry, ...]) -> None:
    """Know the models that another process's catalogue has added, for which this one computes."""
    global _taken_over
    _taken_over = entries


def added() -> tuple[ModelEntry, ...]:
    """Entries beside those of the app."""
    return _added() if _taken_over is None else _taken_over


@lru_cache(maxsize=1)
def _added() -> tuple[ModelEntry, ...]:
    """Entries of the TOML file named by `STEUERVEKTOR_MODELS`, if whoever started the app gave one."""
    path = os.environ.get("STEUERVEKTOR_MODELS")
    if not path:
        return ()
    return tuple(row.entry() for row in _read_rows(path))


def entries(role: str | None = None) -> tuple[ModelEntry, ...]:
    """All models, or those of one role; the classroom model comes first."""
    return tuple(e for e in (*_BUILT_IN, *added()) if role in (None, e.role))


def entry(model: str, role: str | None = None) -> ModelEntry:
    """The entry with this id.

    Raises:
        InputError: `model_unknown` if the catalogue has no such model of this role.
    """
    known = entries(role)
    for candidate in known:
        if candidate.id == model:
            return candidate
    raise InputError("model_unknown", received=model, known=", ".join(e.id for e in known))


def device() -> str:
    """Where models run: on a GPU of CUDA where there is one, else on the processor.

    `STEUERVEKTOR_DEVICE` ("cpu", "cuda", "mps") names another, which is taken if it is there. A Mac's GPU ("mps") is
    never taken unasked: nobody has tried the models on it, and the classroom's answer at once without it.
    """
    usual = "cuda" if torch.cuda.is_available() else "cpu"
    asked = os.environ.get("STEUERVEKTOR_DEVICE") or usual
    if asked in ("cpu", usual) or (asked == "mps" and torch.backends.mps.is_available()):
        return asked
    _say_missing(asked, usual)
    return usual


def shares_gpu(e: ModelEntry) -> bool:
    """Whether a model computes where a GPU is lent to each run, on a Space of the kind ZeroGPU."""
    return engine_name() == "zerogpu" and e.role in GENERATORS and e.family != "classroom"


def entry_device(e: ModelEntry) -> str:
    """Where a model runs: as `device` says, but on the processor where a GPU is only lent to others."""
    return "cpu" if engine_name() == "zerogpu" and not shares_gpu(e) else device()


@cache
def _say_missing(asked: str, taken: str) -> None:
    """Once, in the log."""
    log.warning("STEUERVEKTOR_DEVICE is %r, which is not there; models run on %s", asked, taken)


def on_disk(e: ModelEntry) -> bool:
    """Whether a model can be loaded without a download; asks the disk, never the network."""
    if e.family != "hub":
        return Path(e.source).is_dir()
    parts = [(e.source, e.role), *([(e.base, "image")] if e.base else [])]
    return all(
        any(isinstance(try_to_load_from_cache(source, file), str) for file in _WEIGHTS[role])
        for source, role in parts
    )


def default_id(role: str) -> str:
    """The preselected model of a role.

    `STEUERVEKTOR_FAMILY` ("classroom", "hub" or a family of added models) decides. Without it, a model of the
    hub is preselected where there is a GPU and it was downloaded before, the classroom's elsewhere: nothing is
    downloaded before somebody chooses it.
    """
    family = os.environ.get("STEUERVEKTOR_FAMILY")
    if family:
        fitting = [e for e in entries(role) if e.family == family]
    else:
        gpu = device() == "cuda"
        fitting = [e for e in entries(role) if gpu and e.family == "hub" and on_disk(e)]
    return (fitting or entries(role))[0].id


def backends_of(e: ModelEntry) -> tuple[str, ...]:
    """The libraries that can run a model here; audiocraft is left out where it is not installed."""
    return tuple(b for b in e.backends if b != "audiocraft" or find_spec("audiocraft") is not None)
