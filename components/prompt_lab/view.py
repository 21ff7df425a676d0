"""What the prompt lab shows: pictures of one seed with the changed word, and how far apart they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from markupsafe import Markup
from plotly.subplots import make_subplots

from components.runs.frames import encode
from components.runs.trace_view import drawn_from
from components.ui.colors import NEUTRAL, token_colours
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, short
from components.ui.plots import style
from components.ui.templates import quote, templates
from pipelines.image.prompt_lab import Batch, Pictures
from pipelines.image.prompt_words import said, words_of
from pipelines.image.request import ImageRequest
from pipelines.serving import catalogue
from pipelines.text.tokens import colour_keys, token_view

_html = templates("prompt_lab/view.html")
_ROW = 34  # px of one word's bar
_LONG = 28  # characters of a word that are shown


def shortened(text: str, most: int = _LONG) -> str:
    """A text that fits its place."""
    return text if len(text) <= most else text[: most - 1] + "…"


def bare(word: str) -> str:
    """A word without the marks around it, fit for a label."""
    return shortened(word.strip(".,;:!?") or word)


@dataclass(frozen=True)
class Card:
    """One picture with its word.

    Attributes:
        word: that was changed, as it is shown; "" where none was.
        source: address of the picture; "" before the first step.
        reference: whether it is the prompt as it was.
        dimension, value, title: the word that a click takes, and its prompt; no click without a title.
        meter: how far the picture is from the reference, in per cent; "" for the reference itself.
        lines: what was measured.
    """

    word: str
    source: str
    alt: str
    reference: bool
    dimension: str = ""
    value: str = ""
    title: str = ""
    meter: str = ""
    lines: tuple[str, ...] = ()


def idle_html(text: str) -> Markup:
    """What stands in the place of a view that nobody has asked for yet."""
    return _html.facts(text)


def facts_html(request: ImageRequest, t: Texts, key: str = "facts") -> Markup:
    """Which run is shown, in one line; it need not be what the bar says by now.

    Args:
        key: "facts" with the prompt, "facts_measures" explaining the measures too, "facts_short".
    """
    mark = Markup("") if key == "facts_short" else drawn_from(request)  # pairs have prompts of their own
    return mark + _html.facts(t.html(
        f"prompt_lab.{key}",
        prompt=quote(shortened(request.prompt, 200)), seed=request.seed, steps=request.num_inference_steps,
        scale=short(request.guidance_scale, t), model=catalogue.entry(request.model).title,
    ))  # fmt: skip


def running_bar(done: int, total: int, t: Texts) -> Markup:
    """How far a batch is, and the button that stops it."""
    return _html.running_bar(done, total, t)


def stopped_note(done: int, total: int, t: Texts) -> Markup:
    """Where a run was stopped; nothing for one that went to its end."""
    if done == total:
        return Markup()
    return _html.result(t("prompt_lab.stopped", step=done, total=total))


# One dimension, one value after another --------------------------------------------------------


def variants_running(batch: Batch, dimension: str, sources: Sequence[str], done: int, t: Texts) -> Markup:
    """The grid while it draws; `sources` is empty before the first step."""
    cards = [
        Card(shortened(word), sources[i] if sources else "", word, i == 0)
        for i, word in enumerate(batch.words)
    ]
    name = t(f"prompt_lab.dimension.{dimension}")
    return running_bar(done, batch.requests[0].num_inference_steps, t) + _html.variants(cards, name, t)


def variants_view(request: ImageRequest, dimension: str, pictures: Pictures, t: Texts) -> Markup:
    """The grid when it is done; a click on a picture takes its word into the prompt.

    Args:
        request: of the run.
        dimension: which was varied.
        pictures: the first is the prompt as it was.
    """
    cards = [_variant(pictures, dimension, i, t) for i in range(len(pictures.words))]
    named = {phrase.value for phrase in said(request.prompt, dimension)}
    shown = {*pictures.words, *named}
    rest = [word for value, word in words_of(dimension).items() if value not in shown]
    return (
        stopped_note(pictures.done, pictures.total, t)
        + _html.variants(cards, t(f"prompt_lab.dimension.{dimension}"), t)
        + (_html.rest(rest, t) if rest else "")
        + facts_html(request, t, "facts_measures")
    )


def _variant(pictures: Pictures, dimension: str, i: int, t: Texts) -> Card:
    word, prompt = pictures.words[i], shortened(pictures.prompts[i], 200)
    away = float(pictures.clip_distance[i])
    lines = [t("prompt_lab.score", score=fixed(float(pictures.clip_scores[i]), t))]
    if i:
        pixels = short(float(pictures.pixel_distance[i]), t, 0)
        lines[:0] = [t("prompt_lab.distance", clip=fixed(away, t)), t("prompt_lab.pixels", pixels=pixels)]
    return Card(
        shortened(word), encode(pictures.images[i]), t("prompt_lab.picture_alt", prompt=prompt), i == 0,
        dimension, word, prompt, f"{100 * min(max(away, 0), 1):.1f}" if i else "", tuple(lines),
    )  # fmt: skip


# One word left out after another ---------------------------------------------------------------


def word_colours(prompt: str, words: Sequence[str], model: str) -> list[str]:
    """The colour of each word's first token, as in every other tab.

    Args:
        prompt: the whole prompt.
        words: its first words, as `str.split` gives them.
        model: catalogue id whose tokenizer decides.
    """
    pieces = [p for p in token_view(prompt, model).pieces if not p.special]
    colours = token_colours(colour_keys(pieces))
    out, at = [], 0
    for word in words:
        rest, first = word.casefold(), None
        while at < len(pieces) and rest.startswith(pieces[at].text.casefold()):
            first = colours[at] if first is None else first
            rest = rest[len(pieces[at].text) :]
            at += 1
        out.append(first or NEUTRAL)
    return out


def without_running(batch: Batch, sources: Sequence[str], done: int, t: Texts) -> Markup:
    """The row while it draws."""
    cards = [
        Card(bare(word), sources[i] if sources else "", word, not word) for i, word in enumerate(batch.words)
    ]
    return running_bar(done, batch.requests[0].num_inference_steps, t) + _html.without(cards, t)


def without_view(request: ImageRequest, pictures: Pictures, t: Texts) -> Markup:
    """The pictures of the prompt without each word, in reading order, and which word mattered most."""
    cards = []
    for word, image, prompt in zip(pictures.words, pictures.images, pictures.prompts, strict=True):
        alt = t("prompt_lab.picture_alt", prompt=shortened(prompt, 200))
        cards.append(Card(bare(word), encode(image), alt, not word))
    return (
        stopped_note(pictures.done, pictures.total, t)
        + _html.without(cards, t)
        + _verdict(request, pictures, t)
        + facts_html(request, t)
    )


def score_drop(pictures: Pictures) -> list[float]:
    """How far CLIP's score for the whole prompt falls when a word is left out, per left-out word."""
    whole = float(pictures.reference_scores[0])
    return [whole - float(score) for score in pictures.reference_scores[1:]]


def _verdict(request: ImageRequest, pictures: Pictures, t: Texts) -> Markup:
    drops = score_drop(pictures)
    by_picture = int(pictures.clip_distance[1:].argmax())
    by_score = max(range(len(drops)), key=drops.__getitem__)
    shown, count = len(drops), len(request.prompt.split())
    return _html.verdict(
        agree=by_picture == by_score, by_picture=bare(pictures.words[1 + by_picture]),
        by_score=bare(pictures.words[1 + by_score]),
        distance=fixed(float(pictures.clip_distance[1 + by_picture]), t), drop=fixed(drops[by_score], t),
        cut=t("prompt_lab.words_cut", shown=shown, count=count) if count > shown else "", t=t,
    )  # fmt: skip


def without_figure(pictures: Pictures, model: str, t: Texts) -> go.Figure:
    """Two bars per word in reading order: how far the picture moved, how far CLIP's score fell."""
    words = pictures.words[1:]
    colours = word_colours(pictures.prompts[0], words, model)
    labels = [html_escape(shortened(bare(word), 16)) for word in words]
    places = list(range(len(words)))
    figure = make_subplots(
        rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.06,
        subplot_titles=(t("prompt_lab.bar_distance"), t("prompt_lab.bar_drop")),
    )  # fmt: skip
    columns = (pictures.clip_distance[1:].tolist(), score_drop(pictures))
    for column, values in enumerate(columns, 1):
        bars = go.Bar(
            x=values, y=places, orientation="h", marker={"color": colours}, customdata=labels,
            hovertemplate="%{customdata}: %{x:.3f}<extra></extra>",
        )  # fmt: skip
        figure.add_trace(bars, row=1, col=column)
    figure = style(figure, t, height=90 + _ROW * len(words))
    drops = columns[1]
    figure.update_layout(showlegend=False, margin={"l": 8, "r": 12, "t": 44, "b": 8}, bargap=0.25)
    figure.update_yaxes(
        tickvals=places, ticktext=labels, autorange="reversed", showgrid=False, zeroline=False
    )
    figure.update_yaxes(tickfont={"size": 17}, col=1)
    figure.update_xaxes(range=[0, max(1.0, *columns[0])], col=1)
    figure.update_xaxes(range=[min(-0.1, *drops) * 1.05, max(0.5, *drops) * 1.05], zerolinewidth=2, col=2)
    figure.update_annotations(font={"size": 16})
    return figure
