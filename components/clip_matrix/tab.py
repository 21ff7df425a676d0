"""The matrix tab: pictures along the top, texts down the side, and what CLIP makes of each pair."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import gradio as gr
import numpy as np
from pydantic import Field, Strict

from components.clip_matrix import view as draw
from components.clip_matrix.state import (
    LABELS,
    TEMPLATE,
    MatrixState,
    compare,
    lines,
    matrix_panel,
    name,
    panels,
    score_panel,
    with_images,
    zero_shot_panel,
)
from components.page.prompt_bar import PromptBar
from components.page.vocabulary import reads, watch
from components.runs.arguments import ClipModel
from components.runs.queues import LIVE_MATRIX, MATRIX, MODEL, endpoint
from components.ui.arguments import File, RealNumber, Text
from components.ui.errors import explained
from components.ui.fields import slider, told
from components.ui.language import Texts
from components.ui.layout import live_html, tab_frame
from components.ui.plots import MATRIX_VIEWS
from components.ui.presets import preset_chips
from components.ui.scene import scene
from components.ui.uploads import accept, open_uploads, sources_html
from pipelines.clip import clip_matrix as pipeline
from pipelines.image.request import Trace
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError


@endpoint(MODEL)
def clip_matrix(
    images: Annotated[list[File], Strict(), Field(min_length=1, max_length=pipeline.MOST)],
    prompts: Annotated[
        list[Text], Strict(), Field(min_length=1, max_length=pipeline.MOST, examples=[["a cat", "a dog"]])
    ],
    temperature: Annotated[RealNumber, Field(ge=pipeline.LOWEST_TEMPERATURE)] | None = None,
    labels: Annotated[list[Text], Strict(), Field(min_length=1, max_length=pipeline.MOST)] | None = None,
    template: Text = TEMPLATE,
    model: ClipModel = "classroom-clip",
) -> dict:
    """Compare pictures with texts: cosines, softmax both ways, the best pairing, zero-shot labels.

    Args:
        images: 1 to 12 picture files (PNG, JPEG, WebP, GIF, BMP, AVIF; at most 20 MB, 50 megapixels each).
        prompts: 1 to 12 texts.
        temperature: of both softmaxes, 0.001 or more; without it, the one the model learned. Refused for a
            model with a sigmoid for each pair (SigLIP), which has none.
        labels: 1 to 12 names for zero-shot classification; without them, objects of the classroom world.
        template: text that each label is put into, with {label} where it goes.
        model: id of a CLIP model in the catalogue.

    Returns:
        "similarity", "logits_per_image", "softmax_over_texts", "softmax_over_images": rows [image][text], the
        last two null for a model with a sigmoid; "pair_probability": the same of each pair alone, null for a
        model with a softmax; "pairing": pairs [image, text]; "zero_shot": "labels", "texts", "probabilities"
        [image][label] and "best", a label for each image; "temperature", "logit_scale", "logit_bias" (null
        without a sigmoid) and "model".
    """
    pictures = open_uploads(images, pipeline.MOST)
    matrix = pipeline.compute_clip_matrix(pictures, prompts, model)
    is_sigmoid = matrix.logit_bias is not None
    if is_sigmoid and temperature is not None:
        raise InputError("temperature_closed", title=catalogue.entry(model).title)
    tau = pipeline.learned_temperature(model) if temperature is None else temperature
    zero_shot = pipeline.classify(pictures, LABELS if labels is None else labels, template, model)
    return {
        "similarity": matrix.similarity.tolist(),
        "logits_per_image": matrix.logits_per_image.tolist(),
        "softmax_over_texts": None if is_sigmoid else matrix.softmax_over_texts(tau).tolist(),
        "softmax_over_images": None if is_sigmoid else matrix.softmax_over_images(tau).tolist(),
        "pair_probability": matrix.pair_probability().tolist() if is_sigmoid else None,
        "pairing": [list(pair) for pair in matrix.pairing()],
        "zero_shot": {
            "labels": list(zero_shot.labels),
            "texts": list(zero_shot.texts),
            "probabilities": zero_shot.probabilities(tau).tolist(),
            "best": list(zero_shot.best),
        },
        "temperature": None if is_sigmoid else tau,
        "logit_scale": pipeline.learned_logit_scale(model),
        "logit_bias": matrix.logit_bias,
        "model": model,
    }


API: dict[str, Callable[..., Any]] = {"clip_matrix": clip_matrix}


@dataclass(frozen=True)
class _Parts:
    """The tab's components."""

    state: gr.State
    tau: gr.State  # the slider's temperature; None until somebody moves it: the model's own
    view: gr.Radio
    temperature: gr.HTML
    matrix: gr.HTML
    sources: gr.HTML
    count: gr.Slider
    draw: gr.Button
    take: gr.Button
    sets: list[gr.Button]
    texts: gr.Textbox
    labels: gr.Textbox
    template: gr.Textbox
    zero_shot: gr.HTML
    hint: gr.HTML
    score: gr.HTML


def _layout(t: Texts) -> _Parts:
    images, prompts = pipeline.first_pairs()
    state = replace(with_images(MatrixState(), images), prompts=tuple(prompts))
    with scene(t, "clip_matrix.matrix", kind="tab"):
        with gr.Row(elem_id="clip-controls", equal_height=False):
            with gr.Column(scale=5, min_width=320):
                first = matrix_panel(state, "cosine", state.learned, t)
                matrix = live_html("clip_matrix/view", "clip-matrix", value=first, also=["ui/uploads"])
            with gr.Column(scale=2, min_width=300):
                view = gr.Radio(
                    _choices(MATRIX_VIEWS, t), value="cosine", label=t("clip_matrix.view_label"),
                    elem_id="clip-view",
                )  # fmt: skip
                shown = draw.temperature_html(state.learned, state.learned, t)
                temperature = live_html("clip_matrix/view", "clip-temperature", value=shown)
                titles = [t(f"clip_matrix.set_{name}") for name in pipeline.SETS]
                sets = preset_chips(t("clip_matrix.sets"), titles, "clip-set")
        hint = live_html(
            "clip_matrix/view", "clip-logit-scale", value=draw.hint_html(t("clip_matrix.temperature_hint")),
            script=False,
        )  # fmt: skip
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320):
                texts = gr.Textbox(
                    "\n".join(prompts), lines=6, max_lines=12, elem_id="clip-texts",
                    elem_classes=["sv-text", reads("clip")], label=t("clip_matrix.texts"),
                    info=t("clip_matrix.texts_info"),
                )  # fmt: skip
            with gr.Column(scale=2, min_width=320):
                sources = live_html("ui/uploads", "clip-sources", value=sources_html(t))
                count = slider(
                    1, pipeline.MOST, value=5, step=1, label=t("clip_matrix.count"), elem_id="clip-count"
                )
                with gr.Row():
                    fresh = gr.Button(t("clip_matrix.draw"), variant="primary", elem_id="clip-draw")
                    take = gr.Button(t("clip_matrix.take"), elem_id="clip-take")
    zero = t("clip_matrix.zero_title"), t("clip_matrix.zero_hint")
    with scene(t, "clip_matrix.zero_shot", *zero), gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=240):
            template = gr.Textbox(
                TEMPLATE, label=t("clip_matrix.template"), max_lines=1, elem_id="clip-template",
                elem_classes="sv-text",
            )  # fmt: skip
            labels = gr.Textbox(
                "\n".join(LABELS), lines=6, max_lines=12, label=t("clip_matrix.labels"),
                info=t("clip_matrix.labels_info"), elem_id="clip-labels",
                elem_classes=["sv-text", reads("clip")],
            )  # fmt: skip
        with gr.Column(scale=3, min_width=320):
            zero_shot = live_html("clip_matrix/view", "clip-zero-shot")
    with scene(t, "clip_matrix.score"):
        score = live_html("clip_matrix/view", "clip-score")
    return _Parts(
        gr.State(state), gr.State(None), view, temperature, matrix, sources, count, fresh, take, sets, texts,
        labels, template, zero_shot, hint, score,
    )  # fmt: skip


def _choices(views: Sequence[str], t: Texts) -> list[tuple[str, str]]:
    return [(t(f"clip_matrix.view.{view}"), view) for view in views]


def _wire_state(bar: PromptBar, t: Texts, tab: gr.Tab, p: _Parts) -> list[Any]:
    """What is computed when the tab opens, the model changes, or pictures come and go."""

    def judged(
        state: MatrixState, texts: str, labels: str, template: str, model: str, view: str, tau: float | None
    ) -> Any:
        was_sigmoid = state.bias is not None
        state = name(compare(state, texts, model), labels, template, model)
        is_sigmoid = state.bias is not None
        views = draw.SIGMOID_VIEWS if is_sigmoid else MATRIX_VIEWS
        choice = (
            gr.skip()
            if is_sigmoid == was_sigmoid
            else gr.update(choices=_choices(views, t), value=draw.fitting(view, is_sigmoid))
        )
        return state, *panels(state, view, tau, t), choice

    @explained(t)
    def opened(
        state: MatrixState, texts: str, labels: str, template: str, model: str, view: str, tau: float | None
    ) -> Any:
        if state.matrix is not None and state.model == model:
            return (gr.skip(),) * 6
        return judged(state, texts, labels, template, model, view, tau)

    @explained(t)
    def model_changed(
        state: MatrixState, texts: str, labels: str, template: str, model: str, view: str
    ) -> Any:
        if not state.model:  # nobody has opened the tab yet
            return (gr.skip(),) * 7
        return None, *judged(state, texts, labels, template, model, view, None)

    @explained(t)
    def sent(event: gr.EventData, state: MatrixState, *rest: Any) -> Any:
        return judged(
            with_images(state, [*state.images, *accept(told(event, "paths", list), pipeline.MOST, t)]), *rest
        )

    @explained(t)
    def removed(event: gr.EventData, state: MatrixState, *rest: Any) -> Any:
        index = told(event, "index", int)
        return judged(with_images(state, [im for i, im in enumerate(state.images) if i != index]), *rest)

    @explained(t)
    def drawn(count: float, state: MatrixState, _texts: str, *rest: Any) -> Any:
        images, captions = pipeline.draw_pairs(int(count), random.getrandbits(32))
        texts = "\n".join(captions)
        return texts, *judged(with_images(state, images), texts, *rest)

    @explained(t)
    def taken(trace: Trace | None, state: MatrixState, texts: str, *rest: Any) -> Any:
        if trace is None:
            raise InputError("nothing_generated")
        prompts = lines(texts)
        prompt = " ".join(trace.request.prompt.split())
        texts = "\n".join(prompts if prompt in prompts else (*prompts, prompt))
        return texts, *judged(with_images(state, [*state.images, trace.image]), texts, *rest)

    shown = [p.state, p.temperature, p.matrix, p.zero_shot, p.hint, p.view]
    given = [p.state, p.texts, p.labels, p.template, bar.clip_model, p.view]
    return [
        tab.select(opened, [*given, p.tau], shown, **MATRIX),
        bar.clip_model.change(model_changed, given, [p.tau, *shown], trigger_mode="multiple", **MATRIX),
        p.sources.upload(sent, [*given, p.tau], shown, **MATRIX),
        p.matrix.upload(sent, [*given, p.tau], shown, **MATRIX),
        p.matrix.delete(removed, [*given, p.tau], shown, **MATRIX),
        *(
            chip.click(
                partial(explained(t)(_set), judged, name), [*given, p.tau], [p.texts, *shown], **MATRIX
            )
            for name, chip in zip(pipeline.SETS, p.sets, strict=True)
        ),
        p.draw.click(drawn, [p.count, *given, p.tau], [p.texts, *shown], **MATRIX),
        p.take.click(taken, [bar.trace, *given, p.tau], [p.texts, *shown], **MATRIX),
    ]


def _set(judged: Callable[..., Any], name: str, state: MatrixState, _texts: str, *rest: Any) -> Any:
    """One of `pipeline.SETS` instead of the pictures and texts at hand."""
    images, captions = pipeline.pair_set(name)
    texts = "\n".join(captions)
    return texts, *judged(with_images(state, images), texts, *rest)


def _wire_live(bar: PromptBar, t: Texts, p: _Parts) -> None:
    """What follows while a visitor types, slides and chooses."""
    watch(p.texts, p.labels)

    @explained(t)
    def typed(state: MatrixState, texts: str, model: str, view: str, tau: float | None) -> Any:
        if lines(texts) == state.prompts:  # a button wrote them, and has compared them already
            return gr.skip(), gr.skip()
        state = compare(state, texts, model)
        return state, matrix_panel(state, view, state.temperature(tau), t)

    @explained(t)
    def named(state: MatrixState, labels: str, template: str, model: str, tau: float | None) -> Any:
        if not state.model:  # nobody has opened the tab yet
            return gr.skip(), gr.skip()
        state = name(state, labels, template, model)
        return state, zero_shot_panel(state, state.temperature(tau), t)

    @explained(t)
    def turned(event: gr.EventData, state: MatrixState, view: str) -> Any:
        tau = float(np.clip(told(event, "temperature", float), draw.COLDEST, draw.HOTTEST))
        return tau, matrix_panel(state, view, tau, t), zero_shot_panel(state, tau, t)

    @explained(t)
    def viewed(state: MatrixState, view: str, tau: float | None) -> Any:
        return matrix_panel(state, view, state.temperature(tau), t)

    # .change, not .input: Gradio tells of typing by .input, but not of pasting.
    p.texts.change(
        typed, [p.state, p.texts, bar.clip_model, p.view, p.tau], [p.state, p.matrix], **LIVE_MATRIX
    )
    for box in (p.labels, p.template):
        box.change(
            named,
            [p.state, p.labels, p.template, bar.clip_model, p.tau],
            [p.state, p.zero_shot],
            **LIVE_MATRIX,
        )
    p.temperature.input(turned, [p.state, p.view], [p.tau, p.matrix, p.zero_shot], **LIVE_MATRIX)
    p.view.change(viewed, [p.state, p.view, p.tau], p.matrix, **LIVE_MATRIX)


def _wire_score(bar: PromptBar, t: Texts, tab: gr.Tab, p: _Parts, after: list[Any]) -> None:
    """The bar's texts against the last generated picture, whenever either changes."""

    @explained(t)
    def scored(
        state: MatrixState, trace: Trace | None, prompt: str, prompt_b: str, negative: str, model: str
    ) -> Any:
        if not state.model and trace is None:  # nobody has opened the tab yet
            return gr.skip()
        return score_panel(state, trace, (prompt, prompt_b, negative), model, t)

    given = [p.state, bar.trace, bar.prompt, bar.prompt_b, bar.negative_prompt, bar.clip_model]
    changes = [part.change for part in (bar.trace, bar.prompt, bar.prompt_b, bar.negative_prompt)]
    bar.follow(tab, changes, scored, given, p.score, **MATRIX)
    for event in after:
        event.success(scored, given, p.score, **LIVE_MATRIX)


def build_clip_matrix_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and wire it.

    Args:
        bar: the bar above all tabs.
    """
    with tab_frame(t, "clip_matrix") as tab:
        parts = _layout(t)
    names = ("view", "texts", "labels", "template", "count")
    bar.keep("clip_matrix", **{name: getattr(parts, name) for name in names})
    after = _wire_state(bar, t, tab, parts)
    _wire_live(bar, t, parts)
    _wire_score(bar, t, tab, parts, after)
