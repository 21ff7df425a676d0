"""The map, the neighbours, the vectors and their difference: what follows the prompts."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from components.embeddings.figures import (
    GROUPINGS,
    map_figure,
    prompt_traces,
    strip_figure,
    values_of,
    words_figure,
)
from components.embeddings.view import difference_html, legend_html, map_note, message_html, neighbours_html
from components.page.prompt_bar import Dependent, PromptBar
from components.runs.queues import MODEL, TEXT
from components.ui.errors import explained, message
from components.ui.language import Texts
from components.ui.layout import html_escape, is_open, live_html
from components.ui.plots import plot
from components.ui.presets import preset_chips, wire_presets
from components.ui.scene import scene
from components.ui.templates import templates
from pipelines.clip import projections
from pipelines.clip.embeddings import Embedding, counterpart, difference, embed
from pipelines.clip.world_texts import MAP_SIZE
from pipelines.serving.errors import InputError

# Pairs of prompts that are one click away.
PAIRS = {
    "no_dog": ("a cat, no dog", "a dog"),
    "no_cat": ("a cat, no dog", "a cat"),
    "relation": ("a cat on a chair", "a chair on a cat"),
    "nonsense": ("asdfgh", "a rabbit"),
}
# Tells the handler whether anybody looks; a hidden tab is drawn when it is opened.
IS_OPEN = is_open("embeddings")
_DRAWN = itertools.count(1)  # tells one drawing from the next of the same prompts
_MOVE = (Path(__file__).parent / "move_prompts.js").read_text("utf-8")
# On a touch screen a finger on the map scrolls the page instead of drawing a zoom box; on a narrow
# one the map is square.
# The figure is there a moment after the event says so.
_FIT = """() => { const fit = (tries) => {
  const map = document.querySelector('#embedding-map .js-plotly-plot');
  if (!(map && map.data && window.Plotly)) return void (tries && setTimeout(fit, 100, tries - 1));
  const flat = map.data[0].type === 'scatter', change = {};
  if (flat && matchMedia('(pointer: coarse)').matches) change.dragmode = false;
  if (innerWidth < 700) change.height = map.clientWidth;
  if (Object.keys(change).length) window.Plotly.relayout(map, change);
}; setTimeout(fit, 100, 30); }"""


@dataclass(frozen=True)
class MapView:
    """The components of this part.

    Attributes:
        is_open: never seen; `IS_OPEN` sets it on the way to the server.
        pairs: two prompts each, to try.
        method, axes, grouping, only: the controls of the map.
        compute: draws the maps that take a while.
        map, legend, note: the map and what explains it.
        near, strip, difference, words: what follows the prompts, beside the map.
        drawn, placed: method and axes of the map that is on the page, and the prompts on it, with its number.
        moved: what the script needs to move the prompts.
    """

    is_open: gr.Checkbox
    pairs: list[gr.Button]
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
    placed: gr.State
    moved: gr.JSON

    @property
    def texts(self) -> list[gr.components.Component]:
        """What follows the prompts while somebody types, beside the map."""
        return [self.near, self.strip, self.difference, self.words]

    @property
    def drawing(self) -> list[gr.components.Component]:
        """What changes when the map is drawn anew."""
        return [self.map, self.note, self.legend, self.drawn, self.placed]


@dataclass(frozen=True)
class _Asked:
    """What the bar and the controls of the map say, in the order of the components wired."""

    prompt: str
    prompt_b: str
    model: str
    method: str
    axes: int
    grouping: str
    only: str


def _pair(prompt: str, prompt_b: str, model: str) -> tuple[Embedding, Embedding, bool]:
    """Prompt A, prompt B, and whether B is a suggestion because nobody has typed one."""
    second = prompt_b if prompt_b.strip() else counterpart(prompt)
    a, b = embed([prompt, second], model)
    return a, b, not prompt_b.strip()


def _texts(a: Embedding, b: Embedding, suggested: bool, model: str, t: Texts) -> list[Any]:
    """Values of `MapView.texts`."""
    found = difference(a.vector, b.vector, model)
    return [
        neighbours_html([a, b], suggested, found.cosine, t),
        strip_figure(a.vector, b.vector, t),
        difference_html(found, t),
        words_figure(found, t),
    ]


def moved(a: Embedding, b: Embedding, model: str, drawn: tuple[str, int]) -> dict[str, Any]:
    """What the script needs to move the prompts over the map that is on the page."""
    method, axes = drawn
    if method != "pca":
        return {"stale": True}
    world = projections.pca_world(model)[:, :axes]
    near = [world[[n.index for n in e.neighbours]] for e in (a, b)]
    coordinates = prompt_traces(np.stack([a.position, b.position])[:, :axes], near)
    return {"coordinates": coordinates, "labels": [html_escape(e.prompt[:120]) for e in (a, b)]}


def _drawing(t: Texts, a: Embedding, b: Embedding, asked: _Asked) -> list[Any]:
    """Values of `MapView.drawing`."""
    vectors = np.stack([a.vector, b.vector])
    projection = projections.project(vectors, asked.model, asked.method, asked.axes)
    figure = map_figure(projection, [a, b], asked.grouping, asked.only or None, t)
    note, legend = map_note(projection, t), legend_html(asked.grouping, t)
    placed = (asked.prompt, asked.prompt_b, next(_DRAWN))
    return [figure, note, legend, (asked.method, asked.axes), placed]


def _only_choices(grouping: str, t: Texts) -> list[tuple[str, str]]:
    return [(t("embeddings.all"), ""), *((v, v) for v in values_of(grouping))]


# Handlers. An input that cannot be read is explained in its place: a pop-up at every keystroke
# would be rude.


def _follow(t: Texts, prompt: str, prompt_b: str, model: str) -> list[Any]:
    """The prompts or their reader have changed: everything but the map anew."""
    try:
        a, b, suggested = _pair(prompt, prompt_b, model)
    except InputError as error:
        return [message_html(message(error, t)), *[gr.skip()] * 3]
    return _texts(a, b, suggested, model, t)


def _move(
    t: Texts, prompt: str, prompt_b: str, model: str, drawn: tuple[str, int], placed: tuple[Any, ...]
) -> list[Any]:
    """The way of the prompts on the map, which was drawn for others, or while somebody typed on."""
    if drawn[0] != "pca" and (prompt, prompt_b) == placed[:2]:
        return [None, gr.skip()]
    try:
        a, b, _ = _pair(prompt, prompt_b, model)
    except InputError:
        return [gr.skip()] * 2
    again = gr.skip() if drawn[0] == "pca" else gr.Button(visible=True)
    return [moved(a, b, model, drawn), again]


def _show(t: Texts, prompt: str, prompt_b: str, model: str, drawn: tuple[str, int], *look: str) -> list[Any]:
    """The map; `_follow` explains what cannot be read."""
    try:
        a, b, _ = _pair(prompt, prompt_b, model)
    except InputError:
        return [gr.skip()] * 5
    return _drawing(t, a, b, _Asked(prompt, prompt_b, model, *drawn, *look))


def _open(t: Texts, *values: Any) -> list[Any]:
    """The tab is opened: the map as its controls say, where it is quick; else the one drawn last."""
    *rest, drawn = values
    asked = _Asked(*rest)
    wanted = (asked.method, asked.axes)
    if wanted != drawn and asked.method == "pca":
        drawn = wanted
    waits = gr.Button(t(f"embeddings.compute_{asked.method}"), visible=True) if wanted != drawn else gr.skip()
    return [*_show(t, asked.prompt, asked.prompt_b, asked.model, drawn, asked.grouping, asked.only), waits]


def _other_model(t: Texts, is_open: bool, *values: Any) -> list[Any]:
    """Another CLIP: the map that needs no waiting."""
    asked = _Asked(*values)
    shown = [gr.skip()] * 5
    if is_open:
        prompts = (asked.prompt, asked.prompt_b, asked.model)
        shown = _show(t, *prompts, ("pca", asked.axes), asked.grouping, asked.only)
    return [*shown, "pca", gr.Button(visible=False)]


def _redraw(t: Texts, *values: Any) -> list[Any]:
    """The map as the controls say, the slow ones too."""
    asked = _Asked(*values)
    a, b, _ = _pair(asked.prompt, asked.prompt_b, asked.model)
    return [*_drawing(t, a, b, asked), gr.Button(visible=False)]


def _choose(t: Texts, *values: Any) -> list[Any]:
    """Another projection: the fixed axes are drawn at once, the others wait for the button."""
    asked = _Asked(*values)
    if asked.method == "pca":
        return _redraw(t, *values)
    return [*[gr.skip()] * 5, gr.Button(t(f"embeddings.compute_{asked.method}"), visible=True)]


def _refilter(
    t: Texts, prompt: str, prompt_b: str, model: str, drawn: tuple[str, int], grouping: str, only: str
) -> list[Any]:
    """Other colours or another filter on the map that is on the page."""
    return _redraw(t, prompt, prompt_b, model, *drawn, grouping, only)[:5]


def _regroup(
    t: Texts, prompt: str, prompt_b: str, model: str, drawn: tuple[str, int], grouping: str
) -> list[Any]:
    choices = gr.Dropdown(_only_choices(grouping, t), value="", interactive=grouping != "none")
    return [*_refilter(t, prompt, prompt_b, model, drawn, grouping, ""), choices]


def _lay_out_controls(t: Texts) -> tuple[gr.Radio, gr.Radio, gr.Dropdown, gr.Dropdown]:
    with gr.Row(equal_height=True, elem_id="embedding-controls"):
        method = gr.Radio(
            [(t(f"embeddings.{m}"), m) for m in projections.METHODS], value="pca", scale=3, min_width=330,
            label=t("embeddings.method"), elem_id="embedding-method",
        )  # fmt: skip
        axes = gr.Radio(
            [("2D", 2), ("3D", 3)], value=2, scale=2, min_width=200,
            label=t("embeddings.axes"), elem_id="embedding-axes",
        )  # fmt: skip
        grouping = gr.Dropdown(
            [(t(f"embeddings.kind.{g}"), g) for g in GROUPINGS], value="noun", scale=2, min_width=150,
            filterable=False, label=t("embeddings.grouping"), elem_id="embedding-grouping",
        )  # fmt: skip
        only = gr.Dropdown(
            _only_choices("noun", t), value="", scale=2, min_width=150,
            filterable=False, label=t("embeddings.only"), elem_id="embedding-only",
        )  # fmt: skip
    return method, axes, grouping, only


def lay_out_map(t: Texts) -> MapView:
    """Draw this part of the tab; it is filled when the tab is opened."""
    with scene(t, "embeddings.map", kind="tab"):
        titles = ["  ·  ".join(pair) for pair in PAIRS.values()]
        pairs = preset_chips(t("embeddings.pairs"), titles, "embedding-pair")
        controls = _lay_out_controls(t)
        compute = gr.Button(visible=False, variant="primary", elem_id="embedding-compute")
        with gr.Row():
            with gr.Column(scale=17, min_width=320):
                picture = plot(t("embeddings.map_alt"), elem_id="embedding-map")
                legend = live_html("embeddings/view", "embedding-legend", script=False)
                hint = templates("embeddings/view.html").hint(t("embeddings.map_hint", count=MAP_SIZE))
                live_html("embeddings/view", "embedding-map-hint", value=hint, script=False)
                note = live_html("embeddings/view", "embedding-note", script=False)
            with gr.Column(scale=9, min_width=320):
                loading = message_html(t("embeddings.loading"))
                near = live_html("embeddings/view", "embedding-neighbours", value=loading, script=False)
    with scene(t, "embeddings.strip", t("embeddings.strip_title"), t("embeddings.strip_text")):
        strip = plot(t("embeddings.strip_alt"), elem_id="embedding-strip")
    with scene(t, "embeddings.difference", t("embeddings.difference_title"), t("embeddings.difference_text")):
        found = live_html("embeddings/view", "embedding-difference", script=False)
        words = plot(t("embeddings.words_alt"), elem_id="embedding-words")
    is_open, drawn, placed = gr.Checkbox(True, visible=False), gr.State(("pca", 2)), gr.State(())
    way = gr.JSON(visible="hidden", elem_id="embedding-moved")
    return MapView(
        is_open,
        pairs,
        *controls,
        compute,
        picture,
        legend,
        note,
        near,
        strip,
        found,
        words,
        drawn,
        placed,
        way,
    )


def wire_map(bar: PromptBar, view: MapView, tab: gr.Tab, t: Texts) -> None:
    """Let this part follow the prompts, the model and its controls."""
    wire_presets(view.pairs, list(PAIRS.values()), [bar.prompt, bar.prompt_b])

    def handler(function: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        return explained(t)(partial(function, t))

    bar.keep(
        "embeddings", {"only": Dependent("grouping", partial(_only_choices, t=t))},
        method=view.method, axes=view.axes, grouping=view.grouping, only=view.only,
    )  # fmt: skip
    prompts = [bar.prompt, bar.prompt_b, bar.clip_model]
    look = [view.grouping, view.only]
    asked = [*prompts, view.method, view.axes, *look]
    bar.follow(tab, [part.change for part in prompts], handler(_follow), prompts, view.texts, **TEXT)
    typed = bar.follow(
        tab, [bar.prompt.change, bar.prompt_b.change, view.placed.change], handler(_move),
        [*prompts, view.drawn, view.placed], [view.moved, view.compute], **TEXT,
    )  # fmt: skip
    typed.then(None, view.moved, js=_MOVE, api_visibility="private")
    tab.select(
        handler(_open), [*asked, view.drawn], [*view.drawing, view.compute], show_progress="minimal", **MODEL
    )
    bar.clip_model.change(
        handler(_other_model),
        [view.is_open, *asked],
        [*view.drawing, view.method, view.compute],
        js=IS_OPEN,
        trigger_mode="multiple",
        **MODEL,
    )
    gr.on(
        [view.method.input, view.axes.input],
        handler(_choose),
        asked,
        [*view.drawing, view.compute],
        show_progress="hidden",
        **MODEL,
    )
    view.compute.click(
        handler(_redraw), asked, [*view.drawing, view.compute], show_progress_on=view.map, **MODEL
    )
    view.only.input(
        handler(_refilter), [*prompts, view.drawn, *look], view.drawing, show_progress="hidden", **MODEL
    )
    view.grouping.input(
        handler(_regroup),
        [*prompts, view.drawn, view.grouping],
        [*view.drawing, view.only],
        show_progress="hidden",
        **MODEL,
    )
    view.map.change(None, js=_FIT, api_visibility="private")
