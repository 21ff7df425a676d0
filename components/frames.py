"""Traces as pictures that travel inside the page: encoded once, then shown without the server."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from plotly.colors import get_colorscale, hex_to_rgb

from components.plots import DIVERGING, SEQUENTIAL
from pipelines import image
from pipelines.guidance import guidance_difference
from pipelines.image import DenoiseStep, ImageRequest, Trace

LATENT_RANGE = 3.0  # deviations: latents have unit deviation, so nearly all values lie within
_SEAM = 1  # cells between the four channels of a tile


def encode(picture: Image.Image) -> str:
    """A preview as an address that holds the picture itself.

    WebP, since a trace has some sixty of them and a class of thirty loads them over one network;
    the picture for keeping is the PNG.
    """
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def encode_exactly(picture: Image.Image) -> str:
    """Like `encode` but lossless, for grids whose cells are numbers."""
    return "data:image/png;base64," + png_base64(picture)


def png_base64(picture: Image.Image) -> str:
    """A picture as the text of its PNG, as endpoints return it."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def coloured(scale: Sequence[tuple[float, str]], values: np.ndarray) -> np.ndarray:
    """Values 0..1 of any shape to RGB bytes with one more axis."""
    places = [place for place, _ in scale]
    stops = np.array([hex_to_rgb(colour) for _, colour in scale], dtype=float)
    channels = [np.interp(values, places, stops[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def signed_tile(latents: np.ndarray, limit: float) -> Image.Image:
    """Four channels side by side as 2 × 2, blue below zero and orange above.

    Args:
        latents: `[4, y, x]`.
        limit: value at which the colours are full, in both directions.

    Returns:
        RGBA, one px per latent cell; the seam between the channels is transparent.
    """
    _, height, width = latents.shape
    colours = coloured(DIVERGING, latents / (2 * limit) + 0.5)
    tile = np.zeros((2 * height + _SEAM, 2 * width + _SEAM, 4), np.uint8)
    for channel in range(4):
        row, column = divmod(channel, 2)
        y, x = row * (height + _SEAM), column * (width + _SEAM)
        tile[y : y + height, x : x + width, :3] = colours[channel]
        tile[y : y + height, x : x + width, 3] = 255
    return Image.fromarray(tile, "RGBA")


def magnitude_picture(latents: np.ndarray, limit: float) -> Image.Image:
    """Length of the vector at each latent cell, dark at 0 and light at `limit`.

    Args:
        latents: `[4, y, x]`.
        limit: length that gets the lightest colour.
    """
    scale = [(place, colour) for place, colour in get_colorscale(SEQUENTIAL)]
    return Image.fromarray(coloured(scale, np.linalg.norm(latents, axis=0) / limit), "RGB")


def latents_uri(step: DenoiseStep) -> str:
    """The noisy latents after a step, as their four channels."""
    return encode_exactly(signed_tile(step.latents, LATENT_RANGE))


@dataclass(frozen=True)
class Frames:
    """The pictures of a trace, one address per step in every row.

    Attributes:
        guided: the guided estimate, decoded.
        prompt: the estimate with the prompt, decoded.
        empty: the estimate without it, decoded; no entries where the model has no such branch.
        latents: the noisy latents, four channels.
        difference: with minus without, four channels; no entries without that branch.
        magnitude: the difference's length per cell; no entries without that branch.
        signed_limit: value of full colour in `difference`, the same for all steps.
        length_limit: value of full colour in `magnitude`, the same for all steps.
    """

    guided: tuple[str, ...]
    prompt: tuple[str, ...]
    empty: tuple[str, ...]
    latents: tuple[str, ...]
    difference: tuple[str, ...]
    magnitude: tuple[str, ...]
    signed_limit: float
    length_limit: float

    @staticmethod
    def of(trace: Trace) -> "Frames":
        """Decode and encode a trace of at least one step."""
        reel = Reel(trace.request)
        reel.extend(trace.steps)
        return reel.frames()


@dataclass
class Reel:
    """The pictures of a run while it goes on; each is decoded and encoded once.

    Attributes:
        request: of the run.
        steps: those that have arrived.
        guided, prompt, empty, latents: as in `Frames`, one address per step in `steps`.
    """

    request: ImageRequest
    steps: list[DenoiseStep] = field(default_factory=list)
    guided: list[str] = field(default_factory=list)
    prompt: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    latents: list[str] = field(default_factory=list)

    def extend(self, steps: Sequence[DenoiseStep]) -> None:
        """Add steps that have arrived; all their pictures are decoded in one call."""
        empties = [step.denoised_empty for step in steps if step.denoised_empty is not None]
        estimates = [step.denoised_guided for step in steps] + [step.denoised_prompt for step in steps]
        sources = [encode(p) for p in image.preview(np.stack([*estimates, *empties]), self.request.model)]
        count = len(steps)
        self.steps += steps
        self.guided += sources[:count]
        self.prompt += sources[count : 2 * count]
        self.empty += sources[2 * count :]
        self.latents += [latents_uri(step) for step in steps]

    def frames(self) -> Frames:
        """All pictures so far, and the differences in colours that all steps share."""
        differences = [guidance_difference(step) for step in self.steps] if self.empty else []
        signed = max((float(np.abs(d).max()) for d in differences), default=0.0) or 1.0
        length = max((float(np.linalg.norm(d, axis=0).max()) for d in differences), default=0.0) or 1.0
        return Frames(
            guided=tuple(self.guided),
            prompt=tuple(self.prompt),
            empty=tuple(self.empty),
            latents=tuple(self.latents),
            difference=tuple(encode_exactly(signed_tile(d, signed)) for d in differences),
            magnitude=tuple(encode_exactly(magnitude_picture(d, length)) for d in differences),
            signed_limit=signed,
            length_limit=length,
        )
