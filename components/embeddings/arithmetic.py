"""Calculating with meanings: vector arithmetic over the words of the world."""

import json
from functools import partial
from typing import Any

import gradio as gr

from components.embeddings.view import equation_html, message_html
from components.page.prompt_bar import PromptBar
from components.page.vocabulary import reads, watch
from components.runs.queues import TEXT
from components.ui.errors import explained, message
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.scene import scene
from pipelines.clip.embeddings import arithmetic
from pipelines.clip.world_texts import short_texts
from pipelines.serving.errors import InputError

_SUMS = (
    ("small dog", "dog", "cat"),
    ("red car", "car", "boat"),
    ("a cat at night", "a cat", "a house"),
    ("a horse in the snow", "snow", "beach"),
)


def _calculate(t: Texts, model: str, start: str, minus: str, plus: str) -> Any:
    """The sum in pictures with its ranking, or why it cannot be done."""
    try:
        return equation_html((start, minus, plus), arithmetic(start, minus, plus, model), t)
    except InputError as error:
        return message_html(message(error, t))


def build_arithmetic(bar: PromptBar, tab: gr.Tab, t: Texts) -> None:
    """Calculating with meanings, drawn and wired; the arguments are those of `build_directions`."""
    with scene(
        t,
        "embeddings.arithmetic",
        t("embeddings.arithmetic_title"),
        t("embeddings.arithmetic_text", count=len(short_texts())),
        stage="beside",
    ):
        with gr.Row():
            boxes = [
                gr.Textbox(
                    value, label=t(f"embeddings.{name}"), max_lines=2, min_width=200,
                    elem_id=f"sum-{name}", elem_classes=["sv-text", reads("clip")],
                )
                for name, value in zip(("start", "take_away", "add"), _SUMS[0], strict=True)
            ]  # fmt: skip
        with gr.Row(elem_classes="sv-examples"):
            for terms in _SUMS:
                chip = gr.Button("{} − {} + {}".format(*terms), size="sm", elem_classes="sv-chip")
                chip.click(None, outputs=boxes, js=f"() => {json.dumps(terms)}", api_visibility="private")
        result = live_html("embeddings/view", "embedding-sum", script=False)
    watch(*boxes)
    bar.keep("embeddings", **dict(zip(("start", "take_away", "add"), boxes, strict=True)))
    calculate = explained(t)(partial(_calculate, t))
    inputs = [bar.clip_model, *boxes]
    bar.follow(tab, [part.change for part in inputs], calculate, inputs, result, **TEXT)
