"""The running app, a client, and a browser, for all tests."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's client is imported: no test goes online
# Processes that run tests side by side share the cores, or their threads wait for one another. Said before
# what is imported below: there the thread that computes learns how many cores it has.
if side_by_side := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(side_by_side))))

import pytest
from axe_playwright_python.sync_playwright import Axe
from gradio_client import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from benchmarks.browser import FLAGS, chromium_path, go_to_tab
from components.page.prompt_bar import FIRST

ROOT = Path(__file__).parents[1]
E2E = Path(__file__).parent / "e2e"
STARTING_S = 300
# Generous, because a busy machine is slow: what waits, waits for a state and goes on when it is reached.
PATIENCE_MS = 60_000
WAIT = 240_000  # ms, for what is drawn: all tests share an app, which draws what others ask for, too
expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True)
class App:
    """The running app.

    Attributes:
        address: where it answers.
        folder: what it prints (`out`), what it logs (`app.log`), and its files.
        process: None in all processes but the one that has started it.
    """

    address: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "app.log"

    def wait(self) -> None:
        """Until it has printed its address."""
        for _ in range(5 * STARTING_S):
            if self.address in (self.folder / "out").read_text():
                return
            if "Traceback" in self.log.read_text():
                break
            time.sleep(0.2)
        pytest.fail(f"the app did not start:\n{self.log.read_text()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)


APP = pytest.StashKey[App]()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def start_app(
    folder: Path,
    cwd: Path = ROOT,
    before: Sequence[str] = (),
    without: str = "",
    program: Sequence[str] = (str(ROOT / "app.py"),),
    **environment: str,
) -> App:
    """Start the app as `MCP=1 make demo` does, on a free port and without a network; does not wait for it.

    Args:
        folder: for what it writes.
        before: a command that runs it.
        without: a variable that is not set.
        program: what Python runs.
        environment: variables that differ.
    """
    port = free_port()
    env = os.environ | {
        "HOST": "127.0.0.1", "PORT": str(port), "MCP": "1", "HF_HUB_OFFLINE": "1",
        "STEUERVEKTOR_FAMILY": "classroom", "GRADIO_TEMP_DIR": str(folder / "files"),
        "STEUERVEKTOR_DATA": str(folder / "data"),
    } | environment  # fmt: skip
    env.pop(without, None)
    command = [*before, sys.executable, *program]
    with (folder / "out").open("wb") as out, (folder / "app.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=out, stderr=log)
    return App(f"http://127.0.0.1:{port}", folder, process)


def _asks_for_browser_tests(config: pytest.Config) -> bool:
    asked = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    ignored = [Path(path).resolve() for path in config.getoption("ignore") or ()]
    return E2E not in ignored and any(E2E.is_relative_to(p) or p.is_relative_to(E2E) for p in asked)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give all processes that run tests side by side the same app, which starts while they do.

    Called by pytest-xdist once a process. Beside them, operations of the app's models use one core each:
    more threads than cores only wait for one another.
    """
    config = node.config
    if not _asks_for_browser_tests(config):
        return
    if APP not in config.stash:
        config.stash[APP] = start_app(Path(tempfile.mkdtemp()), OMP_NUM_THREADS="1")
        config.add_cleanup(config.stash[APP].stop)
    node.workerinput["app"] = (config.stash[APP].address, str(config.stash[APP].folder))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the browser's files evenly among the others.

    Their app computes on one core, so that processes which all have such a file wait for it.
    """
    files = dict.fromkeys(item.path for item in items)
    browsers = [path for path in files if path.is_relative_to(E2E)]
    others = [path for path in files if not path.is_relative_to(E2E)]
    place = {path: (at + 0.5) / len(kind) for kind in (browsers, others) for at, path in enumerate(kind)}
    items.sort(key=lambda item: place[item.path])


WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# What the tags leave out: headings without a gap, and labels that hold what is seen.
RULES = {name: {"enabled": True} for name in ("heading-order", "label-content-name-mismatch")}


def violations(page: Page, within: str = "html", exclude: str = "", contrast: bool = True) -> list[str]:
    """What axe-core finds against WCAG 2.2 A and AA.

    Args:
        within: selector of what is looked at.
        exclude: selector of what is left out.
        contrast: whether colours are judged, too.
    """
    options = {
        "runOnly": {"type": "tag", "values": WCAG},
        "rules": RULES | {"color-contrast": {"enabled": contrast}},
    }
    context = {"include": [[within]]} | ({"exclude": [[exclude]]} if exclude else {})
    found = Axe().run(page, context=context, options=options).response["violations"]
    return [f"{v['id']}: {node['html'][:120]}" for v in found for node in v["nodes"]]


def stand_over_their_points(page: Page, pictures: str, points: str, count: int) -> None:
    """Wait until so many pictures stand over as many points of a plot, each over its own.

    A plot takes up a new width a moment after the page does.

    Args:
        pictures: selector of all of them.
        points: selector of all of them.
    """
    page.wait_for_function(
        """([pictures, points, count]) => {
            const [one, other] = [pictures, points].map((selector) => [...document.querySelectorAll(selector)]
                .map((part) => part.getBoundingClientRect()).map((box) => box.x + box.width / 2));
            return one.length === count && other.length === count
                && one.every((centre, at) => Math.abs(centre - other[at]) < 4);
        }""",
        arg=[pictures, points, count],
    )


@pytest.fixture(scope="session")
def running_app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app, which answers."""
    shared = getattr(request.config, "workerinput", {}).get("app")
    app = App(shared[0], Path(shared[1])) if shared else start_app(tmp_path_factory.mktemp("server"))
    try:
        app.wait()
        yield app
    finally:
        app.stop()


@pytest.fixture(scope="session")
def server(running_app: App) -> str:
    """The app's address."""
    return running_app.address


@pytest.fixture(scope="session")
def server_log(running_app: App) -> Path:
    """Everything the app has written so far."""
    return running_app.log


@pytest.fixture(scope="session")
def client(server: str) -> Client:
    """The app as a program sees it."""
    return Client(server, verbose=False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium."""
    path = chromium_path()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


def _open(opened: Page, address: str, width: int, height: int) -> Page:
    opened.set_default_timeout(PATIENCE_MS)
    # by itself Playwright asks at each frame, and so has sixty a second drawn
    opened.wait_for_function = partial(opened.wait_for_function, polling=100)  # type: ignore[method-assign]
    opened.set_viewport_size({"width": width, "height": height})
    opened.goto(address)
    opened.locator("#prompt textarea").wait_for()
    opened.locator("html[data-restored]").wait_for(state="attached")  # the bar has read the address
    return opened


@pytest.fixture(scope="session")
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A context that has Gradio's scripts in its cache: a page opens in half the time."""
    with browser.new_context() as context:
        yield context


def _all_open(path: str) -> str:
    """An address under which every scene stands open."""
    return path + ("&" if "?" in path else "?") + "scenes=open"


@pytest.fixture
def page(server: str, browser: Browser, visitor: BrowserContext) -> Iterator[Callable[..., Page]]:
    """A factory: `page("/de", width=390)` opens the app in a new page and waits for the bar.

    Args of the factory: `path` (with query), `width`, `height` in CSS px, and anything
    `Browser.new_context` takes, such as `locale` or `color_scheme`, and `seen`, a list that gets the
    addresses of all requests; with any of these the context is new, too. All scenes stand open, unless
    `closed` leaves them as a visitor finds them.
    """
    contexts: list[BrowserContext] = []
    pages: list[Page] = []

    def open_page(
        path: str = "/", width: int = 1280, height: int = 800, seen: list[str] | None = None,
        closed: bool = False, **options: Any,
    ) -> Page:  # fmt: skip
        path = path if closed else _all_open(path)
        if seen is None and not options:
            pages.append(visitor.new_page())
            return _open(pages[-1], server + path, width, height)
        contexts.append(browser.new_context(**options))
        opened = contexts[-1].new_page()
        if seen is not None:
            opened.on("request", lambda request: seen.append(request.url))
            opened.on("websocket", lambda socket: seen.append(socket.url))
        return _open(opened, server + path, width, height)

    yield open_page
    for context in contexts:
        context.close()
    visitor.clear_cookies()
    for opened in pages:
        opened.evaluate("localStorage.clear()")
        opened.close()


def _ask_again(opened: Page, path: str) -> None:
    """Prompts and tab as an address asks for them."""
    asked = dict(parse_qsl(urlsplit(path).query))
    for name, usual in (("prompt", FIRST.prompt), ("prompt_b", ""), ("negative_prompt", "")):
        field = opened.locator(f"#{name.replace('_', '-')} textarea")
        if field.input_value() != asked.get(name, usual):
            field.evaluate("(field, text) => steuervektor.write(field, text)", asked.get(name, usual))
    go_to_tab(opened, asked.get("tab", "journey"))


@pytest.fixture(scope="module")
def kept(server: str, visitor: BrowserContext) -> Iterator[Callable[..., Page]]:
    """Like `page`, but several tests of a module share the page that is opened at an address.

    The prompts and the open tab are again as the address says; all else is as the test before has left it, so
    they state first what they start from.
    """
    pages: dict[str, Page] = {}

    def page_at(path: str = "/", width: int = 1280, height: int = 800) -> Page:
        if path not in pages:
            pages[path] = visitor.new_page()
            return _open(pages[path], server + _all_open(path), width, height)
        pages[path].set_viewport_size({"width": width, "height": height})
        _ask_again(pages[path], path)
        return pages[path]

    yield page_at
    for opened in pages.values():
        opened.close()


@pytest.fixture
def open_tab() -> Callable[[Page, str], None]:
    """`open_tab(page, "guidance")` opens a tab as a visitor does; Gradio draws it only then."""
    return go_to_tab
