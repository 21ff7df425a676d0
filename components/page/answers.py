"""Answers that a language model can read: short text, and pictures as pictures.

Programs get every number. A language model reads text by the token, so here pictures leave the text, and of
what is still too long the largest parts are shortened, until it fits.
"""

import base64
import binascii
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from gradio_client.utils import is_file_obj_with_meta
from PIL import Image

from pipelines.video.files import FORMATS, contact_sheet

MOST_CHARACTERS = 7000  # of an answer's JSON, which leaves room for what is said beside it
MOST_PICTURE_BYTES = 2**20  # of a picture that is sent along; larger ones are named by their address
FRAMES = "frames of the video, from the first to the last, row by row"
_BASE64 = re.compile(r"(?:data:image/[\w.+-]+;base64,)?([A-Za-z0-9+/]{64,}={0,2})")


@dataclass(frozen=True)
class Picture:
    """A picture as it is sent: a file's bytes, and their type, such as "image/png"."""

    content: bytes
    mime_type: str


@dataclass
class Answer:
    """What an endpoint gave, taken apart.

    Attributes:
        value: JSON, with its address where a file was, and {"picture": number, "address": …} where a picture
            was, be it a file or its bytes; of a film, the picture is a contact sheet.
        pictures: as these numbers count them, from 1.
    """

    value: Any
    pictures: list[Picture] = field(default_factory=list)


class Address(str):
    """Where a file is to be had; unlike other text it is not cut."""


def taken_apart(value: Any, address: Callable[[str], str], kept: Callable[[bytes, str], str]) -> Answer:
    """Take the files and pictures out of what an endpoint gave.

    Args:
        address: from the path of a file that the app serves to its address.
        kept: writes bytes to a file of this name that the app serves; its path.
    """
    answer = Answer(None)

    def shown(picture: Picture, path: str) -> dict[str, Any]:
        answer.pictures.append(picture)
        return {"picture": len(answer.pictures), "address": Address(address(path))}

    def walk(node: Any) -> Any:
        if is_file_obj_with_meta(node):
            path = Path(node["path"])
            if (sheet := _sheet_of(path)) is not None:
                return shown(sheet, node["path"]) | {"shows": FRAMES}
            picture = _picture_in(path)
            return shown(picture, node["path"]) if picture else Address(address(node["path"]))
        if isinstance(node, dict):
            return {name: walk(part) for name, part in node.items()}
        if isinstance(node, list | tuple):
            return [walk(part) for part in node]
        picture = _picture_of(node) if isinstance(node, str) else None
        if picture is None:
            return node
        return shown(picture, kept(picture.content, f"picture.{picture.mime_type.removeprefix('image/')}"))

    answer.value = walk(value)
    return answer


def _sheet_of(path: Path) -> Picture | None:
    """Frames of a film in one picture: language models look at pictures, and do not play films."""
    sheet = contact_sheet(path) if path.suffix.removeprefix(".") in FORMATS else None
    if sheet is None:
        return None
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=90)
    return Picture(file.getvalue(), "image/jpeg")


def _picture_in(path: Path) -> Picture | None:
    return _picture(path.read_bytes()) if path.stat().st_size <= MOST_PICTURE_BYTES else None


def _picture_of(text: str) -> Picture | None:
    """The picture that a text holds in base64, with or without the head of a data address."""
    found = _BASE64.fullmatch(text)
    try:
        return _picture(base64.b64decode(found[1], validate=True)) if found else None
    except binascii.Error:
        return None


def _picture(content: bytes) -> Picture | None:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return Picture(content, Image.MIME[image.format or ""])
    except (OSError, KeyError):
        return None


@dataclass(frozen=True)
class _Limits:
    """What is kept: this many numbers of an array, entries of another list, characters of a text.

    Attributes:
        names: of an object; None for all.
    """

    numbers: int
    entries: int
    characters: int
    names: int | None = None


# Names go last: they say what the answer is about.
LIMITS = [_Limits(2**i, max(2, 2 ** (i - 2)), max(40, 2 ** (i + 1))) for i in range(11, 1, -1)]
LIMITS += [replace(LIMITS[-1], names=2**i) for i in range(10, 0, -1)]


def fitted(value: Any) -> tuple[str, bool]:
    """A value as JSON of at most `MOST_CHARACTERS`.

    Returns:
        The JSON, and whether it is the whole value: otherwise numbers have four digits, and notes stand where
        something was left out.
    """
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= MOST_CHARACTERS:
        return text, True
    for limits in LIMITS:
        text = json.dumps(_shortened(value, limits), ensure_ascii=False)
        if len(text) <= MOST_CHARACTERS:
            return text, False
    # Too deep, or with names that are too long: its beginning, as a text. Half, since quotes are escaped.
    return json.dumps(_cut(text, MOST_CHARACTERS // 2 - 50), ensure_ascii=False), False


def _shortened(value: Any, limits: _Limits) -> Any:
    if isinstance(value, dict):
        kept = {name: _shortened(part, limits) for name, part in islice(value.items(), limits.names)}
        return kept | ({"…": f"and {len(value) - len(kept)} more"} if len(value) > len(kept) else {})
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, str) and not isinstance(value, Address) and len(value) > limits.characters:
        return _cut(value, limits.characters)
    if not isinstance(value, list):
        return value
    shape = _shape(value)
    if shape is None:
        more = [f"… and {len(value) - limits.entries} more"] if len(value) > limits.entries else []
        return [_shortened(part, limits) for part in value[: limits.entries]] + more
    numbers = _flat(value, len(shape))
    if len(numbers) <= limits.numbers:
        return [_shortened(part, limits) for part in value]
    return f"left out: {' × '.join(map(str, shape))} numbers from {min(numbers):.4g} to {max(numbers):.4g}"


def _cut(text: str, characters: int) -> str:
    return f"{text[:characters]}… ({len(text)} characters)"


def _shape(value: list[Any]) -> tuple[int, ...] | None:
    """Sizes of an array of numbers, outermost first; none for other lists."""
    if not value:
        return None
    if not isinstance(value[0], list):
        return (len(value),) if all(type(part) in (int, float) for part in value) else None
    shapes = {_shape(part) if isinstance(part, list) else None for part in value}
    inner = shapes.pop()
    return (len(value), *inner) if inner and not shapes else None


def _flat(value: list[Any], dimensions: int) -> list[float]:
    for _ in range(dimensions - 1):
        value = list(chain.from_iterable(value))
    return value
