"""The builder of the prompt lab: a row of words per thing that a prompt can control."""

from collections.abc import Container, Mapping
from typing import Any

from markupsafe import Markup

from components.ui.language import Texts
from components.ui.templates import templates
from components.ui.token_text import unread_words
from pipelines.image.prompt_words import (
    DEFECTS,
    DIMENSIONS,
    WordChange,
    change_between,
    defects_of,
    said,
    toggled_defect,
    with_value,
    without_value,
    words_of,
)
from pipelines.serving import catalogue

_html = templates("prompt_lab/view.html")
NEGATIVE = "negative"  # the row that writes into the negative prompt
MAX_SHOWN = 300  # characters of a prompt around the change


def clicked(prompt: str, negative: str, dimension: str, value: str) -> tuple[str, str]:
    """Prompt and negative prompt after a click on a word.

    Args:
        prompt: as it stands in the bar.
        negative: as it stands in the bar.
        dimension: one of `DIMENSIONS`, or `NEGATIVE`.
        value: of that dimension; one that the text names already is taken out.

    Raises:
        InputError: `dimension_unknown` or `word_unknown`.
    """
    if dimension == NEGATIVE:
        return prompt, toggled_defect(negative, value)
    if any(phrase.value == value for phrase in said(prompt, dimension)):
        return without_value(prompt, dimension, value), negative
    return with_value(prompt, dimension, value), negative


def name_of(value: str, t: Texts) -> str:
    """What a value means in the page's language; "" where the texts do not say."""
    return t.entries.get(f"prompt_lab.meaning.{value}", "")


def _row(dimension: str, words: Mapping[str, str], pressed: Container[object], chosen: str, t: Texts) -> Any:
    """A row of words by value, for the template."""
    return {
        "dimension": dimension, "label": t(f"prompt_lab.dimension.{dimension}"),
        "drawable": dimension != NEGATIVE, "chosen": dimension == chosen,
        "chips": [(value, word, _meaning(value, word, t), value in pressed) for value, word in words.items()],
    }  # fmt: skip


def _meaning(value: str, word: str, t: Texts) -> str:
    """What a word means in the page's language, where that is another word."""
    meaning = name_of(value, t)
    return "" if meaning == word else meaning


def builder_html(
    prompt: str, negative: str, chosen: str, changed: tuple[str, str] | None, t: Texts, model: str = ""
) -> Markup:
    """All rows of words, those of the prompt pressed, and what the last click changed.

    Args:
        prompt: as it stands in the bar.
        negative: as it stands in the bar.
        chosen: the dimension that was touched last.
        changed: the prompt before and after the last click, or None.
        model: id of the one that draws, whose unread words are named; "" for the preselected one.
    """
    rows = []
    for dimension in DIMENSIONS:
        named = {phrase.value for phrase in said(prompt, dimension)}
        rows.append(_row(dimension, words_of(dimension), named, chosen, t))
    rows.append(_row(NEGATIVE, DEFECTS, defects_of(negative), chosen, t))
    is_news = changed is not None and changed[1] == prompt != changed[0]
    shown = marked(change_between(*changed)) if changed and is_news else ""
    never_read = unread_words(prompt, model or catalogue.default_id("image"), t)
    return _html.builder(rows, shown, negative[:MAX_SHOWN] if negative.strip() else "", never_read, t)


def marked(change: WordChange) -> Markup:
    """A change as HTML; of long prompts only the surroundings of the change."""
    half = MAX_SHOWN // 2
    head = ("… " if len(change.head) > half else "") + change.head[-half:]
    tail = change.tail[:half] + (" …" if len(change.tail) > half else "")
    return _html.marked(head, change.before, change.after, tail)
