"""The section "one word or another seed": the measured distributions, and a trial on one's own prompt."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from components.page.picture_tabs import request_like
from components.page.prompt_bar import Dependent, PromptBar
from components.prompt_lab.seeds_view import (
    MEASURES,
    SEEDS,
    distribution_figure,
    distribution_text,
    seeds_running,
    seeds_view,
)
from components.prompt_lab.view import idle_html
from components.runs.batch import BatchViews, show_batch
from components.runs.queues import STEPPER
from components.runs.slot import RunSlot
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.plots import plot
from components.ui.scene import scene
from pipelines.image.prompt_lab import SeedTrial, compare_seeds, decoded, seeds_batch
from pipelines.image.prompt_words import DIMENSIONS, with_value, words_of
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.serving.measured import WORD_KINDS, word_distances


def build_seeds(bar: PromptBar, tab: gr.Tab, inputs: Sequence[Any], t: Texts) -> None:
    """Draw the section and wire it.

    Args:
        tab: the distributions are drawn when it is opened.
        inputs: what `request_like` reads after the trace, then trace and run slot of the visitor.
    """
    with scene(t, "prompt_lab.seeds", stage="beside"):
        with gr.Row():
            kinds = [(t(f"prompt_lab.kind.{kind}"), kind) for kind in ("all", *WORD_KINDS)]
            kind = gr.Dropdown(kinds, value="all", label=t("prompt_lab.kind_label"), filterable=False,
                               elem_id="lab-kind", min_width=290)  # fmt: skip
            measures = [(t(f"prompt_lab.measure_{measure}"), measure) for measure in MEASURES]
            measure = gr.Radio(
                measures,
                value="clip",
                label=t("prompt_lab.measure_label"),
                elem_id="lab-measure",
                min_width=290,
            )
        told = live_html("prompt_lab/view", "lab-words", t("prompt_lab.seeds_title"))
        figure_place = plot(t("prompt_lab.seeds_alt"), elem_id="lab-distribution", visible=False)
    own = t("prompt_lab.own_title"), t("prompt_lab.own_hint", seeds=SEEDS)
    with scene(t, "prompt_lab.own", *own, filled_by="lab-own-run"):
        with gr.Row(equal_height=False, elem_classes="away-row"):
            choices = [(t(f"prompt_lab.dimension.{d}"), d) for d in DIMENSIONS]
            dimension = gr.Dropdown(choices, value="content", label=t("prompt_lab.own_dimension"),
                                    filterable=False, elem_id="lab-own-dimension")  # fmt: skip
            value = gr.Dropdown(
                _values("content"), value=_values("content")[1][1], label=t("prompt_lab.own_value"),
                filterable=False, elem_id="lab-own-value",
            )  # fmt: skip
            button = gr.Button(t("prompt_lab.own_run"), variant="primary", elem_id="lab-own-run")
        view = live_html(
            "prompt_lab/view", "lab-own", t("prompt_lab.own_title"), idle_html(t("prompt_lab.own_idle"))
        )
    bar.keep(
        "prompt_lab",
        {"value": Dependent("dimension", _values, -1)},
        kind=kind,
        measure=measure,
        dimension=dimension,
        value=value,
    )
    trial, kept = gr.State(None), gr.State(None)
    show, run = _handlers(t)
    call: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    gr.on([kind.input, measure.input, tab.select], show, [kind, measure, trial], [told, figure_place], **call)
    dimension.input(
        lambda d: gr.Dropdown(_values(d), value=_values(d)[-1][1]), dimension, value, queue=False, **call
    )
    button.click(
        run, [*inputs, dimension, value, kind, measure, kept], [view, figure_place, trial, kept],
        trigger_mode="multiple", **STEPPER,
    )  # fmt: skip
    view.stop(lambda slot: slot.stop(), bar.run, queue=False, api_visibility="private")


def _plotted(kind: str, measure: str, trial: SeedTrial | None, t: Texts) -> Any:
    """The distributions, or no place for them where there are none to show."""
    found = distribution_figure(kind, measure, trial, t)
    return gr.update(value=found, visible=found is not None)


def _values(dimension: str) -> list[tuple[str, str]]:
    return [(word, value) for value, word in words_of(dimension).items()]


def _handlers(t: Texts) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What choosing a kind of word does, and what the button does."""

    @explained(t)
    def show(kind: str, measure: str, trial: SeedTrial | None) -> Any:
        return distribution_text(kind, measure, t), _plotted(kind, measure, trial, t)

    @explained(t)
    def run(*values: Any) -> Iterator[Any]:
        *rest, trace, slot, dimension, value, kind, measure, before = values
        request = request_like(trace, *rest)
        other = with_value(request.prompt, dimension, value)
        if other == request.prompt:
            raise InputError("word_same", word=words_of(dimension)[value])
        idle = idle_html(t("prompt_lab.own_idle"))
        yield from seeds_run(request, other, slot, before or idle, (kind, measure), t)

    return show, run


def seeds_run(
    request: ImageRequest, other: str, slot: RunSlot, before: str, shown: tuple[str, str], t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Draw a prompt and its changed version from the same seeds.

    Args:
        request: checked; its seed is the first one.
        other: the prompt with one word changed.
        before: the view that comes back should the run draw nothing.
        shown: kind of word and measure that the distributions show.

    Yields:
        Values for the view, the distributions, the trial, and the view to be kept.
    """
    batch = seeds_batch(request, other, SEEDS)
    measured = word_distances()
    # the dots lie among the measured distances only if the same CLIP measures them
    judge = measured.clip_model if measured else catalogue.default_id("clip")

    def done(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        trial = compare_seeds(decoded(batch, steps), judge)
        whole = steps[0].index + 1 == steps[0].total
        page = seeds_view(batch.requests, trial, whole, t)
        return page, _plotted(*shown, trial, t), trial, page

    views = BatchViews(
        running=lambda sources, step: (
            seeds_running(batch.requests, sources, step, t), *(gr.skip(),) * 3
        ),
        finished=done,
        restored=lambda: (before, *(gr.skip(),) * 3),
    )  # fmt: skip
    yield from show_batch(batch.requests, slot, "seeds", views)
