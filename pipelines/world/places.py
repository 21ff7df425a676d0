"""The places of the world, drawn by code: seen from the front, from far away, or from above."""

import numpy as np
from scipy import ndimage

Canvas = np.ndarray  # [y, x, 3], 0..1


def _gradient(size: int, top: tuple[float, ...], bottom: tuple[float, ...]) -> Canvas:
    t = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    band = np.array(top, np.float32) * (1 - t) + np.array(bottom, np.float32) * t
    return np.repeat(band, size, 1)


def _speckle(canvas: Canvas, rng: np.random.Generator, strength: float, rows: slice) -> None:
    """Unevenness of a ground at about 1/64 of the picture, in place."""
    size = canvas.shape[0]
    cell = max(1, size // 64)
    side = -(-size // cell)
    noise = rng.standard_normal((side, side, 1)).astype(np.float32).repeat(cell, 0).repeat(cell, 1)
    canvas[rows] += strength * noise[:size, :size][rows]


def _hills(canvas: Canvas, rng: np.random.Generator, line: int, colour: tuple[float, ...]) -> None:
    """A wavy ridge above row `line`, in place."""
    size = canvas.shape[0]
    x = np.linspace(0, 2 * np.pi, size)
    ridge = line - size * (0.07 + 0.05 * np.sin(x * rng.uniform(0.6, 1.6) + rng.uniform(0, 6)))
    inside = (np.arange(size)[:, None] >= ridge[None]) & (np.arange(size)[:, None] < line)
    canvas[inside] = colour


def _stars(canvas: Canvas, rng: np.random.Generator, count: int) -> None:
    size = canvas.shape[0]
    dot = max(1, size // 64)
    for row, column in rng.integers(0, size - dot + 1, (count, 2)):
        canvas[row : row + dot, column : column + dot] = rng.uniform(0.7, 1.0)


def _room(canvas: Canvas, rng: np.random.Generator, line: int) -> None:
    size = canvas.shape[0]
    canvas[:line] = np.array([0.90, 0.80, 0.66]) + rng.uniform(-0.06, 0.06, 3)
    canvas[:line, :: max(2, size // 8)] *= 0.95
    canvas[line:] = (0.56, 0.36, 0.22)
    for k in range(line, size, max(2, size // 12)):
        canvas[k : k + max(1, size // 64)] *= 0.78
    canvas[line - max(1, size // 40) : line] = (0.97, 0.95, 0.90)
    left = int(size * rng.choice([0.06, 0.66]))
    top, bottom, right = int(size * 0.08), int(size * 0.36), left + int(size * 0.28)
    canvas[top:bottom, left:right] = (0.98, 0.97, 0.94)
    rim = max(1, size // 40)
    canvas[top + rim : bottom - rim, left + rim : right - rim] = (0.62, 0.84, 0.97)
    middle = (left + right) // 2
    canvas[top:bottom, middle : middle + rim] = (0.98, 0.97, 0.94)


def _meadow(canvas: Canvas, rng: np.random.Generator, line: int) -> None:
    canvas[:] = _gradient(canvas.shape[0], (0.42, 0.72, 0.98), (0.86, 0.94, 1.0))
    _hills(canvas, rng, line, (0.30, 0.60, 0.32))
    canvas[line:] = (0.40, 0.74, 0.28)
    _speckle(canvas, rng, 0.03, slice(line, None))


def _street(canvas: Canvas, rng: np.random.Generator, line: int) -> None:
    size = canvas.shape[0]
    canvas[:] = (0.72, 0.78, 0.84)
    column = 0
    while column < size:
        width, height = int(size * rng.uniform(0.16, 0.26)), int(size * rng.uniform(0.18, 0.42))
        tone = np.array([0.52, 0.44, 0.42]) * rng.uniform(0.8, 1.25)
        canvas[line - height : line, column : column + width] = tone
        step = max(3, size // 14)
        for y in range(line - height + step // 2, line - step, step):
            for x in range(column + step // 2, column + width - step // 2, step):
                canvas[y : y + step // 2, x : x + step // 2] = (0.98, 0.90, 0.58)
        column += width
    canvas[line:] = (0.36, 0.36, 0.39)
    canvas[line : line + max(1, size // 24)] = (0.66, 0.66, 0.66)
    dash_row, dash = line + (size - line) * 6 // 10, max(2, size // 8)
    for x in range(int(rng.integers(0, dash)), size, 2 * dash):
        canvas[dash_row : dash_row + max(1, size // 32), x : x + dash] = (0.95, 0.95, 0.90)


def _beach(canvas: Canvas, rng: np.random.Generator, line: int) -> None:
    size = canvas.shape[0]
    canvas[:] = _gradient(size, (0.36, 0.74, 0.98), (0.80, 0.93, 1.0))
    canvas[line - int(size * 0.13) : line] = (0.10, 0.55, 0.74)
    canvas[line : line + max(1, size // 40)] = (0.97, 0.98, 0.98)
    canvas[line + max(1, size // 40) :] = (0.95, 0.84, 0.56)
    _speckle(canvas, rng, 0.02, slice(line, None))


def _snow(canvas: Canvas, rng: np.random.Generator, line: int) -> None:
    canvas[:] = _gradient(canvas.shape[0], (0.70, 0.78, 0.88), (0.84, 0.88, 0.94))
    _hills(canvas, rng, line, (0.78, 0.83, 0.92))
    canvas[line:] = (0.95, 0.97, 1.0)
    _speckle(canvas, rng, 0.015, slice(line, None))
    _stars(canvas, rng, 40)


def _waves(canvas: Canvas, rng: np.random.Generator, first_row: int) -> None:
    size = canvas.shape[0]
    x = np.linspace(0, 2 * np.pi, size)
    thick = max(1, size // 40)
    for k, row in enumerate(range(first_row + size // 20, size, max(3, size // 9))):
        crest = row + 0.025 * size * np.sin(x * 4 + rng.uniform(0, 6) + k)
        distance = np.abs(np.arange(size)[:, None] - crest[None])
        canvas[distance < thick] = (0.24, 0.54, 0.82)


def _sea(canvas: Canvas, rng: np.random.Generator, line: int) -> None:
    line = int(line * 0.75)
    canvas[:] = _gradient(canvas.shape[0], (0.55, 0.80, 0.98), (0.80, 0.92, 1.0))
    canvas[line:] = (0.06, 0.36, 0.70)
    _waves(canvas, rng, line)


def _night_sky(canvas: Canvas, rng: np.random.Generator, line: int) -> None:
    size = canvas.shape[0]
    canvas[:] = _gradient(size, (0.03, 0.03, 0.14), (0.16, 0.09, 0.34))
    grid = np.linspace(0, 1, size, dtype=np.float32)
    offset = rng.uniform(0.6, 1.4)
    band = np.exp(-((grid[None] + grid[:, None] - offset) ** 2) / 0.03)[..., None]
    canvas += 0.22 * band * np.array([0.9, 0.6, 1.0])
    _stars(canvas, rng, 70)


_FRONT = {
    "room": _room,
    "meadow": _meadow,
    "street": _street,
    "beach": _beach,
    "snow": _snow,
    "sea": _sea,
    "night sky": _night_sky,
}
_GROUND = {
    "room": (0.60, 0.40, 0.25),
    "meadow": (0.40, 0.74, 0.28),
    "street": (0.36, 0.36, 0.39),
    "beach": (0.95, 0.84, 0.56),
    "snow": (0.95, 0.97, 1.0),
    "sea": (0.06, 0.36, 0.70),
}


def _draw_from_above(place: str, rng: np.random.Generator, size: int) -> Canvas:
    """Nothing but ground: no horizon, no sky."""
    canvas = np.empty((size, size, 3), np.float32)
    canvas[:] = _GROUND[place]
    if place == "room":
        plank = max(3, size // 7)
        canvas[:, ::plank] *= 0.75
        for k in range(0, size, plank):
            canvas[int(rng.integers(0, size)), k : k + plank] *= 0.75
        canvas[size // 5 : -size // 5, size // 6 : -size // 6] = (0.74, 0.30, 0.30)
        canvas[size // 4 : -size // 4, size // 5 : -size // 5] = (0.86, 0.74, 0.56)
    elif place == "street":
        canvas[:, size // 2 - size // 40 : size // 2 + max(1, size // 40)] = (0.95, 0.95, 0.90)
        canvas[:: max(2, size // 6)] = np.where(
            canvas[:: max(2, size // 6)] > 0.8, 0.4, canvas[:: max(2, size // 6)]
        )
        canvas[:, : size // 12] = canvas[:, -(size // 12) :] = (0.66, 0.66, 0.66)
    elif place == "sea":
        _waves(canvas, rng, -size // 10)
    else:
        slow = ndimage.gaussian_filter(rng.standard_normal((size, size)), size / 20)
        canvas += 0.05 * (slow / slow.std())[..., None]
    if place != "sea":
        _speckle(canvas, rng, 0.02, slice(None))
    return canvas


def draw_place(
    place: str, composition: str | None, style: str, rng: np.random.Generator, size: int
) -> Canvas:
    """Draw an empty place.

    Args:
        place: one of `scene.PLACES`.
        composition: "top-down" leaves out the horizon, "wide shot" lowers it and adds sky,
            "close-up" throws the place out of focus.
        style: cartoons are drawn without texture.
        rng: source of textures.
        size: side, px.

    Returns:
        `[size, size, 3]`, about 0..1 (not clipped).
    """
    if composition == "top-down":
        return np.clip(_draw_from_above(place, rng, size), 0, 1)
    canvas = np.empty((size, size, 3), np.float32)
    share = 0.48 if composition == "wide shot" else rng.uniform(0.56, 0.62)
    _FRONT[place](canvas, rng, int(size * share))
    if composition == "close-up":
        canvas = ndimage.gaussian_filter(canvas, (size / 22, size / 22, 0), mode="nearest")
    return np.clip(canvas, 0, 1)
