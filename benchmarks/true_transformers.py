"""Transformers of today at their true dimensions, without their weights: parameters, attention, arithmetic.

Tensors of the "meta" device have shapes but no numbers, so a step of each model can be taken on any machine:
`python -m benchmarks.true_transformers`. With `--recording`, one block of Stable Diffusion 3.5 medium gets
random weights, and is timed with and without instruments; that takes minutes and 1.5 GB.

Dimensions: the config.json of each folder of stabilityai/stable-diffusion-3.5-medium,
black-forest-labs/FLUX.2-klein-4B, Photoroom/prx-256-t2i and
Efficient-Large-Model/Sana_Sprint_0.6B_1024px_diffusers, as far as the library's documentation and conversion
scripts tell them.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    Flux2Transformer2DModel,
    PRXTransformer2DModel,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
)
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5GemmaConfig,
)
from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

from pipelines.image.families.family import Segment
from pipelines.image.families.joint import SD3_INSTRUMENTS
from pipelines.image.families.transformer_recorder import Attended, TransformerRecord, Watch, recording
from pipelines.image.request import TextRow
from pipelines.serving import catalogue

SD3 = {
    "sample_size": 128, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 384,
    "qk_norm": "rms_norm",
}  # fmt: skip
GEMMA = {
    "vocab_size": 256_000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
}  # fmt: skip
CLIP_PLACES, T5_PLACES, QWEN_PLACES, GEMMA_PLACES, T5GEMMA_PLACES = 77, 256, 512, 300, 256


def _clip(width: int, layers: int, heads: int) -> nn.Module:
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=49408, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
            num_attention_heads=heads, projection_dim=width,
        )
    )  # fmt: skip


def _flux_autoencoder() -> nn.Module:
    """That of Stable Diffusion 3 has the same shapes."""
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=16, use_quant_conv=False,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        use_post_quant_conv=False,
    )  # fmt: skip


def stable_diffusion_3_5_medium() -> dict[str, Any]:
    """1024 px, with and without the prompt."""
    transformer = SD3Transformer2DModel(num_layers=24, dual_attention_layers=tuple(range(13)), **SD3)
    t5 = T5Config(
        vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    parts = {
        "transformer": transformer, "CLIP ViT-L": _clip(768, 12, 12), "CLIP ViT-G": _clip(1280, 32, 20),
        "T5 XXL": T5EncoderModel(t5), "autoencoder": _flux_autoencoder(),
    }  # fmt: skip
    rows = CLIP_PLACES + T5_PLACES
    return _figures(
        "stable-diffusion-3.5-medium", parts,
        lambda: transformer(
            torch.empty(2, 16, 128, 128), torch.empty(2, rows, 4096), torch.empty(2, 2048), torch.empty(2)
        ),
    )  # fmt: skip


def flux_2_klein_4b() -> dict[str, Any]:
    """1024 px, once."""
    transformer = Flux2Transformer2DModel(
        num_layers=5,
        num_single_layers=20,
        num_attention_heads=24,
        joint_attention_dim=7680,
        guidance_embeds=False,
    )
    qwen = Qwen3Config(
        vocab_size=151_936, hidden_size=2560, intermediate_size=9728, num_hidden_layers=36,
        num_attention_heads=32, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
    )  # fmt: skip
    parts = {
        "transformer": transformer, "Qwen3 4B": Qwen3ForCausalLM(qwen), "autoencoder": AutoencoderKLFlux2(),
    }  # fmt: skip
    return _figures(
        "flux-2-klein-4b", parts,
        lambda: transformer(
            torch.empty(1, 64 * 64, 128), torch.empty(1, QWEN_PLACES, 7680), torch.empty(1),
            torch.empty(1, 64 * 64, 4), torch.empty(1, QWEN_PLACES, 4),
        ),
    )  # fmt: skip


def prx_256() -> dict[str, Any]:
    """256 px, with and without the prompt."""
    transformer = PRXTransformer2DModel()
    encoder = T5GemmaEncoder(T5GemmaConfig(encoder=GEMMA, decoder=GEMMA).encoder)
    parts = {"transformer": transformer, "T5Gemma 2B": encoder, "autoencoder": _flux_autoencoder()}
    return _figures(
        "prx-256", parts,
        lambda: transformer(
            torch.empty(2, 16, 32, 32), torch.empty(2), torch.empty(2, T5GEMMA_PLACES, 2304),
            torch.empty(2, T5GEMMA_PLACES, dtype=torch.bool),
        ),
    )  # fmt: skip


def sana_sprint() -> dict[str, Any]:
    """1024 px, once."""
    transformer = SanaTransformer2DModel(
        num_attention_heads=36, num_layers=28, num_cross_attention_heads=16, cross_attention_head_dim=72,
        cross_attention_dim=1152, guidance_embeds=True, qk_norm="rms_norm_across_heads",
    )  # fmt: skip
    blocks, widths = ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3, (128, 256, 512, 512, 1024, 1024)
    autoencoder = AutoencoderDC(
        encoder_block_types=blocks, decoder_block_types=blocks, encoder_block_out_channels=widths,
        decoder_block_out_channels=widths, downsample_block_type="conv", upsample_block_type="interpolate",
        decoder_act_fns="silu",
    )  # fmt: skip
    parts = {
        "transformer": transformer,
        "Gemma 2 2B": Gemma2Model(Gemma2Config(**GEMMA)),
        "autoencoder": autoencoder,
    }
    return _figures(
        "sana-sprint-0.6b", parts,
        lambda: transformer(
            torch.empty(1, 32, 32, 32), torch.empty(1, GEMMA_PLACES, 2304), torch.empty(1),
            guidance=torch.empty(1), encoder_attention_mask=torch.empty(1, GEMMA_PLACES),
        ),
    )  # fmt: skip


def _figures(name: str, parts: dict[str, nn.Module], step: Callable[[], object]) -> dict[str, Any]:
    """What a step takes, and what the parts weigh."""
    counts = {part: sum(p.numel() for p in module.parameters()) for part, module in parts.items()}
    seen: Counter[tuple[int, int, int, int]] = Counter()

    def tell(attended: Attended) -> None:
        _, heads, queries, width = attended.query.shape
        seen[queries, attended.key.shape[2], heads, width] += 1

    with FlopCounterMode(display=False) as counter, Watch(tell):
        step()
    total = sum(counts.values())
    return {
        "id": name,
        "parameters": counts,
        "together": total,
        "as_in_the_catalogue": total == catalogue.entry(name).parameters,
        "gib_in_half_precision": round(2 * total / 2**30, 1),
        "teraflop_a_step": round(counter.get_total_flops() / 1e12, 2),
        "attention": [
            {"queries": q, "keys": k, "heads": h, "head_width": w, "layers": n}
            for (q, k, h, w), n in sorted(seen.items(), reverse=True)
        ],
    }


def recording_cost() -> dict[str, Any]:
    """Seconds of one guided step through one block at 1024 px, with and without instruments."""
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(num_layers=1, dual_attention_layers=(0,), **SD3).eval()
    rows = tuple(TextRow("tokenizer", "", "word") for _ in range(20))
    segments = (
        Segment("tokenizer", 0, CLIP_PLACES, 0, rows),
        Segment("tokenizer_3", CLIP_PLACES, CLIP_PLACES + T5_PLACES, CLIP_PLACES, rows),
    )
    inputs = (
        torch.randn(2, 16, 128, 128), torch.randn(2, CLIP_PLACES + T5_PLACES, 4096), torch.randn(2, 2048),
        torch.full((2,), 500.0),
    )  # fmt: skip
    seconds: dict[str, list[float]] = {"plain": [], "recorded": []}
    outs: dict[str, Tensor] = {}
    with torch.inference_mode():
        for _ in range(2):
            for kind in seconds:
                record = TransformerRecord(SD3_INSTRUMENTS.layout_of(transformer), [segments], 2, (64, 64))
                begun = time.process_time()
                plain = kind == "plain"
                with nullcontext() if plain else recording(transformer, record, SD3_INSTRUMENTS):
                    outs[kind] = transformer(*inputs).sample
                seconds[kind].append(round(time.process_time() - begun, 2))
    return {
        "seconds": seconds,
        "ratio": round(min(seconds["recorded"]) / min(seconds["plain"]), 2),
        "same_to_the_bit": torch.equal(outs["plain"], outs["recorded"]),
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    """Count all, or time recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--recording", action="store_true", help="time one block with and without instruments"
    )
    if parser.parse_args().recording:
        print(json.dumps(recording_cost(), indent=1))
        return
    with torch.device("meta"):
        for figures in (stable_diffusion_3_5_medium(), flux_2_klein_4b(), prx_256(), sana_sprint()):
            print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
