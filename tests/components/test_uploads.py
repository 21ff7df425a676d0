"""Names of uploaded files as the page shows them."""

import unicodedata

import gradio as gr
import pytest
from PIL import Image

from components.ui.language import load_texts
from components.ui.uploads import accept_named, shown_name

EN = load_texts("en")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"/files/{unicodedata.normalize('NFD', 'Äpfel größer')}.png", "Äpfel größer.png"),
        ("/files/🐈\u200d⬛.png", "🐈\u200d⬛.png"),
        ("/files/a\u202egnp\u2028\x85b.exe", "agnpb.exe"),
        ("/files/\udcff.png", ".png"),
        ("/files/\x1b[31mred.png", "[31mred.png"),
    ],
)
def test_a_name_is_shown_composed_and_without_what_cannot_be_seen(path: str, shown: str) -> None:
    assert shown_name(path) == shown


def test_a_name_in_a_warning_is_escaped_and_composed(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: said.append(str(text)))
    good = tmp_path / "good.png"
    Image.new("RGB", (8, 8)).save(good)
    bad = tmp_path / unicodedata.normalize("NFD", "<b>ä.png")
    bad.write_bytes(b"no picture")
    assert accept_named([str(good), str(bad)], 4, EN)[0] == ["good.png"]
    assert said[0].startswith("&lt;b&gt;ä.png: ")
