"""Motion words: finding the one that a prompt names, and putting another in its place."""

import re
from functools import lru_cache

import numpy as np

from pipelines.serving.errors import InputError
from pipelines.video.measures import VideoMeasures, measure
from pipelines.world.captions import phrases, plural
from pipelines.world.films import (
    CAMERA_MOTIONS,
    MOTION_WORDS,
    MOTIONS,
    draw_film,
    motion_phrases,
    render_film,
)

REAL_CLIPS = 4  # of each motion, drawn by the world itself, to hold a model's films against
_REAL_SEED = 600_001


def said_motion(prompt: str) -> str | None:
    """The motion that a prompt names; of several the last."""
    found = motion_phrases(prompt)
    return found[-1][2] if found else None


def without_motion(prompt: str) -> str:
    """The prompt with its motion words taken out, and the comma before them."""
    for start, end, _ in reversed(motion_phrases(prompt)):
        left, right = prompt[:start].rstrip(), prompt[end:]
        if not left or left[-1] in ".,;:":  # it stood alone, between stops
            left, right = left.rstrip(",;: "), right.lstrip(",;: ") if not left else right
        prompt = left + right
    return prompt.strip()


def with_motion_word(prompt: str, motion: str) -> str:
    """The prompt with this motion instead of its own, in the usual wording; of several things, as "walking".

    What a thing does stands behind the first thing, what the camera does at the end; a prompt without a
    thing of this world gets the words at its end, too.

    Args:
        prompt: any text.
        motion: one of `MOTIONS`, or "" for none.

    Raises:
        InputError: `word_unknown`.
    """
    if motion and motion not in MOTIONS:
        raise InputError("word_unknown", received=motion, known=", ".join(MOTIONS))
    bare = without_motion(prompt)
    if not motion:
        return bare
    word = MOTION_WORDS[motion][0]
    things = [phrase for phrase in phrases(bare) if phrase.kind == "noun"]
    if motion in CAMERA_MOTIONS or not things:
        body, stop = re.fullmatch(r"(.*?)([.!?]*)", bare, re.DOTALL).groups()  # type: ignore[union-attr]
        return f"{body}, {word}{stop}" if body else word
    start, end = things[0].start, things[0].end
    if bare[start:end].lower() == plural(str(things[0].value)):  # captions have "walks" for one thing alone
        word = MOTION_WORDS[motion][1]
    return f"{bare[:end]} {word}{bare[end:]}"


@lru_cache(maxsize=16)
def real_clips(motion: str | None) -> tuple[VideoMeasures, ...]:
    """Films that the world itself drew with this motion, measured like a model's; None: nothing moves.

    Consistency means little alone: where a thing crosses the picture, frames differ.
    """
    rng = np.random.default_rng(_REAL_SEED)
    out: list[VideoMeasures] = []
    while len(out) < REAL_CLIPS:
        film = draw_film(rng, motion=motion)
        if film.motion == motion:
            out.append(measure(render_film(film, len(out)).frames))
    return tuple(out)
