"""Draw the picture of docs/world.md: one row for each dimension of the classroom world.

Run: `python -m training.render_world_page` (writes docs/images/world.webp).
"""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipelines.world.captions import caption
from pipelines.world.films import FRAMES, MOTIONS, Film, draw_film, render_frame
from pipelines.world.layout import draw_scene, lay_out
from pipelines.world.render import render
from pipelines.world.scene import (
    ATMOSPHERES,
    COLOURS,
    COMPOSITIONS,
    DEFECTS,
    NOUNS,
    PLACES,
    RELATIONS,
    SIZES,
    STYLES,
    Scene,
    Thing,
)

TARGET = Path("docs/images/world.webp")
FONT = Path("assets/fonts/Inter-Regular.otf")
SIDE, GAP, LABEL, TITLE = 128, 12, 22, 34  # px
COLUMNS = 9
FILM_FRAMES, FILM_SIDE = 5, 80  # px
INK, PAPER, QUIET = (28, 32, 40), (255, 255, 255), (96, 104, 116)

Row = tuple[str, list[tuple[str, Scene]]]


def _scene(*things: Thing, **looks: str) -> Scene:
    return Scene(things, **looks)  # type: ignore[arg-type]


def rows() -> Iterator[Row]:
    """Title and labelled scenes of each dimension; all pictures of a row share their seed."""
    cat, house = Thing("cat"), Thing("house")
    yield "objects", [(n, _scene(Thing(n), composition="centered")) for n in NOUNS]
    yield "colours", [(c, _scene(Thing("car", c), place="snow", composition="centered")) for c in COLOURS]
    yield "counts", [(str(n), _scene(*(Thing("ball"),) * n)) for n in (1, 2, 3, 4)]
    yield "sizes", [(s, _scene(Thing("dog", size=s), place="beach")) for s in SIZES]
    yield "relations", [(f"cat {r} house", _scene(cat, house, relation=r)) for r in RELATIONS]
    yield "places", [(p, _scene(cat, place=p)) for p in PLACES]
    yield "atmospheres", [(a, _scene(cat, place="room", atmosphere=a)) for a in ATMOSPHERES]
    yield "styles", [(s, _scene(Thing("house", "red"), style=s)) for s in STYLES]
    yield "compositions", [(c, _scene(cat, place="street", composition=c)) for c in COMPOSITIONS]
    yield "defects", [(d, _scene(Thing("boat"), place="sea", defect=d)) for d in DEFECTS]


def _picture(scene: Scene, key: str) -> Image.Image:
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    return render(lay_out(scene, rng), rng, SIDE)[0]


def _captioned(count: int) -> Iterator[tuple[str, Image.Image]]:
    """Scenes of the training stream at the size that models see, with a caption each."""
    rng = np.random.default_rng(2026)
    for _ in range(count):
        scene = draw_scene(rng)
        picture = render(scene, rng, 64)[0]
        yield caption(scene, rng), picture.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def _films() -> Iterator[tuple[str, Image.Image]]:
    """Five frames of each motion in one strip, a sixteenth to its last sixteenth."""
    for motion in MOTIONS:
        film = draw_film(np.random.default_rng(zlib.crc32(motion.encode())), motion=motion)
        film = Film(replace(film.scene, atmosphere=None, style="cartoon"), motion)
        frames = np.linspace(0, FRAMES - 1, FILM_FRAMES).round().astype(int)
        strip = Image.new("RGB", (FILM_FRAMES * FILM_SIDE, FILM_SIDE))
        for i, frame in enumerate(frames):
            picture = render_frame(film, int(frame), np.random.default_rng(1), FILM_SIDE)[0]
            strip.paste(picture, (i * FILM_SIDE, 0))
        yield motion, strip


def _wrapped(text: str, pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, width: int) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer, font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def draw_page() -> Image.Image:
    """All rows below each other, `COLUMNS` pictures wide."""
    title, label = ImageFont.truetype(FONT, 22), ImageFont.truetype(FONT, 13)
    blocks = [(name, [(text, _picture(s, name)) for text, s in cells]) for name, cells in rows()]
    blocks.append(("from the training stream (64 px, as the models see them)", list(_captioned(COLUMNS))))
    lines = [-(-len(cells) // COLUMNS) for _, cells in blocks]
    films = list(_films())
    film_rows = -(-len(films) // 3)
    height = sum(TITLE + n * (SIDE + LABEL + GAP) + GAP for n in lines) + 5 * LABEL
    height += TITLE + film_rows * (FILM_SIDE + LABEL + GAP) + GAP
    page = Image.new("RGB", (GAP + COLUMNS * (SIDE + GAP), height), PAPER)
    pen = ImageDraw.Draw(page)
    top = GAP
    for (name, cells), count in zip(blocks, lines, strict=True):
        pen.text((GAP, top), name, INK, title)
        top += TITLE
        for i, (text, picture) in enumerate(cells):
            row, column = divmod(i, COLUMNS)
            left, upper = GAP + column * (SIDE + GAP), top + row * (SIDE + LABEL + GAP)
            page.paste(picture, (left, upper))
            pen.multiline_text((left, upper + SIDE + 3), _wrapped(text, pen, label, SIDE), QUIET, label)
        top += count * (SIDE + LABEL + GAP) + GAP
    pen.text((GAP, top + 4 * LABEL), "films: first to last of 16 frames", INK, title)
    for i, (text, strip) in enumerate(films):
        row, column = divmod(i, 3)
        left = GAP + column * 3 * (SIDE + GAP)
        upper = top + 4 * LABEL + TITLE + row * (FILM_SIDE + LABEL + GAP)
        page.paste(strip, (left, upper))
        pen.text((left, upper + FILM_SIDE + 3), text, QUIET, label)
    return page


def main() -> None:
    """Write the page."""
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    draw_page().save(TARGET, quality=88, method=6)


if __name__ == "__main__":
    main()
