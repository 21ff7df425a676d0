"""Films as files that players open, with their request inside."""

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.serving.errors import InputError
from pipelines.video.files import FORMATS, contact_sheet, video_bytes
from pipelines.video.request import VideoRequest

REQUEST = VideoRequest("A “red” <b>cat</b> walks right.", later=((3, "ä"),), seed=7).validated()
COLOURS = ("red", "green", "blue", "white", "black")
FRAMES = [Image.new("RGB", (40, 24), colour) for colour in COLOURS]


def opened(content: bytes, kind: str) -> tuple[list[np.ndarray], str, float]:
    """Frames, comment, and seconds of a frame."""
    if kind == "mp4":
        with av.open(io.BytesIO(content)) as file:
            pictures = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
            return pictures, file.metadata["comment"], float(1 / file.streams.video[0].average_rate)
    with Image.open(io.BytesIO(content)) as file:
        comment = file.info["comment"].decode() if kind == "gif" else file.getexif()[0x010E]
        pictures = []
        for i in range(file.n_frames):
            file.seek(i)
            pictures.append(np.asarray(file.convert("RGB")))
        return pictures, comment, file.info["duration"] / 1000


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_has_all_frames_in_order_at_their_speed_and_says_what_drew_them(kind: str) -> None:
    pictures, comment, seconds = opened(video_bytes(FRAMES, kind, REQUEST, 8), kind)
    assert len(pictures) == len(COLOURS)
    for picture, frame in zip(pictures, FRAMES, strict=True):
        assert min(picture.shape[:2]) >= 256 and not picture.shape[0] % 2 and not picture.shape[1] % 2
        wanted = np.asarray(frame)[0, 0].astype(int)
        assert np.abs(picture.reshape(-1, 3).mean(0) - wanted).max() < 12
    assert VideoRequest(**json.loads(comment)).validated() == REQUEST
    assert seconds == pytest.approx(1 / 8, abs=0.01)


def test_another_format_is_refused() -> None:
    with pytest.raises(InputError, match="film_format_unknown"):
        video_bytes(FRAMES, "avi")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_contact_sheet_shows_frames_from_the_first_to_the_last(kind: str, tmp_path: Path) -> None:
    greys = [Image.new("RGB", (256, 256), (level,) * 3) for level in np.linspace(20, 220, 16).astype(int)]
    path = tmp_path / f"film.{kind}"
    path.write_bytes(video_bytes(greys, kind))
    sheet = contact_sheet(path, most=6, columns=4)
    assert sheet is not None and sheet.size == (4 * 256, 2 * 256)
    seen = [sheet.getpixel((256 * (i % 4) + 128, 256 * (i // 4) + 128))[0] for i in range(8)]
    assert seen == pytest.approx([20, 60, 100, 140, 180, 220, 0, 0], abs=8)


def test_what_is_no_film_has_no_contact_sheet(tmp_path: Path) -> None:
    for name, content in (
        ("film.mp4", b"no film"),
        ("one.gif", video_bytes([Image.new("RGB", (256, 256))], "gif")),
    ):
        (tmp_path / name).write_bytes(content)
        assert contact_sheet(tmp_path / name) is None
