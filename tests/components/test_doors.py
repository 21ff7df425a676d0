"""What comes in and what a request is answered that failed inside."""

import errno
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from components.page.doors import Doors, _check_sendable
from components.ui.language import load_texts
from pipelines.serving.errors import InputError


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
