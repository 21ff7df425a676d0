"""What one visitor of the contrastive tab trains with, and the stream of their training."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from components.contrastive.view import pulse_html, stage_html
from components.runs.frames import thumbnail
from components.runs.training import show_training
from components.ui.language import Texts
from components.ui.uploads import kept, strip_html
from pipelines.clip import contrastive_pairs
from pipelines.clip.clip_matrix import compute_clip_matrix, learned_logit_scale
from pipelines.clip.contrastive import Recipe, begin_training, lowest_loss
from pipelines.clip.contrastive_pairs import Pairs, first_pairs, own_pairs, with_twin
from pipelines.serving.live_training import trainings

CLASSROOM = "classroom-clip"  # the trained one beside, whatever model the bar names
EXPERIMENTS = ("pairs", "swapped", "reshuffled", "twins", "many")
PACES = {"slow": 1.0, "watch": 12.0, "fast": 0.0}  # steps a second; 0 is as fast as it goes
SHOWN_EVERY = 0.06  # s between two views: more would keep server and browser from the training itself
BURST = 150  # steps of one start, so that no page that somebody forgot trains for ever
MOST_AT_ONCE = 12  # files of one upload; what is too many for a training can be thinned out
OPENING = 60  # steps of the example that runs when the tab is opened
_LOST = 4  # views that the browser may pass over without missing a step

_numbers = itertools.count(1)


@dataclass(frozen=True, eq=False)
class TrainingState:
    """Pairs and the training made of them.

    Attributes:
        pairs: as drawn or brought, before an experiment changes them.
        key: of the training in `live_training.trainings`; "" before the first.
        number: of the training; tells drawings of different trainings apart.
        seed: of weights and batches.
        waiting: whether pictures still wait for their captions, so that nothing was trained with them.
    """

    pairs: Pairs
    key: str = ""
    number: int = 0
    seed: int = 0
    waiting: bool = False

    @property
    def there(self) -> bool:
        """Whether the training can go on."""
        return trainings.holds(self.key)


def first_desk() -> TrainingState:
    """What the tab opens with."""
    return TrainingState(first_pairs())


def recipe_of(experiment: str, batch: float, temperature: float | None, seed: int) -> Recipe:
    """How a training of an experiment goes."""
    captions = experiment if experiment in ("swapped", "reshuffled") else "own"
    return Recipe(captions, experiment == "many", int(batch), temperature, seed)


def begun(
    desk: TrainingState, experiment: str, batch: float, temperature: float | None, owner: str, t: Texts
) -> tuple[TrainingState, str]:
    """Start a new training in place of the visitor's last one.

    Args:
        desk: with the pairs to train on.
        experiment: one of `EXPERIMENTS`.
        batch: pairs in a step, if there are many.
        temperature: fixed; None to learn it.
        owner: the visitor.

    Returns:
        The desk with its training, and the stage for it.

    Raises:
        InputError: what `begin_training` raises.
    """
    pairs = with_twin(desk.pairs.validated()) if experiment == "twins" else desk.pairs.validated()
    recipe = recipe_of(experiment, batch, temperature, desk.seed)
    trainings.free(desk.key)
    key = begin_training(pairs, recipe, owner)
    desk = replace(desk, key=key, number=next(_numbers), waiting=False)
    return desk, _stage(desk, pairs, experiment, t)


def _stage(desk: TrainingState, pairs: Pairs, experiment: str, t: Texts) -> str:
    count = len(pairs)
    judged = compute_clip_matrix(pairs.images, pairs.captions, CLASSROOM)
    return stage_html(
        desk.number,
        (_thumbs(pairs.images), pairs.captions),
        (_thumbs(pairs.unseen_images[:count]), pairs.unseen_captions[:count]),
        trainings.learner(desk.key).targets,
        (judged.similarity, learned_logit_scale(CLASSROOM)),
        t(f"contrastive.remark.{experiment}"),
        t("contrastive.unseen_hint" if desk.pairs.mixed else "contrastive.unseen_others"),
        lowest_loss(pairs.captions),
        t,
    )


def strip_of(desk: TrainingState, t: Texts) -> str:
    """The desk's pictures, each with a button that takes it away, and what to do while they wait."""
    hint = t("contrastive.caption_now") if desk.waiting else ""
    return strip_html(_thumbs(desk.pairs.images), t, hint)


def _thumbs(images: Sequence[Image.Image]) -> list[str]:
    return [thumbnail(image) for image in images]


def pulse_of(desk: TrainingState, running: bool = False, first: int = 0) -> str:
    """How far a desk's training is; nothing if it was put away."""
    if not desk.there:
        return ""
    return pulse_html(desk.number, trainings.records(desk.key), first, running)


def train(desk: TrainingState, step: int | None, pace: float, burst: int = BURST) -> Iterator[str]:
    """Train and tell how it goes.

    Args:
        desk: whose training goes on.
        step: where; without it, where it stopped. Later steps are forgotten.
        pace: steps a second at most; 0 for no limit.
        burst: steps to take at most.

    Yields:
        Pulses, the last of them with all steps; none once another run has taken this one's place.

    Raises:
        InputError: what `Trainings.run` raises.
    """
    sent = [0] * _LOST

    def running() -> str:
        page = pulse_of(desk, True, sent[0])
        sent[:] = [*sent[1:], len(trainings.records(desk.key)) if desk.there else 0]
        return page

    run = trainings.run(desk.key, step, burst)
    yield from show_training(run, burst, running, lambda: pulse_of(desk), SHOWN_EVERY, pace)


def with_own_pictures(
    desk: TrainingState, images: Sequence[Image.Image], names: Sequence[str]
) -> TrainingState:
    """The desk with pictures that a visitor brings: after their earlier ones, instead of drawn ones.

    Each gets its file's name as a caption for a start.

    Args:
        desk: with the pairs so far.
        images: the new ones.
        names: of their files, one each.

    Raises:
        InputError: `pairs_count` and the like only when the training begins: pictures come one by one.
    """
    own = all(subject is None for subject in desk.pairs.subjects)
    captions = [Path(name).stem.replace("_", " ").replace("-", " ") or "picture" for name in names]
    before = desk.pairs if own else replace(desk.pairs, images=(), captions=())
    pairs = replace(
        before,
        images=(*before.images, *kept(images)),
        captions=(*before.captions, *captions),
        subjects=(None,) * (len(before.images) + len(images)),
    )
    return replace(desk, pairs=pairs, waiting=True)


def without(desk: TrainingState, place: int, text: str) -> tuple[TrainingState, str]:
    """The desk and the box of captions without one picture and its line.

    It waits where a caption is missing.

    Args:
        desk: with the pairs.
        place: of the picture, from 0; one that is not there, as after two quick clicks, changes nothing.
        text: the captions of the box.

    Raises:
        InputError: `pairs_needed` if fewer than two would be left.
    """
    if not 0 <= place < len(desk.pairs):
        return desk, text
    lines = text.splitlines()
    if len(lines) != len(desk.pairs):  # nobody can say which line is whose
        lines = list(desk.pairs.captions)
    del lines[place]
    pairs = contrastive_pairs.without(desk.pairs, place).with_captions(lines)
    waiting = desk.waiting or not all(line.strip() for line in lines)
    return replace(desk, pairs=pairs, waiting=waiting), "\n".join(lines)


def with_captions(desk: TrainingState, lines: Sequence[str]) -> TrainingState:
    """The desk with the captions of the box; unseen pairs in the number of the pairs.

    Raises:
        InputError: what `Pairs.validated` raises.
    """
    if all(subject is None for subject in desk.pairs.subjects):
        return replace(desk, pairs=own_pairs(desk.pairs.images, lines))
    return replace(desk, pairs=desk.pairs.with_captions(lines).validated())


def measured(similarity: np.ndarray) -> list[list[float]]:
    """A matrix as programs get it, `[image][text]`."""
    return [[round(float(value), 6) for value in row] for row in similarity]
