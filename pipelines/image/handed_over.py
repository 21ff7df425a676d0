"""What a picture model is handed of a text: which rows, by which encoder and layer, and what it looks at."""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.image.encoding import encode
from pipelines.image.families.choice import family_of
from pipelines.image.families.family import POOLED, Band, Segment
from pipelines.image.load import image_pipeline, tokenizers_of
from pipelines.image.request import ImageRequest, TextRow
from pipelines.serving import catalogue
from pipelines.serving.checks import readable
from pipelines.serving.compute import on_text_thread
from pipelines.serving.engine import whole_call
from pipelines.serving.errors import InputError
from pipelines.text.tokens import cut_of


@dataclass(frozen=True, eq=False)
class HandedOver:
    """What becomes of a text before it reaches the denoiser.

    Attributes:
        model: catalogue id.
        rows: `[place]` what stands at each place of the sequence, padding place by place.
        sequence: `[place, width]` float32.
        seen: `[place]` bool, False where the denoiser may not look.
        bands: which encoder and layer wrote which part of the sequence; what lies in none is zero.
        pooled: `[dim]` float32 vector for the whole text that modulates besides; None where there is none.
    """

    model: str
    rows: tuple[TextRow, ...]
    sequence: np.ndarray
    seen: np.ndarray
    bands: tuple[Band, ...]
    pooled: np.ndarray | None

    @property
    def lengths(self) -> np.ndarray:
        """`[place]` Euclidean lengths of the rows."""
        return np.linalg.norm(self.sequence, axis=1)


def segments_of(prompt: str, model: str) -> tuple[Segment, ...]:
    """How a transformer's tokenizers split a text, with what its pipeline wraps around it; needs no weights.

    Args:
        prompt: up to 2000 characters; empty leaves what is wrapped around it.
        model: catalogue id of the role "image", not of a U-Net (`pipelines.text.tokens` reads for those).

    Raises:
        InputError: `prompt_too_long`, `text_broken`, `model_unknown`, and what `tokenizers_of` raises.
    """
    return _split(readable(prompt), catalogue.entry(model, "image").id)


def _split(prompt: str, model: str) -> tuple[Segment, ...]:
    pipe = tokenizers_of(model)
    return on_text_thread(family_of(pipe).segments)(pipe, prompt)


def check_on_disk(model: str) -> None:
    """Refuse to fetch a picture model for what nobody asked to draw.

    Raises:
        InputError: `model_not_on_disk`, or `model_unknown`.
    """
    e = catalogue.entry(model, "image")
    if not catalogue.on_disk(e):
        raise InputError("model_not_on_disk", title=e.title, download_gb=round(e.download_mb / 1000, 1))


def tokens_cut(prompt: str, model: str) -> int:
    """How many tokens of a prompt no encoder of a picture model reads; 0 where its tokenizers are not here.

    Args:
        prompt: any text that the model has drawn from.
        model: catalogue id.
    """
    e = next((e for e in catalogue.entries("image") if e.id == model and e.is_transformer), None)
    if e is None:
        return cut_of(prompt, model)
    if not catalogue.on_disk(e):
        return 0
    return min(segment.cut for segment in _split(prompt, e.id) if segment.tokens)


@whole_call("image", image_pipeline)
def handed_over(prompt: str, model: str) -> HandedOver:
    """Read a text with a picture model's own encoders, with whatever its pipeline wraps around it.

    Args:
        prompt: not empty.
        model: catalogue id of the role "image".

    Raises:
        InputError: what `ImageRequest.validated` and `image_pipeline` raise.
    """
    request = ImageRequest(prompt, model=model).validated()
    pipe = image_pipeline(request.model)
    family = family_of(pipe)
    read = encode(pipe, replace(request, guidance_scale=1.0))
    sequence = read.states[-1].float().cpu().numpy()
    segments = read.segments or family.segments(pipe, request.prompt)
    pooled = [read.added[name][-1].float().cpu().numpy() for name in read.added.keys() & POOLED]
    seen = (
        read.added["seen"][-1].bool().cpu().numpy() if "seen" in read.added else np.ones(len(sequence), bool)
    )
    return HandedOver(
        catalogue.entry(request.model).id,
        tuple(row for segment in segments for row in _places(segment)),
        sequence,
        seen,
        family.bands(pipe),
        pooled[0] if pooled else None,
    )


def _places(segment: Segment) -> list[TextRow]:
    """What stands at each place of a stretch."""
    padding = TextRow(segment.tokenizer, "", "padding")
    before, behind = segment.first - segment.start, segment.stop - segment.end
    return [padding] * before + list(segment.tokens) + [padding] * behind
