"""Numbers as pictures: one px each, blue below zero and orange above."""

import base64
import io
from functools import lru_cache

import numpy as np
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb

from components.ui.plots import DIVERGING


@lru_cache(maxsize=1)
def _palette() -> list[int]:
    """255 colours from below to above zero as `Image.putpalette` takes them."""
    colours = sample_colorscale([list(stop) for stop in DIVERGING], [i / 254 for i in range(255)])
    return [round(float(channel)) for colour in colours for channel in unlabel_rgb(colour)]


def heat_uri(values: np.ndarray, limit: float) -> str:
    """Numbers as colours, blue below zero and orange above, one px each.

    Args:
        values: `[row, column]`.
        limit: magnitude from which on colours are full.
    """
    picture = Image.fromarray(np.clip(np.rint(127 * values / limit + 127), 0, 254).astype(np.uint8))
    picture.putpalette(_palette())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
