"""The texts among which a visitor's prompt finds its place, each with its picture.

Two lists, the same for everybody: a few hundred captions as the models were trained on (the
map), and every short phrase of one noun with at most one attribute (what directions are
measured on and what arithmetic may answer).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from zlib import crc32

import numpy as np
from PIL import Image

from pipelines.clip import model as clip
from pipelines.world.captions import (
    ATMOSPHERE_WORDS,
    PLACE_WORDS,
    RELATION_WORDS,
    STYLE_WORDS,
    Facts,
    caption,
    parse,
)
from pipelines.world.layout import EXTENT, draw_scene, lay_out
from pipelines.world.render import render
from pipelines.world.scene import (
    ATMOSPHERES,
    COLOURABLE,
    COLOURS,
    NOUNS,
    PLACES,
    RELATIONS,
    SIZES,
    STYLES,
    Scene,
    Thing,
)

MAP_SIZE = 240
_SEED = 2
# A batch of this many texts keeps a big model's memory low and lets other visitors in between.
_BATCH = 64
# What a short phrase can say besides its noun, in the order of the page.
KINDS: dict[str, tuple[str, ...]] = {
    "size": SIZES,
    "colour": tuple(COLOURS),
    "atmosphere": ATMOSPHERES,
    "style": STYLES,
    "place": PLACES,
}
RELATION = "relation"
# What is measured as a direction: those, and how a thing stands to another, in a phrase of two nouns.
DIRECTION_KINDS: dict[str, tuple[str, ...]] = KINDS | {RELATION: RELATIONS}


@dataclass(frozen=True)
class WorldText:
    """A text about the world.

    Attributes:
        text: as CLIP reads it.
        facts: what the text says.
        scene: one scene of which the text is true; what the text leaves open was drawn at random.
    """

    text: str
    facts: Facts
    scene: Scene


@dataclass(frozen=True)
class ShortText:
    """A noun with at most one attribute.

    Attributes:
        noun: one of `NOUNS`.
        kind: key of `DIRECTION_KINDS`, or "noun" for the bare noun.
        value: the attribute, or the noun itself for kind "noun".
        world: its text and scene.
    """

    noun: str
    kind: str
    value: str
    world: WorldText


@lru_cache(maxsize=1)
def map_texts() -> tuple[WorldText, ...]:
    """The captions of the map: `MAP_SIZE` different ones, drawn as training draws them."""
    rng = np.random.default_rng(_SEED)
    found: dict[str, WorldText] = {}
    while len(found) < MAP_SIZE:
        scene = draw_scene(rng)
        text = caption(scene, rng)
        found.setdefault(text.casefold(), WorldText(text, parse(text), scene))
    return tuple(found.values())


def partner(noun: str) -> str:
    """What an object is put in relation to; every object is the partner of one other."""
    return NOUNS[(NOUNS.index(noun) + 7) % len(NOUNS)]


def relation_phrase(noun: str, relation: str, other: str) -> str:
    """One object in relation to another: "a cat on a bird"."""
    return f"a {noun} {RELATION_WORDS[relation][0]} a {other}"


def phrase(noun: str, kind: str, value: str) -> str:
    """A short phrase in plain words: "an orange cat", "a cat, cozy atmosphere"."""
    if kind == RELATION:
        return relation_phrase(noun, value, partner(noun))
    if kind in ("size", "colour"):
        return f"{'an' if value[0] in 'aeiou' else 'a'} {value} {noun}"
    words = {"place": PLACE_WORDS, "atmosphere": ATMOSPHERE_WORDS, "style": STYLE_WORDS}
    if kind == "noun":
        return f"a {noun}"
    return f"a {noun}{' ' if kind == 'place' else ', '}{words[kind][value][0]}"


def sentence(noun: str, kind: str, value: str) -> str:
    """A short phrase's content in a long caption: another thing beside it, a place, a light, a style.

    Every noun gets surroundings of its own, so that what two sentences share is little more than
    the attribute in question.
    """
    i = NOUNS.index(noun)
    looks = {
        "place": PLACES[i % len(PLACES)],
        "atmosphere": ATMOSPHERES[i % len(ATMOSPHERES)],
        "style": STYLES[i % len(STYLES)],
    } | {kind: value}
    core = phrase(noun, kind if kind in ("size", "colour", RELATION) else "noun", value)
    beside = "" if kind == RELATION else f" next to a {partner(noun)}"
    return (
        f"{core}{beside} {PLACE_WORDS[looks['place']][0]}, "
        f"{ATMOSPHERE_WORDS[looks['atmosphere']][0]}, {STYLE_WORDS[looks['style']][0]}"
    )


def _short(noun: str, kind: str, value: str) -> ShortText:
    """A short phrase with a plain scene: everything that it does not say stays the same."""
    colour = value if kind == "colour" else None
    size = value if kind == "size" else None
    thing = Thing(noun, colour, size, x=0.5, y=0.62, extent=EXTENT[size])
    looks = {kind: value} if kind in ("place", "atmosphere", "style") else {}
    text = phrase(noun, kind, value)
    return ShortText(noun, kind, value, WorldText(text, parse(text), Scene((thing,), **looks)))


@lru_cache(maxsize=1)
def short_texts() -> tuple[ShortText, ...]:
    """Every noun alone and with every attribute it can take."""
    texts = [_short(noun, "noun", noun) for noun in NOUNS]
    for kind, values in KINDS.items():
        nouns = [n for n in NOUNS if kind != "colour" or n in COLOURABLE]
        texts += [_short(noun, kind, value) for noun in nouns for value in values]
    return tuple(texts)


@lru_cache(maxsize=1)
def relation_texts() -> tuple[ShortText, ...]:
    """Every noun in every relation to its partner, each with a scene of which it is true."""
    found = []
    for noun, relation in product(NOUNS, RELATIONS):
        things = Thing(noun), Thing(partner(noun))
        text = phrase(noun, RELATION, relation)
        scene = lay_out(Scene(things, relation), np.random.default_rng(crc32(text.encode())))
        found.append(ShortText(noun, RELATION, relation, WorldText(text, parse(text), scene)))
    return tuple(found)


def direction_texts() -> tuple[ShortText, ...]:
    """What directions are made of: `short_texts()`, then `relation_texts()`."""
    return (*short_texts(), *relation_texts())


def _encode(texts: Sequence[str], model: str) -> np.ndarray:
    parts = [clip.encode_texts(texts[i : i + _BATCH], model) for i in range(0, len(texts), _BATCH)]
    vectors = np.concatenate(parts)
    vectors.setflags(write=False)  # shared by all visitors
    return vectors


@lru_cache(maxsize=4)
def map_vectors(model: str) -> np.ndarray:
    """`[MAP_SIZE, dim]` the captions of the map as this CLIP reads them, each of length one."""
    return _encode([w.text for w in map_texts()], model)


@lru_cache(maxsize=4)
def short_vectors(model: str) -> np.ndarray:
    """`[short text, dim]` the short phrases as this CLIP reads them, each of length one."""
    return _encode([s.world.text for s in short_texts()], model)


@lru_cache(maxsize=4)
def direction_vectors(model: str) -> np.ndarray:
    """`[text, dim]` `direction_texts()` as this CLIP reads them, each of length one."""
    return np.concatenate([short_vectors(model), _encode([s.world.text for s in relation_texts()], model)])


@lru_cache(maxsize=4)
def sentence_vectors(model: str) -> np.ndarray:
    """`[text, dim]` the same contents in long sentences, in the order of `direction_texts()`."""
    return _encode([sentence(s.noun, s.kind, s.value) for s in direction_texts()], model)


@lru_cache(maxsize=4)
def swapped_vectors(model: str) -> np.ndarray:
    """`[text, dim]` `relation_texts()` with the two objects exchanged: "a bird on a cat"."""
    texts = [relation_phrase(partner(s.noun), s.value, s.noun) for s in relation_texts()]
    return _encode(texts, model)


@lru_cache(maxsize=1024)
def picture(world: WorldText) -> Image.Image:
    """The picture of a text, 64 px, always the same one."""
    rng = np.random.default_rng(crc32(world.text.encode()))
    return render(world.scene, rng)[0]
