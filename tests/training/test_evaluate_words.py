"""One word or another seed: which pictures are compared, and how often a word counts more."""

import json

import numpy as np
import pytest
from PIL import Image

from pipelines.clip.model import encode_images
from pipelines.serving import measured
from pipelines.serving.measured import WORD_KINDS
from pipelines.world.captions import parse
from training.drawing import Sampling, drawn_with
from training.evaluate_words import Distances, WordTrial, evaluate_words, measure, runs, share_beyond, trials


def facts_that_differ(before: str, after: str) -> set[str]:
    a, b = parse(before), parse(after)
    differ = {name for name in vars(a) if name != "things" and getattr(a, name) != getattr(b, name)}
    for one, other in zip(a.things, b.things, strict=True):
        differ |= {name for name in vars(one) if getattr(one, name) != getattr(other, name)}
    return differ


def test_the_prompts_are_the_same_in_every_run_and_differ_in_the_one_kind_of_word():
    found = trials()
    assert found == trials()
    assert len({trial.prompt for trial in found}) == 60
    names = {"content": {"noun"}, "property": {"size", "colour"}}
    for trial in found:
        assert list(trial.changed) == list(WORD_KINDS)
        for kind, text in trial.changed.items():
            differ = facts_that_differ(trial.prompt, text)
            assert len(differ) == 1 and differ <= names.get(kind, {kind}), (trial.prompt, text)


def test_versions_of_a_prompt_share_their_seeds_and_prompts_share_none():
    found = trials(3)
    drawn = runs(found, 2)
    assert len(drawn) == 3 * 7 * 2
    by_prompt = [drawn[i * 14 : (i + 1) * 14] for i in range(3)]
    for trial, pairs in zip(found, by_prompt, strict=True):
        texts = [trial.prompt, *trial.changed.values()]
        assert [text for text, _ in pairs] == [text for text in texts for _ in range(2)]
        assert [seed for _, seed in pairs] == [pairs[0][1], pairs[1][1]] * 7
    assert len({seed for _, seed in drawn}) == 6


def test_distances_are_between_the_right_pictures():
    rng = np.random.default_rng(1)
    count, versions, seeds = 2, 1 + len(WORD_KINDS), 2
    images = [
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)) for _ in range(count * versions * seeds)
    ]
    found = measure([WordTrial("", {})] * count, images, seeds)
    vectors = encode_images(images, "classroom-clip")

    def of(prompt: int, version: int, seed: int) -> int:
        return (prompt * versions + version) * seeds + seed

    for prompt in range(count):
        for version in range(versions):
            a, b = of(prompt, version, 0), of(prompt, version, 1)
            expected = 1 - float(vectors[a] @ vectors[b])
            assert found["clip"].seed[version, prompt, 0] == pytest.approx(expected, abs=1e-5)
            pixels = np.abs(np.asarray(images[a], float) - np.asarray(images[b], float)).mean()
            assert found["pixel"].seed[version, prompt, 0] == pytest.approx(pixels)
            for seed in range(seeds if version else 0):
                a, b = of(prompt, version, seed), of(prompt, 0, seed)
                expected = 1 - float(vectors[a] @ vectors[b])
                assert found["clip"].word[version - 1, prompt, seed] == pytest.approx(expected, abs=1e-5)


def test_the_share_counts_what_lies_beyond_the_median_and_prompts_are_resampled():
    word = np.array([[[0.1, 0.3], [0.5, 0.7]], [[0.0, 0.0], [0.0, 0.9]]])
    seed = np.full((3, 2, 1), 0.4)
    share, (low, high) = share_beyond(Distances(word, seed), [0, 1])
    assert share == pytest.approx(3 / 8)
    # with two prompts, a resample is one of them twice or both: shares 0, 3/8, 3/4
    assert (low, high) == (0.0, 0.75)
    assert share_beyond(Distances(word, seed), [1])[0] == pytest.approx(1 / 4)


def test_the_file_holds_every_distance_and_the_weights_it_speaks_of(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "EVALUATION", tmp_path)
    with drawn_with(Sampling(steps=1)):
        rows = {row.id: row for row in evaluate_words(prompts=2)}
    assert list(rows) == ["image.word_vs_seed", *(f"image.word_{kind}" for kind in WORD_KINDS)]
    assert rows["image.word_vs_seed"].n == 2 * 6 * 2 and rows["image.word_style"].n == 4
    assert all(row.must is None and row.ok for row in rows.values())
    found = json.loads((tmp_path / "evaluation_words.json").read_text())
    assert {len(values) for d in found["word"].values() for values in d.values()} == {4}
    assert {len(values) for values in found["seed"].values()} == {2 * 7}
    assert {name.split("/")[0] for name in found["weights"]} == {"clip", "image"}
