"""Text to film: all frames are denoised at once, one step at a time."""

import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from diffusers import WanPipeline
from PIL import Image

from pipelines.image.previews import LinearDecoder, fit
from pipelines.serving.compute import FILM_S, due_later, on_compute_thread
from pipelines.serving.engine import starts_runs, whole_call
from pipelines.serving.steps import Closable
from pipelines.video import animatediff, wan
from pipelines.video.load import video_pipeline
from pipelines.video.request import VideoRequest, VideoStep, VideoTrace

# arXiv:2306.03881, section 4


class VideoRun(Protocol):
    """A film under way."""

    @property
    def finished(self) -> bool: ...

    def advance(self) -> VideoStep: ...


class VideoSteps(Iterator[VideoStep]):
    """The steps of one film; closing stops the run between two steps.

    Whoever reads asks the compute thread for one step at a time, so films and pictures of all visitors take
    turns in its line.
    """

    def __init__(self, request: VideoRequest) -> None:
        self.request = request
        self._run: VideoRun | None = None
        self._closed = threading.Event()

    def __next__(self) -> VideoStep:
        if not self._closed.is_set() and self._run is None:
            self._run = _begin(video_pipeline(self.request.model), self.request)
        run = self._run
        if run is None or self._closed.is_set() or run.finished:
            self._run = None  # an iterator that is kept holds no noise
            self._closed.set()
            raise StopIteration
        return due_later(FILM_S)(run.advance)()

    def close(self) -> None:
        """Stop before the next step."""
        self._closed.set()


@on_compute_thread
def _begin(loaded: Any, request: VideoRequest) -> VideoRun:
    return engine_of(loaded).start(loaded, request)


def generate(request: VideoRequest) -> Closable:
    """Draw a film step by step.

    Args:
        request: checked here, before the first step.

    Raises:
        InputError: a value cannot be used, or the model cannot be loaded.
    """
    return _begin_all([request.validated()])[0]


@starts_runs("video", video_pipeline)
def _begin_all(requests: Sequence[VideoRequest]) -> list[Closable]:
    return [VideoSteps(request) for request in requests]


@whole_call("video", video_pipeline)
def decode(latents: np.ndarray, model: str) -> list[Image.Image]:
    """Latents to pictures, exactly as the library's pipelines decode them.

    Args:
        latents: `[frame, channel, y, x]`, on the scale of clean latents.
        model: catalogue id of the role "video".
    """
    return _decode(video_pipeline(model), latents)


@on_compute_thread
def _decode(loaded: Any, latents: np.ndarray) -> list[Image.Image]:
    return engine_of(loaded).decode(loaded, latents)


def preview(latents: np.ndarray, model: str) -> list[Image.Image]:
    """Like `decode`, but quick enough for every step; one small picture for each frame of the latents.

    Shown through the model's linear decoder: decoding all frames takes half as long as a step.
    """
    return linear_decoder(model).pictures(latents)


@lru_cache(maxsize=4)
def linear_decoder(model: str) -> LinearDecoder:
    """The same of a film's model as `pipelines.image.previews.linear_decoder` is of a picture's.

    Args:
        model: catalogue id of the role "video".
    """
    return _fitted(model)


@whole_call("video", video_pipeline)
def _fitted(model: str) -> LinearDecoder:
    loaded = video_pipeline(model)
    return fit(*engine_of(loaded).autoencoder(loaded))


def finish(request: VideoRequest, steps: Sequence[VideoStep]) -> VideoTrace:
    """The film at the end of a run, with all its steps.

    Args:
        request: the one the steps came from.
        steps: at least one; of a run that was stopped early, the last estimate is shown.
    """
    request, last = request.validated(), steps[-1]
    latents = last.latents if last.last else last.denoised
    return VideoTrace(request, tuple(steps), tuple(decode(latents, request.model)))


def run(request: VideoRequest) -> VideoTrace:
    """Draw one film and keep its trace; see `generate`."""
    return finish(request, tuple(generate(request)))


def engine_of(pipe: Any) -> ModuleType:
    """The module that draws with a pipeline: `start`, `decode` and `autoencoder`."""
    return wan if isinstance(pipe, WanPipeline) else animatediff
