"""What a language model gets and may hand over."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from components.page import mcp
from components.page.answers import MOST_CHARACTERS, Address, fitted, taken_apart


def png(color: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(file, "PNG")
    return file.getvalue()


def data_address(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def saved(name: str) -> Any:
    """Stands for the app's file server: an address that tells what was asked for."""
    return f"http://app/{Path(name).name}"


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def test_a_short_answer_stays_as_it_is() -> None:
    value = {"a": [1, 2.123456789], "b": "ä", "c": None, "d": [[True]]}
    text, whole = fitted(value)
    assert whole and json.loads(text) == value and "ä" in text


def test_of_a_long_answer_the_largest_array_is_left_out_and_named() -> None:
    numbers = np.linspace(-2, 3, 77 * 128).reshape(77, 128)
    value = {"sequence": numbers.tolist(), "tokens": ["a", "cat"], "vector": [1 / 3] * 20}
    text, whole = fitted(value)
    short = json.loads(text)
    assert not whole and len(text) <= MOST_CHARACTERS
    assert short["sequence"] == "left out: 77 × 128 numbers from -2 to 3"
    assert short["tokens"] == ["a", "cat"] and short["vector"] == [0.3333] * 20


def test_of_long_lists_and_texts_the_beginning_stays_and_the_rest_is_counted() -> None:
    value = {"rows": [{"place": i, "near": "a" * 30} for i in range(1000)], "text": "ä" * 10000}
    short = json.loads(fitted(value)[0])
    kept = len(short["rows"]) - 1
    assert short["rows"][0] == value["rows"][0] and kept >= 10
    assert short["rows"][-1] == f"… and {1000 - kept} more"
    assert short["text"].endswith("… (10000 characters)")


def test_addresses_are_not_cut() -> None:
    address = Address("http://app/" + "a" * 300)
    text, whole = fitted({"file": address, "text": "a" * 20000})
    assert not whole and json.loads(text)["file"] == address


@pytest.mark.parametrize(
    "value",
    [
        {str(i): "a" * 100 for i in range(1000)},
        {str(i): i for i in range(2000)},
        {"a": {str(i): {str(j): "a" * 50 for j in range(40)} for i in range(40)}},
        [[[["a" * 50] * 9] * 9] * 9] * 9,
        [[1, 2], [3], ["a"] * 5000],
        {"a" * 20000: 1},
        {'"' * 20000: 1},
        {"\n" * 20000: 1},
        [Address("http://app/" + "a" * 8000)],
        [float(i) for i in range(100000)],
        [True, None, 3] * 5000,
    ],
)
def test_any_answer_fits(value: Any) -> None:
    text, whole = fitted(value)
    assert not whole and len(text) <= MOST_CHARACTERS
    json.loads(text)


def test_of_many_names_the_first_stay_and_the_rest_is_counted() -> None:
    value = {"model": "m", "scores": {f"word {i}": i / 7 for i in range(2000)}, "texts": ["a"] * 2000}
    short = json.loads(fitted(value)[0])
    kept = len(short["scores"]) - 1
    assert list(short) == list(value), "there are few of these"
    assert short["scores"]["word 7"] == 1.0 and kept >= 100
    assert short["scores"]["…"] == f"and {2000 - kept} more"


def test_pictures_leave_the_text_in_their_order_whatever_form_they_had(tmp_path: Path) -> None:
    file, wav = tmp_path / "seed-0.png", tmp_path / "seed-0.wav"
    file.write_bytes(png("red"))
    wav.write_bytes(b"RIFF0000WAVE")
    value = [
        gr.FileData(path=str(file)).model_dump(),
        {"images": [base64.b64encode(png("lime")).decode(), data_address(png("blue"))], "scale": 1},
        (gr.FileData(path=str(wav)).model_dump(),),
    ]
    kept: list[bytes] = []

    def keep(content: bytes, name: str) -> str:
        kept.append(content)
        return f"/kept/{len(kept)}-{name}"

    answer = taken_apart(value, saved, keep)
    assert answer.value == [
        {"picture": 1, "address": "http://app/seed-0.png"},
        {
            "images": [
                {"picture": 2, "address": "http://app/1-picture.png"},
                {"picture": 3, "address": "http://app/2-picture.png"},
            ],
            "scale": 1,
        },
        ["http://app/seed-0.wav"],
    ]
    assert [p.content for p in answer.pictures] == [png("red"), png("lime"), png("blue")]
    assert {p.mime_type for p in answer.pictures} == {"image/png"} and kept == [png("lime"), png("blue")]


def test_text_that_only_looks_like_base64_stays_text() -> None:
    value = ["A" * 100, "cat" * 40, "a cat"]
    assert taken_apart(value, saved, lambda *_: "").value == value


def test_a_data_address_becomes_a_file_in_the_folder_of_uploads(uploads: Path) -> None:
    for address in (mcp.SAMPLE, data_address(png()), data_address(b"RIFF", "audio/wav;codecs=1")):
        given = mcp.handed_over(address)
        path = Path(given["path"])
        assert path.is_relative_to(uploads) and given["meta"] == {"_type": "gradio.FileData"}
        assert path.read_bytes() == base64.b64decode(address.partition(",")[2])
    assert path.suffix == ".wav"


def test_what_the_app_gave_or_took_before_can_be_named(uploads: Path) -> None:
    file = uploads / "ab" / "a cat.png"
    file.parent.mkdir()
    file.write_bytes(png())
    route = f"/gradio_api/file={file}".replace(" ", "%20")
    for name in (f"http://127.0.0.1:7860{route}", f"https://example.org/class{route}", route, str(file)):
        assert Path(mcp.handed_over(name)["path"]) == file


def test_nothing_else_of_this_machine_or_of_others_can_be_named(uploads: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png())
    (uploads / "link.png").symlink_to(secret)
    for name in (
        "/etc/passwd", str(secret), "app.py", "", "\0", "a" * 5000, str(uploads), f"{uploads}/missing.png",
        f"{uploads}/link.png", f"{uploads}/../secret.png", f"file://{secret}",
        f"http://127.0.0.1/gradio_api/file={secret}", f"/gradio_api/file={uploads}/../secret.png",
        f"http://127.0.0.1/gradio_api/file={uploads}/%2e%2e/secret.png",
        "http://127.0.0.1/gradio_api/file=http://127.0.0.1/a.png",
        "http://169.254.169.254/latest/meta-data", "https://example.org/cat.png",
        "data:image/png,abc", "data:image/png;base64,???", "data:", "data:;base64,a",
        "data:image/png;base64," + "A" * 4_100_000,
        {"path": str(secret), "meta": {"_type": "gradio.FileData"}},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="A file has to be a data address") as refused:
            mcp.handed_over(name)
        assert len(str(refused.value)) < 500


def test_the_sample_is_a_picture() -> None:
    with Image.open(io.BytesIO(base64.b64decode(mcp.SAMPLE.partition(",")[2]))) as image:
        assert image.size == (8, 8)
        image.load()
