"""The prompt lab: what can a prompt control? One word changed at a time, and what it does."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import gradio as gr
from pydantic import Strict

from components.page.picture_tabs import example_request, request_like
from components.page.prompt_bar import DEFAULT_PROMPT, FIRST, LECTURE, Example, PromptBar
from components.prompt_lab.builder import NEGATIVE, builder_html, clicked
from components.prompt_lab.leave_one_out import build_without
from components.prompt_lab.negative import build_negative
from components.prompt_lab.seeds import build_seeds
from components.prompt_lab.view import idle_html, score_drop, variants_running, variants_view
from components.runs.arguments import GuidanceScale, ImageModel, Steps
from components.runs.batch import BatchViews, show_batch
from components.runs.files import save_png
from components.runs.queues import STEPPER, endpoint
from components.runs.slot import RunSlot
from components.runs.unasked import waits_for_click
from components.ui.arguments import OneOf, Seed, Text
from components.ui.errors import explained
from components.ui.fields import told
from components.ui.language import Texts
from components.ui.layout import ON_ENTER, live_html, tab_frame
from components.ui.scene import scene
from pipelines.image.prompt_lab import Batch, Pictures, drawn, finished, left_out_batch, variants_batch
from pipelines.image.prompt_words import DIMENSIONS, current, with_value, without_value
from pipelines.image.request import DenoiseStep, ImageRequest, Trace

# What each of the lecture's prompts is about; the page's own first example is about a colour.
_ABOUT = dict(zip(LECTURE, ("size", "relation", "atmosphere"), strict=True))
_FIRST = "colour"


@dataclass(frozen=True)
class _Parts:
    """The builder and the grid.

    Attributes:
        builder: the rows of words.
        grid: the pictures.
        draw: the button above them.
        chosen: the dimension that was touched last.
        changed: the prompt before and after the last click, or None.
        page: the grid's last finished view, or None.
        examples: a button for each of the lecture's prompts.
    """

    builder: gr.HTML
    grid: gr.HTML
    draw: gr.Button
    chosen: gr.State
    changed: gr.State
    page: gr.State
    examples: dict[Example, gr.Button]


@lru_cache(maxsize=1)
def compute_example_variants() -> Pictures:
    """The grid of the first example; the app computes it once after start."""
    return drawn(variants_batch(example_request(), _FIRST))


def build_prompt_lab_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and wire it.

    Args:
        bar: prompt and numbers come from it; a click on a word changes its prompt.
    """
    with tab_frame(t, "prompt_lab") as tab:
        parts = _layout(t)
        inputs = bar.run_inputs
        build_without(bar, inputs, t)
        build_seeds(bar, tab, inputs, t)
        measured = build_negative(bar, inputs, t)
        figures = live_html("prompt_lab/view", "lab-measured", t("prompt_lab.negative_title"))
    tab.select(explained(t)(measured), None, figures, show_progress="hidden", api_visibility="private")
    _wire_builder(bar, tab, parts, t)
    _wire_grid(bar, tab, parts, inputs, t)


def _layout(t: Texts) -> _Parts:
    with scene(t, "prompt_lab.builder", kind="lead"):
        with gr.Row(elem_classes="sv-examples"):
            examples = {
                example: gr.Button(
                    t("prompt_lab.example", about=t(f"prompt_lab.dimension.{about}"), prompt=example.prompt),
                    size="sm", elem_classes="sv-chip", elem_id=f"lab-example-{about}",
                )
                for example, about in _ABOUT.items()
            }  # fmt: skip
        with gr.Row(equal_height=False):
            with gr.Column(scale=6, min_width=340):
                start = builder_html(FIRST.prompt, "", _FIRST, None, t)
                builder = live_html("prompt_lab/view", "lab-builder", t("prompt_lab.builder_title"), start)
            with gr.Column(scale=5, min_width=340, elem_classes="lab-results"):
                draw = gr.Button(
                    _draw_label(_FIRST, t), variant="primary", elem_id="lab-draw", elem_classes=ON_ENTER
                )
                grid = live_html(
                    "prompt_lab/view",
                    "lab-grid",
                    t("prompt_lab.grid_title"),
                    idle_html(t("prompt_lab.grid_idle")),
                )
    states = gr.State(_FIRST), gr.State(None), gr.State(None)
    return _Parts(builder, grid, draw, *states, examples)


def _draw_label(dimension: str, t: Texts) -> str:
    return t("prompt_lab.draw", dimension=t(f"prompt_lab.dimension.{dimension}"))


def _wire_builder(bar: PromptBar, tab: gr.Tab, parts: _Parts, t: Texts) -> None:
    """A click on a word, in the builder or on a picture, changes the prompt; the builder follows it."""

    @explained(t)
    def take(event: gr.EventData, prompt: str, negative: str, model: str, chosen: str) -> Any:
        dimension, value = told(event, "dimension", str), told(event, "value", str)
        after, away = clicked(prompt or "", negative or "", dimension, value)
        return _taken(prompt or "", after, away, chosen if dimension == NEGATIVE else dimension, model)

    @explained(t)
    def take_picture(event: gr.EventData, prompt: str, negative: str, model: str) -> Any:
        dimension, value = told(event, "dimension", str), told(event, "value", str)
        after = _as_pictured(prompt or "", dimension, value)
        return _taken(prompt or "", after, negative or "", dimension, model)

    def _taken(prompt: str, after: str, negative: str, chosen: str, model: str) -> Any:
        changed = (prompt, after)
        page = builder_html(after, negative, chosen, changed, t, model)
        return after, negative, page, chosen, changed, gr.update(value=_draw_label(chosen, t))

    @explained(t)
    def follow(prompt: str, negative: str, model: str, chosen: str, changed: tuple[str, str] | None) -> str:
        return builder_html(prompt or "", negative or "", chosen, changed, t, model)

    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    outputs = [bar.prompt, bar.negative_prompt, parts.builder, parts.chosen, parts.changed, parts.draw]
    read = [bar.prompt, bar.negative_prompt, bar.image_model]
    parts.builder.select(take, [*read, parts.chosen], outputs, **private)
    parts.grid.select(take_picture, read, outputs, **private)
    bar.follow(
        tab, [part.change for part in read], follow, [*read, parts.chosen, parts.changed], parts.builder,
        concurrency_limit=None, **private,
    )  # fmt: skip


def _as_pictured(prompt: str, dimension: str, value: str) -> str:
    """The prompt with the word of a picture; a picture without a word takes the word out."""
    if value:
        return with_value(prompt, dimension, value)
    there = current(prompt, dimension)
    return without_value(prompt, dimension, str(there.value)) if there is not None else prompt


def _wire_grid(bar: PromptBar, tab: gr.Tab, parts: _Parts, inputs: Sequence[Any], t: Texts) -> None:
    """Buttons, rows of the builder and opening the tab draw the variants of one dimension."""
    draw, enter = _grid_handlers(t)

    def choose(
        event: gr.EventData, prompt: str, negative: str, model: str, changed: tuple[str, str] | None
    ) -> Any:
        dimension = told(event, "dimension", str)
        dimension = dimension if dimension in DIMENSIONS else _FIRST
        page = builder_html(prompt or "", negative or "", dimension, changed, t, model)
        return dimension, gr.update(value=_draw_label(dimension, t)), page

    call: dict[str, Any] = {
        "inputs": [*inputs, parts.chosen, parts.page], "outputs": [parts.grid, parts.page], **STEPPER,
    }  # fmt: skip
    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    heads = [parts.chosen, parts.draw, parts.builder]
    parts.draw.click(draw, trigger_mode="multiple", **call)
    parts.builder.click(
        explained(t)(choose), [bar.prompt, bar.negative_prompt, bar.image_model, parts.changed], heads,
        trigger_mode="multiple", **private,
    ).success(draw, **call)  # fmt: skip
    for example, button in parts.examples.items():

        def show(negative: str, example: Example = example, about: str = _ABOUT[example]) -> Any:
            page = builder_html(example.prompt, negative or "", about, None, t)
            return example.prompt, example.seed, about, gr.update(value=_draw_label(about, t)), page

        button.click(
            show, bar.negative_prompt, [bar.prompt, bar.seed, *heads], trigger_mode="multiple", **private
        ).success(draw, **call)
    tab.select(enter, **call)
    parts.grid.stop(lambda slot: slot.stop(), bar.run, queue=False, api_visibility="private")


def _grid_handlers(t: Texts) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What a click and opening the tab do."""

    @explained(t)
    def draw(*values: Any) -> Iterator[Any]:
        *rest, trace, slot, chosen, page = values
        request = request_like(trace, *rest)
        yield from variants_run(request, chosen, slot, page, t)

    @explained(t)
    def enter(*values: Any) -> Iterator[Any]:
        *rest, trace, slot, chosen, page = values
        if page is None:
            slot.wait_idle()  # another tab's run, such as the journey's
        if page is not None or slot.busy:
            yield gr.skip(), gr.skip()
            return
        request = request_like(trace, *rest)
        ready = compute_example_variants.cache_info().currsize
        if ready and request == example_request() and chosen == _FIRST:
            shown = variants_view(request, chosen, compute_example_variants(), t)
            yield shown, shown
        elif waits_for_click(request.model, t):
            yield gr.skip()
        else:
            yield from variants_run(request, chosen, slot, page, t)

    return draw, enter


def variants_run(
    request: ImageRequest, dimension: str, slot: RunSlot, before: str | None, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Draw a prompt with one value of a dimension after another.

    Args:
        request: checked.
        dimension: one of `DIMENSIONS`.
        before: the view that comes back should the run draw nothing.

    Yields:
        Values for the grid, and for the view to be kept.
    """
    batch: Batch = variants_batch(request, dimension)

    def done(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        page = variants_view(request, dimension, finished(batch, steps), t)
        return page, page

    views = BatchViews(
        running=lambda sources, step: (variants_running(batch, dimension, sources, step, t), gr.skip()),
        finished=done,
        restored=lambda: (before or idle_html(t("prompt_lab.grid_idle")), gr.skip()),
    )
    yield from show_batch(batch.requests, slot, "variants", views)


def _files(batch: Batch, pictures: Pictures) -> list[gr.FileData]:
    """The pictures as PNG files that carry their parameters."""
    files = []
    for request, picture in zip(batch.requests, pictures.images, strict=True):
        path = save_png(Trace(request, (), picture))
        files.append(gr.FileData(path=path, orig_name=Path(path).name, mime_type="image/png"))
    return files


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(float(value), 6) for value in values]


@endpoint(STEPPER)
def prompt_variants(
    prompt: Text = DEFAULT_PROMPT,
    dimension: Annotated[str, Strict(), OneOf(lambda: DIMENSIONS)] = "size",
    negative_prompt: Text = "",
    seed: Seed = 0,
    guidance_scale: GuidanceScale = 5.0,
    num_inference_steps: Steps = 20,
    model: ImageModel = "classroom-image",
) -> tuple[list[gr.FileData], dict[str, Any]]:
    """Draw a prompt with one word exchanged, one value after another, from the same noise.

    Args:
        prompt: what the pictures shall show, in English for the classroom model; up to 2000 characters.
        dimension: "content", "size", "colour", "relation", "place", "style", "atmosphere" or "composition".
        negative_prompt: what to steer away from; may be empty.
        seed: 0 to 4294967295; decides the noise that all pictures start from.
        guidance_scale: 0 to 20.
        num_inference_steps: 1 to 100 steps from noise to picture.
        model: id of a picture model in the catalogue.

    Returns:
        The pictures as PNG, the prompt itself first, and lists in their order: "words" (the value of the
        dimension, "" where the prompt names none), "prompts", "clip_scores" (cosine with its own prompt),
        "clip_distances" (one minus the cosine with the first picture) and "pixel_distances" (0 to 255).
    """
    request = ImageRequest(prompt, negative_prompt, seed, guidance_scale, num_inference_steps, model=model)
    batch = variants_batch(request, dimension)
    pictures = drawn(batch)
    return _files(batch, pictures), {
        "words": list(pictures.words),
        "prompts": list(pictures.prompts),
        "clip_scores": _rounded(pictures.clip_scores.tolist()),
        "clip_distances": _rounded(pictures.clip_distance.tolist()),
        "pixel_distances": _rounded(pictures.pixel_distance.tolist()),
    }


@endpoint(STEPPER)
def leave_one_out(
    prompt: Text = DEFAULT_PROMPT,
    negative_prompt: Text = "",
    seed: Seed = 0,
    guidance_scale: GuidanceScale = 5.0,
    num_inference_steps: Steps = 20,
    model: ImageModel = "classroom-image",
) -> tuple[list[gr.FileData], dict[str, Any]]:
    """Draw a prompt without each of its first twelve words, from the same noise: which word mattered?

    Args:
        prompt: two words or more, in English for the classroom model; up to 2000 characters.
        negative_prompt: what to steer away from; may be empty.
        seed: 0 to 4294967295; decides the noise that all pictures start from.
        guidance_scale: 0 to 20.
        num_inference_steps: 1 to 100 steps from noise to picture.
        model: id of a picture model in the catalogue.

    Returns:
        The pictures as PNG, the whole prompt's first, and lists with one entry per word left out: "words",
        "prompts", "clip_distances" and "pixel_distances" from the first picture, and "score_drops": how far
        CLIP's score for the whole prompt falls.
    """
    request = ImageRequest(prompt, negative_prompt, seed, guidance_scale, num_inference_steps, model=model)
    batch = left_out_batch(request)
    pictures = drawn(batch)
    return _files(batch, pictures), {
        "words": list(pictures.words[1:]),
        "prompts": list(pictures.prompts[1:]),
        "clip_distances": _rounded(pictures.clip_distance[1:].tolist()),
        "pixel_distances": _rounded(pictures.pixel_distance[1:].tolist()),
        "score_drops": _rounded(score_drop(pictures)),
    }


API: dict[str, Callable[..., Any]] = {"prompt_variants": prompt_variants, "leave_one_out": leave_one_out}
