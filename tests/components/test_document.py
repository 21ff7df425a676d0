"""The document carries the language, and the rules and scripts of all views once."""

import re

import gradio as gr
import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

import app
from components.page.document import Document, dress, view_files, view_rules, view_scripts
from components.ui.layout import live_html, view_class

SKELETON = '<html lang="en"><head><meta charset="utf-8"></head><body></body></html>'


def test_between_tabs_there_is_nothing() -> None:
    """Gradio counts whatever stands there as a tab, a state, too, and then shows the last one twice."""
    tabs = [b for b in app.build().blocks.values() if isinstance(b, gr.Tabs)]
    assert len(tabs) == 2
    assert {type(child) for tab in tabs for child in tab.children} == {gr.Tab}


def live_views() -> list[gr.HTML]:
    """Every place of the page that has rules or a script of its own."""
    blocks = app.build().blocks.values()
    return [b for b in blocks if isinstance(b, gr.HTML) and any("sv-view-" in c for c in b.elem_classes)]


def test_every_view_finds_its_rules_and_its_script_in_the_document() -> None:
    rules, scripts = view_rules(), view_scripts()
    unruled = {view_class(key) for key in view_files(".js").keys() - view_files(".css").keys()}
    views = live_views()
    assert len(views) > 40
    for view in views:
        for name in (c for c in view.elem_classes if c.startswith("sv-view-")):
            assert f".{name}," in rules or name in unruled, name
        if view.js_on_load:
            called = re.match(r'svViews\["([\w/]+)"\]\(', view.js_on_load)
            assert called is not None
            assert f'"{called[1]}": function' in scripts


def test_no_place_carries_what_the_document_has() -> None:
    for view in live_views():
        assert not view.css_template
        assert len(view.js_on_load or "") < 100


def test_the_document_has_everything_once() -> None:
    html = dress(SKELETON, "de")
    assert 'lang="de"' in html
    for part in (view_rules(), view_scripts()):
        assert html.count(part) == 1
    assert html.index("svViews") < html.index("<meta")  # before Gradio's own scripts
    assert html.index(".sv-view-runs-trace") > html.index("<meta")  # after Gradio's own rules


def test_a_view_without_a_script_runs_none() -> None:
    with gr.Blocks():
        assert live_html("runs/trace", "a", script=False).js_on_load is None
        assert live_html("runs/trace", "b", also=("tokens/view",)).elem_classes == [
            "sv-view-tokens-view",
            "sv-view-runs-trace",
        ]


@pytest.mark.parametrize("query", ["", "?tab=audio&prompt=A%20cat%20%26%20a%20dog%3F&seed=7"])
def test_a_slash_behind_the_language_loses_nothing(query: str) -> None:
    """What people type, "/de/?tab=audio", leads to the same page as "/de?tab=audio"."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(f"{scope['path']}?{scope['query_string'].decode()}")(scope, receive, send)

    client = TestClient(Document(answer), "http://steuervektor")
    sent = client.get("/de/" + query, follow_redirects=False)
    assert sent.status_code == 307 and not sent.headers["location"].startswith(("/", "http"))
    assert client.get("/de/" + query).text == client.get("/de" + query).text == "/de?" + query[1:]


def test_the_document_has_the_keyboard_of_the_tabs_once_and_no_view_of_it() -> None:
    assert dress(SKELETON, "en").count("Home: 0, End: count - 1") == 1
    assert "page/keyboard" not in view_files(".js")
