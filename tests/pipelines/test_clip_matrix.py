"""The matrix against open_clip itself, arithmetic by hand, and every permutation."""

import json
from itertools import permutations
from math import exp
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pipelines.clip.clip_matrix import (
    LONGEST_TEXT,
    MOST,
    ClipMatrix,
    classify,
    compute_clip_matrix,
    draw_pairs,
    first_pairs,
    learned_logit_scale,
    learned_temperature,
    pair_set,
)
from pipelines.serving.catalogue import ASSETS
from pipelines.serving.errors import InputError
from pipelines.world.captions import parse

MODEL = "classroom-clip"


def of(similarity) -> ClipMatrix:
    array = np.array(similarity, float)
    return ClipMatrix(array, 10 * array)


def test_equals_the_models_own_forward():
    """Built here from the files alone: open_clip's class, its tokenizer, the pixels as its config says."""
    config = json.loads((ASSETS / "clip" / "open_clip_config.json").read_text())
    reference = open_clip.CLIP(**config["model_cfg"]).eval()
    reference.load_state_dict(load_file(ASSETS / "clip" / "open_clip_model.safetensors"))
    images, prompts = draw_pairs(4, seed=11)
    prompts = prompts[:3]
    side = config["model_cfg"]["vision_cfg"]["image_size"]
    mean, std = (np.array(config["preprocess_cfg"][k], np.float32) for k in ("mean", "std"))
    small = [np.asarray(im.resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255 for im in images]
    pixels = torch.from_numpy(np.stack([(s - mean) / std for s in small])).permute(0, 3, 1, 2)
    with torch.no_grad():
        logits, logits_per_text = reference.get_logits(pixels, open_clip.tokenize(prompts))
    matrix = compute_clip_matrix(images, prompts, MODEL)
    assert matrix.logits_per_image.shape == (4, 3)
    # Pillow and torchvision round the resized pixels alike only to the last bit or two.
    np.testing.assert_allclose(matrix.logits_per_image, logits.numpy(), atol=2e-2)
    np.testing.assert_allclose(matrix.logits_per_image.T, logits_per_text.numpy(), atol=2e-2)
    assert learned_logit_scale(MODEL) == pytest.approx(float(reference.logit_scale.exp()), rel=1e-6)
    np.testing.assert_allclose(
        matrix.similarity * learned_logit_scale(MODEL), matrix.logits_per_image, rtol=1e-6
    )
    assert np.abs(matrix.similarity).max() <= 1


def test_softmax_at_the_learned_temperature_is_the_softmax_of_the_logits():
    images, prompts = draw_pairs(3, seed=5)
    matrix = compute_clip_matrix(images, prompts, MODEL)
    expected = torch.from_numpy(matrix.logits_per_image).softmax(1).numpy()
    np.testing.assert_allclose(matrix.softmax_over_texts(learned_temperature(MODEL)), expected, rtol=1e-4)


def test_softmax_both_ways_by_hand():
    matrix = of([[0.5, 0.1, 0.3], [0.2, 0.4, -0.1]])
    tau = 0.2
    over_texts, over_images = matrix.softmax_over_texts(tau), matrix.softmax_over_images(tau)
    row = [exp(2.5), exp(0.5), exp(1.5)]
    assert over_texts[0] == pytest.approx([value / sum(row) for value in row])
    assert over_images[:, 1] == pytest.approx([exp(0.5) / (exp(0.5) + exp(2)), exp(2) / (exp(0.5) + exp(2))])
    assert over_texts.sum(1) == pytest.approx([1, 1]) and over_images.sum(0) == pytest.approx([1, 1, 1])


def test_cold_takes_all_and_hot_makes_alike():
    matrix = of([[0.9, 0.8], [-1.0, 1.0]])
    assert (
        matrix.softmax_over_texts(0.001)[0, 0] == pytest.approx(1)
        and np.isfinite(matrix.softmax_over_texts(0.001)).all()
    )
    assert matrix.softmax_over_texts(1e6) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf"), 0.0009])
def test_a_temperature_that_is_none_is_refused(temperature):
    for function in (of([[1.0]]).softmax_over_texts, of([[1.0]]).softmax_over_images):
        with pytest.raises(InputError, match="temperature_range"):
            function(temperature)


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 6), (6, 4)])
def test_no_other_pairing_is_better(shape):
    rng = np.random.default_rng(sum(shape))
    for _ in range(20):
        similarity = rng.uniform(-1, 1, shape)
        pairs = of(similarity).pairing()
        short, long = sorted(shape)
        wide = similarity if shape[0] <= shape[1] else similarity.T
        best = max(sum(wide[i, j] for i, j in enumerate(order)) for order in permutations(range(long), short))
        assert sum(similarity[pair] for pair in pairs) == pytest.approx(best)
        assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs) == short


def test_the_pairing_may_give_up_the_single_best_value():
    """Greedy would take 0.9 and be left with 0.0; together 0.8 + 0.7 is more."""
    assert of([[0.9, 0.8], [0.7, 0.0]]).pairing() == ((0, 1), (1, 0))


def test_the_first_five_find_their_captions():
    images, prompts = first_pairs()
    assert len(images) == len(prompts) == 5
    assert compute_clip_matrix(images, prompts, MODEL).pairing() == tuple((i, i) for i in range(5))


def test_drawn_pairs_are_as_many_as_asked_different_and_repeatable():
    images, prompts = draw_pairs(MOST, seed=7)
    again, prompts_again = draw_pairs(MOST, seed=7)
    assert len(images) == len(set(prompts)) == MOST and prompts == prompts_again
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(images, again, strict=True))
    assert all(parse(prompt).things for prompt in prompts)
    assert draw_pairs(2, seed=8)[1] != prompts[:2]


def test_classification_reads_the_template_and_favours_the_text_it_matches():
    images, _ = draw_pairs(3, seed=2)
    labels = ["dog", "red car", "boat"]
    result = classify(images, labels, "a cartoon of a {label}, {label}!", MODEL)
    assert result.texts[1] == "a cartoon of a red car, red car!"
    expected = compute_clip_matrix(images, result.texts, MODEL)
    np.testing.assert_array_equal(result.matrix.similarity, expected.similarity)
    assert result.probabilities(0.05).sum(1) == pytest.approx([1, 1, 1])
    assert result.best == tuple(labels[i] for i in result.probabilities(0.05).argmax(1))


def test_a_template_cannot_reach_into_objects():
    images, _ = draw_pairs(1, seed=2)
    result = classify(images, ["cat"], "{label} {label.__class__} {0} {", MODEL)
    assert result.texts == ("cat {label.__class__} {0} {",)


@pytest.mark.parametrize(
    "pictures, prompts, key",
    [
        (0, ["a cat"], "pictures_count"),
        (MOST + 1, ["a cat"], "pictures_count"),
        (1, [], "texts_count"),
        (1, ["a cat"] * (MOST + 1), "texts_count"),
        (1, ["a cat", " \n "], "text_empty"),
        (1, ["a" * (LONGEST_TEXT + 1)], "text_too_long"),
        (1, ["half a \ud83d smile"], "text_broken"),
    ],
)
def test_what_cannot_be_compared_is_named(pictures, prompts, key):
    with pytest.raises(InputError) as caught:
        compute_clip_matrix([Image.new("RGB", (8, 8))] * pictures, prompts, MODEL)
    assert caught.value.key == key
    if key.endswith("_count"):
        assert caught.value.values["received"] in (0, MOST + 1)


def test_a_template_without_its_place_and_an_unknown_model_are_named():
    image = Image.new("RGB", (8, 8))
    with pytest.raises(InputError, match="template_without_label"):
        classify([image], ["cat"], "a label", MODEL)
    with pytest.raises(InputError, match="model_unknown"):
        compute_clip_matrix([image], ["a cat"], "classroom-image")


def test_odd_texts_and_shapes_get_numbers():
    images = [Image.new("RGB", (1, 300)), Image.new("RGB", (900, 7), "red"), Image.new("L", (5, 5))]
    prompts = ["😀👩🏽‍🚀", "x" * LONGEST_TEXT, "<script>alert(1)</script>", "\u202eabc\x00", "„Straße“ ß"]
    matrix = compute_clip_matrix(images, prompts, MODEL)
    assert matrix.similarity.shape == (3, 5) and np.isfinite(matrix.similarity).all()


def named(name: str) -> list[str]:
    labels = (
        "cat",
        "dog",
        "rabbit",
        "bird",
        "fish",
        "house",
        "tree",
        "car",
        "boat",
        "bed",
        "flower",
        "guitar",
    )
    return list(classify(pair_set(name)[0], labels, "a {label}", "classroom-clip").best)


def test_the_first_set_is_paired_and_named_right() -> None:
    assert compute_clip_matrix(*pair_set("first"), "classroom-clip").pairing() == tuple(
        (i, i) for i in range(5)
    )
    assert named("first") == ["cat", "dog", "car", "flower", "boat"]


def test_the_sets_that_fail_do_fail() -> None:
    true, false = compute_clip_matrix(*pair_set("relation"), "classroom-clip").similarity[0]
    assert false >= true, "the text that says it the wrong way round"
    assert named("misnamed") == ["fish"], "a bird"


def test_no_model_is_loaded_beside_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an engine elsewhere, the page's own process holds none."""
    answers = {
        "encode_images": np.eye(1, 4), "encode_texts": np.eye(1, 4),
        "learned_logit_scale": 10.0, "learned_logit_bias": None,
    }  # fmt: skip
    stand_in = SimpleNamespace(call=lambda work, args, kwargs: answers[work.function.__name__])
    monkeypatch.setattr("pipelines.serving.engine.engine", lambda: stand_in)
    monkeypatch.setattr("pipelines.clip.model.load", lambda *_: pytest.fail("a model was loaded"))
    found = compute_clip_matrix([Image.new("RGB", (8, 8))], ["a cat"], "classroom-clip")
    assert found.logits_per_image.tolist() == [[10.0]]
