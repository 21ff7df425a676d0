"""The matrix tab without a browser: what it draws, what it accepts, what it answers."""

import re
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from components.clip_matrix import tab, view
from components.clip_matrix.state import MatrixState, compare, lines, name, panels, score_panel, with_images
from components.ui.language import load_texts
from components.ui.uploads import accept, open_uploads, uploaded
from pipelines.clip.clip_matrix import MOST, ClipMatrix, ZeroShot, compute_clip_matrix, draw_pairs
from pipelines.serving.errors import InputError

EN, DE = load_texts("en"), load_texts("de")
HOSTILE = "<img src=x onerror=alert(1)>\"' ${1+1} {{value}}"
MODEL = "classroom-clip"


def matrix(*rows: list[float]) -> ClipMatrix:
    return ClipMatrix(np.array(rows), np.array(rows))


def cells(html: str) -> list[str]:
    return re.findall(r'class="cm-cell[^>]*><span>([^<]*)</span>', html)


def colours(html: str) -> list[str]:
    return re.findall(r"--cell:(#[0-9a-f]{6})", html)


def test_texts_run_down_and_pictures_across():
    values = matrix([0.1, 0.2, 0.3], [0.4, 0.5, -0.6])
    html = view.matrix_html(["data:a", "data:b"], ["one", "two", "three"], values, "cosine", 0.1, EN)
    assert cells(html) == ["0.10", "0.40", "0.20", "0.50", "0.30", "−0.60"]
    assert html.count('role="columnheader"') == 2 and html.count('role="rowheader"') == 3
    assert html.count("cm-paired") == 2 == html.count(EN("clip_matrix.paired"))


def test_each_softmax_shows_its_own_sums():
    values = matrix([0.3, 0.1], [0.0, 0.2])
    over_texts = view.matrix_html(["a", "b"], ["x", "y"], values, "texts", 0.1, EN)
    over_images = view.matrix_html(["a", "b"], ["x", "y"], values, "images", 0.1, EN)
    assert cells(over_texts) == ["88%", "12%", "12%", "88%"]  # columns: 1 / (1 + e^-2) = 0.881
    assert cells(over_images) == ["95%", "5%", "27%", "73%"]  # rows: e^3 against e^0, e^1 against e^2
    assert over_texts.count("Σ 100%") == over_images.count("Σ 100%") == 2
    assert "cm-across" in over_images and "cm-across" not in over_texts


def test_a_value_keeps_its_colour_whatever_stands_beside_it():
    alone = colours(view.matrix_html(["a"], ["x"], matrix([0.3]), "cosine", 0.1, EN))
    beside = colours(view.matrix_html(["a", "b"], ["x"], matrix([0.3], [0.99]), "cosine", 0.1, EN))
    assert alone[0] == beside[0] != beside[1]
    low, high = (
        colours(view.matrix_html(["a"], ["x"], matrix([v]), "cosine", 0.1, EN))[0] for v in (-0.5, 0.5)
    )
    assert int(low[5:], 16) > int(low[1:3], 16) and int(high[5:], 16) < int(
        high[1:3], 16
    )  # blue below, orange above


def test_what_visitors_type_stays_text():
    bench = with_images(MatrixState(), draw_pairs(2, seed=1)[0])
    bench = name(compare(bench, HOSTILE, MODEL), HOSTILE, HOSTILE + "{label}", MODEL)
    drawn = panels(bench, "cosine", None, EN)
    drawn += (score_panel(bench, None, (HOSTILE, HOSTILE, HOSTILE), MODEL, EN), view.alert_html(HOSTILE))
    assert sum("onerror" in html for html in drawn) == 4
    assert not any("<img src=x" in html or 'onerror=alert(1)>"' in html for html in drawn)


def test_the_slider_marks_what_the_model_learned():
    html = view.temperature_html(0.2, view.COLDEST * 10, DE)
    place = float(re.search(r"--learned:([\d.]+)", html)[1])
    expected = 1 / np.log10(view.HOTTEST / view.COLDEST)  # one of the decades between the ends
    assert place == pytest.approx(expected, abs=1e-3)
    assert "0,200" in html and "0,050" in html and "20,0" in html


def test_lines_are_texts():
    assert lines(" a cat \n\n\r\n  \ta dog") == ("a cat", "a dog")


def test_the_bench_compares_what_the_pipeline_compares():
    images, prompts = draw_pairs(3, seed=4)
    bench = compare(with_images(MatrixState(), images), "\n".join(prompts), MODEL)
    expected = compute_clip_matrix(images, prompts, MODEL)
    np.testing.assert_allclose(bench.matrix.similarity, expected.similarity, atol=1e-6)
    assert bench.prompts == tuple(prompts) and 0 < bench.learned < 1


def test_what_cannot_be_compared_is_said_in_its_place():
    images, _ = draw_pairs(1, seed=4)
    bench = with_images(MatrixState(), images)
    for texts, expected in (("", "got 0"), ("a\n" * (MOST + 1), "got 13"), ("x" * 10_000, "10000")):
        html = panels(compare(bench, texts, MODEL), "cosine", None, EN)[1]
        assert 'role="alert"' in html and expected in html and "data-remove" in html
    empty = compare(with_images(bench, []), "a cat", MODEL)
    assert "0" in panels(empty, "texts", None, DE)[1] and empty.matrix.key == "pictures_count"
    assert "{label}" in panels(name(bench, "cat", "a cat", MODEL), "cosine", None, DE)[2]


def test_a_thirteenth_picture_is_refused_and_large_ones_are_kept_small():
    with pytest.raises(InputError, match="pictures_count"):
        with_images(MatrixState(), [Image.new("RGB", (8, 8))] * (MOST + 1))
    bench = with_images(MatrixState(), [Image.new("RGB", (1024, 512))] * MOST)
    assert max(bench.images[0].size) <= 384 and len(bench.thumbs) == MOST


def test_the_score_needs_a_picture_and_a_text():
    bench = with_images(MatrixState(), draw_pairs(1, seed=4)[0])
    assert EN("clip_matrix.score_nothing") in score_panel(MatrixState(), None, ("a cat", "", ""), MODEL, EN)
    assert 'role="alert"' in score_panel(bench, None, ("", " ", ""), MODEL, EN)
    both = score_panel(bench, None, ("a cat", "", "a dog"), MODEL, DE)
    assert (
        both.count("<li>") == 2
        and DE("clip_matrix.negative") in both
        and DE("clip_matrix.prompt_b") not in both
    )


def test_only_uploaded_files_are_opened(upload, tmp_path):
    file = upload(Image.new("RGB", (8, 8)))
    assert uploaded(file) == uploaded(file["path"]) == Path(file["path"])
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)
    link = Path(file["path"]).with_name("link.png")
    link.symlink_to(secret)
    for path in (
        str(secret),
        f"{Path(file['path']).parent}/../secret.png",
        str(link),
        "a\0b",
        "",
        None,
        7,
        ["x"],
    ):
        for form in (path, {"path": path}, {"path": path, "meta": {"_type": "gradio.FileData"}}):
            with pytest.raises(InputError, match="picture_not_uploaded"):
                open_uploads([form], MOST)


def test_the_endpoint_gives_what_the_pipeline_gives(upload):
    images, prompts = draw_pairs(3, seed=9)
    files = [upload(image, f"{i}.png") for i, image in enumerate(images)]
    answer = tab.clip_matrix(files, prompts[:2], temperature=0.05, labels=["cat", "car"], model=MODEL)
    expected = compute_clip_matrix(images, prompts[:2], MODEL)
    np.testing.assert_allclose(answer["similarity"], expected.similarity, atol=1e-6)
    np.testing.assert_allclose(answer["softmax_over_texts"], expected.softmax_over_texts(0.05), atol=1e-5)
    np.testing.assert_allclose(answer["softmax_over_images"], expected.softmax_over_images(0.05), atol=1e-5)
    assert answer["pairing"] == [list(pair) for pair in expected.pairing()]
    assert set(answer["zero_shot"]["best"]) <= {"cat", "car"} and len(answer["zero_shot"]["best"]) == 3
    assert answer["temperature"] == 0.05 and answer["logit_scale"] > 1


@pytest.mark.parametrize("temperature", [float("nan"), -1.0, 0.0])
def test_the_endpoint_refuses_a_bad_temperature(upload, temperature):
    with pytest.raises(InputError, match="temperature_range"):
        tab.clip_matrix([upload(Image.new("RGB", (8, 8)))], ["a cat"], temperature=temperature)


def test_of_several_uploads_the_broken_ones_are_named_and_the_rest_is_taken(upload, monkeypatch):
    said = []
    monkeypatch.setattr(gr, "Warning", lambda text, title: said.append(text))
    good, bad = upload(Image.new("RGB", (8, 8))), upload(b"<svg>", "<b>.png")
    assert len(accept([good["path"], bad["path"]], MOST, EN)) == 1
    assert len(said) == 1 and "&lt;b&gt;.png" in said[0] and "PNG" in said[0]
    with pytest.raises(InputError, match="picture_other_format"):
        accept([bad["path"]], MOST, EN)
    for files in ([], None, "x", [good["path"]] * (MOST + 1)):
        with pytest.raises(InputError, match="pictures_count"):
            accept(files, MOST, EN)


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_error_has_its_sentence(language):
    t = load_texts(language)
    values = {
        "received": "9",
        "limit_mb": 20,
        "limit_megapixels": 50,
        "known": "PNG",
        "most": 12,
        "number": 3,
        "lowest": 0.001,
    }
    keys = """picture_too_large picture_not_supported picture_broken picture_not_uploaded pictures_count
        texts_count text_empty text_too_long template_without_label temperature_range nothing_generated"""
    for key in keys.split():
        assert "{" not in t(f"errors.{key}", **values).replace("{label}", "")


def test_shares_of_a_single_one_are_said_to_mean_nothing():
    for language in ("en", "de"):
        t = load_texts(language)
        one_text, one_picture = matrix([0.2], [0.3]), matrix([0.2, 0.3])
        page = view.matrix_html(["", ""], ["a"], one_text, "texts", 0.01, t)
        assert t("clip_matrix.lone_texts") in page
        assert "cm-paired" not in page
        page = view.matrix_html([""], ["a", "b"], one_picture, "images", 0.01, t)
        assert t("clip_matrix.lone_images") in page
        assert "cm-paired" not in page
        for shown, texts, kind in ((one_text, ["a"], "images"), (one_picture, ["a", "b"], "texts")):
            page = view.matrix_html([""] * len(shown.similarity), texts, shown, kind, 0.01, t)
            assert "cm-lone" not in page
            assert page.count("cm-paired") == 1
        assert "cm-lone" not in view.matrix_html(["", ""], ["a"], one_text, "cosine", 0.01, t)
        assert "cm-paired" not in view.matrix_html([""], ["a"], matrix([0.2]), "cosine", 0.01, t)
        named = ZeroShot(("cat",), ("a cat",), one_text)
        assert t("clip_matrix.lone_label") in view.zero_shot_html(["", ""], named, 0.01, t)
