"""Films of the classroom world: a scene in which something moves, with the truth of every frame.

One thing walks, flies up, falls, jumps, grows or spins, or the camera zooms in or pans; or nothing moves.
16 frames at 8 a second, at the picture's size.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from pipelines.world.captions import Facts, caption, holds, parse, pick
from pipelines.world.layout import SHAPES, draw_scene, lay_out
from pipelines.world.render import render
from pipelines.world.scene import COLOURABLE, Scene, Thing, is_held_out, one_in_ten

FRAMES = 16
FRAMES_PER_SECOND = 8
# The first wording is the usual one, as in `captions`.
THING_MOTIONS = {
    "walks left": ("walks left", "walking left", "walks to the left", "moves left"),
    "walks right": ("walks right", "walking right", "walks to the right", "moves right"),
    "flies up": ("flies up", "flying up", "flies upwards", "rises"),
    "falls": ("falls", "falling", "falls down", "drops"),
    "jumps": ("jumps", "jumping", "hops"),
    "grows": ("grows", "growing", "gets bigger"),
    "spins": ("spins", "spinning", "turns around", "rotates"),
}
CAMERA_MOTIONS = {
    "zooms in": ("camera zooms in", "zoom in", "zooming in"),
    "pans": ("camera pans", "panning shot", "camera pans to the right"),
}
MOTION_WORDS = THING_MOTIONS | CAMERA_MOTIONS
MOTIONS = tuple(MOTION_WORDS)
STILL_SHARE = 0.1
_WIDE = 1.5  # a camera's film is rendered this much larger, and each frame is a window of it
_MEANING = {phrase: motion for motion, phrases in MOTION_WORDS.items() for phrase in phrases}
_LONGEST_FIRST = sorted(_MEANING, key=len, reverse=True)
_SPEAKS = re.compile("|".join(rf"\b{re.escape(phrase)}\b" for phrase in _LONGEST_FIRST), re.IGNORECASE)


@dataclass(frozen=True)
class Film:
    """A scene with one thing, and what moves in it.

    Attributes:
        scene: as the first frame shows it, before the camera.
        motion: one of `MOTIONS`, or None: all stands still.
    """

    scene: Scene
    motion: str | None = None


@dataclass(frozen=True)
class Window:
    """What the camera shows: centre and side, as shares of the rendered scene."""

    x: float = 0.5
    y: float = 0.5
    side: float = 1.0


@dataclass(frozen=True, eq=False)
class Shot:
    """A rendered film.

    Attributes:
        frames: `[frame]` pictures.
        masks: `[frame, y, x]` bool, where the thing is seen.
        track: `[frame, 4]` of the thing in each frame: centre x and y and longest side as shares of the
            picture's side, and how far it is turned, degrees counter-clockwise.
    """

    frames: tuple[Image.Image, ...]
    masks: np.ndarray
    track: np.ndarray


def is_held_out_motion(motion: str | None, noun: str) -> bool:
    """Whether training never shows `noun` in this motion."""
    return motion is not None and one_in_ten(f"{noun}|{motion}")


def _walk(thing: Thing, time: float, direction: int) -> Thing:
    reach = 0.5 - thing.extent * SHAPES[thing.noun][0] / 2 - 0.01
    step = 0.02 * abs(np.sin(4 * np.pi * time))
    # The sprites look to the left.
    return replace(thing, x=0.5 + direction * reach * (2 * time - 1), y=thing.y - step, flip=direction > 0)


def _height(thing: Thing, share: float) -> Thing:
    """The thing between the lower edge (0) and the upper one (1)."""
    half = thing.extent * SHAPES[thing.noun][1] / 2 + 0.01
    return replace(thing, y=1 - half - share * (1 - 2 * half))


def _grow(thing: Thing, time: float) -> Thing:
    extent = 0.16 + 0.5 * time
    return replace(thing, extent=extent, y=0.88 - extent * SHAPES[thing.noun][1] / 2)


_MOVES: dict[str, Callable[[Thing, float], Thing]] = {
    "walks left": lambda thing, time: _walk(thing, time, -1),
    "walks right": lambda thing, time: _walk(thing, time, 1),
    "flies up": _height,
    "falls": lambda thing, time: _height(thing, 1 - time**2),  # faster and faster
    "jumps": lambda thing, time: _height(thing, 2.4 * (2 * time % 1) * (1 - 2 * time % 1)),  # twice
    "grows": _grow,
    "spins": lambda thing, time: replace(thing, angle=360 * time),
}


def window_at(motion: str | None, time: float) -> Window | None:
    """Where the camera looks, 0 <= time < 1; None where it does not move."""
    if motion == "zooms in":
        return Window(0.5, 0.55 - 0.05 * (1 - time), 1 - 0.45 * time)
    if motion == "pans":
        side = 1 / _WIDE
        return Window(side / 2 + (1 - side) * time, 0.58, side)
    return None


def scene_at(film: Film, time: float) -> Scene:
    """The scene at a time from 0 to 1, before the camera."""
    if film.motion not in _MOVES:
        return film.scene
    return replace(film.scene, things=(_MOVES[film.motion](film.scene.things[0], time),))


def draw_film(rng: np.random.Generator, *, unseen: bool = False, motion: str | None = None) -> Film:
    """Draw a film of the training distribution.

    Args:
        rng: source of all randomness.
        unseen: allow combinations that training never shows.
        motion: which; drawn as well where it is not given.
    """
    while True:
        asked = motion or (None if rng.random() < STILL_SHARE else str(rng.choice(MOTIONS)))
        scene = draw_scene(rng, unseen=unseen)
        held_out = not unseen and is_held_out_motion(asked, scene.things[0].noun)
        if _has_room(scene, moves=asked is not None) and not held_out:
            return _set_moving(scene, asked, rng)


def draw_siblings(rng: np.random.Generator, count: int) -> list[Film]:
    """Draw films of one scene that differ in nothing but what moves; combinations held out are left out.

    Args:
        rng: source of all randomness.
        count: how many, each with a motion of its own; in one of them nothing may move.
    """
    while not _has_room(scene := draw_scene(rng), moves=True):
        pass
    shown = [m for m in (*MOTIONS, None) if not is_held_out_motion(m, scene.things[0].noun)]
    motions = [shown[i] for i in rng.choice(len(shown), count, replace=False)]
    if "grows" in motions:  # then no size is true of all of them
        scene = replace(scene, things=(replace(scene.things[0], size=None),))
    return [_set_moving(scene, motion, rng) for motion in motions]


def draw_takes(rng: np.random.Generator, count: int, takes: int) -> tuple[list[list[Film]], list[str]]:
    """Draw siblings over and over, each time in another scene of which the same captions are true.

    Args:
        rng: source of all randomness.
        count: how many siblings; see `draw_siblings`.
        takes: how many scenes.

    Returns:
        `[take][sibling]` films, and a caption for each sibling that holds in every take.
    """
    first = draw_siblings(rng, count)
    captions = sibling_captions(first, rng)
    said, films = parse(_SPEAKS.sub(" ", captions[0])), [first]
    while len(films) < takes:
        scene = _as_said(draw_scene(rng), said, rng)
        if holds(said, scene) and not is_held_out(scene) and _has_room(scene, moves=True):
            films.append([_set_moving(scene, film.motion, rng) for film in first])
    return films, captions


def _as_said(scene: Scene, said: Facts, rng: np.random.Generator) -> Scene:
    """The scene with what is said of its one thing and of its looks; what stays open stays as it was."""
    thing, fact = scene.things[0], said.things[0]
    thing = replace(thing, noun=fact.noun, colour=fact.colour or thing.colour, size=fact.size or thing.size)
    if thing.noun not in COLOURABLE:
        thing = replace(thing, colour=None)
    looks = {k: getattr(said, k) for k in ("place", "atmosphere", "style") if getattr(said, k) is not None}
    return lay_out(replace(scene, things=(thing,), relation=None, **looks), rng)


def _has_room(scene: Scene, moves: bool) -> bool:
    """Whether a scene shows one thing, which may move if it has to."""
    alone = len(scene.things) == 1 and scene.composition is None
    return alone and not (moves and scene.things[0].size == "large")


def _set_moving(scene: Scene, motion: str | None, rng: np.random.Generator) -> Film:
    return Film(replace(scene, things=(_placed(scene.things[0], motion, rng),), defect=None), motion)


def _placed(thing: Thing, motion: str | None, rng: np.random.Generator) -> Thing:
    """Where the motion needs room, the thing stands so that it has it."""
    if motion == "grows":
        thing = replace(thing, size=None)
    if motion in ("flies up", "falls", "jumps", "grows", "spins", "zooms in"):
        return replace(thing, x=rng.uniform(0.38, 0.62), y=rng.uniform(0.5, 0.6))
    if motion == "pans":
        return replace(
            thing, x=rng.uniform(0.42, 0.58), y=rng.uniform(0.6, 0.68), extent=thing.extent / _WIDE
        )
    return thing


def film_caption(film: Film, rng: np.random.Generator) -> str:
    """Write about a film; see `captions.caption`. Its motion is named nine times in ten."""
    if film.motion is None or rng.random() < 0.1:
        return caption(film.scene, rng)
    return _worded(film, pick(rng, MOTION_WORDS[film.motion]), rng)


def sibling_captions(films: list[Film], rng: np.random.Generator) -> list[str]:
    """Write about films of one scene, differently only about what moves, which is always said."""
    said = ["" if film.motion is None else pick(rng, MOTION_WORDS[film.motion]) for film in films]
    seed = int(rng.integers(2**31))
    return [_worded(film, s, np.random.default_rng(seed)) for film, s in zip(films, said, strict=True)]


def _worded(film: Film, said: str, rng: np.random.Generator) -> str:
    if film.motion in CAMERA_MOTIONS:
        return caption(film.scene, rng, extra=said)
    return caption(film.scene, rng, doing=said)


def motion_phrases(text: str) -> list[tuple[int, int, str]]:
    """Where a text names a motion: start and end of the words, and what they mean."""
    return [(m.start(), m.end(), _MEANING[m.group().lower()]) for m in _SPEAKS.finditer(text)]


def parse_motion(text: str) -> str | None:
    """The motion that a text names; of several the last."""
    said = motion_phrases(text)
    return said[-1][2] if said else None


def render_frame(
    film: Film, frame: int, rng: np.random.Generator, size: int = 64
) -> tuple[Image.Image, np.ndarray]:
    """One frame of a film.

    Args:
        film: what to show.
        frame: 0 to `FRAMES` - 1.
        rng: in the same state for every frame of a film, so that nothing else changes.
        size: side of the picture, px.

    Returns:
        The picture, and `[y, x]` bool mask of the thing.
    """
    time = frame / FRAMES
    scene, window = scene_at(film, time), window_at(film.motion, time)
    if window is None:
        image, masks = render(scene, rng, size)
        return image, masks[0]
    image, masks = render(scene, rng, round(size * _WIDE))
    half = window.side / 2
    left, top, right, bottom = (
        image.width * edge for edge in (window.x - half, window.y - half, window.x + half, window.y + half)
    )
    box = (left, top, right, bottom)
    seen = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    mask = Image.fromarray(masks[0]).convert("L").resize((size, size), Image.Resampling.BILINEAR, box=box)
    return seen, np.asarray(mask) > 127


def render_film(film: Film, seed: int, size: int = 64) -> Shot:
    """All frames of a film.

    Args:
        film: what to show.
        seed: of textures, grain and other things that no caption names; the same in all frames.
        size: side of the pictures, px.
    """
    drawn = [render_frame(film, frame, np.random.default_rng(seed), size) for frame in range(FRAMES)]
    track = np.array([_tracked(film, frame / FRAMES) for frame in range(FRAMES)], np.float32)
    return Shot(tuple(image for image, _ in drawn), np.stack([mask for _, mask in drawn]), track)


def _tracked(film: Film, time: float) -> tuple[float, float, float, float]:
    thing, window = scene_at(film, time).things[0], window_at(film.motion, time) or Window()
    x = (thing.x - window.x) / window.side + 0.5
    y = (thing.y - window.y) / window.side + 0.5
    return x, y, thing.extent / window.side, thing.angle
