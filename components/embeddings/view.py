"""The parts of the embeddings tab that are neither figures nor controls."""

from collections.abc import Sequence
from typing import NamedTuple

from components.embeddings.figures import group_colours, thumb, value_of, values_of
from components.ui.colors import COLOUR_A, COLOUR_B
from components.ui.language import Texts
from components.ui.numbers import fixed, percent
from components.ui.templates import quote, templates
from components.ui.token_text import style_of
from pipelines.clip.directions import Direction, Exchange
from pipelines.clip.embeddings import Arithmetic, Difference, Embedding
from pipelines.clip.projections import Projection
from pipelines.clip.world_texts import ShortText, WorldText, map_texts, short_texts
from pipelines.world.captions import Facts, parse

_SHOWN = 8  # candidates of the arithmetic


class _Card(NamedTuple):
    """A text of the world with its picture; `kind` is a class, `note` stands beneath the number."""

    text: str
    picture: str
    number: str
    kind: str = ""
    note: str = ""


def _card(world: WorldText, cosine: float, t: Texts, kind: str = "", note: str = "") -> _Card:
    return _Card(world.text, thumb(world), fixed(cosine, t), kind, note)


def message_html(text: str) -> str:
    """A calm sentence where a result would stand."""
    return templates("embeddings/view.html").message(text)


def neighbours_html(embeddings: Sequence[Embedding], suggested: bool, cosine: float, t: Texts) -> str:
    """Each prompt with its nearest short phrases as pictures, and how near the two prompts are.

    Args:
        embeddings: A and B.
        suggested: B was made up, since nobody has typed a second prompt.
        cosine: of A and B.
    """
    a, b = embeddings
    prompts = [
        (letter, style_of(colour), e.prompt, is_made_up, [_card(n.world, n.cosine, t) for n in e.phrases])
        for letter, colour, e, is_made_up in (("A", COLOUR_A, a, False), ("B", COLOUR_B, b, suggested))
    ]
    return templates("embeddings/view.html").neighbours(prompts, fixed(cosine, t), len(short_texts()), t)


def legend_html(grouping: str, t: Texts) -> str:
    """What the frames of the pictures mean."""
    colours = group_colours(grouping)
    said = {value_of(w.facts, grouping) for w in map_texts()}
    names = [(value, colours[value]) for value in values_of(grouping) if value in said]
    if None in said and grouping != "none":
        names.append((t("embeddings.not_said"), colours[None]))
    return templates("embeddings/view.html").legend(names)


def map_note(projection: Projection, t: Texts) -> str:
    """How much the map shows of the real distances, measured."""
    kept = percent(projection.kept, t)
    if projection.explained is None:
        text = t(f"embeddings.map_{projection.method}", kept=kept)
    else:
        share, axes = percent(projection.explained, t), projection.world.shape[1]
        text = t("embeddings.map_pca", share=share, axes=axes, kept=kept)
    return templates("embeddings/view.html").hint(text)


def difference_html(difference: Difference, t: Texts) -> str:
    """The difference in one sentence."""
    if not difference.words:
        return message_html(t("embeddings.no_difference"))
    text = t.html(
        "embeddings.difference",
        length=fixed(difference.length, t),
        towards=quote(difference.words[0].value),
        away=quote(difference.words[-1].value),
    )
    return templates("embeddings/view.html").result(text)


def direction_html(direction: Direction, sentences: bool, exchange: Exchange | None, t: Texts) -> str:
    """The two figures of a direction, with what chance would give.

    Args:
        exchange: of a relation, what its direction cannot tell.
    """
    transfer = direction.transfer
    count, right = len(transfer.ordered), int(transfer.ordered.sum())
    setting = t("embeddings.tested_sentences" if sentences else "embeddings.tested_short")
    verdict = t.html(
        "embeddings.direction_verdict",
        plus=quote(direction.plus), minus=quote(direction.minus), right=right, count=count, setting=setting,
    )  # fmt: skip
    figures = (
        (f"{right}/{count}", t("embeddings.direction_share")),
        (fixed(float(transfer.cosine.mean()), t), t("embeddings.direction_cosine")),
    )
    limit = ""
    if exchange is not None:
        one, other = map(quote, exchange.texts)
        limit = t.html(
            "embeddings.direction_exchange", plus=quote(direction.plus), minus=quote(direction.minus),
            one=one, other=other, exchanged=fixed(exchange.exchanged, t), related=fixed(exchange.related, t),
        )  # fmt: skip
    return templates("embeddings/view.html").direction(verdict, figures, limit)


def _pictured(text: str) -> ShortText | None:
    """The short phrase that says just what a text says, if there is one."""
    facts = parse(text)
    return next((s for s in short_texts() if facts != Facts() and s.world.facts == facts), None)


def _term(text: str) -> tuple[str, str]:
    """A text with its picture, if it has one."""
    short = _pictured(text)
    return thumb(short.world) if short else "", text.strip()


def equation_html(terms: tuple[str, str, str], result: Arithmetic, t: Texts) -> str:
    """The calculation in pictures, and the ranking behind its answer."""
    cards = []
    for c in result.candidates[:_SHOWN]:
        kind = "em-out" if c.is_input else "em-won" if c is result.answer else ""
        note = t("embeddings.is_input") if c.is_input else ""
        cards.append(_card(c.short.world, c.cosine, t, kind, note))
    shown = map(_term, (*terms, result.answer.short.world.text))
    verdict = _exclusion(terms, result, t)
    return templates("embeddings/view.html").equation(*shown, len(result.candidates), cards, verdict, t)


def _exclusion(terms: tuple[str, str, str], result: Arithmetic, t: Texts) -> str:
    """What leaving out the inputs did to the answer, and what no calculation would have answered."""
    first, answer = result.candidates[0], result.answer
    plain = t.html("embeddings.plain", plus=quote(terms[2].strip()), plain=quote(result.plain.world.text))
    key = "exclusion_mattered" if first.is_input else "exclusion_idle"
    values = {"first": quote(first.short.world.text), "answer": quote(answer.short.world.text)}
    return t.html(f"embeddings.{key}", **values) + " " + plain
