"""The section of the prompt lab that leaves out one word after another."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from components.page.picture_tabs import request_like
from components.page.prompt_bar import PromptBar
from components.prompt_lab.view import idle_html, without_figure, without_running, without_view
from components.runs.batch import BatchViews, show_batch
from components.runs.queues import STEPPER
from components.runs.slot import RunSlot
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.plots import plot
from components.ui.scene import scene
from pipelines.image.prompt_lab import finished, left_out_batch
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.serving import catalogue


def build_without(bar: PromptBar, inputs: Sequence[Any], t: Texts) -> None:
    """Which word mattered most? Drawn and wired.

    Args:
        inputs: what `request_like` reads after the trace, then trace and run slot of the visitor.
    """
    asked = t("prompt_lab.without_title"), t("prompt_lab.without_hint")
    with scene(t, "prompt_lab.leave_one_out", *asked, filled_by="lab-without-run"):
        button = gr.Button(t("prompt_lab.without_run"), variant="primary", elem_id="lab-without-run")
        idle = idle_html(t("prompt_lab.without_idle"))
        view = live_html("prompt_lab/view", "lab-without", t("prompt_lab.without_title"), idle)
        bars = plot(t("prompt_lab.bars_alt"), visible=False, elem_id="lab-without-bars")
    kept = gr.State(None)

    @explained(t)
    def run(*values: Any) -> Iterator[Any]:
        *rest, trace, slot, before = values
        request = request_like(trace, *rest)
        yield from without_run(request, slot, before or idle, t)

    button.click(run, [*inputs, kept], [view, bars, kept], trigger_mode="multiple", **STEPPER)
    view.stop(lambda slot: slot.stop(), bar.run, queue=False, api_visibility="private")


def without_run(request: ImageRequest, slot: RunSlot, before: str, t: Texts) -> Iterator[tuple[Any, ...]]:
    """Draw a prompt without each of its words.

    Args:
        request: checked.
        before: the view that comes back should the run draw nothing.

    Yields:
        Values for the view, the figure, and the view to be kept.
    """
    batch = left_out_batch(request)

    def done(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        pictures = finished(batch, steps)
        page = without_view(request, pictures, t)
        bars = without_figure(pictures, catalogue.default_id("clip"), t)
        return page, gr.update(value=bars, visible=True), page

    views = BatchViews(
        running=lambda sources, step: (without_running(batch, sources, step, t), gr.skip(), gr.skip()),
        finished=done,
        restored=lambda: (before, gr.skip(), gr.skip()),
    )
    yield from show_batch(batch.requests, slot, "without", views)
