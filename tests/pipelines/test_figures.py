"""Measured figures are shown only as long as the weights they speak of are the shipped ones."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipelines.serving import catalogue
from pipelines.serving import measured as figures


@pytest.fixture
def evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An evaluation of three small files of weights."""
    weights = tmp_path / "models"
    for name in ("clip/a", "image/unet/b", "scorers/c"):
        path = weights / f"{name}.safetensors"
        path.parent.mkdir(parents=True)
        path.write_bytes(name.encode())
    monkeypatch.setattr(catalogue, "ASSETS", weights)
    monkeypatch.setattr(figures, "EVALUATION", tmp_path)
    row = {"id": "image.x", "value": 0.25, "must": None, "n": 40, "ci95": [0.1, 0.4], "ok": True}
    clip_row = row | {"id": "clip.y", "judge": ["size"]}
    hashes = figures.weight_hashes()
    (tmp_path / "evaluation.json").write_text(json.dumps({"weights": hashes, "rows": [row, clip_row]}))
    words = {
        "weights": hashes, "clip_model": "c", "image_model": "i", "prompts": 2, "seeds": 2,
        "word": {"content": {"clip": [0.5, 0.25], "pixel": [9.5, 1]}},
        "seed": {"clip": [0.5], "pixel": [2]},
    }  # fmt: skip
    (tmp_path / "evaluation_words.json").write_text(json.dumps(words))
    return tmp_path


def test_hashes_are_those_of_the_files(evaluation):
    assert figures.weight_hashes() == {
        f"{name}.safetensors": hashlib.sha256(name.encode()).hexdigest()
        for name in ("clip/a", "image/unet/b", "scorers/c")
    }


def test_the_text_tower_has_a_hash_of_its_own(evaluation):
    path = evaluation / "models" / "clip" / "open_clip_model.safetensors"

    def hashes(**tensors: float) -> dict[str, str]:
        names = ["token_embedding.weight", "positional_embedding", "transformer.a", "ln_final.weight",
                 "visual.transformer.a", "text_projection", "logit_scale"]  # fmt: skip
        values = {name: np.float32([tensors.get(name, 0)]) for name in names}
        save_file(values, path, metadata={"format": "pt"})
        figures._hash.cache_clear(), figures._hash_of_text_tower.cache_clear()
        return figures.weight_hashes()

    before = hashes()
    for name in ("token_embedding.weight", "positional_embedding", "transformer.a", "ln_final.weight"):
        assert hashes(**{name: 1})[figures.TEXT_TOWER] != before[figures.TEXT_TOWER]
    for name in ("visual.transformer.a", "text_projection", "logit_scale"):
        after = hashes(**{name: 1})
        assert after[figures.TEXT_TOWER] == before[figures.TEXT_TOWER]
        assert after["clip/open_clip_model.safetensors"] != before["clip/open_clip_model.safetensors"]


def test_a_figure_is_read_with_its_sample_size_and_interval(evaluation):
    assert figures.figure("image.x") == figures.Figure("image.x", 0.25, None, 40, (0.1, 0.4), True)
    assert figures.figure("clip.y").judge == ("size",)
    assert figures.figure("image.never_measured") is None


def test_other_weights_take_away_the_figures_that_speak_of_them_and_no_others(evaluation):
    path = evaluation / "models" / "image" / "unet" / "b.safetensors"
    path.write_bytes(b"trained on")
    assert figures.figure("image.x") is None
    assert figures.figure("clip.y") is not None
    assert figures.word_distances().true_of_shipped is False
    path.write_bytes(b"image/unet/b")
    assert figures.figure("image.x") is not None


def test_a_file_of_weights_more_counts_as_other_weights(evaluation):
    (evaluation / "models" / "image" / "new.safetensors").write_bytes(b"new")
    assert figures.figure("image.x") is None


def test_word_distances_speak_of_clip_and_image_weights_alone(evaluation):
    (evaluation / "models" / "scorers" / "c.safetensors").write_bytes(b"other judge")
    found = figures.word_distances()
    assert found.true_of_shipped
    assert list(found.word_clip) == ["content"]
    np.testing.assert_array_equal(found.word_pixel["content"], [9.5, 1])
    assert (found.prompts, found.seeds, found.clip_model) == (2, 2, "c")


def test_without_an_evaluation_there_are_no_figures(evaluation):
    for name in ("evaluation.json", "evaluation_words.json"):
        (evaluation / name).unlink()
    assert figures.figure("image.x") is None
    assert figures.word_distances() is None
