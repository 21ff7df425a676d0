"""Results as files to keep: PNG, WAV and films, where Gradio serves and later deletes them."""

import os
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import gradio as gr
from markupsafe import escape

from components.ui.errors import message
from components.ui.language import Texts
from pipelines.audio import files as sounds
from pipelines.audio.request import Sound
from pipelines.image import image
from pipelines.image.request import Trace
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.serving.temporary import write_whole
from pipelines.video.files import video_bytes
from pipelines.video.request import FRAMES_PER_SECOND, VideoTrace

Written = TypeVar("Written")


def _keep(content: bytes, name: str) -> str:
    """Write a file where Gradio serves, and later deletes, files from.

    Returns:
        Its path; the folder's name is the hash of its bytes.

    Raises:
        InputError: `disk_full`.
    """
    cache = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio")
    path = cache / sha256(content).hexdigest() / name
    write_whole(content, path)
    return str(path.resolve())


def written(save: Callable[[], Written], t: Texts) -> Written | None:
    """What `save` gives, or None and a warning where the disk is full: the result is shown all the same."""
    try:
        return save()
    except InputError as error:
        gr.Warning(escape(message(error, t)), title=t("errors.title"))
        return None


def save_png(trace: Trace) -> str:
    """Write a picture with its parameters; see `_keep`."""
    return _keep(image.png_with_parameters(trace), f"seed-{trace.request.seed}.png")


def save_wav(sound: Sound) -> str:
    """Write a sound with its parameters; see `_keep`."""
    return _keep(sounds.wav_with_parameters(sound), f"seed-{sound.request.seed}.wav")


FILM_TYPES = {"mp4": "video/mp4", "gif": "image/gif", "webp": "image/webp"}


def save_video(trace: VideoTrace, kind: str) -> str:
    """Write a film with its parameters; see `_keep`.

    Raises:
        InputError: `disk_full`, `film_format_unknown`.
    """
    rule = catalogue.entry(trace.request.model).frame
    rate = rule.rate if rule else FRAMES_PER_SECOND
    return _keep(video_bytes(trace.frames, kind, trace.request, rate), f"film-{trace.request.seed}.{kind}")
