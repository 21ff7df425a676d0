"""What is true of scenes, films and sounds of the world: what tests hold captions against."""

from dataclasses import fields, replace
from itertools import product

from pipelines.world.captions import holds, parse
from pipelines.world.films import Film, motion_phrases, parse_motion
from pipelines.world.sound import FEELINGS, INSTRUMENTS, MOODS, SoundScene, is_held_out_music
from pipelines.world.sound_captions import SoundFacts


def film_holds(text: str, film: Film) -> bool:
    """Whether everything that a text says is true of a film."""
    motion = parse_motion(text)
    for begin, end, _ in reversed(motion_phrases(text)):
        text = f"{text[:begin]} {text[end:]}"
    return motion in (None, film.motion) and holds(parse(text), film.scene)


def held_out_music() -> list[tuple[str, str]]:
    """All pairs of instrument and mood that training never lets hear."""
    return [(i, m) for i, m in product(INSTRUMENTS, MOODS) if is_held_out_music(i, m)]


def implied(facts: SoundFacts) -> SoundFacts:
    """The same facts with what an atmosphere word brings along: "cozy" is slow and calm."""
    if facts.atmosphere is None:
        return facts
    feeling = FEELINGS[facts.atmosphere]
    tempo = feeling.tempi[0] if len(feeling.tempi) == 1 else None
    return replace(
        facts,
        tempo=facts.tempo or tempo,
        mood=facts.mood or feeling.mood,
        structure=facts.structure or (feeling.structure if facts.instrument != "drum" else None),
    )


def sound_holds(facts: SoundFacts, scene: SoundScene) -> bool:
    """Whether everything that `facts` says is true of the scene."""
    return all(getattr(facts, f.name) in (None, getattr(scene, f.name)) for f in fields(SoundFacts))
