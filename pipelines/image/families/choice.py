"""Which family a loaded pipeline belongs to, and what follows from it for a request."""

from typing import Any

from diffusers import (
    Flux2KleinPipeline,
    PRXPipeline,
    SanaPipeline,
    SanaSprintPipeline,
    StableDiffusion3Pipeline,
)

from pipelines.image.families.cross import PRX, SANA, SPRINT
from pipelines.image.families.family import Family, check_views, title_of
from pipelines.image.families.joint import KLEIN, SD3
from pipelines.image.families.unet import UNET
from pipelines.image.request import ImageRequest
from pipelines.image.schedulers import known_schedulers
from pipelines.serving.errors import InputError

_TRANSFORMERS: tuple[tuple[Any, Family], ...] = (
    (StableDiffusion3Pipeline, SD3),
    (Flux2KleinPipeline, KLEIN),
    (SanaPipeline, SANA),
    (SanaSprintPipeline, SPRINT),
    (PRXPipeline, PRX),
)
TRANSFORMER_PIPELINES = frozenset(kind.__name__ for kind, _ in _TRANSFORMERS)


def family_of(pipe: Any) -> Family:
    """The family of a loaded diffusers pipeline."""
    for kind, family in _TRANSFORMERS:
        if isinstance(pipe, kind):
            return family
    return UNET


def picture_size(pipe: Any, request: ImageRequest) -> tuple[int, int]:
    """Height and width in px: the request's, or the size the model was trained at."""
    height, width = family_of(pipe).size(pipe)
    return request.height or height, request.width or width


def cell_size(pipe: Any) -> int:
    """Pixels that a latent cell becomes, in each direction."""
    family = family_of(pipe)
    height, width = family.size(pipe)
    return height // family.noise_shape(pipe, height, width)[2]


def check(pipe: Any, request: ImageRequest) -> None:
    """Refuse what a loaded model cannot do, before anything is computed.

    Raises:
        InputError: what `check_views` raises, `scheduler_closed`, `size_unit`.
    """
    family = family_of(pipe)
    check_views(family.views(pipe), request)
    known = known_schedulers(pipe)
    if request.scheduler not in known:
        raise InputError(
            "scheduler_closed", title=title_of(request), known=", ".join(known), received=request.scheduler
        )
    unit = family.unit(pipe)
    for side in (request.height, request.width):
        if side and side % unit:
            raise InputError("size_unit", title=title_of(request), unit=unit, received=side)
