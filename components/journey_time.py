"""The journey's last station: the same prompt as sound."""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from components.audio_run import AUDIO, Made, compute_sound, example_if_ready
from components.audio_view import code_colours, seconds_text
from components.errors import message
from components.frames import encode_exactly
from components.journey_view import READING, STEERING, card, hole, row
from components.language import Texts
from components.layout import html_escape, live_html
from components.prompt_bar import PromptBar, values_from_query
from components.runs import RunSlot
from pipelines.audio import AudioRequest
from pipelines.errors import InputError
from pipelines.sounds import LOUDEST, limited
from pipelines.trace import Trace

TIME = ("audio",)
_HIGH = 60  # px of the wave


def waiting_time(t: Texts) -> str:
    """The station before anything is heard."""
    return _page(hole(t), "…", t)


def time_view(made: Made, t: Texts) -> str:
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
    return _page(body, html_escape(words), t, "done")


def _page(body: str, words: str, t: Texts, state: str = "waiting") -> str:
    station = card(len(READING) + len(STEERING) + 1, "audio", body, words, t)
    shown = row([station], t("journey.time")).replace('class="row"', 'class="row time"', 1)
    return f'<div data-state="{state}">{shown}</div>'


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


def build_time_row(bar: PromptBar, t: Texts) -> tuple[gr.HTML, Callable[..., Any], list[Any]]:
    """Draw the row.

    Returns:
        Its place, the handler that fills it, and the handler's inputs.
    """
    place = live_html("journey", "journey-time", t("journey.time"), waiting_time(t))
    return place, _handler(t), [bar.prompt, bar.seed, bar.trace, gr.State(RunSlot())]


def _handler(t: Texts) -> Callable[..., Any]:
    def sound(
        prompt: str, seed: int, trace: Trace | None, slot: RunSlot, request: gr.Request
    ) -> Iterator[Any]:
        """Gradio tells of the first tab while the page opens at whatever tab; the address is what counts.

        Before the first picture is there, the bar may not have been told yet what the address says.
        """
        if request.query_params.get("tab", "journey") != "journey":
            yield gr.skip()
            return
        if trace is None:
            asked = values_from_query(request.query_params)
            prompt, seed = asked.prompt, asked.seed
        try:
            yield from _fill(AudioRequest(prompt, seed).validated(), slot, t)
        except InputError as error:
            yield f'<p class="refused" role="alert">{html_escape(message(error, t))}</p>'

    return sound


def _fill(request: AudioRequest, slot: RunSlot, t: Texts) -> Iterator[Any]:
    """Make the sound, unless there is one already."""
    made = example_if_ready(request)
    if made is None:
        yield waiting_time(t)
        made = compute_sound(request, slot)
    yield gr.skip() if made is None else time_view(made, t)


WIRING = {**AUDIO, "trigger_mode": "multiple"}
