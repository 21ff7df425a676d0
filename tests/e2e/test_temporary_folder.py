"""Visitors' files lie in a folder of the app's own, which ends with it."""

import os
import shutil
import signal
import stat
from pathlib import Path

import httpx
import pytest

from tests.conftest import start_app

# The superuser writes everywhere, except without these rights.
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")


@pytest.mark.parametrize(("ending", "home"), [(signal.SIGTERM, "unset"), (signal.SIGINT, "read-only")])
def test_the_app_writes_temporary_files_alone_in_a_private_folder_that_ends_with_it(
    tmp_path: Path, ending: signal.Signals, home: str
) -> None:
    """Each start of the app takes half a minute, so one start shows several things."""
    before = BOUND if os.geteuid() == 0 else ()
    if before and not shutil.which(before[0]):
        pytest.skip("the superuser writes everywhere")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    files = tmp_path / "tmp"
    files.mkdir()
    env = {"HOME": str(closed), "TMPDIR": str(files), "GRADIO_TEMP_DIR": "", "STEUERVEKTOR_EXAMPLES": "0"}
    # where the tests run in the background, their children would not hear of an interrupt
    before = ("env", "--default-signal=INT", *before)
    app = start_app(tmp_path, closed, before, "HOME" if home == "unset" else "", **env)
    assert app.process
    try:
        app.wait()
        assert httpx.get(app.address, timeout=120).status_code == 200
        (folder,) = files.glob("steuervektor-*")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "upload.png").write_bytes(b"a picture")
        app.process.send_signal(ending)
        app.process.wait(60)
    finally:
        app.process.kill()
    assert not list(closed.iterdir())
    assert not list(files.glob("steuervektor-*")) and not (files / "gradio").exists()
