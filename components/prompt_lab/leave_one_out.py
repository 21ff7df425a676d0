"""Two experiments of the prompt lab: a word left out, and steering away from defects."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from components.page.picture_tabs import request_like
from components.page.prompt_bar import PromptBar
from components.prompt_lab.negative_view import measured_html, negative_running, negative_view
from components.prompt_lab.view import without_figure, without_running, without_view
from components.runs.batch import BatchViews, show_batch
from components.runs.queues import STEPPER
from components.runs.slot import RunSlot
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import html_escape, live_html, section
from components.ui.plots import plot
from pipelines.image.prompt_lab import finished, left_out_batch, negative_batch, negative_pairs
from pipelines.image.prompt_words import DEFECTS
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.serving import catalogue


def idle_html(text: str) -> str:
    """What stands in the place of a view that nobody has asked for yet."""
    return f'<p class="pl-facts">{html_escape(text)}</p>'


def wire_stop(view: gr.HTML, bar: PromptBar) -> None:
    """Let the stop button inside a view end the visitor's run."""
    view.stop(lambda slot: slot.stop(), bar.run, queue=False, api_visibility="private")


def build_without(bar: PromptBar, inputs: Sequence[Any], t: Texts) -> None:
    """Which word mattered most? Drawn and wired.

    Args:
        bar: the prompt bar.
        inputs: what `request_like` reads after the trace, then trace and run slot of the visitor.
        t: texts.
    """
    section(t("prompt_lab.without_title"), t("prompt_lab.without_hint"))
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
    wire_stop(view, bar)


def without_run(request: ImageRequest, slot: RunSlot, before: str, t: Texts) -> Iterator[tuple[Any, ...]]:
    """Draw a prompt without each of its words.

    Args:
        request: checked.
        slot: this visitor's.
        before: the view that comes back should the run draw nothing.
        t: texts.

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


def build_negative(bar: PromptBar, inputs: Sequence[Any], t: Texts) -> Callable[[], str]:
    """Negative prompts against defects, and the word "no"; drawn and wired.

    Args:
        bar: the prompt bar.
        inputs: as for `build_without`.
        t: texts.

    Returns:
        The view of what was measured, for the `gr.HTML` with the id "lab-measured".
    """
    section(t("prompt_lab.negative_title"), t("prompt_lab.negative_hint"))
    with gr.Row(equal_height=False, elem_classes="away-row"):
        defects = [(f"{word}", value) for value, word in DEFECTS.items()]
        defect = gr.Radio(defects, value=defects[0][1], label=t("prompt_lab.defect"), elem_id="lab-defect")
        button = gr.Button(t("prompt_lab.negative_run"), variant="primary", elem_id="lab-negative-run")
    idle = idle_html(t("prompt_lab.negative_idle"))
    view = live_html("prompt_lab/view", "lab-negative", t("prompt_lab.negative_title"), idle)
    kept = gr.State(None)

    @explained(t)
    def run(*values: Any) -> Iterator[Any]:
        *rest, trace, slot, defect, before = values
        # its texts are its own: an empty prompt in the bar does not keep one from trying
        request = request_like(trace, "a cat", "", *rest[2:])
        yield from negative_run(request, defect, slot, before or idle, t)

    button.click(run, [*inputs, defect, kept], [view, kept], trigger_mode="multiple", **STEPPER)
    wire_stop(view, bar)
    return lambda: measured_html(t)


def negative_run(
    request: ImageRequest, defect: str, slot: RunSlot, before: str, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Draw the two pairs of negative prompts.

    Args:
        request: checked; its texts are not used.
        defect: one of `DEFECTS`.
        slot: this visitor's.
        before: the view that comes back should the run draw nothing.
        t: texts.

    Yields:
        Values for the view, and for the view to be kept.
    """
    batch = negative_batch(request, defect)

    def done(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        page = negative_view(batch, negative_pairs(batch, steps), t)
        return page, page

    views = BatchViews(
        running=lambda sources, step: (negative_running(batch, sources, step, t), gr.skip()),
        finished=done,
        restored=lambda: (before, gr.skip()),
    )
    yield from show_batch(batch.requests, slot, "negative", views)
