"""The document carries the language, and the rules and scripts of all views once."""

import json
import re
from pathlib import Path

import gradio as gr
import pytest
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from components import page
from components.page.address import as_asked
from components.page.document import MOST_DOCUMENTS, Document, dress, view_files, view_rules, view_scripts
from components.ui.layout import live_html, view_class

SKELETON = '<html lang="en"><head><meta charset="utf-8"></head><body></body></html>'


def test_between_tabs_there_is_nothing(demo: gr.Blocks) -> None:
    """Gradio counts whatever stands there as a tab, a state, too, and then shows the last one twice."""
    tabs = [b for b in demo.blocks.values() if isinstance(b, gr.Tabs)]
    assert len(tabs) == 2
    assert {type(child) for tab in tabs for child in tab.children} == {gr.Tab}


@pytest.fixture(scope="module")
def live_views(demo: gr.Blocks) -> list[gr.HTML]:
    """Every place of the page that has rules or a script of its own."""
    return [
        b
        for b in demo.blocks.values()
        if isinstance(b, gr.HTML) and any("sv-view-" in c for c in b.elem_classes)
    ]


def test_every_view_finds_its_rules_and_its_script_in_the_document(live_views: list[gr.HTML]) -> None:
    rules, scripts = view_rules(), view_scripts()
    unruled = {view_class(key) for key in view_files(".js").keys() - view_files(".css").keys()}
    assert len(live_views) > 40
    for view in live_views:
        for name in (c for c in view.elem_classes if c.startswith("sv-view-")):
            assert f".{name}:" in rules or name in unruled, name
        if view.js_on_load:
            called = re.match(r'svViews\["([\w/]+)"\]\(', view.js_on_load)
            assert called is not None
            assert f'"{called[1]}": function' in scripts


def test_no_place_carries_what_the_document_has(live_views: list[gr.HTML]) -> None:
    for view in live_views:
        assert not view.css_template
        assert len(view.js_on_load or "") < 100


def test_no_rule_asks_the_whole_page_at_each_change() -> None:
    """`:has()` at the root is looked for everywhere whenever anything changes: scenes took thrice as long."""
    rules = [path.read_text("utf-8") for path in Path(page.__file__).parents[1].rglob("*.css")]
    assert len(rules) > 10
    for text in rules:
        assert not re.search(r"(?<![\w.#-])(?:html|body|:root)[^\s,{]*:has\(", text)
    # what begins with `:is()` of several is asked of every element
    for key in view_files(".css"):
        assert f".{view_class(key)}:not(#_) {{" in view_rules(), key


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
        await PlainTextResponse(scope["path"])(scope, receive, send)

    client = TestClient(Document(answer), "http://steuervektor")
    sent = client.get("/de/" + query, follow_redirects=False)
    assert sent.status_code == 307 and not sent.headers["location"].startswith(("/", "http"))
    followed = client.get("/de/" + query)
    assert (followed.text, str(followed.url)) == ("/de", "http://steuervektor/de" + query)


def test_the_document_has_the_keyboard_of_the_tabs_once_and_no_view_of_it() -> None:
    assert dress(SKELETON, "en").count("Home: 0, End: count - 1") == 1
    assert "page/keyboard" not in view_files(".js")


PAGE = (
    '<html lang="en"><head></head><body><script>window.gradio_config = {"components":['
    '{"id":3,"type":"textbox","props":{"value":"A \\u003c cat","elem_id":"prompt","lines":1},"key":null},'
    '{"id":9,"type":"slider","props":{"value":5,"elem_id":"guidance-dial"},"key":null},'
    '{"id":10,"type":"tabs","props":{"elem_id":"tabs"},"key":null},'
    '{"id":11,"type":"tabitem","props":{"elem_id":"tab-guidance"},"key":null}]};</script></body></html>'
)


def components_of(html: str) -> dict[str, dict[str, object]]:
    text = html.split("window.gradio_config = ")[1].split(";</script>")[0]
    return {each["props"]["elem_id"]: each["props"] for each in json.loads(text)["components"]}


def test_a_page_comes_as_its_address_asks() -> None:
    assert as_asked(PAGE, {}) == PAGE
    found = components_of(as_asked(PAGE, {"prompt": "ein Bär", "guidance_scale": "7.5", "tab": "guidance"}))
    assert found["prompt"] == {"value": "ein Bär", "elem_id": "prompt", "lines": 1}
    assert found["guidance-dial"]["value"] == 7.5
    assert found["tabs"]["selected"] == "guidance"
    assert components_of(as_asked(PAGE, {"scene": "guidance.sum"}))["tabs"]["selected"] == "guidance"


@pytest.mark.parametrize("tab", ["video", 'guidance"', "../guidance", "", "Guidance"])
def test_a_tab_that_is_not_there_is_not_opened(tab: str) -> None:
    assert as_asked(PAGE, {"tab": tab}) == PAGE


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", '"},{"id":1', "\\", "\u2028", "<!--", "&quot;"]
)
def test_whatever_the_address_says_stays_a_text_in_the_script(text: str) -> None:
    html = as_asked(PAGE, {"prompt": text, "seed": text, "scene": text})
    assert components_of(html)["prompt"]["value"] == text
    assert html.count("<script") == PAGE.count("<script") and html.count("</script") == PAGE.count("</script")
    assert "<!--" not in html and "\u2028" not in html


def test_numbers_of_the_address_that_are_none_leave_the_defaults() -> None:
    assert components_of(as_asked(PAGE, {"guidance_scale": "1e999"}))["guidance-dial"]["value"] == 5


def test_a_head_request_is_answered_without_the_page() -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the page was made")

    answer = TestClient(Document(never), "http://steuervektor").head("/de")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")


def test_only_what_shows_its_progress_reports_it(demo: gr.Blocks) -> None:
    quiet = [event for event in demo.fns.values() if event.show_progress == "hidden"]
    assert len(quiet) > 300 and all(event.show_progress_on == [] for event in quiet)


def test_a_document_is_made_once_for_each_address() -> None:
    made: list[str] = []

    async def gradio(scope: Scope, receive: Receive, send: Send) -> None:
        made.append(f"{scope['path']} of {dict(scope['headers'])[b'host'].decode()}")
        status = 503 if len(made) == 1 else 200
        await HTMLResponse(SKELETON.replace("</body>", made[-1] + "</body>"), status)(scope, receive, send)

    document = Document(gradio)
    for host in ("a", "b"):
        client = TestClient(document, f"http://{host}")
        for path, language in (("/", "en"), ("/de", "de"), ("/?prompt=a+dog", "en")):
            for encoding in ("gzip", "identity"):
                answer = client.get(path, headers={"Accept-Encoding": encoding})
                assert f"{path.partition('?')[0]} of {host}</body>" in answer.text
                assert f'lang="{language}"' in answer.text and answer.text.count("svViews") >= 1
                assert int(answer.headers["content-length"]) > len(SKELETON)
    assert made == ["/ of a", "/ of a", "/de of a", "/ of b", "/de of b"], (
        "a failure was kept, or no document"
    )
    behind = TestClient(document, "http://a").get("/", headers={"X-Forwarded-Host": "school.example"})
    assert behind.status_code == 200 and len(made) == 6
    for k in range(MOST_DOCUMENTS):
        TestClient(document, f"http://host-{k}").get("/")
    assert len(document._documents) == MOST_DOCUMENTS
