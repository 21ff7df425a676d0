"""Train the classroom's motion adapter: attention between frames, put into the frozen picture model.

Run: `python -m training.train_motion --minutes 90` (CPU or CUDA; resumes from its checkpoint, or from the
shipped weights). Needs the classroom picture model, whose weights stay as they are.

Source: Guo et al. 2023 (AnimateDiff), arXiv:2307.04725, section 4.2.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from torch import Tensor, nn

from pipelines.image.load import classroom_scheduler
from pipelines.video.motion_unet import motion_modules, with_motion
from pipelines.world.films import FRAMES
from training.common import MODELS, Progress, load_fp32, mixed_precision, parse_args, save_fp16, train
from training.film_pool import EVERY_OTHER, SIBLINGS, FilmPool, MeanFilms
from training.muon import Muon
from training.picture_rows import coverage
from training.train_unet import (
    EMPTY_SHARE,
    STEPS,
    TextTower,
    noised_with_velocity,
    strata,
    thing_weights,
    velocity_loss,
)

NAME = "motion"
FOLDER = MODELS / "motion"
WEIGHTS = "diffusion_pytorch_model.safetensors"
NOISY = 0.4  # 1 for uniform timesteps, less for noisier ones
MEANS_SHARE = 0.65  # of steps, which learn what a text predicts of a film that is all noise
SIBLINGS_SHARE = 0.1  # of steps, which tell siblings apart where little is seen
SIBLINGS_WEIGHT = 2.0
MOMENTUM = 0.98  # of some fifty steps: few films say little
CLIP_NORM = 0.15  # below most gradients, so that steps of all kinds count alike
CONFIG = {
    "block_out_channels": (64, 128, 128),
    "motion_layers_per_block": 1,
    "motion_num_attention_heads": 4,
    "motion_norm_num_groups": 16,
    "motion_max_seq_length": 32,
    "use_motion_mid_block": False,
}


class AsPictures:
    """Calls a U-Net for films as if it were one for pictures, so many of which are a film."""

    def __init__(self, model: UNetMotionModel, frames: int) -> None:
        self.model, self.frames = model, frames

    def __call__(
        self, sample: Tensor, timesteps: Tensor, encoder_hidden_states: Tensor, return_dict: bool
    ) -> tuple[Tensor]:
        films = sample.unflatten(0, (-1, self.frames)).transpose(1, 2)
        (out,) = self.model(films, timesteps[:: self.frames], encoder_hidden_states, return_dict=return_dict)
        return (out.transpose(1, 2).flatten(0, 1),)


def new_adapter() -> MotionAdapter:
    """An adapter that changes nothing yet: the last layer of each module is zero."""
    adapter = MotionAdapter(**CONFIG)
    for name, parameter in adapter.named_parameters():
        if ".proj_out." in name:
            nn.init.zeros_(parameter)
    return adapter


def some_frames() -> Tensor:
    """The numbers of one frame of every two, in order."""
    return 2 * torch.arange(FRAMES // 2) + torch.randint(2, (FRAMES // 2,))


@contextmanager
def frames_at(model: UNetMotionModel, numbers: Tensor) -> Iterator[None]:
    """Lets a model take the frames it gets for those of these numbers, not for the first ones.

    Neighbours in a film are much alike: every other frame teaches nearly as much at half the price.
    """
    tables = [m for m in model.modules() if isinstance(m, SinusoidalPositionalEmbedding)]
    whole = [table.pe for table in tables]
    for table in tables:
        table.pe = table.pe[:, numbers.to(table.pe.device)]
    try:
        yield
    finally:
        for table, pe in zip(tables, whole, strict=True):
            table.pe = pe


class Modules(nn.Module):
    """The motion modules alone, so that the loop trains, averages and saves nothing else."""

    def __init__(self, model: UNetMotionModel) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({n.replace(".", "|"): m for n, m in motion_modules(model).items()})

    def state_dict(self, *args: object, **kwargs: object) -> dict[str, Tensor]:  # type: ignore[override]
        """By the names that `MotionAdapter` has."""
        return {name.replace("|", "."): value for name, value in self.parts.state_dict().items()}

    def load_state_dict(self, state: dict[str, Tensor], *args: object, **kwargs: object) -> None:  # type: ignore[override]
        """The inverse of `state_dict`."""
        self.parts.load_state_dict({n: state[n.replace("|", ".")] for n in self.parts.state_dict()})


def export(weights: dict[str, Tensor]) -> None:
    """Write the averaged adapter in diffusers' format."""
    adapter = MotionAdapter(**CONFIG)
    adapter.load_state_dict(weights)
    FOLDER.mkdir(parents=True, exist_ok=True)
    adapter.save_config(FOLDER)
    save_fp16(adapter.state_dict(), FOLDER / WEIGHTS)


def film_loss(
    model: UNetMotionModel,
    latents: Tensor,
    text: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    alphas: Tensor,
    masks: list[np.ndarray],
) -> Tensor:
    """The picture model's loss for every frame, all frames of a film at one timestep; `[film * frame]`.

    Args:
        latents, noise: `[film, frame, 4, 16, 16]`.
        text: `[film, 77, dim]`.
        timesteps: `[film]`.
        alphas: cumulative products of the schedule.
        masks: of every frame, `[thing, 64, 64]`.
    """
    frames = latents.shape[1]
    each = timesteps.repeat_interleave(frames)
    return velocity_loss(
        AsPictures(model, frames), latents.flatten(0, 1), text.repeat_interleave(frames, 0),
        noise.flatten(0, 1), each, alphas, thing_weights(coverage(masks), each),
    )  # fmt: skip


def siblings_loss(
    model: UNetMotionModel, latents: Tensor, text: Tensor, noise: Tensor, timesteps: Tensor, alphas: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """What is wrong about the differences between films of one scene, denoised from the same noise.

    In pure noise, where all films begin, the text alone says what moves; of a scene much remains unsaid, and
    that error, far larger than the one about what moves, is the same for siblings: their mean takes it away.
    With less noise siblings still err alike wherever nothing moves.

    Args:
        latents: `[family, sibling, frame, 4, 16, 16]`.
        text: `[family, sibling, 77, dim]`.
        noise: `[family, frame, 4, 16, 16]`.
        timesteps: `[family]`.
        alphas: cumulative products of the schedule.

    Returns:
        Mean squared error of the velocity plus `SIBLINGS_WEIGHT` times its unbiased variance over siblings, a
        scalar; and the siblings' variance before and after what is predicted is taken away.
    """
    _, count, frames = latents.shape[:3]
    each = timesteps.repeat_interleave(count * frames)
    same = noise[:, None].expand_as(latents).flatten(0, 2)
    noised, velocity = noised_with_velocity(latents.flatten(0, 2), same, each, alphas)
    rows = text.flatten(0, 1).repeat_interleave(frames, 0)
    (predicted,) = AsPictures(model, frames)(noised, each, rows, return_dict=False)
    errors, velocity = (predicted.float() - velocity).view_as(latents), velocity.view_as(latents)
    wrong = errors.var(1).mean()
    apart = {"sibling_variance": velocity.var(1).mean(), "sibling_variance_left": wrong.detach()}
    return errors.square().mean() + SIBLINGS_WEIGHT * wrong, apart


def first_timesteps(count: int, device: str) -> Tensor:
    """Timesteps at which what moves is decided: the first quarter of the way."""
    return torch.randint(STEPS * 3 // 4, STEPS, (count,), device=device)


def empty_timesteps(count: int, device: str) -> Tensor:
    """Timesteps for mean films: pure noise half of the time, else the first sixth of the way.

    In pure noise their mean is the right answer to a text. So the first step of a film ends at about that
    mean, and the next steps meet it, hardly to be seen in the noise, and have to keep it.
    """
    drawn = torch.randint(STEPS * 5 // 6, STEPS, (count,), device=device)
    return torch.where(torch.rand(count, device=device) < 0.5, STEPS - 1, drawn)


def noisy_timesteps(batch: int, device: str) -> Tensor:
    """One random timestep in each of `batch` strata, more of them where the noise is strong.

    Where things are in which frame is decided in the first steps of a film; in the last ones the frames have
    only to agree, which is learned soon. The median is 760 of 1000.
    """
    return (strata(batch, device) ** NOISY * STEPS).long().clamp(max=STEPS - 1)


@torch.no_grad()
def motion_use(
    model: UNetMotionModel, text_of: TextTower, pool: FilmPool, alphas: Tensor
) -> dict[str, float]:
    """Loss in the middle of the way: with the right film's text, another's, and frames in a wrong order."""
    latents, masks, captions = pool.batch()
    latents = latents.to(alphas.device)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(latents.shape, generator=generator).to(alphas.device)
    middle = torch.full((len(latents),), STEPS // 2, device=alphas.device)
    order = torch.randperm(FRAMES, generator=generator)
    text = text_of(captions)
    cases = {
        "right": (latents, text, masks),
        "shuffled": (latents, text.roll(1, 0), masks),
        "disordered": (
            latents[:, order],
            text,
            [masks[f * FRAMES + i] for f in range(len(latents)) for i in order],
        ),
    }
    return {
        name: film_loss(model, x, t, noise, middle, alphas, m).mean().item()
        for name, (x, t, m) in cases.items()
    }


def main() -> None:
    args = parse_args(
        "train_motion", minutes=60, batch=4, lr=1e-3, fresh=0.3, pool=1000,
        whole="every step sees all frames of its films, not every other one",
    )  # fmt: skip
    torch.manual_seed(args.seed)
    adapter = new_adapter()
    shipped = load_fp32(FOLDER / WEIGHTS)
    unet = UNet2DConditionModel.from_pretrained(MODELS / "image" / "unet", torch_dtype=torch.float32)
    model = with_motion(unet.requires_grad_(False), adapter).to(args.device)
    modules = Modules(model).requires_grad_(True)
    if args.minutes == 0:
        export(shipped or modules.state_dict())
        return
    run = Progress.resume(NAME, modules, Muon(modules, momentum=MOMENTUM), args, shipped)
    vae = AutoencoderKL.from_pretrained(MODELS / "image" / "vae").to(args.device).eval()
    text_of = TextTower(args.device)
    alphas = classroom_scheduler().alphas_cumprod.to(args.device)
    pool, means = FilmPool(args, vae), MeanFilms(args, vae)

    def tell_apart(
        latents: Tensor, captions: list[str], timesteps: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        latents = latents.to(args.device)
        noise = torch.randn_like(latents[:, 0])
        with mixed_precision(args.device, on_cpu=False):
            text = text_of(captions).unflatten(0, (-1, SIBLINGS))
            return siblings_loss(model, latents, text, noise, timesteps, alphas)

    def from_noise() -> tuple[Tensor, dict[str, Tensor]]:
        latents, captions = means.siblings()
        timesteps = empty_timesteps(len(latents), args.device)
        with frames_at(model, torch.tensor(EVERY_OTHER)):
            loss, apart = tell_apart(latents, captions, timesteps)
        return loss, {f"mean_{name}": value for name, value in apart.items()}

    def siblings(numbers: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        latents, captions = pool.siblings()
        timesteps = first_timesteps(len(latents), args.device)
        return tell_apart(latents[:, :, numbers], captions, timesteps)

    def denoise(numbers: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        latents, masks, captions = pool.batch()
        captions = ["" if pool.rng.random() < EMPTY_SHARE else c for c in captions]
        latents = latents[:, numbers].to(args.device)
        noise, timesteps = torch.randn_like(latents), noisy_timesteps(args.batch, args.device)
        masks = [masks[film * FRAMES + i] for film in range(args.batch) for i in numbers.tolist()]
        with mixed_precision(args.device, on_cpu=False):
            loss = film_loss(model, latents, text_of(captions), noise, timesteps, alphas, masks).mean()
        return loss, {"films": loss.detach()}

    def compute() -> tuple[Tensor, dict[str, Tensor]]:
        kind = pool.rng.random()
        if kind < MEANS_SHARE:
            return from_noise()
        numbers = torch.arange(FRAMES) if args.whole else some_frames()
        with frames_at(model, numbers):
            return (siblings if kind < MEANS_SHARE + SIBLINGS_SHARE else denoise)(numbers)

    train(
        run, args, compute, export=export, save_every=250, clip_norm=CLIP_NORM,
        after=lambda: motion_use(model, text_of, pool, alphas),
    )  # fmt: skip


if __name__ == "__main__":
    main()
