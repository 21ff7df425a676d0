"""Tokens of a film: picked up and followed, against films whose tracks are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.serving.compute import on_compute_thread
from pipelines.serving.errors import InputError
from pipelines.video import video
from pipelines.video.animatediff_recorder import recording_video
from pipelines.video.latent_tokens import central_token, colours_of, follow, grid_like, video_tokens
from pipelines.video.load import video_pipeline
from pipelines.video.request import FEATURE_TIMESTEP, VideoRequest, VideoStep, VideoTrace
from pipelines.world.films import FRAMES, draw_film, film_caption, render_film

REQUEST = VideoRequest(
    "A cat jumps.", seed=1, num_inference_steps=4, num_frames=4, height=32, width=48, model="classroom-video"
)


@on_compute_thread
@torch.inference_mode()
def noised(frames, caption: str) -> tuple[np.ndarray, object]:
    """A film of the world as latents, and what the model makes of it late on its way."""
    pipe = video_pipeline("classroom-video")
    pixels = (
        torch.stack([torch.from_numpy(np.asarray(f)).permute(2, 0, 1) for f in frames]).float() / 127.5 - 1
    )
    latents = pipe.vae.encode(pixels).latent_dist.mean
    alpha = pipe.scheduler.alphas_cumprod[FEATURE_TIMESTEP]
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    noisy = (alpha.sqrt() * latents + (1 - alpha).sqrt() * noise).transpose(0, 1)[None]
    text, _ = pipe.encode_prompt(caption, "cpu", 1, False)
    with recording_video(pipe.unet, 1, (16, 16), look=True, keep=True, motion=True) as desk:
        pipe.unet(noisy, FEATURE_TIMESTEP, encoder_hidden_states=text.repeat_interleave(len(frames), 0))
    return latents.numpy(), desk.inside()


@pytest.mark.slow
def test_the_token_of_a_thing_is_followed_along_its_true_track() -> None:
    """Features find the thing far more often than its old place does; all within three cells of the truth."""
    rng, followed, stayed = np.random.default_rng(5), [], []
    for i, name in enumerate(("walks left", "walks right", "flies up", "falls", "jumps", "pans")):
        film = draw_film(rng, motion=name)
        shot = render_film(film, i)
        latents, inside = noised(shot.frames, film_caption(film, rng))
        step = VideoStep(0, 1, FEATURE_TIMESTEP, latents, latents, inside)
        tokens = video_tokens(VideoTrace(REQUEST, (step,), shot.frames))
        column, row = (int(v) for v in np.clip(shot.track[0, :2] * 16, 0, 15))
        found = follow(tokens, 0, row, column)
        assert tuple(found[0, :2]) == (row, column) and found[0, 2] == pytest.approx(1, abs=1e-3)
        true = shot.track[1:FRAMES, 1::-1] * 16 - 0.5  # row, column
        followed += (np.linalg.norm(found[1:, :2] - true, axis=1) < 3).tolist()
        stayed += (np.linalg.norm(np.array([row, column]) - true, axis=1) < 3).tolist()
    assert np.mean(followed) > 0.75
    assert np.mean(followed) > np.mean(stayed) + 0.25


def test_the_grid_is_that_of_the_latents_and_its_numbers_are_theirs() -> None:
    trace = video.run(REQUEST)
    tokens = video_tokens(trace)
    assert tokens.shape == (4, 8, 12, 4)
    np.testing.assert_array_equal(tokens.values, trace.steps[-1].latents.transpose(0, 2, 3, 1))
    assert tokens.looks is not None and tokens.looks.shape == (8, 12, 4, 4) and tokens.same_place
    assert tokens.features is not None and tokens.features.shape[:3] == (4, 8, 12)
    np.testing.assert_allclose(np.linalg.norm(tokens.features, axis=-1), 1, atol=1e-3)
    assert sum(s.inside.features is not None for s in trace.steps if s.inside) == 1
    frame, y, x = central_token(tokens)
    assert frame == 0 and 0 <= y < 8 and 0 <= x < 12
    np.testing.assert_array_equal(
        grid_like(trace.steps[0].latents, tokens)[2, 3, 5], trace.steps[0].latents[2, :, 3, 5]
    )


def test_large_latents_are_averaged_cell_by_cell() -> None:
    latents = np.random.default_rng(0).normal(size=(2, 4, 32, 64)).astype(np.float32)
    step = VideoStep(0, 1, 0, latents, latents)
    tokens = video_tokens(VideoTrace(REQUEST, (step,), ()))
    assert tokens.values.shape == (2, 8, 16, 4) and tokens.shape == (2, 32, 64, 4)
    np.testing.assert_allclose(tokens.values[1, 2, 3], latents[1, :, 8:12, 12:16].mean((1, 2)), atol=1e-6)


def test_alike_tokens_have_alike_colours() -> None:
    values = np.zeros((2, 2, 2, 4))
    values[0, 0, 0] = values[1, 1, 1] = [3, -1, 0, 2]
    found = colours_of(values)
    np.testing.assert_array_equal(found[0, 0, 0], found[1, 1, 1])
    assert (found[0, 0, 0] != found[0, 0, 1]).any()
    assert found.min() >= 0 and found.max() <= 1


def test_frames_that_do_not_look_leave_nothing_to_follow() -> None:
    tokens = video_tokens(video.run(replace(REQUEST, motion=False)))
    assert tokens.features is None and tokens.looks is None
    with pytest.raises(InputError, match="frames_apart"):
        follow(tokens, 0, 0, 0)
    with pytest.raises(InputError, match="film_token_unknown"):
        follow(video_tokens(video.run(REQUEST)), 0, 8, 0)
