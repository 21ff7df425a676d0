"""Transformers of today with random weights: the published folder layouts, but tiny."""

from functools import partial
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from open_clip.tokenizer import bytes_to_unicode
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    Qwen2TokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

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


CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen_tokenizer() -> Qwen2TokenizerFast:
    """Reads byte by byte, and has a chat template."""
    vocab = {letter: i for i, letter in enumerate(bytes_to_unicode().values())}
    tokenizer = Qwen2TokenizerFast(vocab=vocab, merges=[], unk_token=None)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHAT
    return tokenizer


def build_klein(folder: Path, distilled: bool = True) -> Path:
    """Laid out as FLUX.2-klein-4B: a language model, two kinds of blocks, patches of 2 × 2 cells."""
    torch.manual_seed(6)
    tokenizer = qwen_tokenizer()
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=28,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, layers_per_block=1, latent_channels=4,
        sample_size=64,
    )  # fmt: skip
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(4)
        vae.bn.running_mean.normal_(0, 0.1)
        vae.bn.running_var.uniform_(0.5, 2)
    Flux2KleinPipeline(
        transformer=Flux2Transformer2DModel(
            in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=3 * 16, timestep_guidance_channels=32, axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        vae=vae,
        text_encoder=Qwen3ForCausalLM(config),
        tokenizer=tokenizer,
        is_distilled=distilled,
    ).save_pretrained(folder, safe_serialization=True)  # fmt: skip
    return folder


TRANSFORMERS = {  # id: builder, and what the catalogue has to know
    "tiny-sd3": (build_sd3, 'denoiser = "joint"\n'),
    "tiny-klein": (build_klein, 'denoiser = "joint"\nguidance = "none"\ndistilled = true\n'),
    "tiny-klein-base": (partial(build_klein, distilled=False), 'denoiser = "joint"\n'),
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
