"""Batches of the prompt lab against single runs and against distances worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.clip.model import clip_model
from pipelines.image import image, prompt_lab, stepper
from pipelines.image.request import ImageRequest
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError

pytestmark = pytest.mark.usefixtures("tiny_models")

REQUEST = ImageRequest("A small cat on a bed.", "text", 3, 4.5, 3, "ddim", "classroom-image")
TINY = replace(REQUEST, model="tiny-sd", num_inference_steps=2)


def cosine(first: Image.Image | str, second: Image.Image | str) -> float:
    """CLIP's cosine, one at a time, in float64."""
    clip = clip_model(catalogue.default_id("clip"))
    vectors = []
    for each in (first, second):
        with torch.no_grad():
            if isinstance(each, str):
                vector = clip.model.encode_text(clip.tokenize([each]))[0]
            else:
                vector = clip.model.encode_image(clip.preprocess(each.convert("RGB"))[None])[0]
        vectors.append(vector.double().numpy())
    a, b = vectors
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def mean_change(first: Image.Image, second: Image.Image) -> float:
    pixels = zip(first.convert("RGB").getdata(), second.convert("RGB").getdata(), strict=True)
    changes = [abs(a - b) for one, other in pixels for a, b in zip(one, other, strict=True)]
    return sum(changes) / len(changes)


@pytest.fixture(scope="module")
def sizes() -> prompt_lab.Pictures:
    return prompt_lab.drawn(prompt_lab.variants_batch(REQUEST, "size"))


def test_variants_are_the_single_runs_of_their_prompts(sizes):
    assert sizes.words == ("small", "large", "")
    assert sizes.prompts == ("A small cat on a bed.", "A large cat on a bed.", "A cat on a bed.")
    for prompt, picture in zip(sizes.prompts, sizes.images, strict=True):
        single = image.run(replace(REQUEST, prompt=prompt)).image
        assert np.abs(np.asarray(picture, int) - np.asarray(single, int)).max() <= 1


def test_distances_and_scores_are_those_worked_out_one_by_one(sizes):
    for i, (prompt, picture) in enumerate(zip(sizes.prompts, sizes.images, strict=True)):
        assert sizes.clip_distance[i] == pytest.approx(1 - cosine(picture, sizes.images[0]), abs=1e-5)
        assert sizes.pixel_distance[i] == pytest.approx(mean_change(picture, sizes.images[0]), abs=1e-9)
        assert sizes.clip_scores[i] == pytest.approx(cosine(picture, prompt), abs=1e-5)
        assert sizes.reference_scores[i] == pytest.approx(cosine(picture, sizes.prompts[0]), abs=1e-5)
    assert sizes.clip_distance[1] > 1e-3, "the word changed nothing at all: the test would prove little"


def test_leaving_out_keeps_the_whole_prompt_first():
    batch = prompt_lab.left_out_batch(replace(REQUEST, prompt="A  red cat"))
    assert batch.words == ("", "A", "red", "cat")
    assert [r.prompt for r in batch.requests] == ["A  red cat", "red cat", "A  cat", "A  red"]
    assert {(r.seed, r.negative_prompt, r.guidance_scale) for r in batch.requests} == {(3, "text", 4.5)}


def test_a_seed_trial_compares_words_within_seeds_and_seeds_within_prompts():
    batch = prompt_lab.seeds_batch(replace(REQUEST, seed=2**32 - 2), "A large cat on a bed.", 3)
    assert [r.seed for r in batch.requests] == [2**32 - 2, 2**32 - 1, 0] * 2
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)) for _ in range(6)]
    trial = prompt_lab.compare_seeds(images, catalogue.default_id("clip"))
    first, second = images[:3], images[3:]
    words = list(zip(first, second, strict=True))
    seeds = [(row[a], row[b]) for row in (first, second) for a, b in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(trial.word_pixel, [mean_change(a, b) for a, b in words])
    np.testing.assert_allclose(trial.seed_pixel, [mean_change(a, b) for a, b in seeds])
    np.testing.assert_allclose(trial.word_clip, [1 - cosine(a, b) for a, b in words], atol=1e-5)
    np.testing.assert_allclose(trial.seed_clip, [1 - cosine(a, b) for a, b in seeds], atol=1e-5)


def test_negative_pairs_ask_clip_for_the_word_that_is_steered_away_from():
    batch = prompt_lab.negative_batch(replace(REQUEST, prompt="a cat"), "blur")
    asked = [(r.prompt, r.negative_prompt) for r in batch.requests]
    assert asked == [("a cat, blur", ""), ("a cat, blur", "blur"), ("a cat, no dog", ""), ("a cat", "dog")]
    for steps in image.steps_together(batch.requests):
        last = steps
    pairs = prompt_lab.negative_pairs(batch, last)
    np.testing.assert_allclose(pairs.defect_scores, [cosine(i, "blur") for i in pairs.images[:2]], atol=1e-5)
    np.testing.assert_allclose(pairs.dog_scores, [cosine(i, "a dog") for i in pairs.images[2:]], atol=1e-5)


def test_a_batch_that_was_stopped_shows_its_estimates():
    batch = prompt_lab.variants_batch(REQUEST, "size")
    stream = image.steps_together(batch.requests)
    steps = next(stream)
    stream.close()
    pictures = prompt_lab.finished(batch, steps)
    assert (pictures.done, pictures.total) == (1, 3)
    expected = image.decode(steps[1].denoised_guided, REQUEST.model)[0]
    assert np.abs(np.asarray(pictures.images[1], int) - np.asarray(expected, int)).max() <= 1
    tuple(stepper.submit(REQUEST))
    assert stepper.queue_length() == 0


def test_other_peoples_models_go_through_the_same_functions():
    pictures = prompt_lab.drawn(prompt_lab.variants_batch(TINY, "style"))
    assert len(pictures.images) == 7 and pictures.images[0].size == (64, 64)
    assert pictures.pixel_distance[0] == 0 and np.isfinite(pictures.clip_scores).all()
    steps = next(image.steps_together(prompt_lab.left_out_batch(replace(TINY, prompt="a cat")).requests))
    scored = prompt_lab.finished(prompt_lab.left_out_batch(replace(TINY, prompt="a cat")), steps, "tiny-clip")
    assert scored.clip_distance[0] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"prompt": " "}, "prompt_empty"),
        ({"prompt": "a" * 10_000}, "prompt_too_long"),
        ({"seed": -1}, "seed_range"),
        ({"model": "none"}, "model_unknown"),
    ],
)
def test_unusable_requests_are_named(changes, key):
    request = replace(REQUEST, **changes)
    for make in (
        lambda: prompt_lab.variants_batch(request, "size"),
        lambda: prompt_lab.left_out_batch(request),
        lambda: prompt_lab.seeds_batch(request, "a dog"),
    ):
        with pytest.raises(InputError, match=key):
            make()


def test_unknown_dimension_defect_and_single_words_are_named():
    with pytest.raises(InputError, match="dimension_unknown"):
        prompt_lab.variants_batch(REQUEST, "taste")
    with pytest.raises(InputError, match="word_unknown"):
        prompt_lab.negative_batch(REQUEST, "typo")
    with pytest.raises(InputError, match="words_too_few"):
        prompt_lab.left_out_batch(replace(REQUEST, prompt="🐱🐱"))
    # only what a visitor typed counts against the longest prompt
    assert prompt_lab.variants_batch(replace(REQUEST, prompt="a" * 2000), "style").requests
    with pytest.raises(InputError, match="prompt_too_long"):
        prompt_lab.variants_batch(replace(REQUEST, prompt="a" * 2001), "style")
