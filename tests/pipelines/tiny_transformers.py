"""Transformers of today with random weights: the published folder layouts, but tiny."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

from pipelines.clip.convert import clip_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz.,"
WIDTH = 32


def autoencoder(channels: int, **settings: object) -> AutoencoderKL:
    """Eight pixels per latent cell, as those of Stable Diffusion 3 and FLUX."""
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, layers_per_block=1, latent_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=64, use_quant_conv=False, use_post_quant_conv=False, **settings,
    )  # fmt: skip
    with torch.no_grad():  # random weights draw nearly flat grey: contrast lets pictures differ
        vae.decoder.conv_out.weight.mul_(4)
    return vae


def clip_tower() -> CLIPTextModelWithProjection:
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=49408, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=3,
            num_attention_heads=2, projection_dim=WIDTH, bos_token_id=49406, eos_token_id=49407,
        )
    )  # fmt: skip


def t5_tokenizer() -> T5Tokenizer:
    """Reads letter by letter."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -3.0) for letter in LETTERS]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=256)


def build_sd3(folder: Path) -> Path:
    """Laid out as stable-diffusion-3.5-medium: two CLIP towers and T5, dual attention in the first block."""
    torch.manual_seed(5)
    t5 = T5Config(
        vocab_size=4 + len(LETTERS), d_model=2 * WIDTH, d_kv=8, d_ff=37, num_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=16, out_channels=16, num_layers=3, attention_head_dim=8,
            num_attention_heads=4, joint_attention_dim=2 * WIDTH, caption_projection_dim=WIDTH,
            pooled_projection_dim=2 * WIDTH, pos_embed_max_size=12, dual_attention_layers=(0,),
            qk_norm="rms_norm",
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(16, scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=clip_tower(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=clip_tower(),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=T5EncoderModel(t5),
        tokenizer_3=t5_tokenizer(),
    ).save_pretrained(folder, safe_serialization=True)  # fmt: skip
    return folder


TRANSFORMERS = {  # id: builder, and what the catalogue has to know
    "tiny-sd3": (build_sd3, 'denoiser = "joint"\n'),
}


def write_transformers(folder: Path) -> Path:
    """All of them in a folder, and the TOML file that adds them to the catalogue."""
    common = '[[model]]\nrole = "image"\nlicence = "none"\n'
    rows = [
        f'{common}id = "{name}"\nsource = "{build(folder / name)}"\n{more}'
        for name, (build, more) in TRANSFORMERS.items()
    ]
    (folder / "models.toml").write_text("\n".join(rows))
    return folder / "models.toml"
