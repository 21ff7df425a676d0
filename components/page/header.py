"""What stands above and below the experiments."""

from collections.abc import Sequence

import gradio as gr

from components.ui.language import LANGUAGES, Texts
from components.ui.scene import Scene, scene_register
from components.ui.templates import templates

_html = templates("page/header.html")
HIDABLE = ("second", "negative", "numbers", "model", "examples")  # what a link can leave out of the bar


def build_header(t: Texts, chapters: Sequence[tuple[str, Sequence[str]]]) -> gr.HTML:
    """Name, purpose, the switches, and the chapters with a menu of tabs each.

    Args:
        chapters: name of each chapter with the stems of its tabs.
    """
    other = next(language for language in LANGUAGES if language != t.language)
    return gr.HTML(
        _html.header(other, "de" if other == "de" else "./", t)
        + _html.share(HIDABLE, t)
        + _html.chapter_menus(chapters, t),
        elem_id="sv-header",
        apply_default_css=False,
    )


def build_footer(scenes: Sequence[Scene], t: Texts) -> gr.HTML:
    """What the page is made of, the way in for programs, and the page's scenes as data for `stage.js`."""
    return gr.HTML(_html.footer(t) + scene_register(scenes), elem_classes="sv-end", apply_default_css=False)
