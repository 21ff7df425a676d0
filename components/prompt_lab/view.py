"""What the prompt lab shows: pictures of one seed with the changed word, and how far apart they are."""

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from components.runs.frames import encode
from components.ui.colors import NEUTRAL, token_colours
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, short
from components.ui.plots import style
from pipelines.image.image import ImageRequest
from pipelines.image.prompt_lab import Batch, Pictures
from pipelines.image.prompt_words import said, words_of
from pipelines.serving import models
from pipelines.text.tokens import colour_keys, token_view

_ROW = 34  # px of one word's bar
_LONG = 28  # characters of a word that are shown


def shortened(text: str, most: int = _LONG) -> str:
    """A text that fits its place."""
    return text if len(text) <= most else text[: most - 1] + "…"


def bare(word: str) -> str:
    """A word without the marks around it, fit for a label."""
    return shortened(word.strip(".,;:!?") or word)


def facts_html(request: ImageRequest, t: Texts, key: str = "facts") -> str:
    """Which run is shown, in one line; it need not be what the bar says by now.

    Args:
        request: of the run.
        t: texts.
        key: "facts" with the prompt, "facts_measures" explaining the measures too, "facts_short".
    """
    text = t(
        f"prompt_lab.{key}",
        prompt=shortened(request.prompt, 200), seed=request.seed, steps=request.num_inference_steps,
        scale=short(request.guidance_scale, t), model=models.entry(request.model).title,
    )  # fmt: skip
    return f'<p class="pl-facts">{html_escape(text)}</p>'


def running_bar(done: int, total: int, t: Texts) -> str:
    """How far a batch is, and the button that stops it."""
    text = html_escape(t("prompt_lab.step", step=done, total=total))
    return (
        f'<div class="pl-bar" role="status" data-state="running"><span>{text}</span>'
        f'<progress max="{total}" value="{done}"></progress>'
        f'<button type="button" class="pl-stop" data-stop>{html_escape(t("prompt_lab.stop"))}</button></div>'
    )


def stopped_note(pictures: Pictures, t: Texts) -> str:
    """Where a run was stopped; nothing for one that went to its end."""
    if pictures.done == pictures.total:
        return ""
    text = t("prompt_lab.stopped", step=pictures.done, total=pictures.total)
    return f'<p class="pl-result">{html_escape(text)}</p>'


def label_of(word: str, reference: bool, t: Texts) -> str:
    """The changed word of a picture as HTML."""
    text = html_escape(shortened(word)) if word else f"<i>{html_escape(t('prompt_lab.no_word'))}</i>"
    return f"{text} <i>({html_escape(t('prompt_lab.now'))})</i>" if reference else text


def _card(label: str, source: str, below: str, alt: str, attributes: str = "", kind: str = "") -> str:
    """One picture with its word; a button where a click takes the word."""
    tag = 'button type="button"' if "data-value" in attributes else "div"
    picture = f'<img src="{source}" alt="{html_escape(alt)}">' if source else '<span class="pl-hole"></span>'
    return f'<{tag} class="pl-card {kind}"{attributes}>{picture}<b>{label}</b>{below}</{tag.split()[0]}>'


def meter(value: float, most: float, colour: str = "") -> str:
    """A small bar, full at `most`."""
    tint = f";--c:{colour}" if colour else ""
    width = 100 * min(max(value / most, 0), 1) if most else 0
    return f'<span class="pl-meter"><span style="width:{width:.1f}%{tint}"></span></span>'


def side_of(count: int) -> int:
    """Smallest width of a picture, px, so that a few are large and many still fit."""
    return 160 if count <= 4 else 140


def _grid(cells: Sequence[str], label: str) -> str:
    return (
        f'<div class="pl-grid" role="group" aria-label="{html_escape(label)}" '
        f'style="--side:{side_of(len(cells))}px">{"".join(cells)}</div>'
    )


# One dimension, one value after another --------------------------------------------------------


def variants_running(batch: Batch, dimension: str, sources: Sequence[str], done: int, t: Texts) -> str:
    """The grid while it draws; `sources` is empty before the first step."""
    total = batch.requests[0].num_inference_steps
    cells = []
    for i, word in enumerate(batch.words):
        source = sources[i] if sources else ""
        cells.append(_card(label_of(word, i == 0, t), source, "", word, kind="pl-reference" if not i else ""))
    name = t(f"prompt_lab.dimension.{dimension}")
    return running_bar(done, total, t) + _grid(cells, name)


def variants_view(request: ImageRequest, dimension: str, pictures: Pictures, t: Texts) -> str:
    """The grid when it is done; a click on a picture takes its word into the prompt.

    Args:
        request: of the run.
        dimension: which was varied.
        pictures: the first is the prompt as it was.
        t: texts.
    """
    cells = []
    for i, word in enumerate(pictures.words):
        score = fixed(float(pictures.clip_scores[i]), t)
        away = float(pictures.clip_distance[i])
        lines = [t("prompt_lab.score", score=score)]
        if i:
            pixels = short(float(pictures.pixel_distance[i]), t, 0)
            lines[:0] = [
                t("prompt_lab.distance", clip=fixed(away, t)),
                t("prompt_lab.pixels", pixels=pixels),
            ]
        below = (meter(away, 1.0) if i else "") + "".join(
            f"<small>{html_escape(line)}</small>" for line in lines
        )
        title = html_escape(shortened(pictures.prompts[i], 200))
        attributes = f' data-dimension="{dimension}" data-value="{html_escape(word)}" title="{title}"'
        alt = t("prompt_lab.picture_alt", prompt=shortened(pictures.prompts[i], 200))
        label = label_of(word, i == 0, t)
        kind = "pl-reference" if i == 0 else ""
        cells.append(_card(label, encode(pictures.images[i]), below, alt, attributes, kind))
    name = t(f"prompt_lab.dimension.{dimension}")
    rest = _rest_note(request.prompt, dimension, pictures.words, t)
    return stopped_note(pictures, t) + _grid(cells, name) + rest + facts_html(request, t, "facts_measures")


def _rest_note(prompt: str, dimension: str, drawn: Sequence[str], t: Texts) -> str:
    """Which words of the dimension one click did not draw; empty if it drew all."""
    named = {phrase.value for phrase in said(prompt, dimension)}
    rest = [word for value, word in words_of(dimension).items() if value not in {*drawn, *named}]
    if not rest:
        return ""
    sentence = t("prompt_lab.grid_rest", count=len(rest), words=", ".join(rest))
    return f'<p class="pl-rest">{html_escape(sentence)}</p>'


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


def without_running(batch: Batch, sources: Sequence[str], done: int, t: Texts) -> str:
    """The row while it draws."""
    cells = [
        _card(_without_label(word, t), sources[i] if sources else "", "", word,
              kind="" if word else "pl-reference")
        for i, word in enumerate(batch.words)
    ]  # fmt: skip
    return running_bar(done, batch.requests[0].num_inference_steps, t) + _grid(
        cells, t("prompt_lab.without_title")
    )


def _without_label(word: str, t: Texts) -> str:
    if not word:
        return html_escape(t("prompt_lab.whole"))
    return f"<i>{html_escape(t('prompt_lab.without'))}</i> <s>{html_escape(bare(word))}</s>"


def without_view(request: ImageRequest, pictures: Pictures, t: Texts) -> str:
    """The pictures of the prompt without each word, in reading order, and which word mattered most."""
    cells = []
    for i, word in enumerate(pictures.words):
        alt = t("prompt_lab.picture_alt", prompt=shortened(pictures.prompts[i], 200))
        cells.append(
            _card(_without_label(word, t), encode(pictures.images[i]), "", alt,
                  kind="" if word else "pl-reference")
        )  # fmt: skip
    shown, all_words = len(pictures.words) - 1, len(request.prompt.split())
    cut = t("prompt_lab.words_cut", shown=shown, count=all_words) if all_words > shown else ""
    return (
        stopped_note(pictures, t)
        + _grid(cells, t("prompt_lab.without_title"))
        + f'<p class="pl-result">{_verdict(pictures, t)} {html_escape(cut)}</p>'
        + facts_html(request, t)
    )


def score_drop(pictures: Pictures) -> list[float]:
    """How far CLIP's score for the whole prompt falls when a word is left out, per left-out word."""
    whole = float(pictures.reference_scores[0])
    return [whole - float(score) for score in pictures.reference_scores[1:]]


def _verdict(pictures: Pictures, t: Texts) -> str:
    drops = score_drop(pictures)
    by_picture = int(pictures.clip_distance[1:].argmax())
    by_score = max(range(len(drops)), key=drops.__getitem__)
    first, second = (html_escape(bare(pictures.words[1 + i])) for i in (by_picture, by_score))
    values = {
        "distance": fixed(float(pictures.clip_distance[1 + by_picture]), t),
        "drop": fixed(drops[by_score], t),
    }
    if by_picture == by_score:
        return t("prompt_lab.verdict_agree", word=f"<b>{first}</b>", **values)
    return t("prompt_lab.verdict_differ", first=f"<b>{first}</b>", second=f"<b>{second}</b>", **values)


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


def idle_html(text: str) -> str:
    """What stands in the place of a view that nobody has asked for yet."""
    return f'<p class="pl-facts">{html_escape(text)}</p>'
