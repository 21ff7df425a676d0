"""One denoising step for many runs at once: a single U-Net call, then each run's own scheduler."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from pipelines import models
from pipelines.schedulers import NoiseLevel, denoising_factors, noise_levels, set_timesteps
from pipelines.trace import DenoiseStep, ImageRequest

SchedulerFactory = Callable[[str, Any], SchedulerMixin]


@dataclass(frozen=True)
class Conditioning:
    """What the text encoders hand to the U-Net.

    Attributes:
        states: `[branch, token, dim]`; the branches are empty, prompt, or prompt alone.
        added: further inputs of SDXL's U-Net, each `[branch, dim]`.
    """

    states: Tensor
    added: dict[str, Tensor]

    @property
    def branches(self) -> int:
        return len(self.states)


@dataclass
class Run:
    """One picture under way; only the stepper's thread touches it.

    Attributes:
        latents: `[1, 4, y, x]` on the scheduler's own scale.
        levels: the noise level before each step and after the last.
        index: the next step, 0-based.
    """

    request: ImageRequest
    pipe: Any
    scheduler: SchedulerMixin
    conditioning: Conditioning
    latents: Tensor
    levels: Sequence[NoiseLevel]
    index: int = 0

    @property
    def kind(self) -> tuple[object, ...]:
        """Runs of the same kind share a U-Net call."""
        return (id(self.pipe), self.latents.shape, self.conditioning.branches)

    @property
    def timestep(self) -> Tensor:
        return self.scheduler.timesteps[self.index]

    @property
    def finished(self) -> bool:
        return self.index == len(self.scheduler.timesteps)


def picture_size(pipe: Any, request: ImageRequest) -> tuple[int, int]:
    """Height and width in px: the request's, or the size the model was trained at."""
    size = pipe.unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    scale = pipe.vae_scale_factor
    return request.height or height * scale, request.width or width * scale


def wants_empty_branch(request: ImageRequest) -> bool:
    """Whether a run asks the model without the prompt, too.

    The library leaves that branch out up to a scale of 1; here only distilled models do, because
    the page shows what the model draws without the prompt at every scale.
    """
    return request.guidance_scale > 1 or not models.entry(request.model, "image").distilled


@torch.inference_mode()
def encode(pipe: Any, request: ImageRequest) -> Conditioning:
    """Read a request's texts with the pipeline's own encoders.

    Only the stepper's thread may do so: transformers' tokenizers keep the padding of the last call
    as state, and two threads at once get each other's.
    """
    guided = wants_empty_branch(request)
    encoded = pipe.encode_prompt(
        prompt=request.prompt,
        device=pipe.device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=guided,
        negative_prompt=request.negative_prompt or None,
    )
    prompt, empty = encoded[:2]
    states = torch.cat([empty, prompt]) if guided else prompt
    if len(encoded) == 2:
        return Conditioning(states, {})
    pooled, empty_pooled = encoded[2:]
    size = picture_size(pipe, request)
    ids = pipe._get_add_time_ids(
        size, (0, 0), size, dtype=states.dtype,
        text_encoder_projection_dim=pipe.text_encoder_2.config.projection_dim,
    )  # fmt: skip
    return Conditioning(
        states,
        {
            "text_embeds": torch.cat([empty_pooled, pooled]) if guided else pooled,
            "time_ids": ids.to(states.device).repeat(len(states), 1),
        },
    )


@torch.inference_mode()
def start(
    pipe: Any, request: ImageRequest, conditioning: Conditioning, make_scheduler: SchedulerFactory
) -> Run:
    """A run before its first step; the noise is drawn as the library's pipelines draw it."""
    scheduler = make_scheduler(request.scheduler, pipe)
    set_timesteps(scheduler, request.num_inference_steps, pipe.device)
    height, width = (side // pipe.vae_scale_factor for side in picture_size(pipe, request))
    noise = randn_tensor(
        (1, pipe.unet.config.in_channels, height, width),
        generator=torch.Generator().manual_seed(request.seed),
        device=pipe.device,
        dtype=conditioning.states.dtype,
    )
    return Run(request, pipe, scheduler, conditioning, noise * scheduler.init_noise_sigma,
               noise_levels(scheduler))  # fmt: skip


@torch.inference_mode()
def predict(runs: Sequence[Run]) -> Tensor:
    """Ask the U-Net for all runs at once, each at its own timestep.

    Args:
        runs: at least one, all of the same kind.

    Returns:
        `[run, branch, 4, y, x]` predictions.
    """
    branches = runs[0].conditioning.branches
    noisy = [run.scheduler.scale_model_input(run.latents, run.timestep) for run in runs]
    added = {
        name: torch.cat([run.conditioning.added[name] for run in runs]) for name in runs[0].conditioning.added
    }
    out = runs[0].pipe.unet(
        torch.cat(noisy).repeat_interleave(branches, dim=0),
        # float32 holds every timestep exactly; some schedulers count in whole numbers, some do not
        torch.stack([run.timestep.float() for run in runs]).repeat_interleave(branches),
        encoder_hidden_states=torch.cat([run.conditioning.states for run in runs]),
        added_cond_kwargs=added or None,
        return_dict=False,
    )[0]
    return out.unflatten(0, (len(runs), branches))


@torch.inference_mode()
def advance(run: Run, prediction: Tensor) -> DenoiseStep:
    """Guide one run's predictions, let its scheduler step, and note what happened.

    Args:
        run: moved on by one step.
        prediction: `[branch, 4, y, x]`.
    """
    index, timestep, before = run.index, run.timestep, run.latents
    branches = prediction.split(1)
    guided = guide(branches, run.request.guidance_scale)
    run.latents = run.scheduler.step(guided, timestep, before, return_dict=False)[0]
    run.index += 1
    a, b = denoising_factors(run.scheduler.config.prediction_type, run.levels[index])
    estimates = a * before + b * torch.cat([*branches, guided])
    arrays = torch.cat([run.levels[run.index].scale * run.latents, estimates]).float().cpu().numpy()
    return DenoiseStep(
        index=index,
        total=len(run.scheduler.timesteps),
        timestep=int(timestep),
        latents=arrays[0],
        denoised_prompt=arrays[-2],
        denoised_empty=arrays[1] if len(branches) == 2 else None,
        denoised_guided=arrays[-1],
    )


def guide(branches: Sequence[Tensor], scale: float) -> Tensor:
    """Move the prediction away from the empty prompt's, towards the prompt's.

    Args:
        branches: `[1, 4, y, x]` each; empty, prompt, or prompt alone.
        scale: 0 is the empty branch and 1 the prompt's, both exactly.

    Source: Ho & Salimans 2022, arXiv:2207.12598, eq. 6, in the library's convention (scale = 1 + w).
    """
    if len(branches) == 1 or scale == 1:
        return branches[-1]
    empty, prompt = branches
    return empty + scale * (prompt - empty)
