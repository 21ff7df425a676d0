"""What is forged is refused in a sentence: nothing foreign is read or fetched, and no traceback is logged."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.ui.language import load_texts
from tests.conftest import App

FOREIGN = (
    "/etc/passwd",
    "app.py",
    "http://127.0.0.1:9/",
    "http://steuervektor.invalid/",
    "file:///etc/passwd",
)


def as_file(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


FORGED = [*(as_file(path) for path in FOREIGN), as_file("x", url=FOREIGN[2]), {"path": "x", "meta": []}]


@pytest.fixture
def http(server: str) -> Iterator[httpx.Client]:
    # A connection each: the server closes one on which a request has failed.
    none_kept = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=server, timeout=120, limits=none_kept) as client:
        yield client


@pytest.fixture
def quiet(server_log: Path) -> Iterator[None]:
    """Afterwards, no traceback has been logged."""
    before = server_log.stat().st_size
    yield
    assert "Traceback" not in server_log.read_bytes()[before:].decode()


@pytest.fixture
def files(running_app: App) -> Callable[[], set[str]]:
    """What lies in the folder of visitors' files."""
    folder = running_app.folder / "files"
    return lambda: {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def page_config(http: httpx.Client, path: str) -> dict[str, Any]:
    html = http.get(path).text
    start = html.index("window.gradio_config = ") + len("window.gradio_config = ")
    found: dict[str, Any] = json.JSONDecoder().raw_decode(html[start:])[0]
    return found


def pick(http: httpx.Client, path: str) -> tuple[int, list[Any], int]:
    """An event of the page that is given a dropdown's value: its number, its inputs, and which of them."""
    config = page_config(http, path)
    parts = {part["id"]: part for part in config["components"]}
    for event in config["dependencies"]:
        for at, given in enumerate(event["inputs"]):
            if event["backend_fn"] and parts[given]["type"] == "dropdown":
                return event["id"], [parts[g]["props"].get("value") for g in event["inputs"]], at
    raise LookupError


def result(http: httpx.Client, event: int, data: list[Any]) -> dict[str, Any]:
    """What the page is told of an event."""
    visit = {"session_hash": uuid.uuid4().hex}
    http.post("/gradio_api/queue/join", json={"data": data, "fn_index": event, **visit}).raise_for_status()
    with http.stream("GET", "/gradio_api/queue/data", params=visit) as stream:
        for line in stream.iter_lines():
            if "process_completed" in line:
                return dict(json.loads(line.removeprefix("data: ")))
    raise EOFError


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("path", "language"), [("/", "en"), ("/de", "de")])
def test_a_value_that_no_field_of_the_page_takes_is_refused(
    http: httpx.Client, files, path: str, language: str
) -> None:
    event, data, at = pick(http, path)
    before = files()
    for value in ("no such choice", FORGED[0], FORGED[3]):
        told = result(http, event, [*data[:at], value, *data[at + 1 :]])
        assert told["success"] is False
        assert told["output"]["error"] == load_texts(language)("errors.value_forged"), value
    assert result(http, event, [])["success"] is False
    assert files() == before


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_a_program_that_names_a_foreign_file_is_told(
    http: httpx.Client, files, forged: dict[str, Any]
) -> None:
    before = files()
    call = "/gradio_api/call/dino_features"
    begun = http.post(call, json={"data": [[forged], "classroom-dino", "classroom-clip"]}).json()
    answer = http.get(f"{call}/{begun['event_id']}").text
    assert "event: error" in answer
    assert load_texts("en")("errors.value_forged") in answer or "has to be uploaded" in answer
    assert "root:" not in answer and files() == before


@pytest.mark.usefixtures("quiet")
def test_nobody_writes_a_visitors_page_to_the_disk(http: httpx.Client, files) -> None:
    event, data, _ = pick(http, "/")
    visit = uuid.uuid4().hex
    http.post("/gradio_api/queue/join", json={"data": data, "fn_index": event, "session_hash": visit})
    for address in ("/gradio_api/deep_link", "/gradio_api/deep_link/"):
        answer = http.get(address, params={"session_hash": visit}, follow_redirects=True)
        assert answer.status_code == 404
    assert not any(name.startswith("deep_links") for name in files())


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("host", ["http://steuervektor.invalid/", "https://steuervektor.invalid/"])
def test_the_app_is_no_proxy(http: httpx.Client, host: str) -> None:
    for route in ("file=", "file/", "file= ", "proxy=", "FILE="):
        for answer in (http.get(f"/gradio_api/{route}{host}"), http.head(f"/gradio_api/{route}{host}")):
            assert answer.status_code == 404, route


@pytest.mark.usefixtures("quiet")
def test_nothing_is_kept_of_what_visitors_ran(http: httpx.Client) -> None:
    assert page_config(http, "/")["run_history"] is False
    for address in ("/gradio_api/runs", "/monitoring", "/monitoring/summary"):
        assert http.get(address).status_code in (403, 404), address


FORM = {"Content-Type": "multipart/form-data; boundary=b"}
FIELD = '--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nx\r\n--b--\r\n'


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("queue/join", {"json": {"data": [], "fn_index": 10**6, "session_hash": "x"}}),
        ("queue/join", {"json": {"data": [], "fn_index": -1, "session_hash": "x"}}),
        ("call/nothing", {"json": {"data": []}}),
        ("call/v2/nothing", {"json": {}}),
        ("run/nothing", {"json": {"data": []}}),
        ("run/tokens", {"json": {"data": []}}),
        ("call/tokens", {"content": b"\xff", "headers": {"Content-Type": "application/json"}}),
        ("component_server", {"json": {"session_hash": "x", "component_id": 1, "fn_name": "x", "data": 1}}),
        ("upload", {"content": FIELD, "headers": FORM}),
        ("upload?upload_id=a", {"content": FIELD, "headers": FORM}),
    ],
)
def test_a_malformed_request_is_no_traceback(http: httpx.Client, path: str, options: dict[str, Any]) -> None:
    answer = http.post(f"/gradio_api/{path}", **options)
    assert 400 <= answer.status_code <= 500 and answer.text != "Internal Server Error"


@pytest.mark.usefixtures("quiet")
def test_a_visit_that_cannot_be_is_no_traceback(http: httpx.Client) -> None:
    with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": "never"}) as answer:
        assert answer.status_code < 500
