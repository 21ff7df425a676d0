"""The one door for pictures from outside: what a file claims is checked before anything is decoded."""

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipelines.serving.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000  # what a telephone takes in its finest setting
MAX_SIDE = 1024  # px kept of a picture; no model here reads more than 512


def open_picture(source: str | Path | bytes | Image.Image) -> Image.Image:
    """Open a picture that a visitor sent.

    File size, format and pixel count are read from the file's first bytes; only then is it
    decoded, in full, turned upright as its EXIF data says, laid on white where it is transparent
    and reduced to at most `MAX_SIDE` px a side. Of an animation, the first frame counts.

    Args:
        source: path of a file, its bytes, or a picture that is decoded already.

    Returns:
        RGB picture with no link to the file.

    Raises:
        InputError: `picture_too_large` (bytes or pixels), `picture_not_supported` (another format,
            SVG, text), `picture_broken` (cut off or damaged).
    """
    if isinstance(source, Image.Image):
        _check_pixels(source.width * source.height)
        return _upright_rgb(source)
    data = source if isinstance(source, bytes) else _read(Path(source))
    if len(data) > MAX_BYTES:
        raise _too_large(f"{len(data) / 2**20:.0f} MB")
    with _open_header(data) as image:
        _check_pixels(image.width * image.height)
        image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # lets JPEG decode straight to a smaller size
        try:
            return _upright_rgb(image)
        except Exception as error:  # damaged files make Pillow raise a dozen unrelated types
            raise InputError("picture_broken") from error


def _read(path: Path) -> bytes:
    """The file's bytes, one more than allowed at most: a huge file is never read whole."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _too_large(f"{size / 2**20:.0f} MB")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError("picture_broken") from error


def _open_header(data: bytes) -> Image.Image:
    """Let Pillow read format and size; it decodes no pixel before `load`."""
    width, height = _webp_size(data)
    _check_pixels(width * height)
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        # Pillow's own limit stands above ours; its message holds the number of pixels.
        pixels = re.search(r"(\d+) pixels", str(error))
        raise _too_large(_megapixels(int(pixels[1])) if pixels else "> 178 MP") from error
    except UnidentifiedImageError as error:
        raise InputError("picture_not_supported", known=", ".join(FORMATS)) from error
    except Exception as error:
        raise InputError("picture_broken") from error


def _webp_size(data: bytes) -> tuple[int, int]:
    """Canvas of a WebP in its extended form, else (0, 0).

    Pillow hands WebP files to a decoder that sets the canvas aside as it opens them, so their
    size has to be known before. The simple forms end at 16,384 px a side and hold one frame.

    Source: developers.google.com/speed/webp/docs/riff_container, "Extended File Format".
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return 0, 0
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _check_pixels(pixels: int) -> None:
    if pixels > MAX_PIXELS:
        raise _too_large(_megapixels(pixels))


def _too_large(received: str) -> InputError:
    return InputError(
        "picture_too_large",
        received=received,
        limit_mb=MAX_BYTES // 2**20,
        limit_megapixels=MAX_PIXELS // 1_000_000,
    )


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:.0f} MP"


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow would cut them off at 255
        grey = np.asarray(image, np.float32)
        image = Image.fromarray((grey / 257).clip(0, 255).astype(np.uint8))
    transparent = "A" in image.getbands() or "transparency" in image.info
    image = image.convert("RGBA" if transparent else "RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    image = ImageOps.exif_transpose(image)
    if transparent:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    # A new object: metadata such as the place where a photograph was taken goes no further.
    return Image.fromarray(np.asarray(image))
