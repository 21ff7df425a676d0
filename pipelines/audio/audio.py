"""Text to sound, frame by frame: what the model expects next, what is drawn, what is heard so far."""

import time
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from torch import Tensor

from pipelines.audio.audiocraft_backend import AudiocraftModel, load_audiogen, to_audiocraft
from pipelines.audio.bark import load_bark
from pipelines.audio.musicgen import AudioModel, CodeRun, load_musicgen
from pipelines.audio.request import AudioFrame, AudioRequest, Sound
from pipelines.serving import catalogue
from pipelines.serving.catalogue import ModelEntry
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.engine import starts_runs, whole_call
from pipelines.serving.errors import InputError
from pipelines.serving.loading import check_memory, load
from pipelines.serving.steps import Closable

_TURN = 0.1  # s on the compute thread before others have their turn
_HEARD_EVERY = 25  # frames between two chunks of sound


def audio_model(model: str) -> Any:
    """The loaded model of a catalogue id: an `AudioModel`, an `AudiocraftModel` or a `BarkVoice`.

    Raises:
        InputError: `model_unknown` for an id of another role, `audiocraft_missing`, and what `loading.load`
            raises.
    """
    return load(catalogue.entry(model, "audio"), _make, _download)


def _make(e: ModelEntry, device: str) -> Any:
    if "bark" in e.backends:
        return load_bark(e, device)
    if "transformers" not in e.backends:
        return load_audiogen(e, device)
    return load_musicgen(e, device)


def _download(e: ModelEntry) -> None:
    check_memory(e)
    kinds = ["*.json", "*.txt", "*.model", "*.safetensors"]
    snapshot_download(e.source, allow_patterns=kinds if "transformers" in e.backends else None)


def audiocraft_twin(model: str) -> AudiocraftModel:
    """A model in audiocraft; a MusicGen of transformers shares text encoder and codec with its twin there."""
    loaded = audio_model(model)
    if isinstance(loaded, AudiocraftModel):
        return loaded
    e = catalogue.entry(model, "audio")
    return load(e, lambda e, device: AudiocraftModel(to_audiocraft(loaded), device), part="+audiocraft")


def generate(request: AudioRequest, given: np.ndarray | None = None) -> Closable:
    """Make one sound, frame by frame.

    Args:
        request: checked here, before the first step.
        given: `[codebook, frame]` codes of a clip (`encode_clip`) that the sound goes on from; the steps that
            would have made it are left out.

    Returns:
        Iterator of `AudioFrame`; `close()` stops the run.

    Raises:
        InputError: a value cannot be used, the model cannot be loaded, `clip_codes_foreign`, or
            `audio_kind_closed` for a model that makes sound in levels (`pipelines/audio/bark.py`).
    """
    request = request.validated()
    if request.backend == "bark":
        raise InputError("audio_kind_closed", title=catalogue.entry(request.model).title)
    return _begin_all([(request, given)])[0]


@starts_runs("audio", audio_model)
def _begin_all(requests: Sequence[tuple[AudioRequest, np.ndarray | None]]) -> list[Closable]:
    return [_begin_one(request, given) for request, given in requests]


def _begin_one(request: AudioRequest, given: np.ndarray | None) -> Generator[AudioFrame, None, None]:
    loaded = audio_model(request.model)
    twin = audiocraft_twin(request.model) if request.backend == "audiocraft" else loaded
    return _frames(request, loaded, twin, _checked(given, loaded))


def run(request: AudioRequest, given: np.ndarray | None = None) -> Sound:
    """Make one sound at once; see `generate`."""
    request = request.validated()
    return finish(request, list(generate(request, given)), given)


def finish(request: AudioRequest, frames: Sequence[AudioFrame], given: np.ndarray | None = None) -> Sound:
    """The sound of a run, whole or stopped.

    Args:
        request: checked.
        frames: all that came of the run, at least one.
        given: what the run went on from.
    """
    loaded = audio_model(request.model)
    last = frames[-1]
    if last.index + 1 == last.total:
        samples = np.concatenate([frame.sound for frame in frames])
    else:
        samples = hear(last.codes, request.model)
    count = 0 if given is None else min(given.shape[1], last.codes.shape[1])
    return Sound(request, last.codes, samples, loaded.sample_rate, loaded.frame_rate, count)


@whole_call("audio", audio_model)
@on_compute_thread
def hear(codes: np.ndarray, model: str) -> np.ndarray:
    """The sound of codes, or of the first codebooks alone: from coarse to fine, each adds what is missing.

    Args:
        codes: `[codebook, frame]`, all codebooks or the first ones.
        model: catalogue id of the role "audio".

    Returns:
        `[sample]` float32 at the model's sample rate.
    """
    if not codes.size:
        return np.zeros(0, np.float32)
    loaded = audio_model(model)
    with loaded.cores:
        return loaded.decode(torch.from_numpy(codes).to(loaded.device)).cpu().numpy()


@whole_call("audio", audio_model)
@on_compute_thread
def encode_clip(samples: np.ndarray, model: str) -> np.ndarray:
    """The codes of a clip, which a sound can go on from.

    Args:
        samples: `[sample]` float32 at the model's sample rate.
        model: catalogue id of the role "audio".

    Returns:
        `[codebook, frame]` int; what does not fill a frame is left out.
    """
    loaded = audio_model(model)
    if not hasattr(loaded, "encode"):
        raise InputError("clip_not_continued", title=catalogue.entry(model).title)
    hop = loaded.sample_rate // loaded.frame_rate
    frames = len(samples) // hop
    if not frames:
        return np.zeros((loaded.codebooks, 0), np.int64)
    with loaded.cores:
        return loaded.encode(torch.from_numpy(samples[: frames * hop])).cpu().numpy()


def _checked(given: np.ndarray | None, loaded: AudioModel) -> Tensor:
    """Codes to go on from, `[codebook, frame]`; none without a clip."""
    if given is None:
        return torch.zeros(loaded.codebooks, 0, dtype=torch.long)
    codes = torch.from_numpy(np.asarray(given)).long()
    fits = codes.ndim == 2 and len(codes) == loaded.codebooks
    if not fits or (codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < loaded.pad):
        raise InputError("clip_codes_foreign")
    return codes


def _frames(
    request: AudioRequest, loaded: AudioModel, twin: Any, given: Tensor
) -> Generator[AudioFrame, None, None]:
    count = max(1, round(request.seconds * loaded.frame_rate))
    writer = _Writer(request, loaded, given, count)
    begun = _begin(request.prompt, twin)
    index = writer.given
    while index < writer.total:
        steps = writer.turn(index, begun)
        index += len(steps)
        yield from steps


@on_compute_thread
def _begin(prompt: str, loaded: Any) -> CodeRun:
    with loaded.cores:
        return loaded.begin(prompt)


def delayed(codes: Tensor, pad: int) -> Tensor:
    """The steps in which a model reads and says codes: codebook k is k steps behind the first one.

    It reads all steps but the last, and says all but the first, each after those before it.

    Args:
        codes: `[..., codebook, frame]`.
        pad: the code that fills the gaps, and the step before the first.

    Returns:
        `[..., codebook, frame + codebooks]`.

    Source: Copet et al. 2023 (MusicGen), arXiv:2306.05284, section 2.2, "delay".
    """
    *batch, books, frames = codes.shape
    out = codes.new_full((*batch, books, frames + books), pad)
    for book in range(books):
        out[..., book, book + 1 : book + 1 + frames] = codes[..., book, :]
    return out


class _Writer:
    """The codes of one run so far, and the draw of the next."""

    def __init__(self, request: AudioRequest, loaded: AudioModel, given: Tensor, frames: int) -> None:
        from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper

        self.request, self.loaded = request, loaded
        self.given, self.frames = given.shape[1], given.shape[1] + frames
        self.total = self.frames + loaded.codebooks - 1
        self.codes = torch.zeros(loaded.codebooks, self.frames, dtype=torch.long)
        self.codes[:, : self.given] = given
        self.next = delayed(given, loaded.pad)[:, : self.given + 1]
        self.generator = torch.Generator().manual_seed(request.seed)
        self.warp = LogitsProcessorList()
        if request.temperature not in (0, 1):
            self.warp.append(TemperatureLogitsWarper(request.temperature))
        if request.top_k:
            self.warp.append(TopKLogitsWarper(request.top_k))
        self.heard = 0  # frames

    @on_compute_thread
    @torch.inference_mode()
    def turn(self, index: int, begun: CodeRun) -> list[AudioFrame]:
        """Some steps at once, a tenth of a second's worth.

        A step is short, those of other visitors' pictures are long: were it one for one, a sound would take
        longer to make than to hear as soon as somebody draws.
        """
        steps: list[AudioFrame] = []
        until = time.monotonic() + _TURN
        with self.loaded.cores:
            while index + len(steps) < self.total and (not steps or time.monotonic() < until):
                steps.append(self._write(index + len(steps), begun))
        return steps

    def _write(self, index: int, begun: CodeRun) -> AudioFrame:
        """One step: ask the model, classifier_free_guidance, draw, and note."""
        prompt, empty = begun.step(self.next.to(self.loaded.device)).cpu()
        guided = classifier_free_guidance(prompt, empty, self.request.guidance_scale)
        warped = self.warp(None, guided)
        if self.request.temperature == 0:
            drawn = warped.argmax(1)
        else:
            drawn = torch.multinomial(warped.softmax(1), 1, generator=self.generator)[:, 0]
        takes_part = self._note(index, drawn)
        complete = max(self.given, index - self.loaded.codebooks + 2)
        return AudioFrame(
            index,
            self.total,
            self.codes[:, :complete].numpy().copy(),
            torch.where(takes_part, drawn, -1).numpy(),
            _probabilities(prompt, takes_part),
            _probabilities(empty, takes_part),
            _probabilities(guided, takes_part),
            _probabilities(warped, takes_part),
            self._listen(complete),
        )

    def _note(self, index: int, drawn: Tensor) -> Tensor:
        """Put the codes of one step in their places; `[codebook]` whether each takes part."""
        books = torch.arange(self.loaded.codebooks)
        places = index - books
        takes_part = (places >= self.given) & (places < self.frames)
        self.codes[books[takes_part], places[takes_part]] = drawn[takes_part]
        there = (places >= 0) & (places < self.frames)
        codes = self.codes[books, places.clamp(0, self.frames - 1)]
        self.next = torch.where(there, codes, self.loaded.pad)[:, None]
        return takes_part

    def _listen(self, complete: int) -> np.ndarray:
        """The sound of the frames since the last chunk, if it is time for one.

        The classroom's codec looks back only, so that what was heard once stays as it is; of one that looks
        ahead, the newest frames wait. All is decoded from the beginning each time, since it remembers.
        """
        done = complete == self.frames
        sure = complete if done else complete - self.loaded.lookahead
        if sure <= self.heard or (complete % _HEARD_EVERY and not done):
            return np.zeros(0, np.float32)
        samples = self.loaded.decode(self.codes[:, :complete].to(self.loaded.device)).cpu()
        begin, end = (len(samples) * frames // complete for frames in (self.heard, sure))
        self.heard = sure
        return samples[begin:end].numpy()


def classifier_free_guidance(prompt: Tensor, empty: Tensor, scale: float) -> Tensor:
    """Logits pushed from those without the prompt towards those with it.

    Source: Ho & Salimans 2022, arXiv:2207.12598, eq. 6, for logits as in Kreuk et al. 2022 (AudioGen),
    arXiv:2209.15352, section 3.3.
    """
    return prompt if scale == 1 else empty + (prompt - empty) * scale


def _probabilities(logits: Tensor, takes_part: Tensor) -> np.ndarray:
    """`[codebook, code]`; NaN for codebooks that do not take part in the step."""
    return torch.where(takes_part[:, None], logits.softmax(1), torch.nan).numpy()
