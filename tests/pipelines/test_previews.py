"""Previews against the autoencoder itself."""

import numpy as np
import pytest
import torch

from components.runs.batch import LiveBatch, estimates
from components.runs.frames import encode
from pipelines.image import image
from pipelines.image.previews import linear_decoder, shrunk
from pipelines.image.request import SCHEDULERS, ImageRequest, Trace
from pipelines.video import video
from pipelines.video.request import VideoRequest

MODEL = "classroom-image"


@pytest.fixture(scope="module")
def trace() -> Trace:
    return image.run(ImageRequest("A blue bird in the snow.", seed=3, num_inference_steps=8, model=MODEL))


def _decibels(pictures: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal to noise ratio."""
    return float(10 * np.log10(255**2 / np.square(pictures.astype(float) - reference).mean()))


@pytest.mark.parametrize("kind", ["latents", "denoised_guided", "denoised_prompt"])
def test_the_linear_decoder_comes_near_to_the_decoder(trace: Trace, kind: str) -> None:
    latents = np.stack([getattr(step, kind) for step in trace.steps])
    exact = np.stack([np.asarray(picture) for picture in image.decode(latents, MODEL)])
    found = linear_decoder(MODEL).decode(latents)
    assert found.shape == exact.shape and found.dtype == np.uint8
    mean_colour = np.broadcast_to(exact.mean((1, 2), keepdims=True), exact.shape)
    assert _decibels(found, exact) > max(17, _decibels(mean_colour, exact) + 0.7)


def test_a_films_preview_comes_near_to_its_frames() -> None:
    request = VideoRequest("A blue bird walks right in the snow.", seed=3, num_inference_steps=4,
                           num_frames=4, model="classroom-video")  # fmt: skip
    latents = video.run(request).steps[-1].denoised
    found, exact = (
        np.stack([np.asarray(frame) for frame in make(latents, request.model)])
        for make in (video.preview, video.decode)
    )
    mean_colour = np.broadcast_to(exact.mean((1, 2), keepdims=True), exact.shape)
    assert _decibels(found, exact) > max(17, _decibels(mean_colour, exact) + 0.7)


def test_a_batch_under_way_is_seen_through_the_linear_decoder(trace: Trace) -> None:
    live = LiveBatch([trace.request] * 2, None)
    assert live.sources() == () and live.done() == 0
    live.add([trace.steps[-1], trace.steps[4]])
    shown = np.stack([trace.steps[i].denoised_guided for i in (-1, 4)])
    expected = linear_decoder(MODEL).pictures(shown)
    assert live.sources() == tuple(map(encode, expected)) and live.done() == 8
    assert estimates(live.steps, MODEL) == tuple(map(encode, image.decode(shown, MODEL))) != live.sources()


def test_the_linear_decoder_is_linear_but_for_its_constant() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 0.2, (2, 1, 4, 5, 6)).astype(np.float32)
    decoder = linear_decoder(MODEL)
    whole, zero = (decoder.decode(x).astype(int) for x in (a + b, np.zeros_like(a)))
    parts = decoder.decode(a).astype(int) + decoder.decode(b).astype(int) - zero
    assert np.abs(whole - parts).max() <= 2, "rounding"


def test_large_latents_are_averaged_and_noise_is_picked() -> None:
    noise = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0)).numpy()
    assert shrunk(noise).shape == shrunk(noise, noisy=True).shape == (1, 4, 16, 16)
    assert shrunk(noise).std() == pytest.approx(0.25, abs=0.02)
    assert shrunk(noise, noisy=True).std() == pytest.approx(1, abs=0.05)
    assert shrunk(np.zeros((1, 4, 8, 256), np.float32)).shape == (1, 4, 1, 16), "no side is lost"
    small = noise[..., :16, :16]
    assert shrunk(small) is small


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_first_step_brings_the_noise_of_the_seed(scheduler: str) -> None:
    request = ImageRequest("a cat", seed=7, num_inference_steps=3, scheduler=scheduler, model=MODEL)
    first, *others = image.run(request).steps
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(7))[0].numpy()
    assert first.start is not None
    scale = float((first.start * noise).sum() / np.square(noise).sum())
    np.testing.assert_allclose(first.start, scale * noise, atol=1e-4)
    assert scale == pytest.approx(1, abs=0.01), "at unit deviation"
    assert all(step.start is None for step in others)
