"""Traces as pictures that travel inside the page: encoded once, then shown without the server."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex
from typing import Any

import numpy as np
from PIL import Image

from pipelines.image import image
from pipelines.image.request import DenoiseStep, ImageRequest, Trace


def encode(picture: Image.Image, quality: int = 88) -> str:
    """A preview as an address that holds the picture itself.

    WebP, since a trace has some sixty of them and a class of thirty loads them over one network;
    the picture for keeping is the PNG.

    Args:
        picture: of any size.
        quality: 0..100; less for pictures so small that nobody sees what is lost.
    """
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def encode_exactly(picture: Image.Image) -> str:
    """Like `encode` but lossless, for grids whose cells are numbers."""
    return "data:image/png;base64," + png_base64(picture)


def png_base64(picture: Image.Image) -> str:
    """A picture as the text of its PNG, as endpoints return it."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def packed(values: np.ndarray) -> str:
    """Numbers as text: the value of one unit as float32, then a signed byte each, in base64.

    Args:
        values: of any shape.
    """
    unit = np.float32(max(float(np.abs(values).max()), 1e-6) / 127)
    whole = np.rint(values / unit).astype(np.int8)
    return base64.b64encode(unit.tobytes() + whole.tobytes()).decode("ascii")


class Estimates(Sequence[str]):
    """Pictures of latents of one kind, each decoded and encoded once, when somebody looks at it.

    Decoding a picture takes half as long as a step, and nobody looks at most of them.

    Args:
        model: catalogue id of the run's model.
        noisy: whether the latents are on the way from noise, not estimates without it.
    """

    def __init__(self, model: str, noisy: bool = False) -> None:
        self.model, self.noisy = model, noisy
        self.latents: list[np.ndarray] = []
        self.sources: list[str | None] = []
        self._numbers: list[str] = []

    def append(self, latents: np.ndarray) -> None:
        """Add the latents of the next step, `[4, y, x]`."""
        self.latents.append(latents)
        self.sources.append(None)

    def small(self, index: int) -> np.ndarray:
        """`[4, y, x]` the latents as they are decoded and sent."""
        return image.small(self.latents[index][None], self.noisy)[0]

    @property
    def numbers(self) -> list[str]:
        """All latents as they are sent, `packed` once each."""
        self._numbers += [packed(self.small(i)) for i in range(len(self._numbers), len(self))]
        return self._numbers[: len(self)]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: Any) -> Any:
        places = range(len(self))[index]
        wanted = [places] if isinstance(places, int) else places
        decode_all((self, place) for place in wanted)
        found = [self.sources[place] for place in wanted]
        return found[0] if isinstance(places, int) else found

    def __iter__(self) -> Iterator[str]:
        return iter(self[:])  # all in one call


def decode_all(wanted: Iterable[tuple[Estimates, int]]) -> None:
    """Decode those that have no picture yet, in one call."""
    missing = [(row, i) for row, i in wanted if row.sources[i] is None]
    if not missing:
        return
    latents = np.concatenate([row.small(i)[None] for row, i in missing])
    for (row, i), decoded in zip(missing, image.decode(latents, missing[0][0].model), strict=True):
        row.sources[i] = encode(decoded)


@dataclass
class Frames:
    """The pictures of a run, while it goes on and when it is over.

    Attributes:
        request: of the run.
        steps: those that have arrived.
        run: what the page calls it.
        noisy: the noisy latents; first the noise at the start, then those after each step.
        guided: the guided estimate of each step.
        prompt: the estimate with the prompt.
        empty: the estimate without it; no entries where the model has no such branch.
    """

    request: ImageRequest
    steps: list[DenoiseStep] = field(default_factory=list)
    run: str = field(default_factory=partial(token_hex, 8))
    noisy: Estimates = field(init=False)
    guided: Estimates = field(init=False)
    prompt: Estimates = field(init=False)
    empty: Estimates = field(init=False)

    def __post_init__(self) -> None:
        self.noisy = Estimates(self.request.model, noisy=True)
        self.guided, self.prompt, self.empty = (Estimates(self.request.model) for _ in range(3))

    @staticmethod
    def of(trace: Trace) -> "Frames":
        """The pictures of a trace of at least one step."""
        frames = Frames(trace.request)
        frames.add(trace.steps)
        return frames

    @property
    def whole(self) -> bool:
        """Whether the last step has arrived."""
        return bool(self.steps) and self.steps[-1].index + 1 == self.steps[-1].total

    def add(self, steps: Sequence[DenoiseStep]) -> bool:
        """Add steps that have arrived; none is due on the page before its time."""
        for step in steps:
            if step.start is not None:
                self.noisy.append(step.start)
            self.noisy.append(step.latents)
            self.guided.append(step.denoised_guided)
            self.prompt.append(step.denoised_prompt)
            if step.denoised_empty is not None:
                self.empty.append(step.denoised_empty)
        self.steps += steps
        return False

    @property
    def rows(self) -> dict[str, Estimates]:
        """All pictures by name of row."""
        return {name: getattr(self, name) for name in ("noisy", "guided", "prompt", "empty")}


THUMB = 192  # px; drawn at half of that at most, so it stays sharp on dense screens


def thumbnail(image: Image.Image) -> str:
    """A small square version of a picture as a `data:` address; what sticks out is cut off."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    if side > THUMB:
        square = square.resize((THUMB, THUMB), Image.Resampling.LANCZOS)
    return encode(square)
