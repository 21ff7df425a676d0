"""A run of a transformer in which text and picture attend to each other: maps, and who looks at whom."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup

from components.cross_attention.view import group_of, trace_page
from components.runs.frames import Frames
from components.ui.colors import COLOUR_A, COLOUR_B, NEUTRAL, PALETTE, text_on
from components.ui.language import Texts
from components.ui.numbers import percent
from components.ui.plots import in_lines, style
from pipelines.image.cross_attention import ALL
from pipelines.image.joint_attention import PICTURE, WORDS, WordMaps, who_looks, word_changes, word_maps
from pipelines.image.request import TextRow, Trace

OUTPUT = "output"  # maps by the layers' output vectors instead of their attention
# Who looks at whom, with the colour of its area; in the order in which they are piled up.
LOOKS = (
    (PICTURE, PICTURE, "picture_picture", COLOUR_B),
    (PICTURE, WORDS, "picture_words", "#56b4e9"),
    (WORDS, PICTURE, "words_picture", "#e69f00"),
    (WORDS, WORDS, "words_words", COLOUR_A),
)


def joint_rows(rows: Sequence[TextRow], t: Texts) -> list[dict[str, Any]]:
    """Name and colour of every row; the same word has one colour, whoever split it."""
    words = list(dict.fromkeys(row.text.casefold() for row in rows if row.kind == "word"))
    several = len({row.tokenizer for row in rows}) > 1
    found = []
    for row in rows:
        is_word = row.kind == "word"
        colour = PALETTE[words.index(row.text.casefold()) % len(PALETTE)] if is_word else NEUTRAL
        name = t("cross_attention.padding") if row.kind == "padding" else row.text or "␣"
        encoder = t(f"cross_attention.{row.tokenizer}") if several else ""
        told = {"name": name, "colour": colour, "ink": text_on(colour), "encoder": encoder}
        found.append(told | {"unread": False})
    return found


def _groups(found: WordMaps, trace: Trace) -> dict[str, np.ndarray]:
    """`[step, row, y, x]` maps by name: of all blocks, by output, and of each third of the blocks."""
    groups = {ALL: found.looked_at}
    if found.output is not None:
        groups[OUTPUT] = found.output
    inside = trace.steps[0].inside
    blocks = tuple(dict.fromkeys(layer.block for layer in inside.joint)) if inside else ()
    if len(blocks) >= 3:
        for name, third in zip(("early", "middle", "late"), np.array_split(np.array(blocks), 3), strict=True):
            groups[name] = word_maps(trace, third.tolist()).looked_at
    return groups


def joint_view(trace: Trace, frames: Frames, t: Texts) -> Markup:
    """The whole view of a run of such a transformer.

    Args:
        trace: of a run that looked inside.
        frames: its pictures.
    """
    found = word_maps(trace)
    groups = _groups(found, trace)
    first = next((i for i, row in enumerate(found.rows) if row.kind == "word"), 0)
    branch = {
        "rows": joint_rows(found.rows, t),
        "groups": {name: group_of(maps) for name, maps in groups.items()},
        "first": first,
    }
    names = [(name, t(f"cross_attention.{'all_layers' if name == ALL else name}")) for name in groups]
    shown = [frames.guided[step] for step in found.steps]
    return trace_page(trace, shown, {"prompt": branch}, names, ALL, t, said=_said(trace, t))


def _said(trace: Trace, t: Texts) -> str:
    """In words: where patches look, and that the text's own vectors are changed."""
    by_looker = np.nanmean(who_looks(trace).by_looker, axis=(0, 1))
    share = percent(float(by_looker[PICTURE, WORDS]), t)
    inside = trace.steps[0].inside
    if inside is None or inside.word_changes is None:
        alone = by_looker[PICTURE, WORDS] > 0.9999  # SANA's layers have no patches among their keys
        said = t(f"cross_attention.joint_looks_{'text_alone' if alone else 'one_way'}", share=share)
        return f"{said} {t('cross_attention.joint_text_stays')}"
    said = t("cross_attention.joint_looks", share=share)
    changed = float(np.nanmean(word_changes(trace).changes))
    return f"{said} {t('cross_attention.joint_text_changes', change=percent(changed, t))}"


def looks_figure(trace: Trace, t: Texts) -> go.Figure:
    """The four shares of all attention, layer by layer, averaged over the steps."""
    found = who_looks(trace)
    shares = found.shares.mean(1)
    fig = go.Figure()
    for looker, at, name, colour in LOOKS:
        values = np.nan_to_num(shares[:, looker, at])
        fig.add_scatter(
            x=list(range(1, len(values) + 1)), y=values.round(4), name=t(f"cross_attention.{name}"),
            mode="lines", stackgroup="all", line={"width": 0}, fillcolor=colour,
            hovertemplate="%{y:.0%}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    style(fig, t, height=360)
    fig.update_xaxes(title=in_lines(t("cross_attention.joint_layer")), tick0=1, dtick=-(-len(shares) // 8))
    fig.update_yaxes(range=[0, 1.02], tickformat=".0%", dtick=0.25)
    fig.update_layout(legend={"y": -0.3, "yanchor": "top"}, hovermode="x unified")
    return fig
