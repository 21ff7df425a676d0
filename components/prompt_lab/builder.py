"""The builder of the prompt lab: a row of words per thing that a prompt can control."""

from components.ui.language import Texts
from components.ui.layout import html_escape
from pipelines.image.prompt_words import (
    DEFECTS,
    DIMENSIONS,
    Change,
    change_between,
    defects_of,
    said,
    toggled_defect,
    with_value,
    without_value,
    words_of,
)

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


def _chip(dimension: str, value: str, word: str, pressed: bool, t: Texts) -> str:
    meaning = name_of(value, t)
    small = f" <small>{html_escape(meaning)}</small>" if meaning and meaning != word else ""
    hint = html_escape(t("prompt_lab.chip_out" if pressed else "prompt_lab.chip_in", word=word))
    return (
        f'<button type="button" class="pl-chip" data-dimension="{dimension}" '
        f'data-value="{html_escape(value)}" aria-pressed="{str(pressed).lower()}" title="{hint}">'
        f"{html_escape(word)}{small}</button>"
    )


def _row(dimension: str, chips: str, chosen: bool, t: Texts) -> str:
    label = html_escape(t(f"prompt_lab.dimension.{dimension}"))
    if dimension == NEGATIVE:
        head = f'<span class="pl-dim">{label}</span>'
    else:
        hint = html_escape(t("prompt_lab.draw_row", dimension=t(f"prompt_lab.dimension.{dimension}")))
        head = f'<button type="button" class="pl-dim" data-draw="{dimension}" title="{hint}">{label}</button>'
    kind = "pl-line pl-chosen" if chosen else "pl-line"
    body = f'{head}<div class="pl-chips">{chips}</div>'
    return f'<div class="{kind}" role="group" aria-label="{label}">{body}</div>'


def builder_html(prompt: str, negative: str, chosen: str, changed: tuple[str, str] | None, t: Texts) -> str:
    """All rows of words, those of the prompt pressed, and what the last click changed.

    Args:
        prompt: as it stands in the bar.
        negative: as it stands in the bar.
        chosen: the dimension that was touched last.
        changed: the prompt before and after the last click, or None.
        t: texts.
    """
    rows = []
    for dimension in DIMENSIONS:
        named = {phrase.value for phrase in said(prompt, dimension)}
        chips = (
            _chip(dimension, value, word, value in named, t) for value, word in words_of(dimension).items()
        )
        rows.append(_row(dimension, "".join(chips), dimension == chosen, t))
    away = defects_of(negative)
    chips = (_chip(NEGATIVE, value, word, value in away, t) for value, word in DEFECTS.items())
    rows.append(_row(NEGATIVE, "".join(chips), chosen == NEGATIVE, t))
    current = changed if changed is not None and changed[1] == prompt else None
    return f'{_change_html(current, negative, t)}<div class="pl-builder">{"".join(rows)}</div>'


def _change_html(changed: tuple[str, str] | None, negative: str, t: Texts) -> str:
    """Before and after in one line: what went struck through, what came marked."""
    if changed is None or changed[0] == changed[1]:
        body = f"<small>{html_escape(t('prompt_lab.change_idle'))}</small>"
    else:
        body = marked(change_between(*changed))
    away = html_escape(t("prompt_lab.away_from", text=negative[:MAX_SHOWN])) if negative.strip() else ""
    small = f'<span class="pl-away">{away}</span>' if away else ""
    return f'<div class="pl-change" role="status">{body}{small}</div>'


def marked(change: Change) -> str:
    """A change as HTML; of long prompts only the surroundings of the change."""
    half = MAX_SHOWN // 2
    head = ("… " if len(change.head) > half else "") + change.head[-half:]
    tail = change.tail[:half] + (" …" if len(change.tail) > half else "")
    went = f"<del>{html_escape(change.before)}</del>" if change.before else ""
    came = f"<ins>{html_escape(change.after)}</ins>" if change.after else ""
    between = " " if went and came else ""
    return f"{html_escape(head)}{went}{between}{came}{html_escape(tail)}"
