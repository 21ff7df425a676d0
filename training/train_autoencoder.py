"""Train the classroom picture autoencoder: 64 px to 4 x 16 x 16 latents and back.

Run: `python -m training.train_autoencoder --minutes 30` (CPU or CUDA; resumes from its checkpoint).
The latents are normalised afterwards with the measured mean and deviation, which diffusion needs.
Source: Rombach et al. 2022, arXiv:2112.10752, section 3.1 (without the adversarial loss).
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from training.common import (
    MODELS,
    Average,
    Progress,
    load_fp32,
    mixed_precision,
    parse_args,
    save_fp16,
    train,
)
from training.muon import Muon
from training.pool import Pool, Shares, covered

NAME = "autoencoder"
FOLDER = MODELS / "image" / "vae"
CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "sample_size": 64,
    "latent_channels": 4,
    "block_out_channels": (32, 64, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "norm_num_groups": 16,
    "mid_block_add_attention": False,
}
KL_WEIGHT = 1e-6
EMPHASIS = 3.0  # how much more a pixel of a thing counts than one of the background
ANCHOR = 0.03  # weight of the latents' squared distance from the shipped ones
SHARES = Shares(lecture=0.1, pairs=0.25)
# What touches pixels or latents is not hidden, so not for Muon.
EDGES = ("encoder.conv_in", "encoder.conv_out", "quant_conv", "post_quant_conv", "decoder.conv_in",
         "decoder.conv_out")  # fmt: skip


def thing_weights(masks: Sequence[np.ndarray]) -> Tensor:
    """How much each pixel counts, `[batch, 1, 64, 64]`, 1 to `1 + EMPHASIS`; mean 1 over the batch.

    Things cover an eighth of a picture, and their outlines are all that tells a cat from a dog.

    Args:
        masks: of each picture, `[thing, 64, 64]` bool.
    """
    weights = 1 + EMPHASIS * F.max_pool2d(covered(masks), 3, 1, 1)  # outlines included
    return weights / weights.mean()


def edge_error(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    """Absolute error of the differences of neighbouring pixels: keeps outlines crisp."""
    rightwards = (a.diff(dim=3) - b.diff(dim=3)).abs() * weights[..., 1:]
    downwards = (a.diff(dim=2) - b.diff(dim=2)).abs() * weights[..., 1:, :]
    return rightwards.mean() + downwards.mean()


def loss_of(
    model: AutoencoderKL, images: Tensor, noise: Tensor, weights: Tensor, anchor: Tensor | None = None
) -> tuple[Tensor, dict[str, float]]:
    """Squared and absolute error, that of the edges, the KL term, and how far the latents moved.

    Args:
        images: `[batch, 3, 64, 64]`, -1..1.
        noise: `[batch, 4, 16, 16]`.
        weights: `[batch, 1, 64, 64]` how much each pixel counts.
        anchor: latents that the new ones should stay near, `[batch, 4, 16, 16]`.
    """
    posterior = model.encode(images).latent_dist
    latents = posterior.mean + posterior.std * noise
    decoded = model.decode(latents).sample.float()
    squared = (decoded - images).square()
    error = 2 * (squared * weights).mean() + ((decoded - images).abs() * weights).mean()
    error = error + 0.5 * edge_error(decoded, images, weights) + KL_WEIGHT * posterior.kl().mean()
    metrics = {"mse": squared.mean().item()}
    if anchor is not None:
        moved = F.mse_loss(posterior.mean.float(), anchor)
        error, metrics["moved"] = error + ANCHOR * moved, moved.item()
    return error, metrics


@torch.no_grad()
def normalise(model: AutoencoderKL, latents: Tensor) -> None:
    """Fold mean and deviation of each latent channel into the two 1 x 1 convolutions, in place.

    Afterwards latents have mean zero and deviation one, `scaling_factor` is 1, and every pipeline
    of diffusers works unchanged (most ignore a `shift_factor`).

    Args:
        latents: `[batch, 4, 16, 16]`, measured with the model as it is.
    """
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    into, out = model.quant_conv, model.post_quant_conv
    out.bias += (out.weight[:, :, 0, 0] * mean).sum(1)
    out.weight *= std[None, :, None, None]
    into.weight[:4] /= std[:, None, None, None]
    into.bias[:4] = (into.bias[:4] - mean) / std
    into.bias[4:] -= 2 * std.log()
    model.register_to_config(scaling_factor=1.0)


@torch.no_grad()
def export(weights: dict[str, Tensor], pool: Pool, *, normalised: bool) -> dict[str, float]:
    """Write the model in diffusers' format, its latents normalised. Returns its metrics."""
    model = AutoencoderKL(**CONFIG).to(pool.args.device).eval()
    model.load_state_dict(weights)
    images = pool.column("images")[:1024].to(pool.args.device)
    if normalised:
        model.register_to_config(scaling_factor=1.0)
    else:
        normalise(model, torch.cat([model.encode(part).latent_dist.mean for part in images.split(64)]))
    latents = torch.cat([model.encode(part).latent_dist.mean for part in images[:256].split(64)])
    decoded = torch.cat([model.decode(part).sample for part in latents.split(64)])
    FOLDER.mkdir(parents=True, exist_ok=True)
    model.save_config(FOLDER)
    save_fp16(model.state_dict(), FOLDER / "diffusion_pytorch_model.safetensors")
    return {
        "mse": F.mse_loss(decoded.clamp(-1, 1), images[:256]).item(),
        "std": float(latents.std()),
        "mean": float(latents.mean()),
    }


def main() -> None:
    args = parse_args(
        "train_autoencoder",
        minutes=30,
        batch=8,
        lr=1e-3,
        decoder_only="keep the latents as they are: a U-Net was trained on them",
        anchored="keep the latents near the shipped ones: a U-Net needs to adapt only",
    )
    torch.manual_seed(args.seed)
    model = AutoencoderKL(**CONFIG).to(args.device, memory_format=torch.channels_last)
    optimizer = Muon(model, outer=EDGES, weight_decay=1e-3)
    shipped = load_fp32(FOLDER / "diffusion_pytorch_model.safetensors")
    run = Progress.resume(NAME, model, optimizer, args, shipped)
    as_shipped = args.decoder_only or args.anchored
    if as_shipped:
        # The shipped weights, not the checkpoint's: only their latents are normalised.
        model.load_state_dict(shipped or {})
        run = Progress(NAME, model, optimizer, Average(model), run.step)
    if args.decoder_only:
        model.encoder.requires_grad_(False)
        model.quant_conv.requires_grad_(False)
    before = deepcopy(model).requires_grad_(False) if args.anchored else None
    if args.compile:
        model.encoder.compile()
        model.decoder.compile()
    pool = Pool(args, shares=SHARES)

    def compute() -> tuple[Tensor, dict[str, float]]:
        rows = pool.sample()
        images = rows["images"].to(args.device, memory_format=torch.channels_last)
        noise = torch.randn(args.batch, 4, 16, 16, device=args.device)
        weights = thing_weights([e.masks for e in rows["examples"]]).to(args.device)
        with mixed_precision(args.device):
            with torch.no_grad():
                anchor = before.encode(images).latent_dist.mean.float() if before is not None else None
            return loss_of(model, images, noise, weights, anchor)

    write = partial(export, pool=pool, normalised=as_shipped)
    train(run, args, compute, export=write, log_every=200)


if __name__ == "__main__":
    main()
