"""One denoising step for many runs at once: a single U-Net call, then each run's own scheduler."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from pipelines.image.encoding import Conditioning, picture_size
from pipelines.image.recorder import AttentionRecord, RecordedRun, check_blocks, layout_of, recording
from pipelines.image.request import DenoiseStep, ImageRequest, Inside
from pipelines.image.schedulers import NoiseLevel, denoising_factors, noise_levels, set_timesteps

SchedulerFactory = Callable[[str, Any], SchedulerMixin]


@dataclass
class DenoiseRun:
    """One picture under way; only the stepper's thread touches it.

    Attributes:
        first: what steers it at the beginning.
        later: what steers it from `request.steering.switch_at` on.
        latents: `[1, 4, y, x]` on the scheduler's own scale.
        levels: the noise level before each step and after the last.
        index: the next step, 0-based.
    """

    request: ImageRequest
    pipe: Any
    scheduler: SchedulerMixin
    first: Conditioning
    later: Conditioning
    latents: Tensor
    levels: Sequence[NoiseLevel]
    index: int = 0

    @property
    def kind(self) -> tuple[object, ...]:
        """Runs of the same kind share a U-Net call."""
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
    def finished(self) -> bool:
        return self.index == len(self.scheduler.timesteps)


@torch.inference_mode()
def start(
    pipe: Any,
    request: ImageRequest,
    conditionings: tuple[Conditioning, Conditioning],
    make_scheduler: SchedulerFactory,
) -> DenoiseRun:
    """A run before its first step; the noise is drawn as the library's pipelines draw it."""
    check_blocks(pipe.unet, request.steering.blocks_off)
    scheduler = make_scheduler(request.scheduler, pipe)
    set_timesteps(scheduler, request.num_inference_steps, pipe.device)
    height, width = (side // pipe.vae_scale_factor for side in picture_size(pipe, request))
    noise = randn_tensor(
        (1, pipe.unet.config.in_channels, height, width),
        generator=torch.Generator().manual_seed(request.seed),
        device=pipe.device,
        dtype=conditionings[0].states.dtype,
    )
    latents = noise * scheduler.init_noise_sigma
    return DenoiseRun(request, pipe, scheduler, *conditionings, latents, noise_levels(scheduler))


@torch.inference_mode()
def predict(runs: Sequence[DenoiseRun]) -> tuple[Tensor, list[Inside | None]]:
    """Ask the U-Net for all runs at once, each at its own timestep.

    Args:
        runs: at least one, all of the same kind.

    Returns:
        `[run, branch, 4, y, x]` predictions, and for each run what happened inside, if it asks.
    """
    conditionings = [run.conditioning for run in runs]
    branches = conditionings[0].branches
    noisy = [run.scheduler.scale_model_input(run.latents, run.timestep) for run in runs]
    added = {name: torch.cat([c.added[name] for c in conditionings]) for name in conditionings[0].added}
    states = torch.cat([c.states for c in conditionings])
    unet = runs[0].pipe.unet
    with _recording(runs) as record:
        mask = record.encoder_mask(states.shape[1]) if record else None
        out = unet(
            torch.cat(noisy).repeat_interleave(branches, dim=0),
            # float32 holds every timestep exactly; some schedulers count in whole numbers, some do not
            torch.stack([run.timestep.float() for run in runs]).repeat_interleave(branches),
            encoder_hidden_states=states,
            added_cond_kwargs=added or None,
            return_dict=False,
            **({} if mask is None else {"encoder_attention_mask": mask.to(states.device)}),
        )[0]
    insides = [record.inside_of(i, layout_of(unet).blocks) if record else None for i in range(len(runs))]
    return out.unflatten(0, (len(runs), branches)), insides


def _recording(runs: Sequence[DenoiseRun]) -> AbstractContextManager[AttentionRecord | None]:
    """Instruments where one of the runs needs them; the untouched U-Net elsewhere."""
    if not runs[0].needs_recording:
        return nullcontext()
    subjects = [RecordedRun(r.conditioning.ends, r.request.steering, r.request.look_inside) for r in runs]
    height, width = runs[0].latents.shape[-2:]
    return recording(runs[0].pipe.unet, subjects, (height, width))


@torch.inference_mode()
def advance(run: DenoiseRun, prediction: Tensor, inside: Inside | None = None) -> DenoiseStep:
    """Guide one run's predictions, let its scheduler step, and note what happened.

    Args:
        run: moved on by one step.
        prediction: `[branch, 4, y, x]`.
        inside: what happened inside the U-Net.
    """
    index, timestep, before = run.index, run.timestep, run.latents
    branches = prediction.split(1)
    guided = classifier_free_guidance(branches, run.request.guidance_scale)
    run.latents = run.scheduler.step(guided, timestep, before, return_dict=False)[0]
    run.index += 1
    a, b = denoising_factors(run.scheduler.config.prediction_type, run.levels[index])
    estimates = a * before + b * torch.cat([*branches, guided])
    noisy = [run.levels[index].scale * before, run.levels[run.index].scale * run.latents]
    arrays = torch.cat([*noisy, estimates]).float().cpu().numpy()
    return DenoiseStep(
        index=index,
        total=len(run.scheduler.timesteps),
        timestep=int(timestep),
        latents=arrays[1],
        denoised_prompt=arrays[-2],
        denoised_empty=arrays[2] if len(branches) == 2 else None,
        denoised_guided=arrays[-1],
        inside=inside,
        start=arrays[0] if index == 0 else None,
    )


def classifier_free_guidance(branches: Sequence[Tensor], scale: float) -> Tensor:
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
