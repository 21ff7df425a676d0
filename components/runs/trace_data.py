"""A run as numbers for the page: `trace.js` paints them, and Gradio sends only what was added since the last.

A picture travels as latents, a byte a value, and nobody waits for the autoencoder. The script shows them
through the model's linear decoder, and as exact pictures where these have been asked for.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from PIL import Image
from plotly.colors import get_colorscale

from components.runs.frames import Frames, decode_all, encode, packed
from components.ui.language import Texts
from components.ui.plots import DIVERGING, SEQUENTIAL
from pipelines.image.previews import linear_decoder

LATENT_RANGE = 3.0  # deviations: latents have unit deviation, so nearly all values lie within
_LABELS = ("start", "step", "left", "left_one", "left_none", "time")
_WHY = ("waiting", "not_yet", "no_branch")


def _scale(stops: Iterable[tuple[float, str]]) -> list[tuple[float, str]]:
    return [(float(place), colour) for place, colour in stops]


def trace_data(
    frames: Frames, html: str, state: str, t: Texts, *, first: int = 0, start: int | None = None,
    remark: str = "", limits: Mapping[str, float] = MappingProxyType({}), strip: str = "noisy",
) -> dict[str, Any]:  # fmt: skip
    """Everything that `trace.js` needs to show a run and to scrub through it.

    Args:
        frames: the pictures so far.
        html: the view without its pictures; the same for the whole run.
        state: "running", "stopped" or "done".
        first: the first place of the slider: 0 is the noise before the first step.
        start: place that is shown at first; by default the last there is.
        remark: a sentence about the run.
        limits: of colour scales that are not the usual one, by name of row.
        strip: the row that the film strip shows.
    """
    told: dict[str, Any] = {
        "html": html, "run": frames.run, "state": state, "remark": remark, "first": first,
        "total": frames.request.num_inference_steps,
        "strip": strip, "times": [step.timestep for step in frames.steps],
        "texts": {name: t(f"image.{name}") for name in (*_LABELS, *_WHY)},
    }  # fmt: skip
    if not frames.steps:
        return told
    rows = frames.rows
    decoder = linear_decoder(frames.request.model)
    return told | {
        "start": len(frames.steps) if start is None else start,
        "grid": rows["noisy"].small(0).shape,
        "decoder": {"patch": decoder.patch, "weights": [packed(row) for row in decoder.weights]},
        "latents": {name: row.numbers for name, row in rows.items()},
        "exact": {},
        "limits": {"latents": LATENT_RANGE, **limits},
        "scales": {"signed": _scale(DIVERGING), "length": _scale(get_colorscale(SEQUENTIAL))},
    }


def with_exact(
    told: dict[str, Any], frames: Frames, place: int, picture: Image.Image | None = None
) -> dict[str, Any]:
    """The data of a run with the exact pictures of one place.

    Args:
        place: of the slider: 0 is the noise before the first step.
        picture: the finished one, which is the last noisy latents decoded in full.
    """
    rows = {name: row for name, row in frames.rows.items() if row}
    at = {name: place if row.noisy else place - 1 for name, row in rows.items()}
    if picture is not None:
        rows["noisy"].sources[-1] = encode(picture)
    decode_all((row, at[name]) for name, row in rows.items())
    return told | {"exact": {name: {str(at[name]): row[at[name]]} for name, row in rows.items()}}


def exact_pictures(frames: Frames) -> dict[str, list[str]]:
    """All pictures of a run from the autoencoder itself, by name of row."""
    rows = frames.rows
    decode_all((row, i) for row in rows.values() for i in range(len(row)))
    return {name: list(row) for name, row in rows.items()}
