"""Is an attribute a direction? Measured on objects that the direction was not made from."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from pipelines.clip.world_texts import (
    DIRECTION_KINDS,
    direction_texts,
    direction_vectors,
    partner,
    relation_phrase,
    relation_texts,
    sentence_vectors,
    swapped_vectors,
)
from pipelines.serving.errors import InputError
from pipelines.world.scene import NOUNS


@dataclass(frozen=True)
class Transfer:
    """How far one attribute direction holds for objects it was not made from.

    Attributes:
        projection: `[object, 2]` each object's two texts (minus, plus) projected on the direction
            of length one made from all *other* objects, -1..1.
        ordered: `[object]` bool, whether the text with the plus attribute lies further along.
        cosine: `[object]` between that direction and the object's own difference, -1..1.
    """

    projection: np.ndarray
    ordered: np.ndarray
    cosine: np.ndarray

    @property
    def share(self) -> float:
        """Share of held-out objects in the right order, 0..1; chance gives one half."""
        return float(self.ordered.mean())


@dataclass(frozen=True)
class Direction:
    """A measured attribute direction, `plus` minus `minus`.

    Attributes:
        kind: key of `world_texts.DIRECTION_KINDS`.
        plus, minus: two values of that kind.
        nouns: the objects, in the order of the arrays of `transfer`.
        transfer: leave-one-object-out measurement.
    """

    kind: str
    plus: str
    minus: str
    nouns: tuple[str, ...]
    transfer: Transfer


def leave_one_out(
    plus: np.ndarray, minus: np.ndarray, tested: tuple[np.ndarray, np.ndarray] | None = None
) -> Transfer:
    """Measure whether "plus minus minus", averaged over objects, works for another object.

    Args:
        plus: `[object, dim]` the objects' texts with one attribute.
        minus: `[object, dim]` the same objects' texts with the other.
        tested: the same objects in other texts (plus, minus), each `[object, dim]`, on which the
            direction is tested; without it, those that it was made from.

    Returns:
        For every object, what the direction made from all others says about it.
    """
    made = plus - minus
    others = made.sum(0, keepdims=True) - made
    others /= np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-12)
    end, start = tested or (plus, minus)
    own = end - start
    ends = np.stack([(start * others).sum(1), (end * others).sum(1)], 1)
    along = (own * others).sum(1)
    cosine = along / np.maximum(np.linalg.norm(own, axis=1), 1e-12)
    return Transfer(ends, along > 0, cosine)


def _rows(kind: str, value: str) -> dict[str, int]:
    """Noun to row of `direction_vectors` for one attribute."""
    return {s.noun: i for i, s in enumerate(direction_texts()) if (s.kind, s.value) == (kind, value)}


@lru_cache(maxsize=512)
def direction(kind: str, plus: str, minus: str, model: str, sentences: bool = False) -> Direction:
    """Measure one attribute direction on all objects that can take the attribute.

    Args:
        kind: key of `world_texts.DIRECTION_KINDS`.
        plus: value that the direction points to.
        minus: value that it comes from.
        model: catalogue id of the role "clip".
        sentences: test it on the objects in long sentences instead of the short phrases that it
            is made from.

    Raises:
        InputError: `direction_unknown` if the kind has no such values, or both are the same.
    """
    if plus == minus or not {plus, minus} <= set(DIRECTION_KINDS.get(kind, ())):
        known = ", ".join(DIRECTION_KINDS.get(kind, DIRECTION_KINDS))
        raise InputError("direction_unknown", received=f"{plus} − {minus}", known=known)
    rows_plus, rows_minus = _rows(kind, plus), _rows(kind, minus)
    nouns = tuple(n for n in rows_plus if n in rows_minus)
    a, b = [rows_plus[n] for n in nouns], [rows_minus[n] for n in nouns]
    made = direction_vectors(model)
    tested = (sentence_vectors(model)[a], sentence_vectors(model)[b]) if sentences else None
    return Direction(kind, plus, minus, nouns, leave_one_out(made[a], made[b], tested))


@lru_cache(maxsize=8)
def all_directions(model: str, sentences: bool = False) -> tuple[Direction, ...]:
    """Every pair of values of every kind, measured."""
    return tuple(
        direction(kind, a, b, model, sentences)
        for kind, values in DIRECTION_KINDS.items()
        for a, b in combinations(values, 2)
    )


@dataclass(frozen=True)
class Exchange:
    """Who stands on whom against which relation it is; mean cosines over all objects, -1..1.

    Attributes:
        texts: two texts that differ in who stands on whom, as an example.
        exchanged: between each text and the one with its two objects exchanged.
        related: between the same objects' texts with one relation and with the other.
    """

    texts: tuple[str, str]
    exchanged: float
    related: float


def exchange(plus: str, minus: str, model: str) -> Exchange:
    """What a direction of a relation cannot tell: the word is read, but hardly who it is said of.

    Args:
        plus, minus: two relations.
        model: catalogue id of the role "clip".
    """
    shorts, swapped = relation_texts(), swapped_vectors(model)
    made = direction_vectors(model)[-len(shorts) :]
    a, b = ([i for i, s in enumerate(shorts) if s.value == value] for value in (plus, minus))
    one, other = NOUNS[0], partner(NOUNS[0])
    texts = relation_phrase(one, plus, other), relation_phrase(other, plus, one)
    compared = (made[a], swapped[a]), (made[a], made[b])
    return Exchange(texts, *(float((x * y).sum(1).mean()) for x, y in compared))
