"""The library's schedulers, set up for each model, and the noise levels of their steps."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    SchedulerMixin,
    SCMScheduler,
)
from torch import Tensor

_CLASSES: dict[str, tuple[Any, dict[str, Any]]] = {
    # Schedulers built from another class's config clip latents to -1..1 unless told otherwise.
    "ddim": (DDIMScheduler, {"clip_sample": False, "thresholding": False}),
    "dpm++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "thresholding": False}),
    "euler": (EulerDiscreteScheduler, {}),
}
_SMALLEST_ALPHA = 2.0**-12  # as the library does where nothing of the picture is left


@dataclass(frozen=True)
class NoiseLevel:
    """How much picture and how much noise the latents hold.

    Attributes:
        alpha: share of the picture.
        sigma: share of the noise, alpha² + sigma² = 1.
        scale: brings the scheduler's own latents to unit deviation; Euler's grow with the noise, and on the
            straight paths of flow matching they are narrower half-way.

    Source: Salimans & Ho 2022, arXiv:2202.00512, section 2.
    """

    alpha: float
    sigma: float
    scale: float


def is_flow(scheduler: SchedulerMixin) -> bool:
    """Whether noise becomes picture along straight paths: `(1 - sigma) * picture + sigma * noise`.

    Source: Liu et al. 2022, arXiv:2209.03003, section 2; Esser et al. 2024, arXiv:2403.03206, section 3.
    """
    straight = isinstance(scheduler, FlowMatchEulerDiscreteScheduler)
    return straight or bool(scheduler.config.get("use_flow_sigmas"))


def known_schedulers(pipe: Any) -> tuple[str, ...]:
    """The names that `make_scheduler` takes for a pipeline; the first is always among them.

    On straight paths a step of DDIM is a step of Euler's. The scheduler of a consistency model (SCM) is the
    only one that such a model can be used with, and goes by the first name.
    """
    names = tuple(_CLASSES)
    if isinstance(pipe.scheduler, SCMScheduler):
        return names[:1]
    if isinstance(pipe.scheduler, FlowMatchEulerDiscreteScheduler):
        return "ddim", "euler"
    return names


def make_scheduler(name: str, pipe: Any) -> SchedulerMixin:
    """A new scheduler object with the noise schedule that a pipeline's model was trained on.

    Args:
        name: one of `known_schedulers`.
        pipe: diffusers pipeline; its own scheduler object is only read.

    Source: Lin et al. 2023, arXiv:2305.08891, sections 3.1 and 3.3: with zero terminal SNR the
        first step must start at the last timestep, which "trailing" spacing does.
    """
    own, config = pipe.scheduler, pipe.scheduler.config
    if isinstance(own, SCMScheduler):
        return type(own).from_config(config)
    if is_flow(own) and name != "dpm++":
        shift = config.get("shift", config.get("flow_shift"))
        return FlowMatchEulerDiscreteScheduler.from_config(config, shift=shift)
    kind, settings = _CLASSES[name]
    if config.get("rescale_betas_zero_snr"):
        settings = settings | {"timestep_spacing": "trailing"}
    return kind.from_config(config, **settings)


def initial_scale(scheduler: SchedulerMixin) -> Any:
    """What noise at unit deviation is multiplied by to begin on the scheduler's own scale."""
    if isinstance(scheduler, SCMScheduler):
        return scheduler.config.sigma_data
    return getattr(scheduler, "init_noise_sigma", 1.0)


def step_options(scheduler: SchedulerMixin, generator: torch.Generator) -> dict[str, Any]:
    """Further arguments of a scheduler's `step`: a consistency model adds new noise, from the run's own."""
    return {"generator": generator} if isinstance(scheduler, SCMScheduler) else {}


def prediction_type(scheduler: SchedulerMixin) -> str:
    """What the model predicts, as `denoising_factors` takes it."""
    return str(scheduler.config.get("prediction_type", "flow_prediction"))


def thousandths(scheduler: SchedulerMixin, timestep: Tensor) -> int:
    """A timestep on the scale of 0 (no noise) to 1000 (only noise)."""
    if isinstance(scheduler, SCMScheduler):  # an angle; this is the share of noise on a straight path
        return int(1000 * timestep.sin() / (timestep.sin() + timestep.cos()))
    return int(timestep)


def set_timesteps(scheduler: SchedulerMixin, steps: int, device: Any, **options: Any) -> None:
    """Prepare a scheduler for a number of steps.

    Args:
        options: what the model's family tells the scheduler besides (`Family.timing`).

    "Trailing" spacing counts down in float64 and yields, for 61 of 1000, a 62nd timestep of -1
    (diffusers 0.42), which would read the noisiest level at the very end; it is left out here.
    """
    scheduler.set_timesteps(steps, device=device, **options)
    if len(scheduler.timesteps) == steps or isinstance(scheduler, SCMScheduler):  # which lists the end, too
        return
    kept = scheduler.timesteps[:steps]
    if isinstance(scheduler, DDIMScheduler):  # stateless: it takes no list of timesteps
        scheduler.timesteps = kept
    else:
        scheduler.set_timesteps(timesteps=kept.tolist(), device=device)


def nearest_step(scheduler: SchedulerMixin, timestep: int) -> int:
    """Index of the step that begins nearest to a noise level."""
    return int((scheduler.timesteps - timestep).abs().argmin())


def noise_levels(scheduler: SchedulerMixin) -> list[NoiseLevel]:
    """The noise level before each step and, last, after all of them."""
    if isinstance(scheduler, DDIMScheduler):
        products = scheduler.alphas_cumprod[scheduler.timesteps.cpu()].double().tolist()
        return [NoiseLevel(product**0.5, (1 - product) ** 0.5, 1.0) for product in (*products, 1.0)]
    if isinstance(scheduler, SCMScheduler):
        angles, scale = scheduler.timesteps.cpu().double().tolist(), 1 / scheduler.config.sigma_data
        return [NoiseLevel(math.cos(angle), math.sin(angle), scale) for angle in angles]
    if is_flow(scheduler):
        return [_straight(sigma) for sigma in scheduler.sigmas.cpu().double().tolist()]
    alphas = [(1 + sigma**2) ** -0.5 for sigma in scheduler.sigmas.cpu().double().tolist()]
    grows = isinstance(scheduler, EulerDiscreteScheduler)
    return [NoiseLevel(alpha, (1 - alpha**2) ** 0.5, alpha if grows else 1.0) for alpha in alphas]


def own_deviation(scheduler: SchedulerMixin, level: NoiseLevel) -> float:
    """Deviation of latents on the model's own path: 1 where it keeps variance, less on a straight one."""
    return 1 / level.scale if is_flow(scheduler) else 1.0


def _straight(sigma: float) -> NoiseLevel:
    """The level of latents that are `(1 - sigma) * picture + sigma * noise`."""
    deviation = math.hypot(1 - sigma, sigma)
    return NoiseLevel((1 - sigma) / deviation, sigma / deviation, 1 / deviation)


def denoising_factors(prediction_type: str, level: NoiseLevel) -> tuple[float, float]:
    """Factors `(a, b)` with which `a * noisy + b * prediction` is the estimate of the clean latents.

    Args:
        prediction_type: what the model predicts: "epsilon", "v_prediction", "sample", "flow_prediction"
            (noise minus picture) or "trigflow" (velocity, on the scale of the latents).
        level: of the noisy latents, which are on the scheduler's own scale.

    Source: Salimans & Ho 2022, arXiv:2202.00512, appendix D; Ho et al. 2020, arXiv:2006.11239, eq. 15;
        Esser et al. 2024, arXiv:2403.03206, section 2; Lu & Song 2024, arXiv:2410.11081, section 3.
    """
    if prediction_type == "flow_prediction":
        return 1.0, -level.sigma / level.scale
    if prediction_type == "trigflow":
        return level.scale * level.alpha, -level.scale * level.sigma
    if prediction_type == "epsilon":
        alpha = max(level.alpha, _SMALLEST_ALPHA)
        return level.scale / alpha, -level.sigma / alpha
    if prediction_type == "v_prediction":
        return level.scale * level.alpha, -level.sigma
    if prediction_type == "sample":
        return 0.0, 1.0
    raise ValueError(f"prediction_type must be one of those above, got {prediction_type}")
