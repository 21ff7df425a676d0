"""The library's schedulers, set up for each model, and the noise levels of their steps."""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, SchedulerMixin
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
        scale: brings the scheduler's own latents to unit deviation; Euler's grow with the noise.

    Source: Salimans & Ho 2022, arXiv:2202.00512, section 2.
    """

    alpha: float
    sigma: float
    scale: float


def make_scheduler(name: str, pipe: Any) -> SchedulerMixin:
    """A new scheduler object with the noise schedule that a pipeline's model was trained on.

    Args:
        name: one of `pipelines.image.request.SCHEDULERS`.
        pipe: diffusers pipeline; its own scheduler object is only read.

    Source: Lin et al. 2023, arXiv:2305.08891, sections 3.1 and 3.3: with zero terminal SNR the
        first step must start at the last timestep, which "trailing" spacing does.
    """
    kind, settings = _CLASSES[name]
    config = pipe.scheduler.config
    if config.get("rescale_betas_zero_snr"):
        settings = settings | {"timestep_spacing": "trailing"}
    return kind.from_config(config, **settings)


def initial_scale(scheduler: SchedulerMixin) -> Any:
    """What noise at unit deviation is multiplied by to begin on the scheduler's own scale."""
    return scheduler.init_noise_sigma


def step_options(scheduler: SchedulerMixin, generator: torch.Generator) -> dict[str, Any]:
    """Further arguments of a scheduler's `step`."""
    return {}


def prediction_type(scheduler: SchedulerMixin) -> str:
    """What the model predicts, as `denoising_factors` takes it."""
    return str(scheduler.config.prediction_type)


def thousandths(scheduler: SchedulerMixin, timestep: Tensor) -> int:
    """A timestep on the scale of 0 (no noise) to 1000 (only noise)."""
    return int(timestep)


def set_timesteps(scheduler: SchedulerMixin, steps: int, device: Any, **options: Any) -> None:
    """Prepare a scheduler for a number of steps.

    Args:
        options: what the model's family tells the scheduler besides (`Family.timing`).

    "Trailing" spacing counts down in float64 and yields, for 61 of 1000, a 62nd timestep of -1
    (diffusers 0.42), which would read the noisiest level at the very end; it is left out here.
    """
    scheduler.set_timesteps(steps, device=device, **options)
    if len(scheduler.timesteps) == steps:
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
    alphas = [(1 + sigma**2) ** -0.5 for sigma in scheduler.sigmas.double().tolist()]
    grows = isinstance(scheduler, EulerDiscreteScheduler)
    return [NoiseLevel(alpha, (1 - alpha**2) ** 0.5, alpha if grows else 1.0) for alpha in alphas]


def denoising_factors(prediction_type: str, level: NoiseLevel) -> tuple[float, float]:
    """Factors `(a, b)` with which `a * noisy + b * prediction` is the estimate of the clean latents.

    Args:
        prediction_type: what the model predicts: "epsilon", "v_prediction" or "sample".
        level: of the noisy latents, which are on the scheduler's own scale.

    Source: Salimans & Ho 2022, arXiv:2202.00512, appendix D; Ho et al. 2020, arXiv:2006.11239, eq. 15.
    """
    if prediction_type == "epsilon":
        alpha = max(level.alpha, _SMALLEST_ALPHA)
        return level.scale / alpha, -level.sigma / alpha
    if prediction_type == "v_prediction":
        return level.scale * level.alpha, -level.sigma
    if prediction_type == "sample":
        return 0.0, 1.0
    raise ValueError(f"prediction_type must be epsilon, v_prediction or sample, got {prediction_type}")
