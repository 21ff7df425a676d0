"""The journey's last station: the same prompt as sound."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from components.audio_run import AUDIO, Made, compute_sound, example_if_ready
from components.audio_view import code_colours, seconds_text
from components.frames import encode_exactly
from components.journey_time import TimeRow, build_time_row, station_page
from components.journey_view import hole
from components.language import Texts
from components.layout import html_escape
from components.prompt_bar import PromptBar
from components.runs import RunSlot
from pipelines.audio import AudioRequest
from pipelines.sounds import LOUDEST, limited

_HIGH = 60  # px of the wave


def waiting_sound(t: Texts) -> str:
    """The station before anything is heard."""
    return station_page("audio", hole(t), "…", t)


def sound_station(made: Made, t: Texts) -> str:
    """The station with a sound.

    Args:
        made: of the prompt.
        t: texts.
    """
    sound = made.sound
    books, frames = sound.codes.shape
    alt = html_escape(t("journey.alt_audio", books=books, frames=frames))
    body = (
        f'<img class="heat" src="{_codes_uri(sound.codes)}" alt="{alt}">'
        f'<img class="wave" src="{_wave_uri(sound.samples)}" alt="{html_escape(t("journey.alt_wave"))}">'
    )
    words = t(
        "journey.say_audio", prompt=sound.request.prompt, seconds=seconds_text(sound, t), books=books,
        frames=frames,
    )  # fmt: skip
    return station_page("audio", body, html_escape(words), t, "done")


def _codes_uri(codes: np.ndarray) -> str:
    return encode_exactly(Image.fromarray(code_colours(codes), "RGB"))


def _wave_uri(samples: np.ndarray) -> str:
    """The outline of a sound as a picture, in a blue that shows on light and dark pages."""
    columns = np.array_split(limited(samples) / LOUDEST, 600)
    low, high = (np.array([f(c) if len(c) else 0 for c in columns]) for f in (np.min, np.max))
    y = np.linspace(1, -1, _HIGH)[:, None]
    inside = (y <= np.maximum(high, 0.03)) & (y >= np.minimum(low, -0.03))
    rgba = np.zeros((*inside.shape, 4), np.uint8)
    rgba[inside] = (0x2A, 0x8A, 0xC8, 255)
    return encode_exactly(Image.fromarray(rgba, "RGBA"))


def build_sound_row(bar: PromptBar, t: Texts) -> TimeRow:
    """Draw the row."""

    def fill(prompt: str, seed: int, slot: RunSlot) -> Iterator[Any]:
        """Make the sound, unless there is one already."""
        request = AudioRequest(prompt, seed).validated()
        made = example_if_ready(request)
        if made is None:
            yield waiting_sound(t)
            made = compute_sound(request, slot)
        yield gr.skip() if made is None else sound_station(made, t)

    return build_time_row(bar, t, "audio", waiting_sound(t), fill, AUDIO)
