"""What tests of several tabs need."""

from pathlib import Path

import pytest
from gradio.utils import get_upload_folder
from PIL import Image


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
