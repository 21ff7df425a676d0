"""One word or another seed: the measured distributions, and a trial on the visitor's own prompt."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.subplots import make_subplots

from components.prompt_lab.builder import marked
from components.prompt_lab.view import facts_html, running_bar, shortened
from components.runs.frames import encode
from components.ui.language import Texts
from components.ui.numbers import fixed, percent
from components.ui.plots import style
from components.ui.templates import templates
from pipelines.image.prompt_lab import SeedTrial
from pipelines.image.prompt_words import change_between
from pipelines.image.request import ImageRequest
from pipelines.serving.measured import Figure, WordDistances, figure, word_distances

_html = templates("prompt_lab/view.html")
WORD, SEED = "#d55e00", "#0072b2"
MEASURES = ("clip", "pixel")
SEEDS = 4
_BINS = 40


def interval(found: Figure, t: Texts) -> str:
    """The 95 % interval of a share."""
    low, high = (f"{100 * value:.0f}" for value in found.ci95)
    return f"{low}–{percent(float(high) / 100, t)}"


def word_values(found: WordDistances, kind: str, measure: str) -> np.ndarray:
    """`[change]` distances of one kind of word, or of all where `kind` is "all"."""
    by_kind = found.word_clip if measure == "clip" else found.word_pixel
    return np.concatenate(list(by_kind.values())) if kind == "all" else by_kind[kind]


def distribution_text(kind: str, measure: str, t: Texts) -> Markup:
    """What the distributions say, with sample size; or why there is nothing to say."""
    found = word_distances()
    if found is None or not found.true_of_shipped:
        key = "words_missing" if found is None else "words_outdated"
        return _html.result(t(f"prompt_lab.{key}"), role="status")
    words = word_values(found, kind, measure)
    seeds = found.seed_clip if measure == "clip" else found.seed_pixel
    row = (
        figure("image.word_vs_seed" if kind == "all" else f"image.word_{kind}") if measure == "clip" else None
    )
    share = row.value if row else float((words > np.median(seeds)).mean())
    values = {"share": percent(share, t), "n": len(words), "seeds": len(seeds), "prompts": found.prompts}
    text = t("prompt_lab.words_share", kind=t(f"prompt_lab.kind.{kind}"), **values)
    bounds = t("prompt_lab.words_interval", interval=interval(row, t)) if row else ""
    return _html.result(f"{text} {bounds}") + _html.facts(t("prompt_lab.measures_differ"))


def distribution_figure(kind: str, measure: str, trial: SeedTrial | None, t: Texts) -> go.Figure | None:
    """Both distributions over one axis, the visitor's own distances as dots beneath.

    Args:
        kind: one of `WORD_KINDS` or "all".
        measure: "clip" or "pixel".
        trial: of the visitor's prompt, measured with the same CLIP, or None.

    Returns:
        None where nothing was measured, or on other weights than those that are shipped.
    """
    found = word_distances()
    if found is None or not found.true_of_shipped:
        return None
    words = word_values(found, kind, measure)
    seeds = found.seed_clip if measure == "clip" else found.seed_pixel
    every = np.concatenate([word_values(found, "all", measure), seeds])
    end = (
        float(np.ceil(every.max() * 10) / 10) if measure == "clip" else float(np.ceil(every.max() / 10) * 10)
    )
    plot = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.74, 0.26], vertical_spacing=0.06)
    for values, colour, key in ((words, WORD, "word"), (seeds, SEED, "seed")):
        name = t(f"prompt_lab.legend_{key}", n=len(values))
        plot.add_trace(_histogram(values, end, colour, name, t), row=1, col=1)
        middle = float(np.median(values))
        plot.add_shape(
            type="line", x0=middle, x1=middle, y0=0, y1=1, yref="y domain", row=1, col=1,
            line={"color": colour, "width": 3, "dash": "dash"},
        )  # fmt: skip
    _dots(plot, trial, measure, t)
    plot = style(plot, t, height=440)
    plot.update_layout(barmode="overlay", bargap=0, legend={"y": 1.02, "yanchor": "bottom", "x": 0},
                       margin={"l": 8, "r": 12, "t": 60, "b": 8})  # fmt: skip
    plot.update_yaxes(
        title={"text": t("prompt_lab.share_axis")}, tickformat=".0%", zeroline=False, row=1, col=1
    )
    plot.update_yaxes(
        tickvals=[0, 1], ticktext=[t("prompt_lab.dots_seed"), t("prompt_lab.dots_word")], range=[-0.6, 1.6],
        showgrid=False, zeroline=False, row=2, col=1,
    )  # fmt: skip
    own = np.concatenate(_own(trial, measure)) if trial else np.zeros(1)
    most = max(end, float(own.max()))
    plot.update_xaxes(range=[0, most * 1.02], zeroline=False)
    plot.update_xaxes(title={"text": t(f"prompt_lab.axis_{measure}")}, row=2, col=1)
    return plot


def _histogram(values: np.ndarray, end: float, colour: str, name: str, t: Texts) -> go.Bar:
    """Shares per bin as bars, so that two samples of different size compare."""
    counts, edges = np.histogram(values, bins=_BINS, range=(0, end))
    return go.Bar(
        x=(edges[:-1] + edges[1:]) / 2, y=counts / len(values), width=end / _BINS, name=name,
        marker={"color": colour, "opacity": 0.55, "line": {"width": 0}},
        hovertemplate="%{x:.2f}: %{y:.1%}<extra></extra>",
    )  # fmt: skip


def _own(trial: SeedTrial, measure: str) -> tuple[np.ndarray, np.ndarray]:
    if measure == "clip":
        return trial.word_clip, trial.seed_clip
    return trial.word_pixel, trial.seed_pixel


def _dots(plot: go.Figure, trial: SeedTrial | None, measure: str, t: Texts) -> None:
    rows = _own(trial, measure) if trial else (np.array([]), np.array([]))
    for values, colour, height in zip(rows, (WORD, SEED), (1, 0), strict=True):
        dots = go.Scatter(
            x=values, y=[height] * len(values), mode="markers", showlegend=False,
            marker={"color": colour, "size": 15, "opacity": 0.75, "line": {"color": "#ffffff", "width": 1}},
            hovertemplate="%{x:.2f}<extra></extra>",
        )  # fmt: skip
        plot.add_trace(dots, row=2, col=1)


def _rows(prompts: Sequence[str], sources: Sequence[str], seed: int, t: Texts) -> Markup:
    """Two rows of pictures: the prompt, and the prompt with the word changed."""
    count = len(sources) // 2 if sources else SEEDS
    heads = (shortened(prompts[0], 200), marked(change_between(*prompts)))
    rows: list[tuple[str, list[tuple[str, str, int]]]] = []
    for row, (head, prompt) in enumerate(zip(heads, prompts, strict=True)):
        alts = [t("prompt_lab.seed_alt", prompt=shortened(prompt, 200), seed=seed + i) for i in range(count)]
        own = sources[row * count :] or ("",) * count
        rows.append((head, [(own[i], alt, seed + i) for i, alt in enumerate(alts)]))
    return _html.seeds(rows, count)


def seeds_running(requests: Sequence[ImageRequest], sources: Sequence[str], done: int, t: Texts) -> Markup:
    """Both rows while they draw."""
    prompts = (requests[0].prompt, requests[-1].prompt)
    bar = running_bar(done, requests[0].num_inference_steps, t)
    return bar + _rows(prompts, sources, requests[0].seed, t)


def seeds_view(requests: Sequence[ImageRequest], trial: SeedTrial, done: bool, t: Texts) -> Markup:
    """Both rows when they are done, and what their distances say."""
    sources = [encode(image) for row in trial.images for image in row]
    prompts = (requests[0].prompt, requests[-1].prompt)
    text = t(
        "prompt_lab.seeds_result",
        word=fixed(float(np.median(trial.word_clip)), t), words=len(trial.word_clip),
        seed=fixed(float(np.median(trial.seed_clip)), t), seeds=len(trial.seed_clip),
    )  # fmt: skip
    early = "" if done else f" {t('prompt_lab.stopped_early')}"
    return (
        _rows(prompts, sources, requests[0].seed, t)
        + _html.result(text + early)
        + facts_html(requests[0], t, "facts_short")
    )
