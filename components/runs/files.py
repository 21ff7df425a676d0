"""Results as files to keep: PNG, WAV and films, where Gradio serves and later deletes them."""

import os
import tempfile
from hashlib import sha256
from pathlib import Path

from gradio.processing_utils import save_bytes_to_cache

from pipelines.audio import files as sounds
from pipelines.audio.request import Sound
from pipelines.image import image
from pipelines.image.request import Trace
from pipelines.serving import catalogue
from pipelines.video.files import video_bytes, write_video
from pipelines.video.request import FRAMES_PER_SECOND, VideoTrace


def save_png(trace: Trace) -> str:
    """Write a picture with its parameters where Gradio serves, and later deletes, files from.

    Returns:
        Path of the PNG; the folder's name is the hash of its bytes.
    """
    cache = os.environ.get("GRADIO_TEMP_DIR") or str(Path(tempfile.gettempdir()) / "gradio")
    return save_bytes_to_cache(image.png_with_parameters(trace), f"seed-{trace.request.seed}.png", cache)


def save_wav(sound: Sound) -> str:
    """Write a sound with its parameters where Gradio serves, and later deletes, files from; its path."""
    cache = os.environ.get("GRADIO_TEMP_DIR") or str(Path(tempfile.gettempdir()) / "gradio")
    return save_bytes_to_cache(sounds.wav_with_parameters(sound), f"seed-{sound.request.seed}.wav", cache)


FILM_TYPES = {"mp4": "video/mp4", "gif": "image/gif", "webp": "image/webp"}


def save_video(trace: VideoTrace, kind: str) -> str:
    """Write a film where Gradio serves, and later deletes, files from.

    Returns:
        Path of the file; the folder's name is the hash of its bytes.

    Raises:
        InputError: `disk_full`, `film_format_unknown`.
    """
    cache = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio")
    rule = catalogue.entry(trace.request.model).frame
    rate = rule.rate if rule else FRAMES_PER_SECOND
    content = video_bytes(trace.frames, kind, trace.request, rate)
    path = cache / sha256(content).hexdigest() / f"film-{trace.request.seed}.{kind}"
    write_video(content, path)
    return str(path)
