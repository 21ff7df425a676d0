"""The prompts of `make evaluate`: deterministic, with the facts that a picture of each must hold.

The first six categories follow GenEval (Ghosh et al. 2023, arXiv:2310.11513, section 3.1).
"""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.world.captions import Facts, ThingFact, parse
from pipelines.world.layout import draw_scene, lay_out
from pipelines.world.scene import (
    ATMOSPHERES,
    COLOURABLE,
    COLOURS,
    COMPOSITIONS,
    NOUNS,
    PLACES,
    RELATIONS,
    SIZES,
    STYLES,
    Scene,
    Thing,
    held_out_combinations,
    is_held_out_colour,
    is_held_out_look,
    is_held_out_relation,
)

GENEVAL = ("single", "two", "counting", "colours", "position", "attribution")
GENEVAL_RELATIONS = ("left of", "right of", "above", "below")
OWN = ("size", "place", "atmosphere", "style", "composition")
LECTURE = (
    "A small cat on a bed.",
    "A  cat in front of a House.",
    "A cat. Cozy atmosphere. Dimm lighting.",
)
TIDY = "A cat. Cozy atmosphere. Dim lighting."  # the third, as one would spell it
NUMBERS = {2: "two", 3: "three", 4: "four"}
PLACE_WORDS = {
    "room": "in a room",
    "meadow": "in a meadow",
    "street": "on a street",
    "beach": "on the beach",
    "snow": "in the snow",
    "sea": "in the sea",
    "night sky": "in the night sky",
}
LIGHT_WORDS = {
    "cozy": "cozy atmosphere",
    "dim": "dim lighting",
    "warm": "warm light",
    "moody": "moody atmosphere",
    "dramatic": "dramatic lighting",
    "bright": "bright light",
    "at night": "at night",
}


@dataclass(frozen=True)
class EvalPrompt:
    """A prompt and what its picture must show."""

    text: str
    facts: Facts


def _prompt(text: str) -> EvalPrompt:
    return EvalPrompt(text, parse(text))


def _plural(noun: str) -> str:
    return noun if noun == "fish" else noun + "s"


def _seen_pair(rng: np.random.Generator, relation: str | None = None) -> tuple[str, str]:
    while True:
        a, b = (str(n) for n in rng.choice(NOUNS, 2, replace=False))
        if relation is None or not is_held_out_relation(a, relation, b):
            return a, b


def _seen_colour(rng: np.random.Generator, nouns: tuple[str, ...] = NOUNS) -> tuple[str, str]:
    while True:
        noun, colour = str(rng.choice([n for n in nouns if n in COLOURABLE])), str(rng.choice(list(COLOURS)))
        if not is_held_out_colour(colour, noun):
            return colour, noun


def _one(category: str, i: int, rng: np.random.Generator) -> str:
    """Prompt number `i` of a category; the values in question take turns."""
    noun = NOUNS[i % len(NOUNS)]
    if category == "single":
        return ("a {}", "one {}", "A {}.", "the {}")[i // len(NOUNS) % 4].format(noun)
    if category == "two":
        a, b = _seen_pair(rng)
        return f"a {a} and a {b}"
    if category == "counting":
        return f"{NUMBERS[2 + i % 3]} {_plural(NOUNS[i // 3 % len(NOUNS)])}"
    if category == "colours":
        colour, noun = _seen_colour(rng)
        return f"a {colour} {noun}"
    if category in ("position", "relation"):
        relations = GENEVAL_RELATIONS if category == "position" else RELATIONS
        relation = relations[i % len(relations)]
        a, b = _seen_pair(rng, relation)
        return f"a {a} {relation} a {b}"
    if category == "attribution":
        colour, a = _seen_colour(rng)
        other, b = _seen_colour(rng, tuple(n for n in NOUNS if n != a))
        return f"a {colour} {a} and a {other} {b}"
    if category == "size":
        return f"a {SIZES[i % 2]} {NOUNS[i // 2 % len(NOUNS)]}"
    if category == "place":
        return f"a {rng.choice(NOUNS)!s} {PLACE_WORDS[PLACES[i % len(PLACES)]]}"
    if category == "atmosphere":
        return f"a {rng.choice(NOUNS)!s}, {LIGHT_WORDS[ATMOSPHERES[i % len(ATMOSPHERES)]]}"
    if category == "style":
        return f"a {rng.choice(NOUNS)!s}, {STYLES[i % len(STYLES)]}"
    return f"a {rng.choice(NOUNS)!s}, {COMPOSITIONS[i % len(COMPOSITIONS)]}"


def prompts_of(category: str, count: int = 50) -> list[EvalPrompt]:
    """The prompts of one category; the same list in every run."""
    rng = np.random.default_rng([31, *category.encode()])
    return [_prompt(_one(category, i, rng)) for i in range(count)]


def unseen_and_seen(count: int = 50) -> tuple[list[EvalPrompt], list[EvalPrompt]]:
    """Prompts of held-out combinations, and as many of the same kinds that training shows."""
    rng = np.random.default_rng(77)
    held_out = held_out_combinations()
    unseen, seen = [], []
    for i in range(count):
        kind = ("colour", "relation", "look")[i % 3]
        options = held_out[kind]
        pick = options[int(rng.integers(len(options)))]
        if kind == "colour":
            unseen.append(f"a {pick[0]} {pick[1]}")
            seen.append("a {} {}".format(*_seen_colour(rng)))
        elif kind == "relation":
            unseen.append(f"a {pick[0]} {pick[1]} a {pick[2]}")
            a, b = _seen_pair(rng, pick[1])
            seen.append(f"a {a} {pick[1]} a {b}")
        else:
            noun = str(rng.choice(NOUNS))
            unseen.append(f"a {noun}, {LIGHT_WORDS[pick[0]]}, {pick[1]}")
            looks = [(a, s) for a in ATMOSPHERES for s in STYLES if not is_held_out_look(a, s)]
            light, style = looks[int(rng.integers(len(looks)))]
            seen.append(f"a {noun}, {LIGHT_WORDS[light]}, {style}")
    return [_prompt(t) for t in unseen], [_prompt(t) for t in seen]


def inviting(count: int = 50) -> list[tuple[EvalPrompt, str]]:
    """Prompts that invite a defect, each with the negative prompt that names it."""
    words = ("text", "blur", "watermark")
    nouns = [NOUNS[i % len(NOUNS)] for i in range(count)]
    return [(_prompt(f"a {noun}, {words[i % 3]}"), words[i % 3]) for i, noun in enumerate(nouns)]


def scene_for(facts: Facts, rng: np.random.Generator) -> Scene:
    """A random scene that holds the given facts; what they leave open is drawn as in training.

    Args:
        facts: at least one thing; at most two nouns, at most one with a count above one.
        rng: source of everything that the facts leave open.
    """
    while True:
        base = draw_scene(rng, unseen=True)
        # An object's size is read against the frame: wide shots and close-ups change the frame.
        sized = any(t.size for t in facts.things)
        if facts.composition is not None or sized or len(facts.things) > 1 or facts.things[0].count > 1:
            base = replace(base, composition=facts.composition)
        if not (base.composition == "top-down" and (facts.place or base.place) == "night sky"):
            break
    things = tuple(
        Thing(t.noun, t.colour or _free_colour(rng, t), t.size, flip=bool(rng.random() < 0.5))
        for t in facts.things
        for _ in range(t.count)
    )
    if len(facts.things) == 1 and things[0].colour is not None:
        things = tuple(replace(t, colour=things[0].colour) for t in things)
    relation = facts.relation if len(facts.things) == 2 else None
    looks = {k: getattr(facts, k) or getattr(base, k) for k in ("place", "atmosphere", "style")}
    scene = Scene(things, relation, composition=base.composition, defect=facts.defect, **looks)
    return lay_out(scene, rng)


def _free_colour(rng: np.random.Generator, thing: ThingFact) -> str | None:
    takes_one = thing.noun in COLOURABLE and rng.random() < 0.6
    return str(rng.choice(list(COLOURS))) if takes_one else None
