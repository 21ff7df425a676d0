"""What the classroom world sounds like, and what training never lets hear.

A sound scene is a frozen record of everything that is in four seconds of sound. It is the ground
truth that captions are written from, that sounds are rendered from and that judges check.
"""

import zlib
from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000  # Hz
SECONDS = 4.0
SAMPLES = round(SAMPLE_RATE * SECONDS)

INSTRUMENTS = ("piano", "guitar", "violin", "flute", "bass", "drum")
TEMPI = ("slow", "fast")
MOODS = ("happy", "sad", "calm", "dramatic")
STRUCTURES = ("rising", "falling", "repeated", "with drums", "solo")
SOUNDS = ("bird", "cat", "dog", "rain", "waves", "wind", "engine")
# Of a drum alone nobody could hear that drums were added, or that chords were left out.
_NOT_FOR_A_DRUM = ("with drums", "solo")


@dataclass(frozen=True)
class Feeling:
    """What a word for a picture's light means in sound: the makers' choice, not a law of nature.

    Attributes:
        tempi: tempi that fit, of `TEMPI`.
        mood: one of `MOODS`.
        structure: one of `STRUCTURES` that it always brings, or None for any.
        register: -1 low, 0 middle, 1 high.
        brightness: 0 dull, 1 plain, 2 bright: how strong the overtones are.
        gain: factor on the loudness, 0..1.
    """

    tempi: tuple[str, ...]
    mood: str
    structure: str | None = None
    register: int = 0
    brightness: int = 1
    gain: float = 1.0


FEELINGS = {
    "cozy": Feeling(("slow",), "calm", register=-1, brightness=0),
    "dim": Feeling(("slow",), "calm", register=-1, brightness=0, gain=0.6),
    "warm": Feeling(TEMPI, "happy", register=-1, brightness=0),
    "moody": Feeling(("slow",), "sad", brightness=0),
    "dramatic": Feeling(TEMPI, "dramatic", structure="with drums", brightness=2),
    "bright": Feeling(("fast",), "happy", register=1, brightness=2),
    "at night": Feeling(("slow",), "calm", brightness=0, gain=0.6),
}


@dataclass(frozen=True)
class SoundScene:
    """Everything that four seconds of the world let hear.

    Music and a sound of the world may come together; one of the two is always there. Without an
    instrument there is no music, and no tempo, mood, structure or atmosphere.

    Attributes:
        instrument: one of `INSTRUMENTS`.
        tempo: one of `TEMPI`.
        mood: one of `MOODS`.
        structure: one of `STRUCTURES`, or None for a wandering melody over chords.
        sound: one of `SOUNDS`.
        atmosphere: one of `FEELINGS`; the other fields fit it.
    """

    instrument: str | None = None
    tempo: str | None = None
    mood: str | None = None
    structure: str | None = None
    sound: str | None = None
    atmosphere: str | None = None


def is_held_out_music(instrument: str | None, mood: str | None) -> bool:
    """Whether training never lets `instrument` play in this mood."""
    music = instrument is not None and mood is not None
    return music and zlib.crc32(f"{instrument}/{mood}".encode()) % 10 == 0


def _one_of(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(rng.integers(len(values)))]


def _draw_music(rng: np.random.Generator, unseen: bool) -> SoundScene:
    while True:
        instrument = _one_of(rng, INSTRUMENTS)
        atmosphere = _one_of(rng, tuple(FEELINGS)) if rng.random() < 0.4 else None
        feeling = FEELINGS[atmosphere] if atmosphere else None
        mood = feeling.mood if feeling else _one_of(rng, MOODS)
        if instrument == "drum" and feeling and feeling.structure in _NOT_FOR_A_DRUM:
            continue  # an atmosphere brings what it always brings
        if unseen or not is_held_out_music(instrument, mood):
            break
    tempo = _one_of(rng, feeling.tempi if feeling else TEMPI)
    structure = _one_of(rng, STRUCTURES) if rng.random() < 0.7 else None
    structure = (feeling.structure if feeling else None) or structure
    if instrument == "drum" and structure in _NOT_FOR_A_DRUM:
        structure = None
    return SoundScene(instrument, tempo, mood, structure, atmosphere=atmosphere)


def draw_sound(rng: np.random.Generator, *, unseen: bool = False) -> SoundScene:
    """Draw a scene at random: music (most often), a sound of the world, or both.

    Args:
        rng: source of everything that is drawn.
        unseen: draw what training holds out, too.
    """
    kind = rng.random()
    sound = _one_of(rng, SOUNDS) if kind < 0.4 else None
    if kind < 0.2:
        return SoundScene(sound=sound)
    music = _draw_music(rng, unseen)
    return SoundScene(music.instrument, music.tempo, music.mood, music.structure, sound, music.atmosphere)
