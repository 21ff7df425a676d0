"""The library's schedulers as set up here: right for each model, and agreeing with each other."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler, PNDMScheduler

from pipelines.image.load import classroom_scheduler
from pipelines.image.request import SCHEDULERS
from pipelines.image.schedulers import denoising_factors, make_scheduler, noise_levels, set_timesteps

_SD15 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
         "set_alpha_to_one": False}  # fmt: skip


def _pipe(prediction_type: str) -> SimpleNamespace:
    """What `make_scheduler` reads of a pipeline: a model's published schedule."""
    if prediction_type == "v_prediction":
        return SimpleNamespace(scheduler=classroom_scheduler())
    return SimpleNamespace(scheduler=PNDMScheduler(**_SD15, prediction_type=prediction_type))


MEAN = torch.sin(torch.arange(64.0)).view(1, 4, 4, 4)
DEVIATION = 0.5
NOISE = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))


def _error(name: str, steps: int) -> float:
    """Sample a Gaussian with its ideal velocity model; the exact answer is known in closed form.

    The probability flow carries noise e to mean + deviation * e when nothing but noise is left
    at the start (Song et al. 2021, arXiv:2011.13456, section 4.3).
    """
    scheduler = make_scheduler(name, _pipe("v_prediction"))
    set_timesteps(scheduler, steps, "cpu")
    latents = NOISE * scheduler.init_noise_sigma
    for t, level in zip(scheduler.timesteps, noise_levels(scheduler), strict=False):
        noisy = scheduler.scale_model_input(latents, t)
        alpha, sigma = level.alpha, level.sigma
        gain = alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + sigma**2)
        clean = MEAN + gain * (noisy - alpha * MEAN)
        velocity = (alpha * noisy - clean) / sigma
        latents = scheduler.step(velocity, t, latents, return_dict=False)[0]
    return float((latents - (MEAN + DEVIATION * NOISE)).abs().max())


@pytest.mark.parametrize("name", SCHEDULERS)
def test_samplers_approach_the_exact_answer_despite_zero_terminal_snr(name):
    few, more, many = (_error(name, steps) for steps in (10, 20, 100))
    assert many < more < few < 0.5
    assert many < 0.07


def test_dpm_solver_needs_fewer_steps_and_euler_draws_what_ddim_draws():
    assert _error("dpm++", 40) < 0.6 * _error("ddim", 40)
    assert abs(_error("euler", 20) - _error("ddim", 20)) < 1e-3


@pytest.mark.parametrize("prediction_type", ["v_prediction", "epsilon"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_number_of_steps_gives_as_many_falling_timesteps(name, prediction_type):
    for steps in range(1, 101):
        scheduler = make_scheduler(name, _pipe(prediction_type))
        set_timesteps(scheduler, steps, "cpu")
        timesteps = scheduler.timesteps.tolist()
        assert len(timesteps) == steps
        assert timesteps == sorted(set(timesteps), reverse=True)
        assert timesteps[-1] >= 0
        assert len(noise_levels(scheduler)) == steps + 1


@pytest.mark.parametrize("name", SCHEDULERS)
def test_zero_terminal_snr_models_start_from_noise_alone(name):
    scheduler = make_scheduler(name, _pipe("v_prediction"))
    set_timesteps(scheduler, 7, "cpu")
    assert scheduler.timesteps[0] == 999
    assert noise_levels(scheduler)[0].alpha < 1e-3
    assert not getattr(scheduler.config, "clip_sample", False)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_zero_terminal_snr_models_begin_with_the_last_timestep_whatever_their_config_says(name):
    own = DDIMScheduler(
        **_SD15, prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="leading"
    )
    scheduler = make_scheduler(name, SimpleNamespace(scheduler=own))
    set_timesteps(scheduler, 10, "cpu")
    assert scheduler.timesteps[0] == 999


def test_latents_are_never_clipped_even_if_a_config_forgets_to_say_so():
    assert DDIMScheduler().config.clip_sample  # the library's default, a trap
    pipe = SimpleNamespace(scheduler=PNDMScheduler(**_SD15))
    assert not make_scheduler("ddim", pipe).config.clip_sample


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_denoised_estimates_equal_the_schedulers_own(name, prediction_type):
    scheduler = make_scheduler(name, _pipe(prediction_type))
    set_timesteps(scheduler, 10, "cpu")
    levels = noise_levels(scheduler)
    draw = torch.Generator().manual_seed(1)
    latents = torch.randn(1, 4, 4, 4, generator=draw) * scheduler.init_noise_sigma
    for i, t in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(latents, t)
        prediction = torch.randn(1, 4, 4, 4, generator=draw)
        a, b = denoising_factors(prediction_type, levels[i])
        if name == "dpm++":
            scheduler._step_index = i
            theirs = scheduler.convert_model_output(prediction, sample=latents)
            following = scheduler.step(prediction, t, latents).prev_sample
        else:
            result = scheduler.step(prediction, t, latents)
            theirs, following = result.pred_original_sample, result.prev_sample
        torch.testing.assert_close(a * latents + b * prediction, theirs, rtol=1e-3, atol=1e-3)
        latents = following


def test_euler_latents_are_brought_to_unit_deviation():
    scheduler = make_scheduler("euler", _pipe("v_prediction"))
    set_timesteps(scheduler, 10, "cpu")
    noise = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(2))
    levels = noise_levels(scheduler)
    assert abs((noise * scheduler.init_noise_sigma * levels[0].scale).std() - 1) < 0.02
    assert levels[-1].scale == 1  # so that the last latents stay the library's, to the bit
