"""Links as QR codes, for the phones in a room."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from urllib.parse import parse_qs

import segno
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

MAX_LINK = 2000  # characters; a phone's camera still reads it from a projector


_pen = ThreadPoolExecutor(1, thread_name_prefix="qr")  # a long link takes a tenth of a second


@lru_cache(maxsize=64)
def qr_svg(text: str) -> bytes:
    """A link as the SVG of a QR code (ISO/IEC 18004), error correction at least "L".

    Raises:
        ValueError: not a web address, or too long.
    """
    if not text.startswith(("http://", "https://")) or len(text) > MAX_LINK:
        raise ValueError(f"text must be a web address of at most {MAX_LINK} characters")
    out = io.BytesIO()
    segno.make(text, error="l", micro=False).save(
        out, kind="svg", scale=6, border=3, light="#fff", xmldecl=False
    )
    return out.getvalue()


async def drawn_qr(text: str) -> bytes:
    """See `qr_svg`; the event loop goes on meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(_pen, qr_svg, text)


class QrCodes:
    """ASGI middleware that answers `/qr?text=` and `/de/qr?text=`; everything else passes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or scope["method"] != "GET" or path not in ("/qr", "/de/qr"):
            await self.app(scope, receive, send)
            return
        text = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("text", [""])[0]
        try:
            answer: Response = Response(await drawn_qr(text), media_type="image/svg+xml")
        except ValueError as error:
            answer = PlainTextResponse(str(error), status_code=422)
        await answer(scope, receive, send)
