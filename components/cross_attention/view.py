"""A run's attention as HTML: heat over its pictures, token by token, all of it in the page at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from components.runs.frames import Frames, encode, encode_exactly
from components.runs.trace_view import facts, step_label
from components.ui.colors import NEUTRAL, text_on, token_colours
from components.ui.language import Texts
from components.ui.numbers import fixed
from components.ui.templates import templates
from components.ui.token_text import are_unread, block_name, unread_sentence
from pipelines.image.cross_attention import ALL, TokenMaps, TraceMaps, first_thing
from pipelines.image.request import Trace
from pipelines.text.pieces import Piece
from pipelines.text.tokens import colour_keys

_html = templates("cross_attention/view.html")


def token_rows(pieces: Sequence[Piece], t: Texts) -> list[dict[str, str]]:
    """Name and colour of every row of the maps; the last is all padding."""
    colours = [*token_colours(colour_keys(pieces)), NEUTRAL]
    names = [t(f"cross_attention.{p.special}") if p.special in ("start", "end") else p.text for p in pieces]
    rows = zip([*names, t("cross_attention.padding")], colours, strict=True)
    return [{"name": name, "colour": colour, "ink": text_on(colour)} for name, colour in rows]


def atlas(maps: np.ndarray) -> tuple[str, list[float]]:
    """All maps of a group as one grey picture: a row of tiles per token, a column per step.

    Args:
        maps: `[step, row, y, x]`.

    Returns:
        The picture's address, and for each token the share of attention that is white in its row.
    """
    steps, rows, height, width = maps.shape
    peaks = maps.max(axis=(0, 2, 3)).clip(min=1e-6)
    levels = (255 * maps / peaks[None, :, None, None]).round().astype(np.uint8)
    tiles = levels.transpose(1, 2, 0, 3).reshape(rows * height, steps * width)
    return encode_exactly(Image.fromarray(tiles, "L")), [round(float(p), 4) for p in peaks]


def _marked_rows(pieces: Sequence[Piece], model: str, t: Texts) -> list[dict[str, Any]]:
    """`token_rows`, and of each whether its word was never read in training."""
    new = [*are_unread(pieces, model), False]
    return [row | {"unread": is_unread} for row, is_unread in zip(token_rows(pieces, t), new, strict=True)]


def maps_json(found: TraceMaps, model: str, t: Texts) -> dict[str, Any]:
    """One branch's maps for the script; `model` is the id of the one that drew."""
    groups = {name: group_of(maps.maps) for name, maps in found.groups.items()}
    pieces = found.groups[ALL].pieces
    return {"rows": _marked_rows(pieces, model, t), "groups": groups, "first": first_thing(pieces)}


def group_of(maps: np.ndarray) -> dict[str, Any]:
    """`[step, row, y, x]` maps of one group of layers for the script."""
    source, peaks = atlas(maps)
    return {
        "atlas": source, "peaks": peaks, "height": maps.shape[2], "width": maps.shape[3],
        "shares": [round(float(s), 4) for s in maps.mean((0, 2, 3))],
    }  # fmt: skip


def group_name(name: str, t: Texts) -> str:
    """A group of layers in words."""
    if name == ALL:
        return t("cross_attention.all_layers")
    if "×" in name:
        return t("cross_attention.grid", grid=name)
    return block_name(name, t)


def trace_view(trace: Trace, frames: Frames, prompt: TraceMaps, empty: TraceMaps | None, t: Texts) -> Markup:
    """The whole view of a run.

    Args:
        trace: of a run that looked inside.
        frames: its pictures.
        prompt: maps of the branch with the prompt.
        empty: maps of the other branch; None where there is none.
    """
    model = trace.request.model
    branches = {"prompt": maps_json(prompt, model, t)}
    branches |= {"empty": maps_json(empty, model, t)} if empty else {}
    other = "negative" if trace.request.negative_prompt else "without"
    choices = [("prompt", t("cross_attention.with")), ("empty", t(f"cross_attention.{other}"))]
    groups = [(name, group_name(name, t)) for name in prompt.groups]
    return trace_page(
        trace, frames.guided, branches, groups, prompt.finest_name, t, choices if empty else [],
        unread=unread_sentence(trace.request.prompt, model, t),
    )  # fmt: skip


def trace_page(
    trace: Trace,
    pictures: Sequence[str],
    branches: dict[str, dict[str, Any]],
    groups: Sequence[tuple[str, str]],
    chosen: str,
    t: Texts,
    choices: Sequence[tuple[str, str]] = (),
    unread: str = "",
    said: str = "",
) -> Markup:
    """A run's maps over its pictures, whatever kind of attention they are of.

    Args:
        pictures: of the steps that the maps have.
        branches: by name "rows", "groups" and "first" for the script.
        groups: name and title of each group of layers.
        chosen: the group to begin with.
        choices: name and title of each branch, where there are two.
        unread: what is to be said of words that the model never read.
        said: what is to be said of the whole run.
    """
    total = trace.steps[-1].total
    data = {
        "pictures": list(pictures),
        "labels": [step_label(step.index, total, t) for step in trace.steps[: len(pictures)]],
        "mean": t("cross_attention.mean_of_steps"),
        "share": t("cross_attention.share"),
        "peak": t("cross_attention.peak"),
        "branches": branches,
        "proportion": trace.image.width / trace.image.height,
        "layers": chosen,
    }
    return _html.trace(
        data=data, layers=groups, branches=choices, steps=len(pictures), facts=facts(trace.request, t),
        unread=unread, said=said, t=t,
    )  # fmt: skip


def running_view(reel: Frames, t: Texts) -> Markup:
    """The picture while it draws."""
    if not reel.steps:
        return waiting_view(t("image.waiting"))
    where = t("image.step", step=len(reel.steps), total=reel.request.num_inference_steps)
    return _html.running(reel.guided[-1], where)


def waiting_view(text: str) -> Markup:
    """The place of a run that is not there, and why."""
    return _html.waiting(text)


def still_view(
    picture: Image.Image, found: TokenMaps, masks: Sequence[tuple[str, Image.Image, float]], t: Texts
) -> Markup:
    """Where each token is looked at in one given picture, beside where the things really are.

    Args:
        picture: that was looked at.
        found: its maps; one step per noise level.
        masks: name, picture of the true place and overlap (0..1) of each thing that is known to be there.
    """
    still = found.maps.mean(0, keepdims=True)
    rows, first = token_rows(found.pieces, t), first_thing(found.pieces)
    data = {
        "pictures": [encode(picture)], "labels": [""], "layers": ALL,
        "proportion": picture.width / picture.height,
        "mean": "", "share": t("cross_attention.share"), "peak": t("cross_attention.peak"),
        "branches": {"prompt": {"rows": rows, "first": first, "groups": {ALL: group_of(still)}}},
    }  # fmt: skip
    truths = [
        (encode(mask), t("cross_attention.truth", noun=noun),
         t("cross_attention.overlap", value=fixed(value, t)))
        for noun, mask, value in masks
    ]  # fmt: skip
    return _html.still(data, truths)
