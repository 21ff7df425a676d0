"""A file of added models that cannot be used is told in a sentence, before anything starts."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.serving import catalogue

ROOT = Path(__file__).parents[1]
GOOD = '[[model]]\nid = "a"\nrole = "image"\nsource = "b/c"\nlicence = "MIT"\n'
BROKEN = {
    "no toml": ("[[model", "no TOML"),
    "another table": ('[[models]]\nid = "a"\n', "model: Field required"),
    "nothing": ("", "model: Field required"),
    "no table": ("model = 3\n", "model: "),
    "a key is missing": (
        '[[model]]\nid = "a"\nrole = "image"\nsource = "b/c"\n',
        "model.1.licence: Field required",
    ),
    "an unknown role": (GOOD.replace('"image"', '"pictures"'), "model.1.role: "),
    "a misspelt key": (GOOD + GOOD + 'denoisers = "joint"\n', "model.2.denoisers: Extra inputs"),
    "a word for a number": (GOOD + 'steps = "four"\n', "model.1.steps: "),
}


@pytest.fixture
def models_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "models.toml"
    monkeypatch.setenv("STEUERVEKTOR_MODELS", str(path))
    catalogue._added.cache_clear()
    yield path
    monkeypatch.undo()
    catalogue._added.cache_clear()


@pytest.mark.parametrize("text, said", BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_said_with_what_is_required_and_what_to_do(models_file, text, said) -> None:
    models_file.write_text(text)
    with pytest.raises(catalogue.ModelsFileError) as caught:
        catalogue.check_added()
    message = str(caught.value)
    assert said in message and str(models_file) in message
    assert "[[model]]" in message and "start again" in message


def test_bytes_that_are_no_text_are_told(models_file) -> None:
    models_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(catalogue.ModelsFileError, match="no TOML"):
        catalogue.check_added()


def test_a_good_file_is_read(models_file) -> None:
    models_file.write_text(GOOD + "steps = 7\nguidance_scale = 3\n")
    catalogue.check_added()
    found = catalogue.entry("a")
    assert (found.steps, found.guidance_scale, found.denoiser, found.title) == (7, 3.0, "unet", "a")


def test_the_app_ends_with_one_sentence_and_no_traceback(tmp_path) -> None:
    missing = tmp_path / "none.toml"
    environment = os.environ | {
        "STEUERVEKTOR_MODELS": str(missing),
        "GRADIO_TEMP_DIR": str(tmp_path / "files"),
    }
    ended = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert f"{str(missing)!r} cannot be read: No such file" in ended.stderr
