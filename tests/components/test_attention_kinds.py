"""The table of the five kinds of attention, and its place in each of their tabs."""

import re

import gradio as gr
import pytest

from components.ui.attention import TABS
from components.ui.language import load_texts
from components.ui.templates import templates


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("stem", TABS)
def test_the_row_of_the_tab_is_marked_and_no_other(stem: str, language: str) -> None:
    t = load_texts(language)
    page = templates("ui/attention.html").kinds(TABS, stem, t)
    rows = re.findall(r"<tr[^>]*>.*?</tr>", page, re.DOTALL)[1:]
    marked = [row for row in rows if "aria-current" in row]
    assert len(rows) == 5 and len(marked) == 1
    assert f'<th scope="row">{t(f"{stem}.tab")}<' in marked[0]
    assert all(t(f"attention.{tab}.asks") in row for tab, row in zip(TABS, rows, strict=True))


def test_each_of_the_five_tabs_has_it_last(demo: gr.Blocks) -> None:
    blocks = demo.blocks.values()
    for stem in TABS:
        tabs = [block for block in blocks if getattr(block, "elem_id", None) == f"tab-{stem}"]
        assert len(tabs) == 2, "one per language"
        for tab in tabs:
            assert tab.children[-1].elem_id == f"{stem}-attention-kinds"
