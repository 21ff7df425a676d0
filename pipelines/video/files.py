"""Films as files: MP4, GIF and WebP, in which the request that drew them is written."""

import io
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageSequence

from pipelines.serving.errors import InputError
from pipelines.video.request import FRAMES_PER_SECOND, VideoRequest

FORMATS = ("mp4", "gif", "webp")
LEAST_SIDE = 256  # px; smaller films are enlarged by a whole factor, since players would blur them


def video_bytes(
    frames: Sequence[Image.Image], kind: str, request: VideoRequest | None = None,
    frames_per_second: int = FRAMES_PER_SECOND,
) -> bytes:  # fmt: skip
    """A film as the content of a file.

    Args:
        frames: at least one, all of one size.
        kind: one of `FORMATS`.
        request: what drew it; stands in the file's comment.
        frames_per_second: how fast it plays.

    Raises:
        InputError: `film_format_unknown`.
    """
    if kind not in FORMATS:
        raise InputError("film_format_unknown", received=kind, known=", ".join(FORMATS))
    comment = json.dumps(request.parameters()) if request else ""
    large = [_enlarged(frame) for frame in frames]
    if kind == "mp4":
        return _mp4(large, comment, frames_per_second)
    return _animation(large, kind, comment, 1000 // frames_per_second)


def contact_sheet(path: Path, most: int = 8, columns: int = 4) -> Image.Image | None:
    """Frames of a film side by side, row by row, for who can look at pictures alone.

    Args:
        path: of a film in one of `FORMATS`.
        most: frames shown, evenly spread from the first to the last.
        columns: frames in a row.

    Returns:
        The sheet; None where the file is no film or has one frame only.
    """
    try:
        frames = _frames_of(path)
    except (av.FFmpegError, OSError):
        return None
    if len(frames) < 2:
        return None
    places = np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int)
    chosen = [frames[place] for place in places]
    width, height = chosen[0].size
    rows = -(-len(chosen) // columns)
    sheet = Image.new("RGB", (min(columns, len(chosen)) * width, rows * height))
    for number, frame in enumerate(chosen):
        sheet.paste(frame, (number % columns * width, number // columns * height))
    return sheet


def _frames_of(path: Path) -> list[Image.Image]:
    if path.suffix == ".mp4":
        with av.open(str(path)) as container:
            return [frame.to_image() for frame in container.decode(video=0)]
    with Image.open(path) as image:
        return [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]


def _enlarged(frame: Image.Image) -> Image.Image:
    """By a whole factor, smoothly; sides are even, as H.264 wants them."""
    factor = max(1, -(-LEAST_SIDE // min(frame.size)))
    width, height = (factor * side + factor * side % 2 for side in frame.size)
    return frame.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)


def _mp4(frames: Sequence[Image.Image], comment: str, rate: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=Fraction(rate), options={"crf": "16", "threads": "1"})
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"  # what every browser plays
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def _animation(frames: Sequence[Image.Image], kind: str, comment: str, milliseconds: int) -> bytes:
    file = io.BytesIO()
    more = {"comment": comment.encode()} if kind == "gif" else {"quality": 90, "exif": _exif(comment)}
    if kind == "gif":  # one palette for all frames: 256 colours each would flicker
        frames = _one_palette(frames)
    frames[0].save(
        file,
        kind.upper(),
        save_all=True,
        append_images=list(frames[1:]),
        duration=milliseconds,
        loop=0,
        **more,
    )
    return file.getvalue()


def _one_palette(frames: Sequence[Image.Image]) -> list[Image.Image]:
    strip = Image.new("RGB", (frames[0].width * len(frames), frames[0].height))
    for i, frame in enumerate(frames):
        strip.paste(frame, (i * frame.width, 0))
    palette = strip.quantize(256, dither=Image.Dither.NONE)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def _exif(comment: str) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = comment  # ImageDescription
    return exif.tobytes()
