"""Visitors' words cannot break out of the HTML that they stand in."""

from html.parser import HTMLParser

import gradio as gr

from components.ui.language import load_texts
from components.ui.layout import html_escape, is_open
from components.ui.scene import scene

HOSTILE = '"><script>alert(1)</script>'


def elements(html: str) -> list[str]:
    """The tags a browser would open."""
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append(tag)  # type: ignore[method-assign]
    parser.feed(html)
    return found


def heading(*words: str) -> str:
    """The heading of a scene that stands open, as HTML."""
    with gr.Blocks() as page, scene(load_texts("en"), "tab.name", *words, kind="open"):
        pass
    return next(str(block.value) for block in page.blocks.values() if isinstance(block, gr.HTML))


def test_what_visitors_typed_cannot_leave_its_element() -> None:
    assert elements(heading(HOSTILE, HOSTILE)) == ["div", "h3", "p"]
    assert elements(heading(HOSTILE)) == ["div", "h3"]
    assert elements(html_escape(HOSTILE)) == []


def test_whether_a_tab_is_open_is_the_first_input_and_the_others_stay() -> None:
    script = is_open("tokens")
    assert script.startswith("(_, ...rest) => [") and script.endswith(", ...rest]")
    assert "#tab-tokens" in script
