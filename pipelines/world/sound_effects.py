"""Sounds of the picture world: animals, weather, an engine. Each fills a whole clip."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from pipelines.world.sound import SAMPLE_RATE, SAMPLES, SECONDS

_PEAK = 0.5
_TIME = np.arange(SAMPLES, dtype=np.float32) / SAMPLE_RATE
_STEADY = ("rain", "waves", "wind", "engine")


def _phase(hz: np.ndarray) -> np.ndarray:
    """Angle of a tone whose frequency is `hz` at each sample."""
    return (2 * np.pi / SAMPLE_RATE * np.cumsum(hz)).astype(np.float32)


def _times(rng: np.random.Generator, count: int, length: float) -> np.ndarray:
    """Starts of `count` events of this length (s) that do not overlap, spread over the clip."""
    room = SECONDS / count
    return np.arange(count) * room + rng.uniform(0, max(room - length, 0.01), count)


def _place(out: np.ndarray, event: np.ndarray, start: float) -> None:
    first = round(start * SAMPLE_RATE)
    part = event[: max(0, len(out) - first)]
    out[first : first + len(part)] += part


def _bell(seconds: float, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Progress 0..1 of an event and a loudness that rises and falls, `[sample]` each."""
    progress = np.linspace(0, 1, round(seconds * SAMPLE_RATE), dtype=np.float32)
    return progress, np.maximum(np.sin(np.pi * progress), 0) ** np.float32(sharpness)


def _bird(rng: np.random.Generator) -> np.ndarray:
    """Groups of quick whistles that bend upwards or downwards."""
    out = np.zeros(SAMPLES, np.float32)
    low, bend, count = (
        rng.uniform(2200, 3200),
        rng.uniform(0.25, 0.5) * rng.choice([-1, 1]),
        rng.integers(3, 5),
    )
    for start in _times(rng, 3, 0.65):
        for i in range(count):
            progress, loud = _bell(0.11)
            hz = low * (1 + bend * progress + 0.06 * np.sin(2 * np.pi * 2 * progress))
            _place(out, loud * np.sin(_phase(hz)), start + 0.15 * i)
    return out


def _throat(hz: np.ndarray, formants: np.ndarray, widths: float, most: int) -> np.ndarray:
    """A voice: overtones of `hz`, the stronger the nearer to the mouth's resonance at each sample."""
    phase = _phase(hz)
    out = np.zeros(len(hz), np.float32)
    for k in range(1, most):
        near = np.exp(-(((k * hz - formants) / widths) ** 2)) + 0.15 / k
        out += np.where(k * hz < 7200, near, 0) * np.sin(k * phase)
    return out


def _cat(rng: np.random.Generator) -> np.ndarray:
    """Meows: the voice rises and falls while the mouth opens and closes."""
    out = np.zeros(SAMPLES, np.float32)
    pitch = rng.uniform(420, 560)
    for start in _times(rng, 2, 0.95):
        progress, loud = _bell(rng.uniform(0.7, 0.9), 0.6)
        hz = pitch * (1 + 0.45 * np.sin(np.pi * progress**0.8) - 0.25 * progress)
        mouth = 900 + 1500 * np.sin(np.pi * progress**1.2)
        _place(out, loud * _throat(hz, mouth, 700, 12), start)
    return out


def _dog(rng: np.random.Generator) -> np.ndarray:
    """Barks in pairs: short, rough, falling."""
    out = np.zeros(SAMPLES, np.float32)
    pitch = rng.uniform(260, 340)
    for start in _times(rng, 3, 0.6):
        for offset in (0.0, 0.3):
            progress = np.linspace(0, 1, round(0.2 * SAMPLE_RATE), dtype=np.float32)
            loud = np.minimum(progress / 0.08, 1) * (1 - progress) ** 1.3
            hz = pitch * (1.3 - 0.6 * progress)
            rough = 1 + 0.25 * rng.standard_normal(len(progress)).astype(np.float32)
            mouth = np.full_like(progress, 850)
            _place(out, loud * rough * _throat(hz, mouth, 500, 10), start + offset)
    return out


def _bands(low: float, high: float, fall: float) -> np.ndarray:
    """Levels of the frequencies of a clip: `hz**-fall` from `low` to `high`, soft edges."""
    hz = np.fft.rfftfreq(SAMPLES, 1 / SAMPLE_RATE) + 1
    return (hz**-fall) / (1 + (low / hz) ** 4) / (1 + (hz / high) ** 4)


@lru_cache(maxsize=16)
def _hiss(low: float, high: float, fall: float, variant: int) -> np.ndarray:
    """Endless noise of these frequencies, unit deviation, `[sample]`; not to be written to."""
    white = np.random.default_rng([variant, round(low), round(high)]).standard_normal(SAMPLES)
    shaped = np.fft.irfft(np.fft.rfft(white) * _bands(low, high, fall), SAMPLES).astype(np.float32)
    shaped /= shaped.std()
    shaped.setflags(write=False)
    return shaped


def _noise(rng: np.random.Generator, low: float, high: float, fall: float = 0.0) -> np.ndarray:
    return np.roll(_hiss(low, high, fall, int(rng.integers(2))), int(rng.integers(SAMPLES)))


def _swell(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Slow rising and falling between 0 and 1 with this period, from a random point on."""
    return 0.5 + 0.5 * np.sin(2 * np.pi * _TIME / np.float32(seconds) + np.float32(rng.uniform(0, 6.28)))


def _rain(rng: np.random.Generator) -> np.ndarray:
    """A bright, steady hiss and single drops."""
    out = 0.35 * _noise(rng, 1500, 7000)
    for start in rng.uniform(0, SECONDS - 0.05, 40):
        progress = np.linspace(0, 1, 240, dtype=np.float32)
        drop = np.sin(_phase(rng.uniform(1500, 3500) * (1 + progress))) * (1 - progress) ** 3
        _place(out, np.float32(rng.uniform(0.5, 1.2)) * drop, start)
    return out


def _waves(rng: np.random.Generator) -> np.ndarray:
    """Surf that comes and goes about twice a clip; brighter while it breaks."""
    swell = _swell(rng, rng.uniform(1.8, 2.4)) ** 2
    return 0.15 * _noise(rng, 60, 500, 0.5) + 0.4 * swell * _noise(rng, 150, 2500, 0.4)


def _wind(rng: np.random.Generator) -> np.ndarray:
    """A hollow howl whose pitch and strength wander, over a dark rush."""
    gust = _swell(rng, rng.uniform(2.5, 3.5))
    howl = 420 + 260 * gust + 20 * _noise(rng, 1, 6)
    return (0.25 + 0.75 * gust) * (0.5 * np.sin(_phase(howl)) + 0.25 * _noise(rng, 250, 900))


def _engine(rng: np.random.Generator) -> np.ndarray:
    """Many overtones of a low, slightly uneven beat."""
    phase = _phase(rng.uniform(38, 50) * (1 + 0.03 * _swell(rng, 1.5)))
    out = sum(np.sin(k * phase + 0.7 * k * k) / k**0.6 for k in range(1, 16))
    throb = 1 + 0.5 * np.sin(phase / 2)
    return (0.3 * out * throb + 0.1 * _noise(rng, 200, 1200)).astype(np.float32)


_MAKERS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "bird": _bird,
    "cat": _cat,
    "dog": _dog,
    "rain": _rain,
    "waves": _waves,
    "wind": _wind,
    "engine": _engine,
}


def effect(sound: str, rng: np.random.Generator) -> np.ndarray:
    """Four seconds of one sound of the world.

    Args:
        sound: one of `SOUNDS`.
        rng: source of pitch, rhythm and grain.

    Returns:
        `[64000]` float32 samples at 16 kHz, peak 0.5 (steady sounds 0.4).
    """
    wave = _MAKERS[sound](rng)
    return wave * np.float32((0.4 if sound in _STEADY else _PEAK) / np.abs(wave).max())
