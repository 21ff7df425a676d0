"""The matrix as a program calls it and as a visitor sees it."""

import re
import struct
import zlib

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import expect

from components.ui.language import load_texts
from pipelines.clip.clip_matrix import compute_clip_matrix, draw_pairs, first_pairs

PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def huge_png() -> bytes:
    """30,000 x 30,000 px by its header; a decoder would find the first row only."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(3751))) + chunk(b"IEND", b"")


@pytest.fixture
def files(tmp_path):
    """Three scenes as files, their captions, and hostile files by name."""
    images, prompts = draw_pairs(3, seed=21)
    good = []
    for i, image in enumerate(images):
        good.append(tmp_path / f"scene{i}.png")
        image.save(good[-1])
    hostile = {
        "picture.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "text.png": b"only words",
        "cut.png": good[0].read_bytes()[:900],
        "huge.png": huge_png(),
    }
    for name, data in hostile.items():
        (tmp_path / name).write_bytes(data)
    return [str(path) for path in good], images, prompts, {name: str(tmp_path / name) for name in hostile}


def test_a_program_gets_the_matrix(client, files):
    paths, images, prompts, _ = files
    answer = client.predict(
        images=[handle_file(path) for path in paths],
        prompts=prompts,
        temperature=0.1,
        labels=["cat", "tree"],
        api_name="/clip_matrix",
    )
    expected = compute_clip_matrix(images, prompts, "classroom-clip")
    np.testing.assert_allclose(answer["similarity"], expected.similarity, atol=1e-5)
    np.testing.assert_allclose(answer["softmax_over_images"], expected.softmax_over_images(0.1), atol=1e-4)
    assert answer["zero_shot"]["labels"] == ["cat", "tree"]


def test_a_program_hears_in_plain_words_what_is_wrong(client, files):
    paths, _, prompts, hostile = files
    good = handle_file(paths[0])
    bad = [
        ([], prompts, {}, "list of 1 to 12 entries"),
        ([good] * 13, prompts, {}, "13"),
        ([good], [], {}, "1 to 12 entries"),
        ([good], ["cat"] * 13, {}, "13"),
        ([good], ["x" * 10_000], {}, "up to 2000 characters"),
        ([good], prompts, {"temperature": -1}, "temperature"),
        ([good], prompts, {"template": "no place"}, "{label}"),
        ([good], prompts, {"model": "../../etc"}, "classroom-clip"),
        ([handle_file(hostile["picture.svg"])], prompts, {}, "PNG"),
        ([handle_file(hostile["text.png"])], prompts, {}, "PNG"),
        ([handle_file(hostile["cut.png"])], prompts, {}, "complete"),
        ([handle_file(hostile["huge.png"])], prompts, {}, "900 MP"),
    ]
    for images, texts, options, said in bad:
        with pytest.raises(AppError) as caught:
            client.predict(images=images, prompts=texts, **options, api_name="/clip_matrix")
        assert said in str(caught.value) and "Traceback" not in str(caught.value), said
    assert client.predict(images=[good], prompts=prompts, api_name="/clip_matrix")["similarity"]


@pytest.mark.parametrize("disguise", ["text", "look-alike", "file"])
def test_a_program_cannot_read_files_of_the_server(client, server, files, disguise):
    """A picture on the server's disk that nobody uploaded; this test runs on the same machine."""
    path = files[0][0]
    checked = {"path": path, "meta": {"_type": "gradio.FileData"}}
    form = {"text": path, "look-alike": {"path": path}, "file": checked}
    if disguise == "file":  # the client would upload it; a rude caller would not
        import httpx

        sent = httpx.post(f"{server}/gradio_api/call/clip_matrix", json={"data": [[form["file"]], ["a cat"]]})
        answer = httpx.get(f"{server}/gradio_api/call/clip_matrix/{sent.json()['event_id']}", timeout=60).text
        assert "event: error" in answer and "similarity" not in answer
        return
    with pytest.raises(AppError, match="uploaded"):
        client.predict(images=[form[disguise]], prompts=["a cat"], api_name="/clip_matrix")


@pytest.mark.parametrize("path, language", [("/", "en"), ("/de", "de")])
def test_the_tab_opens_with_five_pictures_judged(kept, path, language):
    tab, t = kept(f"{path}?tab=clip_matrix"), load_texts(language)
    cells = tab.locator("#clip-matrix .cm-cell > span:first-child")
    expect(tab.locator("#clip-matrix .cm-paired")).to_have_count(5)
    values = [float(s.replace("−", "-").replace(",", ".")) for s in cells.all_inner_texts()]
    expected = compute_clip_matrix(*first_pairs(), "classroom-clip").similarity.T.ravel()
    np.testing.assert_allclose(values, expected, atol=0.0051)
    expect(tab.locator("#clip-zero-shot .cm-card")).to_have_count(5)
    expect(tab.locator("#clip-score .cm-value")).to_have_count(1)
    expect(tab.get_by_text(t("clip_matrix.summary", right=5, total=5))).to_be_visible()


def test_a_visitor_types_slides_and_turns_the_softmax(kept):
    tab = kept("/?tab=clip_matrix")
    cells = tab.locator("#clip-matrix .cm-cell > span:first-child")
    tab.locator("#clip-texts textarea").fill(
        "a red car\n<img src=x onerror=\"document.title='broken in'\"> ${1+1} {{value}}"
    )
    expect(tab.locator("#clip-matrix .cm-text")).to_have_count(2)
    expect(tab.locator("#clip-matrix .cm-text").nth(1)).to_contain_text("${1+1} {{value}}")
    assert "broken" not in tab.title() and tab.locator("#clip-matrix .cm-text img").count() == 0
    tab.locator("#clip-view input[value=texts]").check()
    expect(tab.locator("#clip-matrix .cm-sum")).to_have_count(5)
    tab.locator("#clip-temperature input[type=range]").press("End")
    expect(tab.locator("#clip-temperature .cm-tau")).to_have_text("1.000")
    expect(cells.first).to_have_text(re.compile(r"^[3-7]\d%$"))  # hot: both texts near one half
    tab.locator("#clip-temperature input[type=range]").press("Home")
    extreme = cells.filter(has_text=re.compile(r"^(0%|<1%|>99%|100%)$"))  # cold: the best text takes all
    expect(extreme).not_to_have_count(0)
    tab.locator("#clip-texts textarea").fill("")
    expect(tab.locator("#clip-matrix [role=alert]")).to_contain_text("1 to 12 texts")
    tab.locator("#clip-texts textarea").fill("a cat")
    expect(cells).to_have_count(5)


def test_a_visitor_brings_takes_away_and_draws_pictures(kept, files):
    paths, _, _, hostile = files
    tab, t = kept("/de?tab=clip_matrix"), load_texts("de")
    pictures = tab.locator("#clip-matrix .cm-picture")
    expect(tab.locator("#clip-matrix .cm-paired")).to_have_count(5)
    chooser = tab.locator("#clip-sources input[type=file]")
    chooser.set_input_files(paths[:2])
    expect(pictures).to_have_count(7)
    chooser.set_input_files(hostile["text.png"])
    expect(
        tab.get_by_text(t("errors.picture_not_supported", known="PNG, JPEG, WEBP, GIF, BMP, AVIF"))
    ).to_be_visible()
    expect(pictures).to_have_count(7)
    for left in range(6, -1, -1):
        tab.locator("#clip-matrix [data-remove='0']").click()
        expect(tab.locator("#clip-matrix [data-remove]")).to_have_count(left)
    expect(tab.locator("#clip-matrix [role=alert]")).to_contain_text("1 bis 12 Bilder")
    tab.locator("#clip-draw").click()
    expect(tab.locator("#clip-matrix .cm-paired")).to_have_count(5)
    assert len(tab.locator("#clip-texts textarea").input_value().splitlines()) == 5


def test_the_generated_picture_is_missed_in_plain_words(kept):
    tab, t = kept("/?tab=clip_matrix"), load_texts("en")  # the journey would draw a picture
    expect(tab.locator("#clip-matrix .cm-picture")).to_have_count(5)
    tab.locator("#clip-take").click()
    expect(tab.get_by_text(t("errors.nothing_generated"))).to_be_visible()


def test_the_generated_picture_is_scored_and_can_be_laid_on_the_matrix(page, open_tab):
    tab, t = page("/de?tab=image"), load_texts("de")  # draws its first example by itself
    expect(tab.locator("#download")).to_be_enabled()
    open_tab(tab, "clip_matrix")
    expect(tab.locator("#clip-score figcaption")).to_have_text(t("clip_matrix.score_generated"))
    expect(tab.locator("#clip-matrix .cm-paired")).to_have_count(5)
    tab.locator("#clip-texts textarea").fill("a dog")
    expect(tab.locator("#clip-matrix .cm-text")).to_have_count(1)
    tab.locator("#clip-take").click()
    expect(tab.locator("#clip-matrix .cm-picture")).to_have_count(6)
    assert tab.locator("#clip-texts textarea").input_value() == "a dog\nA red car on the beach."
