"""Windows and macOS, as far as that shows here: without what they lack, the app's parts still work."""

import ast
import ctypes
import io
import mimetypes
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from starlette.responses import FileResponse

import app
from components.lesson.network import shown_on_this_machine
from components.page import file_types
from pipelines.serving import catalogue, measured
from pipelines.serving.loading import machine_bytes
from pipelines.serving.memory import few_heaps, give_back
from tools import build_space

# Modules and names that Windows, macOS or both do not have.
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios"}
POSIX_NAMES = {
    ("os", "fork"), ("os", "getuid"), ("os", "geteuid"), ("os", "getloadavg"), ("os", "mkfifo"),
    ("os", "sched_getaffinity"), ("os", "sched_setaffinity"), ("os", "statvfs"), ("os", "sysconf"),
    ("os", "uname"), ("signal", "SIGHUP"), ("signal", "SIGKILL"), ("signal", "SIGUSR1"), ("signal", "alarm"),
    ("signal", "pause"), ("socket", "AF_UNIX"), ("time", "tzset"),
}  # fmt: skip


@pytest.fixture(scope="module")
def sources() -> dict[Path, str]:
    """Of all modules that the app imports."""
    return {path: path.read_text("utf-8") for path in build_space.modules()}


def test_the_app_uses_nothing_that_one_system_alone_has(sources: dict[Path, str]) -> None:
    for path, text in sources.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in POSIX_NAMES, f"{path}:{node.lineno}"
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            module = node.module if isinstance(node, ast.ImportFrom) else None
            assert not {*names, module} & POSIX_MODULES, path
        assert not re.search(r"""["']/(proc|dev|tmp|etc)\b""", text), path


def test_files_are_read_in_one_code_and_named_by_slashes_everywhere(sources: dict[Path, str]) -> None:
    """Elsewhere a text file is read in the machine's own code, and `str(path)` has backslashes."""
    for path, text in sources.items():
        for call in re.findall(r"\.(?:read|write)_text\([^\n]*", text):
            assert "utf-8" in call, f"{path}: {call}"
        assert not re.search(r"\bstr\([^\n]*\.relative_to\(", text), path
    assert set(measured.weight_hashes()) - {measured.TEXT_TOWER} == {
        path.relative_to(catalogue.ASSETS).as_posix() for path in catalogue.ASSETS.rglob("*.safetensors")
    }


@pytest.mark.parametrize("refusal", [TypeError, OSError])
def test_where_the_c_library_has_no_name_memory_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, refusal: type[Exception]
) -> None:
    def refuse(name: str | None) -> ctypes.CDLL:
        raise refusal(name)

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert not few_heaps() and not give_back()


def test_the_machines_memory_is_known_without_the_names_of_posix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = machine_bytes()
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert machine_bytes() == before
    assert before > psutil.Process().memory_info().rss


@pytest.fixture
def signals() -> Iterator[None]:
    """Puts the handlers back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hangup = getattr(signal, "SIGHUP", None)
    before = signal.getsignal(hangup) if hangup else None
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
    if hangup:
        signal.signal(hangup, before)


def test_the_app_hears_the_signals_that_there_are(signals: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGHUP", raising=False)
    app.end_when_told()
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("told", "here"),
    [
        ({}, True),
        ({"HOST": "0.0.0.0"}, False),
        ({"CLASS": "1"}, True),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, False),
    ],
)
def test_a_browser_is_expected_at_home_and_before_a_class_but_not_on_a_server(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], here: bool
) -> None:
    for name in ("HOST", "CLASS", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert shown_on_this_machine() is here


def test_a_terminal_without_the_signs_of_a_qr_code_stops_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "own_addresses", lambda: ["192.0.2.7"])
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    with pytest.raises(UnicodeEncodeError):
        app.show_way_in(7860)
    app.print_what_can_be_printed()
    app.show_way_in(7860)
    assert b"http://192.0.2.7:7860/join" in raw.getvalue()
    monkeypatch.setattr(sys, "stdout", None)  # a program without a window
    app.print_what_can_be_printed()


@pytest.fixture
def foreign_types() -> Iterator[None]:
    """File types as another program may have left them in the registry of Windows."""
    for ending in file_types.TYPES:
        mimetypes.add_type("text/plain", ending)
    yield
    file_types.register()


def test_browsers_are_told_what_the_pages_files_are(foreign_types: None, tmp_path: Path) -> None:
    script = tmp_path / "page.js"
    script.touch()
    assert FileResponse(script).media_type == "text/plain"
    file_types.register()
    assert FileResponse(script).media_type == "text/javascript"
    endings = {p.suffix for p in (build_space.ROOT / "assets" / "fonts").iterdir()} - {".txt"}
    assert endings <= set(file_types.TYPES)


@pytest.mark.parametrize(
    ("asked", "cuda", "mps", "taken", "says"),
    [
        ("", False, True, "cpu", False),
        ("mps", False, True, "mps", False),
        ("mps", False, False, "cpu", True),
        ("mps", True, False, "cuda", True),
        ("", True, False, "cuda", False),
        ("cpu", True, True, "cpu", False),
        ("cuda", False, True, "cpu", True),
        ("tpu", False, False, "cpu", True),
    ],
)
def test_a_device_is_taken_if_it_is_there(
    asked: str, cuda: bool, mps: bool, taken: str, says: bool,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("STEUERVEKTOR_DEVICE", asked)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    catalogue._say_missing.cache_clear()
    assert catalogue.device() == catalogue.device() == taken
    assert len(caplog.records) == says  # once, not at every look
