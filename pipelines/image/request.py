"""What is asked of a picture model, and the trace that its run leaves behind."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from pipelines.image.steering import Steering
from pipelines.serving import catalogue
from pipelines.serving.checks import MAX_SEED, more_added, number, readable, whole
from pipelines.serving.errors import InputError

SCHEDULERS = ("ddim", "dpm++", "euler")
MAX_GUIDANCE_SCALE = 20
MAX_STEPS = 100
# Levers that some transformer of a kind has; a U-Net has them all. The loaded model knows its own.
_LEVERS = {"joint": {"blend", "switch_at", "text_in_time"}, "cross": {"switch_at"}}
MIN_SIZE, MAX_SIZE, SIZE_UNIT = 32, 1024, 8  # px; the unit is one latent cell of Stable Diffusion


@dataclass(frozen=True)
class ImageRequest:
    """One picture, as the library's pipelines name its parameters.

    Attributes:
        prompt: what the picture shall show; tokens past the encoder's context are cut off.
        negative_prompt: what guidance moves away from; empty means the empty prompt.
        seed: 0..2**32-1, decides the noise that the run starts from.
        guidance_scale: 0..20; 0 ignores the prompt, 1 is the plain conditional model. Models from which
            guidance was distilled away draw with the prompt alone up to 1, those that are told the scale
            take any.
        num_inference_steps: 1..100.
        scheduler: one of `SCHEDULERS`, as far as the model takes it (`pipelines.image.schedulers`).
        model: catalogue id of the role "image"; empty means the preselected one.
        height: px, a multiple of 8; None means the model's own.
        width: px, a multiple of 8; None means the model's own.
        steering: levers between text and picture; the default pulls none.
        look_inside: note what happens inside the denoiser (`DenoiseStep.inside`); changes no picture, so
            requests that differ in nothing else are equal.
        added: characters of the prompt that nobody typed (`varied`); they do not count against the limit.
    """

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    guidance_scale: float = 5.0
    num_inference_steps: int = 20
    scheduler: str = "ddim"
    model: str = ""
    height: int | None = None
    width: int | None = None
    steering: Steering = field(default_factory=Steering)
    look_inside: bool = field(default=False, compare=False)
    added: int = field(default=0, compare=False)

    def parameters(self) -> dict[str, Any]:
        """What decides the picture, as plain values; `ImageRequest(**parameters)` asks for it again."""
        found = asdict(self)
        del found["look_inside"], found["added"]
        if self.steering == Steering():
            del found["steering"]
        return found

    def varied(self, prompt: str) -> "ImageRequest":
        """The same request for a prompt that the app made of this one, with words of its own."""
        return replace(self, prompt=prompt, added=more_added(self.prompt, prompt, self.added))

    def validated(self) -> "ImageRequest":
        """The same request with every value checked, typed and the model's id filled in.

        Raises:
            InputError: `prompt_empty`, `prompt_too_long`, `text_broken`, `seed_range`,
                `guidance_scale_range`, `steps_range`, `scheduler_unknown`, `size_range`,
                `model_unknown`, `<lever>_closed`, or what `Steering.validated` raises.
        """
        if not isinstance(self.prompt, str) or not self.prompt.strip():
            raise InputError("prompt_empty")
        if self.scheduler not in SCHEDULERS:
            raise InputError("scheduler_unknown", received=self.scheduler, known=", ".join(SCHEDULERS))
        scale = number(self.guidance_scale)
        if not 0 <= scale <= MAX_GUIDANCE_SCALE:  # false for NaN, too
            raise InputError("guidance_scale_range", high=MAX_GUIDANCE_SCALE, received=self.guidance_scale)
        steps = whole("steps_range", self.num_inference_steps, 1, MAX_STEPS)
        e = catalogue.entry(self.model or catalogue.default_id("image"), "image")
        steering = _levers(self.steering, steps)
        for name in steering.pulled:
            if name not in _LEVERS.get(e.denoiser, {name}):  # before the model is fetched and loaded
                raise InputError(f"{name}_closed", title=e.title)
        return replace(
            self,
            prompt=readable(self.prompt, self.added),
            negative_prompt=readable(self.negative_prompt or ""),
            seed=whole("seed_range", self.seed, 0, MAX_SEED),
            guidance_scale=scale,
            num_inference_steps=steps,
            model=e.id,
            height=_size(self.height),
            width=_size(self.width),
            steering=steering,
        )


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Where one cross-attention layer looked in one step, averaged over its heads.

    Rows are the token places from start to end token and, last, all padding behind it together, so that
    the rows of each cell sum to one.

    Attributes:
        layer: its name in the U-Net.
        block: name of the block that it is in.
        grid: rows and columns of cells it works on; large maps are kept coarser than that.
        prompt: `[row, y, x]` float16 of the branch with the prompt.
        empty: the same of the branch with the negative or empty prompt; None where there is none.
    """

    layer: str
    block: str
    grid: tuple[int, int]
    prompt: np.ndarray
    empty: np.ndarray | None


@dataclass(frozen=True)
class TextRow:
    """What one row of the maps of joint attention stands for.

    Attributes:
        tokenizer: name of the pipeline's component that split the text, such as "tokenizer_3".
        text: the letters of the token, or how the vocabulary spells a mark; empty for padding.
        kind: "word", "mark" (start, end), "template" (what the pipeline wraps around a prompt) or "padding".
    """

    tokenizer: str
    text: str
    kind: str


@dataclass(frozen=True, eq=False)
class JointAttention:
    """Who looked at whom in one layer in one step, averaged over its heads, in the branch with the prompt.

    Text has the rows of `Inside.rows`: one a token, and one for all padding of an encoder.

    Attributes:
        layer: its name in the transformer.
        block: name of the block that it is in.
        grid: rows and columns of patches; large maps are kept coarser than that.
        shares: `[looker, looked at]` float32, words first, picture second; the four sum to one. Where
            text does not look, its two are NaN.
        looked_at: `[row, y, x]` float16 share of a patch's attention that goes to a row; the rest of it goes
            to patches.
        looking: `[row, y, x]` float16 share of a row's attention that goes to a patch, padding on average;
            None where text does not look.
        output: `[row, y, x]` float16 how alike the layer's output vectors of a patch and a row are: products,
            made to sum to one over an encoder's rows. None where text does not look.
    """

    layer: str
    block: str
    grid: tuple[int, int]
    shares: np.ndarray
    looked_at: np.ndarray
    looking: np.ndarray | None
    output: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Inside:
    """What happened inside the denoiser in one step; one number per block in each array.

    Attributes:
        blocks: names, in the order of computation.
        maps: of each cross-attention layer, in the order of computation; none of joint attention.
        text_effect: length of the difference that the prompt makes to a block's output, relative to that
            output without the prompt; NaN without that branch.
        attention_effect: length of what cross-attention or joint attention adds to the activations, relative
            to them; NaN in blocks without it, and where attention and feed-forward are added as one.
        time_effect: root mean square of what the time embedding hands to the block's ResNets, or, as scales,
            shifts and gates, to a transformer's block.
        text_in_time: root mean square of the difference that the prompt makes to that; 0 where text reaches
            a model by cross-attention alone; NaN without the other branch.
        joint: of each layer of joint attention, in the order of computation.
        rows: what the rows of its maps are.
        word_changes: `[block, row]` length of what a block adds to a row's vector, relative to that vector;
            NaN where it adds nothing that is read later; None where no block changes the text.
        modulation: `[block, part]` root mean square of the shifts, scales and gates (in this order) that the
            time embedding hands to a transformer's block; None in U-Nets.
        text_in_modulation: `[block, part]` root mean square of the difference that the prompt makes to them;
            NaN without the other branch.
    """

    blocks: tuple[str, ...]
    maps: tuple[AttentionMaps, ...]
    text_effect: np.ndarray
    attention_effect: np.ndarray
    time_effect: np.ndarray
    text_in_time: np.ndarray
    joint: tuple[JointAttention, ...] = ()
    rows: tuple[TextRow, ...] = ()
    word_changes: np.ndarray | None = None
    modulation: np.ndarray | None = None
    text_in_modulation: np.ndarray | None = None


@dataclass(frozen=True, eq=False)  # one by one, since arrays neither compare nor hash as a whole
class DenoiseStep:
    """What the model did in one step.

    "Denoised" is the estimate of the clean latents at this step, for models that predict noise
    or velocity alike. All arrays are float32, on the scale of the model's clean latents. Latents have 4
    channels in Stable Diffusion 1.x to XL, more in other models.

    Attributes:
        index: 0-based.
        total: number of steps of the run.
        timestep: noise level the step began at, 999 (only noise) to 0.
        latents: `[4, y, x]` after the step, at unit deviation whatever the scheduler's own scale.
        denoised_prompt: `[4, y, x]` estimate with the prompt.
        denoised_empty: `[4, y, x]` estimate with the negative or empty prompt; None where a
            distilled model ran without that branch.
        denoised_guided: `[4, y, x]` guided estimate, the one the step went towards.
        inside: what happened inside the U-Net, where the request asked for it.
        start: `[4, y, x]` the noise that the run began with, at unit deviation; in the first step alone.
        deviations: of the latents before and after the step on the model's own path; times these, `start` and
            `latents` lie on it. 1 in diffusion; in flow matching less than that half-way.
    """

    index: int
    total: int
    timestep: int
    latents: np.ndarray
    denoised_prompt: np.ndarray
    denoised_empty: np.ndarray | None
    denoised_guided: np.ndarray
    inside: Inside | None = None
    start: np.ndarray | None = None
    deviations: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Trace:
    """A run from noise to picture; the views of the page all read the same trace."""

    request: ImageRequest
    steps: tuple[DenoiseStep, ...]
    image: Image.Image


def _levers(value: Any, steps: int) -> Steering:
    """Checked levers, of a `Steering` or of the fields of one, as JSON brings them."""
    steering = value if isinstance(value, Steering) else Steering(**value)
    return replace(steering, prompt_b=readable(steering.prompt_b or "")).validated(steps)


def _size(value: int | None) -> int | None:
    if value is None:
        return None
    size = whole("size_range", value, MIN_SIZE, MAX_SIZE)
    if size % SIZE_UNIT:
        raise InputError("size_range", low=MIN_SIZE, high=MAX_SIZE, received=value)
    return size
