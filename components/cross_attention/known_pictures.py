"""Pictures whose truth is known: where a text's words are looked at, beside where the things are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from components.cross_attention.view import still_view
from components.page.prompt_bar import PromptBar
from components.page.vocabulary import reads, watch
from components.runs.queues import MODEL
from components.runs.unasked import runs_unasked
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.numbers import fixed
from pipelines.image import cross_attention_of_picture as picture_attention
from pipelines.serving.measured import figure
from pipelines.serving.uploads import open_picture


@dataclass(frozen=True)
class PictureSection:
    """The components of the section.

    Attributes:
        scene: picture, masks and nouns of the world picture that is shown, or the picture alone.
    """

    draw: gr.Button
    upload: gr.UploadButton
    text: gr.Textbox
    ask: gr.Button
    view: gr.HTML
    scene: gr.State


_FIRST = 13  # seed of the first world picture: two things that do not hide each other


def build_picture_section(t: Texts) -> PictureSection:
    """Draw the section."""
    with gr.Row(equal_height=False, elem_classes="dial-row"):
        draw = gr.Button(t("cross_attention.world"), elem_id="attention-world", scale=2)
        upload = gr.UploadButton(
            t("cross_attention.upload"), file_types=["image"], type="filepath", elem_id="attention-upload",
            scale=2,
        )  # fmt: skip
        text = gr.Textbox(
            label=t("cross_attention.text"),
            elem_id="attention-text",
            elem_classes=["sv-text", reads("image")],
            scale=4,
            min_width=320,
        )
        ask = gr.Button(t("cross_attention.ask"), elem_id="attention-ask", scale=2)
    view = live_html("cross_attention/view", "attention-picture", t("cross_attention.picture_title"))
    gr.Markdown(_measured(t), elem_classes="sv-hint")
    return PictureSection(draw, upload, text, ask, view, gr.State(None))


def _measured(t: Texts) -> str:
    """How well maps and true places meet on average, if that was measured with the shipped models."""
    found = figure("image.attention_miou")
    if found is None:
        return t("cross_attention.not_measured")
    low, high = (fixed(value, t) for value in found.ci95)
    return t("cross_attention.measured", n=found.n, value=fixed(found.value, t), low=low, high=high)


def wire_picture(part: PictureSection, bar: PromptBar, tab: gr.Tab, t: Texts) -> None:
    """Let the buttons draw, take and ask about a picture; opening the tab does so once."""
    fresh, taken, asked, entered = _picture_handlers(t)
    outputs = [part.view, part.scene, part.text]
    watch(part.text)
    part.draw.click(fresh, bar.image_model, outputs, **MODEL)
    part.upload.upload(taken, [part.upload, part.text, bar.prompt, bar.image_model], outputs, **MODEL)
    gr.on(
        [part.ask.click, part.text.submit], asked, [part.scene, part.text, bar.image_model], part.view,
        show_progress_on=part.view, **MODEL,
    )  # fmt: skip
    tab.select(entered, [part.scene, bar.image_model], outputs, show_progress="hidden", **MODEL)


def _picture_handlers(t: Texts) -> tuple[Callable[..., Any], ...]:
    def look(scene: picture_attention.KnownPicture, text: str, model: str) -> str:
        return picture_page(scene, text, model, t)

    @explained(t)
    def fresh(model: str) -> Any:
        seed = int(np.random.default_rng().integers(2**32))
        scene, text = picture_attention.world_picture(seed)
        return look(scene, text, model), scene, text

    @explained(t)
    def taken(path: str, text: str, prompt: str, model: str) -> Any:
        scene = picture_attention.KnownPicture(open_picture(path), (), ())
        words = text if text.strip() else prompt
        return look(scene, words, model), scene, words

    @explained(t)
    def asked(scene: picture_attention.KnownPicture | None, text: str, model: str) -> Any:
        return gr.skip() if scene is None else look(scene, text, model)

    @explained(t)
    def entered(scene: picture_attention.KnownPicture | None, model: str) -> Any:
        if scene is not None or not runs_unasked(model):
            return (gr.skip(),) * 3  # a model of the hub is asked by a click
        known, text = picture_attention.world_picture(_FIRST)
        return look(known, text, model), known, text

    return fresh, taken, asked, entered


def picture_page(scene: picture_attention.KnownPicture, text: str, model: str, t: Texts) -> str:
    """Where the words of a text are looked at in a picture, and what is known of it.

    Args:
        scene: the picture, and its things if they are known.
        text: what is said of it.
        model: catalogue id of the role "image".

    Raises:
        InputError: what `picture_maps` raises.
    """
    found = picture_attention.picture_maps(scene.picture, text, model)
    overlaps = picture_attention.overlaps(found, scene)
    truths = [(noun, Image.fromarray(mask), value) for noun, mask, value in overlaps]
    return still_view(found.picture, found.maps.finest, truths, t)
