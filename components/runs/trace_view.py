"""A run on the page: live while it draws, and to scrub through afterwards; its HTML is in `trace.html`."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from components.runs.frames import Frames
from components.runs.trace_data import trace_data, with_exact
from components.ui.language import Texts
from components.ui.numbers import grouped, short
from components.ui.plots import LEFT, RIGHT
from components.ui.templates import quote, templates
from pipelines.image.handed_over import tokens_cut
from pipelines.image.request import SCHEDULERS, ImageRequest, Trace
from pipelines.serving import catalogue

_html = templates("runs/trace.html")


def hole(text: str, caption: str, hint: str = "") -> Markup:
    """The place of a picture that is not there, and why."""
    return _html.hole(text, caption, hint)


def note(text: str, facts: str = "", live: bool = False) -> Markup:
    """A sentence about runs, and their `facts`; one that is `live` is read out when it changes."""
    return _html.note(text, facts, live)


def drawn_from(request: ImageRequest) -> Markup:
    """A mark by which the page knows when a result no longer belongs to the prompt (`stale.js`)."""
    return _html.drawn_from(request.prompt)


def over_plot(pictures: Sequence[tuple[str, str]]) -> Markup:
    """Pictures (address, description), each over its point of a plot with the margins `LEFT` and `RIGHT`."""
    return _html.over_plot(pictures, LEFT, RIGHT)


def facts(request: ImageRequest, t: Texts, scale: bool = True) -> Markup:
    """What a run was asked for, in one line; it need not be what the bar says by now.

    Args:
        scale: whether its guidance scale is one of the facts.
    """
    scheduler = request.scheduler
    if scheduler in SCHEDULERS:
        scheduler = t(f"image.scheduler_{scheduler.replace('+', 'p')}")
    rows: list[tuple[str, str]] = [("prompt", t.html("image.quoted", text=quote(request.prompt)))]
    if cut := tokens_cut(request.prompt, request.model):
        rows.append(("cut", grouped(cut, t)))
    if request.negative_prompt:
        rows.append(("negative", quote(request.negative_prompt)))
    rows += [
        ("seed", str(request.seed)),
        ("steps", str(request.num_inference_steps)),
        *([("scale", short(request.guidance_scale, t))] if scale else []),
        ("scheduler", scheduler),
        ("model", catalogue.entry(request.model).title),
    ]
    return _html.facts([(t(f"image.fact_{key}"), value) for key, value in rows], request.prompt)


def step_label(index: int, total: int, t: Texts) -> str:
    """Where a run is, in words."""
    return t("image.step", step=index + 1, total=total)


def _page(request: ImageRequest, t: Texts) -> Markup:
    """The view without its pictures; the same for the whole run."""
    return _html.view(t("image.negative" if request.negative_prompt else "image.empty"), facts(request, t), t)


def running_view(frames: Frames, t: Texts) -> dict[str, Any]:
    """The view while a run draws: its last step so far, or empty places before the first."""
    return trace_data(frames, _page(frames.request, t), "running", t)


def finished_view(trace: Trace, frames: Frames, remark: str, t: Texts) -> dict[str, Any]:
    """The view to scrub through, showing the last step at first.

    Args:
        trace: of a run that ended or was stopped.
        frames: its pictures.
        remark: a sentence about this run; may be empty.
    """
    state = "done" if frames.whole else "stopped"
    told = trace_data(frames, _page(trace.request, t), state, t, remark=remark)
    return with_exact(told, frames, len(frames.steps), trace.image if frames.whole else None)
