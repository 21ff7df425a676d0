"""What a film is made from and what comes of it: the request, a step, and the trace of a run."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from pipelines.image.request import MAX_GUIDANCE_SCALE, MAX_SIZE, MAX_STEPS, MIN_SIZE
from pipelines.serving import catalogue
from pipelines.serving.checks import MAX_SEED, more_added, number, readable, whole
from pipelines.serving.errors import InputError
from pipelines.video.animatediff_recorder import VideoInside

FRAMES_PER_SECOND = 8


FEATURE_TIMESTEP = 261  # where a diffusion model's features tell places apart best: Tang et al. 2023,


@dataclass(frozen=True)
class VideoRequest:
    """One film.

    Attributes:
        prompt: what the film shall show.
        later: what later frames are told: pairs of a frame (1 to the last) and its text, in order. Between
            two of them the text goes over from one to the other; before the first it comes from `prompt`.
        negative_prompt: what guidance moves away from; empty means the empty prompt.
        seed: 0..2**32-1, decides the noise that all frames start from.
        guidance_scale: 0..20; 0 ignores the prompt, 1 is the plain conditional model.
        num_inference_steps: 1..100.
        num_frames: as many as the model can; None means the number it was trained with. Where a frame of
            latents holds several pictures, the number is rounded down to one that fits.
        model: catalogue id of the role "video"; empty means the preselected one.
        height: px; None means the model's own.
        width: px; None means the model's own.
        motion: whether frames look at each other; without it each is drawn for itself.
        added: characters of the prompt that nobody typed (`varied`); they do not count against the limit.
    """

    prompt: str
    later: tuple[tuple[int, str], ...] = ()
    negative_prompt: str = ""
    seed: int = 0
    guidance_scale: float = 5.0
    num_inference_steps: int = 12
    num_frames: int | None = None
    model: str = ""
    height: int | None = None
    width: int | None = None
    motion: bool = True
    added: int = field(default=0, compare=False)

    def parameters(self) -> dict[str, Any]:
        """Plain values; `VideoRequest(**parameters)` asks for the same film again."""
        found = asdict(self)
        del found["added"]
        return found

    def varied(self, prompt: str) -> "VideoRequest":
        """The same request for a prompt that the app made of this one, with words of its own."""
        return replace(self, prompt=prompt, added=more_added(self.prompt, prompt, self.added))

    def validated(self) -> "VideoRequest":
        """The same request with every value checked, typed and the model's own values filled in.

        Raises:
            InputError: `film_prompt_empty`, `prompt_too_long`, `text_broken`, `seed_range`,
                `guidance_scale_range`, `steps_range`, `film_size_range`, `frames_range`, `schedule_shape`,
                `schedule_order`, `schedule_frame`, `model_unknown`.
        """
        scale = number(self.guidance_scale)
        if not 0 <= scale <= MAX_GUIDANCE_SCALE:  # false for NaN, too
            raise InputError("guidance_scale_range", high=MAX_GUIDANCE_SCALE, received=self.guidance_scale)
        model = catalogue.entry(self.model or catalogue.default_id("video"), "video").id
        frame = catalogue.entry(model).frame
        assert frame is not None  # every entry of this role says what its films are like
        asked = frame.count if self.num_frames is None else self.num_frames
        frames = whole("frames_range", asked, 2, frame.most)
        frames = max(1, (frames - 1) // frame.held) * frame.held + 1  # as the library rounds
        return replace(
            self,
            prompt=_said(self.prompt, self.added),
            later=_schedule(self.later, frames),
            negative_prompt=readable(self.negative_prompt or ""),
            seed=whole("seed_range", self.seed, 0, MAX_SEED),
            guidance_scale=scale,
            num_inference_steps=whole("steps_range", self.num_inference_steps, 1, MAX_STEPS),
            num_frames=frames,
            model=model,
            height=_side(self.height, frame.unit),
            width=_side(self.width, frame.unit),
            motion=bool(self.motion),
        )


@dataclass(frozen=True, eq=False)
class VideoStep:
    """What the model did in one step, for all frames at once.

    Attributes:
        index: 0-based.
        total: number of steps of the run.
        timestep: noise level the step began at, 999 (only noise) to 0.
        latents: `[frame, channel, y, x]` after the step, float32. A model may hold several pictures of the
            film in one frame of latents.
        denoised: `[frame, channel, y, x]` guided estimate of the clean latents.
        inside: how the frames looked at each other; None where they did not.
    """

    index: int
    total: int
    timestep: int
    latents: np.ndarray
    denoised: np.ndarray
    inside: VideoInside | None = None

    @property
    def last(self) -> bool:
        return self.index + 1 == self.total


@dataclass(frozen=True, eq=False)
class VideoTrace:
    """A run from noise to film.

    Attributes:
        request: checked.
        steps: all of them, or those before a stop.
        frames: the film, or the last estimate before a stop.
    """

    request: VideoRequest
    steps: tuple[VideoStep, ...]
    frames: tuple[Image.Image, ...]

    @property
    def whole(self) -> bool:
        """Whether it ran to its end."""
        return self.steps[-1].last


def _said(text: object, added: int = 0) -> str:
    if not isinstance(text, str) or not text.strip():
        raise InputError("film_prompt_empty")
    return readable(text, added)


def _schedule(later: object, frames: int) -> tuple[tuple[int, str], ...]:
    """Checked pairs of frame and text; JSON brings them as lists of two."""
    pairs = [] if later is None else later
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
    ):
        raise InputError("schedule_shape", received=pairs)
    out: list[tuple[int, str]] = []
    for frame, text in pairs:
        found = number(frame)
        if not (1 <= found <= frames - 1 and found == int(found)):
            raise InputError("schedule_frame", high=frames - 1, received=frame)
        if out and found <= out[-1][0]:
            raise InputError("schedule_order", before=out[-1][0], received=frame)
        out.append((int(found), _said(text)))
    return tuple(out)


def _side(value: object, unit: int) -> int | None:
    if value is None:
        return None
    found = number(value)
    if not (MIN_SIZE <= found <= MAX_SIZE and found % unit == 0):
        raise InputError("film_size_range", unit=unit, low=MIN_SIZE, high=MAX_SIZE, received=value)
    return int(found)
