"""The Plotly figures of the embeddings tab."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go
from PIL import Image, ImageOps

from components.runs.frames import encode
from components.ui.colors import COLOUR_A, COLOUR_B, NEUTRAL, token_colours
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed
from components.ui.plots import DIVERGING, LINE, TEXT, in_lines, style
from pipelines.clip.directions import Direction
from pipelines.clip.embeddings import Difference, Embedding
from pipelines.clip.projections import Projection
from pipelines.clip.world_texts import DIRECTION_KINDS, KINDS, ShortText, WorldText, map_texts, picture
from pipelines.world.captions import Facts
from pipelines.world.scene import COLOURS, NOUNS

GROUPINGS = ("noun", "colour", "place", "atmosphere", "none")
_MAP_HEIGHT = 620
_THUMB = 40  # px of a picture on the map, its coloured frame included
_FRAME = 4
_ROW = 36  # px of one object's row in the figure of a direction
_WORDS = 5  # that B − A points to, and as many that it leaves


def values_of(grouping: str) -> tuple[str, ...]:
    """The values that captions can be grouped by."""
    return {"noun": tuple(NOUNS), "none": ()}.get(grouping, KINDS.get(grouping, ()))


def value_of(facts: Facts, grouping: str) -> str | None:
    """What a caption says of a grouping; of several things the first counts, None for nothing."""
    if grouping in ("noun", "colour"):
        return getattr(facts.things[0], grouping) if facts.things else None
    return getattr(facts, grouping, None)


def group_colours(grouping: str) -> dict[str | None, str]:
    """A hex colour for every value; colours are themselves, what is not said is grey."""
    values = values_of(grouping)
    if grouping == "colour":
        shades = ["#" + "".join(f"{round(255 * c):02x}" for c in COLOURS[v]) for v in values]
    else:
        shades = token_colours(values)
    return dict(zip(values, shades, strict=True)) | {None: NEUTRAL}


@lru_cache(maxsize=4096)
def thumb(world: WorldText, side: int = 64, frame: str = "") -> str:
    """A picture as a WebP address of about a third of a kilobyte at map size.

    Args:
        world: what it shows.
        side: px, frame included.
        frame: hex colour of a border, or "" for none.
    """
    image = picture(world)
    inner = side - 2 * _FRAME if frame else side
    if inner != image.width:
        image = image.resize((inner, inner), Image.Resampling.LANCZOS)
    if frame:
        image = ImageOps.expand(image, _FRAME, frame)
    return encode(image, quality=70 if side < 64 else 85)


def _axes(points: np.ndarray) -> dict[str, np.ndarray]:
    """Coordinates as Plotly names them; rounded, since a thousandth of a picture is enough."""
    return dict(zip("xyz", np.round(points.T, 4), strict=False))


def prompt_traces(prompts: np.ndarray, near: Sequence[np.ndarray]) -> list[dict[str, list]]:
    """Coordinates of the moving part of the map: lines to neighbours of A and B, the line between, A, B.

    Args:
        prompts: `[2, axis]` positions of A and B.
        near: for each prompt `[neighbour, axis]`.

    Returns:
        One dict of coordinates per trace, in the order of the figure's traces after the captions.
    """
    traces = []
    for place, around in zip(prompts, near, strict=True):
        gap = np.full(len(place), np.nan)
        points = np.concatenate([np.stack([place, n, gap]) for n in around])
        traces.append(points)
    traces += [prompts, prompts[:1], prompts[1:]]
    return [
        {axis: [None if np.isnan(v) else float(v) for v in row] for axis, row in _axes(t).items()}
        for t in traces
    ]


def _prompt_scatters(coordinates: list[dict[str, list]], labels: Sequence[str]) -> list[go.Scatter]:
    """The traces that move while somebody types, in the order of `prompt_traces`."""
    flat = "z" not in coordinates[0]
    kind = go.Scatter if flat else go.Scatter3d
    lines = [
        kind(
            mode="lines", line={"color": colour, "width": 2.5 if flat else 4}, opacity=0.75,
            hoverinfo="skip", **c,
        )
        for colour, c in zip((COLOUR_A, COLOUR_B), coordinates, strict=False)
    ]  # fmt: skip
    between = kind(
        mode="lines", line={"color": TEXT, "width": 3, "dash": "dot"}, hoverinfo="skip", **coordinates[2]
    )
    marks = [
        kind(
            mode="markers+text", text=[f"<b>{name}</b>"],
            textposition="middle center" if flat else "top center",
            textfont={"color": "#ffffff" if flat else colour, "size": 20 if flat else 34},
            marker={"size": 34 if flat else 16, "color": colour, "line": {"width": 3, "color": "#ffffff"}},
            opacity=1, hovertext=[html_escape(label)], hoverinfo="text", **c,
        )
        for name, colour, label, c in zip("AB", (COLOUR_A, COLOUR_B), labels, coordinates[3:], strict=True)
    ]  # fmt: skip
    return [*lines, between, *marks]


def _pictures(points: np.ndarray, grouping: str, only: str | None, side: float) -> list[dict]:
    """One layout image per caption; those that the filter leaves out fade."""
    colours = group_colours(grouping)
    images = []
    for place, world in zip(np.round(points, 4), map_texts(), strict=True):
        value = value_of(world.facts, grouping)
        shown = only is None or value == only
        images.append({
            "source": thumb(world, _THUMB, "" if grouping == "none" else colours[value]),
            "x": float(place[0]), "y": float(place[1]), "xref": "x", "yref": "y",
            "sizex": side, "sizey": side,
            "xanchor": "center", "yanchor": "middle", "layer": "below", "opacity": 1 if shown else 0.08,
        })  # fmt: skip
    # What the filter keeps is drawn last, on top of the faded rest.
    return sorted(images, key=lambda image: image["opacity"])


def map_figure(
    projection: Projection, prompts: Sequence[Embedding], grouping: str, only: str | None, t: Texts
) -> go.Figure:
    """The map: captions as pictures in two dimensions, as coloured dots in three; prompts on top.

    Args:
        projection: of A and B, in this order.
        prompts: A and B.
        grouping: one of `GROUPINGS`.
        only: the one value of the grouping to show, or None for all.
    """
    points, flat = projection.world, projection.world.shape[1] == 2
    near = [points[[n.index for n in p.neighbours]] for p in prompts]
    hover = [w.text for w in map_texts()]
    colours = group_colours(grouping)
    values = [value_of(w.facts, grouping) for w in map_texts()]
    shades = [colours[v] if only in (None, v) else "rgba(128,134,146,0.12)" for v in values]
    world = (go.Scatter if flat else go.Scatter3d)(
        mode="markers", hovertext=hover, hoverinfo="text", **_axes(points),
        marker={"size": 26, "opacity": 0} if flat else {"size": 6, "color": shades},
    )  # fmt: skip
    labels = [p.prompt if len(p.prompt) < 120 else p.prompt[:119] + "…" for p in prompts]
    fig = go.Figure([world, *_prompt_scatters(prompt_traces(projection.prompts, near), labels)])
    style(fig, t, height=_MAP_HEIGHT)
    fig.update_layout(showlegend=False, margin={"l": 0, "r": 0, "t": 0, "b": 0}, hovermode="closest")
    hidden = {"showticklabels": False, "zeroline": False, "showgrid": False, "title": ""}
    if flat:
        low, high = points.min(0), points.max(0)
        # The pictures' size on the map, so that they are drawn at about their own pixels.
        side = float(max((high - low) / (820, _MAP_HEIGHT - 40))) * _THUMB
        fig.update_layout(images=_pictures(points, grouping, only, side), dragmode="zoom")
        # One unit is as long across as it is down: distances on the map are not stretched once more.
        fig.update_xaxes(range=[low[0] - side, high[0] + side], constrain="domain", **hidden)
        fig.update_yaxes(range=[low[1] - side, high[1] + side], scaleanchor="x", constrain="domain", **hidden)
        fig.update_layout(xaxis_fixedrange=False, yaxis_fixedrange=False)
    else:
        axis = {"showticklabels": False, "title": "", "showspikes": False, "showbackground": False,
                "gridcolor": "#9a9fa8", "zeroline": False}  # fmt: skip
        eye = {"x": 1.05, "y": 1.05, "z": 0.65}
        fig.update_layout(scene={"xaxis": axis, "yaxis": axis, "zaxis": axis, "aspectmode": "data",
                                 "camera": {"eye": eye}})  # fmt: skip
    return fig


def strip_figure(a: np.ndarray, b: np.ndarray, t: Texts) -> go.Figure:
    """The vectors A and B and their difference as stripes, on a scale that never changes.

    Args:
        a, b: `[dim]`, each of length one.
    """
    # A vector of length one has numbers of about 1/√dim; three times that covers nearly all.
    limit = 3 / np.sqrt(len(a))
    rows = np.round(np.stack([a, b, b - a]), 4)
    fig = go.Figure(
        go.Heatmap(
            z=rows, y=["A", "B", "B − A"], x=np.arange(1, len(a) + 1), ygap=10,
            colorscale=DIVERGING, zmin=-limit, zmax=limit, hovertemplate=t("embeddings.strip_hover"),
            colorbar={"thickness": 14, "tickvals": [-limit, 0, limit], "tickformat": ".2f",
                      "tickfont": {"size": 15}},
        )
    )  # fmt: skip
    style(fig, t, height=270)
    fig.update_yaxes(autorange="reversed", tickfont_size=18, showgrid=False)
    fig.update_xaxes(title=t("embeddings.strip_axis", dim=len(a)), showgrid=False)
    return fig


def words_figure(difference: Difference, t: Texts) -> go.Figure:
    """Which words of the world the way from A to B points to, and which it leaves."""
    words = [*difference.words[:_WORDS], *difference.words[-_WORDS:]] if difference.words else []
    names = [html_escape(w.value) for w in words]
    fig = go.Figure(
        go.Bar(
            x=[round(w.cosine, 3) for w in words], y=names, orientation="h", width=0.72,
            marker_color=[COLOUR_B if w.cosine > 0 else COLOUR_A for w in words],
            text=[fixed(w.cosine, t) for w in words], textposition="outside", cliponaxis=False,
            textfont={"size": 16},
            hovertext=[f"{t('embeddings.kind.' + w.kind)}: {w.value}" for w in words], hoverinfo="text",
        )
    )  # fmt: skip
    style(fig, t, height=420)
    fig.update_yaxes(autorange="reversed", tickfont_size=18, showgrid=False)
    fig.update_xaxes(
        range=[-1.3, 1.3], tickvals=[-1, -0.5, 0, 0.5, 1], title=in_lines(t("embeddings.words_axis"))
    )
    return fig


def _end_pictures(shorts: Sequence[tuple[ShortText, ShortText]], ends: np.ndarray, side: float) -> list[dict]:
    """Each object's two pictures, outside the ends of its line."""
    images = []
    for i, pair in enumerate(shorts):
        for short, x, other in ((pair[0], *ends[i]), (pair[1], *ends[i][::-1])):
            anchor, offset = ("right", -0.25 * side) if x < other else ("left", 0.25 * side)
            images.append({
                "source": thumb(short.world, 48), "x": float(x) + offset, "y": i, "xref": "x", "yref": "y",
                "sizex": side, "sizey": 0.9, "xanchor": anchor, "yanchor": "middle", "layer": "above",
            })  # fmt: skip
    return images


def direction_figure(
    direction: Direction, shorts: Sequence[tuple[ShortText, ShortText]], t: Texts
) -> go.Figure:
    """Every object's two texts on the direction made from the others: a step right, or not.

    Args:
        direction: what was measured.
        shorts: for every object the phrases (minus, plus), whose pictures are drawn.
    """
    ends, right = direction.transfer.projection, direction.transfer.ordered
    low, high = float(ends.min()), float(ends.max())
    side = max(high - low, 0.05) * 0.085
    fig = go.Figure()
    for ok, colour in ((True, "#009e73"), (False, COLOUR_A)):
        rows = np.flatnonzero(right == ok)
        fig.add_scatter(
            x=[v for i in rows for v in (*map(float, ends[i]), None)],
            y=[v for i in rows for v in (int(i), int(i), None)],
            mode="lines+markers", line={"color": colour, "width": 5}, hoverinfo="skip",
            marker={"symbol": "arrow", "angleref": "previous", "size": 15},
            name=t(f"embeddings.direction_{'ordered' if ok else 'not_ordered'}"), showlegend=not right.all(),
        )  # fmt: skip
    hover = [[s.world.text for s in pair] for pair in shorts]
    for end in (0, 1):
        fig.add_scatter(
            x=ends[:, end].round(4), y=np.arange(len(ends)), mode="markers",
            marker={"size": 24, "opacity": 0}, text=[h[end] for h in hover], showlegend=False,
            hovertemplate="%{text}: %{x:.2f}<extra></extra>",
        )  # fmt: skip
    images = _end_pictures(shorts, ends, side)
    style(fig, t, height=_ROW * len(ends) + 110)
    fig.update_layout(images=images, legend={"y": -0.09, "yanchor": "top"}, hovermode="closest")
    fig.update_yaxes(
        tickvals=list(range(len(ends))), ticktext=list(direction.nouns), tickfont_size=17,
        range=[len(ends) - 0.4, -0.6], showgrid=True,
    )  # fmt: skip
    title = in_lines(t("embeddings.direction_axis", plus=direction.plus, minus=direction.minus))
    fig.update_xaxes(range=[low - 1.6 * side, high + 1.6 * side], title=title, zeroline=False, nticks=5)
    return fig


def overview_figure(directions: Sequence[Direction], chosen: Direction, t: Texts) -> go.Figure:
    """All measured pairs at a glance: one dot each, by kind; the chosen one has a ring."""
    kinds = list(DIRECTION_KINDS)
    x = [round(float(d.transfer.cosine.mean()), 3) for d in directions]
    # Neighbouring dots are shifted a little up and down, so that they can be told apart.
    y = [kinds.index(d.kind) + 0.09 * ((i * 3) % 5 - 2) for i, d in enumerate(directions)]
    details = [[f"{d.plus} − {d.minus}", d.transfer.share] for d in directions]
    ringed = [i for i, d in enumerate(directions) if {d.plus, d.minus} == {chosen.plus, chosen.minus}]
    fig = go.Figure(
        go.Scatter(
            x=x, y=y, mode="markers", customdata=details,
            hovertemplate="%{customdata[0]}: %{x:.2f} · %{customdata[1]:.0%}<extra></extra>",
            marker={"size": 11, "color": "#009e73", "opacity": 0.6},
        )
    )  # fmt: skip
    fig.add_scatter(
        x=[x[i] for i in ringed], y=[y[i] for i in ringed], mode="markers", hoverinfo="skip",
        marker={"size": 20, "color": "rgba(0,0,0,0)", "line": {"width": 4, "color": COLOUR_A}},
    )  # fmt: skip
    style(fig, t, height=300)
    fig.update_layout(showlegend=False)
    fig.update_yaxes(
        tickvals=list(range(len(kinds))), ticktext=[t(f"embeddings.kind.{k}") for k in kinds],
        range=[len(kinds) - 0.5, -0.5], gridcolor=LINE, zeroline=False,
    )  # fmt: skip
    fig.update_xaxes(
        range=[-0.3, 1.05],
        tickvals=[0, 0.5, 1],
        title=in_lines(t("embeddings.overview_axis")),
        zeroline=False,
    )
    fig.add_vline(x=0, line={"color": TEXT, "dash": "dot"})
    return fig
