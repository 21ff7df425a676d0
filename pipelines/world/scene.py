"""What the classroom world consists of, and what training never shows.

A scene is a frozen record of everything that is in a picture. It is the ground truth
that captions are written from, that pictures are rendered from and that scorers check.
"""

import zlib
from dataclasses import dataclass
from itertools import product

NOUNS = tuple("cat dog rabbit bird horse fish house tree car boat bed chair flower ball guitar drum".split())
COLOURS = {
    "red": (0.86, 0.10, 0.12),
    "orange": (0.98, 0.52, 0.05),
    "yellow": (0.98, 0.87, 0.10),
    "green": (0.12, 0.66, 0.22),
    "blue": (0.12, 0.36, 0.90),
    "purple": (0.56, 0.20, 0.76),
    "black": (0.11, 0.11, 0.13),
    "white": (0.97, 0.97, 0.97),
}
COLOURABLE = frozenset(NOUNS) - {"tree", "drum"}
SIZES = ("small", "large")
RELATIONS = (
    "on",
    "under",
    "in front of",
    "behind",
    "next to",
    "left of",
    "right of",
    "above",
    "below",
)
PLACES = ("room", "meadow", "street", "beach", "snow", "sea", "night sky")
ATMOSPHERES = ("cozy", "dim", "warm", "moody", "dramatic", "bright", "at night")
STYLES = ("cartoon", "photorealistic", "surreal", "pencil sketch", "pixel art", "watercolor")
COMPOSITIONS = ("centered", "top-down", "wide shot", "close-up")
DEFECTS = ("text", "blur", "watermark")

# "A under B" shows the same picture as "B on A": what is held out is held out both ways.
_INVERSE = {"under": "on", "behind": "in front of", "right of": "left of", "below": "above"}
# Combinations that a lecture needs are never held out.
_ALWAYS_SEEN = frozenset({"cat|on|bed", "cat|in front of|house", "blue|car", "dramatic|cartoon"})


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    Attributes:
        noun: one of `NOUNS`.
        colour: one of `COLOURS`, or None for the sprite's own colours.
        size: "small", "large", or None for neither.
        x, y: centre, as shares of the picture's width and height, 0..1.
        extent: longest side, as a share of the picture's side.
        flip: mirrored left to right.
        angle: how far it is turned, degrees counter-clockwise.
    """

    noun: str
    colour: str | None = None
    size: str | None = None
    x: float = 0.5
    y: float = 0.7
    extent: float = 0.42
    flip: bool = False
    angle: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Everything a picture of the world shows.

    `things[0]` stands in `relation` to `things[1]`. Without a relation, several things are
    copies of one noun (counting) or two nouns side by side.
    """

    things: tuple[Thing, ...]
    relation: str | None = None
    place: str = "meadow"
    atmosphere: str | None = None
    style: str = "cartoon"
    composition: str | None = None
    defect: str | None = None

    @property
    def painted(self) -> tuple[int, ...]:
        """Indices of `things`, the farthest first."""
        return (0, 1) if self.relation == "behind" else tuple(reversed(range(len(self.things))))


def one_in_ten(key: str) -> bool:
    """Whether the combination of this name is one of those that training never shows."""
    return key not in _ALWAYS_SEEN and zlib.crc32(key.encode()) % 10 == 0


def is_held_out_colour(colour: str | None, noun: str) -> bool:
    """Whether training never shows `noun` in `colour`."""
    return colour is not None and one_in_ten(f"{colour}|{noun}")


def is_held_out_relation(a: str, relation: str | None, b: str) -> bool:
    """Whether training never shows `a` in `relation` to `b`, nor `b` in the inverse relation to `a`."""
    if relation is None:
        return False
    if relation in _INVERSE:
        a, relation, b = b, _INVERSE[relation], a
    if relation == "next to":
        a, b = sorted((a, b))
    return one_in_ten(f"{a}|{relation}|{b}")


def is_held_out_look(atmosphere: str | None, style: str) -> bool:
    """Whether training never shows `style` under `atmosphere`."""
    return atmosphere is not None and one_in_ten(f"{atmosphere}|{style}")


def is_held_out(scene: Scene) -> bool:
    """Whether a scene has any combination that training never shows."""
    pair = len(scene.things) == 2 and scene.relation is not None
    return (
        any(is_held_out_colour(t.colour, t.noun) for t in scene.things)
        or (pair and is_held_out_relation(scene.things[0].noun, scene.relation, scene.things[1].noun))
        or is_held_out_look(scene.atmosphere, scene.style)
    )


def held_out_combinations() -> dict[str, list[tuple[str, ...]]]:
    """All combinations that training never shows, by kind."""
    return {
        "colour": [
            (c, n) for c, n in product(COLOURS, NOUNS) if n in COLOURABLE and is_held_out_colour(c, n)
        ],
        "relation": [
            (a, r, b)
            for a, r, b in product(NOUNS, RELATIONS, NOUNS)
            if a != b and is_held_out_relation(a, r, b)
        ],
        "look": [(a, s) for a, s in product(ATMOSPHERES, STYLES) if is_held_out_look(a, s)],
    }
