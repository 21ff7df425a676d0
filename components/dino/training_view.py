"""A training in pictures: the crops, what student and teacher say of them, and three meters of collapse."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from components.runs.frames import encode_exactly
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed
from pipelines.dino.training import PROTOTYPES, DinoRecord, Look, look, pictures
from pipelines.serving.live_training import MOST_STEPS

TEACHER, STUDENT = "#d55e00", "#0072b2"
GOOD, BAD, EARLY = "#009e73", "#cc0044", "#8a8f98"
MOST_ENTROPY = math.log(PROTOTYPES)
_PATIENCE = 25  # steps before a verdict
_SURE, _ALIKE = 0.22, 0.85  # shares of the largest entropy
_POINTS = 160  # of a curve


def training_html(
    records: Sequence[DinoRecord], t: Texts, at: int | None = None, running: bool = False
) -> str:
    """Where a training stands, or stood at an earlier step.

    Args:
        records: of every step so far, the untrained models first.
        t: texts.
        at: the step to show; without it, the last.
        running: whether more is coming; the console reads it.
    """
    last = len(records) - 1
    at = last if at is None else min(max(at, 0), last)
    now = records[at]
    seen = look(*now.seen)
    return (
        f'<div class="dn training" data-at="{at}" data-last="{last}" data-most="{MOST_STEPS}" '
        f'data-running="{str(running).lower()}">{_verdict(records[: at + 1], t)}'
        f'<div class="look">{_whole(seen, t)}{_side("teacher", now, seen, t)}'
        f'{_side("student", now, seen, t)}</div><div class="meters">{_meters(records, at, t)}</div></div>'
    )


def state_of(records: Sequence[DinoRecord]) -> str:
    """What the meters say of collapse.

    Returns:
        "early"; "one" (a prototype or two win with all pictures); "same" (each picture gets all alike);
        or "fine".

    Both kinds of collapse show in what the pictures have in common: where the mean over a batch is as
    certain, or as uncertain, as each picture alone, the pictures are not told apart.
    """
    if len(records) <= _PATIENCE:
        return "early"
    last = records[-10:]
    each, shared = (float(np.mean([getattr(r, k) for r in last])) for k in ("entropy", "variety"))
    if shared < _SURE * MOST_ENTROPY:
        return "one"
    return "same" if each > _ALIKE * MOST_ENTROPY else "fine"


def _verdict(records: Sequence[DinoRecord], t: Texts) -> str:
    state = state_of(records)
    colour = {"early": EARLY, "fine": GOOD}.get(state, BAD)
    step = html_escape(t("dino.step", step=len(records) - 1))
    used = max(1, round(math.exp(float(np.mean([r.variety for r in records[-10:]])))))
    said = html_escape(t(f"dino.verdict.{state}", used=used, all=PROTOTYPES))
    return (
        f'<p class="verdict" role="status" style="--c:{colour}" data-verdict="{state}">'
        f"<b>{step}</b> {said}</p>"
    )


def _whole(seen: Look, t: Texts) -> str:
    """The batch's first picture with the frames of its crops."""
    frames = "".join(
        f'<rect x="{100 * x:.1f}" y="{100 * y:.1f}" width="{100 * w:.1f}" height="{100 * h:.1f}" fill="none" '
        f'stroke="{colour}" stroke-width="{width}"/>'
        for boxes, colour, width in ((seen.large_boxes, TEACHER, 2.4), (seen.small_boxes, STUDENT, 1.6))
        for x, y, w, h in boxes
    )
    source = encode_exactly(Image.fromarray(pictures()[seen.picture]))
    alt = html_escape(t("dino.whole"))
    return (
        f'<figure><div class="whole"><img src="{source}" alt="{alt}">'
        f'<svg viewBox="0 0 100 100" aria-hidden="true">{frames}</svg></div>'
        f"<figcaption>{alt}</figcaption></figure>"
    )


def _side(who: str, now: DinoRecord, seen: Look, t: Texts) -> str:
    """What one of the two sees, and how it spreads itself over the prototypes."""
    teacher = who == "teacher"
    colour, said = (TEACHER, now.targets) if teacher else (STUDENT, now.student)
    crops = [(crop, "large") for crop in seen.large]
    crops += [] if teacher else [(crop, "small") for crop in seen.small]
    images = "".join(
        f'<img class="{size}" src="{encode_exactly(Image.fromarray(crop))}" '
        f'alt="{html_escape(t(f"dino.{size}_crop", number=i))}">'
        for i, (crop, size) in enumerate(crops, 1)
    )
    title, hint = html_escape(t(f"dino.{who}")), html_escape(t(f"dino.{who}_hint"))
    bars = _bars(said, colour, t("dino.bars", who=t(f"dino.{who}")))
    return (
        f'<div class="side" style="--c:{colour}" data-side="{who}"><h4><b>{title}</b></h4>'
        f'<div class="crops">{images}</div>{bars}'
        f"<small>{hint}</small></div>"
    )


def _bars(shares: np.ndarray, colour: str, alt: str) -> str:
    """A distribution over the prototypes; the height is the share, the scale is fixed (square root)."""
    heights = 100 * np.sqrt(shares)
    bars = "".join(
        f'<rect x="{i + 0.1:.1f}" y="{100 - h:.1f}" width="0.8" height="{h:.1f}"/>'
        for i, h in enumerate(heights)
    )
    return (
        f'<svg class="bars" viewBox="0 0 {len(shares)} 100" preserveAspectRatio="none" fill="{colour}" '
        f'role="img" aria-label="{html_escape(alt)}">{bars}</svg>'
    )


def _meters(records: Sequence[DinoRecord], at: int, t: Texts) -> str:
    """Three curves over the steps, each on a fixed scale, with a mark at the step that is shown."""
    kinds = (("entropy", MOST_ENTROPY), ("variety", MOST_ENTROPY), ("spread", 1.0))
    return "".join(
        _meter(kind, [getattr(r, kind) for r in records], top, at, _changes(records), t)
        for kind, top in kinds
    )


def _upright(x: float, kind: str) -> str:
    return (
        f'<line class="{kind}" x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="100" vector-effect="non-scaling-stroke"/>'
    )


def _meter(kind: str, values: Sequence[float], top: float, at: int, changes: Sequence[int], t: Texts) -> str:
    """One curve; what came after the step that is shown is pale."""
    last = len(values) - 1
    end = max(last, 60)

    def line(first: int, stop: int, which: str) -> str:
        chosen = np.unique(np.linspace(first, stop, min(_POINTS, stop - first + 1)).round().astype(int))
        points = " ".join(f"{100 * i / end:.2f},{100 - 100 * values[i] / top:.2f}" for i in chosen)
        return f'<polyline class="{which}" points="{points}" vector-effect="non-scaling-stroke"/>'

    marks = "".join(_upright(100 * i / end, "change") for i in changes)
    shown = line(0, at, "line")
    if at < last:
        shown = line(at, last, "line later") + shown + _upright(100 * at / end, "at")
    title, hint = html_escape(t(f"dino.meter.{kind}")), html_escape(t(f"dino.meter_hint.{kind}"))
    scale = html_escape(t("dino.scale", high=fixed(top, t)))
    dot = f'<i class="dot" style="left:{100 * at / end:.2f}%;top:{100 - 100 * values[at] / top:.2f}%"></i>'
    return (
        f'<div class="meter" data-meter="{kind}"><header><span>{title}</span>'
        f"<output>{fixed(values[at], t)}</output></header>"
        f'<div class="plot"><svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{title}">{marks}{shown}</svg>{dot}</div><small><span>{scale}</span>'
        f"<span>{html_escape(t('dino.steps_axis', steps=end))}</span></small>"
        f"<small><span>{hint}</span></small></div>"
    )


def _changes(records: Sequence[DinoRecord]) -> list[int]:
    """The steps at which the visitor changed something."""
    return [i - 1 for i in range(2, len(records)) if records[i].settings != records[i - 1].settings]
