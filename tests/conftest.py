"""The running app, a client, and a browser, for all tests."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from gradio_client import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
# Generous, because a busy machine is slow: what waits, waits for a state and goes on when it is reached.
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)


def pytest_configure(config: pytest.Config) -> None:
    """Share the cores among the processes that run tests side by side."""
    if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(workers)))


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture(scope="session")
def server_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything the app has written so far."""
    return tmp_path_factory.mktemp("server") / "app.log"


@pytest.fixture(scope="session")
def server(server_log: Path) -> Iterator[str]:
    """The app as `MCP=1 make demo` starts it, on a free port and without a network; yields its address."""
    port = free_port()
    env = os.environ | {
        "HOST": "127.0.0.1", "PORT": str(port), "MCP": "1",
        "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1",
        "STEUERVEKTOR_FAMILY": "classroom", "GRADIO_TEMP_DIR": str(server_log.parent / "files"),
    }  # fmt: skip
    with server_log.open("w") as log:
        app = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=env, text=True,
            stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    try:
        # The address is printed once the server answers; an app that fails closes the pipe.
        lines = (line.split() for line in app.stdout or ())
        address = next((words[1] for words in lines if words[:1] == ["Steuervektor:"]), None)
        assert address, f"the app did not start:\n{server_log.read_text()}"
        yield address
    finally:
        app.terminate()
        app.wait(30)


@pytest.fixture(scope="session")
def client(server: str) -> Client:
    """The app as a program sees it."""
    return Client(server, verbose=False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium: the system's where there is one, otherwise Playwright's own."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(server: str, browser: Browser) -> Iterator[Callable[..., Page]]:
    """A factory: `page("/de", width=390)` opens the app in a fresh context and waits for the bar.

    Args of the factory: `path` (with query), `width`, `height` in CSS px, and anything
    `Browser.new_context` takes, such as `locale` or `color_scheme`.
    """
    contexts: list[BrowserContext] = []

    def open_page(path: str = "/", width: int = 1280, height: int = 800, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        opened = context.new_page()
        opened.goto(server + path)
        opened.locator("#prompt textarea").wait_for()
        opened.locator("html[data-restored]").wait_for(state="attached")  # the bar has read the address
        return opened

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def open_tab() -> Callable[[Page, str], None]:
    """`open_tab(page, "guidance")` clicks a tab; Gradio draws a tab only when it is opened."""

    def click(page: Page, stem: str) -> None:
        page.locator(f"#tab-{stem}-button").click()
        page.locator(f"#tab-{stem}[role=tabpanel]").wait_for()

    return click
