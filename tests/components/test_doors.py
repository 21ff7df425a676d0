"""What a request is answered that failed inside."""

import errno

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from components.page.doors import Doors
from components.ui.language import load_texts


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
