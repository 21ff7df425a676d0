"""A run's attention as HTML: heat over its pictures, token by token, all of it in the page at once."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from components.runs.frames import Frames, encode, encode_exactly
from components.runs.trace_view import facts, step_label
from components.ui.colors import NEUTRAL, text_on, token_colours
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed
from components.ui.token_text import block_name, first_word
from pipelines.image.cross_attention import ALL, TokenMaps, TraceMaps
from pipelines.image.request import Trace
from pipelines.text.pieces import Piece
from pipelines.text.tokens import colour_keys


def token_rows(pieces: Sequence[Piece], t: Texts) -> list[dict[str, str]]:
    """Name and colour of every row of the maps; the last is all padding.

    Args:
        pieces: the tokens from start to end.
        t: texts.
    """
    colours = [*token_colours(colour_keys(pieces)), NEUTRAL]
    names = [t(f"cross_attention.{p.special}") if p.special in ("start", "end") else p.text for p in pieces]
    rows = zip([*names, t("cross_attention.padding")], colours, strict=True)
    return [{"name": name, "colour": colour, "ink": text_on(colour)} for name, colour in rows]


def atlas(maps: TokenMaps) -> tuple[str, list[float]]:
    """All maps of a group as one grey picture: a row of tiles per token, a column per step.

    Returns:
        The picture's address, and for each token the share of attention that is white in its row.
    """
    steps, rows, height, width = maps.maps.shape
    peaks = maps.maps.max(axis=(0, 2, 3)).clip(min=1e-6)
    levels = (255 * maps.maps / peaks[None, :, None, None]).round().astype(np.uint8)
    tiles = levels.transpose(1, 2, 0, 3).reshape(rows * height, steps * width)
    return encode_exactly(Image.fromarray(tiles, "L")), [round(float(p), 4) for p in peaks]


def maps_json(found: TraceMaps, t: Texts) -> dict[str, Any]:
    """One branch's maps for the script."""
    groups = {}
    for name, maps in found.groups.items():
        source, peaks = atlas(maps)
        groups[name] = {
            "atlas": source, "peaks": peaks, "height": maps.maps.shape[2], "width": maps.maps.shape[3],
            "shares": [round(float(s), 4) for s in maps.shares],
        }  # fmt: skip
    pieces = found.groups[ALL].pieces
    return {"rows": token_rows(pieces, t), "groups": groups, "first": first_word(pieces)}


def group_name(name: str, t: Texts) -> str:
    """A group of layers in words."""
    if name == ALL:
        return t("cross_attention.all_layers")
    if "×" in name:
        return t("cross_attention.grid", grid=name)
    return block_name(name, t)


def trace_view(trace: Trace, frames: Frames, prompt: TraceMaps, empty: TraceMaps | None, t: Texts) -> str:
    """The whole view of a run.

    Args:
        trace: of a run that looked inside.
        frames: its pictures.
        prompt: maps of the branch with the prompt.
        empty: maps of the other branch; None where there is none.
        t: texts.
    """
    total = trace.steps[-1].total
    branches = {"prompt": maps_json(prompt, t)} | ({"empty": maps_json(empty, t)} if empty else {})
    data = {
        "pictures": list(frames.guided),
        "labels": [step_label(step.index, total, t) for step in trace.steps],
        "mean": t("cross_attention.mean_of_steps"),
        "share": t("cross_attention.share"),
        "peak": t("cross_attention.peak"),
        "branches": branches,
        "proportion": trace.image.width / trace.image.height,
        "layers": prompt.finest_name,
    }
    film, words = t("cross_attention.film_title"), t("cross_attention.words_title")
    return (
        f'<div class="xa" data-state="done">{_chips(t)}'
        f'<div class="stage"><div class="lead"><div class="heat" data-heat="lead"></div>'
        f'<p class="legend" data-legend></p></div>'
        f'<div class="side">{_layer_choice(prompt, t)}{_branch_choice(trace, empty, t)}{_steps(trace, t)}'
        f"</div></div>"
        f"<h4>{html_escape(film)}</h4>"
        f'<div class="film" data-film role="group" aria-label="{html_escape(film)}"></div>'
        f"<h4>{html_escape(words)}</h4>"
        f'<div class="words" data-words></div>{facts(trace.request, t)}'
        f'<div hidden data-maps="{html_escape(json.dumps(data))}"></div></div>'
    )


def _chips(t: Texts) -> str:
    """The place of the tokens; the script fills it, since it depends on branch and layers."""
    label = html_escape(t("cross_attention.tokens"))
    return f'<div class="chips" role="radiogroup" aria-label="{label}" data-chips></div>'


def _options(name: str, legend: str, options: Sequence[tuple[str, str]], chosen: str) -> str:
    """A group of radio buttons, drawn as pills."""
    buttons = "".join(
        f'<label><input type="radio" name="{name}" value="{html_escape(value)}"'
        f"{' checked' if value == chosen else ''}><span>{html_escape(text)}</span></label>"
        for value, text in options
    )
    return f'<fieldset class="pills"><legend>{html_escape(legend)}</legend>{buttons}</fieldset>'


def _layer_choice(found: TraceMaps, t: Texts) -> str:
    names = [(name, group_name(name, t)) for name in found.groups]
    return _options("layers", t("cross_attention.layers"), names, found.finest_name)


def _branch_choice(trace: Trace, empty: TraceMaps | None, t: Texts) -> str:
    if empty is None:
        return ""
    other = "negative" if trace.request.negative_prompt else "without"
    choices = [("prompt", t("cross_attention.with")), ("empty", t(f"cross_attention.{other}"))]
    return _options("branch", t("cross_attention.branch"), choices, "prompt")


def _steps(trace: Trace, t: Texts) -> str:
    count = len(trace.steps)
    label = html_escape(t("cross_attention.step_slider"))
    return (
        f'<div class="steps"><label class="all"><input type="checkbox" data-all checked>'
        f"<span>{html_escape(t('cross_attention.mean_of_steps'))}</span></label>"
        f'<label class="scrub"><span class="sv-sr">{label}</span>'
        f'<input type="range" min="1" max="{count}" step="1" value="{count}" data-step></label>'
        f"<output data-step-label></output></div>"
    )


def still_view(
    picture: Image.Image, found: TokenMaps, masks: Sequence[tuple[str, Image.Image, float]], t: Texts
) -> str:
    """Where each token is looked at in one given picture, beside where the things really are.

    Args:
        picture: that was looked at.
        found: its maps; one step per noise level.
        masks: name, picture of the true place and overlap (0..1) of each thing that is known to be there.
        t: texts.
    """
    source, peaks = atlas(TokenMaps(found.pieces, found.layers, found.maps.mean(0, keepdims=True)))
    rows = token_rows(found.pieces, t)
    data = {
        "pictures": [encode(picture)], "labels": [""], "layers": ALL,
        "proportion": picture.width / picture.height,
        "mean": "", "share": t("cross_attention.share"), "peak": t("cross_attention.peak"),
        "branches": {"prompt": {"rows": rows, "first": first_word(found.pieces), "groups": {ALL: {
            "atlas": source, "peaks": peaks, "height": found.maps.shape[2], "width": found.maps.shape[3],
            "shares": [round(float(s), 4) for s in found.shares],
        }}}},
    }  # fmt: skip
    truths = "".join(_truth(*known, t) for known in masks)
    return (
        f'<div class="xa still"><div class="words" data-words></div><div class="truths">{truths}</div>'
        f'<div hidden data-maps="{html_escape(json.dumps(data))}"></div></div>'
    )


def _truth(noun: str, mask: Image.Image, value: float, t: Texts) -> str:
    caption = html_escape(t("cross_attention.truth", noun=noun))
    small = html_escape(t("cross_attention.overlap", value=fixed(value, t)))
    return (
        f'<figure><img src="{encode(mask)}" alt="{caption}">'
        f"<figcaption>{caption}<small>{small}</small></figcaption></figure>"
    )
