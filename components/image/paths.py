"""The path of a picture's latents: straight, or curved."""

from typing import Any

import gradio as gr

from components.image.figures import paths_figure, paths_sentence
from components.page.prompt_bar import PromptBar
from components.runs.queues import STEPPER
from components.runs.trace_view import facts, note
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.plots import plot
from components.ui.scene import scene
from pipelines.image.paths import latent_paths
from pipelines.image.request import Trace


def build_paths(bar: PromptBar, t: Texts) -> None:
    """The path of the picture that is shown, drawn when somebody asks for it: layout and wiring."""
    with scene(t, "image.paths", stage="none"):
        show = gr.Button(t("image.paths"), elem_id="image-paths", scale=0, min_width=340)
        figure = plot(t("image.paths_alt"), elem_id="image-paths-figure", visible=False)
        said = live_html("runs/trace", "image-paths-said", t("image.paths_title"), script=False)

    @explained(t)
    def on_click(trace: Trace | None) -> Any:
        return paths_of(trace, t)

    show.click(on_click, bar.trace, [figure, said], **STEPPER)


def paths_of(trace: Trace | None, t: Texts) -> tuple[Any, str]:
    """Values for the figure and the sentence below it.

    Args:
        trace: this visitor's last; None before the first.
    """
    if trace is None:
        return gr.update(visible=False), note(t("image.paths_nothing"))
    found = latent_paths([trace])
    figure = gr.update(value=paths_figure(found, t), visible=True)
    return figure, note(paths_sentence(trace, found, t), facts(trace.request, t))
