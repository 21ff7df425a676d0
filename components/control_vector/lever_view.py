"""Pictures at the stations of a lever: before they are asked for, while they draw, and to scrub through."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.runs.trace_view import facts, hole
from components.ui.language import Texts
from components.ui.numbers import fixed, percent, short
from components.ui.templates import templates
from pipelines.image.control_vector import STATIONS, WEIGHTS
from pipelines.image.request import ImageRequest

LEVERS = {"blend": STATIONS, "weight": WEIGHTS}
_HTML = "control_vector/lever.html"


@dataclass(frozen=True, eq=False)
class Strip:
    """Pictures at the stations of a lever, as the page keeps them for one visitor.

    Attributes:
        requests: one per station.
        sources: addresses of the pictures.
        scores: `[station, 2]` CLIP's cosines with two texts.
        texts: the two texts.
        names: how the page names them.
        remark: what has to be said about this strip; may be empty.
    """

    requests: tuple[ImageRequest, ...]
    sources: tuple[str, ...]
    scores: np.ndarray
    texts: tuple[str, str]
    names: tuple[str, str]
    remark: str


@dataclass(frozen=True, eq=False)
class Extra:
    """The picture at a place between two stations.

    Attributes:
        value: the place.
        source: address of the picture; empty before the first step.
        status: where its run is, or what CLIP says of it.
    """

    value: float
    source: str
    status: str


def label_of(lever: str, value: float, t: Texts) -> str:
    """How the plot and the pictures name a place on a lever."""
    if lever == "weight":
        return f"× {short(value, t, 2)}"
    if value in (0, 1):
        return "B" if value else "A"
    return percent(value, t)


def scores_text(names: tuple[str, str], scores: Sequence[float], t: Texts) -> str:
    """CLIP's two cosines of one picture in a line."""
    parts = (f"{name} {fixed(float(score), t)}" for name, score in zip(names, scores, strict=True))
    return "CLIP: " + " · ".join(parts)


def _names(lever: str, t: Texts) -> list[str]:
    return [t(f"control_vector.{lever}_station", place=label_of(lever, v, t)) for v in LEVERS[lever]]


def idle_view(lever: str, t: Texts) -> str:
    """The places of the pictures before anybody asked for them."""
    return templates(_HTML).idle(lever, _names(lever, t), hole(t(f"control_vector.{lever}_idle"), ""), t)


def unfinished_view(
    state: str, lever: str, request: ImageRequest, sources: Sequence[str], status: str, remark: str, t: Texts
) -> str:
    """All stations while they draw, or where they were stopped; the middle one large.

    Args:
        state: "running" or "stopped".
        lever: "blend" or "weight".
        request: of one of them.
        sources: addresses; none before the first step.
        status: where the run is.
        remark: what has to be said about these pictures.
    """
    empty, asked = hole(t("image.waiting"), ""), facts(request, t)
    return templates(_HTML).unfinished(
        state, lever, _names(lever, t), sources, empty, status, remark, asked, t
    )


def strip_view(lever: str, strip: Strip, at: float, extra: Extra | None, t: Texts) -> str:
    """All stations to scrub through with the slider.

    Args:
        lever: "blend" or "weight".
        strip: the pictures.
        at: where the slider stands.
        extra: a picture in between, if one was asked for.
    """
    station = int(np.abs(np.array(LEVERS[lever]) - at).argmin())
    data = {
        "lever": lever,
        "stations": LEVERS[lever],
        "sources": strip.sources,
        "captions": _names(lever, t),
        "scores": [scores_text(strip.names, row, t) for row in strip.scores],
        "extra": extra and {"value": extra.value, "source": extra.source, "status": extra.status},
        "at": at,
        "comma": t.language == "de",
        "texts": {
            "read": t.entries[f"control_vector.{lever}_read"],
            "between": t("control_vector.between"),
            "exact": t("control_vector.exact"),
        },
    }
    asked = facts(strip.requests[0], t)
    return templates(_HTML).done(
        lever, _names(lever, t), strip.sources, station, strip.remark, asked, data, t
    )
