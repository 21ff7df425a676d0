"""The one door for pictures from outside: what a file claims is checked before anything is decoded."""

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipelines.serving.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF")
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
        InputError: `picture_too_large` (bytes or pixels), `picture_heic`, `picture_other_format` (TIFF, SVG,
            a film), `picture_not_supported` (text, anything unknown), `picture_broken` (cut off or damaged).
    """
    if isinstance(source, Image.Image):
        _check_pixels(source.width * source.height)
        return _upright_rgb(source)
    data = source if isinstance(source, bytes) else _read(Path(source))
    if len(data) > MAX_BYTES:
        raise _too_large(f"{len(data) / 2**20:.0f} MB")
    with _open_header(data) as image:
        _check_pixels(image.width * image.height)
        _check_end(data)
        _fit_transparency(image)
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
    except Exception as error:
        raise _refused(data) from error


def _refused(data: bytes) -> InputError:
    """Why Pillow cannot open a file: it is damaged, of a format that is not read, or no picture."""
    kind = content_kind(data)
    if kind in FORMATS:
        return InputError("picture_broken")
    known = ", ".join(FORMATS)
    if kind == "HEIC":
        return InputError("picture_heic", known=known)
    if kind:
        return InputError("picture_other_format", received=kind, known=known)
    return InputError("picture_not_supported", known=known)


def content_kind(data: bytes) -> str:
    """The format that a file's first bytes announce, whatever its name says; "" if none is known."""
    if data[4:8] == b"ftyp":
        return _container_kind(data)
    if data[:4] == b"RIFF":
        return {b"WEBP": "WEBP", b"WAVE": "WAV", b"AVI ": "AVI"}.get(data[8:12], "")
    for start, kind in _STARTS.items():
        if data.startswith(start):
            return kind
    if data[:2] == b"BM" and data[6:10] == bytes(4):  # two letters alone may begin a text
        return "BMP"
    return "SVG" if b"<svg" in data[:1024].lower() else ""


_STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\0\0\x01\0": "ICO",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"8BPS": "PSD",
    b"\xd7\xcd\xc6\x9a": "WMF",
    b"\x01\0\0\0\x6c\0\0\0": "EMF",
    b"PK\x03\x04": "ZIP",  # also what office programs save
    b"\x1a\x45\xdf\xa3": "WebM",
}


_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def _container_kind(data: bytes) -> str:
    """Kind of an ISO base media file by its brands: the main one, and those it is compatible with.

    Source: ISO/IEC 14496-12, 4.3 "File Type Box"; ISO/IEC 23008-12, annex B.
    """
    size = int.from_bytes(data[:4], "big")
    brands = [data[at : at + 4] for at in (8, *range(16, min(size, len(data), 256), 4))]
    if any(brand in (b"avif", b"avis") for brand in brands):
        return "AVIF"
    if any(brand in _HEIC_BRANDS for brand in brands):
        return "HEIC"
    if brands[0] == b"crx ":
        return "CR3"
    return "M4A" if brands[0][:3] == b"M4A" else "MP4"


def _check_end(data: bytes) -> None:
    """Refuse a PNG or GIF that stops before its last block.

    Pillow stops reading when the first frame is there, and takes a cut animation or a cut last row.
    The other formats' decoders look at the whole file.
    """
    complete = {"PNG": _png_ends, "GIF": _gif_ends}.get(content_kind(data))
    if complete and not complete(data):
        raise InputError("picture_broken")


def _png_ends(data: bytes) -> bool:
    at = 8
    while at + 12 <= len(data):
        kind = data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if kind == b"IEND":
            return at <= len(data)
    return False


def _gif_ends(data: bytes) -> bool:
    """Whether all blocks up to the trailer are there.

    Source: W3C, "Graphics Interchange Format", version 89a, sections 18 to 27.
    """
    at = 13 + _gif_table(data[10:11])
    while at < len(data):
        kind = data[at]
        if kind == 0x3B:
            return True
        if kind == 0x21:  # extension: its label, then sub-blocks
            at += 2
        elif kind == 0x2C:  # picture: its descriptor, a palette, the smallest code size, then sub-blocks
            at += 11 + _gif_table(data[at + 9 : at + 10])
        else:
            return False
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return False


def _gif_table(flags: bytes) -> int:
    """Bytes of the palette that follows."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _fit_transparency(image: Image.Image) -> None:
    """Bring a PNG's transparent colour to the 8 bits that its pixels get.

    Pillow widens grey of 2 and 4 bits, and narrows colours of 16, but leaves the colour as the file has it.
    """
    clear = image.info.get("transparency")
    raw = image.tile[0].args if image.tile else ""  # type: ignore[attr-defined]
    if raw in ("L;2", "L;4") and isinstance(clear, int):
        image.info["transparency"] = clear * {"L;2": 85, "L;4": 17}[raw]
    elif raw == "RGB;16B" and isinstance(clear, tuple):
        image.info["transparency"] = tuple(part >> 8 for part in clear)


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
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    transparent = "A" in image.getbands() or "transparency" in image.info
    image = image.convert("RGBA" if transparent else "RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    image = ImageOps.exif_transpose(image)
    if transparent:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    # A new object: metadata such as the place where a photograph was taken goes no further.
    return Image.fromarray(np.asarray(image))


def _eight_bits(image: Image.Image) -> Image.Image:
    """A picture with 16 bits of grey as 8 and transparency; Pillow would cut the values off at 255."""
    levels = np.asarray(image)
    clear = image.info.get("transparency")
    grey = Image.fromarray((levels.astype(np.float32) / 257).clip(0, 255).astype(np.uint8))
    # EXIF or XMP say how the picture is turned.
    grey.info = {key: value for key, value in image.info.items() if key != "transparency"}
    if clear is not None:
        grey.putalpha(Image.fromarray(np.where(levels == clear, 0, 255).astype(np.uint8)))
    return grey
