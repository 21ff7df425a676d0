"""What the matrix tab draws, from numbers to what `view.html` shows: the coloured grid, bars, the slider."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from components.ui.language import Texts
from components.ui.numbers import fixed, percent
from components.ui.plots import MATRIX_VIEWS, cell_colour
from components.ui.templates import templates
from pipelines.clip.clip_matrix import ClipMatrix, ZeroShot

_VIEW = "clip_matrix/view.html"
SIGMOID_VIEWS = ("cosine", "pairs")  # of a model that was trained with a sigmoid for each pair
COLDEST, HOTTEST = 0.005, 1.0  # ends of the temperature slider
_LIKELIEST = 4  # labels on a picture's card


def matrix_html(
    thumbs: Sequence[str],
    prompts: Sequence[str],
    matrix: ClipMatrix | None,
    view: str,
    temperature: float,
    t: Texts,
) -> Markup:
    """The matrix as a table: pictures along the top, texts down the side, a value in each cell.

    Args:
        thumbs: a `data:` address for each picture.
        prompts: as typed.
        matrix: `[image, text]`, or None while it is being computed.
        view: "cosine", "texts" (softmax over texts, each picture's column sums to 1), "images"
            (softmax over pictures, each text's row sums to 1) or "pairs" (a sigmoid for each pair alone).
        temperature: of the softmax.
    """
    view = fitting(view, matrix is not None and matrix.logit_bias is not None)
    cells = [[]] * len(prompts) if matrix is None else _cells(matrix, prompts, view, temperature, t)
    rows = list(zip(prompts, cells, strict=True))
    stops = ",".join(cell_colour(view, step)[0] for step in range(0, 201, 20))
    ends = ("−1", "0", "1") if view == "cosine" else tuple(percent(share, t) for share in (0, 0.5, 1))
    scale, sums = {"stops": stops, "ends": ends}, view if matrix is not None else ""
    size = "cm-few" if len(thumbs) <= 6 else "cm-many" if len(thumbs) > 9 else ""
    total, summary = percent(1, t), _summary(matrix, t)
    lone = _lone(len(thumbs), len(prompts), view)
    remark = t(f"clip_matrix.lone_{view}") if lone else ""
    return templates(_VIEW).matrix(thumbs, size, rows, view, sums, total, scale, summary, remark, t)


def fitting(view: str, is_sigmoid: bool) -> str:
    """The view asked for, or its like among those that a model has.

    Args:
        view: one of all views.
        is_sigmoid: whether the model was trained with a sigmoid for each pair.
    """
    views = SIGMOID_VIEWS if is_sigmoid else MATRIX_VIEWS
    return view if view in views else views[1]


def _lone(images: int, texts: int, view: str) -> bool:
    """Whether the shares of a view have nothing to divide among: a softmax over one number is always 1."""
    return (view == "texts" and texts == 1) or (view == "images" and images == 1)


def _cells(
    matrix: ClipMatrix, prompts: Sequence[str], view: str, temperature: float, t: Texts
) -> list[list[dict[str, Any]]]:
    """The cells of each text's row."""
    values = _values(matrix, view, temperature)
    # What has no other to be chosen instead is no choice.
    no_choice = _lone(len(values), len(prompts), view) or values.size == 1
    pairs = set() if no_choice else set(matrix.pairing())
    names = [t("clip_matrix.picture_name", number=i + 1) for i in range(len(values))]
    return [
        [
            _cell(float(values[i, j]), view, t) | {"paired": (i, j) in pairs, "label": f"{name} · {prompt}"}
            for i, name in enumerate(names)
        ]
        for j, prompt in enumerate(prompts)
    ]


def _cell(value: float, view: str, t: Texts) -> dict[str, str]:
    share = (value + 1) / 2 if view == "cosine" else value  # fixed scales: -1..1 and 0..1
    background, ink = cell_colour(view, round(200 * min(max(share, 0.0), 1.0)))
    shown = fixed(value, t) if view == "cosine" else percent(value, t)
    return {"background": background, "ink": ink, "shown": shown}


def _values(matrix: ClipMatrix, view: str, temperature: float) -> np.ndarray:
    """`[image, text]` numbers that a view shows."""
    if view == "texts":
        return matrix.softmax_over_texts(temperature)
    if view == "images":
        return matrix.softmax_over_images(temperature)
    if view == "pairs":
        return matrix.pair_probability()
    return matrix.similarity


def _summary(matrix: ClipMatrix | None, t: Texts) -> str:
    """One sentence on how many pairs stand on the diagonal; only a square matrix of several has one."""
    if (
        matrix is None
        or matrix.similarity.shape[0] != matrix.similarity.shape[1]
        or matrix.similarity.size == 1
    ):
        return ""
    pairs = matrix.pairing()
    return t("clip_matrix.summary", right=sum(i == j for i, j in pairs), total=len(pairs))


def temperature_html(temperature: float, learned: float, t: Texts) -> Markup:
    """A logarithmic slider for the temperature, with a mark where the model's own lies."""
    low, high = np.log10(COLDEST), np.log10(HOTTEST)
    place = float(np.clip((np.log10(learned) - low) / (high - low), 0, 1))
    slider = {
        "place": f"{place:.4f}", "low": f"{low:.4f}", "high": f"{high:.4f}",
        "value": f"{np.log10(temperature):.4f}", "learned": f"{np.log10(learned):.6f}",
    }  # fmt: skip
    mark = t("clip_matrix.learned", temperature=fixed(learned, t, 3), logit_scale=fixed(1 / learned, t, 1))
    return templates(_VIEW).temperature(slider, fixed(temperature, t, 3), mark, t)


def sigmoid_html(logit_scale: float, logit_bias: float, t: Texts) -> Markup:
    """What stands in the slider's place for a model without a softmax: its sigmoid and what it learned."""
    scale, bias = fixed(logit_scale, t, 1), fixed(logit_bias, t, 1)
    return templates(_VIEW).sigmoid(t("clip_matrix.sigmoid", scale=scale, bias=bias), t)


def zero_shot_html(thumbs: Sequence[str], result: ZeroShot, temperature: float, t: Texts) -> Markup:
    """A card for each picture: its likeliest labels as bars from 0 to 100 %."""
    cards = []
    for uri, shares in zip(thumbs, result.probabilities(temperature), strict=True):
        order = np.argsort(-shares, kind="stable")[:_LIKELIEST]
        bars = [
            {"label": result.labels[k], "width": f"{100 * shares[k]:.1f}", "shown": percent(shares[k], t)}
            for k in order
        ]
        cards.append((uri, bars))
    is_sigmoid = result.matrix.logit_bias is not None
    remark = t("clip_matrix.lone_label") if len(result.labels) == 1 and not is_sigmoid else ""
    shares = t(f"clip_matrix.zero_{'sigmoid' if is_sigmoid else 'softmax'}")
    return templates(_VIEW).zero_shot(cards, result.texts[0], shares, remark, t)


def score_html(uri: str, rows: Sequence[tuple[str, str, float]], caption: str, t: Texts) -> Markup:
    """A picture and its cosine with each text, on one fixed scale from -1 to 1.

    Args:
        uri: the picture.
        rows: name of the text ("Prompt A"), the text, and its cosine.
        caption: where the picture comes from.
    """
    bars = [
        {
            "name": name, "text": text, "shown": fixed(value, t), "minus": value < 0,
            "left": f"{50 + 50 * min(value, 0.0):.1f}", "width": f"{50 * abs(value):.1f}",
        }
        for name, text, value in rows
    ]  # fmt: skip
    return templates(_VIEW).score(uri, bars, caption)


def hint_html(text: str) -> Markup:
    """A sentence below what it explains."""
    return templates(_VIEW).hint(text)


def alert_html(text: str) -> Markup:
    """A message in the place of what could not be computed."""
    return templates(_VIEW).alert(text)
