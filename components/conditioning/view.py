"""What the conditioning tab shows: heat maps of blocks and steps, cut pictures, prompts that give way."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.subplots import make_subplots

from components.runs.frames import Frames, encode
from components.runs.trace_view import over_plot
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, short
from components.ui.plots import LEFT, RIGHT, SEQUENTIAL, style
from components.ui.templates import templates
from components.ui.token_text import block_name
from pipelines.image.conditioning import ALL, NONE, PARTS, TIME, BlockEffects, Cuts, Modulation, Switches
from pipelines.image.request import ImageRequest

_html = templates("conditioning/view.html")
_COLOURS = ("#0072b2", "#d55e00")  # first and second prompt
_MANY = 12  # blocks up to which figures are low
EFFECTS = ("text_effect", "attention_effect", "time_effect", "text_in_time")


def effects_figures(effects: BlockEffects, hears: bool, t: Texts) -> list[go.Figure]:
    """A heat map, block by step, for each of `EFFECTS`: how strongly text and time act.

    Args:
        hears: whether the model's time embedding hears the prompt.
    """
    rows = [block_name(block, t) for block in effects.blocks]
    titles = {name: t(f"conditioning.{name}") for name in EFFECTS}
    if not hears:
        titles["text_in_time"] = t("conditioning.text_in_time_none")
    return [_effect_figure(getattr(effects, name), rows, titles[name], t) for name in EFFECTS]


def modulation_figures(effects: BlockEffects, found: Modulation, hears: bool, t: Texts) -> list[go.Figure]:
    """The same for a transformer; of its modulation, shift, scale and gate stand side by side.

    Args:
        hears: whether the model's time embedding hears the prompt.
    """
    rows = [block_name(block, t) for block in effects.blocks]
    asked = np.isfinite(found.by_text).any()
    last = "text_in_time" if asked and hears else "text_in_time_none" if asked else "text_in_time_unasked"
    return [
        _effect_figure(effects.text_effect, rows, t("conditioning.text_effect"), t),
        _effect_figure(effects.attention_effect, rows, t("conditioning.attention_effect_joint"), t),
        _parts_figure(found.strength, rows, t("conditioning.time_effect"), t),
        _parts_figure(found.by_text, rows, t(f"conditioning.{last}"), t),
    ]


def modulation_sentences(found: Modulation, hears: bool, t: Texts) -> str:
    """What modulates a transformer's blocks, and what could not be measured."""
    keys = ["modulation_hint", "modulation_hears" if hears else "modulation_deaf"]
    if not np.isfinite(found.by_text).any():
        keys.append("modulation_unasked")
    return " ".join(t(f"conditioning.{key}") for key in keys)


def _add_heat(
    fig: go.Figure, values: np.ndarray, rows: Sequence[str], most: float, t: Texts, **place: Any
) -> None:
    """A heat map of `[block, step]` values on a scale from 0 to `most`; what is not known stays empty."""
    fig.add_heatmap(
        z=np.where(np.isfinite(values), values, np.nan), x=list(range(1, values.shape[1] + 1)), y=list(rows),
        zmin=0, zmax=most, colorscale=SEQUENTIAL, hovertemplate=t("conditioning.effects_hover"),
        colorbar={"thickness": 14, "tickfont": {"size": 16}, "nticks": 4}, **place,
    )  # fmt: skip


def _most(values: np.ndarray) -> float:
    """The upper end of a scale."""
    known = values[np.isfinite(values)]
    return (float(known.max()) if known.size else 1.0) or 1.0


def _framed(fig: go.Figure, blocks: int, title: str, t: Texts) -> go.Figure:
    fig.update_yaxes(autorange="reversed", tickfont_size=16, showgrid=False)
    fig.update_xaxes(title_text=t("conditioning.steps"), showgrid=False)
    fig.update_layout(title_text=title, title_font_size=18)
    return style(fig, t, height=360 if blocks <= _MANY else 520)


def _effect_figure(values: np.ndarray, rows: Sequence[str], title: str, t: Texts) -> go.Figure:
    fig = go.Figure()
    _add_heat(fig, values, rows, _most(values), t)
    return _framed(fig, len(rows), title, t)


def _parts_figure(values: np.ndarray, rows: Sequence[str], title: str, t: Texts) -> go.Figure:
    """Shift, scale and gate of `[block, step, part]` values, on one scale."""
    names = [t(f"conditioning.{part}") for part in PARTS]
    fig = make_subplots(1, len(PARTS), shared_yaxes=True, subplot_titles=names, horizontal_spacing=0.04)
    for column, part in enumerate(np.moveaxis(values, -1, 0), start=1):
        last = column == len(PARTS)
        _add_heat(fig, part, rows, _most(values), t, showscale=last, row=1, col=column)
    fig = _framed(fig, len(rows), title, t)
    fig.update_annotations(font_size=16)
    return fig.update_layout(margin_t=76)


def cut_name(cut: str, t: Texts) -> str:
    """What was cut off, in words."""
    if cut in (NONE, ALL, TIME):
        return t(f"conditioning.cut_{cut}")
    return t("conditioning.cut_block", block=block_name(cut, t))


def _place(cut: str, names: Sequence[str]) -> tuple[str, int]:
    """Column and row of a cut in the picture of the network: a U with `_rows` rows above its bottom."""
    down, up = ([name for name in names if name.startswith(way)] for way in ("down", "up"))
    if cut in down:
        return "down", down.index(cut)
    if cut in up:
        return "up", _rows(names) - 1 - up.index(cut)
    return "middle", {NONE: 0, ALL: 1, TIME: 2}.get(cut, _rows(names))


def _rows(names: Sequence[str]) -> int:
    """Rows of the network above the middle block; the three pictures that belong to no block need as many."""
    others = sum(name in (NONE, ALL, TIME) for name in names)
    return max(others, *(sum(name.startswith(way) for name in names) for way in ("down", "up")))


def cuts_view(request: ImageRequest, found: Cuts, t: Texts) -> Markup:
    """All pictures, each at its block, with what each lacks, and the largest loss in words."""
    hints = []
    for cut, change, score in zip(found.names, found.changes, found.clip_scores, strict=True):
        hint = t("conditioning.clip", score=fixed(score, t))
        changed = t("conditioning.changed", change=short(change, t)) + " · "
        hints.append(hint if cut == NONE else changed + hint)
    blocks = [i for i, cut in enumerate(found.names) if cut not in (NONE, ALL, TIME)]
    worst = max(blocks, key=lambda i: found.changes[i])
    remark = t(
        "conditioning.worst", block=block_name(found.names[worst], t), change=short(found.changes[worst], t)
    )
    return _net(found.names, [encode(image) for image in found.images], hints, "done", remark, t)


def cuts_running(names: Sequence[str], sources: Sequence[str], status: str, t: Texts) -> Markup:
    """The same while the pictures come out of the noise, or where they were stopped.

    Args:
        sources: addresses of the pictures; none before the first step.
    """
    return _net(names, sources or [""] * len(names), [""] * len(names), "running", status, t)


def _net(
    names: Sequence[str], sources: Sequence[str], hints: Sequence[str], state: str, remark: str, t: Texts
) -> Markup:
    cuts = [
        (name, source, cut_name(name, t), hint, *_place(name, names))
        for name, source, hint in zip(names, sources, hints, strict=True)
    ]
    return _html.cuts(cuts, state, remark, t)


def switch_row(found: Switches, t: Texts) -> Markup:
    """The pictures, each over its point of the plot."""
    pictures = zip(found.steps, found.images, strict=True)
    return over_plot([(encode(i), t("conditioning.switch_picture", step=step)) for step, i in pictures])


def switch_figure(found: Switches, prompt: str, prompt_b: str, t: Texts) -> go.Figure:
    """How well each picture fits either prompt, against the step of the change."""
    fig = go.Figure()
    for scores, text, colour in zip(found.clip_scores.T, (prompt, prompt_b), _COLOURS, strict=True):
        fig.add_scatter(
            x=list(range(len(found.steps))), y=scores, name=html_escape(_short(text)),
            mode="lines+markers", line={"width": 4, "color": colour}, marker_size=11,
            hovertemplate="%{y:.2f}<extra></extra>",
        )  # fmt: skip
    edge = 0.5
    fig.update_layout(
        xaxis={
            "tickvals": list(range(len(found.steps))), "ticktext": [str(step) for step in found.steps],
            "range": [-edge, len(found.steps) - 1 + edge], "title": {"text": t("conditioning.switch_x")},
            "automargin": False,
        },
        yaxis={"title": {"text": t("guidance.sweep_y")}, "range": [-0.2, 0.9], "automargin": False},
        legend={"y": -0.32},
    )  # fmt: skip
    style(fig, t, height=380)
    return fig.update_layout(margin={"l": LEFT, "r": RIGHT, "t": 8, "b": 110})


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def switch_one(request: ImageRequest, now: str, reel: Frames | None, t: Texts) -> Markup:
    """One picture whose prompt gives way, and where it is.

    Args:
        request: with `switch_at` and the second prompt.
        now: address of its picture; empty before the first step.
        reel: of a run under way; None when it is done.
    """
    levers, total = request.steering, request.num_inference_steps
    return _html.switch(
        state="running" if reel else "done", now=now,
        caption=t("conditioning.one", step=levers.switch_at, total=total),
        status=t("image.step", step=len(reel.steps), total=total) if reel else "",
        share=f"{100 * (levers.switch_at or 0) / total:.1f}", first=request.prompt, second=levers.prompt_b,
        t=t,
    )  # fmt: skip
