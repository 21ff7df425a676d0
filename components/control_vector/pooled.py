"""One vector alone: the end token's vector at every place, against the whole sequence."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from components.control_vector.lever import ALSO, STEM, bar_inputs, request_of
from components.page.prompt_bar import PromptBar
from components.runs.batch import BatchViews, show_batch
from components.runs.frames import encode
from components.runs.queues import STEPPER
from components.runs.slot import RunSlot
from components.runs.trace_view import facts
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.numbers import fixed
from components.ui.scene import scene
from components.ui.templates import templates
from pipelines.image.control_vector import SEEDS, finish, pooled_requests
from pipelines.image.request import DenoiseStep, ImageRequest


def pooled_view(
    request: ImageRequest | None,
    sources: Sequence[str],
    status: str,
    means: tuple[float, float] | None,
    t: Texts,
) -> str:
    """The same seeds with the whole sequence, and with one vector at every place.

    Args:
        request: of one of the runs; None before anybody asked.
        sources: addresses, first those with the sequence; none before the first step.
        status: where the run is, or what came out.
        means: CLIP's mean score of either row, once it is known.
    """
    sources = sources or [""] * (2 * SEEDS)
    rows = []
    for i, key in enumerate(("pooled_sequence", "pooled_only")):
        score = t("control_vector.pooled_mean", score=fixed(means[i], t), count=SEEDS) if means else ""
        rows.append((t(f"control_vector.{key}"), score, sources[i * SEEDS : (i + 1) * SEEDS]))
    state = "idle" if request is None else "done" if means else "running"
    below = facts(request, t) if request else ""
    return templates("control_vector/lever.html").pooled(state, rows, status, below)


def build_pooled(bar: PromptBar, t: Texts) -> None:
    """The end token's vector at every place: layout and wiring."""
    with scene(
        t,
        "control_vector.pooled",
        t("control_vector.ablation_title"),
        t("control_vector.ablation_hint", count=SEEDS),
        filled_by="cv-pooled-start",
    ):
        with gr.Row():
            start = gr.Button(t("control_vector.ablation_start", count=2 * SEEDS), variant="primary",
                              elem_id="cv-pooled-start", scale=0, min_width=340)  # fmt: skip
            stop = gr.Button(t("control_vector.stop"), variant="stop", elem_id="cv-pooled-stop",
                             interactive=False, scale=0)  # fmt: skip
        idle = pooled_view(None, (), t("control_vector.ablation_idle"), None, t)
        view = live_html(STEM, "cv-pooled-view", value=idle, also=ALSO, script=False)

    @explained(t)
    def on_click(*values: Any) -> Iterator[Any]:
        *given, before, slot = values
        yield from draw_pooled(request_of(given), before, slot, t)

    kept = gr.State(None)
    start.click(on_click, [*bar_inputs(bar), kept, bar.run], [view, stop, kept], trigger_mode="multiple",
                **STEPPER)  # fmt: skip
    stop.click(lambda slot: slot.stop(), bar.run, queue=False, api_visibility="private")


def draw_pooled(
    request: ImageRequest, before: str | None, slot: RunSlot, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Draw a few seeds with the sequence and with one vector at every place, side by side.

    Args:
        request: checked.
        before: the view so far, which comes back should the run draw nothing.

    Yields:
        Values for view, stop button and the view to keep.
    """
    requests = pooled_requests(request)

    def running(sources: Sequence[str], done: int) -> tuple[Any, ...]:
        status = t("image.step", step=done, total=request.num_inference_steps) if done else t("image.waiting")
        page = pooled_view(request, sources, status, None, t)
        return page, gr.skip() if done else gr.update(interactive=True), gr.skip()

    def finished(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        drawn = finish(requests, steps, [request.prompt])
        means, status = None, t("control_vector.stopped", step=steps[0].index + 1, total=steps[0].total)
        if steps[0].index + 1 == steps[0].total:
            first, second = drawn.clip_scores[:SEEDS, 0], drawn.clip_scores[SEEDS:, 0]
            means = (float(first.mean()), float(second.mean()))
            better = int((first > second).sum())
            status = t("control_vector.ablation_result", better=better, count=SEEDS)
        page = pooled_view(request, [encode(p) for p in drawn.images], status, means, t)
        return page, gr.update(interactive=False), page

    def restored() -> tuple[Any, ...]:
        idle = pooled_view(None, (), t("control_vector.ablation_idle"), None, t)
        return before or idle, gr.update(interactive=False), gr.skip()

    yield from show_batch(requests, slot, "pooled", BatchViews(running, finished, restored))
