"""What a tab runs by itself when it is opened, and what waits for a click."""

import gradio as gr

from components.ui.language import Texts
from pipelines.serving import catalogue


def waits_for_click(model: str, t: Texts) -> bool:
    """Whether a model runs only when somebody asks for it, which the visitor is then told.

    A link can name any model that is there; one of the hub takes minutes on a processor.

    Args:
        model: id in the catalogue.
    """
    entry = catalogue.entry(model)
    if entry.family == "classroom":
        return False
    gr.Info(t("common.waits_for_click", model=entry.title), title=t("common.waits_for_click_title"))
    return True
