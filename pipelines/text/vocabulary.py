"""Which words a classroom model read in training: those that the grammar of its captions can write.

A tokenizer has pieces for every text, so that no prompt is refused. But a word that stood in no caption has
taught the model nothing: CLIP's vector of it is still the random one that training began with.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import regex

from pipelines.serving import catalogue
from pipelines.world import captions, sound_captions
from pipelines.world.films import MOTION_WORDS

Phrases = Mapping[str, tuple[str, ...]]
# A run of letters and digits with what an apostrophe joins to it, or of pictures such as emoji.
# `vocabulary.js` of the page has the same.
WORD = r"[\p{L}\p{N}][\p{L}\p{M}\p{N}]*(?:['’][\p{L}\p{M}\p{N}]+)*|\p{So}[\p{So}\p{M}\p{Sk}\u200d]*"
_WORD = regex.compile(WORD)
_PICTURE: dict[str, Phrases] = {
    "object": {noun: (*words, *map(captions.plural, words)) for noun, words in captions.NOUN_WORDS.items()},
    "count": {str(count): words for count, words in captions.COUNT_WORDS.items()},
    "size": captions.SIZE_WORDS,
    "colour": captions.COLOUR_WORDS,
    "relation": captions.RELATION_WORDS,
    "place": captions.PLACE_WORDS,
    "light": captions.ATMOSPHERE_WORDS,
    "style": captions.STYLE_WORDS,
    "composition": captions.COMPOSITION_WORDS,
    "defect": captions.DEFECT_WORDS,
}
_SOUND: dict[str, Phrases] = {
    "instrument": sound_captions.INSTRUMENT_WORDS,
    "tempo": sound_captions.TEMPO_WORDS,
    "mood": sound_captions.MOOD_WORDS,
    "structure": sound_captions.STRUCTURE_WORDS,
    "sound": sound_captions.SOUND_WORDS,
}
KINDS: dict[str, Phrases] = _PICTURE | {"motion": MOTION_WORDS} | _SOUND
# CLIP learned from pictures alone. The picture model, which reads through CLIP, also learned from frames of
# films, and the film model stands on it. Captions of sounds may be those of a picture that sounds so.
KINDS_READ: dict[str, tuple[str, ...]] = {
    "clip": tuple(_PICTURE),
    "image": (*_PICTURE, "motion"),
    "video": (*_PICTURE, "motion"),
    "audio": (*_PICTURE, *_SOUND),
}
# What the grammar writes between its phrases.
_BETWEEN = (*captions.LEADING.values(), "an", "the", "and")
BETWEEN: dict[str, tuple[str, ...]] = {
    role: (*_BETWEEN, *(sound_captions.MUSIC_WORDS if role == "audio" else ())) for role in KINDS_READ
}
# Misspellings that the grammar itself writes; they look like a test of an unknown word and are none.
TYPOS = {"dimm": "brigth light"}  # with one that it does not write


@dataclass(frozen=True)
class FoundWord:
    """A word of a text: `text[start:end]`."""

    word: str
    start: int
    end: int


def words_in(text: str) -> tuple[FoundWord, ...]:
    """The words of any text in their order; punctuation and blanks are none."""
    return tuple(FoundWord(m[0], m.start(), m.end()) for m in _WORD.finditer(text))


def _lower(texts: Iterable[str]) -> Iterable[str]:
    return (found.word.lower() for text in texts for found in words_in(text))


@lru_cache(maxsize=len(KINDS_READ))
def words_read(role: str) -> frozenset[str]:
    """All words of the captions that the classroom model of a role learned from, in small letters.

    Args:
        role: "clip", "image", "video" or "audio".
    """
    phrases = (p for kind in KINDS_READ[role] for spellings in KINDS[kind].values() for p in spellings)
    return frozenset(_lower((*phrases, *BETWEEN[role])))


def has_list(model: str) -> bool:
    """Whether it is known which words a model of the catalogue has read."""
    known = catalogue.entry(model)
    return known.family == "classroom" and known.role in KINDS_READ


def unread(text: str, model: str) -> tuple[FoundWord, ...]:
    """The words of a text that stood in no caption of a model's training.

    Args:
        text: any text.
        model: id of the catalogue. Of models that were trained elsewhere nobody here knows what they have
            read: none of their words is unread.
    """
    if not has_list(model):
        return ()
    known = words_read(catalogue.entry(model).role)
    return tuple(found for found in words_in(text) if found.word.lower() not in known)
