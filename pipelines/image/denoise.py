"""One denoising step for many runs at once: a single call of the denoiser, then each run's own scheduler."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from pipelines.image.families.choice import family_of, picture_size
from pipelines.image.families.family import Conditioning, DenoiseRun
from pipelines.image.offload import device_of
from pipelines.image.request import DenoiseStep, ImageRequest, Inside
from pipelines.image.schedulers import (
    denoising_factors,
    initial_scale,
    noise_levels,
    own_deviation,
    prediction_type,
    set_timesteps,
    step_options,
    thousandths,
)

SchedulerFactory = Callable[[str, Any], SchedulerMixin]


@torch.inference_mode()
def start(
    pipe: Any,
    request: ImageRequest,
    conditionings: tuple[Conditioning, Conditioning],
    make_scheduler: SchedulerFactory,
) -> DenoiseRun:
    """A run before its first step; the noise is drawn as the library's pipelines draw it."""
    family = family_of(pipe)
    family.check(pipe, request)
    scheduler = make_scheduler(request.scheduler, pipe)
    generator = torch.Generator().manual_seed(request.seed)
    noise = randn_tensor(
        family.noise_shape(pipe, *picture_size(pipe, request)),
        generator=generator,
        device=device_of(pipe),
        dtype=family.noise_type(pipe, conditionings[0]),
    )
    steps = request.num_inference_steps
    set_timesteps(scheduler, steps, device_of(pipe), **family.timing(pipe, steps, noise))
    latents = noise * initial_scale(scheduler)
    return DenoiseRun(
        request, pipe, family, scheduler, *conditionings, latents, noise_levels(scheduler),
        step_options(scheduler, generator),
    )  # fmt: skip


@torch.inference_mode()
def predict(runs: Sequence[DenoiseRun]) -> tuple[Tensor, list[Inside | None]]:
    """Ask the denoiser for all runs at once, each at its own timestep.

    Args:
        runs: at least one, all of the same kind.

    Returns:
        `[run, branch, channel, y, x]` predictions, and for each run what happened inside, if it asks.
    """
    return runs[0].family.predict(runs)


@torch.inference_mode()
def advance(run: DenoiseRun, prediction: Tensor, inside: Inside | None = None) -> DenoiseStep:
    """Guide one run's predictions, let its scheduler step, and note what happened.

    Args:
        run: moved on by one step.
        prediction: `[branch, channel, y, x]`.
        inside: what happened inside the denoiser.
    """
    index, timestep, before = run.index, run.timestep, run.latents
    branches = prediction.split(1)
    guided = classifier_free_guidance(branches, run.request.guidance_scale)
    run.latents = run.scheduler.step(guided, timestep, before, return_dict=False, **run.options)[0]
    run.index += 1
    a, b = denoising_factors(prediction_type(run.scheduler), run.levels[index])
    estimates = a * before + b * torch.cat([*branches, guided])
    noisy = [run.levels[index].scale * before, run.levels[run.index].scale * run.latents]
    arrays = torch.cat([*noisy, estimates]).float().cpu().numpy()
    return DenoiseStep(
        index=index,
        total=run.total,
        timestep=thousandths(run.scheduler, timestep),
        latents=arrays[1],
        denoised_prompt=arrays[-2],
        denoised_empty=arrays[2] if len(branches) == 2 else None,
        denoised_guided=arrays[-1],
        inside=inside,
        start=arrays[0] if index == 0 else None,
        deviations=(
            own_deviation(run.scheduler, run.levels[index]),
            own_deviation(run.scheduler, run.levels[run.index]),
        ),
    )


def classifier_free_guidance(branches: Sequence[Tensor], scale: float) -> Tensor:
    """Move the prediction away from the empty prompt's, towards the prompt's.

    Args:
        branches: `[1, channel, y, x]` each; empty, prompt, or prompt alone.
        scale: 0 is the empty branch and 1 the prompt's, both exactly.

    Source: Ho & Salimans 2022, arXiv:2207.12598, eq. 6, in the library's convention (scale = 1 + w).
    """
    if len(branches) == 1 or scale == 1:
        return branches[-1]
    empty, prompt = branches
    return empty + scale * (prompt - empty)
