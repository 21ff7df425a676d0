"""One look for every figure: large type, no clutter, readable on light and on dark."""

from functools import lru_cache
from textwrap import wrap
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from plotly.colors import sample_colorscale, unlabel_rgb

from components.ui.colors import PALETTE, text_on
from components.ui.language import Texts

FONT = "Inter, system-ui, sans-serif"
# Greys that read on white and on the dark page alike. Figures are drawn once, while the page may
# change between light and dark; the style sheet recolours what is SVG, these serve the rest.
TEXT, LINE = "#7b808a", "rgba(128,134,146,0.28)"

# Differences: blue below, orange above, neutral at zero. Magnitudes: cividis, which was made so
# that colour-blind and other readers see the same order. Source: Nuñez et al. 2018, PLOS ONE.
DIVERGING = (
    (0.0, "#053a6b"), (0.25, "#3f8fc4"), (0.5, "#f2f0ec"), (0.75, "#e08a3c"), (1.0, "#7a2f04"),
)  # fmt: skip
SEQUENTIAL = "Cividis"


def _axis() -> dict[str, Any]:
    return {
        "gridcolor": LINE, "zerolinecolor": LINE, "linecolor": LINE, "automargin": True, "fixedrange": True,
        "title": {"font": {"size": 17}}, "tickfont": {"size": 16},
    }  # fmt: skip


def _template() -> go.layout.Template:
    """The house template. Nothing is dragged in a figure, so that one finger on it scrolls the page."""
    scene_axis = {"gridcolor": LINE, "zerolinecolor": LINE, "color": TEXT, "showbackground": False}
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 16, "color": TEXT},
            "title": {"font": {"size": 18}, "x": 0, "xanchor": "left"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(PALETTE),
            "colorscale": {"diverging": DIVERGING, "sequential": SEQUENTIAL},
            "dragmode": False,
            "xaxis": _axis(),
            "yaxis": _axis(),
            "scene": {"xaxis": scene_axis, "yaxis": scene_axis, "zaxis": scene_axis, "dragmode": "turntable"},
            "hoverlabel": {"font": {"size": 16, "family": FONT}},
            "legend": {"font": {"size": 16}, "orientation": "h", "y": -0.2},
            "margin": {"l": 8, "r": 8, "t": 40, "b": 8},
        }
    )


TEMPLATE = _template()


def style(fig: go.Figure, t: Texts | None = None, height: int = 420) -> go.Figure:
    """Give a figure the house look.

    Args:
        fig: changed in place.
        t: texts; German figures get a decimal comma.
        height: px.

    Returns:
        The same figure.
    """
    separators = ", " if t is not None and t.language == "de" else ".,"
    fig.update_layout(template=TEMPLATE, height=height, autosize=True, separators=separators)
    if not fig.layout.title.text:
        fig.update_layout(margin_t=8)
    return fig


def in_lines(title: str) -> str:
    """An axis title in as few lines as fit the plots of a telephone, about equally long."""
    most = 36  # letters
    count = len(wrap(title, most))
    narrower = (wrap(title, width, break_long_words=False) for width in range(1, most + 1))
    return "<br>".join(next(lines for lines in narrower if len(lines) <= count))


def plot(alt: str, **kwargs: Any) -> gr.Plot:
    """A place for a figure that says what it shows to those who cannot see it.

    Args:
        alt: what the figure shows; read out by screen readers, not drawn.
        **kwargs: for `gr.Plot`.
    """
    classes = ["sv-plot", *kwargs.pop("elem_classes", [])]
    return gr.Plot(label=alt, show_label=False, elem_classes=classes, **kwargs)


@lru_cache(maxsize=512)
def cell_colour(view: str, step: int) -> tuple[str, str]:
    """Background and text colour of a cell; `step` is its place on the scale, 0..200."""
    scale = [list(stop) for stop in DIVERGING] if view == "cosine" else SEQUENTIAL
    channels = unlabel_rgb(sample_colorscale(scale, step / 200)[0])
    colour = "#" + "".join(f"{round(float(c)):02x}" for c in channels)
    return colour, text_on(colour)


LEFT, RIGHT = 84, 12  # px beside the plot; the row of pictures above it keeps the same margins


MATRIX_VIEWS = ("cosine", "texts", "images")
