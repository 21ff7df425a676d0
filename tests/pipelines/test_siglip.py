"""SigLIP 2 in the role of CLIP, against open_clip's own calls on a folder of the published layout."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from pipelines.clip import clip_matrix
from pipelines.clip.embeddings import embed
from pipelines.clip.model import clip_model
from pipelines.serving.errors import InputError
from pipelines.text.context import look_up, read_contexts, shared_words
from pipelines.text.tokens import token_view
from tests.pipelines.tiny_siglip import BIAS, MODEL, PLACES, SCALE, build_siglip, siglip_in_catalogue

PROMPTS = ["A small cat on a bed.", "Eine Kätzin, die SCHLÄFT", "cat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module", autouse=True)
def _catalogue(folder: Path) -> Iterator[None]:
    with siglip_in_catalogue(folder):
        yield


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return clip_matrix.draw_pairs(3, seed=4)[0]


@pytest.fixture(scope="module")
def library(folder: Path, pictures: list[Image.Image]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and ids by open_clip alone."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    ids = open_clip.get_tokenizer(f"local-dir:{folder}")(PROMPTS)
    pixels = torch.stack([preprocess(p) for p in pictures])
    with torch.inference_mode():
        return model.eval().get_logits(pixels, ids)[0], ids


def test_logits_are_open_clips_and_each_pair_has_a_sigmoid_of_its_own(pictures, library) -> None:
    matrix = clip_matrix.compute_clip_matrix(pictures, PROMPTS, MODEL)
    np.testing.assert_allclose(matrix.logits_per_image, library[0].numpy(), atol=1e-4)
    assert matrix.logit_bias == pytest.approx(BIAS)
    assert clip_matrix.learned_logit_scale(MODEL) == pytest.approx(SCALE)
    np.testing.assert_allclose(matrix.pair_probability(), library[0].sigmoid().numpy(), atol=1e-5)
    alone = clip_matrix.compute_clip_matrix(pictures[:1], PROMPTS[:1], MODEL).pair_probability()
    assert alone[0, 0] == pytest.approx(matrix.pair_probability()[0, 0], abs=1e-5)
    assert 0.01 < alone[0, 0] < 0.99, "one text alone would have all by a softmax"


def test_a_model_with_a_softmax_has_no_probability_of_one_pair(pictures) -> None:
    matrix = clip_matrix.compute_clip_matrix(pictures, PROMPTS, "classroom-clip")
    assert matrix.logit_bias is None
    with pytest.raises(InputError, match="matrix_without_sigmoid"):
        matrix.pair_probability()


@pytest.mark.parametrize("prompt", [*PROMPTS, "", "cat " * 40, "a_b, C!"])
def test_ids_are_those_of_open_clips_tokenizer(prompt: str) -> None:
    found = token_view(prompt, MODEL)
    assert found.ids.tolist() == clip_model(MODEL).tokenize([prompt])[0].tolist()
    assert found.places == PLACES
    assert found.pieces[0].special != "start" and found.pieces[-1].special == "end"


def test_what_is_done_to_a_text_before_it_is_split_is_told_step_by_step() -> None:
    steps = {step.name: step.text for step in token_view("A  small_cat, ON", MODEL).cleaning}
    assert steps["punctuation"] == "A small cat ON" and steps["lower"] == "a small cat on"


def test_what_is_recorded_is_what_the_tower_does(folder: Path) -> None:
    """The library's blocks one after the other, on all places; attention from PyTorch's own call."""
    (found,) = read_contexts(PROMPTS[2:], MODEL)
    tower = clip_model(MODEL).model.text
    with torch.inference_mode():
        x = tower.token_embedding(clip_model(MODEL).tokenize(PROMPTS[2:])) + tower.positional_embedding
        states, weights = [x], []
        for block in tower.transformer.resblocks:
            y = block.ln_1(x)
            weights.append(block.attn(y, y, y, need_weights=True, average_attn_weights=False)[1])
            x = block(x)
            states.append(x)
    used = len(found.tokens)
    assert used == 2
    np.testing.assert_allclose(found.states, torch.cat(states)[:, :used].numpy(), atol=1e-5)
    np.testing.assert_allclose(found.attention, torch.cat(weights)[..., :used, :used].numpy(), atol=1e-5)
    rest = torch.cat(weights)[:, :, :used, used:].sum(-1).mean()
    assert found.padding_share == pytest.approx(float(rest), abs=1e-5) and found.padding_share > 0.3
    assert not found.causal


def test_a_causal_text_tower_gives_nothing_to_padding() -> None:
    (found,) = read_contexts(PROMPTS[:1], "classroom-clip")
    assert found.padding_share == pytest.approx(0, abs=1e-5)


def test_every_view_of_a_clip_takes_it() -> None:
    (point,) = embed(["a cat"], MODEL)
    assert np.linalg.norm(point.vector) == pytest.approx(1, abs=1e-5) and len(point.neighbours) == 8
    assert look_up("cat", MODEL).rows.shape == (2, 96)
    (a, b) = read_contexts(["a cat", "the cat"], MODEL)
    assert "cat" in [word.text for word in shared_words(a, b)]
