"""SigLIP 2 with random weights: the published open_clip folder, but tiny."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from transformers import GemmaTokenizer

from pipelines.serving import catalogue, loading

MODEL = "tiny-siglip"
PLACES, BIAS, SCALE = 16, -3.0, 8.0


def siglip_tokenizer() -> GemmaTokenizer:
    """Gemma's as SigLIP 2 uses it: no mark in front, an end mark, padding on the right."""
    pieces = ["▁", *"abcdefghijklmnopqrstuvwxyzäöüß", "▁c", "at", "▁cat", "cat"]
    vocab = {piece: i for i, piece in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", *pieces])}
    return GemmaTokenizer(
        vocab=vocab, merges=[("▁", "c"), ("a", "t"), ("▁c", "at"), ("c", "at")], padding_side="right",
        add_bos_token=False, add_eos_token=True, model_max_length=PLACES,
    )  # fmt: skip


def build_siglip(folder: Path) -> Path:
    """Laid out as timm/ViT-B-32-SigLIP2-256: a timm tower that pools by attention, and a logit bias."""
    torch.manual_seed(12)
    tokenizer = siglip_tokenizer()
    tokenizer.save_pretrained(folder)
    config = {
        "embed_dim": 96,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 160, "timm_model_name": "test_vit3", "timm_model_pretrained": False,
            "timm_pool": "map", "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": PLACES, "vocab_size": len(tokenizer), "hf_tokenizer_name": str(folder),
            "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 96, "heads": 4, "layers": 3,
            "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6},
            "act_kwargs": {"approximate": "tanh"},
        },
    }  # fmt: skip
    made = copy.deepcopy({key: value for key, value in config.items() if key != "custom_text"})
    model = open_clip.CustomTextCLIP(**made)
    with torch.no_grad():
        model.logit_scale.fill_(SCALE).log_()
        model.logit_bias.fill_(BIAS)
        model.text.token_embedding.weight.normal_(0, 0.5)  # texts differ
        model.text.positional_embedding.normal_(0, 0.5)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    written = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(written))
    return folder


@contextmanager
def siglip_in_catalogue(folder: Path) -> Iterator[None]:
    """The catalogue with a folder of `build_siglip` added."""
    toml = folder / "models.toml"
    toml.write_text(f'[[model]]\nid="{MODEL}"\nrole="clip"\nsource="{folder}"\nlicence="none"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEUERVEKTOR_MODELS", str(toml))
        catalogue._added.cache_clear()
        yield
    loading.unload(MODEL)
    catalogue._added.cache_clear()
