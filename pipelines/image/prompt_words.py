"""Finding one word of a prompt, and putting another in its place; the rest stays as it was typed.

The words are the world's (`pipelines.world.captions`). A text that says nothing of the world is
left alone: words are then added to its end.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.serving.errors import InputError
from pipelines.world import captions
from pipelines.world.captions import LEADING, Phrase, phrases, plural

MAX_WORDS = 12  # of a prompt that are left out one by one
_WORDINGS: dict[str, Mapping[str, tuple[str, ...]]] = {
    "content": captions.NOUN_WORDS,
    "size": captions.SIZE_WORDS,
    "colour": captions.COLOUR_WORDS,
    "relation": captions.RELATION_WORDS,
    "place": captions.PLACE_WORDS,
    "style": captions.STYLE_WORDS,
    "atmosphere": captions.ATMOSPHERE_WORDS,
    "composition": captions.COMPOSITION_WORDS,
}
DIMENSIONS = tuple(_WORDINGS)
DEFECTS = {value: words[0] for value, words in captions.DEFECT_WORDS.items()}
# What stands beside the first thing when a relation is asked for and there is only one thing.
_SECOND = ("house", "tree")
_LAST = r"[.!?,;:]"


@dataclass(frozen=True)
class WordChange:
    """Two texts that differ in one stretch, cut at blanks.

    Attributes:
        head: what both begin with.
        before, after: the stretch in each; one of them may be empty.
        tail: what both end with.
    """

    head: str
    before: str
    after: str
    tail: str


def words_of(dimension: str) -> dict[str, str]:
    """The values of a dimension, each with its usual wording.

    Raises:
        InputError: `dimension_unknown`.
    """
    if dimension not in DIMENSIONS:
        raise InputError("dimension_unknown", received=dimension, known=", ".join(DIMENSIONS))
    return {value: words[0] for value, words in _WORDINGS[dimension].items()}


def _kind(dimension: str) -> str:
    return "noun" if dimension == "content" else dimension


def said(text: str, dimension: str) -> list[Phrase]:
    """Where a text speaks of a dimension, in reading order."""
    return [phrase for phrase in phrases(text) if phrase.kind == _kind(dimension)]


def current(text: str, dimension: str) -> Phrase | None:
    """The phrase that a new value of the dimension takes the place of.

    Of several things the first counts, and what is said of it; of several places, lights or
    styles the last one does, as for `captions.parse`.
    """
    found = said(text, dimension)
    if dimension in ("size", "colour"):
        first = next(iter(said(text, "content")), None)
        found = [phrase for phrase in found if first is None or phrase.end <= first.start][-1:]
    if not found:
        return None
    return found[0] if dimension == "content" else found[-1]


def with_value(text: str, dimension: str, value: str) -> str:
    """The text with one word changed, so that it names this value.

    Args:
        text: any text.
        dimension: one of `DIMENSIONS`.
        value: one of its values.

    Returns:
        The text with the value's wording in the place of the one it had, or added where the
        world's captions have it.

    Raises:
        InputError: `dimension_unknown`, `word_unknown`.
    """
    words = words_of(dimension)
    if value not in words:
        raise InputError("word_unknown", received=value, known=", ".join(words))
    there = current(text, dimension)
    if there is None:
        return _added(text, dimension, words[value])
    if there.value == value:
        return text
    return _replaced(text, there, dimension, value)


def without_value(text: str, dimension: str, value: str) -> str:
    """The text without what it says of this value; a relation becomes "and".

    Raises:
        InputError: `dimension_unknown`.
    """
    words_of(dimension)
    found = [phrase for phrase in said(text, dimension) if phrase.value == value]
    if not found:
        return text
    if dimension == "content":
        return _without_thing(text, found[0])
    if dimension == "relation":
        return text[: found[0].start] + "and" + text[found[0].end :]
    lead = _lead(text, found[-1])
    return _cut(text, *lead) if lead else _cut(text, found[-1].start, found[-1].end)


def defects_of(text: str) -> set[str]:
    """The defects that a text names."""
    return {str(phrase.value) for phrase in phrases(text) if phrase.kind == "defect"}


def toggled_defect(negative: str, value: str) -> str:
    """A negative prompt with one defect named, or no longer named.

    Raises:
        InputError: `word_unknown`.
    """
    if value not in DEFECTS:
        raise InputError("word_unknown", received=value, known=", ".join(DEFECTS))
    found = [phrase for phrase in phrases(negative) if phrase.value == value]
    return _cut(negative, found[-1].start, found[-1].end) if found else _appended(negative, DEFECTS[value])


def without_word(text: str, index: int) -> str:
    """The text without one of its words (`text.split()`), the blanks of the others kept."""
    word = list(re.finditer(r"\S+", text))[index]
    left, right = text[: word.start()], text[word.end() :]
    return (left + right.lstrip() if right.strip() else left.rstrip()) or ""


def change_between(before: str, after: str) -> WordChange:
    """The one stretch in which two texts differ, widened to whole words."""
    old, new = (re.findall(r"\s+|\w+(?:-\w+)*|[^\w\s]", text) for text in (before, after))
    most = min(len(old), len(new))
    head = next((i for i in range(most) if old[i] != new[i]), most)
    tail = next((i for i in range(most - head) if old[-1 - i] != new[-1 - i]), most - head)
    ends = len(old) - tail, len(new) - tail
    return WordChange(
        "".join(old[:head]),
        "".join(old[head : ends[0]]),
        "".join(new[head : ends[1]]),
        "".join(old[ends[0] :]),
    )


def _cased(word: str, like: str) -> str:
    """A word in the case of another: small, Capital or ALL CAPITALS."""
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word[0].upper() + word[1:] if like[:1].isupper() else word


def _replaced(text: str, there: Phrase, dimension: str, value: str) -> str:
    old = text[there.start : there.end]
    word = _WORDINGS[dimension][value][0]
    if dimension == "content" and old.lower() in {plural(w) for w in _WORDINGS["content"][str(there.value)]}:
        counted = any(p.kind == "count" and p.value != 1 and p.end <= there.start for p in phrases(text))
        word = plural(word) if counted or old.lower() != str(there.value) else word
    lead = _lead(text, there)
    if lead:
        leading = next((w for w in _WORDINGS[dimension][value] if w in LEADING), None)
        if leading is None:  # "a photo of a cat" has no place for "surreal"
            return _added(_cut(text, *lead), dimension, word)
        word = leading
    return _articled(text[: there.start] + _cased(word, old) + text[there.end :], there.start)


def _lead(text: str, phrase: Phrase) -> tuple[int, int] | None:
    """Where "a photo of" stands, if the phrase is its middle."""
    article = re.search(r"\ban?\s+$", text[: phrase.start], re.IGNORECASE)
    of = re.match(r"\s+of\s+", text[phrase.end :], re.IGNORECASE)
    return (article.start(), phrase.end + of.end()) if article and of else None


def _articled(text: str, at: int) -> str:
    """The text with the right one of "a" and "an" before the word at a position."""
    before = re.search(r"\b(a|an)(\s+)$", text[:at], re.IGNORECASE)
    if before is None:
        return text
    article = "an" if text[at : at + 1].lower() in tuple("aeiou") else "a"
    return text[: before.start()] + _cased(article, before[1][:1]) + before[2] + text[at:]


def _added(text: str, dimension: str, word: str) -> str:
    things = said(text, "content")
    word = word.upper() if text.isupper() else word
    if dimension == "content":
        return _appended(text, ("an " if word[0] in "aeiou" else "a ") + word)
    if dimension == "place" and things:
        return text[: things[-1].end] + " " + word + text[things[-1].end :]
    if dimension == "relation" and things:
        return _related(text, things, word)
    if dimension in ("size", "colour") and things:
        return _described(text, things[0], dimension, word)
    return _appended(text, f"{word} a {_SECOND[0]}" if dimension == "relation" else word)


def _appended(text: str, word: str) -> str:
    """The word at the end: as a sentence where the text has sentences, after a comma otherwise."""
    rest = text.rstrip()
    if not rest:
        return word
    if re.search(r"[.!?]$", rest):
        return f"{rest} {word[0].upper()}{word[1:]}."
    return rest + (" " if re.search(_LAST + "$", rest) else ", ") + word


def _described(text: str, thing: Phrase, dimension: str, word: str) -> str:
    """A size or colour before the first thing; the size comes before the colour."""
    colour = current(text, "colour")
    at = colour.start if dimension == "size" and colour is not None else thing.start
    if not text[:at].strip() and text[at].isupper() and not text.isupper():  # it began the sentence
        return word[0].upper() + word[1:] + " " + text[at].lower() + text[at + 1 :]
    return _articled(text[:at] + word + " " + text[at:], at)


def _related(text: str, things: list[Phrase], word: str) -> str:
    """A relation between the first two things, or to a second one that is added."""
    first = things[0]
    if len(things) > 1:
        link = re.search(r"\band\b", text[first.end : things[1].start], re.IGNORECASE)
        if link:
            return text[: first.end + link.start()] + word + text[first.end + link.end() :]
    second = next(noun for noun in _SECOND if noun != first.value)
    return f"{text[: first.end]} {word} a {second}{text[first.end :]}"


def _thing_start(text: str, thing: Phrase) -> int:
    """Where a thing's own words begin: number, size and colour directly before it."""
    start = thing.start
    for phrase in reversed([p for p in phrases(text) if p.end <= thing.start]):
        if phrase.kind not in ("count", "size", "colour") or text[phrase.end : start].strip():
            break
        start = phrase.start
    return start


def _without_thing(text: str, thing: Phrase) -> str:
    """The text without a thing, its own words, and what tied it to the other thing."""
    things = said(text, "content")
    at = next(i for i, other in enumerate(things) if other.start == thing.start)
    if at > 0 and not re.search(r"[.,;]", text[things[at - 1].end : thing.start]):
        return text[: things[at - 1].end] + text[thing.end :]
    start = _thing_start(text, thing)
    tied = at + 1 < len(things) and not re.search(r"[.,;]", text[thing.end : things[at + 1].start])
    end = _thing_start(text, things[at + 1]) if tied else thing.end
    return _cut(text, start, end)


def _cut(text: str, start: int, end: int) -> str:
    """The text without a stretch, and without the mark or blank that belonged to it."""
    left, right = text[:start].rstrip(), text[end:]
    if not left or re.search(_LAST + "$", left):  # it was a sentence, or a part between commas
        right = re.sub(rf"^\s*{_LAST}?\s*", "", right)
        if not right.strip():
            return re.sub(r"[,;:]$", "", left)
        right = _cased(right, text[start]) if not left or left[-1] in ".!?" else right
        return f"{left} {right}" if left else right
    if re.match(rf"\s*({_LAST}|$)", right):
        return left + right.lstrip()
    return _articled(f"{left} {right.lstrip()}", len(left) + 1)


def variants(text: str, dimension: str, most: int = 8) -> list[tuple[str | None, str]]:
    """The text with one value of a dimension after another.

    Args:
        text: any text with something in it.
        dimension: one of `DIMENSIONS`.
        most: values at most.

    Returns:
        `(value, text)`; the text as it is comes first, with the value that it names or None; if
        it names one, the text without it comes last, with None (a prompt without any thing says
        nothing, so content is never left out).

    Raises:
        InputError: `dimension_unknown`.
    """
    words, there = words_of(dimension), current(text, dimension)
    now = str(there.value) if there is not None else None
    named = {phrase.value for phrase in said(text, dimension)}
    others = [value for value in words if value not in named][: most - (now is not None)]
    out = [(now, text), *((value, with_value(text, dimension, value)) for value in others)]
    if now is not None and dimension != "content":
        out.append((None, without_value(text, dimension, now)))
    return out


def left_out(text: str) -> list[tuple[str, str]]:
    """Each of the first `MAX_WORDS` words of a text with the text that lacks it.

    Raises:
        InputError: `words_too_few` if the text has less than two words.
    """
    words = text.split()
    if len(words) < 2:
        raise InputError("words_too_few", received=len(words))
    return [(word, without_word(text, i)) for i, word in enumerate(words[:MAX_WORDS])]
