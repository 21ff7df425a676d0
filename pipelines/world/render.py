"""Pictures of scenes: sprites on drawn places, seen in a style, a light and a composition."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from pipelines.world.kept import kept_arrays
from pipelines.world.looks import apply_atmosphere, apply_style
from pipelines.world.places import draw_place
from pipelines.world.scene import COLOURS, Scene, Thing

SPRITES = Path(__file__).parents[2] / "assets" / "world"
SPRITE_BYTES = 16 * 2**20  # of scaled sprites: some 100 as large as the gallery's, all that training needs
_WORDS = ("SALE", "HELLO", "NEWS", "OPEN", "TEXT", "ABC", "2026", "STOP")


@lru_cache(maxsize=64)
def _sprite(noun: str) -> np.ndarray:
    """RGBA of a noun, 0..1, `[height, width, 4]`."""
    return np.asarray(Image.open(SPRITES / f"{noun}.png").convert("RGBA"), np.float32) / 255


def _tint(rgba: np.ndarray, colour: str, noun: str) -> np.ndarray:
    """Give a sprite a colour and keep its light and shade; a flower keeps its green stem."""
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    light = rgb @ np.array([0.3, 0.59, 0.11], np.float32)
    light = light / np.quantile(light[alpha[..., 0] > 0.5], 0.75)
    shade = np.clip(light, 0, 1)[..., None]
    shine = np.clip(light - 1, 0, 0.6)[..., None]
    target = np.array(COLOURS[colour], np.float32)
    if colour == "white":
        shade = shade**0.6
    tinted = target * shade * (1 - shine) + shine + (0.22 * shade**2 if colour == "black" else 0)
    if noun == "flower":
        stem = ((rgb[..., 1] > rgb[..., 0] * 1.05) & (rgb[..., 1] > rgb[..., 2]))[..., None]
        tinted = np.where(stem, rgb, tinted)
    return np.concatenate([np.clip(tinted, 0, 1), alpha], -1)


@kept_arrays(SPRITE_BYTES)
def _scaled_sprite(noun: str, colour: str | None, side: int, flip: bool) -> np.ndarray:
    """A tinted sprite whose longest side is `side` px, `[height, width, 4]`, 0..1."""
    rgba = _sprite(noun)
    if colour is not None:
        rgba = _tint(rgba, colour, noun)
    height, width = rgba.shape[:2]
    scale = side / max(height, width)
    shape = (max(2, round(width * scale)), max(2, round(height * scale)))
    # Resize with premultiplied alpha, or the transparent pixels' colour bleeds into the rim.
    premultiplied = np.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], -1)
    image = Image.fromarray((premultiplied * 255).round().astype(np.uint8), "RGBA")
    small = np.asarray(image.resize(shape, Image.Resampling.BOX), np.float32) / 255
    if flip:
        small = small[:, ::-1]
    return small


def _window(start: int, length: int, limit: int) -> tuple[slice, slice]:
    """The part of `[start, start + length)` inside `[0, limit)`, on the canvas and on the sprite."""
    low, high = max(start, 0), min(start + length, limit)
    return slice(low, max(high, low)), slice(low - start, max(high, low) - start)


def _paste(canvas: np.ndarray, sprite: np.ndarray, left: int, top: int) -> np.ndarray:
    """Draw a premultiplied sprite over the canvas, in place. Returns its alpha on the canvas."""
    size = canvas.shape[0]
    rows, sprite_rows = _window(top, sprite.shape[0], size)
    columns, sprite_columns = _window(left, sprite.shape[1], size)
    part = sprite[sprite_rows, sprite_columns]
    alpha = np.zeros((size, size), np.float32)
    alpha[rows, columns] = part[..., 3]
    canvas[rows, columns] = canvas[rows, columns] * (1 - part[..., 3:]) + part[..., :3]
    return alpha


def _shadow(canvas: np.ndarray, thing: Thing, sprite: np.ndarray, scene: Scene) -> None:
    """A soft ellipse on the ground, in place: below a thing, or apart from it where it floats."""
    size = canvas.shape[0]
    width, height = sprite.shape[1] / size, sprite.shape[0] / size
    drop = 0.10 if scene.style == "surreal" else 0.0
    flat = 0.45 if scene.composition == "top-down" else 0.10
    centre_x = thing.x + (0.06 if scene.style == "photorealistic" else 0.0)
    foot = thing.y + height / 2 + drop - (0.3 * height if scene.composition == "top-down" else 0.0)
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size
    distance = ((grid[None] - centre_x) / (0.52 * width)) ** 2 + (
        (grid[:, None] - foot) / (flat * height + 0.01)
    ) ** 2
    strength = 0.55 if scene.style == "photorealistic" else 0.3
    canvas *= 1 - strength * np.clip(1.4 - distance, 0, 1)[..., None]


def _draw_things(canvas: np.ndarray, scene: Scene) -> np.ndarray:
    """Draw every thing, the farthest first, in place. Returns what stays visible, `[thing, y, x]`."""
    size = canvas.shape[0]
    visible = np.zeros((len(scene.things), size, size), np.float32)
    for index in scene.painted:
        thing = scene.things[index]
        sprite = _scaled_sprite(thing.noun, thing.colour, max(3, round(thing.extent * size)), thing.flip)
        if thing.angle % 360:
            sprite = np.clip(ndimage.rotate(sprite, thing.angle, order=1), 0, 1)
        left = round(thing.x * size - sprite.shape[1] / 2)
        top = round(thing.y * size - sprite.shape[0] / 2)
        if scene.place not in ("sea", "night sky") or scene.style == "surreal":
            _shadow(canvas, thing, sprite, scene)
        if scene.style in ("cartoon", "pixel art"):
            _outline(canvas, sprite, left, top)
        if scene.style == "photorealistic":
            sprite = sprite.copy()
            fall = np.linspace(1.12, 0.62, sprite.shape[0], dtype=np.float32)[:, None, None]
            sprite[..., :3] = np.minimum(sprite[..., :3] * fall, sprite[..., 3:])
        alpha = _paste(canvas, sprite, left, top)
        visible *= 1 - alpha
        visible[index] = alpha
    return visible


def _outline(canvas: np.ndarray, sprite: np.ndarray, left: int, top: int) -> None:
    """A dark rim around a sprite, in place."""
    width = max(1, canvas.shape[0] // 64)
    padded = np.pad(sprite[..., 3], width)
    rim = ndimage.maximum_filter(padded, 2 * width + 1)
    dark = np.zeros((*rim.shape, 4), np.float32)
    dark[..., :3] = 0.08 * rim[..., None]
    dark[..., 3] = rim
    _paste(canvas, dark, left - width, top - width)


def _warp(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bend `[y, x, channel]` with two slow waves."""
    size = image.shape[0]
    grid = np.arange(size, dtype=np.float32)
    phase = rng.uniform(0, 2 * np.pi, 2)
    shift_y = 0.035 * size * np.sin(grid * 2 * np.pi * 1.6 / size + phase[0])
    shift_x = 0.035 * size * np.sin(grid * 2 * np.pi * 1.6 / size + phase[1])
    rows = np.clip(grid[:, None] + shift_y[None], 0, size - 1)
    columns = np.clip(grid[None] + shift_x[:, None], 0, size - 1)
    return np.stack(
        [ndimage.map_coordinates(image[..., c], [rows, columns], order=1) for c in range(image.shape[-1])],
        -1,
    )


@lru_cache(maxsize=8)
def _font(px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(px)


def _letters(size: int, defect: str, rng: np.random.Generator) -> np.ndarray:
    """Coverage of the lettering of a defect, `[y, x]`, 0..1."""
    sheet = Image.new("L", (size, size))
    pen = ImageDraw.Draw(sheet)
    if defect == "text":
        for y in rng.uniform(0.02, 0.8, 2):
            word = str(rng.choice(_WORDS))
            pen.text((rng.uniform(0, 0.35) * size, y * size), word, 255, _font(round(size * 0.2)))
    else:
        step = size / 4
        offset = rng.uniform(0, step)
        for k in range(-4, 9):
            start = k * step + offset
            pen.line((start, size, start + size, 0), 255, max(1, size // 40))
        pen.text((0.25 * size, 0.38 * size), "DEMO", 255, _font(round(size * 0.22)))
    return np.asarray(sheet, np.float32) / 255


def _apply_defect(image: np.ndarray, defect: str, rng: np.random.Generator) -> np.ndarray:
    size = image.shape[0]
    if defect == "blur":
        return ndimage.gaussian_filter(image, (size * 0.042, size * 0.042, 0), mode="nearest")
    letters = _letters(size, defect, rng)
    if defect == "watermark":
        return image + (1 - image) * 0.5 * letters[..., None]
    rim = ndimage.maximum_filter(letters, max(3, size // 24 | 1))[..., None]
    return image * (1 - rim) * 1.0 + letters[..., None]


def render(scene: Scene, rng: np.random.Generator, size: int = 64) -> tuple[Image.Image, np.ndarray]:
    """Render a scene.

    Args:
        scene: what to show.
        rng: source of textures, grain and other things that no caption names.
        size: side of the square picture, px.

    Returns:
        The picture, and `[thing, y, x]` bool masks of what stays visible of each thing.
    """
    canvas = draw_place(scene.place, scene.composition, scene.style, rng, size)
    visible = _draw_things(canvas, scene)
    if scene.style == "surreal":
        both = _warp(np.concatenate([canvas, visible.transpose(1, 2, 0)], -1), rng)
        canvas, visible = both[..., :3], both[..., 3:].transpose(2, 0, 1)
    canvas = apply_style(canvas, visible.max(0, initial=0.0), scene.style, rng)
    if scene.atmosphere is not None:
        canvas = apply_atmosphere(canvas, scene.atmosphere, rng)
    if scene.defect is not None:
        canvas = _apply_defect(canvas, scene.defect, rng)
    pixels = (np.clip(canvas, 0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(pixels), visible > 0.5
