"""The five kinds of attention on the page as one table, which stands in each of their tabs."""

import gradio as gr

from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.templates import templates

TABS = ("context", "dino", "cross_attention", "video", "audio")  # that show attention, in their order


def attention_kinds(tab: gr.Tab, stem: str, t: Texts) -> None:
    """Put the table below the note of a tab: who asks, who answers.

    Args:
        tab: where it stands; its frame is drawn already.
        stem: name of that tab, one of `TABS`, whose row is marked.
    """
    with tab:
        table = templates("ui/attention.html").kinds(TABS, stem, t)
        live_html("ui/attention", f"{stem}-attention-kinds", value=table, classes=["sv-kinds"], script=False)
