"""Checkpoints of the hub's sound models: their architecture and file format, tiny, with random weights."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from pipelines.audio.audiocraft_backend import _import
from pipelines.serving import catalogue

CLASSROOM = Path(catalogue.ASSETS) / "audio"


def t5_config():
    from transformers import T5Config

    return T5Config(
        vocab_size=384, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0,
        is_encoder_decoder=False, use_cache=False,
    )  # fmt: skip


def copy_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(CLASSROOM / name, folder / name)


def build_musicgen(folder: Path) -> Path:
    """Laid out as musicgen-small: 32 kHz, a codec that looks ahead and mirrors its edges, 4 books of 2048."""
    from transformers import EncodecConfig, MusicgenConfig, MusicgenForConditionalGeneration
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

    torch.manual_seed(3)
    codec = EncodecConfig(
        sampling_rate=32_000, audio_channels=1, normalize=False, num_filters=4, num_lstm_layers=2,
        upsampling_ratios=[8, 5, 4, 4], hidden_size=16, codebook_dim=16, codebook_size=2048,
        target_bandwidths=[2.2], use_causal_conv=False, pad_mode="reflect", norm_type="weight_norm",
    )  # fmt: skip
    decoder = MusicgenDecoderConfig(
        vocab_size=2048, hidden_size=24, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
        num_codebooks=4, pad_token_id=2048, bos_token_id=2048, dropout=0.0, attention_dropout=0.0,
        activation_dropout=0.0,
    )  # fmt: skip
    parts = {"text_encoder": t5_config(), "audio_encoder": codec, "decoder": decoder}
    model = MusicgenForConditionalGeneration(
        MusicgenConfig(**{name: part.to_dict() for name, part in parts.items()})
    ).eval()
    with torch.no_grad():
        for layer in model.audio_encoder.quantizer.layers:
            layer.codebook.embed.normal_()
        for weights in model.decoder.parameters():  # the initial ones hardly look at anything
            weights.mul_(4)
    model.generation_config.decoder_start_token_id = model.generation_config.pad_token_id = 2048
    model.generation_config.bos_token_id = 2048
    model.save_pretrained(folder)
    copy_tokenizer(folder)
    return folder


def build_bark(folder: Path) -> Path:
    """Laid out as bark-small: three transformers, EnCodec at 24 kHz, a BERT tokenizer."""
    from transformers import (
        BarkCoarseConfig,
        BarkConfig,
        BarkFineConfig,
        BarkModel,
        BarkSemanticConfig,
        BertTokenizerFast,
        EncodecConfig,
    )
    from transformers.models.bark import generation_configuration_bark as settings

    torch.manual_seed(4)
    size = {"block_size": 1024, "num_layers": 1, "num_heads": 2, "hidden_size": 16, "dropout": 0.0}
    codec = EncodecConfig(
        num_filters=4, hidden_size=16, codebook_dim=16, codebook_size=1024, sampling_rate=24_000,
        num_lstm_layers=1,
    )  # fmt: skip
    parts = {
        "semantic_config": BarkSemanticConfig(input_vocab_size=129_600, output_vocab_size=10_048, **size),
        "coarse_acoustics_config": BarkCoarseConfig(
            input_vocab_size=12_096, output_vocab_size=12_096, **size
        ),
        "fine_acoustics_config": BarkFineConfig(
            input_vocab_size=1056, output_vocab_size=1056, n_codes_total=8, n_codes_given=1, **size
        ),
        "codec_config": codec,
    }
    model = BarkModel(BarkConfig(**{name: part.to_dict() for name, part in parts.items()})).eval()
    with torch.no_grad():
        for layer in model.codec_model.quantizer.layers:
            layer.codebook.embed.normal_()
    model.save_pretrained(folder)
    given = {
        "semantic_config": settings.BarkSemanticGenerationConfig(),
        "coarse_acoustics_config": settings.BarkCoarseGenerationConfig(),
        "fine_acoustics_config": settings.BarkFineGenerationConfig(),
    }
    published = {name: part.to_dict() | {"model_type": part.model_type} for name, part in given.items()}
    published |= {"model_type": "bark", "sample_rate": 24_000, "codebook_size": 1024}
    (folder / "generation_config.json").write_text(json.dumps(published))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "says", "hello", "dog"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


LM = """
lm_model: transformer_lm
dtype: float32
device: cpu
dataset: {segment_duration: 10}
transformer_lm: {dim: 24, num_heads: 4, num_layers: 2, hidden_scale: 2, n_q: 4, card: 64, dropout: 0.0,
  emb_lr: null, activation: gelu, norm_first: true, bias_ff: false, bias_attn: false, bias_proj: false,
  past_context: null, causal: true, custom: false, memory_efficient: true, attention_as_float32: false,
  positional_embedding: sin, xpos: false, checkpointing: none, weight_init: gaussian,
  depthwise_init: current, zero_bias_init: true, norm: layer_norm, cross_attention: false,
  qk_layer_norm: false, qk_layer_norm_cross: false, attention_dropout: null, kv_repeat: 1,
  two_step_cfg: false}
codebooks_pattern: {modeling: delay, delay: {delays: [0, 1, 2, 3], flatten_first: 0, empty_initial: 0}}
classifier_free_guidance: {training_dropout: 0.1, inference_coef: 3.0}
attribute_dropout: {text: {}, wav: {}}
fuser: {cross_attention_pos_emb: false, cross_attention_pos_emb_scale: 1, sum: [], prepend: [],
  cross: [description], input_interpolate: []}
conditioners: {args: {merge_text_conditions_p: 0.25, drop_desc_p: 0.5},
  description: {model: t5, t5: {name: TINY, finetune: false, word_dropout: 0.0, normalize_text: false}}}
"""
CODEC = """
compression_model: encodec
device: cpu
sample_rate: 16000
encodec: {autoencoder: seanet, quantizer: rvq, sample_rate: 16000, channels: 1, causal: false,
  renormalize: false}
seanet: {dimension: 16, channels: 1, causal: false, n_filters: 4, n_residual_layers: 1, ratios: [8, 5, 4, 2],
  activation: ELU, activation_params: {alpha: 1.0}, norm: weight_norm, norm_params: {}, kernel_size: 7,
  residual_kernel_size: 3, last_kernel_size: 7, dilation_base: 2, pad_mode: constant, true_skip: true,
  compress: 2, lstm: 2, disable_norm_outer_blocks: 0, encoder: {},
  decoder: {trim_right_ratio: 1.0, final_activation: null, final_activation_params: null}}
rvq: {n_q: 4, q_dropout: false, bins: 64, decay: 0.99, kmeans_init: false, kmeans_iters: 5,
  threshold_ema_dead_code: 2, orthogonal_reg_weight: 0.0, orthogonal_reg_active_codes_only: false}
"""


def build_audiogen(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Laid out as audiogen-medium: audiocraft's two `state_dict.bin`, settings as YAML inside."""
    from audiocraft.models import builders
    from audiocraft.modules import conditioners
    from omegaconf import OmegaConf
    from transformers import T5EncoderModel

    _import()
    folder.mkdir(parents=True)
    text = folder / "t5"
    torch.manual_seed(5)
    T5EncoderModel(t5_config()).save_pretrained(text)
    copy_tokenizer(text)
    # audiocraft reads a T5 by its published name, from a list; the tiny one has to stand on it, too.
    patch.setitem(conditioners.T5Conditioner.MODELS_DIMS, str(text), 32)
    patch.setattr(conditioners.T5Conditioner, "MODELS", [*conditioners.T5Conditioner.MODELS, str(text)])
    patch.setattr(conditioners, "T5Tokenizer", __import__("transformers").AutoTokenizer)
    for name, settings, build in (
        ("state_dict.bin", LM.replace("TINY", str(text)), builders.get_lm_model),
        ("compression_state_dict.bin", CODEC, builders.get_compression_model),
    ):
        made = build(OmegaConf.create(settings))
        torch.save({"xp.cfg": settings, "best_state": made.state_dict()}, folder / name)
    return folder
