"""The HTML document around Gradio's page: its language, look and script are there from the first byte.

Gradio adds `head=` only after its own scripts have run: too late to choose the language of the page.
"""

import gzip
import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.page import theme
from components.page.address import VERSION, as_asked
from components.page.vocabulary import script_data
from components.ui.language import load_texts
from components.ui.layout import view_class

HERE = Path(__file__).parents[1]
PAGES = {"/": "en", "/de": "de"}
# The page's own files, in the order in which they run.
SCRIPTS = (
    "page/page", "page/chapters", "page/keyboard", "lesson/wire", "page/stage", "lesson/lead", "lesson/class",
    "lesson/record", "page/share", "page/stale", "page/vocabulary", "page/terms",
)  # fmt: skip
RULES = ("page/style", "page/stage", "lesson/class")
# What the page says of itself, from `common.hint`.
HINTS = ("lost", "crowded", "number", "range")
GZIP_LEVEL = 4  # a page in 10 ms; level 9 takes thrice as long for 5 % less
MOST_DOCUMENTS = 8  # of 1.1 MB each; an app has two pages at one or two addresses
# Headers by which Gradio finds the address that it writes into its document.
_ADDRESSED_BY = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")
# What belongs to the whole page, or is loaded where it is used.
_NO_VIEWS = re.compile(r"page/(?!words)|lesson/|embeddings/move_prompts$")


def view_files(suffix: str) -> dict[str, str]:
    """Rules (".css") or scripts (".js") of all views by key: the path below `components`, no suffix."""
    paths = sorted(HERE.rglob(f"*{suffix}"))
    keys = {path.relative_to(HERE).with_suffix("").as_posix(): path for path in paths}
    return {key: path.read_text("utf-8") for key, path in keys.items() if not _NO_VIEWS.match(key)}


@lru_cache(maxsize=1)
def view_rules() -> str:
    """The rules of all views (`layout.live_html`), each within the places of its own kind.

    `:not(#_)` gives them the weight of an id, so that they win against Gradio's. `:is(…, #_)` would, too, but
    browsers look rules up by a class, an id or a tag, and would ask such a one of every element.
    """
    return "".join(f".{view_class(key)}:not(#_) {{{rules}}}" for key, rules in view_files(".css").items())


@lru_cache(maxsize=1)
def view_scripts() -> str:
    """The scripts of all views as functions by key; Gradio calls one for each place of its kind."""
    bodies = (
        f"{json.dumps(key)}: function (element, trigger, props, upload, watch) {{{script}}}"
        for key, script in view_files(".js").items()
    )
    return f"window.svViews = {{{','.join(bodies)}}};"


def _pairs(kind: str, language: str) -> list[tuple[str, str]]:
    """What Gradio says in English alone, with the page's own words."""
    gradios, own = (load_texts(name).many(f"common.gradio_{kind}") for name in ("en", language))
    return list(zip(gradios, own, strict=True))


@lru_cache(maxsize=2)
def _own(names: Sequence[str], suffix: str) -> str:
    """The page's own files, one after the other."""
    return "".join((HERE / f"{name}{suffix}").read_text("utf-8") for name in names)


@lru_cache(maxsize=len(PAGES))
def page_script(language: str) -> str:
    """What the page's scripts are told, and the scripts themselves."""
    t = load_texts(language)
    teacher = {name: text for name, text in t.table("quiz.words").items() if name.startswith("teacher_")}
    told = {
        "svTitle": t("common.page_title"),
        "svWords": _pairs("words", language),
        "svMessages": _pairs("messages", language),
        "svHints": {name: t(f"common.hint.{name}") for name in HINTS},
        "svStage": t.table("common.stage"),
        "svLesson": t.table("lesson.remote") | t.table("lesson.stage") | t.table("lesson.record") | teacher,
        "svStale": t("common.stale"),
        "svTerms": {
            key.removesuffix(".term"): text
            for key, text in t.table("quiz.glossary").items()
            if key.endswith(".term")
        },
        "svShare": {"qr_too_long": t("common.share.qr_too_long")},
        "svLinkVersion": VERSION,
    }
    said = "".join(f"window.{name}={json.dumps(value)};" for name, value in told.items())
    said += f"window.svVocabulary={script_data(language)};"
    return said + _own(SCRIPTS, ".js") + view_scripts()


def dress(html: str, language: str, query: Mapping[str, str] = MappingProxyType({})) -> str:
    """Gradio's document with the page's language, script, fonts and rules.

    The script goes first, so that it runs before Gradio's; the rules go last, so that they win.
    """
    html = as_asked(html, query)
    # Addresses are relative to the page's own folder without it, too; with it, Plotly's `url(#clip)` and a
    # link to `#tabs` would mean another document as soon as the address changes.
    html = re.sub(r'<base href="\./"\s*/?>', "", html, count=1)
    # Behind a proxy the server knows neither its host nor its folder: `page.js` sets both.
    html = re.sub(r'const root = "[^"]*";', "const root = window.gradio_config.root;", html, count=1)
    html = html.replace('<link rel="manifest" href="/manifest.json" />', "", 1)
    rules = theme.font_faces() + _own(RULES, ".css") + view_rules()
    html = html.replace('lang="en"', f'lang="{language}"', 1)
    html = html.replace("<head>", f"<head>{theme.font_links()}<script>{page_script(language)}</script>", 1)
    return html.replace("</head>", f"<style>{rules}</style></head>", 1)


class Document:
    """ASGI middleware that dresses and compresses the two pages; everything else passes, "/de/" to "/de".

    Gradio's document is the same for all visitors who come by one address. It is made once for each of the
    last `MOST_DOCUMENTS`: copying and searching all parts of the page takes a quarter of a second.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._documents: OrderedDict[tuple[str, ...], tuple[Message, bytes]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] == "http" and path == "/de/":
            # Gradio would send on without the query; a relative address holds behind any proxy
            query = scope.get("query_string", b"").decode("latin-1")
            await RedirectResponse("../de" + ("?" + query if query else ""))(scope, receive, send)
            return
        if scope["type"] != "http" or path not in PAGES or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            # So Gradio asks at start whether it is reachable, for three seconds; a page can take longer.
            await Response(media_type="text/html")(scope, receive, send)
            return
        start, body = await self._document(path, scope, receive)
        headers = MutableHeaders(raw=list(start["headers"]))
        if headers.get("content-type", "").startswith("text/html"):
            html = dress(body.decode("utf-8"), PAGES[path], QueryParams(scope["query_string"]))
            body = html.encode("utf-8")
            headers.add_vary_header("Accept-Encoding")
            if "gzip" in Headers(scope=scope).get("accept-encoding", ""):
                body = gzip.compress(body, GZIP_LEVEL)
                headers["content-encoding"] = "gzip"
            headers["content-length"] = str(len(body))
        await send({**start, "headers": headers.raw})
        await send({"type": "http.response.body", "body": body})

    async def _document(self, path: str, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """Start and body of Gradio's answer, before it is dressed."""
        given = Headers(scope=scope)
        address = (path, scope.get("root_path", ""), scope.get("scheme", ""), str(scope.get("server")),
                   *(given.get(name, "") for name in _ADDRESSED_BY))  # fmt: skip
        if (known := self._documents.get(address)) is not None:
            self._documents.move_to_end(address)
            return known
        start: Message = {}
        body = b""

        async def keep(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
            else:
                body += message.get("body", b"")

        # without the query: by a name in it Gradio would look for a state to begin with, which is not offered
        await self.app({**scope, "query_string": b""}, receive, keep)
        if start["status"] == 200:
            self._documents[address] = start, body
            while len(self._documents) > MOST_DOCUMENTS:
                self._documents.popitem(last=False)
        return start, body
