"""Visitors' files lie in a folder of the app's own, which ends with it."""

import os
import shutil
import signal
import stat

import httpx
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


# The superuser writes everywhere, except without these rights.
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")


@pytest.mark.parametrize("home", ["unset", "read-only"])
def test_the_app_starts_where_it_may_write_temporary_files_alone(tmp_path, home: str) -> None:
    before = BOUND if os.geteuid() == 0 else ()
    if before and not shutil.which(before[0]):
        pytest.skip("the superuser writes everywhere")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    files = tmp_path / "tmp"
    files.mkdir()
    env = {"HOME": str(closed), "TMPDIR": str(files), "GRADIO_TEMP_DIR": "", "STEUERVEKTOR_EXAMPLES": "0"}
    app = start_app(tmp_path, closed, before, "HOME" if home == "unset" else "", **env)
    try:
        app.wait()
        assert httpx.get(app.address, timeout=120).status_code == 200
        assert not list(closed.iterdir())
    finally:
        app.stop()
