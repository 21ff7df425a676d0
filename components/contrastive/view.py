"""How the tab of contrastive learning draws: the stage once per training, and what its script fills in."""

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from markupsafe import Markup

from components.ui.language import Texts
from components.ui.plots import MATRIX_VIEWS, cell_colour
from components.ui.templates import templates
from pipelines.clip.contrastive import ClipStep
from pipelines.serving.live_training import MOST_STEPS

_VIEW = "contrastive/view.html"
_SHADES = 41  # of a colour scale; the eye tells no more apart


@lru_cache(maxsize=2)
def _ramp(scale: str) -> tuple[tuple[str, str], ...]:
    """Background and text colours of a scale, from its low to its high end."""
    return tuple(cell_colour(scale, round(200 * i / (_SHADES - 1))) for i in range(_SHADES))


def _whole(matrix: np.ndarray) -> list[int]:
    """Cosines as whole ten-thousandths, picture by picture."""
    return [int(value) for value in np.rint(matrix * 10_000).ravel()]


def _record(step: ClipStep) -> list[Any]:
    numbers = (step.loss, step.unseen_loss, step.accuracy, step.unseen_accuracy, step.scale)
    return [_whole(step.similarity), _whole(step.unseen), *(round(n, 4) for n in numbers)]


def pulse_html(number: int, records: Sequence[ClipStep], first: int, running: bool) -> Markup:
    """What the script learns of a training's progress; nothing of it is seen.

    Args:
        number: of the training, so that what comes late from an older one is passed over.
        records: of all steps so far.
        first: the step from which records are sent along; the script has the earlier ones.
        running: whether more is coming.
    """
    content = {
        "number": number,
        "first": first,
        "total": len(records),
        "running": running,
        "records": [_record(step) for step in records[first:]],
    }
    return templates(_VIEW).pulse(json.dumps(content, separators=(",", ":")))


def stage_html(
    number: int,
    pairs: tuple[Sequence[str], Sequence[str]],
    unseen: tuple[Sequence[str], Sequence[str]],
    targets: Sequence[int],
    classroom: tuple[np.ndarray, float],
    remark: str,
    unseen_hint: str,
    floor: float,
    t: Texts,
) -> Markup:
    """Everything that stays the same during a training.

    Args:
        number: of the training.
        pairs: thumbnails and captions of the pairs.
        unseen: the same of pairs that no step sees.
        targets: index of the text that each picture is trained with.
        classroom: what the trained classroom CLIP says of the pairs, `[image, text]`, and its logit_scale.
        remark: what this experiment is about.
        unseen_hint: what the unseen pairs are.
        floor: the lowest loss that can be reached.
    """
    count = len(pairs[0])
    data = {
        "number": number, "count": count, "chance": math.log(count), "floor": floor, "most": MOST_STEPS,
        "ramps": {"cosine": _ramp("cosine"), "share": _ramp("share")}, "comma": t.language == "de",
        "classroom": {"similarity": _whole(classroom[0]), "scale": classroom[1]},
        "texts": {key: t(f"contrastive.{key}") for key in ("guessing", "lowest")},
    }  # fmt: skip
    own = range(count)
    return templates(_VIEW).stage(
        data, remark, MATRIX_VIEWS, (*pairs, targets), (*unseen, own), (*pairs, own), unseen_hint, t
    )


def waiting_html(t: Texts) -> Markup:
    """What stands on the stage while pictures wait for their captions."""
    return templates(_VIEW).waiting(t)
