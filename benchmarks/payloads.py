"""Payloads that no program should send, drawn over the endpoints' own schemas, and what is answered to them.

A payload is JSON text, not values: what a client in another language can write, Python's writer may refuse.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from hypothesis import strategies as st

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60.0  # after which a call that was refused or is short counts as hanging
LEAVE_S = 5.0  # after which the visitor of a page's event goes away
SESSION = "session-of-whoever-sends-it"
TOLD = ("place", "dimension", "value", "step", "paths", "index", "temperature")  # by the page's own scripts
MOST_SENT = 2**20  # characters of the longest text
# What keeps a run short where the payload around it is sound.
SHORT: dict[str, Any] = {
    "num_inference_steps": 1, "steps": 1, "num_frames": 2, "seconds": 0.2, "pairs": 2, "switch_at": [0],
    "scales": [1.0], "prompt": "A red car.", "prompt_b": "A green pear.", "prompts": ["A red car."],
    "blend": 0.5,
}  # fmt: skip
_DEEP = 5000  # levels
FOREIGN = (
    "/etc/passwd",
    "app.py",
    "../../app.py",
    "file:///etc/passwd",
    "/proc/self/environ",
    "\\\\host\\share",
)
# What stands in those files and in no answer.
SECRET = re.compile(r"root:x?:0:0|Steuervektor: a page that shows|PATH=/")


@dataclass(frozen=True)
class Payload:
    """One request.

    Attributes:
        route: below `/gradio_api/`.
        body: JSON, or what looks like it.
    """

    route: str
    body: bytes


@dataclass(frozen=True)
class Outcome:
    """What came of a payload.

    Attributes:
        status: of HTTP, the highest where there were several requests; 0 for none within `PATIENCE_S`.
        text: of the answers.
        seconds: until it came.
        left: the visitor went away first.
    """

    status: int
    text: str
    seconds: float
    left: bool = False

    @property
    def hung(self) -> bool:
        return self.status == 0

    @property
    def leaked(self) -> bool:
        """Whether it holds what stands in a file of the machine."""
        return SECRET.search(self.text) is not None


@contextmanager
def forbidden_host() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine that nobody may ask: its address, and the paths that somebody did ask for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def hostile(forbidden: str) -> st.SearchStrategy[str]:
    """Values as JSON text that no parameter takes, or takes only by chance.

    Args:
        forbidden: address of a server that may not be asked.
    """
    paths = [*FOREIGN, f"{forbidden}/picture.png", forbidden.replace("127.0.0.1", "localhost")]
    files: list[Any] = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]
    files += [{"path": "x", "url": paths[-2], "meta": {"_type": "gradio.FileData"}}, {"path": paths[0]}]
    large = ['"' + "x" * MOST_SENT + '"', "[" + "1," * 50_000 + "1]", "9" * 5000]
    known = [
        "null", "true", "-1", "0", "3.0", "0.5", "NaN", "Infinity", "-Infinity", "1e400", "-1e400",
        "5e-324", str(2**63), str(-(2**63) - 1), str(2**64), '""', '"3"', '"\\ud800"', '["\\udfff"]',
        '"\\u0000\\u001b[31m"',
        '"\\u202e<script>alert(1)</script>"', '"{{7*7}}"', "{}", "[]", "[[]]", '{"__type__": "update"}',
        "[" * _DEEP + "]" * _DEEP, '{"a":' * _DEEP + "1" + "}" * _DEEP,
        *(json.dumps(path) for path in paths), *(json.dumps(file) for file in files),
        *(json.dumps([file]) for file in files),
    ]  # fmt: skip
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    trees = st.recursive(
        leaves,
        lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
        max_leaves=8,
    )
    return st.one_of(st.sampled_from(known), st.sampled_from(known + large), trees.map(json.dumps))


def sound(name: str, schema: Mapping[str, Any], default: Any) -> st.SearchStrategy[str]:
    """Values as JSON text that a parameter takes."""
    if name in SHORT:
        return st.just(json.dumps(SHORT[name]))
    if "enum" in schema and len(schema["enum"]) < 5:
        return st.sampled_from(schema["enum"]).map(json.dumps)
    if {"minimum", "maximum"} <= schema.keys():
        numbers = st.integers if schema.get("type") == "integer" else st.floats
        return numbers(schema["minimum"], schema["maximum"]).map(json.dumps)
    return st.just(json.dumps(default))


Parameters = Mapping[str, tuple[Mapping[str, Any], Any]]  # name to schema and default


@st.composite
def call(draw: st.DrawFn, name: str, parameters: Parameters, wrong: st.SearchStrategy[str]) -> Payload:
    """A call of an endpoint of which at least one argument is what it should not be."""
    names = list(parameters)
    broken = draw(st.sets(st.sampled_from(names), min_size=1, max_size=3))
    values = [
        draw(wrong) if each in broken else draw(sound(each, *schema)) for each, schema in parameters.items()
    ]
    return Payload(f"call/{name}", f'{{"data": [{",".join(values)}]}}'.encode())


@st.composite
def event(draw: st.DrawFn, inputs: Mapping[int, int], wrong: st.SearchStrategy[str]) -> Payload:
    """An event of the page, given as many values as it takes, all forged.

    Args:
        inputs: number of inputs by Gradio's number of the event.
    """
    number = draw(st.sampled_from(sorted(inputs)))
    values = draw(st.lists(wrong, min_size=inputs[number], max_size=inputs[number]))
    told = draw(st.dictionaries(st.sampled_from(TOLD), wrong, max_size=2))
    script = f"{{{','.join(f'{json.dumps(name)}: {value}' for name, value in told.items())}}}"
    joined = (
        f'"fn_index": {number}, "session_hash": "{SESSION}", "event_data": {draw(wrong | st.just(script))}'
    )
    return Payload("queue/join", f'{{"data": [{",".join(values)}], {joined}}}'.encode())


@st.composite
def malformed(draw: st.DrawFn, names: list[str], wrong: st.SearchStrategy[str]) -> Payload:
    """What is no call at all: other shapes of JSON, other routes, no JSON."""
    route = draw(st.sampled_from(["call/", "call/v2/", "run/", "api/"])) + draw(
        st.sampled_from([*names, "none"])
    )
    other = draw(wrong)
    forms = [other, f'{{"data": {other}}}', f'{{"data": [{other}], "fn_index": {other}}}', other[:20] + '"']
    return Payload(route, draw(st.sampled_from(forms)).encode())


def payloads(http: httpx.Client, forbidden: str) -> st.SearchStrategy[Payload]:
    """Payloads for all that the app listens to; seven of ten go to its endpoints for programs."""
    wrong, endpoints = hostile(forbidden), endpoints_of(http)
    calls = [call(name, parameters, wrong) for name, parameters in endpoints.items()]
    events = event(events_of(http), wrong)
    ill = malformed(sorted(endpoints), wrong)
    tenths = [st.one_of(calls)] * 7 + [events] * 2 + [ill]
    return st.integers(0, len(tenths) - 1).flatmap(lambda tenth: tenths[tenth])


def endpoints_of(http: httpx.Client) -> dict[str, Parameters]:
    """The endpoints for programs with their parameters, as the app lists them."""
    listed = http.get("/gradio_api/info").raise_for_status().json()["named_endpoints"]
    return {
        name.removeprefix("/"): {
            each["parameter_name"]: (each["type"], each.get("parameter_default"))
            for each in endpoint["parameters"]
        }
        for name, endpoint in listed.items()
    }


def events_of(http: httpx.Client) -> dict[int, int]:
    """How many inputs each event of the page has, of those that have any."""
    html = http.get("/").raise_for_status().text
    start = html.index("window.gradio_config = ") + len("window.gradio_config = ")
    config = json.JSONDecoder().raw_decode(html[start:])[0]
    found = {each["id"]: len(each["inputs"]) for each in config["dependencies"] if each["backend_fn"]}
    return {number: count for number, count in found.items() if count}


def send(http: httpx.Client, payload: Payload) -> Outcome:
    """Send a payload, and follow what becomes of it to its end."""
    began, session = time.monotonic(), uuid.uuid4().hex
    route, body = payload.route, payload.body.replace(SESSION.encode(), session.encode())
    try:
        first = http.post(f"/gradio_api/{route}", content=body, headers={"content-type": "application/json"})
        begun = first.json() if first.headers.get("content-type") == "application/json" else None
        number = begun.get("event_id") if first.status_code == 200 and isinstance(begun, dict) else None
        if number is None:
            return Outcome(first.status_code, first.text, time.monotonic() - began)
        if route == "queue/join":
            return _followed(http, "/gradio_api/queue/data", {"session_hash": session}, began, LEAVE_S)
        return _followed(http, f"/gradio_api/{route}/{number}", {}, began, PATIENCE_S)
    except httpx.TimeoutException:
        return Outcome(0, "", time.monotonic() - began)


def _followed(
    http: httpx.Client, path: str, query: dict[str, str], began: float, patience_s: float
) -> Outcome:
    """What is told of a call that was accepted, until it ends."""
    told: list[str] = []
    with http.stream("GET", path, params=query) as stream:
        for line in stream.iter_lines():
            told.append(line)
            if '"process_completed"' in line:
                break
            if (seconds := time.monotonic() - began) > patience_s:
                left = patience_s == LEAVE_S
                return Outcome(stream.status_code if left else 0, "\n".join(told), seconds, left)
        return Outcome(stream.status_code, "\n".join(told), time.monotonic() - began)
