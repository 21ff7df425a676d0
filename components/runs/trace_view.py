"""A run on the page: live while it draws, and to scrub through afterwards."""

import json
from collections.abc import Mapping, Sequence

from components.runs.frames import Frames, LiveFrames
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import short
from pipelines.image.request import SCHEDULERS, DenoiseStep, ImageRequest, Trace
from pipelines.serving import catalogue

_THUMBS, _COARSE = 25, 6  # most pictures in a film strip, on wide and on narrow screens


def picture(row: str, source: str, caption: str, hint: str = "", crisp: bool = False) -> str:
    """A figure whose picture the script exchanges from step to step.

    Args:
        row: name of its row of frames.
        source: address of the picture to begin with.
        caption: plain text.
        hint: a smaller second line.
        crisp: enlarge with hard pixels.
    """
    small = f"<small>{html_escape(hint)}</small>" if hint else ""
    alt = html_escape(caption)
    kind = ' class="crisp"' if crisp else ""
    return (
        f'<figure><img{kind} data-row="{row}" data-alt="{alt}" alt="{alt}" src="{source}">'
        f"<figcaption>{alt}{small}</figcaption></figure>"
    )


def hole(text: str, caption: str, hint: str = "") -> str:
    """The place of a picture that is not there, and why."""
    small = f"<small>{html_escape(hint)}</small>" if hint else ""
    return (
        f'<figure><div class="hole">{html_escape(text)}</div>'
        f"<figcaption>{html_escape(caption)}{small}</figcaption></figure>"
    )


def facts(request: ImageRequest, t: Texts, scale: bool = True) -> str:
    """What a run was asked for, in one line; it need not be what the bar says by now.

    Args:
        request: of the run.
        t: texts.
        scale: whether its guidance scale is one of the facts.
    """
    scheduler = request.scheduler
    if scheduler in SCHEDULERS:
        scheduler = t(f"image.scheduler_{scheduler.replace('+', 'p')}")
    rows = [("prompt", f"“{request.prompt}”" if t.language == "en" else f"„{request.prompt}“")]
    if request.negative_prompt:
        rows.append(("negative", request.negative_prompt))
    rows += [
        ("seed", str(request.seed)),
        ("steps", str(request.num_inference_steps)),
        *([("scale", short(request.guidance_scale, t))] if scale else []),
        ("scheduler", scheduler),
        ("model", catalogue.entry(request.model).title),
    ]
    items = (f"<span>{html_escape(t(f'image.fact_{key}'))} <b>{html_escape(v)}</b></span>" for key, v in rows)
    return f'<p class="facts">{"".join(items)}</p>'


def step_label(index: int, total: int, t: Texts) -> str:
    """Where a run is, in words."""
    return t("image.step", step=index + 1, total=total)


def store(trace: Trace, rows: Mapping[str, Sequence[str]], start: int, t: Texts) -> str:
    """Everything the script needs to scrub, as data inside the page.

    Args:
        trace: whose steps are shown.
        rows: pictures by name of row, one per step.
        start: step shown first, 0-based.
        t: texts.
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
    return f'<div hidden data-frames="{html_escape(json.dumps(content))}"></div>'


def scrubber(index: int, total: int, enabled: bool, t: Texts) -> str:
    """Play button and step slider; while a run draws, the slider is its progress bar."""
    off = "" if enabled else " disabled"
    label = step_label(index, total, t) if index >= 0 else t("image.waiting")
    return (
        f'<div class="scrub"><button type="button" class="play" aria-pressed="false"{off} '
        f'data-play="{html_escape(t("image.play"))}" data-pause="{html_escape(t("image.pause"))}">'
        f"{html_escape(t('image.play'))}</button>"
        f'<label><span class="sv-sr">{html_escape(t("image.slider"))}</span>'
        f'<input type="range" min="1" max="{total}" step="1" value="{index + 1}" '
        f'aria-valuetext="{html_escape(label)}"{off}></label></div>'
    )


def film(pictures: Sequence[str], total: int, t: Texts) -> str:
    """The strip of all guided estimates; long runs show every second, third, … of them.

    Args:
        pictures: as many as there are so far.
        total: steps of the whole run.
        t: texts.
    """
    shown = _spread(total, _THUMBS)
    coarse = [shown[i] for i in _spread(len(shown), _COARSE)]
    buttons = [
        f'<button type="button" tabindex="-1" data-step="{i}"{" data-coarse" if i in coarse else ""} '
        f'aria-label="{html_escape(step_label(i, total, t))}">'
        f'<img alt="" src="{pictures[i]}">{i + 1}</button>'
        for i in shown
        if i < len(pictures)
    ]
    columns = f"--thumbs:{len(shown)};--coarse:{len(coarse)}"
    return (
        f'<div class="film" role="group" aria-label="{html_escape(t("image.film"))}" style="{columns}">'
        f"{''.join(buttons)}</div>"
    )


def _spread(total: int, most: int) -> list[int]:
    """Up to `most` steps, evenly from the first to the last."""
    count = min(most, total)
    return [round(i * (total - 1) / max(1, count - 1)) for i in range(count)]


def _left(step: DenoiseStep, t: Texts) -> str:
    left = step.total - step.index - 1
    if left <= 1:
        return t("image.left_one") if left else t("image.left_none")
    return t("image.left", left=left)


def readout(step: DenoiseStep | None, total: int, t: Texts) -> str:
    """How far a run is, in large figures; `step` is None before the first."""
    count = step.index + 1 if step else 0
    left = _left(step, t) if step else t("image.waiting")
    time = t("image.time", timestep=step.timestep) if step else ""
    return (
        f'<div class="readout" role="status"><div class="count"><span data-text="count">{count}</span>'
        f'<small> / {total}</small></div><div class="left" data-text="left">{html_escape(left)}</div>'
        f'<div class="time" data-text="time">{html_escape(time)}</div></div>'
    )


def _empty_caption(request: ImageRequest, t: Texts) -> str:
    return t("image.negative") if request.negative_prompt else t("image.empty")


def _page(state: str, lead: str, aside: Sequence[str], console: str, below: Sequence[str]) -> str:
    """The large picture, beside it the small ones over the console, the film strip beneath."""
    lead = lead.replace("<figure>", '<figure class="lead">', 1)
    return (
        f'<div class="trace" data-state="{state}"><div class="stage">{lead}'
        f'<div class="aside">{"".join(aside)}</div><div class="console">{console}</div></div>'
        f"{''.join(below)}</div>"
    )


def running_view(reel: LiveFrames, t: Texts) -> str:
    """The view while a run draws: its last step so far, or empty places before the first.

    Its state is "drawn" once the picture is whole, though one cannot scrub through its steps yet.
    """
    request, total = reel.request, reel.request.num_inference_steps
    without, waiting = _empty_caption(request, t), t("image.waiting")
    if reel.steps:
        lead, aside = _stage(reel, request, t)
    else:
        lead = hole(waiting, t("image.guided"), t("image.guided_hint"))
        captions = ((t("image.prompt"), ""), (without, ""), (t("image.latents"), t("image.latents_hint")))
        aside = [hole(waiting, caption, hint) for caption, hint in captions]
    last = reel.steps[-1] if reel.steps else None
    console = readout(last, total, t) + scrubber(last.index if last else -1, total, False, t)
    state = "drawn" if reel.whole else "running"
    return _page(state, lead, aside, console, [film(reel.guided, total, t), facts(request, t)])


def _stage(frames: LiveFrames | Frames, request: ImageRequest, t: Texts) -> tuple[str, list[str]]:
    """The large picture and the three small ones, of the last step."""
    without = _empty_caption(request, t)
    aside = [
        picture("prompt", frames.prompt[-1], t("image.prompt")),
        picture("empty", frames.empty[-1], without) if frames.empty else hole(t("image.no_branch"), without),
        picture("latents", frames.latents[-1], t("image.latents"), t("image.latents_hint"), crisp=True),
    ]
    return picture("guided", frames.guided[-1], t("image.guided"), t("image.guided_hint")), aside


def finished_view(trace: Trace, frames: Frames, remark: str, t: Texts) -> str:
    """The view to scrub through, showing the last step at first.

    Args:
        trace: of a run that ended or was stopped.
        frames: its pictures.
        remark: a sentence about this run; may be empty.
        t: texts.
    """
    last, request = trace.steps[-1], trace.request
    lead, aside = _stage(frames, request, t)
    console = readout(last, last.total, t) + scrubber(last.index, len(trace.steps), True, t)
    rows = {name: getattr(frames, name) for name in ("guided", "prompt", "empty", "latents")}
    below = [
        film(frames.guided, len(trace.steps), t),
        facts(request, t),
        f'<p class="remark">{html_escape(remark)}</p>',
        store(trace, rows, last.index, t),
    ]
    return _page("stopped" if last.index + 1 < last.total else "done", lead, aside, console, below)
