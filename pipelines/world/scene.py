"""What the classroom world consists of, and how a scene is drawn at random.

A scene is a frozen record of everything that is in a picture. It is the ground truth
that captions are written from, that pictures are rendered from and that scorers check.
"""

import zlib
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

NOUNS = (
    "cat dog rabbit bird horse fish house tree car boat bed chair flower ball guitar drum".split()
)
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

EXTENT = {"small": 0.26, None: 0.42, "large": 0.64}  # longest side, share of the picture's side
# How far the thing that stands "on" it sinks into it, share of its height.
_SEAT = {"bed": 0.40, "chair": 0.50, "boat": 0.45, "car": 0.12, "horse": 0.30, "drum": 0.10}


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
    """

    noun: str
    colour: str | None = None
    size: str | None = None
    x: float = 0.5
    y: float = 0.7
    extent: float = EXTENT[None]
    flip: bool = False


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


def _one_in_ten(key: str) -> bool:
    return key not in _ALWAYS_SEEN and zlib.crc32(key.encode()) % 10 == 0


def is_held_out_colour(colour: str | None, noun: str) -> bool:
    """Whether training never shows `noun` in `colour`."""
    return colour is not None and _one_in_ten(f"{colour}|{noun}")


def is_held_out_relation(a: str, relation: str | None, b: str) -> bool:
    """Whether training never shows `a` in `relation` to `b`, nor `b` in the inverse relation to `a`."""
    if relation is None:
        return False
    if relation in _INVERSE:
        a, relation, b = b, _INVERSE[relation], a
    if relation == "next to":
        a, b = sorted((a, b))
    return _one_in_ten(f"{a}|{relation}|{b}")


def is_held_out_look(atmosphere: str | None, style: str) -> bool:
    """Whether training never shows `style` under `atmosphere`."""
    return atmosphere is not None and _one_in_ten(f"{atmosphere}|{style}")


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


def _maybe(rng: np.random.Generator, share: float, values: tuple[str, ...]) -> str | None:
    return str(rng.choice(values)) if rng.random() < share else None


def _draw_colour(rng: np.random.Generator, noun: str) -> str | None:
    return _maybe(rng, 0.6, tuple(COLOURS)) if noun in COLOURABLE else None


def _clamp(value: float, extent: float) -> float:
    """Keep a thing of this extent inside the picture (a close-up may reach beyond it)."""
    low = min(extent / 2, 0.5)
    return float(np.clip(value, low, 1 - low))


def _lay_out_one(thing: Thing, composition: str | None, rng: np.random.Generator) -> Thing:
    extent = EXTENT[thing.size] * rng.uniform(0.93, 1.07)
    x, y = rng.uniform(0.15, 0.85), rng.uniform(0.55, 0.85)
    if composition == "centered":
        x, y = 0.5, 0.5
    elif composition == "top-down":
        y = rng.uniform(0.2, 0.8)
    elif composition == "wide shot":
        extent, y = rng.uniform(0.17, 0.22), rng.uniform(0.55, 0.75)
    elif composition == "close-up":
        extent, x, y = rng.uniform(0.95, 1.1), rng.uniform(0.42, 0.58), rng.uniform(0.48, 0.6)
    return replace(thing, x=_clamp(x, extent), y=_clamp(y, extent), extent=extent)


def _lay_out_copies(thing: Thing, count: int, rng: np.random.Generator) -> tuple[Thing, ...]:
    """Copies side by side in one row (two, three) or two rows (four), never overlapping."""
    columns = 2 if count == 4 else count
    rows = -(-count // columns)
    extent = min(EXTENT[thing.size], 0.9 / columns, 0.42) * rng.uniform(0.88, 0.98)
    copies = []
    for i in range(count):
        row, column = divmod(i, columns)
        x = (column + 0.5) / columns + rng.uniform(-0.02, 0.02)
        y = 0.7 if rows == 1 else 0.30 + 0.45 * row
        y += rng.uniform(-0.06, 0.06)
        copies.append(replace(thing, x=_clamp(x, extent), y=_clamp(y, extent), extent=extent))
    return tuple(copies)


def _lay_out_pair(a: Thing, b: Thing, relation: str | None, rng: np.random.Generator) -> tuple[Thing, Thing]:
    """Geometry of each relation; "next to" touches, "left of" keeps a gap, "on" touches, "above" floats."""
    scale = {"small": 0.62, None: 1.0, "large": 1.3}
    ea, eb = (0.33 * scale[a.size], 0.42 * scale[b.size]) if relation != "behind" else (
        0.44 * scale[a.size],
        0.30 * scale[b.size],
    )
    if relation == "in front of":
        ea, eb = 0.30 * scale[a.size], 0.50 * scale[b.size]
    ea, eb = ea * rng.uniform(0.95, 1.05), eb * rng.uniform(0.95, 1.05)
    shift = rng.uniform(-0.05, 0.05)
    if relation in ("on", "under", "above", "below"):
        top, low = (ea, eb) if relation in ("on", "above") else (eb, ea)
        lower_noun = b.noun if relation == "on" else a.noun
        gap = -_SEAT.get(lower_noun, 0.08) * low if relation in ("on", "under") else rng.uniform(0.1, 0.16)
        shrink = min(1.0, 0.94 / (top + low + gap))
        top, low, gap = top * shrink, low * shrink, gap * shrink
        y_low = rng.uniform(max(0.80, top + low / 2 + gap + 0.02), 0.98) - low / 2
        y_low = max(y_low, top + gap + low / 2 + 0.01)
        y_top = y_low - low / 2 - gap - top / 2
        x = rng.uniform(0.35, 0.65)
        upper, lower = (x + shift, y_top, top), (x, y_low, low)
        pa, pb = (upper, lower) if relation in ("on", "above") else (lower, upper)
    elif relation in ("in front of", "behind"):
        front, back = (ea, eb) if relation == "in front of" else (eb, ea)
        x, y = rng.uniform(0.35, 0.65), rng.uniform(0.52, 0.6)
        side = rng.choice([-1, 1]) * rng.uniform(0.05, 0.12)
        far = (x, y, back)
        near = (x + side, y + back / 2 - front / 2 + rng.uniform(0.06, 0.1), front)
        pa, pb = (near, far) if relation == "in front of" else (far, near)
    else:
        left = relation == "left of" or (relation in (None, "next to") and rng.random() < 0.5)
        gap = rng.uniform(0.0, 0.03) if relation == "next to" else rng.uniform(0.12, 0.2)
        shrink = min(1.0, (0.96 - gap) / (ea + eb))
        ea, eb = ea * shrink, eb * shrink
        start = rng.uniform(0.02, max(0.021, 0.98 - ea - eb - gap))
        first, second = (ea, eb) if left else (eb, ea)
        y = rng.uniform(0.68, 0.78)
        jitter = 0.0 if relation == "next to" else rng.uniform(-0.06, 0.06)
        one = (start + first / 2, y - first / 2 + 0.15, first)
        two = (start + first + gap + second / 2, y - second / 2 + 0.15 + jitter, second)
        pa, pb = (one, two) if left else (two, one)
    return tuple(  # type: ignore[return-value]
        replace(t, x=_clamp(x, e), y=_clamp(y, e), extent=e) for t, (x, y, e) in ((a, pa), (b, pb))
    )


def _draw_things(rng: np.random.Generator, composition: str | None) -> tuple[tuple[Thing, ...], str | None]:
    kind = rng.random()
    first = str(rng.choice(NOUNS))
    sizes = SIZES if composition not in ("wide shot", "close-up") else ()
    size = _maybe(rng, 0.6, sizes) if sizes else None
    a = Thing(first, _draw_colour(rng, first), size, flip=bool(rng.random() < 0.5))
    if kind < 0.5 or composition in ("close-up", "wide shot", "centered"):
        return (_lay_out_one(a, composition, rng),), None
    if kind < 0.64:
        return _lay_out_copies(replace(a, size=None), int(rng.integers(2, 5)), rng), None
    second = str(rng.choice([n for n in NOUNS if n != first]))
    b = Thing(second, _draw_colour(rng, second), flip=bool(rng.random() < 0.5))
    relation = _maybe(rng, 0.85, RELATIONS)
    a = replace(a, size=a.size if rng.random() < 0.5 else None)
    return _lay_out_pair(a, b, relation, rng), relation


def lay_out(scene: Scene, rng: np.random.Generator) -> Scene:
    """Give the things of a scene positions that make its relation, sizes and composition true."""
    things = scene.things
    if len(things) == 1:
        placed: tuple[Thing, ...] = (_lay_out_one(things[0], scene.composition, rng),)
    elif len({t.noun for t in things}) == 1:
        placed = _lay_out_copies(things[0], len(things), rng)
    else:
        placed = _lay_out_pair(things[0], things[1], scene.relation, rng)
    return replace(scene, things=placed)


def draw_scene(rng: np.random.Generator, *, unseen: bool = False) -> Scene:
    """Draw a scene of the training distribution.

    Args:
        rng: source of all randomness; the same state gives the same scene.
        unseen: allow the combinations that training never shows.

    Returns:
        A scene; with `unseen=False` never one of the held-out combinations.
    """
    while True:
        composition = _maybe(rng, 0.35, COMPOSITIONS)
        things, relation = _draw_things(rng, composition)
        places = PLACES[:-1] if composition == "top-down" else PLACES
        scene = Scene(
            things,
            relation,
            place=str(rng.choice(places)),
            atmosphere=_maybe(rng, 0.5, ATMOSPHERES),
            style=str(rng.choice(STYLES, p=[0.35, 0.21, 0.11, 0.11, 0.11, 0.11])),
            composition=composition,
            defect=_maybe(rng, 0.1, DEFECTS),
        )
        if unseen or not is_held_out(scene):
            return scene
