"""Where things stand, and how a scene is drawn at random."""

from dataclasses import replace

import numpy as np

from pipelines.world.scene import (
    ATMOSPHERES,
    COLOURABLE,
    COLOURS,
    COMPOSITIONS,
    DEFECTS,
    NOUNS,
    PLACES,
    RELATIONS,
    SIZES,
    STYLES,
    Scene,
    Thing,
    is_held_out,
)

EXTENT = {"small": 0.30, None: 0.45, "large": 0.68}  # longest side, share of the picture's side
# The sprites are cropped to their ink: width and height as shares of the longer one, in `NOUNS`' order.
SHAPES = dict(
    zip(
        NOUNS,
        (
            (0.89, 1), (0.95, 1), (0.81, 1), (1, 0.84), (1, 0.91), (1, 0.68), (1, 0.98), (0.89, 1),
            (1, 0.63), (0.91, 1), (1, 0.59), (0.64, 1), (0.69, 1), (1, 0.99), (0.99, 1), (0.96, 1),
        ),
        strict=True,
    )
)  # fmt: skip
# How far the thing that stands "on" it sinks into it, share of its height.
_SEAT = {"bed": 0.40, "chair": 0.50, "boat": 0.45, "car": 0.12, "horse": 0.30, "drum": 0.10}
_IN_A_PAIR = {"small": 0.7, None: 1.0, "large": 1.3}  # extents beside another thing, relative to medium


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
        extent, y = rng.uniform(0.19, 0.24), rng.uniform(0.55, 0.75)
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
        y += rng.uniform(-0.06, 0.06) if rows == 1 else rng.uniform(-0.015, 0.015)
        copies.append(replace(thing, x=_clamp(x, extent), y=_clamp(y, extent), extent=extent))
    return tuple(copies)


Place = tuple[float, float, float]  # x, y, extent


def _box(thing: Thing, extent: float) -> tuple[float, float]:
    """Width and height of a thing, shares of the picture's side."""
    width, height = SHAPES[thing.noun]
    return extent * width, extent * height


def _stacked(
    a: Thing, b: Thing, relation: str, extents: tuple[float, float], rng: np.random.Generator
) -> tuple[Place, Place]:
    """One above the other: "on" and "under" touch, "above" and "below" keep a gap."""
    first_is_upper, touching = relation in ("on", "above"), relation in ("on", "under")
    heights = [_box(t, e)[1] for t, e in zip((a, b), extents, strict=True)]
    top, low = heights if first_is_upper else reversed(heights)
    seat = _SEAT.get((b if first_is_upper else a).noun, 0.08)
    gap = -seat * low if touching else rng.uniform(0.1, 0.16)
    shrink = min(1.0, 0.94 / (top + low + gap))
    top, low, gap = top * shrink, low * shrink, gap * shrink
    y_low = rng.uniform(max(0.80, top + low / 2 + gap + 0.02), 0.98) - low / 2
    y_low = max(y_low, top + gap + low / 2 + 0.01)
    y_top = y_low - low / 2 - gap - top / 2
    x = rng.uniform(0.35, 0.65)
    upper, lower = (x + rng.uniform(-0.05, 0.05), y_top), (x, y_low)
    one, two = (upper, lower) if first_is_upper else (lower, upper)
    return (*one, extents[0] * shrink), (*two, extents[1] * shrink)


def _one_behind_the_other(
    near: Thing, far: Thing, near_extent: float, far_extent: float, rng: np.random.Generator
) -> tuple[Place, Place]:
    """The near thing stands lower and covers a part of the far one."""
    x, y = rng.uniform(0.35, 0.65), rng.uniform(0.52, 0.6)
    side = float(rng.choice([-1, 1])) * rng.uniform(0.05, 0.12)
    feet = y + _box(far, far_extent)[1] / 2 + rng.uniform(0.04, 0.08)
    return (x + side, feet - _box(near, near_extent)[1] / 2, near_extent), (x, y, far_extent)


def _beside(
    left: Thing,
    right: Thing,
    gap: float,
    jitter: float,
    extents: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[Place, Place]:
    """Side by side on one ground, `jitter` apart in height."""
    widths = [_box(t, e)[0] for t, e in zip((left, right), extents, strict=True)]
    shrink = min(1.0, (0.96 - gap) / sum(widths))
    (w1, h1), (w2, h2) = (_box(t, e * shrink) for t, e in zip((left, right), extents, strict=True))
    start, ground = rng.uniform(0.02, max(0.021, 0.98 - w1 - w2 - gap)), rng.uniform(0.83, 0.93)
    return (
        (start + w1 / 2, ground - h1 / 2, extents[0] * shrink),
        (start + w1 + gap + w2 / 2, ground - h2 / 2 + jitter, extents[1] * shrink),
    )


def _pair_places(a: Thing, b: Thing, relation: str | None, rng: np.random.Generator) -> tuple[Place, Place]:
    base = {"behind": (0.50, 0.36), "in front of": (0.36, 0.56)}.get(relation or "", (0.40, 0.46))
    ea, eb = (e * _IN_A_PAIR[t.size] * rng.uniform(0.95, 1.05) for e, t in zip(base, (a, b), strict=True))
    if relation in ("on", "under", "above", "below"):
        return _stacked(a, b, relation, (ea, eb), rng)
    if relation == "in front of":
        return _one_behind_the_other(a, b, ea, eb, rng)
    if relation == "behind":
        near, far = _one_behind_the_other(b, a, eb, ea, rng)
        return far, near
    first_is_left = relation == "left of" or (relation in (None, "next to") and rng.random() < 0.5)
    close = relation == "next to"
    gap = rng.uniform(0.0, 0.03) if close else rng.uniform(0.12, 0.2)
    jitter = 0.0 if close else rng.uniform(-0.06, 0.06)
    if first_is_left:
        return _beside(a, b, gap, jitter, (ea, eb), rng)
    right, left = reversed(_beside(b, a, gap, jitter, (eb, ea), rng))
    return right, left


def _lay_out_pair(a: Thing, b: Thing, relation: str | None, rng: np.random.Generator) -> tuple[Thing, Thing]:
    """Positions that make the relation of `a` to `b` true, and visibly so."""

    def put(thing: Thing, place: Place) -> Thing:
        x, y, extent = place
        width, height = _box(thing, extent)
        return replace(thing, x=_clamp(x, width), y=_clamp(y, height), extent=extent)

    one, two = _pair_places(a, b, relation, rng)
    return put(a, one), put(b, two)


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
