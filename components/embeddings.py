"""The embeddings tab: where a prompt stands in meaning space, and whether one can calculate there."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from components.embedding_figures import (
    GROUPINGS,
    direction_figure,
    map_figure,
    overview_figure,
    prompt_traces,
    strip_figure,
    values_of,
    words_figure,
)
from components.embedding_html import (
    STYLE,
    difference_html,
    direction_html,
    equation_html,
    legend_html,
    map_note,
    message_html,
    neighbours_html,
)
from components.errors import explained, message
from components.language import Texts
from components.layout import html_escape, section, tab_frame
from components.plots import plot
from components.prompt_bar import PromptBar
from pipelines import directions, projections
from pipelines.embedding_world import KINDS, MAP_SIZE, short_texts
from pipelines.embeddings import Embedding, arithmetic, counterpart, difference, embed
from pipelines.errors import InputError

_MOVE = (Path(__file__).parent / "embeddings.js").read_text("utf-8")
# Tells the handler whether anybody looks; a hidden tab is drawn when it is opened.
_IS_OPEN = """(_, ...rest) => [
  document.querySelector('#tab-embeddings[role="tabpanel"]')?.offsetParent != null, ...rest]"""
# On a touch screen a finger on the map scrolls the page instead of drawing a zoom box; on a narrow
# one the map is square.
_FIT = """() => { const map = document.querySelector('#embedding-map .js-plotly-plot');
  if (!map || !window.Plotly) return;
  if (matchMedia('(pointer: coarse)').matches && map.data[0].type === 'scatter') map.layout.dragmode = false;
  if (innerWidth < 700) map.layout.height = map.clientWidth;
  window.Plotly.relayout(map, {}); }"""
_SUMS = (
    ("small dog", "dog", "cat"),
    ("red car", "car", "boat"),
    ("a cat at night", "a cat", "a house"),
    ("a horse in the snow", "snow", "beach"),
)
_MODEL = {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}
_LIVE = _MODEL | {"trigger_mode": "always_last", "show_progress": "hidden"}


@dataclass(frozen=True)
class _MapView:
    """Components of the map, the neighbours, the vectors and their difference."""

    is_open: gr.Checkbox
    method: gr.Radio
    axes: gr.Radio
    grouping: gr.Dropdown
    only: gr.Dropdown
    compute: gr.Button
    map: gr.Plot
    legend: gr.HTML
    note: gr.HTML
    near: gr.HTML
    strip: gr.Plot
    difference: gr.HTML
    words: gr.Plot
    drawn: gr.State
    moved: gr.JSON

    @property
    def texts(self) -> list[gr.components.Component]:
        """What follows the prompts while somebody types, beside the map."""
        return [self.near, self.strip, self.difference, self.words]

    @property
    def drawing(self) -> list[gr.components.Component]:
        return [self.map, self.note, self.legend, self.drawn]


def _pair(prompt: str, prompt_b: str, model: str) -> tuple[Embedding, Embedding, bool]:
    """Prompt A, prompt B, and whether B is a suggestion because nobody has typed one."""
    second = prompt_b if prompt_b.strip() else counterpart(prompt)
    a, b = embed([prompt, second], model)
    return a, b, not prompt_b.strip()


def _texts(a: Embedding, b: Embedding, suggested: bool, model: str, t: Texts) -> list[Any]:
    """Values of `_MapView.texts`."""
    found = difference(a.vector, b.vector, model)
    return [
        neighbours_html([a, b], suggested, found.cosine, t),
        strip_figure(a.vector, b.vector, t),
        difference_html(found, t),
        words_figure(found, t),
    ]


def _moved(a: Embedding, b: Embedding, model: str, drawn: tuple[str, int]) -> dict[str, Any]:
    """What the script needs to move the prompts over the map that is on the page."""
    method, axes = drawn
    if method != "pca":
        return {"stale": True}
    world = projections.pca_world(model)[:, :axes]
    near = [world[[n.index for n in e.neighbours]] for e in (a, b)]
    coordinates = prompt_traces(np.stack([a.position, b.position])[:, :axes], near)
    return {"coordinates": coordinates, "labels": [html_escape(e.prompt[:120]) for e in (a, b)]}


def _draw(a: Embedding, b: Embedding, model: str, drawn: tuple[str, int], grouping: str, only: str,
          t: Texts) -> list[Any]:  # fmt: skip
    """Values of `_MapView.drawing`."""
    method, axes = drawn
    projection = projections.project(np.stack([a.vector, b.vector]), model, method, axes)
    figure = map_figure(projection, [a, b], grouping, only or None, t)
    return [figure, map_note(projection, t), legend_html(grouping, t), (method, axes)]


def _only_choices(grouping: str, t: Texts) -> list[tuple[str, str]]:
    return [(t("embeddings.all"), ""), *((v, v) for v in values_of(grouping))]


def _lay_out_map(t: Texts) -> _MapView:
    gr.HTML(STYLE, visible="hidden")
    with gr.Row(equal_height=True, elem_id="embedding-controls"):
        method = gr.Radio([(t(f"embeddings.{m}"), m) for m in projections.METHODS], value="pca", scale=3, min_width=330,
                          label=t("embeddings.method"), elem_id="embedding-method")  # fmt: skip
        axes = gr.Radio([("2D", 2), ("3D", 3)], value=2, scale=2, min_width=200, label=t("embeddings.axes"),
                        elem_id="embedding-axes")  # fmt: skip
        grouping = gr.Dropdown([(t(f"embeddings.kind.{g}"), g) for g in GROUPINGS], value="noun", filterable=False, scale=2, min_width=200,
                               label=t("embeddings.grouping"), elem_id="embedding-grouping")  # fmt: skip
        only = gr.Dropdown(_only_choices("noun", t), value="", label=t("embeddings.only"), filterable=False, scale=2, min_width=160,
                           elem_id="embedding-only")  # fmt: skip
    compute = gr.Button(t("embeddings.compute"), variant="primary", visible=False, elem_id="embedding-compute")
    with gr.Row():
        with gr.Column(scale=17, min_width=320):
            picture = plot(t("embeddings.map_alt"), elem_id="embedding-map")
            legend = gr.HTML()
            gr.HTML(f'<p class="em-hint em-how">{html_escape(t("embeddings.map_hint", count=MAP_SIZE))}</p>')
            note = gr.HTML(elem_id="embedding-note")
        with gr.Column(scale=9, min_width=320):
            near = gr.HTML(message_html(t("embeddings.loading")), elem_id="embedding-neighbours")
    section(t("embeddings.strip_title"), t("embeddings.strip_text"))
    strip = plot(t("embeddings.strip_alt"), elem_id="embedding-strip")
    section(t("embeddings.difference_title"), t("embeddings.difference_text"))
    found = gr.HTML(elem_id="embedding-difference")
    words = plot(t("embeddings.words_alt"), elem_id="embedding-words")
    is_open = gr.Checkbox(True, visible=False)
    return _MapView(is_open, method, axes, grouping, only, compute, picture, legend, note, near, strip,
                    found, words, gr.State(("pca", 2)), gr.JSON(visible="hidden"))  # fmt: skip


def _wire_map(bar: PromptBar, view: _MapView, tab: gr.Tab, t: Texts) -> None:
    prompts = [bar.prompt, bar.prompt_b, bar.clip_model]
    look = [view.drawn, view.grouping, view.only]

    @explained(t)
    def follow(is_open: bool, prompt: str, prompt_b: str, model: str, drawn: tuple[str, int]) -> list[Any]:
        if not is_open:
            return [gr.skip()] * 6
        try:
            a, b, suggested = _pair(prompt, prompt_b, model)
        except InputError as error:  # said in its place: a pop-up at every keystroke would be rude
            return [message_html(message(error, t)), *[gr.skip()] * 5]
        return [*_texts(a, b, suggested, model, t), _moved(a, b, model, drawn),
                gr.skip() if drawn[0] == "pca" else gr.Button(visible=True)]  # fmt: skip

    @explained(t)
    def open_tab(prompt: str, prompt_b: str, model: str, drawn: tuple[str, int], grouping: str, only: str) -> list[Any]:
        try:
            a, b, suggested = _pair(prompt, prompt_b, model)
        except InputError as error:
            return [message_html(message(error, t)), *[gr.skip()] * 7]
        return [*_texts(a, b, suggested, model, t), *_draw(a, b, model, drawn, grouping, only, t)]

    @explained(t)
    def other_model(is_open: bool, prompt: str, prompt_b: str, model: str, axes: int, grouping: str, only: str) -> list[Any]:
        if not is_open:
            return [*[gr.skip()] * 8, "pca", gr.Button(visible=False)]
        return [*open_tab(prompt, prompt_b, model, ("pca", axes), grouping, only), "pca", gr.Button(visible=False)]

    @explained(t)
    def draw(prompt: str, prompt_b: str, model: str, drawn: tuple[str, int], grouping: str, only: str) -> list[Any]:
        a, b, _ = _pair(prompt, prompt_b, model)
        return _draw(a, b, model, drawn, grouping, only, t)

    @explained(t)
    def choose(prompt: str, prompt_b: str, model: str, method: str, axes: int, grouping: str, only: str) -> list[Any]:
        """The map of the fixed axes is drawn at once; the others wait for the button."""
        if method != "pca":
            return [*[gr.skip()] * 4, gr.Button(t(f"embeddings.compute_{method}"), visible=True)]
        return [*draw(prompt, prompt_b, model, ("pca", axes), grouping, only), gr.Button(visible=False)]

    @explained(t)
    def compute(prompt: str, prompt_b: str, model: str, method: str, axes: int, grouping: str, only: str) -> list[Any]:
        return [*draw(prompt, prompt_b, model, (method, axes), grouping, only), gr.Button(visible=False)]

    @explained(t)
    def regroup(prompt: str, prompt_b: str, model: str, drawn: tuple[str, int], grouping: str) -> list[Any]:
        choices = gr.Dropdown(_only_choices(grouping, t), value="", interactive=grouping != "none")
        return [*draw(prompt, prompt_b, model, drawn, grouping, ""), choices]

    gr.on([bar.prompt.change, bar.prompt_b.change], follow, [view.is_open, *prompts, view.drawn],
          [*view.texts, view.moved, view.compute], js=_IS_OPEN, **_LIVE).then(  # fmt: skip
        None, view.moved, None, js=_MOVE, api_visibility="private")  # fmt: skip
    tab.select(open_tab, [*prompts, *look], [*view.texts, *view.drawing], show_progress="minimal", **_MODEL)
    bar.clip_model.change(other_model, [view.is_open, *prompts, view.axes, view.grouping, view.only],
                          [*view.texts, *view.drawing, view.method, view.compute], js=_IS_OPEN, **_MODEL)  # fmt: skip
    controls = [*prompts, view.method, view.axes, view.grouping, view.only]
    gr.on([view.method.input, view.axes.input], choose, controls, [*view.drawing, view.compute],
          show_progress="hidden", **_MODEL)  # fmt: skip
    view.compute.click(compute, controls, [*view.drawing, view.compute], show_progress_on=view.map, **_MODEL)
    view.only.input(draw, [*prompts, *look], view.drawing, show_progress="hidden", **_MODEL)
    view.map.change(None, js=_FIT, api_visibility="private")
    view.grouping.input(regroup, [*prompts, view.drawn, view.grouping], [*view.drawing, view.only],
                        show_progress="hidden", **_MODEL)  # fmt: skip


def _build_directions(bar: PromptBar, tab: gr.Tab, is_open: gr.Checkbox, t: Texts) -> None:
    section(t("embeddings.direction_title"), t("embeddings.direction_text"))
    with gr.Row(equal_height=True):
        kind = gr.Dropdown([(t(f"embeddings.kind.{k}"), k) for k in KINDS], value="size", filterable=False,
                           label=t("embeddings.kind_label"), elem_id="direction-kind", min_width=150)  # fmt: skip
        plus = gr.Dropdown(list(KINDS["size"]), value="small", label=t("embeddings.plus"), filterable=False,
                           elem_id="direction-plus", min_width=150)  # fmt: skip
        minus = gr.Dropdown(list(KINDS["size"]), value="large", label=t("embeddings.minus"), filterable=False,
                            elem_id="direction-minus", min_width=150)  # fmt: skip
        setting = gr.Radio([(t("embeddings.short"), False), (t("embeddings.sentences"), True)], value=False, scale=2, min_width=370,
                           label=t("embeddings.setting"), elem_id="direction-setting")  # fmt: skip
    verdict = gr.HTML(elem_id="direction-verdict")
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            steps = plot(t("embeddings.direction_alt"), elem_id="direction-steps")
        with gr.Column(scale=2, min_width=320):
            gr.HTML(f'<h4>{html_escape(t("embeddings.overview_title"))}</h4>')
            overview = plot(t("embeddings.overview_alt"), elem_id="direction-overview")
            gr.HTML(f'<p class="em-hint">{html_escape(t("embeddings.overview_text"))}</p>')
    outputs = [verdict, steps, overview]

    @explained(t)
    def measure(model: str, kind: str, plus: str, minus: str, sentences: bool) -> list[Any]:
        try:
            found = directions.direction(kind, plus, minus, model, sentences)
            pairs = directions.all_directions(model, sentences)
        except InputError as error:
            return [message_html(message(error, t)), gr.skip(), gr.skip()]
        said = {(s.noun, s.value): s for s in short_texts() if s.kind == kind}
        shorts = [(said[noun, minus], said[noun, plus]) for noun in found.nouns]
        return [direction_html(found, sentences, t), direction_figure(found, shorts, t),
                overview_figure(pairs, found, t)]  # fmt: skip

    @explained(t)
    def other_kind(model: str, kind: str, sentences: bool) -> list[Any]:
        values = list(KINDS[kind])
        return [gr.Dropdown(values, value=values[0]), gr.Dropdown(values, value=values[1]),
                *measure(model, kind, values[0], values[1], sentences)]  # fmt: skip

    @explained(t)
    def other_model(is_open: bool, *values: Any) -> list[Any]:
        return measure(*values) if is_open else [gr.skip()] * 3

    inputs = [bar.clip_model, kind, plus, minus, setting]
    gr.on([tab.select, plus.input, minus.input, setting.input], measure, inputs, outputs,
          show_progress="minimal", **_MODEL)  # fmt: skip
    kind.input(other_kind, [bar.clip_model, kind, setting], [plus, minus, *outputs], show_progress="hidden", **_MODEL)
    bar.clip_model.change(other_model, [is_open, *inputs], outputs, js=_IS_OPEN, **_MODEL)


def _build_arithmetic(bar: PromptBar, tab: gr.Tab, is_open: gr.Checkbox, t: Texts) -> None:
    section(t("embeddings.arithmetic_title"), t("embeddings.arithmetic_text", count=len(short_texts())))
    with gr.Row(elem_classes="em-sum"):
        boxes = [
            gr.Textbox(value, label=t(f"embeddings.{name}"), elem_id=f"sum-{name}", elem_classes="sv-text", max_lines=2)
            for name, value in zip(("start", "take_away", "add"), _SUMS[0], strict=True)
        ]
    with gr.Row(elem_classes="sv-examples"):
        for terms in _SUMS:
            label = "{} − {} + {}".format(*terms)
            gr.Button(label, size="sm", elem_classes="sv-chip").click(
                None, outputs=boxes, js=f"() => {json.dumps(terms)}", api_visibility="private"
            )
    result = gr.HTML(elem_id="embedding-sum")

    @explained(t)
    def calculate(is_open: bool, model: str, start: str, minus: str, plus: str) -> Any:
        if not is_open:
            return gr.skip()
        try:
            return equation_html((start, minus, plus), arithmetic(start, minus, plus, model), t)
        except InputError as error:
            return message_html(message(error, t))

    inputs = [is_open, bar.clip_model, *boxes]
    tab.select(calculate, inputs, result, show_progress="hidden", **_MODEL)
    gr.on([bar.clip_model.change, *(box.change for box in boxes)], calculate, inputs, result, js=_IS_OPEN, **_LIVE)


def build_embeddings_tab(bar: PromptBar, t: Texts, public: bool) -> None:
    """Draw the tab and wire it.

    Args:
        bar: the prompt bar; this tab reads its two prompts and its CLIP model.
        t: texts.
        public: whether this page is the one that programs see; all events here are private.
    """
    with tab_frame(t, "embeddings") as tab:
        view = _lay_out_map(t)
        _wire_map(bar, view, tab, t)
        _build_directions(bar, tab, view.is_open, t)
        _build_arithmetic(bar, tab, view.is_open, t)


def embeddings(prompt: str = "A small cat on a bed.", prompt_b: str = "", model: str = "classroom-clip",
               neighbours: int = 8) -> dict[str, Any]:  # fmt: skip
    """Place a prompt in CLIP's space: its vector, its nearest captions, its position on the map.

    Args:
        prompt: the text to read.
        prompt_b: a second text to compare with; may be empty.
        model: id of a CLIP model of the catalogue.
        neighbours: how many of the world's captions to list, 1 to 50.

    Returns:
        `vector` (numbers of a vector of length one), `neighbours` (caption and cosine, found in
        the original space), `map` (position on the three fixed principal axes); with a second
        prompt also `vector_b`, `neighbours_b`, `map_b`, their `cosine`, and `words`: how much the
        difference points to each word of the world.
    """
    texts = [prompt, prompt_b] if prompt_b.strip() else [prompt]
    found = embed(texts, model, neighbours)
    answer: dict[str, Any] = {"model": model}
    for suffix, e in zip(("", "_b"), found, strict=False):
        answer |= {
            f"vector{suffix}": [round(float(v), 6) for v in e.vector],
            f"neighbours{suffix}": [{"caption": n.world.text, "cosine": round(n.cosine, 6)} for n in e.neighbours],
            f"map{suffix}": [round(float(v), 6) for v in e.position],
        }
    if len(found) == 2:
        change = difference(found[0].vector, found[1].vector, model)
        answer["cosine"] = round(change.cosine, 6)
        answer["words"] = [{"kind": w.kind, "word": w.value, "cosine": round(w.cosine, 6)} for w in change.words]
    return answer


API: dict[str, Callable[..., Any]] = {"embeddings": embeddings}
