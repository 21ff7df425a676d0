"""Render the world's sprites once from Noto Color Emoji (SIL OFL 1.1).

Run: `python -m training.render_sprites /path/to/NotoColorEmoji.ttf`
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pipelines.world.scene import NOUNS

GLYPHS = dict(zip(NOUNS, "🐈🐕🐇🐦🐎🐟🏠🌳🚗⛵🛏🪑🌷⚽🎸🥁", strict=True))
BITMAP_SIZE = 109  # the one size that Noto's bitmap glyphs have
SIDE = 128


def render_sprite(glyph: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """One glyph, cropped to its ink and fitted into `SIDE` px, transparent around."""
    sheet = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(sheet).text((10, 10), glyph, font=font, embedded_color=True)
    sprite = sheet.crop(sheet.getchannel("A").getbbox())
    scale = SIDE / max(sprite.size)
    size = (round(sprite.width * scale), round(sprite.height * scale))
    return sprite.resize(size, Image.Resampling.LANCZOS)


def main(font_path: str) -> None:
    folder = Path("assets/world")
    folder.mkdir(parents=True, exist_ok=True)
    font = ImageFont.truetype(font_path, BITMAP_SIZE)
    for noun, glyph in GLYPHS.items():
        render_sprite(glyph, font).save(folder / f"{noun}.png", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
