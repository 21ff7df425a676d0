"""A judge of classroom films: what moves in them, and how?

A small network of convolutions over space and time, trained on renders of films for this purpose alone. It
shares neither architecture nor data stream with the model it judges; `training.evaluate` checks it on fresh
renders first.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from pipelines.world.films import FRAMES, MOTIONS
from training.common import MODELS, load_judge

FOLDER: Path = MODELS / "film_scorers"
WEIGHTS = "scorer.safetensors"
ANSWERS: tuple[str | None, ...] = (None, *MOTIONS)  # None: nothing moves
SIDE = 64
_AT_ONCE = 16  # films


def _conv(before: int, after: int, size: tuple[int, int, int], stride: tuple[int, int, int]) -> nn.Sequential:
    padding = (size[0] // 2, size[1] // 2, size[2] // 2)
    conv = nn.Conv3d(before, after, size, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(after), nn.ReLU(inplace=True))


class FilmScorer(nn.Module):
    """Watches 16 frames of 64 px; one answer: the motion."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(6, 24, (3, 5, 5), (1, 4, 4)), _conv(24, 32, (3, 3, 3), (2, 2, 2)),
            _conv(32, 48, (3, 3, 3), (2, 2, 2)), _conv(48, 48, (3, 3, 3), (1, 2, 2)),
        )  # fmt: skip
        # Where in the film something is tells left from right and up from down, so nothing is averaged away.
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(48 * 4 * 2 * 2, 72), nn.ReLU())
        self.answer = nn.Linear(72, len(ANSWERS))

    def forward(self, films: Tensor) -> Tensor:
        """Watch `[film, frame, 3, 64, 64]` films in -1..1; logits `[film, answer]`."""
        changes = films - films.roll(1, 1)
        changes[:, 0] = 0
        both = torch.cat([films, 3 * changes], 2).transpose(1, 2)
        out: Tensor = self.answer(self.head(self.body(both)))
        return out


def to_films(films: Sequence[Sequence[Image.Image]]) -> Tensor:
    """Pictures as `[film, frame, 3, 64, 64]` in -1..1."""
    pixels = [
        [np.asarray(f.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)) for f in film]
        for film in films
    ]
    return torch.from_numpy(np.array(pixels)).permute(0, 1, 4, 2, 3).float() / 127.5 - 1


def load_film_scorer() -> FilmScorer:
    """The shipped judge."""
    return load_judge(FilmScorer(), FOLDER / WEIGHTS, "train_motion_scorer")


@torch.inference_mode()
def watch(films: Sequence[Sequence[Image.Image]], scorer: FilmScorer) -> list[str | None]:
    """The motion that the judge sees in films of 16 frames each."""
    seen: list[str | None] = []
    for i in range(0, len(films), _AT_ONCE):
        part = films[i : i + _AT_ONCE]
        assert all(len(film) == FRAMES for film in part)
        seen += [ANSWERS[int(k)] for k in scorer(to_films(part)).argmax(1)]
    return seen
