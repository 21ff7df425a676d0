"""Steering towards another text: pictures along the straight line from the vectors of A to those of B."""

from functools import lru_cache
from typing import Any

import gradio as gr
from markupsafe import Markup

from components.control_vector.lever import (
    ALSO,
    STEM,
    Asked,
    Lever,
    bar_inputs,
    build_lever,
    request_of,
    strip_values,
    wire_lever,
)
from components.page.picture_tabs import example_request
from components.page.prompt_bar import DEFAULT_PROMPT, PromptBar
from components.runs.queues import STEPPER
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.numbers import grouped
from components.ui.scene import scene
from components.ui.templates import quote, templates
from components.ui.token_text import limit_sentence
from pipelines.image.control_vector import Drawn, draw, read_alike, strip_requests
from pipelines.image.handed_over import tokens_cut
from pipelines.image.request import ImageRequest
from pipelines.serving import catalogue
from pipelines.text.tokens import token_view

PARTNER = "A dog in a meadow."  # to steer towards until a second prompt is typed


def partner_of(prompt: str) -> str:
    """A text to steer towards where none was typed: an example that is not the prompt itself."""
    return PARTNER if prompt.strip().casefold() != PARTNER.casefold() else DEFAULT_PROMPT


def cut_sentence(prompt: str, model: str, t: Texts) -> str:
    """That a model does not read all of a text, in a sentence; "" where it does."""
    if not catalogue.entry(model).is_transformer:
        tokens = token_view(prompt, model)
        return limit_sentence(tokens, t) if tokens.cut else ""
    cut = tokens_cut(prompt, model)
    key = "cut_one" if cut == 1 else "cut_many"
    return t(f"tokens.segments.{key}", cut=grouped(cut, t)) if cut else ""


def asked_blend(request: ImageRequest, prompt_b: str, t: Texts) -> Asked:
    """The strip from a request's prompt to another; an empty one is replaced by an example.

    Raises:
        InputError: `prompts_equal`, and what `ImageRequest.validated` raises.
    """
    is_example = not prompt_b.strip()
    second = partner_of(request.prompt) if is_example else prompt_b
    requests = strip_requests(request, second)
    remarks: list[str] = [t.html("control_vector.blend_pair", a=quote(request.prompt), b=quote(second))]
    if is_example:
        remarks.append(t("control_vector.blend_example"))
    for letter, text in (("A", request.prompt), ("B", second)):
        if said := cut_sentence(text, request.model, t):
            remarks.append(f"{letter}: {said}")
    names = (t("control_vector.name_a"), t("control_vector.name_b"))
    return Asked(requests, (request.prompt, second), names, Markup(" ").join(remarks))


@lru_cache(maxsize=1)
def compute_example_strip() -> Drawn:
    """From the first example to its partner; the app draws it once after start."""
    request = example_request()
    second = partner_of(request.prompt)
    return draw(strip_requests(request, second), (request.prompt, second))


def pair_html(prompt: str, prompt_b: str, model: str, t: Texts) -> str:
    """From which text to which the lever leads, and what stands in its way.

    Args:
        prompt: as typed.
        prompt_b: as typed; empty stands for an example.
        model: catalogue id.

    Raises:
        InputError: what `token_view` and `segments_of` raise.
    """
    second = prompt_b if prompt_b.strip() else partner_of(prompt)
    notes = [] if prompt_b.strip() else [t("control_vector.blend_where", where=t("prompt_bar.more"))]
    said = [(letter, cut_sentence(text, model, t)) for letter, text in (("A", prompt), ("B", second))]
    notes += [f"{letter}: {sentence}" for letter, sentence in said if sentence]
    if read_alike(prompt, second, model):
        notes.append(t("errors.prompts_equal"))
    return templates("control_vector/lever.html").pair(prompt, second, " ".join(notes))


def build_blend(bar: PromptBar, tab: gr.Tab, t: Texts) -> gr.HTML:
    """The slider from A to B: layout and wiring.

    Returns:
        The place that names both texts, which follows the prompts.
    """
    with scene(t, "control_vector.blend", stage="beside", filled_by="cv-blend-start"):
        pair = live_html(STEM, "cv-pair", also=ALSO, script=False, render=False)
        lever = build_lever("blend", pair, t)
        gr.Markdown(t("control_vector.blend_honest"), elem_classes="sv-hint")

    bar.keep("control_vector", blend=lever.slider)

    def asked(*values: Any) -> Asked:
        *given, prompt_b = values
        return asked_blend(request_of(given), prompt_b or "", t)

    wire_lever(lever, asked, [*bar_inputs(bar), bar.prompt_b], bar.run, t)
    tab.select(_example_strip(lever, t), [*bar_inputs(bar), bar.prompt_b, lever.slider, lever.strip],
               [lever.view, lever.figure, lever.strip], **STEPPER)  # fmt: skip
    return pair


def _example_strip(lever: Lever, t: Texts) -> Any:
    """What opening the tab does: the first example's strip is there, if that is what the bar says."""

    @explained(t)
    def enter(*values: Any) -> Any:
        *given, prompt_b, at, strip = values
        ready = strip is None and not (prompt_b or "").strip() and compute_example_strip.cache_info().currsize
        if not ready or not given[0] or request_of(given) != example_request():
            return (gr.skip(),) * 3
        strip = asked_blend(example_request(), "", t).strip(compute_example_strip())
        return *strip_values(lever.name, strip, at, t), strip

    return enter
