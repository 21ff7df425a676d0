"""A run on the page: live while it draws, and to scrub through afterwards; its HTML is in `trace.html`."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from components.runs.frames import Frames, LiveFrames
from components.ui.language import Texts
from components.ui.numbers import grouped, short
from components.ui.plots import LEFT, RIGHT
from components.ui.templates import quote, templates
from pipelines.image.request import SCHEDULERS, DenoiseStep, ImageRequest, Trace
from pipelines.serving import catalogue
from pipelines.text.tokens import cut_of

_html = templates("runs/trace.html")
_THUMBS, _COARSE = 25, 6  # most pictures in a film strip, on wide and on narrow screens
_ROWS = ("guided", "prompt", "empty", "latents")


def hole(text: str, caption: str, hint: str = "") -> Markup:
    """The place of a picture that is not there, and why."""
    return _html.hole(text, caption, hint)


def note(text: str, facts: str = "", live: bool = False) -> Markup:
    """A sentence about runs, and their `facts`; one that is `live` is read out when it changes."""
    return _html.note(text, facts, live)


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
    if cut := cut_of(request.prompt, request.model):
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


def store(trace: Trace, rows: Mapping[str, Sequence[str]], start: int, t: Texts) -> Markup:
    """Everything the script needs to scrub, as data inside the page.

    Args:
        rows: pictures by name of row, one per step.
        start: step shown first, 0-based.
    """
    steps = trace.steps
    content = {
        "rows": {name: list(row) for name, row in rows.items() if row},
        "labels": [step_label(step.index, step.total, t) for step in steps],
        "texts": {
            "count": [str(step.index + 1) for step in steps],
            "left": [_left(step, t) for step in steps],
            "time": [t("image.time", timestep=step.timestep) for step in steps],
        },
        "start": start,
    }
    return _html.store(content)


def console(step: DenoiseStep | None, total: int, last: int, enabled: bool, t: Texts) -> Markup:
    """How far a run is, play button and step slider; while a run draws, the slider is its progress bar.

    Args:
        step: that is shown; None before the first.
        total: steps of the whole run.
        last: steps that the slider has.
        enabled: whether one can scrub.
    """
    if step is None:
        left, time, label = t("image.waiting"), "", t("image.waiting")
    else:
        left, time = _left(step, t), t("image.time", timestep=step.timestep)
        label = step_label(step.index, last, t)
    return _html.console(step.index + 1 if step else 0, total, left, time, last, label, enabled, t)


def film(pictures: Sequence[str], total: int, t: Texts) -> Markup:
    """The strip of all guided estimates; long runs show every second, third, … of them.

    Args:
        pictures: as many as there are so far.
        total: steps of the whole run.
    """
    shown = _spread(total, _THUMBS)
    coarse = [shown[i] for i in _spread(len(shown), _COARSE)]
    here = [i for i in shown if i < len(pictures)]
    thumbs = [(i, pictures[i], step_label(i, total, t), i in coarse) for i in here]
    return _html.film(thumbs, len(shown), len(coarse), t)


def _spread(total: int, most: int) -> list[int]:
    """Up to `most` steps, evenly from the first to the last."""
    count = min(most, total)
    return [round(i * (total - 1) / max(1, count - 1)) for i in range(count)]


def _left(step: DenoiseStep, t: Texts) -> str:
    left = step.total - step.index - 1
    if left <= 1:
        return t("image.left_one") if left else t("image.left_none")
    return t("image.left", left=left)


def running_view(reel: LiveFrames, t: Texts) -> Markup:
    """The view while a run draws: its last step so far, or empty places before the first.

    Its state is "drawn" once the picture is whole, though one cannot scrub through its steps yet.
    """
    total, last = reel.request.num_inference_steps, reel.steps[-1] if reel.steps else None
    return _html.view(
        state="drawn" if reel.whole else "running", console=console(last, total, total, False, t),
        film=film(reel.guided, total, t), **_stage(reel, reel.request, t),
    )  # fmt: skip


def _stage(frames: LiveFrames | Frames, request: ImageRequest, t: Texts) -> dict[str, Any]:
    """The pictures of the last step, or why there are none, and what they were asked for."""
    return {
        "sources": {name: row[-1] if (row := getattr(frames, name)) else "" for name in _ROWS},
        "why": t("image.no_branch" if frames.steps else "image.waiting"),
        "without": t("image.negative" if request.negative_prompt else "image.empty"),
        "facts": facts(request, t),
        "t": t,
    }


def finished_view(trace: Trace, frames: Frames, remark: str, t: Texts) -> Markup:
    """The view to scrub through, showing the last step at first.

    Args:
        trace: of a run that ended or was stopped.
        frames: its pictures.
        remark: a sentence about this run; may be empty.
    """
    last, count = trace.steps[-1], len(trace.steps)
    rows = {name: getattr(frames, name) for name in _ROWS}
    return _html.view(
        state="stopped" if last.index + 1 < last.total else "done",
        console=console(last, last.total, count, True, t), film=film(frames.guided, count, t),
        remark=remark, store=store(trace, rows, last.index, t), **_stage(frames, trace.request, t),
    )  # fmt: skip
