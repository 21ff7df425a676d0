"""Judges of classroom pictures: what is in it, and does it hold what a text asks for?

A small convolutional network, trained on renders of the world for this purpose alone. It shares
neither architecture nor data stream with the models it judges. `training.evaluate` checks it on
fresh renders first; what it cannot see well enough does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from pipelines.world.captions import Facts, ThingFact
from pipelines.world.scene import (
    ATMOSPHERES,
    COLOURS,
    COMPOSITIONS,
    DEFECTS,
    NOUNS,
    PLACES,
    RELATIONS,
    SIZES,
    STYLES,
    Scene,
)
from training.common import load_judge

FOLDER = Path(__file__).parents[1] / "assets" / "models" / "scorers"
# Index 0 stands for "none of them" where a scene need not have one.
LOOKS: dict[str, tuple[str | None, ...]] = {
    "place": PLACES,
    "atmosphere": (None, *ATMOSPHERES),
    "style": STYLES,
    "composition": (None, *COMPOSITIONS),
    "defect": (None, *DEFECTS),
}
COLOUR_CLASSES: tuple[str | None, ...] = (None, *COLOURS)
SIZE_CLASSES: tuple[str | None, ...] = (None, *SIZES)
GRID = 32  # side of the dense maps
MAX_COUNT = 4
PARTS = 6  # features that tell copies of a noun apart


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width))
        self.body = nn.Sequential(_conv(width, width), second)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


@dataclass(frozen=True)
class Seen:
    """Raw outputs for a batch.

    Attributes:
        nouns: `[batch, 17, 32, 32]` logits of background and nouns.
        colours: `[batch, 9, 32, 32]` logits of `COLOUR_CLASSES`.
        counts: `[batch, 16, 5]` logits of how many of each noun, 0..4.
        looks: logits `[batch, classes]` by name of `LOOKS`.
    """

    nouns: Tensor
    colours: Tensor
    counts: Tensor
    looks: dict[str, Tensor]


class Scorer(nn.Module):
    """Sees a 64 px picture: dense maps of nouns and colours, counts, and the looks of the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU(), _Residual(32))
        self.middle = nn.Sequential(_conv(32, 64, 2), _Residual(64), _Residual(64))
        self.coarse = nn.Sequential(_conv(64, 128, 2), _Residual(128), _Residual(128))
        self.join_middle = nn.Sequential(nn.Conv2d(192, 64, 1), _conv(64, 64))
        self.join_fine = nn.Sequential(nn.Conv2d(96, 48, 1), _conv(48, 48))
        self.dense = nn.Conv2d(48, 1 + len(NOUNS) + len(COLOUR_CLASSES), 1)
        # Counts one noun from its own map and a few features that tell neighbours apart; one for all nouns.
        self.parts = nn.Sequential(nn.Conv2d(48, PARTS, 1), nn.BatchNorm2d(PARTS))
        self.count = nn.Sequential(
            _conv(2 + PARTS, 24, 2), _conv(24, 32, 2), _conv(32, 48, 2), nn.Flatten(),
            nn.Linear(48 * 16, 64), nn.ReLU(), nn.Linear(64, MAX_COUNT + 1),
        )  # fmt: skip
        self.look = nn.Sequential(nn.Linear(3 * 128 + 3 * 48, 192), nn.ReLU())
        self.look_heads = nn.ModuleDict({k: nn.Linear(192, len(v)) for k, v in LOOKS.items()})
        # Judges geometry from the two things' maps alone.
        self.geometry = nn.Sequential(
            _conv(2, 24), _conv(24, 32, 2), _conv(32, 48, 2), _conv(48, 48, 2), nn.Flatten(),
            nn.Linear(48 * 16, 96), nn.ReLU(), nn.Linear(96, len(RELATIONS) + len(SIZE_CLASSES)),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Seen:
        """Look at `[batch, 3, 64, 64]` pictures in -1..1."""
        fine = self.fine(images)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        joined = self.join_middle(torch.cat([F.interpolate(coarse, scale_factor=2.0), middle], 1))
        joined = self.join_fine(torch.cat([F.interpolate(joined, scale_factor=2.0), fine], 1))
        dense = self.dense(joined)
        pools = (torch.mean, torch.amax, torch.std)
        pooled = torch.cat([pool(x, (2, 3)) for x in (coarse, joined) for pool in pools], 1)
        look = self.look(pooled)
        nouns, colours = dense.split((1 + len(NOUNS), len(COLOUR_CLASSES)), 1)
        counts = self.count_nouns(nouns, self.parts(joined))
        return Seen(nouns, colours, counts, {k: head(look) for k, head in self.look_heads.items()})

    def count_nouns(self, nouns: Tensor, parts: Tensor) -> Tensor:
        """How many of each noun, `[batch, 16, 5]` logits, from `[batch, 17, 32, 32]` and the parts."""
        maps = nouns.detach().float().softmax(1)  # counting must not teach the network which maps to draw
        each = maps[:, 1:, None]
        rest = 1 - maps[:, :1, None] - each
        shared = parts[:, None].expand(-1, len(NOUNS), -1, -1, -1)
        stacked = torch.cat([each.to(parts.dtype), rest.to(parts.dtype), shared], 2)
        return self.count(stacked.flatten(0, 1)).unflatten(0, (len(parts), len(NOUNS)))

    def judge_geometry(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Relation of the first thing to the second, and the first thing's size.

        Args:
            first, second: `[batch, 32, 32]` maps of the two things, 0..1; zeros for no second.

        Returns:
            Logits `[batch, 9]` of `RELATIONS` and `[batch, 3]` of `SIZE_CLASSES`.
        """
        both = self.geometry(torch.stack([first, second], 1))
        return both[:, : len(RELATIONS)], both[:, len(RELATIONS) :]


@dataclass(frozen=True)
class Truth:
    """Labels of one scene for the scorer.

    Attributes:
        nouns: `[32, 32]` int, 0 for background, else 1 + index of `NOUNS`.
        colours: `[32, 32]` int index of `COLOUR_CLASSES`, -1 on the background.
        counts: `[16]` int.
        looks: index by name of `LOOKS`.
        first, second: nouns to judge geometry of; `second` is -1 without a pair.
        relation: index of `RELATIONS`, -1 without one.
        size: index of `SIZE_CLASSES` of the first thing, -1 where several copies stand and where the frame
            decides how large a thing is.
    """

    nouns: np.ndarray
    colours: np.ndarray
    counts: np.ndarray
    looks: dict[str, int]
    first: int
    second: int
    relation: int
    size: int


def truth_of(scene: Scene, masks: np.ndarray) -> Truth:
    """Labels of a scene whose things are visible in `masks`, `[thing, 64, 64]`."""
    nouns = np.zeros((GRID, GRID), np.int64)
    colours = np.full((GRID, GRID), -1, np.int64)
    counts = np.zeros(len(NOUNS), np.int64)
    for thing, mask in zip(scene.things, masks, strict=True):
        cells = mask.reshape(GRID, 2, GRID, 2).mean((1, 3)) >= 0.5
        nouns[cells] = 1 + NOUNS.index(thing.noun)
        colours[cells] = COLOUR_CLASSES.index(thing.colour)
        counts[NOUNS.index(thing.noun)] += 1
    pair = len({t.noun for t in scene.things}) == 2
    sized = (pair or len(scene.things) == 1) and scene.composition not in ("wide shot", "close-up")
    return Truth(
        nouns,
        colours,
        counts,
        {k: values.index(getattr(scene, k)) for k, values in LOOKS.items()},
        NOUNS.index(scene.things[0].noun),
        NOUNS.index(scene.things[1].noun) if pair else -1,
        RELATIONS.index(scene.relation) if scene.relation is not None else -1,
        SIZE_CLASSES.index(scene.things[0].size) if sized else -1,
    )


def load_scorer() -> Scorer:
    """The shipped scorer."""
    return load_judge(Scorer(), FOLDER / "scorer.safetensors", "train_scorers")


def noun_maps(seen: Seen) -> Tensor:
    """Probability of each noun at each place, `[batch, 16, 32, 32]`."""
    return seen.nouns.float().softmax(1)[:, 1:]


@dataclass(frozen=True)
class Verdict:
    """What the scorer sees in one picture, and how it answers a text's demands."""

    counts: dict[str, int]
    colours: dict[str, str | None]
    looks: dict[str, str | None]
    maps: Tensor  # [16, 32, 32]
    scorer: Scorer

    def size(self, noun: str) -> str | None:
        return SIZE_CLASSES[int(self._geometry(noun, None)[1].argmax())]

    def relation(self, first: str, second: str) -> str:
        return RELATIONS[int(self._geometry(first, second)[0].argmax())]

    def _geometry(self, first: str, second: str | None) -> tuple[Tensor, Tensor]:
        a = self.maps[NOUNS.index(first)][None]
        others = [n for n in self.counts if n != first]
        b = second if second is not None else (others[0] if others else None)
        return self.scorer.judge_geometry(a, self.maps[NOUNS.index(b)][None] if b else torch.zeros_like(a))

    def answers(self, facts: Facts) -> dict[str, bool]:
        """Each demand of a text, by name, and whether the picture meets it."""
        out: dict[str, bool] = {}
        for thing in facts.things:
            out |= self._thing_answers(thing)
        if facts.relation is not None:
            first, second = facts.things[0].noun, facts.things[1].noun
            out["relation"] = (
                first in self.counts
                and second in self.counts
                and self._relation_holds(facts.relation, first, second)
            )
        for name in LOOKS:
            if (asked := getattr(facts, name)) is not None:
                out[name] = self.looks[name] == asked
        return out

    def _thing_answers(self, thing: ThingFact) -> dict[str, bool]:
        present = self.counts.get(thing.noun, 0)
        out = {f"{thing.noun}": present == thing.count if thing.count > 1 else present >= 1}
        if thing.colour is not None:
            out[f"{thing.colour} {thing.noun}"] = self.colours.get(thing.noun) == thing.colour
        if thing.size is not None:
            out[f"{thing.size} {thing.noun}"] = present > 0 and self.size(thing.noun) == thing.size
        return out

    def _relation_holds(self, asked: str, first: str, second: str) -> bool:
        found = self.relation(first, second)
        if found == asked:
            return True
        # "next to" does not say which side; a neighbour on the left also is left of.
        if asked == "next to":
            return found in ("left of", "right of")
        if asked in ("left of", "right of") and found == "next to":
            return (self._column(first) < self._column(second)) == (asked == "left of")
        return False

    def _column(self, noun: str) -> float:
        weights = self.maps[NOUNS.index(noun)].sum(0)
        return float((weights * torch.arange(GRID)).sum() / weights.sum().clamp(min=1e-6))


@torch.inference_mode()
def look_at(images: Sequence[Image.Image], scorer: Scorer) -> list[Verdict]:
    """Judge pictures of any size (they are scaled to 64 px)."""
    pixels = [np.asarray(i.convert("RGB").resize((64, 64), Image.Resampling.BOX)) for i in images]
    seen = scorer(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1)
    maps = noun_maps(seen)
    counts = seen.counts.argmax(2)
    verdicts = []
    for i in range(len(images)):
        present = {NOUNS[k]: int(n) for k, n in enumerate(counts[i]) if n > 0}
        colours = {n: _colour(seen.colours[i], maps[i, NOUNS.index(n)]) for n in present}
        looks = {k: LOOKS[k][int(v[i].argmax())] for k, v in seen.looks.items()}
        verdicts.append(Verdict(present, colours, looks, maps[i], scorer))
    return verdicts


def _colour(logits: Tensor, where: Tensor) -> str | None:
    """The colour of what stands at `where` (`[32, 32]`), by the weighted vote of all its cells."""
    votes = (logits.softmax(0) * where).sum((1, 2))
    return COLOUR_CLASSES[int(votes.argmax())]
