"""A training in pictures: the crops, what student and teacher say of them, and three meters of collapse."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from components.runs.frames import encode_exactly
from components.ui.language import Texts
from components.ui.numbers import fixed
from components.ui.templates import templates
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
) -> Markup:
    """Where a training stands, or stood at an earlier step.

    Args:
        records: of every step so far, the untrained models first.
        at: the step to show; without it, the last.
        running: whether more is coming; the console reads it.
    """
    last = len(records) - 1
    at = last if at is None else min(max(at, 0), last)
    seen = look(*records[at].seen)
    return templates("dino/training_view.html").training(
        at, last, MOST_STEPS, str(running).lower(), _verdict(records[: at + 1], t), _whole(seen),
        [_side(who, records[at], seen) for who in ("teacher", "student")], _meters(records, at, t), t,
    )  # fmt: skip


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


def _verdict(records: Sequence[DinoRecord], t: Texts) -> dict[str, str]:
    state = state_of(records)
    used = max(1, round(math.exp(float(np.mean([r.variety for r in records[-10:]])))))
    said = t(f"dino.verdict.{state}", used=used, all=PROTOTYPES)
    return {"state": state, "colour": {"early": EARLY, "fine": GOOD}.get(state, BAD), "said": said}


def _whole(seen: Look) -> dict[str, Any]:
    """The batch's first picture with the frames of its crops, in % of its sides."""
    boxes = [
        {side: f"{100 * value:.1f}" for side, value in zip("xywh", box, strict=True)}
        | {"colour": colour, "stroke": stroke}
        for frames, colour, stroke in ((seen.large_boxes, TEACHER, 2.4), (seen.small_boxes, STUDENT, 1.6))
        for box in frames
    ]
    return {"source": encode_exactly(Image.fromarray(pictures()[seen.picture])), "boxes": boxes}


def _side(who: str, now: DinoRecord, seen: Look) -> dict[str, Any]:
    """What one of the two sees, and how it spreads itself over the prototypes."""
    teacher = who == "teacher"
    colour, said = (TEACHER, now.targets) if teacher else (STUDENT, now.student)
    crops = [("large", crop) for crop in seen.large]
    crops += [] if teacher else [("small", crop) for crop in seen.small]
    sources = [(size, encode_exactly(Image.fromarray(crop))) for size, crop in crops]
    return {"who": who, "colour": colour, "crops": sources, "bars": _bars(said)}


def _bars(shares: np.ndarray) -> list[dict[str, str]]:
    """A distribution over the prototypes; the height is the share, the scale is fixed (square root)."""
    return [
        {"x": f"{i + 0.1:.1f}", "y": f"{100 - height:.1f}", "h": f"{height:.1f}"}
        for i, height in enumerate(100 * np.sqrt(shares))
    ]


def _meters(records: Sequence[DinoRecord], at: int, t: Texts) -> list[dict[str, Any]]:
    """Three curves over the steps, each on a fixed scale, with a mark at the step that is shown."""
    kinds = (("entropy", MOST_ENTROPY), ("variety", MOST_ENTROPY), ("spread", 1.0))
    end = max(len(records) - 1, 60)
    shared = {"end": end, "changes": [f"{100 * i / end:.2f}" for i in _changes(records)]}
    return [
        {"kind": kind, "high": fixed(top, t), **shared}
        | _curve([getattr(r, kind) for r in records], top, at, end, t)
        for kind, top in kinds
    ]


def _curve(values: Sequence[float], top: float, at: int, end: int, t: Texts) -> dict[str, str]:
    """One curve in % of its field: until the step that is shown, and what came later."""

    def height(i: int) -> str:
        return f"{100 - 100 * values[i] / top:.2f}"

    def line(first: int, stop: int) -> str:
        chosen = np.unique(np.linspace(first, stop, min(_POINTS, stop - first + 1)).round().astype(int))
        return " ".join(f"{100 * i / end:.2f},{height(i)}" for i in chosen)

    last = len(values) - 1
    later = line(at, last) if at < last else ""
    dot = {"x": f"{100 * at / end:.2f}", "y": height(at), "shown": fixed(values[at], t)}
    return {"line": line(0, at), "later": later, **dot}


def _changes(records: Sequence[DinoRecord]) -> list[int]:
    """The steps at which the visitor changed something."""
    return [i - 1 for i in range(2, len(records)) if records[i].settings != records[i - 1].settings]
