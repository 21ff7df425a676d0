"""The section on negative prompts of the prompt lab: steering away from defects, and the word "no"."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from components.page.picture_tabs import request_like
from components.page.prompt_bar import PromptBar
from components.prompt_lab.negative_view import measured_html, negative_running, negative_view
from components.prompt_lab.view import idle_html
from components.runs.batch import BatchViews, show_batch
from components.runs.queues import STEPPER
from components.runs.slot import RunSlot
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.presets import preset_chips, wire_presets
from components.ui.scene import scene
from pipelines.image.prompt_lab import negative_batch, negative_pairs
from pipelines.image.prompt_words import DEFECTS
from pipelines.image.request import DenoiseStep, ImageRequest

# Prompt and negative prompt: the lecture's "no text, no blur, no watermark", on either side.
NO_PRESETS = (
    ("a cat, no text", ""),
    ("a cat, no text, no blur, no watermark", ""),
    ("a cat", "no text, no blur, no watermark"),
)


def build_negative(bar: PromptBar, inputs: Sequence[Any], t: Texts) -> Callable[[], str]:
    """Negative prompts against defects, and the word "no"; drawn and wired.

    Args:
        inputs: what `request_like` reads after the trace, then trace and run slot of the visitor.

    Returns:
        The view of what was measured, for the `gr.HTML` with the id "lab-measured".
    """
    with scene(t, "prompt_lab.negative", filled_by="lab-negative-run"):
        titles = [" − ".join(filter(None, texts)) for texts in NO_PRESETS]
        chips = preset_chips(t("prompt_lab.no_presets"), titles, "lab-no")
        with gr.Row(equal_height=False, elem_classes="away-row"):
            defects = [(f"{word}", value) for value, word in DEFECTS.items()]
            defect = gr.Radio(
                defects, value=defects[0][1], label=t("prompt_lab.defect"), elem_id="lab-defect"
            )
            button = gr.Button(t("prompt_lab.negative_run"), variant="primary", elem_id="lab-negative-run")
        idle = idle_html(t("prompt_lab.negative_idle"))
        view = live_html("prompt_lab/view", "lab-negative", t("prompt_lab.negative_title"), idle)
    wire_presets(chips, NO_PRESETS, [bar.prompt, bar.negative_prompt])
    bar.keep("prompt_lab", defect=defect)
    kept = gr.State(None)

    @explained(t)
    def run(*values: Any) -> Iterator[Any]:
        *rest, trace, slot, defect, before = values
        # its texts are its own: an empty prompt in the bar does not keep one from trying
        request = request_like(trace, "a cat", "", *rest[2:])
        yield from negative_run(request, defect, slot, before or idle, t)

    button.click(run, [*inputs, defect, kept], [view, kept], trigger_mode="multiple", **STEPPER)
    view.stop(lambda slot: slot.stop(), bar.run, queue=False, api_visibility="private")
    return lambda: measured_html(t)


def negative_run(
    request: ImageRequest, defect: str, slot: RunSlot, before: str, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Draw the two pairs of negative prompts.

    Args:
        request: checked; its texts are not used.
        defect: one of `DEFECTS`.
        before: the view that comes back should the run draw nothing.

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
