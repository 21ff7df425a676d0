"""Visitors' files lie in a folder of the app's own, which ends with it."""

import signal
import stat

import pytest

from tests.conftest import start_app


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_the_folder_is_private_and_removed_at_the_end(tmp_path, ending: signal.Signals) -> None:
    files = tmp_path / "tmp"
    files.mkdir()
    app = start_app(tmp_path, TMPDIR=str(files), GRADIO_TEMP_DIR="", STEUERVEKTOR_EXAMPLES="0")
    assert app.process
    try:
        app.wait()
        (folder,) = files.glob("steuervektor-*")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "upload.png").write_bytes(b"a picture")
        app.process.send_signal(ending)
        app.process.wait(60)
    finally:
        app.process.kill()
    assert not list(files.glob("steuervektor-*")) and not (files / "gradio").exists()
