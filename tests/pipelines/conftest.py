"""Fixtures: checkpoints with random weights in the exact folder layout of the published ones, but tiny."""

import json
from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from pipelines.clip.convert import clip_tokenizer
from pipelines.serving import catalogue, loading
from pipelines.serving.work import engine_name
from tests.pipelines.tiny_transformers import in_catalogue, write_transformers

WIDTH = 32


def _text_config() -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=49408, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, projection_dim=WIDTH, bos_token_id=49406, eos_token_id=49407,
    )  # fmt: skip


def _autoencoder() -> AutoencoderKL:
    """Eight pixels per latent cell and three halvings, as Stable Diffusion's."""
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, layers_per_block=1, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=64, scaling_factor=0.18215,
    )  # fmt: skip
    with torch.no_grad():  # random weights draw nearly flat grey: contrast lets pictures differ
        vae.decoder.conv_out.weight.mul_(4)
    return vae


def _schedule() -> dict:
    """Stable Diffusion's noise schedule."""
    return {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def build_sd15(folder: Path, **unet: object) -> Path:
    """A folder laid out as stable-diffusion-v1-5: predicts noise, PNDM schedule, 8 x 8 latents.

    Args:
        folder: written here.
        unet: configuration that differs.
    """
    torch.manual_seed(0)
    settings = {
        "sample_size": 8, "block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": WIDTH, "attention_head_dim": 2,
    }  # fmt: skip
    pipe = StableDiffusionPipeline(
        vae=_autoencoder(),
        text_encoder=CLIPTextModel(_text_config()),
        tokenizer=clip_tokenizer(),
        unet=UNet2DConditionModel(**settings | unet),
        scheduler=PNDMScheduler(**_schedule(), steps_offset=1, skip_prk_steps=True, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder, safe_serialization=True)
    _older_tokenizer_files(folder / "tokenizer")
    index = json.loads((folder / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _older_tokenizer_files(folder: Path) -> None:
    """Vocabulary and merges as two files, as the published checkpoints have them."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    names = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
             "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}  # fmt: skip
    (folder / "special_tokens_map.json").write_text(json.dumps(names))
    settings = names | {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def build_sdxl_turbo(folder: Path) -> Path:
    """A folder laid out as sdxl-turbo: two text encoders, pooled text and sizes in the time embedding."""
    torch.manual_seed(1)
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=2 * WIDTH, attention_head_dim=(2, 4), use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )  # fmt: skip
    pipe = StableDiffusionXLPipeline(
        vae=_autoencoder(),
        text_encoder=CLIPTextModel(_text_config()),
        text_encoder_2=CLIPTextModelWithProjection(_text_config()),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=unet,
        scheduler=EulerAncestralDiscreteScheduler(**_schedule(), timestep_spacing="trailing"),
        add_watermarker=False,
    )
    pipe.save_pretrained(folder, safe_serialization=True)
    for tokenizer in ("tokenizer", "tokenizer_2"):
        _older_tokenizer_files(folder / tokenizer)
    return folder


def build_open_clip(folder: Path) -> Path:
    """A folder laid out as the OpenCLIP checkpoints of the hub."""
    torch.manual_seed(2)
    config = {
        "embed_dim": WIDTH,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": WIDTH, "patch_size": 16, "head_width": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": WIDTH, "heads": 2, "layers": 2},
    }
    folder.mkdir(parents=True, exist_ok=True)
    model = open_clip.CLIP(**{k: dict(v) if isinstance(v, dict) else v for k, v in config.items()})
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic"}
    written = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(written))
    return folder


def write_catalogue(path: Path, rows: dict[str, tuple[str, Path | str, bool]]) -> Path:
    """The TOML file that adds models.

    Args:
        path: written here.
        rows: id to (role, folder or hub id, whether distilled).
    """
    entries = [
        f'[[model]]\nid = "{name}"\nrole = "{role}"\nsource = "{source}"\nlicence = "none"\n'
        f"distilled = {str(distilled).lower()}\n"
        for name, (role, source, distilled) in rows.items()
    ]
    path.write_text("\n".join(entries))
    return path


@pytest.fixture(autouse=True)
def _where_models_compute(request: pytest.FixtureRequest) -> None:
    """Tests hold for every engine (`STEUERVEKTOR_ENGINE`), but for those that say otherwise."""
    if request.node.get_closest_marker("in_process") and engine_name() != "local":
        pytest.skip("reaches into models of this process")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny checkpoints, and the TOML file that adds them to the catalogue."""
    folder = tmp_path_factory.mktemp("checkpoints")
    rows = {
        "tiny-sd": ("image", build_sd15(folder / "sd15"), False),
        "tiny-turbo": ("image", build_sdxl_turbo(folder / "sdxl-turbo"), True),
        "tiny-clip": ("clip", build_open_clip(folder / "open_clip"), False),
        "absent": ("image", "nobody/has-this-model", False),
    }
    write_catalogue(folder / "models.toml", rows)
    return folder


@pytest.fixture(scope="module")
def tiny_models(checkpoints: Path) -> Iterator[Path]:
    """The catalogue with the tiny checkpoints added, for one module of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEUERVEKTOR_MODELS", str(checkpoints / "models.toml"))
        catalogue._added.cache_clear()
        yield checkpoints
    for entry in ("tiny-sd", "tiny-turbo", "tiny-clip"):
        loading.unload(entry)
    catalogue._added.cache_clear()


@pytest.fixture(scope="session")
def transformer_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The TOML file that adds tiny transformers to the catalogue."""
    return write_transformers(tmp_path_factory.mktemp("transformers"))


@pytest.fixture(scope="module")
def transformers_of_today(transformer_checkpoints: Path) -> Iterator[None]:
    """The catalogue with tiny transformers added, for one module of tests."""
    with in_catalogue(transformer_checkpoints):
        yield
