"""The catalogue: the only place that knows a model's name, and the only place that loads one."""

import os
import threading
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch

from pipelines.serving.compute import on_passing_thread
from pipelines.serving.errors import InputError

ASSETS = Path(__file__).parents[2] / "assets" / "models"
T = TypeVar("T")
ROLES = ("clip", "dino", "image", "video", "audio")


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


_BUILT_IN = (
    ModelEntry("classroom-clip", "clip", "classroom", "Classroom CLIP", str(ASSETS / "clip"), "Apache-2.0", 7_986_817),
    ModelEntry("clip-vit-b-32", "clip", "hub", "OpenCLIP ViT-B/32 (LAION-2B)", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "MIT", 151_277_313, 605),
    ModelEntry("clip-xlm-roberta-b-32", "clip", "hub", "OpenCLIP XLM-RoBERTa ViT-B/32 (LAION-5B, German too)", "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k", "MIT", 366_120_000, 1465),
    ModelEntry("classroom-dino", "dino", "classroom", "Classroom DINO", str(ASSETS / "dino"), "Apache-2.0", 1_224_704),
    ModelEntry("dinov2-small", "dino", "hub", "DINOv2 ViT-S/14", "facebook/dinov2-small", "Apache-2.0", 22_056_576, 88),
    ModelEntry("dino-vits8", "dino", "hub", "DINO ViT-S/8", "facebook/dino-vits8", "Apache-2.0", 21_670_272, 87),
    ModelEntry("classroom-image", "image", "classroom", "Classroom diffusion", str(ASSETS / "image"), "Apache-2.0", 7_242_123),
    ModelEntry("sd-turbo", "image", "hub", "SD-Turbo", "stabilityai/sd-turbo", "Stability AI Community", 1_290_000_000, 2580, distilled=True),
    ModelEntry("stable-diffusion-v1-5", "image", "hub", "Stable Diffusion 1.5", "stable-diffusion-v1-5/stable-diffusion-v1-5", "CreativeML OpenRAIL-M", 1_066_000_000, 2740),
    ModelEntry("sdxl-turbo", "image", "hub", "SDXL-Turbo", "stabilityai/sdxl-turbo", "Stability AI Community", 3_470_000_000, 6940, distilled=True),
    ModelEntry("classroom-video", "video", "classroom", "Classroom films (AnimateDiff)", str(ASSETS / "motion"), "Apache-2.0", 9_695_307, frame=FrameRule(16, 32)),
    ModelEntry("animatediff-v1-5-3", "video", "hub", "AnimateDiff v3 on Stable Diffusion 1.5", "guoyww/animatediff-motion-adapter-v1-5-3", "Apache-2.0, CreativeML OpenRAIL-M", 1_483_372_907, 3600, base="stable-diffusion-v1-5/stable-diffusion-v1-5", frame=FrameRule(16, 32, teraflop=35.3, gib=2.8)),
    ModelEntry("wan-2.1-1.3b", "video", "hub", "Wan 2.1 1.3B (space-time patches)", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "Apache-2.0", 7_226_799_667, 29000, frame=FrameRule(81, 81, 16, 16, 4, teraflop=566.0, gib=13.5)),
    ModelEntry("classroom-audio", "audio", "classroom", "Classroom MusicGen", str(ASSETS / "audio"), "Apache-2.0", 3_428_282, backends=("transformers", "audiocraft")),
    ModelEntry("musicgen-small", "audio", "hub", "MusicGen small", "facebook/musicgen-small", "CC-BY-NC-4.0", 591_000_000, 2360, backends=("transformers", "audiocraft")),
    ModelEntry("audiogen-medium", "audio", "hub", "AudioGen medium (sounds)", "facebook/audiogen-medium", "CC-BY-NC-4.0", 1_500_000_000, 3700, backends=("audiocraft",)),
    ModelEntry("bark-small", "audio", "hub", "Bark small (speech)", "suno/bark-small", "MIT", 415_000_000, 1680, backends=("bark",)),
)  # fmt: skip


@lru_cache(maxsize=1)
def _added() -> tuple[ModelEntry, ...]:
    """Entries of the TOML file named by `STEUERVEKTOR_MODELS`, if whoever started the app gave one."""
    path = os.environ.get("STEUERVEKTOR_MODELS")
    if not path:
        return ()
    with open(path, "rb") as file:
        rows = tomllib.load(file)["model"]
    return tuple(
        ModelEntry(
            id=row["id"],
            role=row["role"],
            family="local" if Path(row["source"]).is_dir() else "hub",
            title=row.get("title", row["id"]),
            source=row["source"],
            licence=row["licence"],
            parameters=row.get("parameters", 0),
            download_mb=row.get("download_mb", 0),
            distilled=row.get("distilled", False),
            backends=tuple(row.get("backends", ("transformers",) if row["role"] == "audio" else ())),
            base=row.get("base", ""),
            frame=FrameRule(**row.get("frame", {"count": 16, "most": 32}))
            if row["role"] == "video"
            else None,
        )
        for row in rows
    )


def catalogue(role: str | None = None) -> tuple[ModelEntry, ...]:
    """All models, or those of one role; the classroom model comes first."""
    return tuple(e for e in (*_BUILT_IN, *_added()) if role in (None, e.role))


def entry(model: str, role: str | None = None) -> ModelEntry:
    """The entry with this id.

    Raises:
        InputError: `model_unknown` if the catalogue has no such model of this role.
    """
    entries = catalogue(role)
    for candidate in entries:
        if candidate.id == model:
            return candidate
    raise InputError("model_unknown", received=model, known=", ".join(e.id for e in entries))


def device() -> str:
    """Where models run."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def default_id(role: str) -> str:
    """The preselected model of a role.

    `STEUERVEKTOR_FAMILY` ("classroom" or "hub") decides; without it, the hub's models are
    preselected where there is a GPU and the app may go online, the classroom's elsewhere.
    """
    family = os.environ.get("STEUERVEKTOR_FAMILY") or (
        "hub" if torch.cuda.is_available() and not os.environ.get("HF_HUB_OFFLINE") else "classroom"
    )
    return next((e for e in catalogue(role) if e.family == family), catalogue(role)[0]).id


def _load_clip(e: ModelEntry) -> Any:
    from pipelines.clip.model import load_clip

    return load_clip(e, device())


def _load_image(e: ModelEntry) -> Any:
    from pipelines.image.load import load_diffusion

    return load_diffusion(e, device())


def _load_dino(e: ModelEntry) -> Any:
    from pipelines.dino.model import load_vision

    return load_vision(e, device())


def _load_video(e: ModelEntry) -> Any:
    from pipelines.video.load import load_film_model

    return load_film_model(e, device())


def _load_audio(e: ModelEntry) -> Any:
    from pipelines.audio.musicgen import load_audio

    return load_audio(e, device())


_LOADERS: dict[str, Callable[[ModelEntry], Any]] = {
    "clip": _load_clip,
    "dino": _load_dino,
    "image": _load_image,
    "video": _load_video,
    "audio": _load_audio,
}
_loaded: dict[str, Any] = {}
_lock = threading.RLock()  # one load at a time: libraries build models under settings of all threads
LOAD_S = 20.0  # s after which a load is a download, which sets nothing


def load(model: str) -> Any:
    """Load a model of the catalogue once; later calls return the same object.

    Args:
        model: id of a catalogue entry.

    Returns:
        For the role "clip" a `pipelines.clip.model.Clip`, for "dino" a `pipelines.dino.model.Vision`, for "image" a
        diffusers pipeline, for "audio" a `pipelines.audio.musicgen.AudioModel`.

    Raises:
        InputError: `model_unknown`; `model_needs_network` if it must be downloaded and cannot;
            `model_broken` if its files cannot be read.
    """
    if model in _loaded:  # not behind the lock: another model's download must keep nobody waiting
        return _loaded[model]
    e = entry(model)
    with _lock:
        if model not in _loaded:
            try:
                _loaded[model] = on_passing_thread(_LOADERS[e.role])(e)
            except InputError:
                raise
            except Exception as error:
                if e.family == "hub":
                    raise InputError(
                        "model_needs_network", title=e.title, download_gb=round(e.download_mb / 1000, 1)
                    ) from error
                raise InputError("model_broken", title=e.title, reason=type(error).__name__) from error
        return _loaded[model]


def apart_from_loads(make: Callable[[], T]) -> T:
    """Make a model of one's own while none is loaded on another thread.

    While diffusers loads one, the parameters of whatever module is built, on any thread, are left without
    storage (accelerate's `init_empty_weights`). Not for the compute thread, since this waits up to `LOAD_S`.

    Args:
        make: builds it; called on a passing thread.
    """
    alone = _lock.acquire(timeout=LOAD_S)
    try:
        return on_passing_thread(make)()
    finally:
        if alone:
            _lock.release()


def is_loaded(model: str) -> bool:
    """Whether `load(model)` would return at once."""
    return model in _loaded


def unload(model: str) -> None:
    """Forget a loaded model, so that its memory can be used for another."""
    _loaded.pop(model, None)
