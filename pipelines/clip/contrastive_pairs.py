"""Pairs to learn from: chosen ones, some that no step ever sees, and many more of the same world."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageOps

from pipelines.clip.clip_matrix import LONGEST_TEXT, SAMPLE_SIZE
from pipelines.serving.checks import has_lone_surrogate
from pipelines.serving.errors import InputError
from pipelines.world.captions import PLACE_WORDS
from pipelines.world.layout import lay_out
from pipelines.world.render import render
from pipelines.world.scene import COLOURABLE, COLOURS, NOUNS, PLACES, Scene, Thing

FEWEST, MOST = 2, 8  # pairs
POOL = 400  # more scenes
_READ = 64  # px; what CLIP in small reads
_POOL_SEED, _FIRST_SEED = 17, 3
_UNSEEN = ("unseen_images", "unseen_captions", "unseen_subjects")


@dataclass(frozen=True)
class Subject:
    """What a picture of these pairs shows: one thing at one place."""

    noun: str
    colour: str | None
    place: str

    @property
    def caption(self) -> str:
        thing = f"{self.colour} {self.noun}" if self.colour else self.noun
        return f"{'An' if thing[0] in 'aeiou' else 'A'} {thing} {PLACE_WORDS[self.place][0]}."

    def draw(self, rng: np.random.Generator, size: int = SAMPLE_SIZE) -> Image.Image:
        """A picture; where the thing stands and how large it is, is drawn at random."""
        extent = ("large", None)[int(rng.integers(2))]
        scene = Scene((Thing(self.noun, self.colour, extent, flip=bool(rng.integers(2))),), place=self.place)
        return render(lay_out(scene, rng), rng, size)[0]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pictures with their captions, and others to check what was understood.

    Attributes:
        images, captions: of the pairs; caption i belongs to picture i.
        unseen_images, unseen_captions: whole multiples of as many pairs, which are never trained on.
        unseen_subjects: what they show.
        subjects: what the pictures show, where the app drew them itself.
    """

    images: tuple[Image.Image, ...]
    captions: tuple[str, ...]
    unseen_images: tuple[Image.Image, ...]
    unseen_captions: tuple[str, ...]
    unseen_subjects: tuple[Subject, ...]
    subjects: tuple[Subject | None, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def mixed(self) -> bool:
        """Whether the unseen ones are the same things at each other's places."""
        nouns = {None if subject is None else subject.noun for subject in self.subjects}
        return nouns >= {subject.noun for subject in self.unseen_subjects}

    def with_captions(self, captions: Sequence[str]) -> "Pairs":
        """The same pictures under other captions."""
        return replace(self, captions=tuple(captions))

    def validated(self) -> "Pairs":
        """The pairs themselves.

        Raises:
            InputError: `pairs_count`, `pairs_uneven`, `caption_empty`, `text_broken`, `text_too_long`,
                `pictures_same`.
        """
        if not FEWEST <= len(self.images) <= MOST:
            raise InputError("pairs_count", received=len(self.images), fewest=FEWEST, most=MOST)
        _check_captions(self.captions)
        if len(self.captions) != len(self.images):
            raise InputError("pairs_uneven", pictures=len(self.images), captions=len(self.captions))
        _check_pictures(self.images)
        return self


def _check_captions(captions: Sequence[str]) -> None:
    for number, text in enumerate(captions, 1):
        if not text.strip():
            raise InputError("caption_empty", number=number)
        if has_lone_surrogate(text):
            raise InputError("text_broken")
        if len(text) > LONGEST_TEXT:
            raise InputError("text_too_long", number=number, received=len(text), most=LONGEST_TEXT)


def _check_pictures(images: Sequence[Image.Image]) -> None:
    """No two are the same as the model sees them: it could never tell them apart."""
    seen: dict[bytes, int] = {}
    for number, image in enumerate(images, 1):
        pixels = image.convert("RGB").resize((_READ, _READ), Image.Resampling.BICUBIC).tobytes()
        if pixels in seen:
            raise InputError("pictures_same", first=seen[pixels], second=number)
        seen[pixels] = number


_FIRST = (
    Subject("cat", None, "room"), Subject("dog", None, "meadow"), Subject("car", "blue", "beach"),
    Subject("flower", "red", "snow"), Subject("boat", None, "sea"), Subject("bird", None, "night sky"),
    Subject("chair", "green", "street"), Subject("rabbit", None, "snow"),
)  # fmt: skip


@lru_cache(maxsize=MOST)
def first_pairs(count: int = 5) -> Pairs:
    """The scenes that the tab opens with, always the same.

    Args:
        count: 2 to 8.

    Raises:
        InputError: `pairs_count`.
    """
    return _drawn(_FIRST[:count], count, np.random.default_rng(_FIRST_SEED))


def draw_pairs(count: int, seed: int) -> Pairs:
    """Fresh scenes: no thing occurs twice, and no place unless there are more pairs than places.

    Args:
        count: 2 to 8.
        seed: the same seed draws the same scenes.

    Raises:
        InputError: `pairs_count`.
    """
    rng = np.random.default_rng(seed)
    nouns = [str(noun) for noun in rng.permutation(NOUNS)[:MOST]]
    places = [str(place) for place in rng.permutation(PLACES)]
    places.append(places[3])  # more than two away from its twin, so that no mixture below is a pair again
    subjects = [Subject(n, _colour(n, rng), p) for n, p in zip(nouns, places, strict=True)]
    return _drawn(subjects[:count], count, rng)


def _colour(noun: str, rng: np.random.Generator) -> str | None:
    return str(rng.choice(list(COLOURS))) if noun in COLOURABLE and rng.random() < 0.5 else None


def _drawn(subjects: Sequence[Subject], count: int, rng: np.random.Generator) -> Pairs:
    if not FEWEST <= count <= MOST:
        raise InputError("pairs_count", received=count, fewest=FEWEST, most=MOST)
    images = tuple(subject.draw(rng) for subject in subjects)
    unseen = _mixtures(subjects)
    drawn = tuple(subject.draw(rng) for subject in unseen)
    captions, others = (tuple(s.caption for s in group) for group in (subjects, unseen))
    return Pairs(images, captions, drawn, others, unseen, tuple(subjects))


def _mixtures(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """The same things at each other's places: every word was seen, no combination was.

    One or two for each thing, as many as all have; none where all stand at one place.
    """
    lent = [_other_places(subjects, i) for i in range(len(subjects))]
    rounds = min(2, *map(len, lent))
    return tuple(replace(s, place=lent[i][turn]) for turn in range(rounds) for i, s in enumerate(subjects))


def _other_places(subjects: Sequence[Subject], own: int) -> list[str]:
    """Where the others stand, the next one's place first."""
    following = (*subjects[own + 1 :], *subjects[:own])
    return list(dict.fromkeys(s.place for s in following if s.place != subjects[own].place))


def without(pairs: Pairs, place: int) -> Pairs:
    """The pairs but one; what is never trained on follows from those that are left.

    Args:
        pairs: drawn or brought; more than `MOST` as well, while a visitor is still bringing them.
        place: of the pair that goes, from 0.

    Raises:
        InputError: `pairs_needed` if fewer than two would be left.
    """
    if len(pairs) <= FEWEST:
        raise InputError("pairs_needed", fewest=FEWEST)
    images, captions, subjects = (
        (*values[:place], *values[place + 1 :]) for values in (pairs.images, pairs.captions, pairs.subjects)
    )
    left = replace(pairs, images=images, captions=captions, subjects=subjects)
    known = [subject for subject in subjects if subject is not None]
    unseen = _mixtures(known) if len(known) == len(subjects) else ()
    if not unseen:
        base = first_pairs(min(len(left), MOST))
        return replace(left, **{name: getattr(base, name) for name in _UNSEEN})
    rng = np.random.default_rng(_FIRST_SEED)
    drawn = tuple(subject.draw(rng) for subject in unseen)
    return replace(
        left, unseen_images=drawn, unseen_captions=tuple(s.caption for s in unseen), unseen_subjects=unseen
    )


def own_pairs(images: Sequence[Image.Image], captions: Sequence[str]) -> Pairs:
    """Pairs that a visitor brings; those that no step sees are drawn scenes.

    Raises:
        InputError: what `Pairs.validated` raises.
    """
    base = first_pairs(min(max(len(images), FEWEST), MOST))
    own = replace(base, images=tuple(images), captions=tuple(captions), subjects=(None,) * len(images))
    return own.validated()


def with_twin(pairs: Pairs) -> Pairs:
    """The same pairs, but the second picture shows what the first shows, under the very same caption.

    A scene is drawn anew; a picture that a visitor brought is mirrored.
    """
    subject = pairs.subjects[0]
    if subject is None or pairs.captions[0] != subject.caption:
        twin = ImageOps.mirror(pairs.images[0])
    else:
        twin = subject.draw(np.random.default_rng(_FIRST_SEED + 1))
    first, _, *images = pairs.images
    return replace(
        pairs,
        images=(first, twin, *images),
        captions=(pairs.captions[0], pairs.captions[0], *pairs.captions[2:]),
        subjects=(subject, subject, *pairs.subjects[2:]),
    )


@lru_cache(maxsize=1)
def _pool() -> tuple[tuple[Subject, Image.Image], ...]:
    """Many scenes of one thing at one place, drawn once for all visitors."""
    rng = np.random.default_rng(_POOL_SEED)
    drawn = []
    for _ in range(POOL * 5 // 4):  # of 112 combinations, at most 16 have to stay unseen
        noun, place = str(rng.choice(NOUNS)), str(rng.choice(PLACES))
        subject = Subject(noun, _colour(noun, rng), place)
        drawn.append((subject, subject.draw(rng, _READ)))
    return tuple(drawn)


def pool_of(pairs: Pairs) -> tuple[list[Image.Image], list[str]]:
    """`POOL` more scenes and their captions, none of a thing at a place that has to stay unseen."""
    kept_back = {(s.noun, s.place) for s in pairs.unseen_subjects}
    chosen = [(im, s) for s, im in _pool() if (s.noun, s.place) not in kept_back][:POOL]
    return [image for image, _ in chosen], [subject.caption for _, subject in chosen]
