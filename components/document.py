"""The HTML document around Gradio's page: its language, look and script are there from the first byte.

Gradio adds `head=` only after its own scripts have run: too late to choose the language of the page.
"""

import json
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components import theme
from components.language import load_texts

HERE = Path(__file__).parent
PAGES = {"/": "en", "/de": "de"}


def dress(html: str, language: str) -> str:
    """Gradio's document with the page's language, script, fonts and rules.

    The script goes first, so that it runs before Gradio's; the rules go last, so that they win.
    """
    title = json.dumps(load_texts(language)("common.page_title"))
    gradios, own = (load_texts(name).many("common.gradio_words") for name in ("en", language))
    words = json.dumps(list(zip(gradios, own, strict=True)))
    script = (HERE / "page.js").read_text("utf-8")
    rules = theme.font_faces() + (HERE / "style.css").read_text("utf-8")
    html = html.replace('lang="en"', f'lang="{language}"', 1)
    html = html.replace(
        "<head>", f"<head><script>window.svTitle={title};window.svWords={words};{script}</script>", 1
    )
    return html.replace("</head>", f"<style>{rules}</style></head>", 1)


class Document:
    """ASGI middleware that dresses the two pages and passes everything else through."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or scope["method"] != "GET" or path not in PAGES:
            await self.app(scope, receive, send)
            return
        start: Message = {}
        body = b""

        async def dressed(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            headers = MutableHeaders(raw=start["headers"])
            if headers.get("content-type", "").startswith("text/html"):
                body = dress(body.decode("utf-8"), PAGES[path]).encode("utf-8")
                headers["content-length"] = str(len(body))
            await send({**start, "headers": headers.raw})
            await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, dressed)
