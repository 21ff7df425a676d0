"""Train the classroom picture autoencoder: 64 px to 4 x 16 x 16 latents and back.

Run: `python -m training.train_autoencoder --minutes 30` (CPU or CUDA; goes on from its checkpoint).
The latents are normalised afterwards with the measured mean and deviation, which diffusion needs.
Source: Rombach et al. 2022, arXiv:2112.10752, section 3.1 (without the adversarial loss).
"""

from functools import partial

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
from training.pool import Pool

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
# What touches pixels or latents is not hidden, so not for Muon.
EDGES = ("encoder.conv_in", "encoder.conv_out", "quant_conv", "post_quant_conv", "decoder.conv_in",
         "decoder.conv_out")  # fmt: skip


def edge_error(a: Tensor, b: Tensor) -> Tensor:
    """Absolute error of the differences of neighbouring pixels: keeps outlines crisp."""
    rightwards, downwards = (F.l1_loss(a.diff(dim=dim), b.diff(dim=dim)) for dim in (3, 2))
    return rightwards + downwards


def loss_of(model: AutoencoderKL, images: Tensor, noise: Tensor) -> tuple[Tensor, float]:
    """Squared and absolute error, that of the edges, and the KL term."""
    posterior = model.encode(images).latent_dist
    latents = posterior.mean + posterior.std * noise
    decoded = model.decode(latents).sample.float()
    squared = F.mse_loss(decoded, images)
    error = 2 * squared + F.l1_loss(decoded, images) + 0.5 * edge_error(decoded, images)
    return error + KL_WEIGHT * posterior.kl().mean(), squared.item()


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
    images = torch.stack(pool.values[:1024]).to(pool.args.device)
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
    )
    torch.manual_seed(args.seed)
    model = AutoencoderKL(**CONFIG).to(args.device, memory_format=torch.channels_last)
    optimizer = Muon(model, outer=EDGES, weight_decay=1e-3)
    shipped = load_fp32(FOLDER / "diffusion_pytorch_model.safetensors")
    run = Progress.resume(NAME, model, optimizer, args, shipped)
    if args.decoder_only:
        # The shipped weights, not the checkpoint's: only their latents are normalised.
        model.load_state_dict(shipped or {})
        run = Progress(NAME, model, optimizer, Average(model), run.step)
        model.encoder.requires_grad_(False)
        model.quant_conv.requires_grad_(False)
    pool = Pool(args)

    def compute() -> tuple[Tensor, dict[str, float]]:
        images = pool.sample()[0].to(args.device, memory_format=torch.channels_last)
        noise = torch.randn(args.batch, 4, 16, 16, device=args.device)
        with mixed_precision(args.device):
            loss, error = loss_of(model, images, noise)
        return loss, {"mse": error}

    write = partial(export, pool=pool, normalised=args.decoder_only)
    train(run, args, compute, export=write, log_every=200)


if __name__ == "__main__":
    main()
