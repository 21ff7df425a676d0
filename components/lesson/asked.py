"""What phones and lecturers ask of the server, read and checked; and how often."""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from components.lesson.store import ClassError
from components.ui.language import LANGUAGES
from pipelines.serving.checks import has_lone_surrogate


class Rate:
    """How often something happened within a span of time, by key.

    Args:
        span_s: s.
        clock: s that pass.
    """

    def __init__(self, span_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.span_s, self.clock = span_s, clock
        self._since, self._counts = clock(), Counter[str]()

    def count(self, key: str = "") -> int:
        self._turn()
        return self._counts[key]

    def add(self, key: str = "") -> None:
        self._turn()
        self._counts[key] += 1

    def _turn(self) -> None:
        if self.clock() - self._since >= self.span_s:
            self._since, self._counts = self.clock(), Counter()


async def sent_by(request: Request, most: int) -> dict[str, Any]:
    """The object that a request brings.

    Args:
        most: bytes.

    Raises:
        ClassError: it is longer, or no object, or none that could be sent back.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise ClassError("class_too_long", 413)
    try:
        found = json.loads(body)
        if has_lone_surrogate(json.dumps(found, ensure_ascii=False)):  # can be kept, but not be told again
            found = None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or "application/json" not in request.headers.get("content-type", ""):
        raise ClassError("class_bad_request", 400)
    return found


def language_of(request: Request) -> str:
    """That which the address asks for, else the first of the browser's that there is."""
    asked = request.query_params.get("lang", "")
    if asked in LANGUAGES:
        return asked
    for part in request.headers.get("accept-language", "").split(","):
        if (found := part.strip()[:2].lower()) in LANGUAGES:
            return found
    return "en"


def secret_of(request: Request) -> str:
    """The lecturer's secret.

    Raises:
        ClassError: there is none.
    """
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    if kind != "Bearer" or not secret:
        raise ClassError("class_secret", 403)
    return secret


def text_of(sent: dict[str, Any], name: str) -> str:
    """A text of an object; a `ClassError` where it is none."""
    value = sent.get(name)
    if not isinstance(value, str):
        raise ClassError("class_bad_request", 400)
    return value


def number_of(sent: dict[str, Any], name: str) -> float:
    """A number of an object; a `ClassError` where it is none."""
    value = sent.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ClassError("class_bad_request", 400)
    try:
        return float(value)
    except OverflowError:
        raise ClassError("class_bad_request", 400) from None


def whole_of(sent: dict[str, Any], name: str) -> int:
    """A whole number of an object; a `ClassError` where it is none."""
    value = number_of(sent, name)
    if not abs(value) < 2**53 or value != int(value):
        raise ClassError("class_bad_request", 400)
    return int(value)
