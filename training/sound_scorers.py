"""Judges of classroom sounds: which instrument, tempo, mood, structure and sound of the world are heard?

A small convolutional network on mel spectra, trained on renders for this purpose alone. It shares neither
architecture nor data stream with the models it judges; `training.evaluate` checks it on fresh renders first.
"""

from pathlib import Path

import torch
import torchaudio
from torch import Tensor, nn

from pipelines.world.sound import INSTRUMENTS, MOODS, SAMPLE_RATE, SOUNDS, STRUCTURES, TEMPI, SoundScene
from training.common import MODELS, load_judge

FOLDER: Path = MODELS / "sound_scorers"
WEIGHTS = "scorer.safetensors"
# Index 0 stands for "none of them".
QUESTIONS: dict[str, tuple[str | None, ...]] = {
    "instrument": (None, *INSTRUMENTS),
    "tempo": (None, *TEMPI),
    "mood": (None, *MOODS),
    "structure": (None, *STRUCTURES),
    "sound": (None, *SOUNDS),
}
_BANDS = 64
_FLOOR = 1e-3


def _conv(before: int, after: int, stride: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )


class SoundScorer(nn.Module):
    """Hears four seconds; one answer for each of `QUESTIONS`."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrum = torchaudio.transforms.MelSpectrogram(
            SAMPLE_RATE, 1024, hop_length=256, n_mels=_BANDS, power=1, normalized="window"
        )
        # The last layers see about a second: several notes, whatever the tempo.
        self.body = nn.Sequential(
            _conv(1, 24, (1, 2)), _conv(24, 32, (2, 1)), _conv(32, 48, (2, 2)), _conv(48, 64, (2, 1)),
            _conv(64, 96, (2, 2)), _conv(96, 96, (1, 1)), _conv(96, 96, (2, 2)),
        )  # fmt: skip
        self.join = nn.Sequential(nn.Linear(3 * 2 * 96, 192), nn.ReLU())
        self.heads = nn.ModuleDict({k: nn.Linear(192, len(v)) for k, v in QUESTIONS.items()})

    def forward(self, waves: Tensor) -> dict[str, Tensor]:
        """Listen to `[batch, 1, 64000]` waves; logits `[batch, answer]` by question."""
        mel = ((self.spectrum(waves) + _FLOOR).log() + 3) / 2  # about zero mean and unit deviation
        heard = self.body(mel).flatten(1, 2)  # two rows of bands are left: [batch, 2 * 96, time]
        pools = (heard.mean(2), heard.amax(2), heard.std(2))
        joined = self.join(torch.cat(pools, 1))
        return {name: head(joined) for name, head in self.heads.items()}


def truth_of(scenes: list[SoundScene]) -> dict[str, Tensor]:
    """Right answers, `[batch]` indices by question."""
    return {k: torch.tensor([v.index(getattr(s, k)) for s in scenes]) for k, v in QUESTIONS.items()}


def load_sound_scorer() -> SoundScorer:
    """The shipped judge."""
    return load_judge(SoundScorer(), FOLDER / WEIGHTS, "train_sound_scorers")


@torch.inference_mode()
def hear(waves: Tensor, scorer: SoundScorer) -> list[SoundScene]:
    """What the judge hears in `[clip, 1, 64000]` waves, as scenes (their atmosphere is never asked)."""
    answers = {k: [] for k in QUESTIONS}  # type: dict[str, list[str | None]]
    for part in waves.split(32):
        for name, logits in scorer(part).items():
            answers[name] += [QUESTIONS[name][int(i)] for i in logits.argmax(1)]
    return [SoundScene(**dict(zip(answers, row, strict=True))) for row in zip(*answers.values(), strict=True)]
