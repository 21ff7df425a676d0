"""The parts of the embeddings tab that are neither figures nor controls."""

from collections.abc import Sequence
from pathlib import Path

from components.embeddings.figures import group_colours, thumb, value_of, values_of
from components.ui.colors import COLOUR_A, COLOUR_B
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, percent
from pipelines.clip.directions import Direction
from pipelines.clip.embeddings import Arithmetic, Difference, Embedding
from pipelines.clip.projections import Projection
from pipelines.clip.world_texts import ShortText, map_texts, short_texts
from pipelines.world.captions import Facts, parse

_SHOWN = 8  # candidates of the arithmetic
STYLE = f"<style>{(Path(__file__).parent / 'view.css').read_text('utf-8')}</style>"


def message_html(text: str) -> str:
    """A calm sentence where a result would stand."""
    return f'<p class="em-message" role="status">{html_escape(text)}</p>'


def _card(picture: str, text: str, below: str, classes: str = "") -> str:
    return (
        f'<li class="em-card {classes}" title="{html_escape(text)}">'
        f'<img src="{picture}" alt="" width="64" height="64">'
        f"<b>{below}</b><span>{html_escape(text)}</span></li>"
    )


def badge(letter: str) -> str:
    """The letter of a prompt in its colour, as on the map."""
    colour = COLOUR_A if letter == "A" else COLOUR_B
    return f'<span class="em-badge" style="background:{colour}">{letter}</span>'


def neighbours_html(embeddings: Sequence[Embedding], suggested: bool, cosine: float, t: Texts) -> str:
    """Each prompt with its nearest captions as pictures, and how near the two prompts are.

    Args:
        embeddings: A and B.
        suggested: B was made up, since nobody has typed a second prompt.
        cosine: of A and B.
        t: texts.
    """
    blocks = []
    for letter, e in zip("AB", embeddings, strict=True):
        cards = "".join(_card(thumb(n.world), n.world.text, fixed(n.cosine, t)) for n in e.neighbours)
        label = html_escape(t("embeddings.neighbours_of", letter=letter))
        made_up = f" <small>{html_escape(t('embeddings.suggestion'))}</small>"
        made_up = made_up if suggested and letter == "B" else ""
        blocks.append(
            f'<p class="em-prompt">{badge(letter)}<span>{html_escape(e.prompt)}{made_up}</span></p>'
            f'<ol class="em-cards" aria-label="{label}">{cards}</ol>'
        )
    number = (
        f'<p class="em-number"><b>{fixed(cosine, t)}</b>'
        f"<span>{html_escape(t('embeddings.cosine_ab'))}</span></p>"
    )
    intro = f'<p class="em-hint">{html_escape(t("embeddings.neighbours"))}</p>'
    return f'<div class="em-near">{intro}{"".join(blocks)}{number}</div>'


def legend_html(grouping: str, t: Texts) -> str:
    """What the frames of the pictures mean."""
    colours = group_colours(grouping)
    said = {value_of(w.facts, grouping) for w in map_texts()}
    names: list[tuple[str | None, str]] = [(v, v) for v in values_of(grouping) if v in said]
    if None in said and grouping != "none":
        names.append((None, t("embeddings.not_said")))
    chips = "".join(
        f'<li><i style="background:{colours[value]}"></i>{html_escape(name)}</li>' for value, name in names
    )
    return f'<ul class="em-legend">{chips}</ul>'


def map_note(projection: Projection, t: Texts) -> str:
    """How much the map shows of the real distances, measured."""
    kept = percent(projection.kept, t)
    if projection.explained is None:
        text = t(f"embeddings.map_{projection.method}", kept=kept)
    else:
        share, axes = percent(projection.explained, t), projection.world.shape[1]
        text = t("embeddings.map_pca", share=share, axes=axes, kept=kept)
    return f'<p class="em-hint">{html_escape(text)}</p>'


def difference_html(difference: Difference, t: Texts) -> str:
    """The difference in one sentence."""
    if not difference.words:
        return message_html(t("embeddings.no_difference"))
    text = t(
        "embeddings.difference",
        length=fixed(difference.length, t),
        towards=difference.words[0].value,
        away=difference.words[-1].value,
    )
    return f'<p class="em-result">{html_escape(text)}</p>'


def direction_html(direction: Direction, sentences: bool, t: Texts) -> str:
    """The two figures of a direction, with what chance would give."""
    transfer = direction.transfer
    count, right = len(transfer.ordered), int(transfer.ordered.sum())
    setting = t("embeddings.tested_sentences" if sentences else "embeddings.tested_short")
    verdict = t(
        "embeddings.direction_verdict",
        plus=direction.plus, minus=direction.minus, right=right, count=count, setting=setting,
    )  # fmt: skip
    numbers = (
        (f"{right}/{count}", t("embeddings.direction_share")),
        (fixed(float(transfer.cosine.mean()), t), t("embeddings.direction_cosine")),
    )
    cells = "".join(f"<div><b>{value}</b><span>{html_escape(label)}</span></div>" for value, label in numbers)
    return f'<p class="em-result">{html_escape(verdict)}</p><div class="em-figures">{cells}</div>'


def _pictured(text: str) -> ShortText | None:
    """The short phrase that says just what a text says, if there is one."""
    facts = parse(text)
    return next((s for s in short_texts() if facts != Facts() and s.world.facts == facts), None)


def _term(text: str) -> str:
    short = _pictured(text)
    image = '<i class="em-blank"></i>'
    if short is not None:
        image = f'<img src="{thumb(short.world)}" alt="" width="96" height="96">'
    return f"<figure>{image}<figcaption>{html_escape(text.strip())}</figcaption></figure>"


def equation_html(terms: tuple[str, str, str], result: Arithmetic, t: Texts) -> str:
    """The calculation in pictures, and the ranking behind its answer."""
    start, minus, plus = map(_term, terms)
    answer = result.answer
    equation = (
        f'<div class="em-equation" role="group" aria-label="{html_escape(t("embeddings.equation_alt"))}">'
        f'{start}<span>−</span>{minus}<span>+</span>{plus}<span>≈</span>'
        f'<div class="em-answer">{_term(answer.short.world.text)}</div></div>'
    )  # fmt: skip
    cards = []
    for candidate in result.candidates[:_SHOWN]:
        left_out = f"<small>{html_escape(t('embeddings.is_input'))}</small>" if candidate.is_input else ""
        classes = "em-out" if candidate.is_input else "em-won" if candidate is answer else ""
        below = fixed(candidate.cosine, t) + left_out
        cards.append(_card(thumb(candidate.short.world), candidate.short.world.text, below, classes))
    return (
        equation
        + f"<h4>{html_escape(t('embeddings.ranking', count=len(result.candidates)))}</h4>"
        + f'<ol class="em-cards em-ranking">{"".join(cards)}</ol>'
        + f'<p class="em-result">{html_escape(_exclusion(terms, result, t))}</p>'
    )


def _exclusion(terms: tuple[str, str, str], result: Arithmetic, t: Texts) -> str:
    """What leaving out the inputs did to the answer, and what no calculation would have answered."""
    first, answer = result.candidates[0], result.answer
    plain = t("embeddings.plain", plus=terms[2].strip(), plain=result.plain.world.text)
    key = "exclusion_mattered" if first.is_input else "exclusion_idle"
    return f"{t(f'embeddings.{key}', first=first.short.world.text, answer=answer.short.world.text)} {plain}"
