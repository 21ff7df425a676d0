"""Single notes and drum strokes of the classroom synthesizer, as arrays of samples.

Notes are made once for each pitch and kept: a clip is then little more than their sum.
"""

from functools import lru_cache

import numpy as np

from pipelines.world.sound import SAMPLE_RATE

NOTE_SECONDS = 1.3  # longest note with its release
_LENGTH = round(NOTE_SECONDS * SAMPLE_RATE)
_TIME = np.arange(_LENGTH, dtype=np.float32) / SAMPLE_RATE
_TILT = (0.75, 0.0, -0.45)  # added to the fall of the overtones: dull, plain, bright
KIT = ("kick", "snare", "hat")


def frequency(midi: float) -> float:
    """Hz of a MIDI note number; 69 is the concert pitch a' of 440 Hz."""
    return 440.0 * 2.0 ** ((midi - 69) / 12)


def _partials(hz: float, limit: int, stretch: float = 0.0) -> np.ndarray:
    """Hz of the overtones below 7.2 kHz, `[partial]`; `stretch` is a stiff string's inharmonicity."""
    k = np.arange(1, limit + 1, dtype=np.float32)
    found = hz * k * np.sqrt(1 + stretch * k * k)
    return found[found < 0.45 * SAMPLE_RATE].astype(np.float32)


def _sum(partials: np.ndarray, levels: np.ndarray, rates: np.ndarray | None = None) -> np.ndarray:
    """Sum of sines `[sample]`; `rates` lets each die away, 1/s."""
    out = np.zeros(_LENGTH, np.float32)
    for i, (hz, level) in enumerate(zip(partials, levels, strict=True)):
        wave = np.sin(np.float32(2 * np.pi * hz) * _TIME + np.float32(0.7 * i * i))
        out += level * (wave if rates is None else wave * np.exp(-rates[i] * _TIME))
    return out


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(_LENGTH).astype(np.float32)


def _smoothed(x: np.ndarray, width: int) -> np.ndarray:
    """Running mean over `width` samples: a soft low-pass."""
    return np.convolve(x, np.full(width, 1 / width, np.float32), "same").astype(np.float32)


def _attack(seconds: float) -> np.ndarray:
    return np.minimum(_TIME / np.float32(seconds), 1)


def _piano(hz: float, tilt: float) -> np.ndarray:
    partials = _partials(hz, 12, stretch=0.0004)
    k = np.arange(1, len(partials) + 1)
    tone = _sum(partials, 1 / k ** (1.1 + tilt), 1.6 + 0.9 * k)
    return tone * _attack(0.004) + 0.25 * _smoothed(_noise(1), 5) * np.exp(-_TIME / 0.012)


def _guitar(hz: float, tilt: float) -> np.ndarray:
    """Plucked a fifth of the way along the string, so every fifth overtone is missing."""
    partials = _partials(hz, 16, stretch=0.0001)
    k = np.arange(1, len(partials) + 1)
    levels = np.abs(np.sin(np.pi * k / 5)) / k ** (0.7 + tilt)
    tone = _sum(partials, levels, 3.2 + 1.6 * k)
    return tone * _attack(0.002) + 0.5 * _noise(2) * np.exp(-_TIME / 0.004)


def _violin(hz: float, tilt: float) -> np.ndarray:
    """Bowed: all overtones, a slow beginning, vibrato, and the body's resonance near 1 kHz."""
    phase = np.cumsum(1 + 0.007 * np.minimum(_TIME / 0.3, 1) * np.sin(2 * np.pi * 5.8 * _TIME))
    phase = (2 * np.pi * hz / SAMPLE_RATE * phase).astype(np.float32)
    out = np.zeros(_LENGTH, np.float32)
    for k in range(1, 13):
        if k * hz < 0.45 * SAMPLE_RATE:
            body = 1 + 1.5 * np.exp(-(((k * hz - 1000) / 400) ** 2))
            out += np.float32(body / k ** (0.95 + tilt)) * np.sin(k * phase)
    return (out + 0.05 * _noise(3)) * _attack(0.07)


def _flute(hz: float, tilt: float) -> np.ndarray:
    """Nearly one sine, with breath and a gentle swaying of the loudness."""
    partials = _partials(hz, 4)
    levels = np.array([1, 0.22, 0.1, 0.03])[: len(partials)] * 2.0 ** (-tilt * np.arange(len(partials)))
    breath = _noise(4) - _smoothed(_noise(4), 9)
    sway = 1 + 0.15 * np.sin(2 * np.pi * 4.8 * _TIME)
    return (_sum(partials, levels) * sway + 0.1 * breath) * _attack(0.05)


def _bass(hz: float, tilt: float) -> np.ndarray:
    partials = _partials(hz, 14)
    k = np.arange(1, len(partials) + 1)
    tone = _sum(partials, 1 / k ** (0.9 + tilt), 1.5 + 0.9 * k)
    return tone * _attack(0.006)


def _drum(hz: float, tilt: float) -> np.ndarray:
    """A tuned tom: the skin's pitch falls a little while it fades; the stick clicks."""
    glide = hz * (1 + 0.35 * np.exp(-_TIME / 0.03))
    phase = (2 * np.pi / SAMPLE_RATE * np.cumsum(glide)).astype(np.float32)
    skin = np.sin(phase) + 0.35 * np.sin(1.59 * phase) * np.exp(-_TIME / 0.06)  # ratio of a round membrane
    click = _noise(5) if tilt < 0 else _smoothed(_noise(5), 4)
    return skin * np.exp(-_TIME / 0.16) + (0.5 - 0.3 * tilt) * click * np.exp(-_TIME / 0.012)


_VOICES = {
    "piano": _piano,
    "guitar": _guitar,
    "violin": _violin,
    "flute": _flute,
    "bass": _bass,
    "drum": _drum,
}


@lru_cache(maxsize=1024)
def note(instrument: str, midi: int, brightness: int = 1) -> np.ndarray:
    """One note, as long as it sounds by itself or 1.3 s; its root mean square over 0.3 s is 0.2.

    Args:
        instrument: one of `INSTRUMENTS`.
        midi: pitch, 69 is 440 Hz.
        brightness: 0 dull, 1 plain, 2 bright.

    Returns:
        `[20800]` float32 samples at 16 kHz; not to be written to.
    """
    wave = _VOICES[instrument](frequency(midi), _TILT[brightness]).astype(np.float32)
    loud = wave[: round(0.3 * SAMPLE_RATE)]
    wave *= 0.2 / np.sqrt(np.mean(loud**2))
    wave.setflags(write=False)
    return wave


@lru_cache(maxsize=8)
def stroke(piece: str) -> np.ndarray:
    """One stroke of the drum kit (`KIT`), `[20800]` float32 samples, peak 1; not to be written to."""
    if piece == "kick":
        phase = 2 * np.pi * np.cumsum(45 + 110 * np.exp(-_TIME / 0.025)) / SAMPLE_RATE
        wave = np.sin(phase) * np.exp(-_TIME / 0.12)
    elif piece == "snare":
        body = np.sin(2 * np.pi * 190 * _TIME) * np.exp(-_TIME / 0.06)
        wave = 0.6 * body + 0.4 * _noise(6) * np.exp(-_TIME / 0.09)
    else:
        wave = np.diff(_noise(7), prepend=np.float32(0)) * np.exp(-_TIME / 0.03)
    wave = (wave / np.abs(wave).max()).astype(np.float32)
    wave.setflags(write=False)
    return wave
