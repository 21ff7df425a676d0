"""The Plotly figures of the context tab: vectors on their way through the layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from components.context.view import MARKS, names_of, word_label
from components.ui.colors import token_colours
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.plots import style
from pipelines.text.context import Context, SharedWord
from pipelines.text.tokens import colour_keys

MAX_NAMED = 18  # lines that are named at their end; more of them would not fit
_HEIGHT = 440
_LABEL = 23  # px from one name to the next
_DOTTED = {"line": {"width": 3.5, "dash": "dot"}}
_THIN = {"line": {"width": 2.5}, "marker": {"size": 7}, "opacity": 0.5}
_THICK = {"line": {"width": 7}, "marker": {"size": 14}, "zorder": 1}


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights for names next to their lines' ends that do not cover each other.

    Args:
        values: where the lines end.
        gap: least distance of two names.
        low, high: the names stay between them, as long as there is room.

    Returns:
        One height per value, in the same order of height.
    """
    order = np.argsort(values, kind="stable")
    placed: list[float] = []
    for i in order:
        placed.append(max(values[i], placed[-1] + gap if placed else low))
    ceiling = high
    for k in range(len(placed) - 1, -1, -1):
        placed[k] = min(placed[k], ceiling)
        ceiling = placed[k] - gap
    heights = [0.0] * len(placed)
    for k, i in enumerate(order):
        heights[i] = placed[k]
    return heights


@dataclass(frozen=True)
class _Line:
    """One line of a figure.

    Attributes:
        name: plain text.
        colour: hex.
        values: `[layer + 1]`.
        look: what differs from the other lines, as Plotly names it.
        is_named: whether its name stands at its end.
    """

    name: str
    colour: str
    values: np.ndarray
    look: dict[str, Any]
    is_named: bool = True


def _trace(line: _Line, hover: str) -> dict[str, Any]:
    look: dict[str, Any] = {"line": {"width": 3.5}, "marker": {"size": 9}} | line.look
    return look | {
        "type": "scatter", "mode": "lines+markers", "name": html_escape(line.name), "hovertemplate": hover,
        "x": list(range(len(line.values))), "y": np.round(line.values, 4).tolist(),
        "line": look["line"] | {"color": line.colour},
    }  # fmt: skip


def _names(lines: Sequence[_Line], low: float, high: float) -> dict[str, Any]:
    """Each line's name beside its end, with a dot in its colour; put in at once, which is fast."""
    named = [line for line in lines if line.is_named]
    ends = [float(line.values[-1]) for line in named]
    heights = spread(ends, (high - low) * _LABEL / (_HEIGHT - 90), low, high)
    shapes, notes = [], []
    for line, end, height in zip(named, ends, heights, strict=True):
        last = len(line.values) - 1
        name = html_escape(line.name if len(line.name) <= 12 else line.name[:11] + "…")
        name = f"<b>{name}</b>" if line.look.get("zorder") else name
        shapes.append(
            {"type": "line", "x0": last, "x1": last * 1.045, "y0": end, "y1": height,
             "line": {"color": line.colour, "width": 1.5}}
        )  # fmt: skip
        notes.append(
            {"x": last * 1.05, "y": height, "text": f'<span style="color:{line.colour}">●</span> {name}',
             "showarrow": False, "xanchor": "left", "yanchor": "middle", "font": {"size": 16}}
        )  # fmt: skip
    return {"shapes": shapes, "annotations": notes}


def _figure(lines: Sequence[_Line], kind: str, low: float, high: float, t: Texts) -> go.Figure:
    """Lines over the layers.

    Args:
        lines: at least one.
        kind: end of the texts' names, "moves" or "pair".
        low, high: ends of the upright axis.
    """
    layers = len(lines[0].values) - 1
    step = 1 if layers <= 6 else 2 if layers <= 14 else 4
    shown = list(range(0, layers + 1, step))
    across: dict[str, Any] = {
        "title": {"text": t("context.axis_layer")}, "tickvals": shown, "zeroline": False,
        "ticktext": [t("context.axis_start"), *map(str, shown[1:])],
        "range": [-0.03 * layers, 1.32 * layers],  # with room for the names
    }  # fmt: skip
    upright: dict[str, Any] = {"title": {"text": t(f"context.axis_{kind}")}, "range": [low, high]}
    layout: dict[str, Any] = {"xaxis": across, "yaxis": upright, "showlegend": False} | _names(
        lines, low, high
    )
    traces = [_trace(line, t(f"context.hover_{kind}")) for line in lines]
    return style(go.Figure({"data": traces, "layout": layout}), t, _HEIGHT)


def moves_figure(context: Context, t: Texts) -> go.Figure:
    """How far each token's vector is from its embedding after every layer: one line per token."""
    distances, tokens = context.distances, context.tokens
    names, colours = names_of(tokens, t), token_colours(colour_keys(tokens))
    few = len(tokens) <= MAX_NAMED
    lines = [
        _Line(names[i], colours[i], distances[:, i], _DOTTED if piece.special in MARKS else {}, few)
        for i, piece in enumerate(tokens)
    ]
    return _figure(lines, "moves", -0.03, max(1.2, float(distances.max()) + 0.05), t)


def pair_figure(a: Context, words: Sequence[SharedWord], chosen: SharedWord, t: Texts) -> go.Figure:
    """How alike each shared word's vectors in the two sentences are; the chosen one stands out.

    Args:
        a: the first sentence; words have the colours that they have in it.
        words: all words that both sentences have.
        chosen: one of them.
    """
    colours = token_colours(colour_keys(a.tokens))
    few = len(words) <= MAX_NAMED
    lines = [
        _Line(
            word_label(word, t), colours[word.a_place], word.similarity,
            _THICK if word is chosen else _THIN, few or word is chosen,
        )
        for word in words
    ]  # fmt: skip
    lowest = min(float(word.similarity.min()) for word in words)
    return _figure(lines, "pair", -0.03 if lowest >= 0 else -1.03, 1.06, t)
