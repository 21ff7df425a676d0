"""Sound scenes and their captions: what is held out, what is drawn, and what a caption says of it."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.world.captions import ATMOSPHERE_WORDS, NOUN_WORDS
from pipelines.world.sound import (
    FEELINGS,
    INSTRUMENTS,
    MOODS,
    SOUNDS,
    STRUCTURES,
    TEMPI,
    SoundScene,
    draw_sound,
)
from pipelines.world.sound_captions import (
    INSTRUMENT_WORDS,
    MOOD_WORDS,
    SOUND_WORDS,
    STRUCTURE_WORDS,
    TEMPO_WORDS,
    SoundFacts,
    parse_sound,
    sound_caption,
)
from tests.oracles import held_out_music, implied, sound_holds

TABLES = {
    "instrument": INSTRUMENT_WORDS,
    "tempo": TEMPO_WORDS,
    "mood": MOOD_WORDS,
    "structure": STRUCTURE_WORDS,
    "sound": SOUND_WORDS,
}
COZY_CAT = SoundScene("piano", "slow", "calm", sound="cat", atmosphere="cozy")


@pytest.fixture(scope="module")
def drawn() -> list[SoundScene]:
    rng = np.random.default_rng(1)
    return [draw_sound(rng) for _ in range(4000)]


@settings(derandomize=True, deadline=None, max_examples=2000)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_caption_parses_back_to_what_its_scene_holds(seed: int, unseen: bool) -> None:
    rng = np.random.default_rng(seed)
    scene = draw_sound(rng, unseen=unseen)
    text = sound_caption(scene, rng)
    facts = parse_sound(text)
    assert facts != SoundFacts(), text
    for field in fields(SoundFacts):  # not by `sound_holds` alone, which is under test, too
        assert getattr(facts, field.name) in (None, getattr(scene, field.name)), text
    assert sound_holds(facts, scene)
    assert sound_holds(implied(facts), scene), "what an atmosphere brings along is true as well"


def test_training_never_lets_hear_what_is_held_out(drawn: list[SoundScene]) -> None:
    held_out = held_out_music()
    assert held_out == [("violin", "happy"), ("bass", "sad")]
    assert not [s for s in drawn if (s.instrument, s.mood) in held_out]
    rng = np.random.default_rng(2)
    unseen = [draw_sound(rng, unseen=True) for _ in range(2000)]
    assert {(s.instrument, s.mood) for s in unseen} >= set(held_out)


def test_every_word_of_the_world_is_drawn(drawn: list[SoundScene]) -> None:
    for name, values in (
        ("instrument", INSTRUMENTS),
        ("tempo", TEMPI),
        ("mood", MOODS),
        ("structure", STRUCTURES),
        ("sound", SOUNDS),
        ("atmosphere", FEELINGS),
    ):
        assert {getattr(s, name) for s in drawn} == {None, *values}


def test_scenes_make_sense(drawn: list[SoundScene]) -> None:
    for scene in drawn:
        assert scene.instrument or scene.sound
        music = (scene.tempo, scene.mood)
        assert all(music) if scene.instrument else not any((*music, scene.structure, scene.atmosphere))
        if scene.instrument == "drum":
            assert scene.structure not in ("with drums", "solo")
        if scene.atmosphere:
            feeling = FEELINGS[scene.atmosphere]
            assert scene.mood == feeling.mood and scene.tempo in feeling.tempi
    both = np.mean([s.instrument is not None and s.sound is not None for s in drawn])
    alone = np.mean([s.instrument is None for s in drawn])
    assert 0.17 < both < 0.23 and 0.17 < alone < 0.23


def test_the_seed_decides_the_scene_and_its_caption() -> None:
    one, same, other = (draw_sound(np.random.default_rng(s)) for s in (1, 1, 2))
    assert one == same != other
    one_text, same_text, other_text = (sound_caption(COZY_CAT, np.random.default_rng(s)) for s in (1, 1, 4))
    assert one_text == same_text != other_text


@pytest.mark.parametrize("kind", TABLES)
def test_every_phrase_is_understood(kind: str) -> None:
    for value, phrases in TABLES[kind].items():
        for phrase in phrases:
            for text in (phrase, f"{phrase.upper()}!", f"Something: {phrase}; tulip"):
                assert parse_sound(text) == SoundFacts(**{kind: value}), text


def test_atmospheres_are_those_of_pictures() -> None:
    assert set(FEELINGS) == set(ATMOSPHERE_WORDS)
    for value, phrases in ATMOSPHERE_WORDS.items():
        for phrase in phrases:
            facts = parse_sound(f"a cat, {phrase}")
            assert facts.sound == "cat"
            assert implied(facts).mood == FEELINGS[value].mood, phrase


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("A small cat on a bed.", SoundFacts(sound="cat")),
        ("A  cat in front of a House.", SoundFacts(sound="cat")),
        ("A cat. Cozy atmosphere. Dimm lighting.", SoundFacts(sound="cat", atmosphere="dim")),
        ("two puppies on the beach", SoundFacts(sound="dog")),
        ("a bed on the beach", SoundFacts(sound="waves")),
        ("a guitar in the snow", SoundFacts(instrument="guitar", sound="wind")),
        ("a red car", SoundFacts(sound="engine")),
        ("a piano with drums", SoundFacts(instrument="piano", structure="with drums")),
        ("dramatic", SoundFacts(mood="dramatic")),
        ("ein trauriges Klavier", SoundFacts()),
        ("", SoundFacts()),
    ],
)
def test_pictures_and_music_are_read_alike(text: str, facts: SoundFacts) -> None:
    assert parse_sound(text) == facts


def test_what_an_atmosphere_always_brings_is_in_every_scene(drawn: list[SoundScene]) -> None:
    bringing = [s for s in drawn if s.atmosphere is not None and FEELINGS[s.atmosphere].structure is not None]
    assert len(bringing) > 50
    assert all(s.structure == FEELINGS[str(s.atmosphere)].structure for s in bringing)


def test_an_atmosphere_brings_tempo_mood_and_drums() -> None:
    assert implied(SoundFacts(atmosphere="cozy")) == SoundFacts(tempo="slow", mood="calm", atmosphere="cozy")
    dramatic = implied(SoundFacts(atmosphere="dramatic"))
    assert (dramatic.tempo, dramatic.mood, dramatic.structure) == (None, "dramatic", "with drums")
    assert implied(SoundFacts(instrument="drum", atmosphere="dramatic")).structure is None
    assert implied(SoundFacts(tempo="fast", atmosphere="cozy")).tempo == "fast", "what is said comes first"


@pytest.mark.parametrize(
    "text", ["a fast piano", "sad", "a violin", "a dog", "bright light", "piano with drums", "rain"]
)
def test_a_text_that_says_more_than_the_scene_holds_is_false(text: str) -> None:
    assert not sound_holds(parse_sound(text), COZY_CAT)


def test_captions_use_every_word_and_leave_things_out(drawn: list[SoundScene]) -> None:
    rng = np.random.default_rng(3)
    texts = [sound_caption(s, rng) for s in drawn]
    everything = " | ".join(texts).lower()
    tables = (*TABLES.values(), ATMOSPHERE_WORDS)
    assert not {p for table in tables for phrases in table.values() for p in phrases if p not in everything}
    music = [parse_sound(t) for t, s in zip(texts, drawn, strict=True) if s.instrument]
    assert 0.1 < np.mean([f.instrument is None for f in music]) < 0.4
    assert 0.2 < np.mean([f.tempo is None for f in music]) < 0.6
    assert len(set(texts)) > 0.6 * len(texts)


def test_some_captions_are_about_pictures() -> None:
    rng = np.random.default_rng(5)
    texts = [sound_caption(SoundScene(sound="cat"), rng) for _ in range(300)]
    pictures = [
        t for t in texts if any(w in t.lower() for w in ("photo", "cartoon", "sketch", "room", "watercolor"))
    ]
    assert 20 < len(pictures) < 150
    nouns = {w for noun in ("dog", "bird", "car", "guitar", "drum") for w in NOUN_WORDS[noun]}
    assert not [t for t in pictures if nouns & set(t.lower().replace(",", " ").replace(".", " ").split())]
