"""Captions of sound scenes, and what a caption says about sound.

Two kinds of captions: about music and sounds ("a slow, sad piano melody"), and about a picture that
would sound so ("A cat. Cozy atmosphere."), written by the picture world's own grammar, so that one
prompt can travel from pictures to sound. `parse_sound` reads both.
"""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.world import captions
from pipelines.world.captions import ATMOSPHERE_WORDS, NOUN_WORDS, PLACE_WORDS, Lexicon, pick, plural
from pipelines.world.layout import draw_scene
from pipelines.world.scene import COLOURABLE, NOUNS, Scene
from pipelines.world.sound import SoundScene

INSTRUMENT_WORDS = {
    "piano": ("piano",),
    "guitar": ("guitar", "acoustic guitar"),
    "violin": ("violin", "fiddle"),
    "flute": ("flute",),
    "bass": ("bass", "bass guitar"),
    "drum": ("drum", "drums"),
}
TEMPO_WORDS = {"slow": ("slow", "slowly", "in a slow tempo"), "fast": ("fast", "quick", "in a fast tempo")}
MOOD_WORDS = {
    "happy": ("happy", "cheerful", "joyful"),
    "sad": ("sad", "mournful", "melancholy"),
    "calm": ("calm", "peaceful", "gentle"),
    "dramatic": ("dramatic", "tense"),
}
STRUCTURE_WORDS = {
    "rising": ("rising", "ascending", "going up"),
    "falling": ("falling", "descending", "going down"),
    "repeated": ("repeated", "repeating", "over and over"),
    "with drums": ("with drums", "with a beat", "and drums"),
    "solo": ("solo", "unaccompanied", "alone"),
}
SOUND_WORDS = {
    "bird": ("a bird", "birdsong", "birds singing", "a bird singing"),
    "cat": ("a cat", "a cat meowing", "meowing", "a meowing cat"),
    "dog": ("a dog", "a dog barking", "barking", "a barking dog"),
    "rain": ("rain", "the sound of rain", "raining"),
    "waves": ("waves", "the sound of the sea", "sea waves"),
    "wind": ("wind", "the sound of wind", "howling wind"),
    "engine": ("an engine", "the sound of an engine", "a running engine"),
}
MUSIC_WORDS = ("music", "melody", "tune", "piece")
# What a picture's things and places sound like. A thing is heard before the place that it is in.
THING_SOUNDS = {"cat": "cat", "dog": "dog", "bird": "bird", "car": "engine"}
THING_INSTRUMENTS = {"guitar": "guitar", "drum": "drum"}
PLACE_SOUNDS = {"beach": "waves", "sea": "waves", "snow": "wind"}
_SILENT_THINGS = tuple(n for n in NOUNS if n not in THING_SOUNDS | THING_INSTRUMENTS)
_SILENT_PLACES = tuple(p for p in PLACE_WORDS if p not in PLACE_SOUNDS)
_AS_A_PICTURE = 0.35  # share of captions about a picture, where one would sound like the scene


@dataclass(frozen=True)
class SoundFacts:
    """What a text says about sound; None where it says nothing. The fields are those of `SoundScene`."""

    instrument: str | None = None
    tempo: str | None = None
    mood: str | None = None
    structure: str | None = None
    sound: str | None = None
    atmosphere: str | None = None


def _one_of(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(rng.integers(len(values)))]


def _music_phrase(scene: SoundScene, rng: np.random.Generator) -> str:
    """Words for the music in one phrase, such as "a slow, sad piano melody"; "" if it is left out."""
    before: list[str] = []
    after: list[str] = []
    for value, table, share in (
        (scene.tempo, TEMPO_WORDS, 0.65),
        (scene.mood, MOOD_WORDS, 0.7),
    ):
        if value is not None and rng.random() < share:
            word = pick(rng, table[value])
            (after if word.startswith("in ") or word.endswith("ly") else before).append(word)
    if rng.random() < 0.5:
        before.reverse()
    if scene.instrument is not None and rng.random() < 0.85:
        before.append(pick(rng, INSTRUMENT_WORDS[scene.instrument]))
        ending = _one_of(rng, MUSIC_WORDS) if rng.random() < 0.6 else ""
    else:
        ending = _one_of(rng, MUSIC_WORDS) if before else ""
    phrase = " ".join([*before, *([ending] if ending else []), *after])
    article = ending not in ("", "music") and rng.random() < 0.6
    return f"a {phrase}" if article and phrase[0] not in "aeiou" else phrase


def _extras(scene: SoundScene, rng: np.random.Generator) -> list[str]:
    """Phrases beside the music, in random order."""
    found = []
    for value, table, share in (
        (scene.structure, STRUCTURE_WORDS, 0.8),
        (scene.atmosphere, ATMOSPHERE_WORDS, 0.8),
        (scene.sound, SOUND_WORDS, 0.9),
    ):
        if value is not None and rng.random() < share:
            found.append(pick(rng, table[value]))
    return [found[i] for i in rng.permutation(len(found))]


def _as_picture(scene: SoundScene, rng: np.random.Generator) -> Scene | None:
    """A picture that would sound like the scene; None if there is no such picture."""
    nouns = [n for n, s in THING_SOUNDS.items() if s == scene.sound]
    places = [p for p, s in PLACE_SOUNDS.items() if s == scene.sound]
    if scene.sound is None:
        nouns = [n for n, i in THING_INSTRUMENTS.items() if i == scene.instrument]
    if not nouns and not places:
        return None
    picture = draw_scene(rng, unseen=True)
    copies = len({t.noun for t in picture.things}) == 1
    noun = nouns[0] if nouns else _one_of(rng, _SILENT_THINGS)
    other = noun if copies else _one_of(rng, tuple(n for n in _SILENT_THINGS if n != noun))
    named = [noun, *[other] * (len(picture.things) - 1)]
    things = tuple(
        replace(t, noun=n, colour=t.colour if n in COLOURABLE else None)
        for t, n in zip(picture.things, named, strict=True)
    )
    place = _one_of(rng, tuple(places) if places else _SILENT_PLACES)
    return replace(picture, things=things, place=place, atmosphere=scene.atmosphere)


def _about_a_picture(scene: SoundScene, rng: np.random.Generator) -> list[str]:
    """The picture world's caption, if there is one that says something about this sound."""
    picture = _as_picture(scene, rng) if rng.random() < _AS_A_PICTURE else None
    if picture is None:
        return []
    text = captions.caption(picture, rng)
    return [] if parse_sound(text) == SoundFacts() else [text]


def _joined(pieces: list[str], rng: np.random.Generator) -> str:
    """Pieces as sentences or as a list, in various cases."""
    if rng.random() < 0.5:
        return " ".join(p[0].upper() + p[1:].rstrip(".") + "." for p in pieces)
    return captions.in_some_case(", ".join(p.rstrip(".") for p in pieces), rng)


def sound_caption(scene: SoundScene, rng: np.random.Generator) -> str:
    """Write about a scene; what it leaves out stays open.

    Args:
        scene: the ground truth; nothing is said that it does not hold.
        rng: source of wording, order, punctuation and omissions.

    Returns:
        English text that says at least one thing.
    """
    pieces = _about_a_picture(scene, rng)
    if pieces and rng.random() < 0.6:
        return pieces[0]
    music = _music_phrase(scene, rng) if scene.instrument is not None else ""
    extras = [] if pieces else _extras(scene, rng)
    pieces += ([music] if music else []) + extras
    if not pieces:
        pieces = [
            pick(
                rng, INSTRUMENT_WORDS[scene.instrument] if scene.instrument else SOUND_WORDS[str(scene.sound)]
            )
        ]
    if rng.random() < 0.25:
        pieces = [pieces[i] for i in rng.permutation(len(pieces))]
    return _joined(pieces, rng)


def _table() -> dict[str, tuple[str, str]]:
    """Every phrase that has a meaning in sound, with the field of `SoundFacts` and its value."""
    table: dict[str, tuple[str, str]] = {}
    for place, phrases in PLACE_WORDS.items():
        table |= {p: ("place", PLACE_SOUNDS.get(place, "")) for p in phrases}
    for noun, names in NOUN_WORDS.items():
        kind, value = ("sound", THING_SOUNDS[noun]) if noun in THING_SOUNDS else ("", "")
        kind, value = ("instrument", THING_INSTRUMENTS[noun]) if noun in THING_INSTRUMENTS else (kind, value)
        table |= {form: (kind, value) for name in names for form in (name, plural(name)) if kind}
    for kind, words in (
        ("atmosphere", ATMOSPHERE_WORDS),
        ("instrument", INSTRUMENT_WORDS),
        ("tempo", TEMPO_WORDS),
        ("mood", MOOD_WORDS),  # after the atmospheres: "dramatic" by itself is a mood
        ("structure", STRUCTURE_WORDS),
        ("sound", SOUND_WORDS),
    ):
        table |= {phrase: (kind, value) for value, phrases in words.items() for phrase in phrases}
    return table | {"engine": ("sound", "engine"), "motor": ("sound", "engine")}


_LEXICON = Lexicon(_table())


def parse_sound(text: str) -> SoundFacts:
    """Read what an English text says about sound; words it does not know are skipped.

    Args:
        text: any text, about sound or about a picture.

    Returns:
        What the text says; of contradictions, the last word counts, and things come before places.
    """
    found: dict[str, str] = {}
    place = ""
    for phrase in _LEXICON.phrases(text):
        if phrase.kind == "place":
            place = str(phrase.value)
        else:
            found[phrase.kind] = str(phrase.value)
    if place:
        found.setdefault("sound", place)
    return SoundFacts(**found)
