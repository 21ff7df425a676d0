"""Transformers of today with random weights: the published folder layouts, but tiny."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    PRXPipeline,
    PRXTransformer2DModel,
    SanaPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from open_clip.tokenizer import bytes_to_unicode
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    Qwen2TokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5GemmaConfig,
    T5Tokenizer,
)
from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

from pipelines.clip.convert import clip_tokenizer
from pipelines.serving import catalogue, loading

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


def gemma_tokenizer(places: int) -> GemmaTokenizer:
    """Reads letter by letter; begins with a mark and pads on the left, as Gemma's does."""
    letters = [chr(i) for i in range(33, 127)]
    vocab = {piece: i for i, piece in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "▁", "\n", *letters])}
    return GemmaTokenizer(vocab=vocab, merges=[], model_max_length=places, add_bos_token=True)


def deep_autoencoder() -> AutoencoderDC:
    """Without a distribution of latents, as SANA's; four pixels a cell."""
    blocks, scales = ("ResBlock", "ResBlock", "EfficientViTBlock"), ((), (), (5,))
    widths, layers = (8, 8, 8), (1, 1, 1)
    return AutoencoderDC(
        latent_channels=4, attention_head_dim=2, encoder_block_types=blocks, decoder_block_types=blocks,
        encoder_block_out_channels=widths, decoder_block_out_channels=widths, encoder_qkv_multiscales=scales,
        decoder_qkv_multiscales=scales, encoder_layers_per_block=layers, decoder_layers_per_block=layers,
        downsample_block_type="conv", upsample_block_type="interpolate", scaling_factor=0.41407,
    )  # fmt: skip


def build_sana(folder: Path, kind: type = SanaPipeline) -> Path:
    """Laid out as Sana_600M or, of the kind `SanaSprintPipeline`, as Sana_Sprint_0.6B."""
    torch.manual_seed(7)
    sprint, tokenizer = kind is SanaSprintPipeline, gemma_tokenizer(300)
    config = Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    kind(
        tokenizer=tokenizer,
        text_encoder=Gemma2Model(config),
        vae=deep_autoencoder(),
        transformer=SanaTransformer2DModel(
            in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=2,
            num_cross_attention_heads=2, cross_attention_head_dim=8, cross_attention_dim=16,
            caption_channels=16, sample_size=16, guidance_embeds=sprint,
            qk_norm="rms_norm_across_heads" if sprint else None,
        ),
        scheduler=SCMScheduler() if sprint else DPMSolverMultistepScheduler(
            flow_shift=3.0, use_flow_sigmas=True, prediction_type="flow_prediction"
        ),
    ).save_pretrained(folder, safe_serialization=True)  # fmt: skip
    return folder


def build_prx(folder: Path) -> Path:
    """Laid out as prx-256-t2i: T5Gemma's encoder, FLUX's autoencoder."""
    torch.manual_seed(8)
    tokenizer = gemma_tokenizer(64)
    module = {
        "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
    }  # fmt: skip
    config = T5GemmaConfig(encoder=module, decoder=module)
    transformer = PRXTransformer2DModel(
        in_channels=16,
        context_in_dim=16,
        hidden_size=32,
        mlp_ratio=2.0,
        num_heads=4,
        depth=2,
        axes_dim=[4, 4],
    )
    with torch.no_grad():  # where training begins, nothing is let through
        for block in transformer.blocks:
            block.modulation.lin.weight.normal_(0, 0.3)
    PRXPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=T5GemmaEncoder(config.encoder),
        tokenizer=tokenizer,
        vae=autoencoder(16, scaling_factor=0.3611, shift_factor=0.1159),
        default_sample_size=64,
    ).save_pretrained(folder, safe_serialization=True)
    config.save_pretrained(folder / "text_encoder")  # published with the whole model's
    return folder


TRANSFORMERS = {  # id: builder, and what the catalogue has to know
    "tiny-sd3": (build_sd3, 'denoiser = "joint"\n'),
    "tiny-klein": (build_klein, 'denoiser = "joint"\nguidance = "none"\ndistilled = true\n'),
    "tiny-klein-base": (partial(build_klein, distilled=False), 'denoiser = "joint"\n'),
    "tiny-sana": (build_sana, 'denoiser = "cross"\n'),
    "tiny-sprint": (
        partial(build_sana, kind=SanaSprintPipeline),
        'denoiser = "cross"\nguidance = "input"\ndistilled = true\n',
    ),
    "tiny-prx": (build_prx, 'denoiser = "cross"\n'),
}


def write_transformers(folder: Path, names: Sequence[str] = tuple(TRANSFORMERS)) -> Path:
    """Some of them in a folder, and the TOML file that adds them to the catalogue."""
    common = '[[model]]\nrole = "image"\nlicence = "none"\n'
    rows = [
        f'{common}id = "{name}"\nsource = "{build(folder / name)}"\n{more}'
        for name, (build, more) in TRANSFORMERS.items()
        if name in names
    ]
    (folder / "models.toml").write_text("\n".join(rows))
    return folder / "models.toml"


@contextmanager
def in_catalogue(models: Path) -> Iterator[None]:
    """The catalogue with tiny transformers added, and afterwards none of them left in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEUERVEKTOR_MODELS", str(models))
        catalogue._added.cache_clear()
        yield
    for name in TRANSFORMERS:
        loading.unload(name)
        loading.unload(f"{name}+tokenizers")
    catalogue._added.cache_clear()
