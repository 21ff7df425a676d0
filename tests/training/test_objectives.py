"""What the trainings minimise, against the library's own formulas."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn

from pipelines.image.load import classroom_scheduler
from pipelines.world.films import MOTIONS
from training import train_autoencoder
from training.picture_rows import coverage, motion_number
from training.train_autoencoder import ANCHOR, edge_error, normalise
from training.train_autoencoder import loss_of as autoencoder_loss
from training.train_autoencoder import thing_weights as autoencoder_weights
from training.train_motion import noisy_timesteps
from training.train_unet import (
    EMPHASIS,
    VISIBLE,
    motion_codes,
    motion_legibility,
    spread_timesteps,
    thing_weights,
    velocity_loss,
)

TINY = train_autoencoder.CONFIG | {"block_out_channels": (16, 16, 16)}


class Oracle(nn.Module):
    """A U-Net that answers with a given velocity."""

    def __init__(self, velocity: torch.Tensor) -> None:
        super().__init__()
        self.velocity = velocity

    def forward(self, noised, timesteps, encoder_hidden_states, return_dict):
        self.noised = noised
        return (self.velocity,)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(6, 4, 16, 16), torch.randn(6, 4, 16, 16), torch.tensor([0, 1, 250, 500, 998, 999])


def test_the_velocity_is_the_schedulers(batch) -> None:
    latents, noise, timesteps = batch
    scheduler = classroom_scheduler()
    oracle = Oracle(scheduler.get_velocity(latents, noise, timesteps))
    loss = velocity_loss(oracle, latents, torch.zeros(6, 77, 8), noise, timesteps, scheduler.alphas_cumprod)
    torch.testing.assert_close(loss, torch.zeros(6))
    torch.testing.assert_close(oracle.noised, scheduler.add_noise(latents, noise, timesteps))


def test_a_wrong_velocity_costs_its_squared_error(batch) -> None:
    latents, noise, timesteps = batch
    scheduler = classroom_scheduler()
    off = torch.arange(6.0)
    oracle = Oracle(scheduler.get_velocity(latents, noise, timesteps) + off[:, None, None, None])
    loss = velocity_loss(oracle, latents, torch.zeros(6, 77, 8), noise, timesteps, scheduler.alphas_cumprod)
    torch.testing.assert_close(loss, off**2)


def test_things_count_more_once_one_can_see_them(batch) -> None:
    latents, noise, timesteps = batch
    masks = [np.zeros((2, 64, 64), bool) for _ in range(6)]
    for mask in masks:
        mask[0, :4, :8] = mask[1, 4:8, 4:6] = True  # two whole cells of the first row, half of one below
    weights = thing_weights(coverage(masks), timesteps)
    assert weights.shape == (6, 1, 16, 16)
    for weight, timestep in zip(weights[:, 0], timesteps.tolist(), strict=True):
        more = EMPHASIS if timestep < VISIBLE else 0
        assert weight[0, :3].tolist() == [1 + more, 1 + more, 1]
        assert weight[1, :3].tolist() == [1, 1 + more / 2, 1]
    scheduler = classroom_scheduler()
    oracle = Oracle(scheduler.get_velocity(latents, noise, timesteps) + 2)
    loss = velocity_loss(
        oracle, latents, torch.zeros(6, 77, 8), noise, timesteps, scheduler.alphas_cumprod, weights
    )
    torch.testing.assert_close(loss, 4 * weights.mean((1, 2, 3)))


def test_nothing_of_the_picture_is_left_at_the_last_timestep(batch) -> None:
    latents, noise, _ = batch
    scheduler = classroom_scheduler()
    assert scheduler.alphas_cumprod[999] == 0
    last = torch.full((6,), 999)
    torch.testing.assert_close(scheduler.add_noise(latents, noise, last), noise)
    assert not scheduler.config.clip_sample, "clipping unit latents turns pictures to mush"


def test_timesteps_are_in_strata_and_the_middle_comes_more_often() -> None:
    torch.manual_seed(0)
    drawn = torch.stack([spread_timesteps(8, "cpu") for _ in range(4000)])
    assert drawn.min() == 0
    assert drawn.max() == 999
    assert (drawn[:, 1:].amin(0) >= drawn[:, :-1].amax(0)).all(), "one in each stratum"
    density = torch.histc(drawn.float(), 20, 0, 1000) / drawn.numel() * 20
    torch.testing.assert_close(
        density[[0, 9, 10, 19]], torch.tensor([0.72, 1.65, 1.65, 0.72]), atol=0.05, rtol=0
    )
    torch.testing.assert_close(density, density.flip(0), atol=0.07, rtol=0)


def test_a_films_timesteps_are_mostly_noisy() -> None:
    torch.manual_seed(0)
    drawn = torch.stack([noisy_timesteps(2, "cpu") for _ in range(4000)])
    assert drawn.min() < 60
    assert drawn.max() == 999
    assert (drawn[:, 1].amin() >= drawn[:, 0].amax()).all(), "one in each stratum"
    assert drawn.float().quantile(0.5) == pytest.approx(1000 * 0.5**0.4, abs=12)


def test_a_motion_word_is_legible_where_the_embedding_points_to_its_code() -> None:
    captions = ["a cat walks left", "a cat", "a dog, zooming in", ""]
    motions = torch.tensor([motion_number(c) for c in captions])
    codes = motion_codes(64)
    torch.testing.assert_close(codes @ codes.T, 9 * torch.eye(len(MOTIONS) + 1), atol=1e-4, rtol=0)
    own = codes[[1 + MOTIONS.index("walks left"), 0, 1 + MOTIONS.index("zooms in"), 0]]
    chance = np.log(len(MOTIONS) + 1)
    assert motion_legibility(own, motions, codes) < 0.01
    assert motion_legibility(torch.zeros(4, 64), motions, codes).item() == pytest.approx(chance, rel=1e-5)
    assert motion_legibility(own.roll(1, 0), motions, codes) > 5


def test_normalised_latents_have_unit_deviation_and_decode_to_the_same_picture() -> None:
    torch.manual_seed(0)
    model = AutoencoderKL(**TINY).eval()
    images = torch.rand(32, 3, 64, 64) * torch.linspace(0.2, 2, 32)[:, None, None, None] - 1
    with torch.no_grad():
        before = model.encode(images).latent_dist
        decoded = model.decode(before.mean).sample
        normalise(model, before.mean)
        after = model.encode(images).latent_dist
        again = model.decode(after.mean).sample
    torch.testing.assert_close(after.mean.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.mean.std((0, 2, 3)), torch.ones(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(again, decoded, atol=1e-4, rtol=1e-4)
    scale = before.mean.std((0, 2, 3))[None, :, None, None]
    torch.testing.assert_close(after.std, before.std / scale, atol=1e-4, rtol=1e-4)
    assert model.config.scaling_factor == 1.0


def test_the_edge_error_sees_outlines_and_not_light() -> None:
    torch.manual_seed(0)
    picture, everywhere = torch.rand(2, 3, 8, 8), torch.ones(2, 1, 8, 8)
    assert edge_error(picture + 0.3, picture, everywhere) < 1e-6
    line, alike = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    line[..., 2:] = 1  # one jump in each row of three steps, none downwards
    torch.testing.assert_close(edge_error(line, torch.zeros_like(line), alike), torch.tensor(1 / 3))
    alike[..., 2] = 4  # the weight of the pixel behind the jump
    torch.testing.assert_close(edge_error(line, torch.zeros_like(line), alike), torch.tensor(4 / 3))


def test_pixels_of_things_and_their_outlines_count_more() -> None:
    mask = np.zeros((2, 64, 64), bool)
    mask[0, 10, 10] = mask[1, 40, 40] = True
    weights = autoencoder_weights([mask])[0, 0]
    assert weights.mean() == pytest.approx(1)
    assert (weights == weights.max()).sum() == 2 * 9  # each thing with the pixels around it
    assert float(weights.max() / weights.min()) == pytest.approx(4)


def test_anchored_latents_pay_for_the_way_they_moved() -> None:
    torch.manual_seed(0)
    model = AutoencoderKL(**TINY).eval()
    images, noise = torch.rand(2, 3, 64, 64) * 2 - 1, torch.zeros(2, 4, 16, 16)
    weights = torch.ones(2, 1, 64, 64)
    with torch.no_grad():
        latents = model.encode(images).latent_dist.mean
        free, plain = autoencoder_loss(model, images, noise, weights)
        stayed, told = autoencoder_loss(model, images, noise, weights, latents)
        moved, far = autoencoder_loss(model, images, noise, weights, latents + 2)
    assert "moved" not in plain
    torch.testing.assert_close(stayed, free)
    assert told["moved"] == pytest.approx(0)
    assert far["moved"] == pytest.approx(4)
    torch.testing.assert_close(moved - free, torch.tensor(4 * ANCHOR))
