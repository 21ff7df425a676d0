"""Guidance: the model with the prompt, without it, and their difference amplified."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from pipelines.clip.model import clip_scores
from pipelines.image.image import decode_steps, draw_together
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError

MAX_SCALES = 8


@dataclass(frozen=True)
class GuidanceSweep:
    """The same noise and prompt at several guidance scales.

    Attributes:
        scales: `[scale]` as asked for.
        images: one picture per scale.
        clip_scores: `[scale]` cosine of each picture with the prompt, -1..1.
        latents: `[scale, 4, y, x]` clean latents.
    """

    scales: np.ndarray
    images: tuple[Image.Image, ...]
    clip_scores: np.ndarray
    latents: np.ndarray


def guidance_sweep(
    request: ImageRequest,
    scales: Sequence[float],
    on_step: Callable[[tuple[DenoiseStep, ...]], None] | None = None,
) -> GuidanceSweep:
    """Draw one prompt at several guidance scales, as one batch from the same noise.

    Args:
        request: its own guidance scale is not used.
        scales: one to eight values, each 0..20.
        on_step: called with the step of every run; an exception it raises stops the sweep.

    Raises:
        InputError: `scales_count`, `guidance_closed`, and what `pipelines.image.image.generate` raises.
    """
    return finish_sweep(request, scales, draw_together(sweep_requests(request, scales), on_step))


def sweep_requests(request: ImageRequest, scales: Sequence[float]) -> list[ImageRequest]:
    """What a sweep draws; see `guidance_sweep`."""
    if not 1 <= len(scales) <= MAX_SCALES:
        raise InputError("scales_count", limit=MAX_SCALES, received=len(scales))
    asked = [replace(request, guidance_scale=scale).validated() for scale in scales]
    e, most = catalogue.entry(asked[0].model), max(one.guidance_scale for one in asked)
    if e.guidance == catalogue.NO_GUIDANCE and most > 1:  # before the model is loaded
        raise InputError("guidance_closed", title=e.title, received=most)
    return asked


def finish_sweep(
    request: ImageRequest, scales: Sequence[float], steps: Sequence[DenoiseStep]
) -> GuidanceSweep:
    """Decode and score the last steps of a sweep's runs."""
    images = decode_steps(steps, request.model)
    scores = clip_scores(images, [request.prompt], catalogue.default_id("clip"))[:, 0]
    latents = np.stack([step.latents for step in steps])
    return GuidanceSweep(np.array(scales, dtype=float), tuple(images), scores, latents)


def guidance_difference(step: DenoiseStep) -> np.ndarray:
    """What the prompt changes in the estimate: with prompt minus without, `[4, y, x]`.

    Raises:
        InputError: `guidance_not_traced` if the model ran without its empty branch.
    """
    if step.denoised_empty is None:
        raise InputError("guidance_not_traced")
    return step.denoised_prompt - step.denoised_empty
