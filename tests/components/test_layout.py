"""Visitors' words cannot break out of the HTML that they stand in."""

from html.parser import HTMLParser

import gradio as gr

from components.ui.layout import html_escape, is_open, section

HOSTILE = '"><script>alert(1)</script>'


def elements(html: str) -> list[str]:
    """The tags a browser would open."""
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append(tag)  # type: ignore[method-assign]
    parser.feed(html)
    return found


def test_what_visitors_typed_cannot_leave_its_element() -> None:
    with gr.Blocks():
        assert elements(section(HOSTILE, HOSTILE).value) == ["div", "h3", "p"]
        assert elements(section(HOSTILE).value) == ["div", "h3"]
    assert elements(html_escape(HOSTILE)) == []


def test_whether_a_tab_is_open_is_the_first_input_and_the_others_stay() -> None:
    script = is_open("tokens")
    assert script.startswith("(_, ...rest) => [") and script.endswith(", ...rest]")
    assert "#tab-tokens" in script
