"""The DINO tab: what a model sees that was never told a word."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import gradio as gr
from PIL import Image
from pydantic import Field, Strict

from components.dino.training import API as TRAINING_API
from components.dino.training import build_training_section, wire_training
from components.dino.view import alert_html, neighbours_html, patches_html, waiting_html
from components.page.prompt_bar import PromptBar
from components.runs.arguments import ClipModel, VisionModel
from components.runs.queues import MODEL, QUIET_MODEL, endpoint
from components.ui.arguments import File
from components.ui.attention import attention_kinds
from components.ui.errors import explained, message
from components.ui.fields import told
from components.ui.language import Texts
from components.ui.layout import live_html, one_click_away, tab_frame
from components.ui.numbers import fixed, of_100
from components.ui.scene import scene
from components.ui.uploads import open_uploads, sources_html
from pipelines.dino import dino as pipeline
from pipelines.dino.dino import Known
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.serving.measured import figure

FIRST = (94, 109)  # seeds of the pictures that the tab opens with
# What needs no training, beside each figure.
_BESIDE = {"knn": "knn_raw_pixels", "foreground_miou": "foreground_miou_everywhere"}


@dataclass(frozen=True, eq=False)
class DinoState:
    """The two pictures of one visitor.

    Attributes:
        pictures: the first is the one that is asked about.
        known: for each, what is in it if the world drew it.
        model: catalogue id that the page shows; "" before the first look.
    """

    pictures: tuple[Image.Image, ...] = ()
    known: tuple[Known | None, ...] = ()
    model: str = ""


def drawn(seeds: tuple[int, ...]) -> DinoState:
    """Pictures of the classroom world, one thing in each."""
    known = tuple(pipeline.world_picture(seed, things=1) for seed in seeds)
    return DinoState(tuple(k.picture for k in known), known)


def with_uploads(bench: DinoState, pictures: list[Image.Image]) -> DinoState:
    """Uploaded pictures come first; what was there moves on to the second place."""
    both = [(picture, None) for picture in pictures] + list(zip(bench.pictures, bench.known, strict=True))
    return replace(bench, pictures=tuple(p for p, _ in both[:2]), known=tuple(k for _, k in both[:2]))


def one_or_two(files: Any) -> list[Image.Image]:
    """Open uploaded files.

    Raises:
        InputError: `dino_pictures`, and those of `open_uploads`.
    """
    received = len(files) if isinstance(files, list) else 0
    if not 1 <= received <= 2:
        raise InputError("dino_pictures", received=received)
    return open_uploads(files, 2)


def exchanged(bench: DinoState) -> DinoState:
    """The second picture first."""
    return replace(bench, pictures=bench.pictures[::-1], known=bench.known[::-1])


def looked(bench: DinoState, model: str, clip: str, t: Texts) -> tuple[DinoState, str, str]:
    """State, patches and neighbours as the page shows them; what cannot be computed says why."""
    bench = replace(bench, model=model)
    try:
        patches = patches_html(pipeline.look_at(bench.pictures, model), t)
        rows = pipeline.neighbours(bench.pictures[0], model, clip)
        return bench, patches, neighbours_html(rows, pipeline.gallery(), bench.known[0], t)
    except InputError as error:
        return bench, alert_html(message(error, t)), ""


@dataclass(frozen=True)
class _Parts:
    """The tab's components."""

    bench: gr.State
    model: gr.Dropdown
    sources: gr.HTML
    draw: gr.Button
    swap: gr.Button
    patches: gr.HTML
    near: gr.HTML


def _layout(t: Texts) -> _Parts:
    with scene(t, "dino.patches", kind="lead"):
        with gr.Row(elem_classes="image-actions"):
            draw = gr.Button(t("dino.draw"), variant="primary", elem_id="dino-draw", scale=0, min_width=300)
            swap = gr.Button(t("dino.swap"), elem_id="dino-swap", scale=0, min_width=180)
        patches = live_html("dino/view", "dino-patches", t("dino.patches_title"), waiting_html(t))
        gr.Markdown(_measured("foreground_miou", t), elem_classes="sv-hint")
        with one_click_away(t("dino.more"), "dino-more"), gr.Row(equal_height=False):
            choices = [(e.title, e.id) for e in catalogue.entries("dino")]
            model = gr.Dropdown(
                choices, value=catalogue.default_id("dino"), label=t("dino.model"),
                info=t("dino.model_info"), filterable=False, elem_id="dino-model", scale=2, min_width=300,
            )  # fmt: skip
            with gr.Column(scale=3, min_width=320):
                sources = live_html("ui/uploads", "dino-sources", value=sources_html(t, "dino.drop"))
    with scene(t, "dino.neighbours", t("dino.near_title"), t("dino.near_hint")):
        near = live_html("dino/view", "dino-near", t("dino.near_title"), waiting_html(t))
        gr.Markdown(_measured("knn", t), elem_classes="sv-hint")
    return _Parts(gr.State(DinoState()), model, sources, draw, swap, patches, near)


def _measured(name: str, t: Texts) -> str:
    """What the evaluation says of the shipped model, if it was measured with these weights."""
    found = figure(f"dino.{name}")
    if found is None:
        return t("dino.not_measured")
    beside = figure(f"dino.{_BESIDE[name]}")
    write = of_100 if name == "knn" else fixed
    value, low, high = (write(number, t) for number in (found.value, *found.ci95))
    other = write(beside.value if beside else 0, t)
    said = t(f"dino.measured.{name}", n=found.n, value=value, low=low, high=high, beside=other)
    return said if found.ok else f"{said} {t('dino.missed')}"


def _wire(bar: PromptBar, t: Texts, tab: gr.Tab, p: _Parts) -> None:
    @explained(t)
    def opened(bench: DinoState, model: str, clip: str) -> Any:
        if bench.model == model:
            return (gr.skip(),) * 3
        return looked(bench if bench.pictures else drawn(FIRST), model, clip, t)

    @explained(t)
    def chosen(bench: DinoState, model: str, clip: str) -> Any:
        return looked(bench, model, clip, t) if bench.pictures else (gr.skip(),) * 3

    @explained(t)
    def fresh(bench: DinoState, model: str, clip: str) -> Any:
        return looked(drawn((random.getrandbits(32), random.getrandbits(32))), model, clip, t)

    @explained(t)
    def turned(bench: DinoState, model: str, clip: str) -> Any:
        return looked(exchanged(bench), model, clip, t) if bench.pictures else (gr.skip(),) * 3

    @explained(t)
    def sent(event: gr.EventData, bench: DinoState, model: str, clip: str) -> Any:
        return looked(with_uploads(bench, one_or_two(told(event, "paths", list))), model, clip, t)

    given, shown = [p.bench, p.model, bar.clip_model], [p.bench, p.patches, p.near]
    tab.select(opened, given, shown, **QUIET_MODEL)
    for change in (p.model.change, bar.clip_model.change):
        change(chosen, given, shown, **QUIET_MODEL)
    p.draw.click(fresh, given, shown, **QUIET_MODEL)
    p.swap.click(turned, given, shown, **QUIET_MODEL)
    p.sources.upload(sent, given, shown, **QUIET_MODEL)


def build_dino_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and wire it.

    Args:
        bar: the bar above all tabs; only its CLIP model is read.
    """
    with tab_frame(t, "dino") as tab:
        parts = _layout(t)
        training = build_training_section(t)
    bar.keep("dino", momentum=training.momentum, centering=training.centering, sharpening=training.sharpening)
    attention_kinds(tab, "dino", t)
    _wire(bar, t, tab, parts)
    wire_training(training, tab, t)


@endpoint(MODEL)
def dino_features(
    images: Annotated[list[File], Strict(), Field(min_length=1, max_length=2)],
    model: VisionModel = "classroom-dino",
    clip_model: ClipModel = "classroom-clip",
) -> dict[str, Any]:
    """Show one or two pictures to a vision transformer that learned without labels.

    Args:
        images: one or two picture files (PNG, JPEG, WebP, GIF, BMP, AVIF; at most 20 MB, 50 megapixels each).
        model: id of a DINO model in the catalogue.
        clip_model: id of a CLIP model in the catalogue, whose image encoder is compared with it.

    Returns:
        "grid", patches in a row; "colours" [picture][y][x][3], three principal components as 0 to 1;
        "foreground" [picture][y][x], the first component, positive is foreground; "attention"
        [picture][layer][head][y][x] of the class token; "registers", how many tokens there are beside class
        token and patches, and "on_registers" [picture][layer][head], what of its attention goes to them;
        "similarity" [patch][patch of all pictures], cosines of the first picture's patches; "neighbours" of
        the first picture in a gallery of the classroom world: for "dino", "clip" and "pixels" a list of
        "things" and "cosine".
    """
    pictures = one_or_two(images)
    seen = pipeline.look_at(pictures, model)
    found = pipeline.neighbours(pictures[0], model, clip_model)
    return {
        "grid": seen.grid,
        "colours": seen.colours.round(3).tolist(),
        "foreground": seen.foreground.round(3).tolist(),
        "attention": seen.attention.round(5).tolist(),
        "registers": seen.registers,
        "on_registers": seen.on_registers.round(5).tolist(),
        "similarity": seen.similarity.round(3).tolist(),
        "neighbours": {row.kind: _named(row) for row in found},
    }


def _named(row: pipeline.Neighbours) -> list[dict[str, Any]]:
    gallery = pipeline.gallery()
    return [
        {"things": sorted(gallery[i].nouns), "cosine": round(cosine, 4)}
        for i, cosine in zip(row.found, row.cosines, strict=True)
    ]


API: dict[str, Callable[..., Any]] = {"dino_features": dino_features, **TRAINING_API}
