"""How the tab of contrastive learning draws: the stage once per training, and what its script fills in."""

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.plots import MATRIX_VIEWS, cell_colour
from components.ui.training_console import console_html
from pipelines.clip.contrastive import ClipStep
from pipelines.serving.live_training import MOST_STEPS

_SHADES = 41  # of a colour scale; the eye tells no more apart


@lru_cache(maxsize=2)
def _ramp(scale: str) -> tuple[tuple[str, str], ...]:
    """Background and text colours of a scale, from its low to its high end."""
    return tuple(cell_colour(scale, round(200 * i / (_SHADES - 1))) for i in range(_SHADES))


def _whole(matrix: np.ndarray) -> list[int]:
    """Cosines as whole ten-thousandths, picture by picture."""
    return [int(value) for value in np.rint(matrix * 10_000).ravel()]


def _record(step: ClipStep) -> list[Any]:
    numbers = (step.loss, step.unseen_loss, step.accuracy, step.unseen_accuracy, step.scale)
    return [_whole(step.similarity), _whole(step.unseen), *(round(n, 4) for n in numbers)]


def pulse_html(number: int, records: Sequence[ClipStep], first: int, running: bool) -> str:
    """What the script learns of a training's progress; nothing of it is seen.

    Args:
        number: of the training, so that what comes late from an older one is passed over.
        records: of all steps so far.
        first: the step from which records are sent along; the script has the earlier ones.
        running: whether more is coming.
    """
    content = {
        "number": number,
        "first": first,
        "total": len(records),
        "running": running,
        "records": [_record(step) for step in records[first:]],
    }
    return f'<div hidden data-pulse="{html_escape(json.dumps(content, separators=(",", ":")))}"></div>'


def _head(thumbs: Sequence[str], t: Texts) -> str:
    cells = ""
    for place, uri in enumerate(thumbs, 1):
        name = html_escape(t("contrastive.picture_name", number=place))
        cells += f'<th scope="col" class="picture"><img src="{uri}" alt="{name}"></th>'
    return f"<tr><td></td>{cells}</tr>"


def _table(
    name: str, label: str, thumbs: Sequence[str], texts: Sequence[str], targets: Sequence[int], t: Texts
) -> str:
    """A matrix whose cells the script fills: pictures along the top, texts down the side.

    Args:
        name: "pairs", "unseen" or "classroom".
        label: what it is, for those who cannot see it.
        thumbs: a picture for each column.
        texts: one for each row.
        targets: the row that belongs to each column; it is ringed.
        t: texts of the page.
    """
    rows = ""
    for j, text in enumerate(texts):
        cells = "".join(
            f'<td class="cell{" ringed" if targets[i] == j else ""}" data-at="{i * len(texts) + j}"></td>'
            for i in range(len(thumbs))
        )
        rows += f'<tr><th scope="row"><span>{html_escape(text)}</span></th>{cells}</tr>'
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html_escape(label)}">'
        f'<table data-matrix="{name}" style="--columns:{len(thumbs)}"><tbody>'
        f"{_head(thumbs, t)}{rows}</tbody></table></div>"
    )


def _chart(name: str, t: Texts) -> str:
    """A curve that the script draws: blue for the pairs, orange for the unseen ones."""
    title = html_escape(t(f"contrastive.chart.{name}"))
    return (
        f'<figure class="chart"><figcaption>{title}</figcaption>'
        f'<svg viewBox="0 0 440 150" role="img" data-chart="{name}" '
        f'aria-label="{html_escape(t(f"contrastive.chart_alt.{name}"))}"></svg></figure>'
    )


def _readout(t: Texts) -> str:
    """Large figures of one step."""
    items = "".join(
        f'<div class="{key}"><b data-read="{key}">–</b>'
        f"<span>{html_escape(t(f'contrastive.read.{key}'))}</span></div>"
        for key in ("step", "accuracy", "unseen", "loss", "temperature")
    )
    return f'<div class="readout">{items}</div>'


def _views(t: Texts) -> str:
    """Which numbers the matrices show; the script has them all."""
    buttons = "".join(
        f'<button type="button" data-view="{view}" aria-pressed="{str(view == "cosine").lower()}">'
        f"{html_escape(t(f'clip_matrix.view.{view}'))}</button>"
        for view in MATRIX_VIEWS
    )
    return (
        f'<div class="views" role="group" aria-label="{html_escape(t("contrastive.views"))}">{buttons}</div>'
    )


def stage_html(
    number: int,
    pairs: tuple[Sequence[str], Sequence[str]],
    unseen: tuple[Sequence[str], Sequence[str]],
    targets: Sequence[int],
    classroom: tuple[np.ndarray, float],
    remark: str,
    unseen_hint: str,
    floor: float,
    t: Texts,
) -> str:
    """Everything that stays the same during a training.

    Args:
        number: of the training.
        pairs: thumbnails and captions of the pairs.
        unseen: the same of pairs that no step sees.
        targets: index of the text that each picture is trained with.
        classroom: what the trained classroom CLIP says of the pairs, `[image, text]`, and its logit_scale.
        remark: what this experiment is about; plain text.
        unseen_hint: what the unseen pairs are; plain text.
        floor: the lowest loss that can be reached.
        t: texts of the page.
    """
    count = len(pairs[0])
    data = {
        "number": number, "count": count, "chance": math.log(count), "floor": floor, "most": MOST_STEPS,
        "ramps": {"cosine": _ramp("cosine"), "share": _ramp("share")}, "comma": t.language == "de",
        "classroom": {"similarity": _whole(classroom[0]), "scale": classroom[1]},
        "texts": {key: t(f"contrastive.{key}") for key in ("guessing", "lowest")},
    }  # fmt: skip
    own, others = range(count), [int(i) for i in targets]
    return (
        f'<div class="stage" data-state="idle" data-contrastive="{html_escape(json.dumps(data))}">'
        f'<p class="remark">{html_escape(remark)}</p>{console_html(t)}'
        f'<div class="main"><div class="left">{_views(t)}'
        f"{_table('pairs', t('contrastive.pairs_title'), *pairs, others, t)}"
        f'<p class="ring">{html_escape(t("contrastive.ring"))}</p></div>'
        f'<div class="right">{_readout(t)}{_chart("loss", t)}{_chart("accuracy", t)}</div></div>'
        f'<div class="beside"><section><h4>{html_escape(t("contrastive.unseen_title"))}</h4>'
        f"<p>{html_escape(unseen_hint)}</p>"
        f"{_table('unseen', t('contrastive.unseen_title'), *unseen, own, t)}</section>"
        f"<section><h4>{html_escape(t('contrastive.classroom_title'))}</h4>"
        f"<p>{html_escape(t('contrastive.classroom_hint'))}</p>"
        f"{_table('classroom', t('contrastive.classroom_title'), *pairs, own, t)}</section></div></div>"
    )


def waiting_html(t: Texts) -> str:
    """What stands on the stage while pictures wait for their captions."""
    return f'<div class="stage"><p class="remark">{html_escape(t("contrastive.caption_now"))}</p></div>'
