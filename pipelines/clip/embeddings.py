"""Where a prompt stands in CLIP's space: its vector, its neighbours, differences and arithmetic."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipelines.clip import model as clip
from pipelines.clip.projections import pca_position
from pipelines.clip.world_texts import (
    KINDS,
    ShortText,
    WorldText,
    map_texts,
    map_vectors,
    short_texts,
    short_vectors,
)
from pipelines.serving.checks import has_lone_surrogate, whole
from pipelines.serving.errors import InputError
from pipelines.world.captions import Facts, parse
from pipelines.world.scene import NOUNS

MAX_CHARACTERS = 2000
NEIGHBOURS = 8


@dataclass(frozen=True)
class Neighbour:
    """A world caption near a prompt.

    Attributes:
        index: place in `world_texts.map_texts()`, or in `short_texts()` for a phrase.
        world: the caption or the phrase.
        cosine: to the prompt, in the original space, -1..1.
    """

    index: int
    world: WorldText
    cosine: float


@dataclass(frozen=True)
class Embedding:
    """One prompt as a point of CLIP's space.

    Attributes:
        prompt: the text.
        vector: `[dim]`, of length one.
        position: `[3]` on the fixed principal axes of the world captions.
        neighbours: the nearest captions of the map by cosine in all dimensions, nearest first.
        phrases: the nearest of all short phrases, in the same way; they hold every noun with every attribute,
            of which the captions of the map are a small random part.
    """

    prompt: str
    vector: np.ndarray
    position: np.ndarray
    neighbours: tuple[Neighbour, ...]
    phrases: tuple[Neighbour, ...]


@dataclass(frozen=True)
class WordAlong:
    """How far a difference points towards one word of the world.

    Attributes:
        kind: "noun" or a key of `embedding_world.KINDS`.
        value: the word.
        cosine: between the difference and the word's own direction, -1..1.
    """

    kind: str
    value: str
    cosine: float


@dataclass(frozen=True)
class Difference:
    """What changes from one prompt to another.

    Attributes:
        vector: `[dim]` second minus first.
        length: of that vector; 0 for texts that CLIP reads alike, at most 2.
        cosine: of the two prompts, -1..1.
        words: all words of the world, the one that the difference points to most comes first;
            empty if there is no difference.
    """

    vector: np.ndarray
    length: float
    cosine: float
    words: tuple[WordAlong, ...]


@dataclass(frozen=True)
class Candidate:
    """A short phrase that vector arithmetic may answer with.

    Attributes:
        short: the phrase.
        cosine: to the computed vector, -1..1.
        is_input: it says the same as one of the three inputs.
    """

    short: ShortText
    cosine: float
    is_input: bool


@dataclass(frozen=True)
class Arithmetic:
    """`start - minus + plus`.

    Attributes:
        vector: `[dim]` the result, scaled to length one.
        candidates: all short phrases, nearest first, the inputs among them and marked.
        plain: the nearest phrase to `plus` alone that is none of the inputs: what one would
            answer without calculating at all.
    """

    vector: np.ndarray
    candidates: tuple[Candidate, ...]
    plain: ShortText

    @property
    def answer(self) -> Candidate:
        """The nearest candidate that is none of the inputs."""
        return next(c for c in self.candidates if not c.is_input)


def check_prompt(prompt: str) -> str:
    """The prompt without blanks around it.

    Raises:
        InputError: `embedding_empty`, `prompt_too_long` or `text_broken`.
    """
    if not prompt.strip():
        raise InputError("embedding_empty")
    if len(prompt) > MAX_CHARACTERS:
        raise InputError("prompt_too_long", received=len(prompt), limit=MAX_CHARACTERS)
    if has_lone_surrogate(prompt):  # from broken programs
        raise InputError("text_broken")
    return prompt.strip()


_OPPOSITES = (
    ("small", "large"), ("little", "big"), ("tiny", "huge"), ("red", "blue"), ("orange", "purple"),
    ("yellow", "green"), ("black", "white"), ("cozy", "dramatic"), ("dim", "bright"), ("dimm", "bright"),
    ("moody", "warm"), ("cat", "dog"), ("kitten", "puppy"), ("bird", "fish"), ("horse", "rabbit"),
    ("house", "tree"), ("car", "boat"), ("bed", "chair"), ("flower", "ball"), ("guitar", "drum"),
)  # fmt: skip


def counterpart(prompt: str) -> str:
    """The same prompt with one word changed, to compare with while there is no second prompt.

    The first pair of `_OPPOSITES` of which the prompt has a word is swapped; a prompt that has
    none goes on with "at night". It is no longer than a prompt may be.
    """
    for pair in _OPPOSITES:
        for word, other in (pair, pair[::-1]):
            found = re.search(rf"\b{word}\b", prompt, re.IGNORECASE)
            if found:
                new = other.capitalize() if found.group()[0].isupper() else other
                return (prompt[: found.start()] + new + prompt[found.end() :])[:MAX_CHARACTERS]
    added = ", at night"
    return prompt.strip()[: MAX_CHARACTERS - len(added)] + added


def nearest(vector: np.ndarray, vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The vectors with the highest cosine, nearest first.

    Args:
        vector: `[dim]`, of length one.
        vectors: `[text, dim]`, each of length one.
        count: how many.

    Returns:
        `[count]` indices and `[count]` cosines.
    """
    cosines = vectors @ vector
    order = np.argsort(-cosines, kind="stable")[:count]
    return order, cosines[order]


def embed(prompts: list[str], model: str, count: int = NEIGHBOURS) -> list[Embedding]:
    """Find the place of each prompt.

    Args:
        prompts: at least one text, none empty.
        model: catalogue id of the role "clip".
        count: how many neighbours, 1 to 50.

    Raises:
        InputError: a prompt cannot be used (`check_prompt`), `neighbours_range`, or the model
            cannot be loaded.
    """
    texts = [check_prompt(p) for p in prompts]
    count = whole("neighbours_range", count, 1, 50)
    vectors = clip.encode_texts(texts, model)
    found = []
    for text, vector, place in zip(texts, vectors, pca_position(vectors, model), strict=True):
        near = _near(vector, map_vectors(model), map_texts(), count)
        phrases = _near(vector, short_vectors(model), [s.world for s in short_texts()], count)
        found.append(Embedding(text, vector, place, near, phrases))
    return found


def _near(
    vector: np.ndarray, vectors: np.ndarray, texts: Sequence[WorldText], count: int
) -> tuple[Neighbour, ...]:
    order, cosines = nearest(vector, vectors, count)
    return tuple(Neighbour(int(i), texts[i], float(c)) for i, c in zip(order, cosines, strict=True))


def word_directions(vectors: np.ndarray) -> tuple[list[tuple[str, str]], np.ndarray]:
    """A direction for every word of the world.

    A word's direction leads from the short phrases that say another word of its kind to those
    that say it; the other words of a phrase cancel out.

    Args:
        vectors: `[short text, dim]`.

    Returns:
        The words as (kind, value), and `[word, dim]` directions of length one.
    """
    kinds = np.array([s.kind for s in short_texts()])
    values = np.array([s.value for s in short_texts()])
    nouns = np.array([s.noun for s in short_texts()])
    words, rows = [], []
    for kind, options in {"noun": tuple(NOUNS), **KINDS}.items():
        # Every phrase says a noun, so nouns are measured on all of them.
        group = np.ones(len(kinds), bool) if kind == "noun" else kinds == kind
        said = nouns if kind == "noun" else values
        for value in options:
            words.append((kind, value))
            rows.append(vectors[group & (said == value)].mean(0) - vectors[group & (said != value)].mean(0))
    directions = np.stack(rows)
    return words, directions / np.linalg.norm(directions, axis=1, keepdims=True)


@lru_cache(maxsize=4)
def _words_of(model: str) -> tuple[list[tuple[str, str]], np.ndarray]:
    return word_directions(short_vectors(model))


def difference(first: np.ndarray, second: np.ndarray, model: str) -> Difference:
    """What leads from one prompt to another, in words of the world.

    Args:
        first, second: `[dim]` of length one.
        model: catalogue id of the role "clip" that made them.
    """
    vector = second - first
    length = float(np.linalg.norm(vector))
    words: tuple[WordAlong, ...] = ()
    if length > 1e-6:
        names, directions = _words_of(model)
        cosines = directions @ (vector / length)
        order = np.argsort(-cosines, kind="stable")
        words = tuple(WordAlong(names[i][0], names[i][1], float(cosines[i])) for i in order)
    return Difference(vector, length, float(first @ second), words)


def combine(start: np.ndarray, minus: np.ndarray, plus: np.ndarray) -> np.ndarray:
    """`start - minus + plus` scaled to length one, `[dim]`.

    Source: Mikolov et al. 2013, arXiv:1301.3781, section 1.
    """
    vector = start - minus + plus
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _says(text: str) -> Facts | str:
    """What a text says if it speaks of the world, otherwise the text itself."""
    facts = parse(text)
    return facts if facts != Facts() else text.strip().casefold()


def arithmetic(start: str, minus: str, plus: str, model: str) -> Arithmetic:
    """Calculate with meanings: "small dog" - "dog" + "cat".

    Args:
        start, minus, plus: three texts, none empty.
        model: catalogue id of the role "clip".

    Raises:
        InputError: a text cannot be used (`check_prompt`), or the model cannot be loaded.
    """
    texts = [check_prompt(p) for p in (start, minus, plus)]
    encoded = clip.encode_texts(texts, model)
    result = combine(*encoded)
    inputs = {_says(text) for text in texts}
    vectors, shorts = short_vectors(model), short_texts()
    order, cosines = nearest(result, vectors, len(shorts))
    candidates = tuple(
        Candidate(shorts[i], float(c), shorts[i].world.facts in inputs)
        for i, c in zip(order, cosines, strict=True)
    )
    around_plus, _ = nearest(encoded[2], vectors, len(shorts))
    plain = next(shorts[i] for i in around_plus if shorts[i].world.facts not in inputs)
    return Arithmetic(result, candidates, plain)


def warm_up(model: str) -> None:
    """Read the world's texts once, so that the first visitor of the tab does not wait for it."""
    pca_position(map_vectors(model)[:1], model)
    _words_of(model)
