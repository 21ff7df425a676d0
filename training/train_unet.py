"""Train the classroom picture model: a U-Net that removes noise from latents, steered by text.

Run: `python -m training.train_unet --minutes 90 --compile` (CPU or CUDA; resumes from its
checkpoint, or from the shipped weights). Needs the classroom CLIP and autoencoder.

Sources: Rombach et al. 2022, arXiv:2112.10752; velocity prediction, Salimans & Ho 2022,
arXiv:2202.00512, appendix D; zero terminal SNR, Lin et al. 2023, arXiv:2305.08891; classifier-
free guidance, Ho & Salimans 2022, arXiv:2207.12598, algorithm 1.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from pipelines.clip.convert import clip_tokenizer
from pipelines.image.load import assemble, classroom_scheduler
from pipelines.world.films import MOTIONS
from training.common import (
    MODELS,
    Progress,
    load_fp32,
    mixed_precision,
    parse_args,
    save_fp16,
    train,
)
from training.muon import Muon
from training.picture_rows import CHUNK, RowStream, one_wording
from training.pool import Shares
from training.ring import Ring, Rows

NAME = "unet"
FOLDER = MODELS / "image" / "unet"
CONFIG = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (64, 128, 128),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 128,
    "attention_head_dim": 4,
    "norm_num_groups": 16,
    "resnet_time_scale_shift": "scale_shift",
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 8,
}
EMPTY_SHARE = 0.1
STEPS = 1000
EMPHASIS, VISIBLE = 3.0, 600  # weight of things, and the timestep below which it holds
# Two things together are the hardest to learn; frames of films teach what a motion word may look like.
SHARES = Shares(lecture=0.08, pairs=0.42, coloured=0.4, films=0.12)
MIDDLE = 0.4  # 0 for uniform timesteps, up to 1
LEGIBLE = 0.05  # weight of `motion_legibility`
_CODE_SCALE = 3.0


class TextTower:
    """Frozen CLIP text tower and its tokenizer, exactly as the pipeline calls them."""

    def __init__(self, device: str) -> None:
        self.tokenize, self.device = Tokenize(), device
        self.encoder = assemble(MODELS / "image").text_encoder.to(device)

    def __call__(self, captions: list[str]) -> Tensor:
        """`[batch, 77, dim]` contextual vectors."""
        return self.encode(self.tokenize(captions).to(self.device))

    @torch.no_grad()
    def encode(self, ids: Tensor) -> Tensor:
        """`[batch, 77]` token ids to `[batch, 77, dim]`."""
        return self.encoder(ids).last_hidden_state


class Tokenize:
    """The pipeline's tokens, `[batch, 77]`; a worker process gets it, so it holds no weights."""

    def __init__(self) -> None:
        self.tokenizer = clip_tokenizer()

    def __call__(self, captions: list[str]) -> Tensor:
        return self.tokenizer(
            captions, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        ).input_ids


def noised_with_velocity(
    latents: Tensor, noise: Tensor, timesteps: Tensor, alphas: Tensor
) -> tuple[Tensor, Tensor]:
    """Latents with noise, and the velocity to be predicted from them; arguments as in `velocity_loss`.

    Source: Salimans & Ho 2022, arXiv:2202.00512, eq. in appendix D: v = alpha * eps - sigma * x.
    """
    signal = alphas[timesteps].sqrt()[:, None, None, None]
    sigma = (1 - alphas[timesteps]).sqrt()[:, None, None, None]
    return signal * latents + sigma * noise, signal * noise - sigma * latents


def velocity_loss(
    unet: Callable[..., Any],
    latents: Tensor,
    text: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    alphas: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the predicted velocity for each sample, `[batch]`.

    Args:
        latents: `[batch, 4, 16, 16]`, unit deviation.
        text: `[batch, 77, dim]`.
        noise: like `latents`.
        timesteps: `[batch]`, 0..999.
        alphas: cumulative products of the schedule, `[1000]`.
        weights: `[batch, 1, 16, 16]` how much each cell counts, or None for all alike.
    """
    noised, velocity = noised_with_velocity(latents, noise, timesteps, alphas)
    predicted = unet(noised, timesteps, encoder_hidden_states=text, return_dict=False)[0]
    errors = F.mse_loss(predicted.float(), velocity, reduction="none")
    return (errors if weights is None else errors * weights).mean((1, 2, 3))


def thing_weights(cells: Tensor, timesteps: Tensor) -> Tensor:
    """Cells that show a thing count more, once the noise lets one see where things are.

    Things cover some eighth of a picture and are what is hard about it. Where the mask can be told from
    the noised latents, weights change what is learned first and not what is learned in the end; at
    higher noise levels they would, so there all cells count alike.

    Args:
        cells: `[batch, 1, 16, 16]` of `coverage`.
        timesteps: `[batch]`.

    Returns:
        `[batch, 1, 16, 16]`, 1 to `1 + EMPHASIS`.
    """
    shown = (timesteps < VISIBLE).float()[:, None, None, None]
    return 1 + EMPHASIS * shown * cells.to(timesteps.device)


def strata(batch: int, device: str) -> Tensor:
    """One random share in each of `batch` equal parts of 0..1, rising: less noise in the gradient."""
    return (torch.arange(batch, device=device) + torch.rand(batch, device=device)) / batch


def spread_timesteps(batch: int, device: str) -> Tensor:
    """One random timestep in each of `batch` strata of equal share, the middle ones drawn more often.

    At the ends there is little to learn (only means, or only grain), in the middle outlines are made:
    the density is 1.67 in the middle and 0.71 at the ends, that of uniform timesteps being 1.
    Strata make for less noise in the gradient. Compare Esser et al. 2024, arXiv:2403.03206, section 3.1.
    """
    shares = strata(batch, device)
    places = shares + MIDDLE * torch.sin(2 * torch.pi * shares) / (2 * torch.pi)
    return (places * STEPS).long().clamp(max=STEPS - 1)


def motion_codes(width: int) -> Tensor:
    """`[motion + 1, width]` fixed orthogonal directions, one for each motion and the first for none."""
    rng = torch.Generator().manual_seed(0)
    return _CODE_SCALE * torch.linalg.qr(torch.randn(width, width, generator=rng))[0][: len(MOTIONS) + 1]


def motion_legibility(embedding: Tensor, motions: Tensor, codes: Tensor) -> Tensor:
    """Cross-entropy of the motion that each caption names, read from the text's share of the time embedding.

    Single pictures never teach the U-Net to hand a motion word on: what it does not need itself it drops, and
    the motion adapter, which reads no text, can then not know it. This keeps the word in the embedding that
    modulates every residual block.

    Args:
        embedding: `[batch, width]`, of `unet.add_embedding`.
        motions: `[batch]`, the `motion_number` of each caption.
        codes: of `motion_codes`.
    """
    return F.cross_entropy(embedding.float() @ codes.T, motions)


@torch.no_grad()
def text_use(unet: torch.nn.Module, text_of: TextTower, ring: Ring[Rows], alphas: Tensor) -> dict[str, float]:
    """Loss at the last timestep with the right, a wrong and no caption: how much the text says."""
    rows = one_wording(ring.sample(64))
    latents, right = rows["latents"], text_of.encode(rows["ids"])
    noise = torch.randn_like(latents)
    last = torch.full((len(latents),), STEPS - 1, device=alphas.device)
    empty = text_of([""]).expand_as(right)
    cases = {"right": right, "shuffled": right.roll(1, 0), "empty": empty}
    return {k: velocity_loss(unet, latents, v, noise, last, alphas).mean().item() for k, v in cases.items()}


def latents_of(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """`[batch, 4, 16, 16]` of `[batch, 3, 64, 64]` pictures in -1..1: the mean, without its noise."""
    return vae.encode(images).latent_dist.mean * vae.config.scaling_factor


class Encoder:
    """Pictures to latents by the shipped autoencoder, in its newest state should it be training, too."""

    def __init__(self, device: str, path: Path = MODELS / "image" / "vae") -> None:
        self.device, self.path = device, path
        self._load()

    def _load(self) -> None:
        self.read = self._written()
        self.vae = AutoencoderKL.from_pretrained(self.path).to(self.device).eval()

    def _written(self) -> float:
        return (self.path / "diffusion_pytorch_model.safetensors").stat().st_mtime

    def __call__(self, rows: Rows) -> Rows:
        """Rows on the device, with `latents` `[n, 4, 16, 16]` in the place of `pixels`."""
        if self._written() != self.read:
            self._load()
        rows = {name: values.to(self.device, non_blocking=True) for name, values in rows.items()}
        return rows | {"latents": latents_of(self.vae, rows.pop("pixels").float() / 127.5 - 1)}


def export(weights: dict[str, Tensor]) -> None:
    """Write the averaged U-Net and the schedule in diffusers' format."""
    unet = UNet2DConditionModel(**CONFIG)
    unet.load_state_dict(weights)
    FOLDER.mkdir(parents=True, exist_ok=True)
    unet.save_config(FOLDER)
    save_fp16(unet.state_dict(), FOLDER / "diffusion_pytorch_model.safetensors")
    classroom_scheduler().save_config(FOLDER.parent / "scheduler")


def main() -> None:
    args = parse_args("train_unet", minutes=90, batch=16, lr=1e-3, fresh=4)
    torch.manual_seed(args.seed)
    if args.minutes == 0:
        export(UNet2DConditionModel(**CONFIG).state_dict())
        return
    unet = UNet2DConditionModel(**CONFIG).to(args.device, memory_format=torch.channels_last)
    optimizer = Muon(unet, outer=("conv_in", "conv_out"))
    shipped = load_fp32(FOLDER / "diffusion_pytorch_model.safetensors")
    run = Progress.resume(NAME, unet, optimizer, args, shipped)
    predict = torch.compile(unet) if args.compile else unet
    text_of = TextTower(args.device)
    empty = text_of.tokenize([""]).int().to(args.device)
    alphas = classroom_scheduler().alphas_cumprod.to(args.device)
    stream = RowStream(args.seed, text_of.tokenize, SHARES)
    ring = Ring(
        args, stream, Encoder(args.device), chunk=CHUNK, first=4096, ahead=4, what="rows", waits=False
    )
    codes = motion_codes(unet.time_embedding.linear_2.out_features).to(args.device)

    def compute() -> tuple[Tensor, dict[str, Tensor]]:
        rows = one_wording(ring.sample())
        dropped = torch.rand(args.batch, device=args.device) < EMPTY_SHARE
        ids = torch.where(dropped[:, None], empty, rows["ids"])
        motions = torch.where(dropped, 0, rows["motions"])
        noise, timesteps = torch.randn_like(rows["latents"]), spread_timesteps(args.batch, args.device)
        with mixed_precision(args.device):
            text = text_of.encode(ids)
            weights = thing_weights(rows["coverage"], timesteps)
            loss = velocity_loss(predict, rows["latents"], text, noise, timesteps, alphas, weights)
            legible = motion_legibility(unet.add_embedding(text), motions, codes)
        return loss.mean() + LEGIBLE * legible, {"motion_legibility": legible.detach()}

    train(
        run,
        args,
        compute,
        export=export,
        save_every=250,
        after=lambda: text_use(unet, text_of, ring, alphas),
    )


if __name__ == "__main__":
    main()
