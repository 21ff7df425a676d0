"""What tests of several tabs need."""

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from gradio.utils import get_upload_folder
from PIL import Image

import app
from tests.pipelines.tiny_transformers import in_catalogue, write_transformers


@pytest.fixture(scope="session")
def demo() -> gr.Blocks:
    """The whole app, built and not launched, for tests that only look at it."""
    return app.build()


@pytest.fixture(scope="session")
def transformer_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The TOML file that adds tiny transformers to the catalogue."""
    return write_transformers(tmp_path_factory.mktemp("transformers"))


@pytest.fixture(scope="module")
def transformers_of_today(transformer_checkpoints: Path) -> Iterator[None]:
    """The catalogue with tiny transformers added, for one module of tests."""
    with in_catalogue(transformer_checkpoints):
        yield


@pytest.fixture
def upload(monkeypatch, tmp_path):
    """Puts a file where Gradio puts uploads, and gives what Gradio then hands to a function."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)

    def put(image: Image.Image | bytes, file: str = "a.png") -> dict:
        path = folder / file
        path.write_bytes(image) if isinstance(image, bytes) else image.save(path)
        return {"path": str(path), "meta": {"_type": "gradio.FileData"}}

    return put
