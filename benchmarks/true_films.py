"""What a film of the hub's models costs, counted at their true dimensions without their weights.

Tensors of PyTorch's "meta" device have shapes but no numbers, so one guided step of AnimateDiff on Stable
Diffusion 1.5 and of Wan 2.1 1.3B can be taken on any machine: `python -m benchmarks.true_films` prints the
parameters, the arithmetic of a step and the memory of weights in half precision: the figures in the catalogue
from which seconds are estimated.

Dimensions: the config.json of each folder of stable-diffusion-v1-5/stable-diffusion-v1-5,
guoyww/animatediff-motion-adapter-v1-5-3 and Wan-AI/Wan2.1-T2V-1.3B-Diffusers.
"""

import json
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
    WanTransformer3DModel,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel, UMT5Config, UMT5EncoderModel


def _count(*parts: nn.Module) -> int:
    return sum(p.numel() for part in parts for p in part.parameters())


def animatediff() -> dict[str, Any]:
    """One guided step: 16 frames of 512 px, with and without the prompt."""
    adapter = MotionAdapter(use_motion_mid_block=False)
    pictures = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    unet = UNetMotionModel.from_unet2d(pictures, adapter, load_weights=False)
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    text = CLIPTextModel(
        CLIPTextConfig(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                       num_attention_heads=12)
    )  # fmt: skip
    latents, rows = torch.empty(2, 4, 16, 64, 64), torch.empty(32, 77, 768)
    with FlopCounterMode(display=False) as counter:
        unet(latents, torch.zeros(1), rows)
    return _figures("animatediff-v1-5-3", counter, _count(unet, vae, text), adapter=_count(adapter))


def wan() -> dict[str, Any]:
    """One guided step: 81 frames of 832 × 480 px, which the autoencoder holds in 21 frames of latents."""
    transformer = WanTransformer3DModel(
        num_attention_heads=12, attention_head_dim=128, in_channels=16, out_channels=16, text_dim=4096,
        freq_dim=256, ffn_dim=8960, num_layers=30, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
    )  # fmt: skip
    text = UMT5EncoderModel(
        UMT5Config(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
                   feed_forward_proj="gated-gelu")
    )  # fmt: skip
    latents, rows = torch.empty(1, 16, 21, 60, 104), torch.empty(1, 512, 4096)
    with FlopCounterMode(display=False) as counter:
        for _ in ("with the prompt", "without it"):
            transformer(latents, torch.zeros(1), rows)
    parameters = _count(transformer, text, AutoencoderKLWan())
    return _figures("wan-2.1-1.3b", counter, parameters, transformer=_count(transformer), tokens=21 * 30 * 52)


def _figures(name: str, counter: FlopCounterMode, parameters: int, **more: int) -> dict[str, Any]:
    return {
        "id": name,
        "parameters": parameters,
        "teraflop_a_guided_step": round(counter.get_total_flops() / 1e12, 1),
        "gib_of_weights_in_half_precision": round(2 * parameters / 2**30, 1),
        **more,
    }


def main() -> None:
    """Count both."""
    with torch.device("meta"), torch.inference_mode():
        for figures in (animatediff(), wan()):
            print(json.dumps(figures))


if __name__ == "__main__":
    main()
