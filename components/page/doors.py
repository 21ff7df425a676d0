"""What comes from outside, before a handler sees it: forged values are refused, no address is fetched.

Gradio alone prints a traceback for each value that its components do not take, downloads a file that is given
as a web address, and serves any address as `file=`.
"""

import logging
import re
import traceback
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import BlockFunction
from gradio.state_holder import SessionState
from gradio_client.utils import is_http_url_like
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.ui.errors import Refused, Sparing, as_gradio_error, message
from components.ui.fields import filled
from components.ui.language import load_texts
from pipelines.serving.errors import InputError, fault_of

LANGUAGES = {"de": "de"}  # by page, or what a browser prefers; programs and all else read English
# Routes that the page never asks for: `deep_link` writes what a visitor's page holds to the disk for anyone
# who knows its session, `file=` and `proxy=` fetch from other hosts, the others run what they are sent.
_CLOSED = re.compile(
    r"/gradio_api/(deep_link|file[=/]\s*https?:|proxy=|process_recording|component_server)", re.IGNORECASE
)

# Whether the event of this request was refused for what was sent: Gradio answers 500 to every error.
_refused: ContextVar[bool] = ContextVar("refused", default=False)
failures = Sparing(most=20, log=logging.getLogger(__name__))


def scene_of(error: BaseException) -> str:
    """Kind of an error and the line that raised it; never its message, which may quote a visitor."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {'/'.join(Path(frames[-1].filename).parts[-2:])}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where


class GuardedBlocks(gr.Blocks):
    """Gradio's page, which says in a sentence what it does not take, fetches nothing, and logs a line."""

    async def preprocess_data(
        self,
        block_fn: BlockFunction,
        inputs: list[Any],
        state: SessionState | None,
        explicit_call: bool = False,
    ) -> list[Any]:
        """As Gradio's.

        Raises:
            gr.Error: a value that its component does not take, or a file that was not uploaded.
        """
        try:
            _check_addresses(inputs)
            if block_fn.page != "endpoints":  # those have sentences of their own
                _check_sendable(inputs)
            found = await super().preprocess_data(block_fn, inputs, state, explicit_call)
            return [filled(block, value) for block, value in zip(block_fn.inputs, found, strict=True)]
        except Exception as error:
            t = load_texts(LANGUAGES.get(block_fn.page, "en"))
            where = f"{block_fn.name} ({scene_of(error)})"
            for_page = block_fn.page != "endpoints"
            raise as_gradio_error(InputError("value_forged"), t, where, for_page) from error

    async def process_api(self, block_fn: BlockFunction | int, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As Gradio's, where no error of a handler is told, or printed, as it is.

        Raises:
            gr.Error: the event failed; see `as_gradio_error`.
        """
        event = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        try:
            if event.fn is None:  # it runs in the browser alone
                raise InputError("value_forged")
            _check_sendable(getattr(kwargs.get("event_data"), "_data", None))
            return await super().process_api(block_fn, *args, **kwargs)
        except Exception as error:
            t = load_texts(LANGUAGES.get(event.page, "en"))
            gradios = isinstance(error, gr.Error) and error.print_exception  # of a file that was not uploaded
            known = InputError("value_forged") if gradios else error
            told = as_gradio_error(known, t, str(event.name), event.page != "endpoints")
            _refused.set(isinstance(told, Refused))
            raise told from error


def _check_addresses(value: Any) -> None:
    """Refuse a file whose path is a web address: Gradio would download it.

    Raises:
        InputError: `value_forged`.
    """
    if isinstance(value, dict):
        if is_http_url_like(value.get("path")):
            raise InputError("value_forged")
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        _check_addresses(part)


def _check_sendable(value: Any) -> None:
    """Refuse what no message to the page can hold, lest it comes back in one: the page would wait for ever.

    Raises:
        InputError: `value_forged` for halves of UTF-16 pairs, or whole numbers of more than 64 bits.
    """
    parts: Any = ()
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InputError("value_forged") from None
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise InputError("value_forged")
    elif isinstance(value, dict):
        parts = (*value, *value.values())
    elif isinstance(value, list):
        parts = value
    for part in parts:
        _check_sendable(part)


class Doors:
    """ASGI middleware: closed routes are not found, a request that Gradio fails at is a line in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _CLOSED.match(path):
            await PlainTextResponse("Not Found", status_code=404)(scope, receive, send)
            return
        begun = False
        _refused.set(False)

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            if message.get("status") == 500 and _refused.get():
                message["status"] = 422
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            failures.warn("%s failed at a request (%s)", scope["method"], scene_of(error))
            if not begun:
                await _refusal(error, Headers(scope=scope))(scope, receive, send)


def _refusal(error: Exception, headers: Headers) -> PlainTextResponse:
    """What a request is answered that failed; the page shows it where an upload fails."""
    if not (fault := fault_of(error)):
        return PlainTextResponse("Bad Request", status_code=400)
    language = headers.get("accept-language", "").partition("-")[0].lower()
    return PlainTextResponse(message(fault, load_texts(LANGUAGES.get(language, "en"))), status_code=507)
