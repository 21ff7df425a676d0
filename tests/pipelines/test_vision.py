"""DINO's, DINOv2's and DINOv3's classes behind one object, on random checkpoints in the published layouts."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    ViTConfig,
    ViTModel,
)

from pipelines.dino import dino
from pipelines.dino import model as vision
from pipelines.dino.model import eager, load_vision, read_tokens, read_whole, vision_model
from pipelines.serving import catalogue, loading
from pipelines.serving.catalogue import ModelEntry
from pipelines.serving.errors import InputError

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# What the two publishers put beside their weights.
DINOV2_PICTURES = {
    "image_processor_type": "BitImageProcessor", "do_resize": True, "size": {"shortest_edge": 256},
    "do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "resample": 3,
    "image_mean": MEAN, "image_std": STD,
}  # fmt: skip
DINO_PICTURES = {
    "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 224, "width": 224},
    "do_normalize": True, "image_mean": MEAN, "image_std": STD,
}  # fmt: skip
DINOV3_PICTURES = {
    "image_processor_type": "DINOv3ViTImageProcessorFast", "do_resize": True, "resample": 2,
    "size": {"height": 224, "width": 224}, "do_normalize": True, "do_rescale": True,
    "image_mean": MEAN, "image_std": STD,
}  # fmt: skip
SMALL = {"hidden_size": 384, "num_attention_heads": 6, "num_hidden_layers": 12}
TINY = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 3}
# dinov2-small was trained at 518 px and is shown 224: its positions are interpolated.
DINOV2 = {"image_size": 518, "patch_size": 14, "mlp_ratio": 4, "qkv_bias": True}
DINOV3 = {"image_size": 224, "patch_size": 16, "num_register_tokens": 4}
REGISTERS = {"dinov2_registers": 4, "dinov3": 4}
DINO = {"image_size": 224, "patch_size": 8, "qkv_bias": True}


def build(folder: Path, kind: str, size: dict[str, int]) -> ModelEntry:
    """A folder laid out as the hub's, with random weights, as an entry of the catalogue."""
    torch.manual_seed(4)
    if kind == "dinov2":
        model, pictures = Dinov2Model(Dinov2Config(**DINOV2, **size)), DINOV2_PICTURES
    elif kind == "dinov2_registers":
        config = Dinov2WithRegistersConfig(**DINOV2, **size, num_register_tokens=4)
        model, pictures = Dinov2WithRegistersModel(config), DINOV2_PICTURES
    elif kind == "dinov3":
        config = DINOv3ViTConfig(**DINOV3, **size, intermediate_size=4 * size["hidden_size"])
        model, pictures = DINOv3ViTModel(config), DINOV3_PICTURES
    else:
        config = ViTConfig(**DINO, **size, intermediate_size=4 * size["hidden_size"])
        model, pictures = ViTModel(config, add_pooling_layer=False), DINO_PICTURES
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    return ModelEntry(f"tiny-{kind}", "dino", "local", kind, str(folder), "none", 0)


@pytest.fixture(scope="module", params=["dinov2", "dinov2_registers", "dinov3", "dino"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelEntry]:
    """A tiny checkpoint of each class, in the catalogue."""
    entry = build(tmp_path_factory.mktemp(request.param), request.param, TINY)
    known = catalogue._added
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "_added", lambda: (*known(), entry))
        yield entry
    loading.unload(entry.id)


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (2, 40, 60, 3), dtype=np.uint8)
    return [Image.fromarray(noise[0]).resize((300, 200)), Image.fromarray(noise[1]).resize((128, 256))]


def library(entry: ModelEntry, pixels: torch.Tensor, **options: object):
    """The unchanged library, with attention asked for."""
    kinds = {
        "tiny-dinov2": Dinov2Model,
        "tiny-dinov2_registers": Dinov2WithRegistersModel,
        "tiny-dinov3": DINOv3ViTModel,
    }
    if entry.id in kinds:
        model = kinds[entry.id].from_pretrained(entry.source, attn_implementation="eager")
        return model.eval()(pixels, output_attentions=True, **options)
    model = ViTModel.from_pretrained(entry.source, add_pooling_layer=False, attn_implementation="eager")
    return model.eval()(pixels, output_attentions=True, interpolate_pos_encoding=True, **options)


@torch.no_grad()
def test_tokens_and_heads_are_the_librarys(tiny, pictures) -> None:
    loaded = vision_model(tiny.id)
    pixels = torch.stack([loaded.pixels(p, loaded.side) for p in pictures])
    expected = library(tiny, pixels)
    found = read_tokens(pictures, tiny.id)
    registers = REGISTERS.get(tiny.id.removeprefix("tiny-"), 0)
    first = 1 + registers
    np.testing.assert_allclose(found.patches, expected.last_hidden_state[:, first:].numpy(), atol=1e-4)
    heads = torch.stack(expected.attentions, 1)[..., 0, :].numpy()
    np.testing.assert_allclose(found.attention, heads[..., first:], atol=1e-6)
    np.testing.assert_allclose(found.on_registers, heads[..., 1:first].sum(-1), atol=1e-6)
    assert loaded.registers == registers and (found.on_registers > 0).all() == bool(registers)
    grid = {"tiny-dino": 28, "tiny-dinov3": 14}.get(tiny.id, 16)
    assert found.attention.shape == (2, 3, 2, grid * grid) and loaded.grid == grid
    whole = read_whole(pictures, tiny.id)
    np.testing.assert_allclose(whole, expected.last_hidden_state[:, 0].numpy(), atol=1e-4)


def test_pixels_are_the_processors(tiny) -> None:
    loaded = vision_model(tiny.id)
    square = Image.fromarray(np.random.default_rng(1).integers(0, 255, (224, 224, 3), dtype=np.uint8))
    processor = AutoImageProcessor.from_pretrained(tiny.source)
    expected = processor(square, return_tensors="pt", do_resize=False)["pixel_values"][0]
    torch.testing.assert_close(loaded.pixels(square, loaded.side), expected, atol=1e-5, rtol=0)


def test_looking_leaves_the_model_as_it_was(tiny, pictures) -> None:
    loaded = vision_model(tiny.id)
    before = loaded.model.config._attn_implementation
    first = read_whole(pictures, tiny.id)

    def fail() -> None:
        with eager(loaded):
            assert loaded.model.config._attn_implementation == "eager"
            raise RuntimeError("midst")

    with pytest.raises(RuntimeError, match="midst"):
        fail()
    read_tokens(pictures, tiny.id)
    assert loaded.model.config._attn_implementation == before == "sdpa"
    assert np.array_equal(read_whole(pictures, tiny.id), first)


def test_the_tabs_functions_work_on_either_class(tiny, pictures) -> None:
    seen = dino.look_at(pictures, tiny.id)
    assert seen.attention.shape == (2, 3, 2, seen.grid, seen.grid)
    assert seen.similarity.shape == (seen.grid**2, 2 * seen.grid**2)
    np.testing.assert_allclose(np.diag(seen.similarity), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["dinov2", "dinov2_registers", "dinov3", "dino"])
def test_the_published_shapes_load_and_answer(kind, tmp_path, pictures) -> None:
    """Those of the catalogue in their true sizes, random weights."""
    entry = build(tmp_path, kind, SMALL)
    loaded = load_vision(entry, "cpu")
    ids = {"dinov2_registers": "dinov2-registers-small", "dinov3": "dinov3-small", "dino": "dino-vits8"}
    published = catalogue.entry(ids.get(kind, "dinov2-small"))
    assert sum(p.numel() for p in loaded.model.parameters()) == published.parameters
    with torch.inference_mode():
        tokens = loaded(loaded.pixels(pictures[0], loaded.side)[None]).last_hidden_state
    assert tokens.shape == (1, 1 + REGISTERS.get(kind, 0) + loaded.grid**2, 384)
    assert torch.isfinite(tokens).all()


def test_another_kind_of_model_is_refused(tmp_path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    entry = ModelEntry("odd", "dino", "local", "Odd", str(tmp_path), "none", 0)
    with pytest.raises(InputError, match="model_broken"):
        load_vision(entry, "cpu")


def test_the_classroom_model_is_the_librarys_own() -> None:
    entry = catalogue.entry("classroom-dino")
    loaded = vision_model(entry.id)
    assert sum(p.numel() for p in loaded.model.parameters()) == entry.parameters
    assert (loaded.side, loaded.whole_side, loaded.grid) == (128, 64, 16)
    picture = dino.world_picture(3).picture
    plain = Dinov2Model.from_pretrained(entry.source, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = plain(loaded.pixels(picture, 64)[None]).last_hidden_state[0, 0].numpy()
    np.testing.assert_allclose(read_whole([picture], entry.id)[0], expected, atol=1e-5)


def test_batches_do_not_change_features(monkeypatch, tiny, pictures) -> None:
    whole = read_whole([*pictures, *pictures], tiny.id)
    monkeypatch.setattr(vision, "BATCH", 3)
    np.testing.assert_allclose(read_whole([*pictures, *pictures], tiny.id), whole, atol=1e-4)


def test_without_a_network_the_hubs_model_says_what_it_needs(monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(
        catalogue, "_BUILT_IN", tuple(replace(e, source="nobody/none") for e in catalogue._BUILT_IN)
    )
    with pytest.raises(InputError, match="model_needs_network"):
        vision_model("dinov2-small")
