"""Speech in three levels, as AudioLM makes sound: meaning, then coarse codes, then fine ones."""

import threading
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from torch import Tensor

from pipelines.audio.request import AudioRequest, Sound
from pipelines.serving import catalogue
from pipelines.serving.catalogue import ModelEntry
from pipelines.serving.compute import on_short_lived_thread
from pipelines.serving.engine import starts_runs
from pipelines.serving.errors import InputError
from pipelines.serving.loading import check_memory, load, whole
from pipelines.serving.steps import Closable

_one_at_a_time = threading.Lock()  # the library draws from PyTorch's common random numbers
LEVELS = ("semantic", "coarse", "fine")


@dataclass(frozen=True)
class BarkVoice:
    """A loaded Bark; what it shares with `pipelines.audio.musicgen.AudioModel` has the same names.

    Attributes:
        model: `BarkModel` in eval mode.
        tokens: its tokenizer.
        settings: of the semantic, the coarse and the fine level, as the library's generation configurations.
    """

    model: Any
    tokens: Any
    settings: tuple[Any, Any, Any]

    @property
    def device(self) -> Any:
        return self.model.device

    @property
    def codebooks(self) -> int:
        return int(self.settings[2].n_fine_codebooks)

    @property
    def vocabulary(self) -> int:
        """Codes in a codebook."""
        return int(self.model.generation_config.codebook_size)

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.model.generation_config.sample_rate)

    @property
    def frame_rate(self) -> int:
        """Frames a second."""
        return int(self.settings[1].coarse_rate_hz)

    @property
    def cores(self) -> AbstractContextManager[None]:
        return nullcontext()

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """The sound of `[codebook, frame]` codes, `[sample]`; of some, what they hold."""
        return self.model.codec_decode(codes[None])[0].float()


@dataclass(frozen=True, eq=False)
class BarkLevel:
    """What there is after a level.

    Attributes:
        name: one of `LEVELS`.
        semantic: `[token]` int.
        codes: `[codebook, frame]` int; none after the first level, the first two codebooks after the second.
        frames: of the whole sound.
        sound: `[sample]` float32; empty before the last level.
    """

    name: str
    semantic: np.ndarray
    codes: np.ndarray
    frames: int
    sound: np.ndarray

    def semantic_by_frame(self) -> np.ndarray:
        """`[frame]` the semantic token of each frame; there are fewer tokens than frames."""
        places = np.arange(self.frames) * len(self.semantic) // max(1, self.frames)
        return self.semantic[places]


def bark_voice(model: str) -> BarkVoice:
    """The loaded voice of a catalogue id whose backend is "bark"; see `loading.load`."""
    return load(catalogue.entry(model, "audio"), load_bark, _download)


def _download(e: ModelEntry) -> None:
    check_memory(e)
    snapshot_download(e.source)


def speak(request: AudioRequest) -> Closable:
    """Make speech, level by level.

    Guidance does not apply: Bark has no branch without the prompt. `seconds` bounds the first level.

    Args:
        request: checked, for a model whose backend is "bark".

    Returns:
        Iterator of the three levels; `close()` between two of them stops the run.

    Raises:
        InputError: the model cannot be loaded, or `speech_empty`.
    """
    return _begin_all([request])[0]


@starts_runs("audio", bark_voice)
def _begin_all(requests: Sequence[AudioRequest]) -> list[Closable]:
    return [_levels(request) for request in requests]


def _levels(request: AudioRequest) -> Generator[BarkLevel, None, None]:
    voice = bark_voice(request.model)
    semantic, frames = _semantic(voice, request)
    if not frames:
        raise InputError("speech_empty", title=catalogue.entry(request.model).title)
    none = np.zeros((0, frames), np.int64)
    found = semantic[semantic != voice.settings[0].semantic_pad_token].numpy().astype(np.int64)
    yield BarkLevel("semantic", found, none, frames, np.zeros(0, np.float32))
    coarse = _coarse(voice, request, semantic)
    books = coarse.view(-1, voice.settings[1].n_coarse_codebooks).T
    codes = (books - voice.settings[0].semantic_vocab_size) % voice.vocabulary
    yield BarkLevel("coarse", found, codes.numpy(), frames, np.zeros(0, np.float32))
    fine, sound = _fine(voice, request, coarse)
    yield BarkLevel("fine", found, fine.numpy().astype(np.int64), frames, sound)


def run(request: AudioRequest) -> Sound:
    """Make speech at once; see `speak`."""
    last = list(speak(request))[-1]
    voice = bark_voice(request.model)
    return Sound(request, last.codes, last.sound, voice.sample_rate, voice.frame_rate)


def _drawing(request: AudioRequest) -> dict[str, Any]:
    """How the library shall draw codes."""
    if request.temperature == 0:
        return {"do_sample": False}
    return {"do_sample": True, "temperature": request.temperature, "top_k": request.top_k or None}


def _seeded(request: AudioRequest, level: int) -> None:
    torch.manual_seed((request.seed * 3 + level) % 2**63)


@on_short_lived_thread  # a level can take minutes: nobody else shall wait for it
@torch.inference_mode()
def _semantic(voice: BarkVoice, request: AudioRequest) -> tuple[Tensor, int]:
    """`[token]` with the end mark, and how many frames of sound they stand for."""
    semantic, coarse, _ = voice.settings
    words = voice.tokens(
        [request.prompt], return_tensors="pt", padding="max_length", truncation=True,
        max_length=semantic.max_input_semantic_length, add_special_tokens=False,
        return_attention_mask=True, return_token_type_ids=False,
    ).to(voice.device)  # fmt: skip
    with _one_at_a_time:
        _seeded(request, 0)
        found = voice.model.semantic.generate(
            words["input_ids"], attention_mask=words["attention_mask"], semantic_generation_config=semantic,
            max_new_tokens=max(1, round(request.seconds * semantic.semantic_rate_hz)), **_drawing(request),
        )[0].cpu()  # fmt: skip
    count = int((found != semantic.semantic_pad_token).sum())
    return found, int(count * coarse.coarse_rate_hz / semantic.semantic_rate_hz)


@on_short_lived_thread
@torch.inference_mode()
def _coarse(voice: BarkVoice, request: AudioRequest, semantic: Tensor) -> Tensor:
    """`[frame * codebook]` of the first codebooks, as the library numbers them."""
    with _one_at_a_time:
        _seeded(request, 1)
        return voice.model.coarse_acoustics.generate(
            semantic[None].clone().to(voice.device), semantic_generation_config=voice.settings[0],
            coarse_generation_config=voice.settings[1], codebook_size=voice.vocabulary, **_drawing(request),
        )[0].cpu()  # fmt: skip


@on_short_lived_thread
@torch.inference_mode()
def _fine(voice: BarkVoice, request: AudioRequest, coarse: Tensor) -> tuple[Tensor, np.ndarray]:
    """`[codebook, frame]` of all codebooks, and the sound; this level takes the likeliest codes, or draws."""
    semantic, coarsely, finely = voice.settings
    how = {} if request.temperature in (0, 1) else {"temperature": request.temperature}
    with _one_at_a_time:
        _seeded(request, 2)
        codes = voice.model.fine_acoustics.generate(
            coarse[None].to(voice.device), semantic_generation_config=semantic,
            coarse_generation_config=coarsely, fine_generation_config=finely,
            codebook_size=voice.vocabulary, **how,
        )[0]  # fmt: skip
    return codes.cpu(), voice.decode(codes).cpu().numpy()


def load_bark(e: ModelEntry, device: str) -> BarkVoice:
    """Load a Bark from a folder or from the hub; pickled weights only as far as they hold no code."""
    from transformers import AutoTokenizer, BarkModel
    from transformers.models.bark.generation_configuration_bark import (
        BarkCoarseGenerationConfig,
        BarkFineGenerationConfig,
        BarkSemanticGenerationConfig,
    )

    local = Path(e.source).is_dir()
    model = whole(BarkModel, e.source, local_files_only=local, weights_only=True)
    tokens = AutoTokenizer.from_pretrained(e.source, trust_remote_code=False, local_files_only=local)
    given = model.generation_config
    settings = (
        BarkSemanticGenerationConfig(**given.semantic_config),
        BarkCoarseGenerationConfig(**given.coarse_acoustics_config),
        BarkFineGenerationConfig(**given.fine_acoustics_config),
    )
    return BarkVoice(model.eval().requires_grad_(False).to(device), tokens, settings)
