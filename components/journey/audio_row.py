"""The journey's last station: the same prompt as sound."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from components.audio.run import AudioResult, LiveAudio, example_if_ready, stream_audio
from components.audio.view import code_colours, seconds_text
from components.journey.time_row import TimeRow, build_time_row
from components.journey.view import HTML
from components.runs.files import save_wav, written
from components.runs.frames import encode_exactly
from components.runs.queues import AUDIO
from components.runs.slot import RunSlot
from components.runs.stream import Views
from components.ui.language import Texts
from components.ui.templates import quote
from pipelines.audio.audio import audio_model
from pipelines.audio.files import LOUDEST, limited
from pipelines.audio.request import AudioRequest

_HIGH = 60  # px of the wave


def waiting_audio(t: Texts, asks: str = "") -> str:
    """The station before anything is heard, and whether it asks for its sound when it is seen."""
    return HTML.audio("waiting", None, t("journey.when_seen") if asks else "…", t, asks=asks)


def running_audio(progress: LiveAudio, t: Texts) -> str:
    """The station while its sound is made, as wide as it will be: what there is fills it from the left.

    Args:
        progress: with at least one step.
    """
    last = progress.frames[-1]
    books = len(last.chosen)
    frames = last.total - books + 1
    colours = np.zeros((books, frames, 4), np.uint8)
    complete = last.codes.shape[1]
    colours[:, :complete, :3], colours[:, :complete, 3] = code_colours(last.codes), 255
    heard = progress.samples()
    loaded = audio_model(progress.request.model)
    ahead = max(0, frames * (loaded.sample_rate // loaded.frame_rate) - len(heard))
    words = t("journey.say_audio_running", done=last.index + 1, total=last.total, books=books)
    return HTML.audio("waiting", _drawn(colours, np.pad(heard, (0, ahead))), words, t)


def audio_station(made: AudioResult, t: Texts) -> str:
    """The station with a sound."""
    sound = made.sound
    books, frames = sound.codes.shape
    words = t.html(
        "journey.say_audio", prompt=quote(sound.request.prompt), seconds=seconds_text(sound, t), books=books,
        frames=frames,
    )  # fmt: skip
    drawn = _drawn(code_colours(sound.codes), sound.samples)
    path = written(lambda: Path(save_wav(sound)).as_posix(), t)
    return HTML.audio("done", drawn, words, t, path)


def _drawn(colours: np.ndarray, samples: np.ndarray) -> dict[str, Any]:
    """Codes and wave for the template.

    Args:
        colours: `[codebook, frame, RGB or RGBA]` uint8, of the codes.
        samples: `[sample]`.
    """
    books, frames, _ = colours.shape
    codes = encode_exactly(Image.fromarray(colours))
    return {"codes": codes, "wave": _wave_uri(samples), "books": books, "frames": frames}


def _wave_uri(samples: np.ndarray) -> str:
    """The outline of a sound as a picture, in a blue that shows on light and dark pages."""
    columns = np.array_split(limited(samples) / LOUDEST, 600)
    low, high = (np.array([f(c) if len(c) else 0 for c in columns]) for f in (np.min, np.max))
    y = np.linspace(1, -1, _HIGH)[:, None]
    inside = (y <= np.maximum(high, 0.03)) & (y >= np.minimum(low, -0.03))
    rgba = np.zeros((*inside.shape, 4), np.uint8)
    rgba[inside] = (0x2A, 0x8A, 0xC8, 255)
    return encode_exactly(Image.fromarray(rgba, "RGBA"))


def build_audio_row(shown: gr.State, t: Texts) -> TimeRow:
    """Draw the row, see `build_time_row`."""

    def fill(prompt: str, seed: int, slot: RunSlot) -> Iterator[Any]:
        """Make the sound, unless there is one already."""
        request = AudioRequest(prompt, seed).validated()
        made = example_if_ready(request)
        if made is not None:
            yield audio_station(made, t)
            return
        yield from (page for (page,) in journey_audio_run(request, slot, t))

    return build_time_row(shown, t, "audio", partial(waiting_audio, t), fill, AUDIO)


def journey_audio_run(request: AudioRequest, slot: RunSlot, t: Texts) -> Iterator[tuple[str]]:
    """Make the sound; views of the station while it grows."""

    def running(progress: LiveAudio) -> tuple[str]:
        return (running_audio(progress, t) if progress.frames else waiting_audio(t),)

    def finished(progress: LiveAudio) -> tuple[str]:
        return (audio_station(progress.made(), t),) if progress.whole else running(progress)

    views = Views(running, finished, lambda: (waiting_audio(t),))
    yield from stream_audio(LiveAudio(request, None, "", False), slot, "journey-audio", views)
