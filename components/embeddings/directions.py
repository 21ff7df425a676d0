"""Is an attribute a direction of meaning space, the same one for every object?"""

from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr

from components.embeddings.figures import direction_figure, overview_figure
from components.embeddings.map import IS_OPEN
from components.embeddings.view import direction_html, message_html
from components.page.prompt_bar import Dependent, PromptBar
from components.runs.queues import MODEL
from components.ui.errors import explained, message
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.plots import plot
from components.ui.scene import scene
from components.ui.templates import templates
from pipelines.clip import directions
from pipelines.clip.world_texts import DIRECTION_KINDS, KINDS, RELATION, direction_texts
from pipelines.serving.errors import InputError


def _measure(t: Texts, model: str, kind: str, plus: str, minus: str, sentences: bool) -> list[Any]:
    """Verdict, the figure of the chosen direction, the figure of all directions."""
    try:
        found = directions.direction(kind, plus, minus, model, sentences)
        pairs = directions.all_directions(model, sentences)
    except InputError as error:
        return [message_html(message(error, t)), gr.skip(), gr.skip()]
    said = {(s.noun, s.value): s for s in direction_texts() if s.kind == kind}
    shorts = [(said[noun, minus], said[noun, plus]) for noun in found.nouns]
    exchange = directions.exchange(plus, minus, model) if kind == RELATION else None
    verdict = direction_html(found, sentences, exchange, t)
    return [verdict, direction_figure(found, shorts, t), overview_figure(pairs, found, t)]


def _other_kind(t: Texts, model: str, kind: str, sentences: bool) -> list[Any]:
    """The words of another attribute to choose from, and its first pair measured."""
    values = list(DIRECTION_KINDS[kind])
    choices = [gr.Dropdown(values, value=value) for value in values[:2]]
    return [*choices, *_measure(t, model, kind, values[0], values[1], sentences)]


def _other_model(t: Texts, is_open: bool, *values: Any) -> list[Any]:
    return _measure(t, *values) if is_open else [gr.skip()] * 3


def _lay_out_direction(t: Texts) -> tuple[gr.Dropdown, gr.Dropdown, gr.Dropdown, gr.Radio]:
    kinds = [(t(f"embeddings.kind.{k}"), k) for k in DIRECTION_KINDS]
    settings = [(t("embeddings.short"), False), (t("embeddings.sentences"), True)]
    with gr.Row(equal_height=True):
        kind = gr.Dropdown(
            kinds, value="size", label=t("embeddings.kind_label"), filterable=False, min_width=150,
            elem_id="direction-kind",
        )  # fmt: skip
        plus, minus = (
            gr.Dropdown(
                list(KINDS["size"]), value=value, label=t(f"embeddings.{name}"), filterable=False,
                min_width=150, elem_id=f"direction-{name}",
            )
            for name, value in (("plus", "small"), ("minus", "large"))
        )  # fmt: skip
        setting = gr.Radio(
            settings, value=False, label=t("embeddings.setting"), scale=2, min_width=330,
            elem_id="direction-setting",
        )  # fmt: skip
    return kind, plus, minus, setting


def build_directions(bar: PromptBar, tab: gr.Tab, is_open: gr.Checkbox, t: Texts) -> None:
    """Is an attribute a direction? Drawn and wired.

    Args:
        bar: the prompt bar; its CLIP model is measured.
        tab: measured when it is opened.
        is_open: see `map.MapView`.
    """
    asked = t("embeddings.direction_title"), t("embeddings.direction_text")
    with scene(t, "embeddings.direction", *asked, stage="beside"):
        kind, plus, minus, setting = _lay_out_direction(t)
        html = templates("embeddings/view.html")
        verdict = live_html("embeddings/view", "direction-verdict", script=False)
        with gr.Row(elem_classes="sv-result"):
            with gr.Column(scale=3, min_width=320):
                steps = plot(t("embeddings.direction_alt"), elem_id="direction-steps")
            with gr.Column(scale=2, min_width=320):
                title = html.heading(t("embeddings.overview_title"))
                live_html("embeddings/view", "direction-overview-title", value=title, script=False)
                overview = plot(t("embeddings.overview_alt"), elem_id="direction-overview")
                hint = html.hint(t("embeddings.overview_text"))
                live_html("embeddings/view", "direction-overview-hint", value=hint, script=False)
    words = Dependent("direction", lambda direction: list(DIRECTION_KINDS[direction]))
    bar.keep(
        "embeddings",
        {"plus": words, "minus": replace(words, usual=1)},
        direction=kind,
        plus=plus,
        minus=minus,
        setting=setting,
    )
    measure, other_kind, other_model = (
        explained(t)(partial(f, t)) for f in (_measure, _other_kind, _other_model)
    )
    inputs, outputs = [bar.clip_model, kind, plus, minus, setting], [verdict, steps, overview]
    gr.on(
        [tab.select, plus.input, minus.input, setting.input], measure, inputs, outputs,
        show_progress="minimal", **MODEL,
    )  # fmt: skip
    kind.input(
        other_kind, [bar.clip_model, kind, setting], [plus, minus, *outputs],
        show_progress="hidden", **MODEL,
    )  # fmt: skip
    bar.clip_model.change(
        other_model, [is_open, *inputs], outputs, js=IS_OPEN, trigger_mode="multiple", **MODEL
    )
