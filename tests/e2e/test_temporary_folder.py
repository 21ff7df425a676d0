"""Where the app may write nothing, and how it ends: in mid-run, and with nothing left behind."""

import json
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from components.ui.language import load_texts
from tests.conftest import App, start_app
from tests.e2e.test_doors import page_config

# The superuser writes everywhere, except without these rights.
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")
SOMEBODY = 65534  # another user


def shared_folder(path: Path) -> Path:
    """A folder for temporary files like /tmp: of another user, who has been here, where this can be made."""
    path.mkdir()
    path.chmod(0o1777)
    if os.geteuid() == 0:
        for name in ("gradio", "sv-classes"):
            (path / name).mkdir(mode=0o700)
            os.chown(path / name, SOMEBODY, SOMEBODY)
        os.chown(path, SOMEBODY, SOMEBODY)
    return path


@contextmanager
def picture(http: httpx.Client, steps: int) -> Iterator[Iterator[dict[str, Any]]]:
    """A picture that has begun; what its visitor is told from then on."""
    endpoints, visit = page_config(http, "/endpoints")["dependencies"], {"session_hash": f"visitor {steps}"}
    number = next(each["id"] for each in endpoints if each["api_name"] == "generate_image")
    asked = {"data": ["A small cat on a bed.", "", 0, 5, steps, "ddim", ""], "fn_index": number}
    http.post("/gradio_api/queue/join", json=asked | visit).raise_for_status()
    with http.stream("GET", "/gradio_api/queue/data", params=visit) as stream:
        told = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        assert any(each["msg"] == "process_starts" for each in told)
        yield told


def ending_of(told: Iterator[dict[str, Any]]) -> dict[str, Any]:
    return next(each for each in told if each["msg"] == "process_completed")


def children(app: App) -> list[psutil.Process]:
    assert app.process
    return psutil.Process(app.process.pid).children()


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "home"), [(signal.SIGTERM, "unset"), (signal.SIGINT, "read-only")])
def test_the_app_needs_private_folders_alone_and_an_end_in_mid_run_is_told_and_leaves_nothing(
    tmp_path: Path, ending: signal.Signals, home: str
) -> None:
    """Each start of the app takes half a minute, so one start shows several things."""
    before = BOUND if os.geteuid() == 0 else ()
    if before and not shutil.which(before[0]):
        pytest.skip("the superuser writes everywhere")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    files = shared_folder(tmp_path / "tmp")
    others = sorted(files.iterdir())
    env = {
        "HOME": str(closed), "TMPDIR": str(files), "GRADIO_TEMP_DIR": "", "STEUERVEKTOR_EXAMPLES": "0",
        "STEUERVEKTOR_DATA": str(closed / "data"),
    }  # fmt: skip
    # where the tests run in the background, their children would not hear of an interrupt
    before = ("env", "--default-signal=INT", *before)
    app = start_app(tmp_path, closed, before, "HOME" if home == "unset" else "", **env)
    assert app.process
    try:
        app.wait()
        http = httpx.Client(base_url=app.address, timeout=300)
        assert http.get("/").status_code == 200
        assert http.post("/class/open", json={}).json()["code"]
        assert f"classes cannot be kept in {closed / 'data'}" in app.log.read_text()
        folders = list(files.glob("steuervektor-*"))
        assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700, 0o700]
        # one is served, the other holds classes
        (folder,) = (folder for folder in folders if not (folder / "classes.sqlite").exists())
        (folder / "upload.png").write_bytes(b"a picture")
        with picture(http, steps=1) as told:
            assert ending_of(told)["success"]
        with picture(http, steps=100) as told:
            app.process.send_signal(ending)
            assert ending_of(told)["output"]["error"] == load_texts("en")("errors.app_ends")
        assert children(app) == []
        assert app.process.wait(60) == 0
    finally:
        app.process.kill()
    assert "Traceback" not in app.log.read_text()
    assert not list(closed.iterdir())
    assert sorted(files.iterdir()) == others
