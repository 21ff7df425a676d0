"""What a tab runs by itself when it is opened, and what waits for a click."""

import gradio as gr

from components.ui.language import Texts
from pipelines.image.load import parts_take_turns
from pipelines.serving import catalogue


def runs_unasked(model: str) -> bool:
    """Whether a model answers at once; one of the hub takes minutes on a processor.

    Args:
        model: id in the catalogue.
    """
    return catalogue.entry(model).family == "classroom"


def waits_for_click(model: str, t: Texts) -> bool:
    """Whether a model runs only when somebody asks for it, which the visitor is then told.

    A link can name any model that is there.

    Args:
        model: id in the catalogue.
    """
    if runs_unasked(model):
        return False
    title = catalogue.entry(model).title
    said = t("common.waits_for_click", model=title)
    if parts_take_turns(model):
        said = f"{said} {t('common.takes_turns')}"
    gr.Info(said, title=t("common.waits_for_click_title"))
    return True
