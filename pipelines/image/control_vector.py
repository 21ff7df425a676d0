"""What the generator is really handed, and three ways to steer with it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipelines.clip.model import clip_scores
from pipelines.image import stepper
from pipelines.image.families.choice import family_of
from pipelines.image.handed_over import segments_of
from pipelines.image.image import decode
from pipelines.image.load import image_pipeline
from pipelines.image.offload import device_of
from pipelines.image.recorder import layout_of
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.image.steering import Steering
from pipelines.serving import catalogue
from pipelines.serving.checks import MAX_CHARACTERS, MAX_SEED
from pipelines.serving.compute import on_text_thread
from pipelines.serving.engine import whole_call
from pipelines.serving.errors import InputError
from pipelines.text.tokens import TokenView, token_view
from pipelines.world.captions import NOUN_WORDS

STATIONS = tuple(i / 6 for i in range(7))  # of the way from one text to the other
WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0)
SEEDS = 4  # of each side of the trial with the pooled vector alone
NEAREST = 3  # other rows that are named for each row
_KINDS = {"text": "attended", "text_time": "pooled"}
_NOUNS = frozenset(word for words in NOUN_WORDS.values() for word in words)
_SMALL_WORDS = frozenset("a an and at by for from in is it of on or the there this to two with".split())


@dataclass(frozen=True)
class Reads:
    """Which parts of the text encoders' work a U-Net reads, from its own configuration.

    Attributes:
        kind: "sequence" (Stable Diffusion 1.x and 2.x: cross-attention reads the sequence and nothing else),
            "attended" (besides, the time embedding gets a vector that attention pools from the sequence) or
            "pooled" (SDXL: besides, the time embedding gets the pooled vector).
        layers: number of cross-attention layers.
        width: numbers in each vector of the sequence.
        pooled: numbers in the pooled vector that the U-Net reads; 0 where it reads none.
        encoders: number of text encoders.
    """

    kind: str
    layers: int
    width: int
    pooled: int
    encoders: int


@dataclass(frozen=True, eq=False)
class ControlVector:
    """What a text becomes before it reaches the generator.

    Attributes:
        tokens: what stands at each place.
        sequence: `[place, width]` float32, one vector per token place, padding included.
        empty: `[place, width]` the same of the empty prompt.
        pooled: `[dim]` the vector that stands for the whole text: the end token's row, or, where the U-Net
            reads one of its own (SDXL), that one, projected.
        pooled_is_row: whether `pooled` is the end token's row.
        limit: magnitude below which 99 of 100 numbers of `empty` lie; the same for all texts.
        lengths: `[place]` Euclidean lengths of the rows.
        nearest: `[place, NEAREST]` the other rows most alike, best first.
        cosines: `[place, NEAREST]` their cosines, -1..1.
        reads: which parts the U-Net reads.
    """

    tokens: TokenView
    sequence: np.ndarray
    empty: np.ndarray
    pooled: np.ndarray
    pooled_is_row: bool
    limit: float
    lengths: np.ndarray
    nearest: np.ndarray
    cosines: np.ndarray
    reads: Reads

    @property
    def end(self) -> int:
        """Place of the end token at which the encoder pools, 0-based."""
        return self.tokens.pooled_at


@whole_call("image", image_pipeline)
def control_vector(prompt: str, model: str) -> ControlVector:
    """Read a text with a picture model's own encoders.

    Args:
        prompt: up to 2000 characters; empty gives what "without prompt" means for guidance.
        model: catalogue id of the role "image".

    Raises:
        InputError: `prompt_too_long`, `text_broken`, `model_unknown`, `control_vector_closed`, or what
            `models.load` raises.
    """
    e = catalogue.entry(model, "image")
    if len(prompt) > MAX_CHARACTERS:
        raise InputError("prompt_too_long", limit=MAX_CHARACTERS, received=len(prompt))
    if e.is_transformer:  # before it is loaded
        raise InputError("control_vector_closed", title=e.title)
    pipe = image_pipeline(e.id)
    if family_of(pipe).denoiser != "unet":
        raise InputError("control_vector_closed", title=e.title)
    tokens = token_view(prompt, e.id)
    sequence, own = _encode(pipe, prompt)
    empty, limit = _empty(e.id)
    lengths = np.linalg.norm(sequence, axis=1)
    unit = sequence / np.maximum(lengths, 1e-12)[:, None]
    cosines = np.einsum("ik,jk->ij", unit, unit)  # without BLAS, whose threads wake beside PyTorch's
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST]
    return ControlVector(
        tokens, sequence, empty, sequence[tokens.pooled_at] if own is None else own, own is None, limit,
        lengths, nearest, np.take_along_axis(cosines, nearest, axis=1), _reads(pipe),
    )  # fmt: skip


@on_text_thread
@torch.inference_mode()
def _encode(pipe: Any, prompt: str) -> tuple[np.ndarray, np.ndarray | None]:
    """`[place, width]` sequence, and the `[dim]` pooled vector where the pipeline makes one of its own."""
    encoded = pipe.encode_prompt(
        prompt=prompt, device=device_of(pipe), num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    pooled = encoded[2][0].float().cpu().numpy() if len(encoded) > 2 else None
    return encoded[0][0].float().cpu().numpy(), pooled


@lru_cache(maxsize=8)
def _empty(model: str) -> tuple[np.ndarray, float]:
    """The empty prompt's sequence, and the magnitude that 99 of 100 of its numbers stay below."""
    sequence, _ = _encode(image_pipeline(model), "")
    sequence.setflags(write=False)
    return sequence, float(np.percentile(np.abs(sequence), 99)) or 1.0


def _reads(pipe: Any) -> Reads:
    config = pipe.unet.config
    kind = _KINDS.get(config.get("addition_embed_type") or "", "sequence")
    encoders = [part for name, part in pipe.components.items() if name.startswith("text_encoder") and part]
    pooled = encoders[-1].config.projection_dim if kind == "pooled" else 0
    return Reads(kind, len(layout_of(pipe.unet).layers), config.cross_attention_dim, pooled, len(encoders))


@dataclass(frozen=True)
class Choice:
    """A token that a visitor picked.

    Attributes:
        place: 0-based.
        text: what it says, by which it is found again when the prompt changes around it.
        word: the whole word that it belongs to.
    """

    place: int
    text: str
    word: str


def choices(tokens: TokenView) -> tuple[Choice, ...]:
    """The tokens with content that the model reads, start and end left out."""
    return tuple(
        Choice(place, piece.text, tokens.words[piece.word].text)
        for place, piece in enumerate(tokens.fed)
        if piece.word >= 0
    )


def keep_choice(tokens: TokenView, before: Choice | None) -> Choice | None:
    """The same token in an edited prompt: at its place, else the nearest that says the same, else another.

    Returns:
        None where the prompt has no token. Without a token to keep: the first thing of the classroom world,
        else the first token that is no small word, else the first.
    """
    found = choices(tokens)
    if before is not None:
        same = [c for c in found if c.text == before.text]
        if same:
            return min(same, key=lambda c: abs(c.place - before.place))
    things = [c for c in found if c.word.lower() in _NOUNS]
    telling = [c for c in found if c.word.lower() not in _SMALL_WORDS and c.word.isalnum()]
    return next(iter((*things, *telling, *found)), None)


def places_from(tokens: TokenView, place: int, onwards: bool) -> tuple[int, ...]:
    """One token's place, or it and all places behind it, end token and padding included.

    Raises:
        InputError: `token_place_unknown`.
    """
    if not 0 <= place < tokens.places:
        raise InputError("token_place_unknown", received=place)
    return tuple(range(place, tokens.places)) if onwards else (place,)


def at_blend(request: ImageRequest, blend: float) -> ImageRequest:
    """The same run at another place between its two texts, 0..1."""
    return replace(request, steering=replace(request.steering, blend=blend)).validated()


def at_weight(request: ImageRequest, weight: float) -> ImageRequest:
    """The same run with another weight, 0..2, at the places that it weighs."""
    places = tuple((place, weight) for place, _ in request.steering.token_weights)
    return replace(request, steering=replace(request.steering, token_weights=places)).validated()


def read_alike(prompt: str, prompt_b: str, model: str) -> bool:
    """Whether a model is fed the same for both texts, by all of its tokenizers."""
    if catalogue.entry(model).is_transformer:
        return segments_of(prompt, model) == segments_of(prompt_b, model)
    return np.array_equal(token_view(prompt, model).ids, token_view(prompt_b, model).ids)


def check_pair(prompt: str, prompt_b: str, model: str) -> None:
    """Refuse two texts between which there is no way.

    Raises:
        InputError: `prompt_b_empty`; `prompts_equal` if the model gets the same tokens for both.
    """
    if not prompt_b.strip():
        raise InputError("prompt_b_empty")
    if read_alike(prompt, prompt_b, model):
        raise InputError("prompts_equal")


def strip_requests(request: ImageRequest, prompt_b: str) -> tuple[ImageRequest, ...]:
    """The seven pictures from a prompt to another, from one seed.

    Raises:
        InputError: see `check_pair` and `ImageRequest.validated`.
    """
    first = replace(request, steering=Steering(prompt_b=prompt_b)).validated()
    requests = tuple(at_blend(first, blend) for blend in STATIONS)  # refused where no way is open, before
    check_pair(first.prompt, first.steering.prompt_b, first.model)  # tokenizers are fetched
    return requests


def weight_requests(request: ImageRequest, places: Sequence[int]) -> tuple[ImageRequest, ...]:
    """The five pictures with growing weight at some places, from one seed."""
    first = replace(request, steering=Steering(token_weights=tuple((place, 1.0) for place in places)))
    return tuple(at_weight(first, weight) for weight in WEIGHTS)


def pooled_requests(request: ImageRequest) -> tuple[ImageRequest, ...]:
    """A few seeds with the whole sequence, then the same seeds with the end token's vector everywhere."""
    seeds = [(request.seed + i) % (MAX_SEED + 1) for i in range(SEEDS)]
    return tuple(
        replace(request, seed=seed, steering=Steering(pooled_only=pooled_only)).validated()
        for pooled_only in (False, True)
        for seed in seeds
    )


@dataclass(frozen=True, eq=False)
class Drawn:
    """Pictures that were drawn together, and what CLIP says of them.

    Attributes:
        requests: one per picture.
        images: the pictures.
        texts: the texts that they are held against.
        clip_scores: `[picture, text]` cosines, -1..1.
    """

    requests: tuple[ImageRequest, ...]
    images: tuple[Image.Image, ...]
    texts: tuple[str, ...]
    clip_scores: np.ndarray


def finish(requests: Sequence[ImageRequest], steps: Sequence[DenoiseStep], texts: Sequence[str]) -> Drawn:
    """Pictures and scores at the end of runs.

    Args:
        requests: checked, all of one model and size.
        steps: the last step of each; of runs that were stopped early, the guided estimates are shown.
        texts: at least one, to hold the pictures against.
    """
    latents = [s.latents if s.index + 1 == s.total else s.denoised_guided for s in steps]
    images = decode(np.stack(latents), requests[0].model)
    scores = clip_scores(images, texts, catalogue.default_id("clip"))
    return Drawn(tuple(requests), tuple(images), tuple(texts), scores)


def draw(requests: Sequence[ImageRequest], texts: Sequence[str]) -> Drawn:
    """Draw runs as one batch; see `finish`.

    Raises:
        InputError: what `pipelines.image.stepper.submit_all` raises.
    """
    for steps in zip(*stepper.submit_all(requests), strict=True):
        last = steps
    return finish(requests, last, texts)
