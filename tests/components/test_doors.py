"""What comes in and what a request is answered that failed inside."""

import errno
from typing import Any

import gradio as gr
import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from components.page.doors import Doors, GuardedBlocks, _check_sendable
from components.ui.errors import Refused
from components.ui.language import load_texts
from pipelines.serving.errors import InputError
from tests import loops


def failing(error: Exception) -> TestClient:
    async def upload(request: Request) -> Response:
        raise error

    routes = [Route("/gradio_api/upload", upload, methods=["POST"])]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Doors)]))


@pytest.mark.parametrize(
    ("accepts", "language"),
    [("de-DE,de;q=0.9", "de"), ("de", "de"), ("en-US", "en"), ("fr", "en"), ("", "en")],
)
def test_an_upload_to_a_full_disk_is_told_in_the_visitors_language(
    accepts: str, language: str, caplog
) -> None:
    http = failing(OSError(errno.ENOSPC, "No space left on device", "a/path/of/the/server"))
    answer = http.post("/gradio_api/upload", headers={"accept-language": accepts})
    assert (answer.status_code, answer.text) == (507, load_texts(language)("errors.disk_full"))
    assert "OSError" in caplog.text and "Traceback" not in caplog.text and "the/server" not in caplog.text


def test_any_other_failure_tells_nothing_of_the_inside() -> None:
    answer = failing(ValueError("a secret")).post("/gradio_api/upload")
    assert (answer.status_code, answer.text) == (400, "Bad Request")


@pytest.mark.parametrize("value", ["\ud800", "ä\udfff", 2**64, -(2**63) - 1, 10**400])
def test_what_no_message_can_hold_does_not_come_in(value: Any) -> None:
    for given in (value, [value], {"a": [{"b": value}]}, *([{value: 1}] if isinstance(value, str) else [])):
        with pytest.raises(InputError, match="value_forged"):
            _check_sendable(given)
        with pytest.raises(TypeError):  # Gradio writes its messages with this
            orjson.dumps(given)


def test_all_else_may_come_in() -> None:
    for value in (
        "ä 🐈\u200d⬛",
        "x" * 2**20,
        2**63 - 1,
        -(2**63),
        True,
        None,
        0.5,
        [{"a": ["b", 1]}],
        {},
        [],
    ):
        _check_sendable(value)
        orjson.dumps(value)


@pytest.mark.parametrize(
    ("error", "key", "kind"),
    [
        (InputError("engine_stopped"), "engine_stopped", Refused),
        (MemoryError(), "out_of_memory", gr.Error),
        (KeyError("a secret"), "unexpected", gr.Error),
    ],
)
@pytest.mark.parametrize("language", ["en", "de"])
def test_a_handler_that_nobody_guards_tells_and_prints_nothing_of_the_inside(
    error: Exception, key: str, kind: type[Exception], language: str
) -> None:
    def fails(text: str) -> str:
        raise error

    page = GuardedBlocks(analytics_enabled=False)
    with page.route("Page", "/" + language):
        box = gr.Textbox()
        event = box.change(fails, box, box)
    with pytest.raises(gr.Error) as caught:
        loops.run(page.process_api(page.fns[event["id"]], ["a cat"]))
    assert type(caught.value) is kind and caught.value.print_exception is False
    assert caught.value.message == load_texts(language)(f"errors.{key}")


def test_a_refusal_is_no_fault_of_the_server() -> None:
    def fails(text: str) -> str:
        raise InputError("text_broken") if text else KeyError

    with GuardedBlocks(analytics_enabled=False) as page:
        box = gr.Textbox()
        box.change(fails, box, box, api_name="fails", queue=False)
    options = {"middleware": [Middleware(Doors)]}
    _, address, _ = page.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", app_kwargs=options, footer_links=[]
    )
    try:
        for text, status in (("a cat", 422), ("", 500)):
            answer = httpx.post(f"{address}gradio_api/run/fails", json={"data": [text]})
            assert answer.status_code == status and "error" in answer.json()
    finally:
        page.close()


FOREIGN = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize("given", [["\ud800"], [2**64], [{"path": "http://127.0.0.1:9/"}], []])
def test_an_event_of_the_page_refuses_what_cannot_be_its_value(given: list[Any]) -> None:
    with GuardedBlocks(analytics_enabled=False) as page:
        box = gr.Textbox()
        event = box.change(lambda text: text, box, box)
    with pytest.raises(Refused):
        loops.run(page.process_api(page.fns[event["id"]], given))


@pytest.mark.parametrize("told", [{"step": "\ud800"}, {"step": 2**64}, FOREIGN, [FOREIGN]])
def test_an_event_refuses_what_no_script_of_the_page_tells(told: Any) -> None:
    def handler(event: gr.EventData) -> str:
        return str(event._data)

    with GuardedBlocks(analytics_enabled=False) as page:
        box = gr.Textbox()
        event = box.change(handler, None, box)
        silent = box.change(None, box, box, js="(text) => text")
    with pytest.raises(Refused):
        loops.run(page.process_api(page.fns[event["id"]], [], event_data=gr.EventData(None, told)))
    with pytest.raises(Refused):
        loops.run(page.process_api(page.fns[silent["id"]], ["a cat"]))
