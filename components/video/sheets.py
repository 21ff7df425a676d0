"""Films as sheets: all frames of a step side by side in one picture, shown piece by piece by the script."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from secrets import token_hex

import numpy as np
from PIL import Image
from plotly.colors import get_colorscale, hex_to_rgb

from components.runs.frames import encode, encode_exactly
from components.ui.plots import SEQUENTIAL
from pipelines.video import video
from pipelines.video.measures import VideoMeasures, measure
from pipelines.video.request import VideoRequest, VideoStep, VideoTrace

LARGEST = 192  # px of a frame's longer side on a sheet; the files have the film in full


def sheet(frames: Sequence[Image.Image], exact: bool = False) -> str:
    """Frames side by side as the address of one picture.

    Args:
        frames: of one size.
        exact: lossless, for grids whose cells are numbers.
    """
    width, height = frames[0].size
    strip = Image.new("RGB", (width * len(frames), height))
    for i, frame in enumerate(frames):
        strip.paste(frame, (i * width, 0))
    return encode_exactly(strip) if exact else encode(strip)


def video_sheet(frames: Sequence[Image.Image], count: int) -> str:
    """A sheet of a film; of more frames than are shown, every second, third, … one.

    Args:
        frames: of the film.
        count: frames that are shown.
    """
    chosen = [frames[round(i * (len(frames) - 1) / max(1, count - 1))] for i in range(count)]
    factor = LARGEST / max(chosen[0].size)
    if factor < 1:
        width, height = (max(1, round(side * factor)) for side in chosen[0].size)
        chosen = [frame.resize((width, height), Image.Resampling.BICUBIC) for frame in chosen]
    return sheet(chosen)


def heat_sheet(maps: np.ndarray, limits: Sequence[float] | np.ndarray) -> str:
    """`[map, row, column]` of 0 to each map's limit as a sheet of heat pictures, dark at 0."""
    scale = [(place, colour) for place, colour in get_colorscale(SEQUENTIAL)]
    shares = [m / limit for m, limit in zip(maps, limits, strict=True)]
    return sheet([Image.fromarray(_coloured(scale, share), "RGB") for share in shares], exact=True)


def _coloured(scale: Sequence[tuple[float, str]], values: np.ndarray) -> np.ndarray:
    """Values 0..1 of any shape to RGB bytes with one more axis."""
    places = [place for place, _ in scale]
    stops = np.array([hex_to_rgb(colour) for _, colour in scale], dtype=float)
    channels = [np.interp(values, places, stops[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


@dataclass(frozen=True, eq=False)
class VideoResult:
    """A film as the page shows it.

    Attributes:
        trace: of the run.
        sheets: address of a sheet for every step, as it was shown while the film was drawn; of the last step
            the decoder's own.
        measures: how it holds together and moves.
        run: what the page calls it.
    """

    trace: VideoTrace
    sheets: tuple[str, ...]
    measures: VideoMeasures
    run: str = field(default_factory=partial(token_hex, 8))

    @property
    def count(self) -> int:
        """Frames that the page shows: those of the latents."""
        return len(self.trace.steps[0].latents)

    @cached_property
    def exact_sheets(self) -> tuple[str, ...]:
        """The decoder's own sheet of every step, for whoever begins to scrub through them."""
        steps, model = self.trace.steps, self.trace.request.model
        # a call for each step, so that others wait for one at most
        decoded = (video.decode(step.denoised, model) for step in steps[:-1])
        return *(video_sheet(frames, self.count) for frames in decoded), self.sheets[-1]


@dataclass
class LiveVideo:
    """The sheets of a run while it goes on.

    Attributes:
        request: of the run.
        steps: those that have arrived.
        sheets: one for each.
    """

    request: VideoRequest
    steps: list[VideoStep] = field(default_factory=list)
    sheets: list[str] = field(default_factory=list)

    def add(self, step: VideoStep) -> bool:
        """Note a step and its preview, which need not be shown at once."""
        pictures = video.preview(step.denoised, self.request.model)
        self.steps.append(step)
        self.sheets.append(video_sheet(pictures, len(step.denoised)))
        return False

    def result(self) -> VideoResult:
        """The film at the end of the run, or where it was stopped."""
        trace = video.finish(self.request, self.steps)
        last = video_sheet(trace.frames, len(self.steps[-1].latents))
        return VideoResult(trace, (*self.sheets[:-1], last), measure(trace.frames))
