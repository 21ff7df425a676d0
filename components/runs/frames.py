"""Traces as pictures that travel inside the page: encoded once, then shown without the server."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image
from plotly.colors import get_colorscale, hex_to_rgb

from components.ui.plots import DIVERGING, SEQUENTIAL
from pipelines.image import image
from pipelines.image.guidance import guidance_difference
from pipelines.image.request import DenoiseStep, ImageRequest, Trace

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


class Estimates(Sequence[str]):
    """Pictures of one kind of estimate, each decoded and encoded once, when somebody looks at it.

    While a run draws, nobody can look back, and decoding a picture takes half as long as a step.

    Args:
        model: catalogue id of the run's model.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self.latents: list[np.ndarray] = []
        self.sources: list[str | None] = []

    def append(self, latents: np.ndarray) -> None:
        """Add the estimate of the next step, `[4, y, x]`."""
        self.latents.append(latents)
        self.sources.append(None)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        decode_all([(self, place)])
        return self.sources[place]


def decode_all(wanted: Iterable[tuple[Estimates, int]]) -> None:
    """Decode those of the estimates that have no picture yet, in one call."""
    missing = [(row, i) for row, i in wanted if row.sources[i] is None]
    if not missing:
        return
    latents = np.stack([row.latents[i] for row, i in missing])
    for (row, i), decoded in zip(missing, image.preview(latents, missing[0][0].model), strict=True):
        row.sources[i] = encode(decoded)


@dataclass(frozen=True)
class Frames:
    """The pictures of a trace, one address per step in every row.

    Attributes:
        steps: of the trace.
        guided: the guided estimate, decoded.
        prompt: the estimate with the prompt, decoded.
        empty: the estimate without it, decoded; no entries where the model has no such branch.
        latents: the noisy latents, four channels.
    """

    steps: tuple[DenoiseStep, ...]
    guided: tuple[str, ...]
    prompt: tuple[str, ...]
    empty: tuple[str, ...]
    latents: tuple[str, ...]

    @staticmethod
    def of(trace: Trace) -> "Frames":
        """Decode and encode a trace of at least one step."""
        live = LiveFrames(trace.request)
        live.add(trace.steps)
        return live.frames()

    @cached_property
    def _differences(self) -> list[np.ndarray]:
        return [guidance_difference(step) for step in self.steps] if self.empty else []

    @cached_property
    def signed_limit(self) -> float:
        """Value of full colour in `difference`, the same for all steps."""
        return max((float(np.abs(d).max()) for d in self._differences), default=0.0) or 1.0

    @cached_property
    def length_limit(self) -> float:
        """Value of full colour in `magnitude`, the same for all steps."""
        lengths = (float(np.linalg.norm(d, axis=0).max()) for d in self._differences)
        return max(lengths, default=0.0) or 1.0

    @cached_property
    def difference(self) -> tuple[str, ...]:
        """With minus without, four channels; no entries without that branch."""
        return tuple(encode_exactly(signed_tile(d, self.signed_limit)) for d in self._differences)

    @cached_property
    def magnitude(self) -> tuple[str, ...]:
        """The difference's length per cell; no entries without that branch."""
        return tuple(encode_exactly(magnitude_picture(d, self.length_limit)) for d in self._differences)


@dataclass
class LiveFrames:
    """The pictures of a run while it goes on.

    Attributes:
        request: of the run.
        steps: those that have arrived.
        guided, prompt, empty, latents: as in `Frames`, one entry per step in `steps`.
    """

    request: ImageRequest
    steps: list[DenoiseStep] = field(default_factory=list)
    latents: list[str] = field(default_factory=list)
    guided: Estimates = field(init=False)
    prompt: Estimates = field(init=False)
    empty: Estimates = field(init=False)

    def __post_init__(self) -> None:
        self.guided, self.prompt, self.empty = (Estimates(self.request.model) for _ in range(3))

    @property
    def whole(self) -> bool:
        """Whether the last step has arrived."""
        return bool(self.steps) and self.steps[-1].index + 1 == self.steps[-1].total

    def add(self, steps: Sequence[DenoiseStep]) -> bool:
        """Add steps that have arrived; decodes their guided estimates, and all estimates of the last one.

        Returns:
            Whether the last step is there, whose picture is shown before the others are decoded.
        """
        for step in steps:
            self.guided.append(step.denoised_guided)
            self.prompt.append(step.denoised_prompt)
            if step.denoised_empty is not None:
                self.empty.append(step.denoised_empty)
        self.steps += steps
        self.latents += [latents_uri(step) for step in steps]
        film = [(self.guided, i) for i in range(len(self.guided) - len(steps), len(self.guided))]
        decode_all(film + [(row, len(row) - 1) for row in (self.prompt, self.empty) if row])
        return self.whole

    def frames(self) -> Frames:
        """All pictures so far; those that nobody has looked at yet are decoded in one call."""
        rows = (self.guided, self.prompt, self.empty)
        decode_all((row, i) for row in rows for i in range(len(row)))
        guided, prompt, empty = (tuple(row) for row in rows)
        return Frames(tuple(self.steps), guided, prompt, empty, tuple(self.latents))


THUMB = 192  # px; drawn at half of that at most, so it stays sharp on dense screens


def thumbnail(image: Image.Image) -> str:
    """A small square version of a picture as a `data:` address; what sticks out is cut off."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    if side > THUMB:
        square = square.resize((THUMB, THUMB), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    square.save(buffer, "WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
