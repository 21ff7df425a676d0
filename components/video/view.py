"""A film on the page: live while all frames denoise, to play and to scrub through afterwards."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from components.runs.frames import encode_exactly
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, short
from components.video.sheets import LiveFilm, Shot, heat_sheet, sheet
from pipelines.serving import catalogue
from pipelines.video.animatediff_recorder import FilmInside
from pipelines.video.latent_tokens import FilmTokens, central_token, colours_of, film_tokens, grid_like
from pipelines.video.measures import FilmMeasures
from pipelines.video.request import FRAMES_PER_SECOND, FilmRequest, FilmStep

VALUES = 4.0  # deviations at which a token's number is cut off for the page


def data_html(data: dict[str, Any]) -> str:
    """Everything the script needs, as data inside the page."""
    return f'<div hidden data-video="{html_escape(json.dumps(data))}"></div>'


def base_data(count: int, t: Texts) -> dict[str, Any]:
    """What the script needs of every film.

    Args:
        count: frames that are shown.
        t: texts.
    """
    keys = ("play", "pause", "token", "token_more", "follow", "follow_none", "looks")
    return {
        "count": count,
        "rate": FRAMES_PER_SECOND,
        "decimal": "," if t.language == "de" else ".",
        "words": {key: t(f"video.{key}") for key in keys},
    }


def strip_html(name: str, count: int, shape: tuple[int, int], t: Texts) -> str:
    """All frames of a film side by side; each is a button.

    Args:
        name: of the film in the script's data.
        count: frames.
        shape: height and width of a frame, px.
        t: texts.
    """
    thumbs = "".join(
        f'<button type="button" tabindex="-1" data-frame="{i}" style="--i:{i}" '
        f'aria-label="{html_escape(t("video.frame", frame=i + 1, total=count))}"><i></i>{i + 1}</button>'
        for i in range(count)
    )
    label = html_escape(t("video.strip"))
    return (
        f'<div class="strip" data-film="{name}" role="group" aria-label="{label}" '
        f'style="--n:{count};--shape:{shape[1] / shape[0]:.4f}">{thumbs}</div>'
    )


def player_html(name: str, count: int, shape: tuple[int, int], caption: str, hint: str = "") -> str:
    """The film itself, large; without a hint its caption is only read out."""
    below = (
        f"<figcaption>{html_escape(caption)}<small>{html_escape(hint)}</small></figcaption>" if hint else ""
    )
    return (
        f'<figure class="player"><div class="screen" role="img" data-film="{name}" data-player '
        f'aria-label="{html_escape(caption)}" '
        f'style="--n:{count};--i:0;--shape:{shape[1] / shape[0]:.4f}"></div>'
        f"{below}</figure>"
    )


def play_html(count: int, t: Texts) -> str:
    """Play button and the slider over the frames."""
    return (
        f'<div class="scrub"><button type="button" class="play" aria-pressed="false">'
        f"{html_escape(t('video.play'))}</button>"
        f"{slider_html('frame', count, 1, t)}</div>"
    )


def slider_html(kind: str, count: int, value: int, t: Texts, enabled: bool = True) -> str:
    """A slider over the frames ("frame") or over the steps ("step")."""
    off = "" if enabled else " disabled"
    label = html_escape(t(f"video.slider_{kind}"))
    return (
        f'<label><span>{label} <b data-said="{kind}">{value}</b> / {count}</span><input type="range" min="1" '
        f'max="{count}" step="1" value="{value}" data-slide="{kind}"{off}></label>'
    )


def facts_html(request: FilmRequest, t: Texts) -> str:
    """What a film was asked for, in one line."""
    quoted = "“{}”" if t.language == "en" else "„{}“"
    rows = [("prompt", quoted.format(request.prompt))]
    rows += [
        ("later", f"{quoted.format(text)} ({t('video.from_frame', frame=frame + 1)})")
        for frame, text in request.later
    ]
    if request.negative_prompt:
        rows.append(("negative", request.negative_prompt))
    rows += [
        ("seed", str(request.seed)), ("steps", str(request.num_inference_steps)),
        ("scale", short(request.guidance_scale, t)), ("frames", str(request.num_frames)),
        ("model", catalogue.entry(request.model).title),
    ]  # fmt: skip
    items = (f"<span>{html_escape(t(f'video.fact_{key}'))} <b>{html_escape(v)}</b></span>" for key, v in rows)
    return f'<p class="facts">{"".join(items)}</p>'


def numbers_html(measures: FilmMeasures, t: Texts) -> str:
    """Consistency and motion, always together."""
    moves = t("video.moves" if measures.moves else "video.still")
    return (
        f'<dl class="numbers"><div><dt>{html_escape(t("video.consistency"))}</dt>'
        f"<dd>{fixed(measures.consistency, t)}</dd></div>"
        f"<div><dt>{html_escape(t('video.motion'))}</dt>"
        f"<dd>{fixed(measures.speed, t, 1)} <small>{html_escape(t('video.motion_unit'))} · "
        f"{html_escape(moves)}</small></dd></div></dl>"
    )


def _readout(index: int, total: int, t: Texts, timestep: int | None) -> str:
    said = t("video.noise_level", timestep=timestep) if timestep is not None else t("video.waiting")
    return (
        f'<div class="readout" role="status"><div class="count"><span data-said="step">{index + 1}</span>'
        f'<small> / {total}</small></div><div class="time" data-said="time">{html_escape(said)}</div></div>'
    )


def waiting_view(request: FilmRequest, t: Texts) -> str:
    """Before the first step: what was asked, and that it begins."""
    return (
        f'<div class="film-view" data-state="waiting"><p class="hint" role="status">'
        f"{html_escape(t('video.waiting'))}</p>{facts_html(request, t)}</div>"
    )


def running_view(reel: LiveFilm, t: Texts) -> str:
    """All frames at the step that has just been taken; the player plays what there is."""
    if not reel.steps:
        return waiting_view(reel.request, t)
    last = reel.steps[-1]
    shape = _shape(last)
    data = base_data(len(last.denoised), t) | {"films": {"main": [reel.sheets[-1]]}, "step": 0}
    console = _readout(last.index, last.total, t, last.timestep) + (
        f'<progress max="{last.total}" value="{last.index + 1}" '
        f'aria-label="{html_escape(t("video.progress"))}"></progress>'
    )
    return _frame("running", reel.request, console, len(last.denoised), shape, "", data, t)


def finished_view(shot: Shot, remark: str, t: Texts) -> str:
    """The film to play and to scrub through.

    Args:
        shot: a film.
        remark: a sentence about this run; may be empty.
        t: texts.
    """
    trace, last = shot.trace, shot.trace.steps[-1]
    steps = len(trace.steps)
    data = base_data(shot.count, t) | {
        "films": {"main": list(shot.sheets)},
        "step": steps - 1,
        "times": [t("video.noise_level", timestep=step.timestep) for step in trace.steps],
        "link": "main",
    }
    console = (
        _readout(last.index, last.total, t, last.timestep) + slider_html("step", steps, steps, t)
        + play_html(shot.count, t) + numbers_html(shot.measures, t)
    )  # fmt: skip
    below = f'<p class="remark">{html_escape(remark)}</p>' if remark else ""
    state = "done" if trace.whole else "stopped"
    return _frame(state, trace.request, console, shot.count, _shape(last), below, data, t)


def inside_view(shot: Shot, t: Texts) -> str:
    """The tokens of a film, and how its frames look at each other; follows the sliders of its film."""
    trace, tokens = shot.trace, film_tokens(shot.trace)
    data = base_data(shot.count, t) | {
        "films": {"latents": _latent_sheets(trace.steps, tokens)},
        "step": len(trace.steps) - 1,
        "link": "main",
    }
    data |= _token_data(tokens)
    data["words"]["looks"] = t("video.looks" if tokens.same_place else "video.looks_all")
    body = _tokens_section(tokens, t) + _attention_section([s.inside for s in trace.steps], data, t)
    return f'<div class="film-view" data-state="done">{body}{data_html(data)}</div>'


def inside_waiting(t: Texts) -> str:
    """The place of `inside_view` while a film is being drawn."""
    return f'<div class="film-view later"><p class="hint">{html_escape(t("video.inside_waiting"))}</p></div>'


def _frame(
    state: str, request: FilmRequest, console: str, count: int, shape: tuple[int, int], below: str,
    data: dict[str, Any], t: Texts,
) -> str:  # fmt: skip
    player = player_html("main", count, shape, t("video.player"), t("video.player_hint"))
    return (
        f'<div class="film-view" data-state="{state}"><div class="stage">{player}'
        f'<div class="console">{console}</div></div>{strip_html("main", count, shape, t)}'
        f"{facts_html(request, t)}{below}{data_html(data)}</div>"
    )


def _shape(step: FilmStep) -> tuple[int, int]:
    """Height and width, as far as their ratio goes."""
    height, width = step.latents.shape[-2:]
    return height, width


def _latent_sheets(steps: Sequence[FilmStep], tokens: FilmTokens) -> list[str]:
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


def _token_data(tokens: FilmTokens) -> dict[str, Any]:
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


def _tokens_section(tokens: FilmTokens, t: Texts) -> str:
    """The grid of latent tokens, of which one is picked up."""
    frames, height, width, channels = tokens.shape
    shown = tokens.values.shape
    tiles = "".join(
        f'<figure data-tile="{i}"><div class="tile" style="--i:{i}"><i class="place"></i>'
        f'<i class="found"></i></div><figcaption>{i + 1} <b></b></figcaption></figure>'
        for i in range(frames)
    )
    hint = t("video.tokens_hint", frames=frames, rows=height, columns=width, channels=channels,
             tokens=frames * height * width)  # fmt: skip
    averaged = f" {t('video.tokens_averaged', rows=shown[1], columns=shown[2])}" if shown[1] != height else ""
    return (
        f"<h4>{html_escape(t('video.tokens_title'))}</h4>"
        f'<p class="hint">{html_escape(hint + averaged)}</p>'
        f'<div class="tiles" data-film="latents" role="application" tabindex="0" '
        f'aria-label="{html_escape(t("video.tokens_choose"))}" '
        f'style="--n:{frames};--shape:{shown[2] / shown[1]:.4f};--rows:{shown[1]};--columns:{shown[2]}">'
        f"{tiles}</div>"
        f'<p class="legend" data-said="token" role="status"></p>'
        f'<p class="hint key"><span><i class="place"></i>{html_escape(t("video.key_place"))}</span>'
        f'<span><i class="found"></i>{html_escape(t("video.key_found"))}</span></p>'
    )


def _attention_section(insides: Sequence[FilmInside | None], data: dict[str, Any], t: Texts) -> str:
    """Frame × frame pictures, one for each block; of runs whose frames look at each other."""
    title = f"<h4>{html_escape(t('video.attention_title'))}</h4>"
    noted = [inside for inside in insides if inside is not None]
    if not noted:
        return f'{title}<p class="hint">{html_escape(t("video.attention_none"))}</p>'
    limit = max(float(inside.frames.max()) for inside in noted)
    data["films"]["attention"] = [heat_sheet(inside.frames, limit) for inside in noted]
    blocks = noted[0].blocks
    maps = "".join(
        f'<figure><div class="map" role="img" style="--i:{i}" aria-label="'
        f'{html_escape(t("video.map_alt", block=_block_name(name, t)))}"><i class="row"></i></div>'
        f"<figcaption>{html_escape(_block_name(name, t))}</figcaption></figure>"
        for i, name in enumerate(blocks)
    )
    most = short(100 * limit, t, 0)
    return (
        f'{title}<p class="hint">{html_escape(t("video.attention_hint", most=most))}</p>'
        f'<div class="maps" data-film="attention" style="--n:{len(blocks)};--shape:1;'
        f'--frames:{data["count"]}">{maps}</div>'
    )


def _block_name(name: str, t: Texts) -> str:
    kind, _, place = name.partition(".")
    return t(f"video.block_{kind.removesuffix('_blocks')}", number=int(place) + 1 if place else 1)
