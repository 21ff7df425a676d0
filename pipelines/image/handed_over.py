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
    e = catalogue.entry(model, "image")
    pipe = tokenizers_of(e.id)
    return on_text_thread(family_of(pipe).segments)(pipe, readable(prompt))


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
