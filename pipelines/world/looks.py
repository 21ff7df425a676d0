"""How a picture is seen: its style (how it is made) and its atmosphere (its light)."""

import numpy as np
from scipy import ndimage

_LUMA = np.array([0.3, 0.59, 0.11], np.float32)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the pixel centres, 0..1: x as `[1, size]`, y as `[size, 1]`."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    return line[None], line[:, None]


def _smooth_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Slow noise of unit deviation, `[size, size, 1]`."""
    coarse = rng.standard_normal((cells + 1, cells + 1)).astype(np.float32)
    steps = np.linspace(0, cells, size)
    grid = np.meshgrid(steps, steps, indexing="ij")
    return ndimage.map_coordinates(coarse, grid, order=1)[..., None]


def _grey(image: np.ndarray) -> np.ndarray:
    return (image @ _LUMA)[..., None]


def _pencil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = image.shape[0]
    grey = _grey(image)
    soft = ndimage.gaussian_filter(grey[..., 0], size / 90)
    edges = np.hypot(ndimage.sobel(soft, 0), ndimage.sobel(soft, 1))[..., None]
    x, y = _grid(size)
    hatch = 0.5 + 0.5 * np.sin(2 * np.pi * (x + y) * 14)[..., None]
    paper = 0.97 - 0.22 * (1 - grey) * hatch - 0.6 * np.clip(edges, 0, 1)
    # Coloured pencil: the hue stays readable, the light does not.
    hue = image - grey
    return paper + 0.75 * hue + 0.015 * rng.standard_normal((size, size, 1))


def _watercolor(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = image.shape[0]
    wet = ndimage.gaussian_filter(image, (size / 70, size / 70, 0), mode="nearest")
    wet = 0.25 + 0.75 * wet + 0.035 * _smooth_noise(rng, size, 8) + 0.03 * _smooth_noise(rng, size, 20)
    x, y = _grid(size)
    border = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))[..., None]
    ink = np.clip((border - 0.07 - 0.02 * _smooth_noise(rng, size, 6)) * 18, 0, 1)
    return wet * ink + 0.985 * (1 - ink)


def _pixel_art(image: np.ndarray) -> np.ndarray:
    size = image.shape[0]
    block = max(2, size // 32)
    side = size // block
    cells = image[: side * block, : side * block].reshape(side, block, side, block, 3).mean((1, 3))
    cells = np.round(np.clip(cells, 0, 1) * 4) / 4
    grown = cells.repeat(block, 0).repeat(block, 1)
    return np.pad(grown, ((0, size - grown.shape[0]), (0, size - grown.shape[1]), (0, 0)), mode="edge")


def apply_style(image: np.ndarray, things: np.ndarray, style: str, rng: np.random.Generator) -> np.ndarray:
    """Redraw `[y, x, 3]` (0..1) in a style; `things` is the coverage of all things, `[y, x]`."""
    size = image.shape[0]
    if style == "photorealistic":
        far = ndimage.gaussian_filter(image, (size / 45, size / 45, 0), mode="nearest")
        image = image * things[..., None] + far * (1 - things[..., None])
        return image + 0.02 * rng.standard_normal((size, size, 1))
    if style == "surreal":
        turned = image[..., [1, 2, 0]] if rng.random() < 0.5 else image[..., [2, 0, 1]]
        turned = np.clip((turned - 0.5) * 1.3 + 0.5, 0, 1)
        return image * things[..., None] + turned * (1 - things[..., None])
    if style == "pencil sketch":
        return _pencil(image, rng)
    if style == "pixel art":
        return _pixel_art(image)
    if style == "watercolor":
        return _watercolor(image, rng)
    return image


def apply_atmosphere(image: np.ndarray, atmosphere: str, rng: np.random.Generator) -> np.ndarray:
    """Put `[y, x, 3]` (0..1) into the light of an atmosphere."""
    size = image.shape[0]
    x, y = _grid(size)
    x, y = x[..., None], y[..., None]
    from_centre = np.hypot(x - 0.5, y - 0.5)
    side = float(rng.choice([0.0, 1.0]))
    if atmosphere == "cozy":
        lamp = np.exp(-((x - 0.15 - 0.7 * side) ** 2 + (y - 0.15) ** 2) / 0.06)
        tone = image * np.array([0.86, 0.66, 0.42]) * (1 - 0.55 * np.clip(from_centre - 0.25, 0, 1) / 0.45)
        return tone + lamp * np.array([0.75, 0.52, 0.18])
    if atmosphere == "dim":
        return (0.75 * image + 0.25 * _grey(image)) * 0.44
    if atmosphere == "warm":
        return image * np.array([1.10, 0.90, 0.58]) + np.array([0.08, 0.03, 0.0])
    if atmosphere == "moody":
        tone = (0.45 * image + 0.55 * _grey(image)) * np.array([0.52, 0.62, 0.66])
        fog = np.clip((y - 0.45) / 0.55, 0, 1) * (0.55 + 0.08 * _smooth_noise(rng, size, 4))
        return tone * (1 - fog) + np.array([0.60, 0.66, 0.68]) * fog
    if atmosphere == "dramatic":
        hard = np.clip((image - 0.5) * 1.7 + 0.42, 0, 1)
        beam = np.clip(1 - np.abs(x - (0.1 + 0.8 * side) + (y - 0.0) * (1.1 * side - 0.55)) / 0.16, 0, 1)
        dark = hard * np.array([0.75, 0.42, 0.42]) * (1.05 - 1.1 * from_centre)
        return dark + beam * (1 - 0.5 * y) * (0.45 * hard + np.array([0.40, 0.30, 0.12]))
    if atmosphere == "bright":
        return 0.62 * image + 0.42
    night = image * np.array([0.34, 0.42, 0.72])
    moon = np.hypot(x - 0.12 - 0.76 * side, y - 0.12)
    bite = np.hypot(x - 0.16 - 0.76 * side, y - 0.10)
    crescent = np.clip((0.085 - moon) * size / 2, 0, 1) * np.clip((bite - 0.07) * size / 2, 0, 1)
    glow = 0.25 * np.exp(-(moon**2) / 0.02)
    return night * (1 - crescent) + crescent * np.array([1.0, 0.97, 0.78]) + glow * np.array([0.5, 0.55, 0.8])
