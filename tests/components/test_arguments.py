"""Nothing that a program sends is "unexpected": it gets an answer, or a sentence that names the parameter."""

import inspect
import json
import math
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.utils import get_upload_folder
from PIL import Image
from pydantic import TypeAdapter, ValidationError

import app
from components.ui.arguments import ArgumentError, checked, parameters_of, required
from components.ui.errors import MOST_QUOTED, explained, message
from components.ui.language import load_texts
from pipelines.serving.errors import InputError

EN, DE = load_texts("en"), load_texts("de")
calm = explained(EN, for_page=False)
DEEP: list[Any] = []
for _ in range(2000):
    DEEP = [DEEP]
HOSTILE: dict[str, Any] = {
    "null": None, "list": [], "list of lists": [[]], "dict": {}, "nested": {"a": [{"b": None}]}, "deep": DEEP,
    "NaN": math.nan, "inf": math.inf, "-inf": -math.inf, "2^63": 2**63, "1e400": 10**400, "-1": -1,
    "3.0": 3.0, "0.5": 0.5, "text number": "3", "true": True, "text false": "false", "1 MB": "x" * 2**20,
    "surrogate": "\ud800", "list of surrogates": ["\udfff"], "path": "/etc/passwd",
    "markup, bytes and an address": "<script>alert(1)</script>\0\x1b[31m http://127.0.0.1:1/x.png",
    "file": {"path": "/etc/passwd"}, "files": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}],
    "many": [1] * 10_000, "many pairs": [[1, 0.5]] * 10_000,
    "an odd pair": [["a", None]], "empty": "",
}  # fmt: skip
TEXTS = ("markup, bytes and an address", "path", "text number", "text false")
ANY_WORDS = "whatever anybody writes"
# What keeps a run short, and what has no default.
SHORT = {
    "num_inference_steps": 1, "steps": 1, "num_frames": 2, "seconds": 0.2, "pairs": 2, "switch_at": [0],
    "scales": [1.0], "prompt": "A red car.", "prompts": ["A red car."], "blend": 0.5,
}  # fmt: skip


@pytest.fixture(autouse=True)
def uploads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An uploaded picture, for endpoints that need one."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")


def short(function: Any) -> dict[str, Any]:
    names = inspect.signature(function).parameters
    picture = {"path": str(Path(get_upload_folder()) / "red.png")}
    needed = {"images": [picture]} if "images" in names and "captions" not in names else {}
    return needed | {name: SHORT[name] for name in names if name in SHORT}


def door(function: Any) -> Any:
    """The endpoint as `api.register` hands it to Gradio, but for its errors."""
    return checked(function, parameters_of(function))


def refusal(function: Any, name: str, value: Any) -> str | None:
    """What is said to a value, or None where it is an answer."""
    try:
        calm(door(function))(**(short(function) | {name: value}))
    except gr.Error as error:
        return str(error.message)
    return None


def is_free_text(parameter: inspect.Parameter) -> bool:
    """Whether any words may come, which the model then reads."""
    try:
        return TypeAdapter(parameter.annotation).validate_python(ANY_WORDS) == ANY_WORDS
    except ValidationError:
        return False


def words_of(name: str) -> str:
    """What a sentence calls a parameter that is right in kind and wrong in itself."""
    return {
        "prompt": "text", "prompts": "text", "labels": "text",
        "captions": "caption", "images": "picture", "clip": "recording",
        "template": "template", "token_weights": "weight", "switch_at": "step", "later": "text",
        "prompt_b": "prompt", "num_frames": "frames", "backend": "library", "experiment": "experiment",
    }.get(name, name.replace("_", " "))  # fmt: skip


@pytest.mark.parametrize("endpoint", sorted(set(app.ENDPOINTS) - {"generate_film"}))
def test_whatever_comes_gets_an_answer_or_a_sentence_about_its_parameter(
    endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    function = app.ENDPOINTS[endpoint]
    for name, parameter in inspect.signature(function).parameters.items():
        for kind, value in HOSTILE.items():
            if kind in TEXTS[1:] and is_free_text(parameter):
                continue  # one text of any words is read like the next
            said = refusal(function, name, value)
            if said is None:
                continue
            where = f"{endpoint}({name}={kind}): {said[:200]}"
            assert name in said or words_of(name) in said.lower(), where
            assert said != EN("errors.unexpected"), where
            assert len(said) < 1000, where
            said.encode("utf-8")
    assert "Traceback" not in caplog.text


def test_numbers_are_read_as_json_clients_write_them() -> None:
    def add(count: int = 1) -> int:
        return count

    sweep = app.ENDPOINTS["guidance_sweep"]
    for name, value in (("seed", 3.0), ("num_inference_steps", 1.0), ("scales", [1, 2.0])):
        assert refusal(sweep, name, value) is None
    assert door(add)(3) == 3


@pytest.mark.parametrize(
    ("endpoint", "name", "value", "said"),
    [
        ("generate_image", "seed", "3", "seed has to be a whole number from 0 to 4294967295; got 3."),
        ("generate_image", "num_inference_steps", 101, "a whole number from 1 to 100; got 101."),
        ("generate_image", "guidance_scale", math.nan, "scale has to be a number from 0 to 20; got nan."),
        ("generate_image", "prompt", None, "a text of up to 2000 characters of valid Unicode; got nothing."),
        ("generate_image", "scheduler", "plms", "one from the list (ddim, dpm++, euler); got plms."),
        ("generate_video", "motion", "false", "motion has to be true or false; got false."),
        ("clip_matrix", "temperature", 0, "has to be a number of at least 0.001 or nothing (null); got 0."),
        ("dino_features", "images", [], "a list of 1 to 2 entries, each an uploaded file; got []."),
        ("steer", "token_weights", [[1]], "0 to 512 entries, each a list of 2 entries, each a number"),
    ],
)  # fmt: skip
def test_a_refusal_says_parameter_requirement_and_what_came(
    endpoint: str, name: str, value: Any, said: str
) -> None:
    assert said in str(refusal(app.ENDPOINTS[endpoint], name, value))


def test_a_text_is_not_a_list_of_texts() -> None:
    assert "prompts has to be a list" in str(refusal(app.ENDPOINTS["clip_matrix"], "prompts", "abc"))


def test_each_token_has_one_weight() -> None:
    assert "position 1 comes twice" in str(
        refusal(app.ENDPOINTS["steer"], "token_weights", [[1, 0.5], [1, 0.5]])
    )


def test_what_came_is_repeated_shortened_and_printable() -> None:
    for received in ("x" * 2**20, "\ud800", [1] * 10**6, {"a": "y" * 10**6}, 10**5000, DEEP):
        said = message(InputError("seed_range", low=0, high=9, received=received), EN)
        assert len(said) < MOST_QUOTED + 150
        said.encode("utf-8")
    assert "angekommen ist nichts" in message(InputError("seed_range", low=0, high=9, received=None), DE)


def test_one_description_writes_schema_and_sentence_of_every_parameter() -> None:
    for endpoint, function in app.ENDPOINTS.items():
        for name, parameter in parameters_of(function).items():
            assert parameter.schema["description"], (endpoint, name)
            json.dumps(parameter.schema)
            for t in (EN, DE):
                said = message(ArgumentError(name, parameter.schema, None), t)
                assert said.startswith(name) and required(parameter.schema, t) in said
    later = parameters_of(app.ENDPOINTS["generate_video"])["later"].schema["description"]
    assert later.endswith("between two texts the video goes over from one to the other."), (
        "cut at the line's end"
    )
