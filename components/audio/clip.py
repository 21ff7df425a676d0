"""A clip of one's own that a sound goes on from: sent, recorded, or from the classroom's world."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from components.audio.view import HTML
from components.runs.queues import AUDIO
from components.ui.errors import explained
from components.ui.fields import told
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.numbers import fixed
from components.ui.scene import scene
from components.ui.uploads import uploaded
from pipelines.audio import audio
from pipelines.audio import files as sounds
from pipelines.audio.audio import audio_model


@dataclass(frozen=True, eq=False)
class AudioClip:
    """A clip that one visitor brought.

    Attributes:
        samples: `[sample]` float32.
        sample_rate: Hz.
        model: catalogue id of the model at whose rate it is.
    """

    samples: np.ndarray
    sample_rate: int
    model: str

    def codes_for(self, model: str) -> np.ndarray:
        """`[codebook, frame]` codes of a model's codec."""
        rate = audio_model(model).sample_rate
        return audio.encode_clip(sounds.resampled(self.samples, self.sample_rate, rate), model)


@dataclass(frozen=True)
class ClipPart:
    """The components of this part of the tab."""

    sources: gr.HTML
    world: gr.Button
    go_on: gr.Button
    status: gr.HTML
    clip: gr.State


def open_sent(file: Any, model: str) -> AudioClip:
    """A clip out of a file that was sent.

    Raises:
        InputError: `clip_not_uploaded`, and those of `open_sound`.
    """
    rate = audio_model(model).sample_rate
    return AudioClip(sounds.open_sound(uploaded(file, "clip_not_uploaded"), rate), rate, model)


def build_clip_part(t: Texts) -> ClipPart:
    """Draw this part of the tab."""
    with scene(t, "audio.clip", t("audio.clip.title"), t("audio.clip.hint"), stage="beside"):
        sources = live_html("audio/clip", "audio-clip", t("audio.clip.title"), HTML.clip_sources(t))
        status = live_html(
            "audio/player", "audio-clip-status", value=HTML.clip_status(t("audio.clip.none")), script=False
        )
        with gr.Row(elem_classes="image-actions"):
            go_on = gr.Button(
                t("audio.clip.go_on"), variant="primary", interactive=False, elem_id="audio-go-on"
            )
            world = gr.Button(t("audio.clip.world"), elem_id="audio-world-clip", scale=0, min_width=300)
    return ClipPart(sources, world, go_on, status, gr.State(None))


def wire_clip_part(part: ClipPart, model: gr.Dropdown, t: Texts) -> None:
    """Let a clip be sent, recorded or drawn from the world."""
    sent, drawn = _handlers(t)
    outputs = [part.status, part.go_on, part.clip]
    part.sources.upload(sent, model, outputs, **AUDIO)
    part.world.click(drawn, model, outputs, **AUDIO)


def _handlers(t: Texts) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def ready(clip: AudioClip, key: str, **values: object) -> tuple[Any, ...]:
        seconds = fixed(len(clip.samples) / clip.sample_rate, t, 1)
        return HTML.clip_status(t(key, seconds=seconds, **values)), gr.update(interactive=True), clip

    @explained(t)
    def sent(event: gr.EventData, model: str) -> Any:
        return ready(open_sent(next(iter(told(event, "paths", list)), None), model), "audio.clip.ready")

    @explained(t)
    def drawn(model: str) -> Any:
        rate = audio_model(model).sample_rate
        samples, caption = sounds.world_clip(random.getrandbits(32), rate)
        return ready(AudioClip(samples, rate, model), "audio.clip.ready_world", caption=caption)

    return sent, drawn
