"""Uploads: whatever a file claims or hides, the answer is a picture or a clear message."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from pipelines.serving.errors import InputError
from pipelines.serving.uploads import MAX_BYTES, MAX_PIXELS, MAX_SIDE, open_picture


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def black_png(width: int, height: int, rows: int) -> bytes:
    """A one-bit PNG that claims `width` x `height` px and holds `rows` black rows."""
    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture
def two_colours() -> Image.Image:
    """30 x 20 px, left half blue, right half red."""
    image = Image.new("RGB", (30, 20), (255, 0, 0))
    image.paste((0, 0, 255), (0, 0, 15, 20))
    return image


@pytest.fixture
def never_decoded(monkeypatch):
    """Fails the test when a pixel is decoded."""

    def load(self):
        raise AssertionError("decoded before it was checked")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


@pytest.mark.parametrize(
    "kind, options",
    [
        ("PNG", {}),
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("GIF", {}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
    ],
)
def test_every_allowed_format_opens(two_colours, kind, options):
    picture = open_picture(encoded(two_colours, kind, **options))
    assert (picture.mode, picture.size) == ("RGB", (30, 20))
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(two_colours)).max() <= 12


def test_a_path_opens_as_its_bytes_do(tmp_path, two_colours):
    path = tmp_path / "named.jpeg"  # what counts is the content, not the name
    path.write_bytes(encoded(two_colours, "PNG"))
    assert np.array_equal(np.asarray(open_picture(str(path))), np.asarray(two_colours))


@pytest.mark.parametrize("width, height", [(30_000, 30_000), (8_000, 6_251)])
def test_a_png_that_claims_to_be_huge_is_refused_by_its_header(width, height, never_decoded):
    with pytest.raises(InputError) as caught:
        open_picture(black_png(width, height, rows=1))
    assert caught.value.key == "picture_too_large"
    assert caught.value.values["received"] == f"{width * height / 1e6:.0f} MP"
    assert caught.value.values["limit_megapixels"] == MAX_PIXELS // 1_000_000


def test_a_png_that_is_huge_is_refused_undecoded(never_decoded):
    with pytest.raises(InputError, match="picture_too_large"):
        open_picture(black_png(30_000, 30_000, rows=30_000))


def test_the_pixel_limit_itself_is_allowed():
    assert open_picture(black_png(8_000, 6_250, rows=6_250)).size == (MAX_SIDE, MAX_SIDE * 625 // 800)


@pytest.mark.parametrize("kind", [b"VP8X", b"VP8L", b"VP8 "])
def test_a_huge_webp_is_refused_before_pillow_sees_it(kind, monkeypatch):
    side = 16_383
    body = {
        b"VP8X": bytes(4) + (side - 1).to_bytes(3, "little") * 2,
        b"VP8L": b"\x2f" + ((side - 1) | (side - 1) << 14).to_bytes(4, "little") + bytes(5),
        b"VP8 ": b"\x00\x00\x00\x9d\x01\x2a" + side.to_bytes(2, "little") * 2,
    }[kind]
    data = b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBP" + kind + struct.pack("<I", len(body)) + body
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow set the canvas aside"))
    with pytest.raises(InputError, match="picture_too_large"):
        open_picture(data)


def test_too_many_bytes_are_refused_unread(tmp_path):
    path = tmp_path / "big.png"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # a sparse file: nothing is written
    for source in (path, bytes(MAX_BYTES + 1)):
        with pytest.raises(InputError, match="picture_too_large"):
            open_picture(source)


@pytest.mark.parametrize(
    "data, kind",
    [
        (
            b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"><script>alert(1)</script></svg>',
            "SVG",
        ),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (encoded(Image.new("RGB", (8, 8)), "TIFF"), "TIFF"),
        (encoded(Image.new("RGB", (8, 8)), "ICO"), "ICO"),
        (encoded(Image.new("RGB", (8, 8)), "PDF"), "PDF"),
        (b"PK\x03\x04" + bytes(40), "ZIP"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "MP4"),
        ("Just a text, saved as cat.png. äöü".encode(), None),
        (b"BMW is a car, and this a text", None),
        (b"", None),
    ],
    ids=lambda value: value or "unknown" if not isinstance(value, bytes) else "",
)
def test_other_formats_are_named_as_such(data, kind):
    with pytest.raises(InputError) as caught:
        open_picture(data)
    assert caught.value.key == ("picture_other_format" if kind else "picture_not_supported")
    assert caught.value.values.get("received") == kind
    assert "PNG" in caught.value.values["known"]


@pytest.mark.parametrize(
    "brands", [b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"mif1\0\0\0\0mif1heic", b"mp42\0\0\0\0heic"]
)
def test_what_phones_take_is_known_by_its_content(brands):
    box = brands if len(brands) > 4 else brands + bytes(4) + b"mif1"
    with pytest.raises(InputError, match="picture_heic"):
        open_picture((8 + len(box)).to_bytes(4, "big") + b"ftyp" + box + bytes(400))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "AVIF"])
@pytest.mark.parametrize("frames", [1, 3])
def test_a_file_cut_short_is_broken_however_late(kind, frames):
    noise = [
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (24, 24, 3), np.uint8))
        for i in range(frames)
    ]
    animated = kind in ("PNG", "GIF", "WEBP", "AVIF")
    data = encoded(noise[0], kind, **({"save_all": True, "append_images": noise[1:]} if animated else {}))
    assert open_picture(data).size == (24, 24)
    for length in [*range(16, len(data), 97), *range(len(data) - 60, len(data))]:
        with pytest.raises(InputError, match="picture_broken"):
            open_picture(data[:length])


def test_any_byte_may_be_wrong_and_the_answer_stays_clear(two_colours):
    rng = np.random.default_rng(1)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "AVIF"):
        clean = encoded(two_colours, kind)
        for _ in range(150):
            data = bytearray(clean)
            for at in rng.integers(0, len(data), 3):
                data[at] = rng.integers(256)
            try:
                answer = open_picture(bytes(data)).mode
            except InputError as error:
                answer = error.key
            assert answer == "RGB" or answer.startswith("picture_")


def test_a_missing_file_is_broken(tmp_path):
    for path in (tmp_path / "gone.png", tmp_path, ""):
        with pytest.raises(InputError, match="picture_broken"):
            open_picture(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pictures_are_turned_upright_and_forget_their_metadata(two_colours, kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn clockwise": what the file holds as left is up
    picture = open_picture(encoded(two_colours, kind, exif=exif))
    assert picture.size == (20, 30)
    assert picture.getpixel((10, 4))[2] > 240 and picture.getpixel((10, 25))[0] > 240
    assert not picture.getexif() and not picture.info


def test_transparency_becomes_white():
    clear = Image.new("RGBA", (10, 10), (0, 0, 0, 0))
    clear.putpixel((0, 0), (10, 20, 30, 255))
    palette = Image.new("P", (10, 10), 0)
    palette.putpalette([0, 0, 0, 255, 255, 0])
    for picture in (
        open_picture(encoded(clear, "PNG")),
        open_picture(encoded(clear, "WEBP", lossless=True)),
        open_picture(encoded(palette, "PNG", transparency=0)),
        open_picture(clear),
    ):
        assert picture.mode == "RGB" and picture.getpixel((5, 5)) == (255, 255, 255)
    assert open_picture(clear).getpixel((0, 0)) == (10, 20, 30)


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), c) for c in ((255, 0, 0), (0, 0, 255))]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_picture(data).getpixel((4, 4)) == (255, 0, 0)


def test_sixteen_bits_of_grey_keep_their_range():
    ramp = np.linspace(0, 65_535, 64).astype(np.uint16)[None].repeat(8, 0)
    grey = np.asarray(open_picture(encoded(Image.fromarray(ramp), "PNG")))[0, :, 0]
    assert grey[0] == 0 and grey[-1] == 255 and (np.diff(grey.astype(int)) > 0).all()


@pytest.mark.parametrize("turn", range(1, 9))
def test_sixteen_bits_of_grey_are_turned_upright(turn):
    levels = np.arange(6 * 4).reshape(4, 6).astype(np.uint16) * 2000
    exif = Image.Exif()
    exif[0x0112] = turn
    wide = open_picture(encoded(Image.fromarray(levels), "PNG", exif=exif))
    narrow = open_picture(encoded(Image.fromarray((levels / 257).astype(np.uint8)), "PNG", exif=exif))
    assert np.array_equal(np.asarray(wide), np.asarray(narrow))


def png_of(bits: int, colour: bool, rows: list[bytes], clear: tuple[int, ...]) -> bytes:
    """An 8 x 8 px PNG with a transparent colour."""
    header = struct.pack(">IIBBBBB", 8, 8, bits, 2 if colour else 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), (b"tRNS", struct.pack(f">{len(clear)}H", *clear))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*part) for part in [*parts, (b"IDAT", pixels), (b"IEND", b"")]
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_grey_of_any_depth_becomes_white(bits):
    level = 30_000 if bits == 16 else 1
    row = sum(level << bits * place for place in range(4, 8)).to_bytes(bits, "big")  # the left half
    picture = open_picture(png_of(bits, False, [row] * 8, (level,)))
    assert [picture.getpixel((x, 3)) for x in (1, 6)] == [(255, 255, 255), (0, 0, 0)]


@pytest.mark.parametrize("bits, clear", [(8, (10, 20, 30)), (16, (10_000, 20_000, 30_000))])
def test_a_transparent_colour_of_any_depth_becomes_white(bits, clear):
    row = struct.pack(">12" + {8: "B", 16: "H"}[bits], *clear * 4) + bytes(12 * bits // 8)
    picture = open_picture(png_of(bits, True, [row] * 8, clear))
    assert [picture.getpixel((x, 3)) for x in (1, 6)] == [(255, 255, 255), (0, 0, 0)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_large_pictures_are_reduced_and_keep_their_proportions(kind):
    picture = open_picture(encoded(Image.new("RGB", (3000, 1500), (9, 99, 199)), kind))
    assert picture.size == (MAX_SIDE, MAX_SIDE // 2)
