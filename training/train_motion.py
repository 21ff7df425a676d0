"""Train the classroom's motion adapter: attention between frames, put into the frozen picture model.

Run: `python -m training.train_motion --minutes 90` (CPU or CUDA; goes on from its checkpoint, or from the
shipped weights). Needs the classroom picture model, whose weights stay as they are.

Source: Guo et al. 2023 (AnimateDiff), arXiv:2307.04725, section 4.2.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from pipelines.diffusion import classroom_scheduler
from pipelines.motion import motion_modules, with_motion
from pipelines.world.films import FRAMES, Film, draw_film, film_caption, render_film
from training.common import MODELS, Progress, load_fp32, mixed_precision, parse_args, save_fp16, train
from training.feed import coverage
from training.muon import Muon
from training.pool import to_tensor
from training.ring import Ring, worker_rng
from training.train_unet import (
    EMPTY_SHARE,
    STEPS,
    TextTower,
    latents_of,
    strata,
    thing_weights,
    velocity_loss,
)

NAME = "motion"
FOLDER = MODELS / "motion"
WEIGHTS = "diffusion_pytorch_model.safetensors"
NOISY = 0.45  # 1 for uniform timesteps, less for noisier ones
CONFIG = {
    "block_out_channels": (64, 128, 128),
    "motion_layers_per_block": 1,
    "motion_num_attention_heads": 4,
    "motion_norm_num_groups": 16,
    "motion_max_seq_length": 32,
    "use_motion_mid_block": False,
}


@dataclass(frozen=True, eq=False)
class Reel:
    """A rendered film: `frames` is `[frame, 64, 64, 3]` uint8, `masks` `[frame, 1, 64, 64]` bool."""

    film: Film
    frames: np.ndarray
    masks: np.ndarray


class FilmStream(IterableDataset[Reel]):
    """Endless freshly drawn films; each worker process draws its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __iter__(self) -> Iterator[Reel]:
        rng = worker_rng(self.seed)
        while True:
            film = draw_film(rng)
            shot = render_film(film, int(rng.integers(2**31)))
            yield Reel(film, np.stack([np.asarray(f) for f in shot.frames]), shot.masks[:, None])


Kept = tuple[Film, np.ndarray]  # a film and the masks of its frames


class FilmPool(Ring[Kept, Reel]):
    """A ring of films as latents, `[frame, 4, 16, 16]` each.

    Args:
        args: of the command line; see `Ring`.
        vae: the picture model's autoencoder.
    """

    def __init__(self, args: argparse.Namespace, vae: AutoencoderKL) -> None:
        self.vae = vae
        first = max(4 * args.batch, 64)
        super().__init__(args, FilmStream(args.seed), chunk=1, first=first, ahead=4, what="films")

    @torch.no_grad()
    def prepared(self, drawn: Reel) -> list[tuple[Kept, Tensor]]:
        """The film with its latents."""
        images = to_tensor(list(drawn.frames)).to(self.args.device)
        return [((drawn.film, drawn.masks), latents_of(self.vae, images).cpu())]

    def batch(self) -> tuple[Tensor, list[np.ndarray], list[str]]:
        """Latents `[film, frame, 4, 16, 16]`, masks of all frames, a new caption for each film."""
        latents, kept = self.sample()
        masks = [mask for _, film_masks in kept for mask in film_masks]
        return latents, masks, [film_caption(film, self.rng) for film, _ in kept]


class AsPictures:
    """Calls a U-Net for films as if it were one for pictures, `FRAMES` of which are a film."""

    def __init__(self, model: UNetMotionModel) -> None:
        self.model = model

    def __call__(
        self, sample: Tensor, timesteps: Tensor, encoder_hidden_states: Tensor, return_dict: bool
    ) -> tuple[Tensor]:
        films = sample.unflatten(0, (-1, FRAMES)).transpose(1, 2)
        (out,) = self.model(films, timesteps[::FRAMES], encoder_hidden_states, return_dict=return_dict)
        return (out.transpose(1, 2).flatten(0, 1),)


def new_adapter() -> MotionAdapter:
    """An adapter that changes nothing yet: the last layer of each module is zero."""
    adapter = MotionAdapter(**CONFIG)
    for name, parameter in adapter.named_parameters():
        if ".proj_out." in name:
            nn.init.zeros_(parameter)
    return adapter


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
    each = timesteps.repeat_interleave(FRAMES)
    return velocity_loss(
        AsPictures(model), latents.flatten(0, 1), text.repeat_interleave(FRAMES, 0), noise.flatten(0, 1),
        each, alphas, thing_weights(coverage(masks), each),
    )  # fmt: skip


def noisy_timesteps(batch: int, device: str) -> Tensor:
    """One random timestep in each of `batch` strata, more of them where the noise is strong.

    Where things are in which frame is settled in the first steps of a film; in the last ones the frames have
    only to agree, which is learned soon. The median is 730 of 1000.
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
    args = parse_args("train_motion", minutes=60, batch=2, lr=1e-3, fresh=0.5, pool=3000)
    torch.manual_seed(args.seed)
    adapter = new_adapter()
    shipped = load_fp32(FOLDER / WEIGHTS)
    unet = UNet2DConditionModel.from_pretrained(MODELS / "image" / "unet", torch_dtype=torch.float32)
    model = with_motion(unet.requires_grad_(False), adapter).to(args.device)
    modules = Modules(model).requires_grad_(True)
    if args.minutes == 0:
        export(shipped or modules.state_dict())
        return
    run = Progress.resume(NAME, modules, Muon(modules), args, shipped)
    vae = AutoencoderKL.from_pretrained(MODELS / "image" / "vae").to(args.device).eval()
    text_of = TextTower(args.device)
    alphas = classroom_scheduler().alphas_cumprod.to(args.device)
    pool = FilmPool(args, vae)

    def compute() -> tuple[Tensor, dict[str, float]]:
        latents, masks, captions = pool.batch()
        captions = ["" if pool.rng.random() < EMPTY_SHARE else c for c in captions]
        latents = latents.to(args.device)
        noise, timesteps = torch.randn_like(latents), noisy_timesteps(args.batch, args.device)
        with mixed_precision(args.device):
            text = text_of(captions)
            loss = film_loss(model, latents, text, noise, timesteps, alphas, masks)
        return loss.mean(), {}

    train(
        run, args, compute, export=export, save_every=250,
        after=lambda: motion_use(model, text_of, pool, alphas),
    )  # fmt: skip


if __name__ == "__main__":
    main()
