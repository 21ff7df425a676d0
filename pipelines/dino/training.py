"""A small DINO that a visitor trains: what its two models see and say, and whether it collapses."""

import math
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from transformers import Dinov2Config

from pipelines.dino.collapse import entropy, spread, variety
from pipelines.dino.components import vote_of_neighbours
from pipelines.dino.crops import Crops, MultiCrop, multi_crop
from pipelines.dino.self_distillation import (
    DinoNetwork,
    DinoRecipe,
    Forward,
    SelfDistillation,
    forward,
    update_teacher_and_center,
)
from pipelines.serving.compute import on_compute_thread, one_core
from pipelines.serving.engine import whole_call
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import MOST_STEPS
from pipelines.serving.own_random import SeededInit
from pipelines.serving.training_steps import Learner, Stretch, load_nothing, reached
from pipelines.world.layout import draw_scene
from pipelines.world.render import render
from pipelines.world.scene import NOUNS

PROTOTYPES = 64
PICTURES, BATCH = 192, 16
WATCHED = 48  # pictures on which features are measured
LEARNING_RATE = 2e-3
MOMENTUM_HIGHEST = 0.999
CROPS = MultiCrop(
    global_side=32, local_side=16, local_count=4, global_scale=(0.4, 1.0), local_scale=(0.1, 0.4), colour=0.5
)
CONFIG = Dinov2Config(
    hidden_size=48, num_hidden_layers=3, num_attention_heads=3, mlp_ratio=2, image_size=32, patch_size=8,
    layerscale_value=1.0,
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What a visitor decides; it may change from step to step.

    Attributes:
        momentum: how much of itself the teacher keeps at a step, 0 (it is the student) to 0.999.
        centering, sharpening: see `DinoRecipe`.

    Raises:
        InputError: `momentum_range` for a momentum of 1 or beyond, below 0, or none at all.
    """

    momentum: float = 0.95
    centering: bool = True
    sharpening: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= MOMENTUM_HIGHEST:  # false for NaN as well
            raise InputError("momentum_range", received=self.momentum, highest=MOMENTUM_HIGHEST)


@dataclass(frozen=True, eq=False)
class DinoRecord:
    """A moment of a training.

    Attributes:
        settings: those of the step that led here.
        loss: cross-entropy of that step, nats; NaN before the first.
        divergence: loss less the targets' entropy: how far the student is from its teacher, nats.
        entropy: mean entropy of the teacher's distributions, nats: 0 .. log `PROTOTYPES`.
        variety: entropy of the mean of these distributions, nats: how many prototypes a batch uses.
        spread: standard deviation of the features of length one, times the square root of their width, 0..1.
        seen: seed and number of the step whose crops were looked at; `look` draws them.
        student: `[prototype]` the student's distribution for the batch's first picture, mean over its crops.
        targets: the teacher's, mean over the large crops.
    """

    settings: Settings
    loss: float
    divergence: float
    entropy: float
    variety: float
    spread: float
    seen: tuple[int, int]
    student: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, eq=False)
class Look:
    """What teacher and student saw of the first picture of a step's batch.

    Attributes:
        large, small: `[crop, y, x, 3]` uint8; the teacher sees the large crops alone.
        large_boxes, small_boxes: `[crop, 4]` left, top, width, height as shares of the picture.
        picture: place of that picture in `pictures`.
    """

    large: np.ndarray
    small: np.ndarray
    large_boxes: np.ndarray
    small_boxes: np.ndarray
    picture: int


@lru_cache(maxsize=1)
def pictures() -> np.ndarray:
    """`[picture, 64, 64, 3]` uint8: scenes with one thing, the same for every visitor."""
    return _drawn()[0]


@lru_cache(maxsize=1)
def _drawn() -> tuple[np.ndarray, np.ndarray]:
    """Pictures, and the noun of each as a number; only the measure of neighbours reads the latter."""
    rng = np.random.default_rng(77)
    seen: list[np.ndarray] = []
    nouns: list[int] = []
    while len(seen) < PICTURES:
        scene = draw_scene(rng)
        if len(scene.things) == 1 and scene.defect is None:
            seen.append(np.asarray(render(scene, rng)[0]))
            nouns.append(NOUNS.index(scene.things[0].noun))
    return np.stack(seen), np.array(nouns)


def _pixels(images: np.ndarray) -> Tensor:
    """uint8 `[batch, y, x, 3]` as `[batch, 3, y, x]` in -1..1."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def _rng(seed: int, step: int) -> Generator:
    return Generator().manual_seed(1_000_003 * (seed + 1) + step)


def crops_of(seed: int, step: int) -> tuple[Crops, int]:
    """The crops of a step's batch, and the place of its first picture; both follow from seed and step."""
    rng = _rng(seed, step)
    chosen = torch.randperm(PICTURES, generator=rng)[:BATCH].numpy()
    batch = _pixels(pictures()[chosen])
    return multi_crop(batch, batch, CROPS, rng), int(chosen[0])


@lru_cache(maxsize=MOST_STEPS)
@on_compute_thread
@one_core()
def look(seed: int, step: int) -> Look:
    """What a step saw, drawn again.

    A training keeps none of its crops: they would be most of its memory. Visitors' trainings have the same
    seed, so they share what was drawn.
    """
    crops, first = crops_of(seed, step)
    return Look(
        _images(crops.large[:, 0]),
        _images(crops.small[:, 0]),
        crops.large_boxes[:, 0].numpy(),
        crops.small_boxes[:, 0].numpy(),
        first,
    )


def _images(pixels: Tensor) -> np.ndarray:
    """`[crop, 3, y, x]` in -1..1 as uint8 `[crop, y, x, 3]`."""
    return ((pixels + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


class DinoLearner(Learner[DinoRecord]):
    """Student and teacher of one visitor.

    Everything random in a step follows from the seed and the step's number; what a visitor changes is
    remembered with the step from which it held, so that steps taken again are the same to the bit.

    Args:
        seed: of weights, batches and crops, 0 to 4294967295.
        settings: to begin with.
    """

    def __init__(self, seed: int, settings: Settings) -> None:
        self.seed = seed
        self._decided = {0: settings}  # by the step from which they hold
        self._now, self._step = settings, 0
        self._last: Forward | None = None  # what the last step saw; nothing before the first

    def build(self) -> None:
        """See `Learner`."""
        with SeededInit(self.seed):
            self.model = SelfDistillation(DinoNetwork(CONFIG, PROTOTYPES))
        weights = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(weights, LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.02)

    def change(self, settings: Settings, step: int) -> None:
        """See `Learner`; what was decided for later steps is forgotten."""
        self._decided = {at: held for at, held in self._decided.items() if at < step} | {step: settings}

    def update(self, step: int) -> None:
        """Show a batch of crops, move the student, let the teacher follow."""
        self._now, self._step = self._decided[max(at for at in self._decided if at <= step)], step
        done = self._forward()
        self.optimizer.zero_grad(set_to_none=True)
        done.loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.student.parameters(), 3.0)
        self.optimizer.step()
        update_teacher_and_center(self.model, done, self._now.momentum)
        self._last = done

    @property
    def _recipe(self) -> DinoRecipe:
        return DinoRecipe(self._now.centering, self._now.sharpening)

    def _forward(self) -> Forward:
        crops, _ = crops_of(self.seed, self._step)
        return forward(self.model, crops, self._recipe)

    @torch.no_grad()
    def measure(self) -> DinoRecord:
        """What the last step saw and said, and how far apart features are now."""
        done = self._last or self._forward()  # untrained models look, too; that moves nothing
        loss, certain = float(done.loss), entropy(done.targets)
        return DinoRecord(
            self._now,
            loss if self._last else math.nan,
            loss - certain if self._last else math.nan,
            certain,
            variety(done.targets),
            spread(torch.from_numpy(self.features(WATCHED))),
            (self.seed, self._step),
            done.student[:, 0].mean(0).numpy(),
            done.targets[:, 0].mean(0).numpy(),
        )

    @torch.no_grad()
    def features(self, count: int = PICTURES) -> np.ndarray:
        """`[picture, width]` the teacher's class tokens of the first pictures."""
        return self.model.teacher.tokens(_pixels(pictures()[:count, ::2, ::2]))[:, 0].numpy()

    def save(self) -> Any:
        """Copies of weights, centers and optimizer."""
        return deepcopy((self.model.state_dict(), self.optimizer.state_dict()))

    def load(self, saved: Any) -> None:
        """Go back to what `save` returned."""
        model, optimizer = deepcopy(saved)
        self.model.load_state_dict(model)
        self.optimizer.load_state_dict(optimizer)


@whole_call("image", load_nothing)
def neighbour_share(present: Stretch[DinoRecord]) -> float:
    """Share of pictures whose five nearest by the teacher's features agree on the thing, 0..1."""
    learner: DinoLearner = reached(present)
    found, nouns = on_compute_thread(learner.features)(), _drawn()[1]
    half = PICTURES // 2
    return float((vote_of_neighbours(found[:half], nouns[:half], found[half:], 5) == nouns[half:]).mean())
