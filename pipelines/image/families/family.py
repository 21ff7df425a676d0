"""The seam between the stepper and the library's models: what a kind of denoiser has to say.

The stepper knows runs, noise levels and guidance. What a text becomes, what the noise looks like, how a batch
of runs at different times goes through the model and what can be seen inside is a family's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import SchedulerMixin
from torch import Tensor

from pipelines.image.request import ImageRequest, Inside, TextRow
from pipelines.image.schedulers import NoiseLevel
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError

_BLANK = "▁"  # what SentencePiece writes for a blank before a word, which may have no letter of the text
POOLED = frozenset({"text_embeds", "pooled_projections"})  # names of vectors that stand for a whole text


@dataclass(frozen=True)
class Segment:
    """A stretch of the sequence that one encoder wrote of the prompt.

    Attributes:
        tokenizer: name of the pipeline's component that split the text.
        start: its first place in the sequence.
        stop: one past its last place.
        first: place of its first token.
        tokens: what stands from there on; before and behind them is padding.
        cut: how many tokens of the text found no place.
        unhanded: what the encoder reads behind the first token, but of which it hands over no rows.
    """

    tokenizer: str
    start: int
    stop: int
    first: int
    tokens: tuple[TextRow, ...]
    cut: int = 0
    unhanded: tuple[TextRow, ...] = ()

    @property
    def end(self) -> int:
        """One past the place of its last token."""
        return self.first + len(self.tokens)

    @property
    def rows(self) -> tuple[TextRow, ...]:
        """Rows of its maps: one a token, and one for all padding where there is some."""
        padding = TextRow(self.tokenizer, "", "padding")
        return (*self.tokens, padding) if len(self.tokens) < self.stop - self.start else self.tokens


@dataclass(frozen=True)
class Band:
    """A part of the sequence that one layer of one encoder wrote.

    Attributes:
        encoder: name of the pipeline's component.
        layer: its hidden layer, counted from the token embeddings (0), or from the end (-1, the last).
        places: its first place and one past its last.
        columns: its first number in each vector and one past its last.
    """

    encoder: str
    layer: int
    places: tuple[int, int]
    columns: tuple[int, int]


@dataclass(frozen=True)
class Conditioning:
    """What the text encoders hand to the denoiser.

    Attributes:
        states: `[branch, token, dim]`; the branches are empty, prompt, or prompt alone.
        added: further inputs of the denoiser, each `[branch, ...]`.
        ends: place of the last end token in each branch; what follows is padding.
        pools: place at which the encoder pools in each branch: the first end token. It lies before `ends`
            where a visitor typed the mark.
        segments: of the prompt's branch, which encoder wrote what; none for U-Nets.
    """

    states: Tensor
    added: dict[str, Tensor]
    ends: tuple[int, ...]
    pools: tuple[int, ...]
    segments: tuple[Segment, ...] = ()

    @property
    def branches(self) -> int:
        return len(self.states)


@dataclass(frozen=True)
class Views:
    """What can be shown and steered of a model.

    Attributes:
        guidance: one of `pipelines.serving.catalogue.GUIDANCE`.
        attention: what is recorded: "cross" (a U-Net's picture → words, `Inside.maps`), "joint" (each → each,
            `Inside.joint`), "picture" (the same, but that text does not look), or None.
        levers: names of the fields of `Steering` that can be pulled, of
            `pipelines.image.steering.LEVERS`.
    """

    guidance: str
    attention: str | None
    levers: frozenset[str]


@dataclass
class DenoiseRun:
    """One picture under way; only the stepper's thread touches it.

    Attributes:
        first: what steers it at the beginning.
        later: what steers it from `request.steering.switch_at` on.
        latents: `[1, channel, y, x]` on the scheduler's own scale.
        levels: the noise level before each step and after the last.
        options: further arguments of the scheduler's step.
        index: the next step, 0-based.
    """

    request: ImageRequest
    pipe: Any
    family: "Family"
    scheduler: SchedulerMixin
    first: Conditioning
    later: Conditioning
    latents: Tensor
    levels: Sequence[NoiseLevel]
    options: dict[str, Any] = field(default_factory=dict)
    index: int = 0

    @property
    def kind(self) -> tuple[object, ...]:
        """Runs of the same kind share a call of the denoiser."""
        return (id(self.pipe), self.latents.shape, self.first.branches, self.needs_recording)

    @property
    def conditioning(self) -> Conditioning:
        """What steers the next step."""
        switch = self.request.steering.switch_at
        return self.later if switch is not None and self.index >= switch else self.first

    @property
    def needs_recording(self) -> bool:
        return self.request.look_inside or self.request.steering.needs_recording

    @property
    def timestep(self) -> Tensor:
        return self.scheduler.timesteps[self.index]

    @property
    def total(self) -> int:
        """Number of steps."""
        return len(self.levels) - 1

    @property
    def finished(self) -> bool:
        return self.index == self.total


@dataclass(frozen=True)
class Family:
    """A kind of denoiser.

    Attributes:
        denoiser: name, one of `pipelines.serving.catalogue.DENOISERS`.
        views: `pipeline -> Views`.
        size: `pipeline -> (height, width)` in px at which the model was trained.
        unit: `pipeline -> px`; sides of a picture are multiples of it.
        encode: `(pipeline, request, guided) -> Conditioning`; called on the texts' thread alone.
        segments: `(pipeline, prompt)` to the stretches of the sequence.
        bands: `pipeline` to what wrote which part of the sequence.
        check: `(pipeline, request)`; refuses what the model does not have, such as an unknown block.
        noise_shape: `(pipeline, height, width in px) -> [1, channel, y, x]` of the latents.
        noise_type: `(pipeline, conditioning) -> dtype` in which the noise is drawn.
        timing: `(pipeline, steps, latents)` to what `set_timesteps` of the scheduler is told besides.
        predict: runs of one kind to `[run, branch, channel, y, x]` predictions, and for each run what
            happened inside, if it asks.
        decode: `(pipeline, latents [picture, channel, y, x])` to `[picture, 3, y, x]` pixels, -1..1.
        to_latents: the way back.
    """

    denoiser: str
    views: Callable[[Any], Views]
    size: Callable[[Any], tuple[int, int]]
    unit: Callable[[Any], int]
    encode: Callable[[Any, ImageRequest, bool], Conditioning]
    segments: Callable[[Any, str], tuple[Segment, ...]]
    bands: Callable[[Any], tuple[Band, ...]]
    check: Callable[[Any, ImageRequest], None]
    noise_shape: Callable[[Any, int, int], tuple[int, int, int, int]]
    noise_type: Callable[[Any, Conditioning], torch.dtype]
    timing: Callable[[Any, int, Tensor], dict[str, Any]]
    predict: Callable[[Sequence[DenoiseRun]], tuple[Tensor, list[Inside | None]]]
    decode: Callable[[Any, Tensor], Tensor]
    to_latents: Callable[[Any, Tensor], Tensor]


def segment(
    pipe: Any, name: str, text: str, places: int, start: int = 0, prompt: str | None = None
) -> Segment:
    """What a pipeline's tokenizer makes of a text in so many places, padded on the side that is its own.

    Args:
        name: of the pipeline's component.
        text: as the tokenizer is given it.
        places: beyond which the text is cut off.
        start: place in the sequence at which the encoder's stretch begins.
        prompt: the part of the text that a visitor wrote, at its last place; None for all of it.
    """
    tokenizer = getattr(pipe, name)
    coded = tokenizer(text, truncation=True, max_length=places, return_offsets_mapping=True)
    marks = set(tokenizer.all_special_ids)
    own = 0 if prompt is None else text.rfind(prompt)
    stop = len(text) if prompt is None else own + len(prompt)
    tokens = []
    spelled = tokenizer.convert_ids_to_tokens(coded.input_ids)
    for i, spelling, (a, b) in zip(coded.input_ids, spelled, coded.offset_mapping, strict=True):
        letters = spelling[1:] if spelling.startswith(_BLANK) else text[a:b].strip()
        kind = "mark" if i in marks else "word" if own <= a and b <= stop else "template"
        tokens.append(TextRow(name, spelling if kind == "mark" else letters, kind))
    first = start + (places - len(tokens) if tokenizer.padding_side == "left" else 0)
    needed = len(tokenizer(text, verbose=False).input_ids)
    return Segment(name, start, start + places, first, tuple(tokens), needed - len(tokens))


def title_of(request: ImageRequest) -> str:
    """Name of a request's model for people."""
    return catalogue.entry(request.model, "image").title


def check_views(views: Views, request: ImageRequest) -> None:
    """Refuse what a model cannot do, rather than leave it out.

    Raises:
        InputError: `<lever>_closed`, `look_inside_closed`, `guidance_closed` or `negative_prompt_closed`.
    """
    title = title_of(request)
    for name in request.steering.pulled:
        if name not in views.levers:
            raise InputError(f"{name}_closed", title=title)
    if request.look_inside and views.attention is None:
        raise InputError("look_inside_closed", title=title)
    if views.guidance == catalogue.NO_GUIDANCE and request.guidance_scale > 1:
        raise InputError("guidance_closed", title=title, received=request.guidance_scale)
    if views.guidance != catalogue.TWO_BRANCHES and request.negative_prompt.strip():
        raise InputError("negative_prompt_closed", title=title)
