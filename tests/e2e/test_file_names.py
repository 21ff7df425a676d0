"""A file comes in whatever its name is, and lands in the folder of uploads."""

import io
import unicodedata
import wave
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.conftest import App

UMLAUTS = "Äpfel größer"
STEMS = {
    "composed": unicodedata.normalize("NFC", UMLAUTS),
    "decomposed": unicodedata.normalize("NFD", UMLAUTS),
    "emoji": "🐈\u200d⬛ 👩🏽\u200d🔬",
    "255 bytes": "a" * 251,
    "255 bytes of umlauts": "ä" * 125 + "a",
    "nothing": "",
    "a dot": ".hidden",
    "dots": "...",
    "a folder": "folder/picture",
    "the folder above": "../../../picture",
    "backslashes": "..\\..\\C:\\picture",
    "control characters": "\x07\x1b[31m\t\x7f",
    "a line": "a\u2028b\u202egnp",
    "CON": "CON",
    "aux.tar": "aux.tar",
    "COM1": "COM1",
    "markup": "<img src=x onerror=alert(1)>&\"'",
    "a command": "-rf $(id);`id`|",
    "spaces": "  a  b  ",
    "an escape": "%2e%2e%2f%00",
}


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(out, "PNG")
    return out.getvalue()


def sound() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\x00\x20\x00\xe0" * 4000)
    return out.getvalue()


def sent(server: str, name: str, content: bytes) -> str:
    """Upload as a browser does, which escapes quotes and line ends alone in a name; the file's path."""
    safe = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    head = f'--border\r\nContent-Disposition: form-data; name="files"; filename="{safe}"\r\n\r\n'.encode()
    body = head + content + b"\r\n--border--\r\n"
    form = {"Content-Type": "multipart/form-data; boundary=border"}
    answer = httpx.post(f"{server}/gradio_api/upload", content=body, headers=form, timeout=120)
    assert answer.status_code == 200, answer.text
    (path,) = answer.json()
    return str(path)


def given(server: str, endpoint: str, data: list[Any]) -> str:
    call = f"{server}/gradio_api/call/{endpoint}"
    begun = httpx.post(call, json={"data": data}, timeout=120).json()
    return httpx.get(f"{call}/{begun['event_id']}", timeout=120).text


@pytest.mark.parametrize("stem", STEMS.values(), ids=STEMS)
@pytest.mark.parametrize(("ending", "content"), [(".png", picture()), (".wav", sound())], ids=["png", "wav"])
def test_a_file_of_any_name_lies_where_uploads_lie(
    server: str, running_app: App, stem: str, ending: str, content: bytes
) -> None:
    path = Path(sent(server, stem + ending, content))
    folder = running_app.folder / "files"
    assert path.resolve().parent.parent == folder.resolve()
    assert path.read_bytes() == content
    assert len(path.name.encode()) <= 255 and not any(ord(c) < 32 for c in path.name)
    assert httpx.get(f"{server}/gradio_api/file={path}").content == content or "%" in path.name


@pytest.mark.parametrize(
    "stem", [STEMS[name] for name in ("decomposed", "emoji", "255 bytes", "backslashes")]
)
def test_a_picture_of_any_name_is_looked_at(server: str, stem: str) -> None:
    file = {"path": sent(server, stem + ".png", picture()), "meta": {"_type": "gradio.FileData"}}
    assert "event: complete" in given(server, "dino_features", [[file], "classroom-dino", "classroom-clip"])
