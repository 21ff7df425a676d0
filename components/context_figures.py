"""The Plotly figures of the context tab: vectors on their way through the layers."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from components.colors import token_colours
from components.context_html import face, word_label
from components.language import Texts
from components.layout import html_escape
from components.plots import style
from pipelines.context import Context, SharedWord
from pipelines.tokens import colour_keys

MAX_NAMED = 18  # lines that are named at their end; more of them would not fit
_HEIGHT = 440
_LABEL = 23  # px from one name to the next


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


def _named(fig: go.Figure, names: Sequence[str], colours: Sequence[str], ends: Sequence[float]) -> None:
    """Each line's name beside its end, with a dot in its colour."""
    last = fig.data[0].x[-1]
    low, high = fig.layout.yaxis.range
    heights = spread(ends, (high - low) * _LABEL / (_HEIGHT - 90), low, high)
    for name, colour, end, height in zip(names, colours, ends, heights, strict=True):
        fig.add_shape(
            type="line", x0=last, x1=last * 1.045, y0=end, y1=height, line={"color": colour, "width": 1.5}
        )
        fig.add_annotation(
            x=last * 1.05, y=height, text=f'<span style="color:{colour}">●</span> {name}', showarrow=False,
            xanchor="left", yanchor="middle", font={"size": 16},
        )  # fmt: skip


def _layers(fig: go.Figure, layers: int, t: Texts) -> None:
    """The axis of layers, with room for the names at its end."""
    step = 1 if layers <= 6 else 2 if layers <= 14 else 4
    shown = list(range(0, layers + 1, step))
    fig.update_xaxes(
        title_text=t("context.axis_layer"), tickvals=shown, range=[-0.03 * layers, 1.32 * layers],
        ticktext=[t("context.axis_start"), *map(str, shown[1:])], zeroline=False,
    )  # fmt: skip


def _short(name: str) -> str:
    return html_escape(name if len(name) <= 12 else name[:11] + "…")


def moves_figure(context: Context, t: Texts) -> go.Figure:
    """How far each token's vector is from its embedding after every layer: one line per token."""
    distances = context.distances
    names = [face(piece, t) for piece in context.tokens]
    colours = token_colours(colour_keys(context.tokens))
    layers = len(distances) - 1
    fig = go.Figure()
    for place, (name, colour) in enumerate(zip(names, colours, strict=True)):
        is_mark = context.tokens[place].special in ("start", "end")
        fig.add_scatter(
            x=list(range(layers + 1)), y=np.round(distances[:, place], 4).tolist(), mode="lines+markers",
            line={"color": colour, "width": 3.5, "dash": "dot" if is_mark else "solid"}, marker={"size": 9},
            name=html_escape(name),
            hovertemplate=t("context.hover_moves"),
        )  # fmt: skip
    style(fig, t, _HEIGHT)
    fig.update_yaxes(
        title_text=t("context.axis_distance"), range=[-0.03, max(1.2, float(distances.max()) + 0.05)]
    )
    _layers(fig, layers, t)
    if len(names) <= MAX_NAMED:
        _named(fig, [_short(n) for n in names], colours, distances[-1].tolist())
    fig.update_layout(showlegend=False)
    return fig


def pair_figure(a: Context, words: Sequence[SharedWord], chosen: SharedWord, t: Texts) -> go.Figure:
    """How alike each shared word's vectors in the two sentences are; the chosen one stands out.

    Args:
        a: the first sentence; words have the colours that they have in it.
        words: all words that both sentences have.
        chosen: one of them.
        t: texts.
    """
    of_tokens = token_colours(colour_keys(a.tokens))
    colours = [of_tokens[word.a_place] for word in words]
    names = [word_label(word, t) for word in words]
    layers = len(chosen.similarity) - 1
    fig = go.Figure()
    for word, name, colour in sorted(zip(words, names, colours, strict=True), key=lambda x: x[0] is chosen):
        is_chosen = word is chosen
        fig.add_scatter(
            x=list(range(layers + 1)), y=np.round(word.similarity, 4).tolist(), mode="lines+markers",
            line={"color": colour, "width": 7 if is_chosen else 2.5}, opacity=1 if is_chosen else 0.5,
            marker={"size": 14 if is_chosen else 7}, name=html_escape(name),
            hovertemplate=t("context.hover_pair"),
        )  # fmt: skip
    style(fig, t, _HEIGHT)
    lowest = min(float(word.similarity.min()) for word in words)
    fig.update_yaxes(title_text=t("context.axis_similarity"), range=[-0.03 if lowest >= 0 else -1.03, 1.06])
    _layers(fig, layers, t)
    if len(names) <= MAX_NAMED:
        labels = [
            f"<b>{_short(n)}</b>" if w is chosen else _short(n) for n, w in zip(names, words, strict=True)
        ]
        _named(fig, labels, colours, [float(word.similarity[-1]) for word in words])
    else:
        place = list(words).index(chosen)
        _named(fig, [f"<b>{_short(names[place])}</b>"], [colours[place]], [float(chosen.similarity[-1])])
    fig.update_layout(showlegend=False)
    return fig
