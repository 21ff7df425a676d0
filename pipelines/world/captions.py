"""Captions of scenes, and what a caption says.

`caption` writes about a scene in many ways and leaves things out; `parse` reads the facts
back. Both use the one table of words below, so that they cannot drift apart.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipelines.world.scene import Scene, Thing

NOUN_WORDS = {
    "cat": ("cat", "kitten"),
    "dog": ("dog", "puppy"),
    "rabbit": ("rabbit", "bunny"),
    "bird": ("bird",),
    "horse": ("horse", "pony"),
    "fish": ("fish",),
    "house": ("house", "cottage"),
    "tree": ("tree",),
    "car": ("car",),
    "boat": ("boat", "sailboat"),
    "bed": ("bed",),
    "chair": ("chair",),
    "flower": ("flower", "tulip"),
    "ball": ("ball", "football"),
    "guitar": ("guitar",),
    "drum": ("drum",),
}
_PLURALS = {"puppy": "puppies", "bunny": "bunnies", "pony": "ponies", "fish": "fish"}
COLOUR_WORDS = {c: (c,) for c in ("red", "orange", "yellow", "green", "blue", "purple", "black", "white")} | {
    "purple": ("purple", "violet")
}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
COUNT_WORDS = {1: ("a", "one"), 2: ("two", "2"), 3: ("three", "3"), 4: ("four", "4")}
RELATION_WORDS = {
    "on": ("on", "on top of", "sitting on"),
    "under": ("under", "underneath", "beneath"),
    "in front of": ("in front of",),
    "behind": ("behind",),
    "next to": ("next to", "beside"),
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below",),
}
PLACE_WORDS = {
    "room": ("in a room", "in the room", "indoors", "inside a room"),
    "meadow": ("in a meadow", "on a meadow", "on the grass", "in a field"),
    "street": ("on a street", "on the street", "in the street", "in the city"),
    "beach": ("on the beach", "at the beach", "on a beach"),
    "snow": ("in the snow", "in a snowy landscape", "on snow"),
    "sea": ("in the sea", "on the sea", "at sea", "on the water"),
    "night sky": ("in the night sky", "among the stars", "in a starry sky"),
}
ATMOSPHERE_WORDS = {
    "cozy": ("cozy atmosphere", "cozy", "cosy", "cozy light"),
    "dim": ("dim lighting", "dim light", "dimm lighting", "dimly lit", "dim"),
    "warm": ("warm light", "warm atmosphere", "warm", "warm lighting"),
    "moody": ("moody atmosphere", "moody", "moody lighting"),
    "dramatic": ("dramatic lighting", "dramatic", "dramatic atmosphere", "dramatic light"),
    "bright": ("bright light", "bright", "brightly lit", "bright lighting"),
    "at night": ("at night", "by night", "nighttime"),
}
STYLE_WORDS = {
    "cartoon": ("cartoon", "cartoon style"),
    "photorealistic": ("photorealistic", "photo", "photograph", "photorealism"),
    "surreal": ("surreal", "surrealism", "surrealistic"),
    "pencil sketch": ("pencil sketch", "pencil drawing", "sketch"),
    "pixel art": ("pixel art", "pixelated"),
    "watercolor": ("watercolor", "watercolour", "watercolor painting"),
}
COMPOSITION_WORDS = {
    "centered": ("centered", "in the center"),
    "top-down": ("top-down", "top-down view", "top view"),
    "wide shot": ("wide shot", "wide angle"),
    "close-up": ("close-up", "closeup", "close-up view"),
}
DEFECT_WORDS = {
    "text": ("text", "with text", "letters"),
    "blur": ("blur", "blurry", "out of focus"),
    "watermark": ("watermark", "with a watermark", "watermarked"),
}
# A picture of "style" reads well before the rest of the sentence.
LEADING = {
    "photo": "a photo of",
    "photograph": "a photograph of",
    "cartoon": "a cartoon of",
    "sketch": "a sketch of",
    "pencil drawing": "a pencil drawing of",
    "watercolor painting": "a watercolor painting of",
    "wide shot": "a wide shot of",
    "close-up": "a close-up of",
}


@dataclass(frozen=True)
class ThingFact:
    """What a text says of one kind of thing."""

    noun: str
    colour: str | None = None
    size: str | None = None
    count: int = 1


@dataclass(frozen=True)
class Phrase:
    """A phrase of a text that has a meaning in this world.

    Attributes:
        kind: "noun", "count", "colour", "size", or a field of `Facts`.
        value: the meaning, such as "cat" for "kitten".
        start, end: where the phrase stands in the text.
    """

    kind: str
    value: object
    start: int
    end: int


@dataclass(frozen=True)
class Facts:
    """What a text says; None or empty where it says nothing.

    `things[0]` stands in `relation` to `things[1]`.
    """

    things: tuple[ThingFact, ...] = ()
    relation: str | None = None
    place: str | None = None
    atmosphere: str | None = None
    style: str | None = None
    composition: str | None = None
    defect: str | None = None


def plural(word: str) -> str:
    """The plural of one of the world's nouns."""
    return _PLURALS.get(word, word + "s")


def pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    """The first word is the usual one: half of all picks."""
    return words[0] if rng.random() < 0.5 else str(rng.choice(words))


def _thing_phrase(thing: Thing, count: int, rng: np.random.Generator) -> str:
    word = pick(rng, NOUN_WORDS[thing.noun])
    parts = [plural(word) if count > 1 else word]
    if thing.colour is not None and rng.random() < 0.75:
        parts.insert(0, pick(rng, COLOUR_WORDS[thing.colour]))
    if thing.size is not None and rng.random() < 0.8:
        parts.insert(0, pick(rng, SIZE_WORDS[thing.size]))
    if count > 1:
        parts.insert(0, pick(rng, COUNT_WORDS[count]))
    elif rng.random() < 0.8:
        article = "an" if parts[0][0] in "aeiou" else "a"
        parts.insert(0, article if rng.random() < 0.85 else str(rng.choice(["the", "one"])))
    return " ".join(parts)


def _core(scene: Scene, rng: np.random.Generator) -> str:
    first = scene.things[0]
    if len({t.noun for t in scene.things}) == 1:
        return _thing_phrase(first, len(scene.things), rng)
    a, b = _thing_phrase(first, 1, rng), _thing_phrase(scene.things[1], 1, rng)
    if scene.relation is not None and rng.random() < 0.85:
        return f"{a} {pick(rng, RELATION_WORDS[scene.relation])} {b}"
    return f"{a} and {b}" if rng.random() < 0.5 else f"{b} and {a}"


def caption(scene: Scene, rng: np.random.Generator, *, doing: str = "", extra: str = "") -> str:
    """Write about a scene; what it leaves out stays open.

    Args:
        scene: the ground truth; nothing is said that it does not hold.
        rng: source of wording, order, punctuation and omissions.
        doing: said of the things, such as "walks left".
        extra: said of the whole, such as "camera pans".

    Returns:
        English text of at most about 40 tokens.
    """
    core = f"{_core(scene, rng)} {doing}".rstrip()
    if rng.random() < 0.6:
        core += " " + pick(rng, PLACE_WORDS[scene.place])
    extras: list[str] = [extra] if extra else []
    lead = None
    for value, words, share in (
        (scene.style, STYLE_WORDS, 0.6),
        (scene.atmosphere, ATMOSPHERE_WORDS, 0.8),
        (scene.composition, COMPOSITION_WORDS, 0.8),
        (scene.defect, DEFECT_WORDS, 0.95),
    ):
        if value is None or rng.random() >= share:
            continue
        word = pick(rng, words[value])
        if lead is None and word in LEADING and rng.random() < 0.6:
            lead = LEADING[word]
        else:
            extras.append(word)
    rng.shuffle(extras)
    if lead is not None:
        core = f"{lead} {core}"
    stops = rng.random() < 0.5
    pieces = [core, *extras] if rng.random() < 0.8 else [*extras, core]
    if stops:
        return " ".join(p[0].upper() + p[1:] + "." for p in pieces)
    return in_some_case(", ".join(pieces), rng)


def in_some_case(text: str, rng: np.random.Generator) -> str:
    """A caption as people write it: seldom in capitals, sometimes with a capital first."""
    return text.upper() if rng.random() < 0.03 else text[0].upper() + text[1:] if rng.random() < 0.3 else text


def _table() -> dict[str, tuple[str, object]]:
    """Every phrase that has a meaning, with its kind and value."""
    table: dict[str, tuple[str, object]] = {}
    for kind, words in (
        ("colour", COLOUR_WORDS),
        ("size", SIZE_WORDS),
        ("relation", RELATION_WORDS),
        ("place", PLACE_WORDS),
        ("atmosphere", ATMOSPHERE_WORDS),
        ("style", STYLE_WORDS),
        ("composition", COMPOSITION_WORDS),
        ("defect", DEFECT_WORDS),
    ):
        table |= {phrase: (kind, value) for value, phrases in words.items() for phrase in phrases}
    for noun, names in NOUN_WORDS.items():
        for word in names:
            table[word] = table[plural(word)] = ("noun", noun)
    table |= {word: ("count", n) for n, names in COUNT_WORDS.items() for word in names}
    return table | {"an": ("count", 1), "the": ("count", 1)}


class Lexicon:
    """Finds the phrases in a text that have a meaning.

    Args:
        table: kind and value of every phrase, in small letters.
    """

    def __init__(self, table: Mapping[str, tuple[str, object]]) -> None:
        self._table = table
        self._longest = max(len(phrase.split()) for phrase in table)

    def phrases(self, text: str) -> Iterator[Phrase]:
        """The meaningful phrases of a text in order, the longest match first; other words are skipped."""
        words = list(re.finditer(r"[a-z0-9][a-z0-9-]*", text, re.ASCII | re.IGNORECASE))
        i = 0
        while i < len(words):
            for length in range(min(self._longest, len(words) - i), 0, -1):
                meaning = self._table.get(" ".join(w[0].lower() for w in words[i : i + length]))
                if meaning is not None:
                    yield Phrase(*meaning, words[i].start(), words[i + length - 1].end())
                    i += length
                    break
            else:
                i += 1


_LEXICON = Lexicon(_table())


def phrases(text: str) -> Iterator[Phrase]:
    """The phrases of a text that have a meaning in the picture world; see `Lexicon.phrases`."""
    return _LEXICON.phrases(text)


def parse(text: str) -> Facts:
    """Read the facts of an English text about the world; words it does not know are skipped.

    Args:
        text: any text.

    Returns:
        What the text says; of contradictions, the last word counts.
    """
    things: list[ThingFact] = []
    looks: dict[str, object] = {}
    pending = ThingFact("")
    for phrase in phrases(text):
        kind, value = phrase.kind, phrase.value
        if kind == "noun":
            things.append(replace(pending, noun=str(value)))
            pending = ThingFact("")
        elif kind in ("colour", "size", "count"):
            pending = replace(pending, **{kind: value})  # type: ignore[arg-type]
        elif kind != "relation" or things:
            looks[kind] = value
    if len(things) < 2:
        looks.pop("relation", None)
    return Facts(tuple(things), **looks)  # type: ignore[arg-type]


def facts_of(scene: Scene) -> Facts:
    """Everything that a scene holds, as a text would say it."""
    first = scene.things[0]
    if len({t.noun for t in scene.things}) == 1:
        things: tuple[ThingFact, ...] = (ThingFact(first.noun, first.colour, first.size, len(scene.things)),)
    else:
        things = tuple(ThingFact(t.noun, t.colour, t.size) for t in scene.things)
    return Facts(
        things, scene.relation, scene.place, scene.atmosphere, scene.style, scene.composition, scene.defect
    )


def holds(facts: Facts, scene: Scene) -> bool:
    """Whether everything that `facts` says is true of the scene."""
    truth = facts_of(scene)
    looks = ("relation", "place", "atmosphere", "style", "composition", "defect")
    if any(getattr(facts, k) not in (None, getattr(truth, k)) for k in looks):
        return False
    if facts.relation is None:
        pool = list(truth.things)
    else:
        pool = list(truth.things) if len(facts.things) == len(truth.things) else []
        if [t.noun for t in facts.things] != [t.noun for t in pool]:
            return False
    for said in facts.things:
        match = next(
            (
                t
                for t in pool
                if t.noun == said.noun
                and t.count == said.count
                and said.colour in (None, t.colour)
                and said.size in (None, t.size)
            ),
            None,
        )
        if match is None:
            return False
        pool.remove(match)
    return True
