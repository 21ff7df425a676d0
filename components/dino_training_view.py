"""A training in pictures: the crops, what student and teacher say of them, and three meters of collapse."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from components.clip_matrix_view import number
from components.frames import encode_exactly
from components.language import Texts
from components.layout import html_escape
from pipelines.dino_training import PROTOTYPES, DinoRecord, pictures

TEACHER, STUDENT = "#d55e00", "#0072b2"
GOOD, BAD, EARLY = "#009e73", "#cc0044", "#8a8f98"
MOST_ENTROPY = math.log(PROTOTYPES)
_PATIENCE = 25  # steps before a verdict
_SURE, _ALIKE = 0.22, 0.85  # shares of the largest entropy
_POINTS = 160  # of a curve


def training_html(records: Sequence[DinoRecord], t: Texts) -> str:
    """Where a training stands.

    Args:
        records: of every step so far, the untrained models first.
        t: texts.
    """
    now = records[-1]
    return (
        f'<div class="dn training" data-steps="{len(records) - 1}">{_verdict(records, t)}'
        f'<div class="look">{_whole(now, t)}{_side("teacher", now, t)}{_side("student", now, t)}</div>'
        f'<div class="meters">{_meters(records, t)}</div></div>'
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


def _whole(now: DinoRecord, t: Texts) -> str:
    """The batch's first picture with the frames of its crops."""
    frames = "".join(
        f'<rect x="{100 * x:.1f}" y="{100 * y:.1f}" width="{100 * w:.1f}" height="{100 * h:.1f}" fill="none" '
        f'stroke="{colour}" stroke-width="{width}"/>'
        for boxes, colour, width in ((now.large_boxes, TEACHER, 2.4), (now.small_boxes, STUDENT, 1.6))
        for x, y, w, h in boxes
    )
    source = encode_exactly(Image.fromarray(pictures()[now.picture]))
    alt = html_escape(t("dino.whole"))
    return (
        f'<figure><div class="whole"><img src="{source}" alt="{alt}">'
        f'<svg viewBox="0 0 100 100" aria-hidden="true">{frames}</svg></div>'
        f"<figcaption>{alt}</figcaption></figure>"
    )


def _side(who: str, now: DinoRecord, t: Texts) -> str:
    """What one of the two sees, and how it spreads itself over the prototypes."""
    teacher = who == "teacher"
    colour, said = (TEACHER, now.targets) if teacher else (STUDENT, now.student)
    crops = [(crop, "large") for crop in now.large]
    crops += [] if teacher else [(crop, "small") for crop in now.small]
    images = "".join(
        f'<img class="{size}" src="{encode_exactly(Image.fromarray(crop))}" '
        f'alt="{html_escape(t(f"dino.{size}_crop", number=i))}">'
        for i, (crop, size) in enumerate(crops, 1)
    )
    title, hint = html_escape(t(f"dino.{who}")), html_escape(t(f"dino.{who}_hint"))
    bars = _bars(said.mean(0), colour, t("dino.bars", who=t(f"dino.{who}")))
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


def _meters(records: Sequence[DinoRecord], t: Texts) -> str:
    """Three curves over the steps, each on a fixed scale."""
    kinds = (("entropy", MOST_ENTROPY), ("variety", MOST_ENTROPY), ("spread", 1.0))
    return "".join(_meter(kind, [getattr(r, kind) for r in records], top, records, t) for kind, top in kinds)


def _meter(kind: str, values: Sequence[float], top: float, records: Sequence[DinoRecord], t: Texts) -> str:
    last = len(values) - 1
    chosen = np.unique(np.linspace(0, last, min(_POINTS, last + 1)).round().astype(int))
    points = " ".join(f"{100 * i / max(last, 60):.2f},{100 - 100 * values[i] / top:.2f}" for i in chosen)
    changes = "".join(
        f'<line x1="{100 * i / max(last, 60):.2f}" x2="{100 * i / max(last, 60):.2f}" y1="0" y2="100" '
        'stroke="currentColor" stroke-dasharray="3 4" vector-effect="non-scaling-stroke" opacity="0.5"/>'
        for i in _changes(records)
    )
    title, hint = html_escape(t(f"dino.meter.{kind}")), html_escape(t(f"dino.meter_hint.{kind}"))
    scale = html_escape(t("dino.scale", high=number(top, t, 2)))
    return (
        f'<div class="meter" data-meter="{kind}"><header><span>{title}</span>'
        f"<output>{number(values[-1], t)}</output></header>"
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{title}">{changes}'
        f'<polyline points="{points}" fill="none" stroke="{STUDENT}" stroke-width="3" '
        f'vector-effect="non-scaling-stroke"/></svg><small><span>{scale}</span>'
        f"<span>{html_escape(t('dino.steps_axis', steps=max(last, 60)))}</span></small>"
        f"<small><span>{hint}</span></small></div>"
    )


def _changes(records: Sequence[DinoRecord]) -> list[int]:
    """The steps at which the visitor changed something."""
    return [i - 1 for i in range(2, len(records)) if records[i].settings != records[i - 1].settings]
