"""CLIP's scores along a lever."""

import numpy as np
import plotly.graph_objects as go

from components.control_vector.lever_view import LEVERS, Strip, label_of
from components.ui.colors import COLOUR_A, COLOUR_B
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.plots import TEXT, style

_LEFT, _RIGHT = 64, 10  # px beside the plot; `lever.html` gives the row of pictures above it the same


def lever_figure(lever: str, strip: Strip | None, t: Texts) -> go.Figure:
    """CLIP's two scores along a lever, on a scale that stays; without a strip, the empty axes."""
    places = list(LEVERS[lever])
    half = (places[1] - places[0]) / 2
    figure = go.Figure()
    if strip is not None:
        for i, (name, colour) in enumerate(zip(strip.names, (COLOUR_A, COLOUR_B), strict=True)):
            figure.add_scatter(
                x=places, y=strip.scores[:, i], name=html_escape(name), mode="lines+markers",
                line={"width": 4, "color": colour}, marker={"size": 12, "symbol": ("circle", "square")[i]},
                hovertemplate="CLIP %{y:.3f}",
            )  # fmt: skip
    low, high = (0.0, 1.0) if strip is None else (float(strip.scores.min()), float(strip.scores.max()))
    bottom, top = np.floor(10 * low - 0.2) / 10, np.ceil(10 * high + 0.2) / 10
    figure.add_shape(  # where the slider stands; the script moves it
        type="line", x0=places[0], x1=places[0], y0=bottom, y1=top, layer="below",
        line={"width": 2, "dash": "dot", "color": TEXT}, visible=strip is not None,
    )  # fmt: skip
    figure = style(figure, t, height=205)
    labels = [label_of(lever, value, t) for value in places]
    figure.update_layout(
        margin={"l": _LEFT, "r": _RIGHT, "t": 28, "b": 8}, hovermode="x",
        legend={"y": -0.06, "x": 0.5, "xanchor": "center", "yanchor": "top", "font": {"size": 16}},
        xaxis={"tickvals": places, "ticktext": labels, "range": [places[0] - half, places[-1] + half],
               "side": "top", "automargin": False, "zeroline": False},
        yaxis={"title": {"text": "CLIP"}, "range": [bottom, top], "automargin": False, "zeroline": False,
               "nticks": 6},
    )  # fmt: skip
    return figure
