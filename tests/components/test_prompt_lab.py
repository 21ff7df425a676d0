"""The prompt lab's views: what is marked, what is escaped, what is said without a measurement."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape
from PIL import Image

from components.prompt_lab.builder import builder_html, clicked, marked
from components.prompt_lab.leave_one_out import without_run
from components.prompt_lab.negative import negative_run
from components.prompt_lab.negative_view import measured_html
from components.prompt_lab.seeds import seeds_run
from components.prompt_lab.seeds_view import distribution_figure, distribution_text
from components.prompt_lab.tab import leave_one_out, prompt_variants, variants_run
from components.prompt_lab.view import score_drop, variants_view, without_figure, without_view, word_colours
from components.runs.slot import RunSlot
from components.ui.colors import NEUTRAL, token_colours
from components.ui.language import load_texts
from pipelines.image.image import read_parameters
from pipelines.image.prompt_lab import Pictures, SeedTrial
from pipelines.image.prompt_words import DEFECTS, DIMENSIONS, change_between, variants, words_of
from pipelines.image.request import ImageRequest
from pipelines.serving import catalogue
from pipelines.serving import measured as figures
from pipelines.serving.errors import InputError
from pipelines.world.scene import NOUNS

EN, DE = load_texts("en"), load_texts("de")
HOSTILE = '<img src=x onerror="alert(1)"> cat'
CLIP = "classroom-clip"


def request(**changes) -> ImageRequest:
    values = {"prompt": "A small cat on a bed.", "num_inference_steps": 2, "model": "classroom-image"}
    return ImageRequest(**(values | changes)).validated()


def pictures_of(words: tuple[str, ...], distances: list[float], scores: list[float]) -> Pictures:
    """Pictures with made-up numbers; what draws them takes any."""
    images = tuple(Image.new("RGB", (8, 8), (20 * i, 0, 0)) for i in range(len(words)))
    numbers = np.array(distances)
    return Pictures(
        words, tuple(f"a {word}" for word in words), images, numbers, 100 * numbers, np.array(scores),
        np.array(scores), 2, 2,
    )  # fmt: skip


def pressed(page: str) -> set[tuple[str, str]]:
    return set(re.findall(r'data-dimension="([^"]*)" data-value="([^"]*)" aria-pressed="true"', page))


def test_the_builder_offers_every_word_of_the_world_and_presses_those_of_the_prompt():
    page = builder_html("A small cat on a bed.", "blurry", "size", None, EN)
    offered = {(d, v) for d in DIMENSIONS for v in words_of(d)} | {("negative", v) for v in DEFECTS}
    found = set(re.findall(r'data-dimension="([^"]*)" data-value="([^"]*)"', page))
    assert found == offered
    assert pressed(page) == {
        ("content", "cat"), ("content", "bed"), ("size", "small"), ("relation", "on"), ("negative", "blur"),
    }  # fmt: skip


def test_german_readers_see_what_each_english_word_means():
    page = builder_html("a cat", "", "size", None, DE)
    for dimension in DIMENSIONS:
        for value, word in words_of(dimension).items():
            meaning = DE(f"prompt_lab.meaning.{value}")
            assert meaning == word or f"<small>{escape(meaning)}</small>" in page
    assert "<small>cat</small>" not in builder_html("a cat", "", "size", None, EN)


@pytest.mark.parametrize(
    ("dimension", "value", "after"),
    [
        ("size", "large", ("A large cat on a bed.", "")),
        ("size", "small", ("A cat on a bed.", "")),
        ("negative", "text", ("A small cat on a bed.", "text")),
    ],
)
def test_a_click_puts_a_word_in_or_takes_it_out(dimension, value, after):
    assert clicked("A small cat on a bed.", "", dimension, value) == after


def test_the_builder_shows_the_last_change_until_the_prompt_is_another():
    changed = ("A small cat.", "A large cat.")
    page = builder_html("A large cat.", "", "size", changed, EN)
    assert "A <del>small</del> <ins>large</ins> cat." in page
    assert "<del>" not in builder_html("A large dog.", "", "size", changed, EN)


def test_the_grid_names_the_words_that_it_left_out():
    drawn = [value for value, _ in variants("a cat on a bed", "content")]
    shown = pictures_of(tuple(value or "" for value in drawn), [0.1] * len(drawn), [0.5] * len(drawn))
    page = variants_view(request(prompt="a cat on a bed"), "content", shown, EN)
    rest = re.search(
        r'class="pl-rest">Not drawn in this batch: <bdi translate="no">(.*)</bdi> \((\d+) more\)', page
    )
    assert rest is not None
    words = rest[1].split(", ")
    assert len(words) == int(rest[2]) == len(NOUNS) - len(drawn) - 1  # the bed is in the prompt
    assert not {"cat", "bed", *drawn} & set(words)
    sizes = pictures_of(("", "small", "large"), [0, 0.5, 0.2], [0.5, 0.4, 0.1])
    assert "pl-rest" not in variants_view(request(prompt="a cat"), "size", sizes, EN)


def test_what_visitors_type_stays_text():
    page = builder_html(HOSTILE, HOSTILE, "size", (HOSTILE, HOSTILE + ", warm"), EN)
    page += marked(change_between(HOSTILE, HOSTILE + " <b>"))
    shown = pictures_of(("", "<b>", "cat"), [0, 0.5, 0.2], [0.5, 0.4, 0.1])
    shown = replace(shown, prompts=(HOSTILE, HOSTILE, HOSTILE))
    page += without_view(request(prompt=HOSTILE), shown, EN) + variants_view(
        request(prompt=HOSTILE), "size", shown, EN
    )
    assert "<img src=x" not in page and "<b><b>" not in page
    figure = without_figure(shown, CLIP, EN)
    assert "<b>" not in json.dumps(figure.to_plotly_json(), default=str)


def test_the_word_that_mattered_most_is_named_by_both_measures():
    shown = pictures_of(("", "small", "cat", "bed."), [0, 0.1, 0.7, 0.2], [0.5, 0.45, 0.4, 0.05])
    assert score_drop(shown) == pytest.approx([0.05, 0.1, 0.45])
    page = without_view(request(), shown, EN)
    words = {
        "first": '<b translate="no">cat</b>',
        "second": '<b translate="no">bed</b>',
        "distance": "0.70",
        "drop": "0.45",
    }
    assert EN("prompt_lab.verdict_differ", **words) in page
    agree = replace(shown, reference_scores=np.array([0.5, 0.45, 0.1, 0.4]))
    assert EN("prompt_lab.verdict_agree", word=words["first"], distance="0.70", drop="0.40") in without_view(
        request(), agree, EN
    )


def test_bars_stand_in_reading_order_in_the_colours_of_their_tokens():
    words = ("A", "dimm", "cat", "on", "a", "bed.")
    prompt = " ".join(words)
    shown = replace(
        pictures_of(("", *words), [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.5] * 7), prompts=(prompt,) * 7
    )
    figure = without_figure(shown, CLIP, EN)
    assert list(figure.data[0].x) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert list(figure.layout.yaxis.ticktext) == ["A", "dimm", "cat", "on", "a", "bed"]
    assert figure.layout.yaxis.autorange == "reversed"
    colours = word_colours(prompt, words, CLIP)
    assert list(figure.data[0].marker.color) == colours
    whole = token_colours(["a", "di", "mm", "cat", "on", "a", "bed", "."])
    assert colours == [whole[0], whole[1], whole[3], whole[4], whole[5], whole[6]]
    assert NEUTRAL not in colours


def test_words_past_the_twelfth_are_counted():
    prompt = "a " * 20
    shown = pictures_of(("", *"a" * 12), [0.0] * 13, [0.1] * 13)
    page = without_view(request(prompt=prompt), shown, EN)
    assert EN("prompt_lab.words_cut", shown=12, count=20) in page


def test_a_run_shows_its_pictures_as_they_come_and_keeps_the_last_view():
    first, *between, last = variants_run(request(), "size", RunSlot(), None, EN)
    assert first[0].count("pl-hole") == 3 and "data-stop" in first[0]
    assert between and between[0][0].count("<img") == 3
    assert last[0] == last[1] and last[0].count("<img") == 3 and "data-stop" not in last[0]
    assert last[0].count("<button") == 3, "every picture can be taken"


@pytest.mark.parametrize(
    "start",
    [
        lambda slot: variants_run(request(num_inference_steps=60), "size", slot, None, EN),
        lambda slot: without_run(request(num_inference_steps=60), slot, "before", EN),
        lambda slot: negative_run(request(num_inference_steps=60), "text", slot, "before", EN),
        lambda slot: seeds_run(request(num_inference_steps=60), "a dog", slot, "before", ("all", "clip"), EN),
    ],
)
def test_stop_ends_each_kind_of_run_and_shows_how_far_it_came(start):
    slot = RunSlot()
    outputs = start(slot)
    next(outputs), next(outputs)
    slot.stop()
    page = list(outputs)[-1][0]
    early = EN("prompt_lab.stopped_early"), EN("prompt_lab.stopped", step="#", total=60).split("#")[0]
    assert any(escape(text) in page for text in early)
    assert "data-stop" not in page
    assert not slot.busy


def test_a_run_overtaken_by_its_own_part_falls_silent_and_by_another_part_shows_how_far_it_came():
    slot = RunSlot()
    silent = variants_run(request(num_inference_steps=60), "size", slot, "before", EN)
    next(silent), next(silent)
    again = variants_run(request(), "size", slot, "before", EN)
    next(again)
    assert all("data-stop" in page for page, _ in silent)
    list(again)
    shown = variants_run(request(num_inference_steps=60), "size", slot, "before", EN)
    next(shown), next(shown)
    slot.begin("without")
    assert "data-stop" not in list(shown)[-1][0]


def test_a_run_that_fails_brings_back_what_was_there():
    outputs = variants_run(
        replace(request(), model="clip-is-no-image-model"), "size", RunSlot(), "before", EN
    )
    with pytest.raises(InputError, match="model_unknown"):
        list(outputs)


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Distances of the shipped weights, made up."""
    monkeypatch.setattr(figures, "EVALUATION", tmp_path)
    rng = np.random.default_rng(0)
    kinds = {k: {"clip": rng.random(8).tolist(), "pixel": (90 * rng.random(8)).tolist()}
             for k in figures.WORD_KINDS}  # fmt: skip
    content = {
        "weights": {n: h for n, h in figures.weight_hashes().items() if not n.startswith("scorers")},
        "clip_model": CLIP, "image_model": "classroom-image", "prompts": 4, "seeds": 2, "word": kinds,
        "seed": {"clip": rng.random(10).tolist(), "pixel": (90 * rng.random(10)).tolist()},
    }  # fmt: skip
    (tmp_path / "evaluation_words.json").write_text(json.dumps(content))
    row = {"id": "image.word_vs_seed", "value": 0.625, "must": None, "n": 48, "ci95": [0.5, 0.75], "ok": True}
    rows = [row, row | {"id": "image.defects_invited", "value": 0.4, "n": 200},
            row | {"id": "image.negative_ratio", "value": 0.25, "n": 200}]  # fmt: skip
    evaluation = {"weights": figures.weight_hashes(), "rows": rows}
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    return content


def test_both_distributions_sum_to_one_and_the_visitors_dots_stand_beneath(measured):
    trial = SeedTrial((), np.array([0.2] * 4), np.array([20.0] * 4), np.full(12, 0.4), np.full(12, 40.0))
    for measure, dot in (("clip", 0.2), ("pixel", 20.0)):
        figure = distribution_figure("all", measure, trial, EN)
        words, seeds, own_words, own_seeds = figure.data
        assert sum(words.y) == pytest.approx(1) and sum(seeds.y) == pytest.approx(1)
        assert "48" in words.name and "10" in seeds.name
        assert list(own_words.x) == [dot] * 4 and len(own_seeds.x) == 12
    medians = [shape.x0 for shape in distribution_figure("style", "clip", None, EN).layout.shapes]
    assert medians == pytest.approx(
        [np.median(measured["word"]["style"]["clip"]), np.median(measured["seed"]["clip"])]
    )


def test_figures_come_with_sample_size_and_interval(measured):
    text = distribution_text("all", "clip", EN)
    assert "63%" in text or "62%" in text
    assert "48" in text and "50–75%" in text and "4 prompts" in text
    median = np.median(measured["seed"]["pixel"])
    share = np.mean(np.array(measured["word"]["place"]["pixel"]) > median)
    assert f"{100 * share:.0f}%" in distribution_text("place", "pixel", EN)
    negative = measured_html(EN)
    assert "40%" in negative and "200" in negative and "0.25" in negative


def test_figures_of_other_weights_are_not_shown_as_true(measured, tmp_path):
    for name in ("evaluation_words.json", "evaluation.json"):
        content = json.loads((tmp_path / name).read_text())
        content["weights"]["image/unet/diffusion_pytorch_model.safetensors"] = "other"
        (tmp_path / name).write_text(json.dumps(content))
    text = distribution_text("all", "clip", EN)
    assert escape(EN("prompt_lab.words_outdated")) in text and "make evaluate" in text
    assert distribution_figure("all", "clip", None, EN) is None
    assert escape(EN("prompt_lab.negative_missing")) in measured_html(EN)
    (tmp_path / "evaluation_words.json").unlink()
    assert escape(EN("prompt_lab.words_missing")) in distribution_text("all", "clip", EN)


def test_endpoints_give_files_that_carry_their_prompts_and_numbers_in_the_same_order():
    files, numbers = prompt_variants("a red car", "colour", num_inference_steps=1)
    assert len(files) == len(numbers["words"]) == len(numbers["clip_distances"]) == 9
    assert numbers["words"][0] == "red" and numbers["words"][-1] == ""
    assert numbers["clip_distances"][0] == pytest.approx(0, abs=1e-5)
    for file, prompt in zip(files, numbers["prompts"], strict=True):
        assert read_parameters(Path(file.path).read_bytes())["prompt"] == prompt
    files, numbers = leave_one_out("a red car", num_inference_steps=1)
    assert numbers["words"] == ["a", "red", "car"] and len(files) == 4
    assert len(numbers["score_drops"]) == len(numbers["pixel_distances"]) == 3
    json.dumps(numbers)


def test_the_endpoints_name_what_they_cannot_use():
    for call, key in (
        (lambda: prompt_variants("", "size"), "prompt_empty"),
        (lambda: prompt_variants("a cat", "taste"), "dimension_unknown"),
        (lambda: leave_one_out("cat"), "words_too_few"),
        (lambda: leave_one_out("a " * 5000), "prompt_too_long"),
        (lambda: leave_one_out("a cat", model="x"), "model_unknown"),
    ):
        with pytest.raises(InputError, match=key):
            call()
    assert catalogue.default_id("clip")
