"""Guidance against a slow reference that shares no code with the engine."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.clip.model import clip_model
from pipelines.image import guidance, image, stepper
from pipelines.image.load import image_pipeline
from pipelines.image.request import ImageRequest
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError

pytestmark = pytest.mark.usefixtures("tiny_models")

REQUEST = ImageRequest("A cat. Cozy atmosphere. Dimm lighting.", "text", 3, 4.5, 5, "ddim", "classroom-image")


def zero_snr_alphas() -> np.ndarray:
    """`[1000]` products of alphas of Stable Diffusion's schedule, rescaled to zero terminal SNR.

    Written anew from Lin et al. 2023, arXiv:2305.08891, algorithm 1.
    """
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    roots = np.sqrt(np.cumprod(1 - betas))
    first, last = roots[0], roots[-1]
    return ((roots - last) * first / (first - last)) ** 2


def read(prompt: str) -> torch.Tensor:
    pipe = image_pipeline(REQUEST.model)
    ids = pipe.tokenizer(prompt, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
    with torch.no_grad():
        return pipe.text_encoder(ids.input_ids).last_hidden_state


def slow_reference(request: ImageRequest) -> list[dict[str, np.ndarray]]:
    """DDIM and guidance from the papers, one U-Net call per branch, in float64 outside the model."""
    unet, alphas = image_pipeline(request.model).unet, zero_snr_alphas()
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(request.seed))
    x = noise.double().numpy()
    count = request.num_inference_steps
    times = [1000 - i * 1000 // count - 1 for i in range(count)]
    out = []
    for i, t in enumerate(times):
        a, s = np.sqrt(alphas[t]), np.sqrt(1 - alphas[t])
        with torch.no_grad():
            v_prompt, v_empty = (
                unet(torch.tensor(x).float(), t, read(text)).sample.double().numpy()
                for text in (request.prompt, request.negative_prompt)
            )
        estimates = {"prompt": a * x - s * v_prompt, "empty": a * x - s * v_empty}
        weight = request.guidance_scale
        clean = (1 - weight) * estimates["empty"] + weight * estimates["prompt"]
        noise_estimate = s * x + a * ((1 - weight) * v_empty + weight * v_prompt)
        following = alphas[times[i + 1]] if i + 1 < count else 1.0
        x = np.sqrt(following) * clean + np.sqrt(1 - following) * noise_estimate
        out.append(estimates | {"guided": clean, "latents": x})
    return out


@pytest.mark.parametrize("scale", [0, 0.5, 1, 4.5, 20])
def test_every_step_equals_the_slow_reference(scale):
    request = replace(REQUEST, guidance_scale=scale)
    reference = slow_reference(request)  # before the run: tokenizers cannot serve two threads
    for step, expected in zip(image.generate(request), reference, strict=True):
        tolerance = 1e-4 * max(1.0, float(np.abs(expected["guided"]).max()))
        for name in ("prompt", "empty", "guided"):
            difference = np.abs(getattr(step, f"denoised_{name}") - expected[name][0]).max()
            assert difference < tolerance, (step.index, name)
        assert np.abs(step.latents - expected["latents"][0]).max() < tolerance


def test_scale_one_is_the_conditional_model_and_scale_zero_ignores_the_prompt():
    one = tuple(image.generate(replace(REQUEST, guidance_scale=1)))
    assert all(np.array_equal(s.denoised_guided, s.denoised_prompt) for s in one)
    pipe = image_pipeline(REQUEST.model)
    unguided = pipe(  # the library leaves out the empty branch at a scale of one
        REQUEST.prompt, num_inference_steps=5, guidance_scale=1.0, output_type="latent",
        generator=torch.Generator().manual_seed(REQUEST.seed),
    ).images[0]  # fmt: skip
    np.testing.assert_allclose(one[-1].latents, unguided.numpy(), atol=1e-4)
    zero, other = (
        tuple(image.generate(replace(REQUEST, guidance_scale=0, prompt=prompt)))
        for prompt in (REQUEST.prompt, "A tree in the snow.")
    )
    assert all(np.array_equal(s.denoised_guided, s.denoised_empty) for s in zero)
    np.testing.assert_allclose(zero[-1].latents, other[-1].latents, atol=1e-5)


def test_the_difference_is_what_guidance_amplifies():
    for step in image.generate(REQUEST):
        rebuilt = step.denoised_empty + REQUEST.guidance_scale * guidance.guidance_difference(step)
        np.testing.assert_allclose(step.denoised_guided, rebuilt, atol=1e-3)


def test_no_difference_where_a_model_ran_without_its_empty_branch():
    request = ImageRequest("a cat", guidance_scale=1, num_inference_steps=1, model="tiny-turbo")
    step = next(image.generate(request))
    with pytest.raises(InputError, match="guidance_not_traced"):
        guidance.guidance_difference(step)


def test_a_sweep_is_its_single_runs():
    scales = (0, 1, 3, 7.5, 20)
    told = []
    sweep = guidance.guidance_sweep(
        REQUEST, scales, lambda steps: told.append((steps[0].index + 1, steps[0].total, len(steps)))
    )
    assert told == [(i, 5, 5) for i in range(1, 6)]
    assert sweep.scales.tolist() == list(scales)
    assert sweep.latents.shape == (5, 4, 16, 16)
    for scale, picture, latents in zip(scales, sweep.images, sweep.latents, strict=True):
        single = image.run(replace(REQUEST, guidance_scale=scale))
        np.testing.assert_allclose(latents, single.steps[-1].latents, atol=1e-2)
        difference = np.asarray(picture, int) - np.asarray(single.image, int)
        assert np.abs(difference).max() <= 1


def test_a_sweeps_scores_are_clips_cosines():
    sweep = guidance.guidance_sweep(REQUEST, (1, 8))
    clip = clip_model(catalogue.default_id("clip"))
    with torch.no_grad():
        text = clip.model.encode_text(clip.tokenize([REQUEST.prompt]))[0].double().numpy()
        for picture, score in zip(sweep.images, sweep.clip_scores, strict=True):
            seen = clip.model.encode_image(clip.preprocess(picture)[None])[0].double().numpy()
            expected = seen @ text / np.linalg.norm(seen) / np.linalg.norm(text)
            assert score == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("key", "scales"),
    [
        ("scales_count", ()),
        ("scales_count", (1,) * 9),
        ("guidance_scale_range", (1, float("nan"))),
        ("guidance_scale_range", (-1,)),
    ],
)
def test_unusable_scales_are_named(key, scales):
    with pytest.raises(InputError, match=key):
        guidance.guidance_sweep(REQUEST, scales)


def test_an_abandoned_sweep_frees_the_engine():
    class Leave(Exception):  # noqa: N818
        pass

    def leave(steps: object) -> None:
        raise Leave

    with pytest.raises(Leave):
        guidance.guidance_sweep(replace(REQUEST, num_inference_steps=100), (1, 5, 9), leave)
    tuple(stepper.submit(replace(REQUEST, num_inference_steps=3)))
    assert stepper.queue_length() == 0
