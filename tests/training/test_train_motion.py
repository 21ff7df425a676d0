"""How the motion adapter is trained: on films of one scene, and on every other frame."""

import argparse
import itertools

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from pipelines.image.load import classroom_scheduler
from pipelines.video.motion_unet import motion_modules, with_motion
from pipelines.world.films import FRAMES, draw_takes, parse_motion, render_film
from training.common import MODELS
from training.film_pool import EVERY_OTHER, SIBLINGS, TAKES, FilmPool, MeanFilms
from training.pool import to_tensor
from training.ring import worker_rng
from training.train_motion import (
    SIBLINGS_WEIGHT,
    empty_timesteps,
    first_timesteps,
    frames_at,
    new_adapter,
    siblings_loss,
    some_frames,
)
from training.train_unet import latents_of


class Foretold:
    """A U-Net for films that answers with given velocities, and remembers what it was asked."""

    def __init__(self, velocity: torch.Tensor) -> None:
        self.velocity = velocity

    def __call__(self, sample, timesteps, encoder_hidden_states, return_dict):
        self.asked = sample, timesteps, encoder_hidden_states
        return (self.velocity.transpose(1, 2),)


@pytest.fixture
def families() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents, text and noise of two families of three films of four frames."""
    torch.manual_seed(0)
    return torch.randn(2, 3, 4, 4, 2, 2), torch.randn(2, 3, 77, 8), torch.randn(2, 4, 4, 2, 2)


def test_siblings_cost_their_error_and_what_is_wrong_about_their_differences(families) -> None:
    latents, text, noise = families
    scheduler, timesteps, wrong = classroom_scheduler(), torch.tensor([999, 800]), torch.randn(latents.shape)
    each = (
        latents.flatten(0, 1),
        noise.repeat_interleave(3, 0),
        timesteps.repeat_interleave(3),
    )
    model = Foretold(scheduler.get_velocity(*each) + wrong.flatten(0, 1))
    loss, apart = siblings_loss(model, latents, text, noise, timesteps, scheduler.alphas_cumprod)
    pairs = [
        ((family[a] - family[b]) ** 2).mean() / 2
        for family in wrong
        for a, b in itertools.combinations(range(3), 2)
    ]
    torch.testing.assert_close(apart["sibling_variance_left"], torch.stack(pairs).mean())
    torch.testing.assert_close(loss, (wrong**2).mean() + SIBLINGS_WEIGHT * torch.stack(pairs).mean())
    sample, asked_at, rows = model.asked
    assert asked_at.tolist() == [999] * 3 + [800] * 3
    torch.testing.assert_close(sample.transpose(1, 2), scheduler.add_noise(*each))
    torch.testing.assert_close(rows.unflatten(0, (2, 3, 4))[:, :, 2], text, atol=0, rtol=0)


def test_an_error_that_siblings_share_is_not_one_of_their_differences(families) -> None:
    latents, text, noise = families
    shared, alphas = torch.randn(2, 1, 4, 4, 2, 2), classroom_scheduler().alphas_cumprod
    model = Foretold((shared - latents).flatten(0, 1))
    loss, apart = siblings_loss(model, latents, text, noise, torch.tensor([999, 999]), alphas)
    assert apart["sibling_variance_left"] < 1e-10 < apart["sibling_variance"]
    torch.testing.assert_close(loss, (shared**2).mean())


def test_siblings_are_told_apart_where_films_begin() -> None:
    torch.manual_seed(0)
    drawn = first_timesteps(400, "cpu")
    assert 750 <= drawn.min() < 770 < 980 < drawn.max() <= 999


def test_mean_films_are_shown_in_nothing_but_noise_or_nearly_so() -> None:
    torch.manual_seed(0)
    drawn = empty_timesteps(400, "cpu")
    assert 0.4 < (drawn == 999).float().mean() < 0.6
    assert 833 <= drawn.min() < 850


def test_one_frame_of_every_two_is_seen() -> None:
    torch.manual_seed(0)
    drawn = [some_frames() for _ in range(50)]
    assert all((numbers // 2).tolist() == list(range(FRAMES // 2)) for numbers in drawn)
    assert {int(n) for numbers in drawn for n in numbers} == set(range(FRAMES))


@torch.no_grad()
def test_frames_are_taken_for_those_of_their_numbers() -> None:
    unet = UNet2DConditionModel.from_pretrained(MODELS / "image" / "unet", torch_dtype=torch.float32)
    model = with_motion(unet, new_adapter())
    block = next(iter(motion_modules(model).values())).transformer_blocks[0]
    torch.manual_seed(0)
    film, numbers = torch.randn(1, FRAMES, 64), torch.tensor([1, 2, 9])
    whole = block.pos_embed(film)
    with frames_at(model, numbers):
        some = block.pos_embed(film[:, numbers])
    torch.testing.assert_close(some, whole[:, numbers], atol=0, rtol=0)
    torch.testing.assert_close(block.pos_embed(film), whole, atol=0, rtol=0)


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(MODELS / "image" / "vae").eval()


@pytest.fixture(scope="module")
def pool(vae: AutoencoderKL) -> FilmPool:
    """Three families."""
    args = argparse.Namespace(seed=3, workers=0, pool=3, fresh=0, batch=3, device="cpu")
    return FilmPool(args, vae)


@pytest.mark.slow
def test_families_come_whole_with_the_captions_of_their_films(pool: FilmPool) -> None:
    for batch, count in ((3, 1), (2 * SIBLINGS, 2)):
        pool.args.batch = batch
        latents, captions = pool.siblings()
        families = [
            [i for i, own in enumerate(pool.column("latents")) if own.equal(family)] for family in latents
        ]
        assert latents.shape == (count, SIBLINGS, FRAMES, 4, 16, 16)
        motions = [film.motion for (family,) in families for film in pool.column("films")[family]]
        assert [parse_motion(caption) for caption in captions] == motions
    pool.args.batch = 3


def test_a_batch_has_one_film_of_each_family(pool: FilmPool) -> None:
    latents, masks, captions = pool.batch()
    assert latents.shape == (3, FRAMES, 4, 16, 16)
    assert len(captions) == 3 and len(masks) == 3 * FRAMES
    families = [
        [i for i, family in enumerate(pool.column("latents")) if any(film.equal(own) for own in family)]
        for film in latents
    ]
    assert sorted(itertools.chain(*families)) == [0, 1, 2]
    for film, mask in zip(latents, np.stack(masks).reshape(3, FRAMES, 1, 64, 64), strict=True):
        family = next(i for i, f in enumerate(pool.column("latents")) if any(film.equal(own) for own in f))
        own = [i for i in range(SIBLINGS) if film.equal(pool.column("latents")[family][i])]
        assert (pool.column("masks")[family][own[0]] == mask).all()


@pytest.mark.slow
@torch.no_grad()
def test_a_mean_film_is_the_mean_of_the_films_of_which_its_caption_is_true(vae: AutoencoderKL) -> None:
    args = argparse.Namespace(seed=5, workers=0, pool=1, fresh=0, batch=1, device="cpu")
    latents, captions = MeanFilms(args, vae).siblings()
    assert latents.shape == (1, SIBLINGS, len(EVERY_OTHER), 4, 16, 16)

    rng = worker_rng(args.seed)
    takes, said = draw_takes(rng, SIBLINGS, TAKES)
    assert captions == said
    seeds = [int(rng.integers(2**31)) for _ in takes]
    k = 2
    frames = [
        np.asarray(render_film(films[k], seed).frames[i])
        for films, seed in zip(takes, seeds, strict=True)
        for i in EVERY_OTHER
    ]
    expected = latents_of(vae, to_tensor(frames)).unflatten(0, (TAKES, -1)).mean(0)
    # The ring encodes in bfloat16 where the hardware has it.
    torch.testing.assert_close(latents[0, k], expected, atol=0.02, rtol=0)
    assert (latents[0, 0] - expected).abs().mean() > 0.05
