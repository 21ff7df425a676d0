"""Sounds of scenes: a score of notes from the scene, and four seconds of samples from the score."""

import math
from dataclasses import dataclass

import numpy as np

from pipelines.world.sound import FEELINGS, SAMPLE_RATE, SAMPLES, SECONDS, Feeling, SoundScene
from pipelines.world.sound_effects import effect
from pipelines.world.sound_notes import KIT, NOTE_SECONDS, note, stroke

BEATS_PER_MINUTE = {"slow": (60.0, 70.0), "fast": (132.0, 150.0)}
_GRID = 320  # samples; notes begin on it. It is a frame of the classroom codec: see docs/decisions.md
# Tonic in the low, middle and high register, MIDI.
_REGISTERS = {
    "piano": (48, 60, 72),
    "guitar": (43, 55, 67),
    "violin": (55, 67, 76),
    "flute": (60, 72, 81),
    "bass": (29, 36, 43),
    "drum": (36, 45, 55),
}
_CHORDS_BELOW = {"bass": 12, "drum": -12}  # where chords lie, semitones from the melody; else an octave below
_RELEASE = 0.03  # s


@dataclass(frozen=True)
class _Style:
    """How a mood plays.

    Attributes:
        scale: semitones of its scale's degrees.
        chords: semitones above the tonic, one chord after the other.
        length: of a melody note, as a share of an eighth.
        rests: share of melody notes off the beat that are left out.
        peak: of the music, 0..1.
        brightness: 0 dull, 1 plain, 2 bright.
    """

    scale: tuple[int, ...]
    chords: tuple[tuple[int, ...], ...]
    length: float
    rests: float
    peak: float
    brightness: int


_STYLES = {
    "happy": _Style((0, 2, 4, 5, 7, 9, 11), ((0, 4, 7), (5, 9, 12), (7, 11, 14)), 0.5, 0.0, 0.55, 1),
    "sad": _Style((0, 2, 3, 5, 7, 8, 10), ((0, 3, 7), (-4, 0, 3), (5, 8, 12)), 1.0, 0.2, 0.35, 1),
    "calm": _Style((0, 2, 4, 7, 9), ((0, 4, 7), (5, 9, 12), (0, 4, 7)), 2.0, 0.1, 0.2, 0),
    "dramatic": _Style((0, 2, 3, 5, 7, 8, 11), ((0, 3, 7), (-1, 2, 5), (0, 3, 7)), 0.9, 0.0, 0.9, 2),
}


@dataclass(frozen=True)
class Note:
    """One note of a score.

    Attributes:
        start, seconds: when and how long, s.
        voice: an instrument, or a piece of the drum kit (`KIT`).
        midi: pitch, 69 is 440 Hz; 0 for the kit.
        loudness: 0..1, before the mood's own level.
        part: "melody", "chord" or "kit".
    """

    start: float
    seconds: float
    voice: str
    midi: int
    loudness: float
    part: str


def _degrees(structure: str | None, count: int, octave: int, rng: np.random.Generator) -> np.ndarray:
    """Scale degrees of the melody, one an eighth; `octave` is the degree of the octave."""
    if structure in ("rising", "falling"):
        line = np.linspace(0, octave + 2, count).round().astype(int)
        return line if structure == "rising" else line[::-1]
    if structure == "repeated":
        motif = np.concatenate([[0, 2], rng.permutation([1, 3, 4])[:2]])
        return np.resize(rng.permutation(motif), count)
    steps = rng.choice([-2, -1, 1, 2], count)
    walk = [int(rng.choice([0, 2, 4]))]
    for step in steps[1:]:
        walk.append(walk[-1] + int(step) if 0 <= walk[-1] + step <= octave else walk[-1] - int(step))
    return np.array(walk)


def _pitch(degree: int, scale: tuple[int, ...]) -> int:
    octave, step = divmod(int(degree), len(scale))
    return 12 * octave + scale[step]


def _melody(
    scene: SoundScene, style: _Style, tonic: int, eighth: float, rng: np.random.Generator
) -> list[Note]:
    count = math.ceil(SECONDS / eighth)
    degrees = _degrees(scene.structure, count, len(style.scale), rng)
    notes = []
    for i, degree in enumerate(degrees):
        if i % 2 and rng.random() < style.rests:
            continue
        loudness = (0.9 if i % 2 == 0 else 0.7) * rng.uniform(0.92, 1.08)
        if scene.mood == "dramatic":
            loudness *= 0.55 + 0.45 * i / count  # it swells
        length = min(style.length * eighth, NOTE_SECONDS - _RELEASE)
        midi = tonic + _pitch(degree, style.scale)
        notes.append(Note(i * eighth, length, str(scene.instrument), midi, loudness, "melody"))
    return notes


def _chords(scene: SoundScene, style: _Style, tonic: int, eighth: float) -> list[Note]:
    """Chords change about every two seconds: held (sad, calm), after the beat (happy), driving (dramatic)."""
    every = 1 if scene.mood == "dramatic" else 2
    change = 4 if scene.tempo == "slow" else 8
    base = tonic + _CHORDS_BELOW.get(str(scene.instrument), -12)
    notes = []
    for i in range(0, math.ceil(SECONDS / eighth), every):
        chord = style.chords[i // change % len(style.chords)]
        late = scene.mood == "happy"
        length = min((0.5 if late else every) * eighth, NOTE_SECONDS - _RELEASE)
        voices = chord[:1] if scene.instrument == "drum" else chord
        swell = 0.55 + 0.45 * i * eighth / SECONDS if scene.mood == "dramatic" else 1.0
        for step in voices:
            loudness = 0.8 * swell / len(voices)
            start = (i + late) * eighth
            notes.append(Note(start, length, str(scene.instrument), base + step, loudness, "chord"))
    return notes


def _kit(eighth: float) -> list[Note]:
    """Kick on one and three, snare on two and four, hats on every eighth."""
    notes = []
    for i in range(math.ceil(SECONDS / eighth)):
        notes.append(Note(i * eighth, 0.1, "hat", 0, 0.12, "kit"))
        if i % 2 == 0:
            notes.append(Note(i * eighth, 0.4, "kick" if i % 4 == 0 else "snare", 0, 0.4, "kit"))
    return notes


def score_of(scene: SoundScene, rng: np.random.Generator) -> tuple[Note, ...]:
    """The notes of a scene's music, in no particular order; none without an instrument.

    Args:
        scene: what is asked for.
        rng: source of exact tempo, melody and accents, which no caption names.
    """
    if scene.instrument is None:
        return ()
    style, feeling = _STYLES[str(scene.mood)], _feeling(scene)
    tonic = _REGISTERS[scene.instrument][1 + feeling.register]
    eighth = 30 / rng.uniform(*BEATS_PER_MINUTE[str(scene.tempo)])
    notes = _melody(scene, style, tonic, eighth, rng)
    if scene.structure != "solo":
        notes += _chords(scene, style, tonic, eighth)
    if scene.structure == "with drums":
        notes += _kit(eighth)
    return tuple(n for n in notes if n.start < SECONDS)


def _feeling(scene: SoundScene) -> Feeling:
    """What the atmosphere changes; without one, the mood alone decides."""
    plain = Feeling((), "", brightness=_STYLES[str(scene.mood)].brightness)
    return FEELINGS[scene.atmosphere] if scene.atmosphere else plain


def _add(out: np.ndarray, n: Note, brightness: int) -> None:
    """Mix one note into `out`, in place."""
    wave = stroke(n.voice) if n.voice in KIT else note(n.voice, n.midi, brightness)
    first = round(n.start * SAMPLE_RATE / _GRID) * _GRID
    held, release = round(n.seconds * SAMPLE_RATE), round(_RELEASE * SAMPLE_RATE)
    part = wave[: min(held + release, SAMPLES - first)] * np.float32(n.loudness)
    if len(part) > held:
        part[held:] *= 1 - np.arange(1, len(part) - held + 1, dtype=np.float32) / release
    out[first : first + len(part)] += part


def _play(scene: SoundScene, rng: np.random.Generator) -> np.ndarray:
    """The music of a scene, `[64000]`, as loud as its mood and atmosphere have it."""
    out = np.zeros(SAMPLES, np.float32)
    feeling = _feeling(scene)
    for n in score_of(scene, rng):
        _add(out, n, feeling.brightness)
    peak = _STYLES[str(scene.mood)].peak * feeling.gain * rng.uniform(0.9, 1.1)
    return out * np.float32(peak / max(float(np.abs(out).max()), 1e-6))


def render_sound(scene: SoundScene, rng: np.random.Generator) -> np.ndarray:
    """Render a scene.

    Args:
        scene: what to let hear.
        rng: source of melody, grain and other things that no caption names.

    Returns:
        `[64000]` float32 samples at 16 kHz, -0.95..0.95.
    """
    out = np.zeros(SAMPLES, np.float32)
    if scene.instrument is not None:
        out += _play(scene, rng)
    if scene.sound is not None:
        out += effect(scene.sound, rng) * np.float32(0.6 if scene.instrument else 1.0)
    peak = float(np.abs(out).max())
    return out if peak <= 0.95 else out * np.float32(0.95 / peak)
