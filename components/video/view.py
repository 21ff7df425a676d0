"""A film on the page: live while all frames denoise, to play and to scrub through afterwards."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from components.runs.frames import encode_exactly
from components.ui.language import Texts
from components.ui.numbers import fixed, short
from components.ui.templates import quote, templates
from components.video.sheets import LiveVideo, VideoResult, heat_sheet, sheet
from pipelines.serving import catalogue
from pipelines.video.latent_tokens import VideoTokens, central_token, colours_of, grid_like, video_tokens
from pipelines.video.measures import VideoMeasures
from pipelines.video.request import FRAMES_PER_SECOND, VideoRequest, VideoStep

HTML = templates("video/view.html")
VALUES = 4.0  # deviations at which a token's number is cut off for the page


def base_data(count: int, t: Texts) -> dict[str, Any]:
    """What the script needs of every film of `count` frames."""
    keys = ("play", "pause", "token", "token_more", "follow", "follow_none", "looks")
    return {
        "count": count,
        "rate": FRAMES_PER_SECOND,
        "decimal": "," if t.language == "de" else ".",
        "words": {key: t(f"video.{key}") for key in keys},
    }


def facts(request: VideoRequest, t: Texts) -> list[tuple[str, str]]:
    """What a film was asked for: the key of each fact's name, and the fact."""

    def quoted(text: str) -> Markup:
        return t.html("image.quoted", text=quote(text))

    later = [
        ("later", Markup("{} ({})").format(quoted(text), t("video.from_frame", frame=frame + 1)))
        for frame, text in request.later
    ]
    negative = [("negative", quote(request.negative_prompt))] if request.negative_prompt else []
    return [
        ("prompt", quoted(request.prompt)), *later, *negative,
        ("seed", str(request.seed)), ("steps", str(request.num_inference_steps)),
        ("scale", short(request.guidance_scale, t)), ("frames", str(request.num_frames)),
        ("model", catalogue.entry(request.model).title),
    ]  # fmt: skip


def measured(measures: VideoMeasures, t: Texts) -> dict[str, str]:
    """Consistency and motion as the page writes them."""
    return {
        "consistency": fixed(measures.consistency, t),
        "speed": fixed(measures.speed, t, 1),
        "change": fixed(measures.change, t, 1),
        "moves": t("video.moves" if measures.moves else "video.still"),
    }


def aspect(step: VideoStep) -> str:
    """Width of a frame over its height, for CSS."""
    height, width = step.latents.shape[-2:]
    return f"{width / height:.4f}"


def running_view(live: LiveVideo, t: Texts) -> str:
    """All frames at the step that has just been taken; the player plays what there is."""
    rows = facts(live.request, t)
    if not live.steps:
        return HTML.waiting(rows, t)
    last = live.steps[-1]
    data = base_data(len(last.denoised), t) | {"films": {"main": [live.sheets[-1]]}, "step": 0}
    return HTML.film("running", last, rows, aspect(last), data, t)


def finished_view(result: VideoResult, remark: str, t: Texts) -> str:
    """The film to play and to scrub through; `remark`, a sentence about this run, may be empty."""
    trace, last = result.trace, result.trace.steps[-1]
    data = base_data(result.count, t) | {
        "films": {"main": list(result.sheets)},
        "step": len(trace.steps) - 1,
        "times": [t("video.noise_level", timestep=step.timestep) for step in trace.steps],
        "link": "main",
        "run": result.run,
    }
    state, rows = "done" if trace.whole else "stopped", facts(trace.request, t)
    return HTML.film(state, last, rows, aspect(last), data, t, measured(result.measures, t), remark)


def inside_view(result: VideoResult, t: Texts) -> str:
    """The tokens of a film, and how its frames look at each other; follows the sliders of its film."""
    steps, tokens = result.trace.steps, video_tokens(result.trace)
    films = {"latents": _latent_sheets(steps, tokens)}
    data = base_data(result.count, t) | {"films": films, "step": len(steps) - 1, "link": "main"}
    data |= _token_data(tokens)
    data["words"]["looks"] = t("video.looks" if tokens.same_place else "video.looks_all")
    blocks = []
    if noted := [step.inside for step in steps if step.inside is not None]:
        limits = np.max(
            [inside.frames.max((1, 2)) for inside in noted], axis=0
        )  # of each block over the steps
        films["attention"] = [heat_sheet(inside.frames, limits) for inside in noted]
        blocks = [
            (_block_name(name, t), short(100 * float(limit), t, 0))
            for name, limit in zip(noted[0].blocks, limits, strict=True)
        ]
    rows, columns = data["grid"]
    return HTML.inside(_tokens_hint(tokens, t), f"{columns / rows:.4f}", blocks, data, t)


def inside_waiting(t: Texts) -> str:
    """The place of `inside_view` while a film is being drawn."""
    return HTML.inside_waiting(t)


def _latent_sheets(steps: Sequence[VideoStep], tokens: VideoTokens) -> list[str]:
    """The latents of every step as coloured tokens, in the colours of the last one."""
    out = []
    for step in steps:
        values = grid_like(step.latents, tokens)
        colours = colours_of(values, tokens.values)
        out.append(sheet([Image.fromarray((255 * c).round().astype(np.uint8)) for c in colours], exact=True))
    return out


def _bytes_uri(rows: np.ndarray) -> str:
    """Rows of bytes as a grey picture, which the script reads back."""
    return encode_exactly(Image.fromarray(rows.astype(np.uint8), "L"))


def _token_data(tokens: VideoTokens) -> dict[str, Any]:
    """Numbers, features and looks of the tokens, as grey pictures with a row for each token."""
    frames, height, width, channels = tokens.values.shape
    flat = tokens.values.reshape(-1, channels)
    data: dict[str, Any] = {
        "grid": [height, width],
        "channels": channels,
        "limit": VALUES,
        "values": _bytes_uri(((flat / VALUES).clip(-1, 1) * 127 + 128).round()),
        "picked": list(central_token(tokens)),
    }
    if tokens.features is not None:
        unit = tokens.features.reshape(frames * height * width, -1)
        data["features"] = _bytes_uri((unit * 127 + 128).round())
    if tokens.looks is not None:
        most = float(tokens.looks.max()) or 1.0
        data["looks"] = _bytes_uri((255 * tokens.looks / most).round().reshape(height * width, -1))
        data["most"] = most
    return data


def _tokens_hint(tokens: VideoTokens, t: Texts) -> str:
    frames, height, width, channels = tokens.shape
    shown = tokens.values.shape
    hint = t("video.tokens_hint", frames=frames, rows=height, columns=width, channels=channels,
             tokens=frames * height * width)  # fmt: skip
    averaged = f" {t('video.tokens_averaged', rows=shown[1], columns=shown[2])}" if shown[1] != height else ""
    return hint + averaged


def _block_name(name: str, t: Texts) -> str:
    kind, _, place = name.partition(".")
    return t(f"video.block_{kind.removesuffix('_blocks')}", number=int(place) + 1 if place else 1)
