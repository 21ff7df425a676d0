"""The way of a run's latents from noise to picture, in two dimensions."""

import numpy as np
import plotly.graph_objects as go

from components.ui.colors import COLOUR_A, NEUTRAL
from components.ui.language import Texts
from components.ui.numbers import fixed, percent
from components.ui.plots import in_lines, style
from pipelines.image.paths import LatentPaths
from pipelines.image.request import Trace

_NAMED = 11  # steps up to which each point is numbered


def paths_figure(found: LatentPaths, t: Texts) -> go.Figure:
    """One run's latents step by step, and the straight line from its beginning to its end.

    Args:
        found: of one run.
    """
    (points,) = found.points
    ends = points[[0, -1]]
    steps = list(range(len(points)))
    figure = go.Figure()
    figure.add_scatter(
        x=ends[:, 0], y=ends[:, 1], name=t("image.paths_straight"), mode="lines", hoverinfo="skip",
        line={"width": 3, "dash": "dash", "color": NEUTRAL},
    )  # fmt: skip
    figure.add_scatter(
        x=points[:, 0], y=points[:, 1], name=t("image.paths_way"), mode="lines+markers+text",
        line={"width": 4, "color": COLOUR_A}, marker={"size": 11}, text=_labels(len(steps), t),
        textposition="top center", textfont={"size": 16}, customdata=steps, cliponaxis=False,
        hovertemplate=t("image.paths_hover"),
    )  # fmt: skip
    style(figure, t, height=420)
    for axis, share, update in zip(
        "xy", found.explained, (figure.update_xaxes, figure.update_yaxes), strict=True
    ):
        update(title=in_lines(t(f"image.paths_{axis}", share=percent(float(share), t))))
    reach = 0.15 * float(np.ptp(points[:, 0]) or 1.0)
    figure.update_xaxes(range=[float(points[:, 0].min()) - reach, float(points[:, 0].max()) + reach])
    figure.update_yaxes(scaleanchor="x")  # a circle stays a circle
    return figure.update_layout(legend={"y": -0.3, "yanchor": "top"})


def _labels(count: int, t: Texts) -> list[str]:
    """Names of the first and the last point, and numbers of those between where there are few."""
    between = [str(step) if count <= _NAMED else "" for step in range(1, count - 1)]
    return [t("image.paths_noise"), *between, t("image.paths_picture")]


def paths_sentence(trace: Trace, found: LatentPaths, t: Texts) -> str:
    """How straight the way is, as measured, and what the model was trained to draw along."""
    is_flow = any(step.deviations != (1.0, 1.0) for step in trace.steps)
    said = t("image.paths_said", straightness=fixed(found.straightness[0], t), steps=len(trace.steps))
    return f"{said} {t('image.paths_flow' if is_flow else 'image.paths_diffusion')}"
