"""Rendered sounds keep what their scene promises, measured by means of their own."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.world.sound import (
    FEELINGS,
    INSTRUMENTS,
    MOODS,
    SAMPLE_RATE,
    SAMPLES,
    SOUNDS,
    SoundScene,
    draw_sound,
)
from pipelines.world.sound_effects import effect
from pipelines.world.sound_notes import frequency, note
from pipelines.world.sound_render import Note, render_sound, score_of

PLAIN = SoundScene("piano", "slow", "happy")
PITCHED = tuple(i for i in INSTRUMENTS if i != "drum")


def loudness(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(wave**2)))


def centroid(wave: np.ndarray) -> float:
    """Mean frequency, weighted with the magnitudes of the spectrum, Hz."""
    magnitudes = np.abs(np.fft.rfft(wave))
    return float((magnitudes * np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)).sum() / magnitudes.sum())


def melody(scene: SoundScene, seed: int = 0) -> list[Note]:
    notes = [n for n in score_of(scene, np.random.default_rng(seed)) if n.part == "melody"]
    return sorted(notes, key=lambda n: n.start)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_every_scene_sounds_and_none_clips(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wave = render_sound(draw_sound(rng, unseen=True), rng)
    assert wave.shape == (SAMPLES,) and wave.dtype == np.float32
    assert np.isfinite(wave).all()
    assert 0.05 < np.abs(wave).max() <= 0.951
    assert loudness(wave) > 0.008


def test_the_seed_decides_the_sound() -> None:
    one, same, other = (render_sound(PLAIN, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize("instrument", PITCHED)
@pytest.mark.parametrize("midi", [45, 60, 69])
def test_notes_have_their_pitch(instrument: str, midi: int) -> None:
    """The strongest periodicity, found by autocorrelation; no part of the synthesizer is asked."""
    wave = note(instrument, midi)[1600:9600].astype(np.float64)
    power = np.abs(np.fft.rfft(wave, 2 * len(wave))) ** 2
    correlation = np.fft.irfft(power)[: len(wave)] * (len(wave) / (len(wave) - np.arange(len(wave))))
    low, high = int(SAMPLE_RATE / 900), int(SAMPLE_RATE / 60)
    candidates = np.arange(low, high)
    strong = candidates[correlation[low:high] > 0.9 * correlation[low:high].max()]
    period = strong[0]
    while correlation[period + 1] > correlation[period]:
        period += 1
    assert abs(SAMPLE_RATE / period / (440 * 2 ** ((midi - 69) / 12)) - 1) < 0.04
    assert frequency(69) == 440


def test_fast_has_more_than_twice_the_notes_of_slow() -> None:
    for mood in MOODS:
        for seed in range(5):
            slow, fast = (melody(replace(PLAIN, tempo=t, mood=mood), seed) for t in ("slow", "fast"))
            assert len(slow) <= 10
            assert len(fast) >= 13


@pytest.mark.parametrize("mood", MOODS)
def test_structures_are_heard_in_the_score(mood: str) -> None:
    for seed in range(5):
        scene = replace(PLAIN, tempo="fast", mood=mood)
        rising = [n.midi for n in melody(replace(scene, structure="rising"), seed)]
        assert rising == sorted(rising) and rising[-1] - rising[0] >= 12
        falling = [n.midi for n in melody(replace(scene, structure="falling"), seed)]
        assert falling == sorted(falling, reverse=True) and falling[0] - falling[-1] >= 12
        wandering = [n.midi for n in melody(scene, seed)]
        assert wandering not in (sorted(wandering), sorted(wandering, reverse=True))
        parts = {n.part for n in score_of(replace(scene, structure="solo"), np.random.default_rng(seed))}
        assert parts == {"melody"}
        parts = {
            n.part for n in score_of(replace(scene, structure="with drums"), np.random.default_rng(seed))
        }
        assert parts == {"melody", "chord", "kit"}


def test_a_repeated_melody_comes_back_every_four_eighths() -> None:
    notes = melody(replace(PLAIN, tempo="fast", structure="repeated"))
    pitches = [n.midi for n in notes]
    assert pitches[:-4] == pitches[4:]
    assert len(set(pitches)) == 4


@pytest.mark.parametrize(("mood", "third"), [("happy", 4), ("calm", 4), ("sad", 3), ("dramatic", 3)])
def test_major_and_minor(mood: str, third: int) -> None:
    """The first chord's third: four semitones above its root in major, three in minor."""
    for instrument in PITCHED:
        notes = score_of(replace(PLAIN, mood=mood, instrument=instrument), np.random.default_rng(3))
        chords = [n for n in notes if n.part == "chord"]
        first = sorted(n.midi for n in chords if n.start == min(c.start for c in chords))
        assert [m - first[0] for m in first] == [0, third, 7]


def test_moods_differ_in_loudness() -> None:
    levels = [
        np.mean(
            [np.abs(render_sound(replace(PLAIN, mood=m), np.random.default_rng(s))).max() for s in range(8)]
        )
        for m in ("calm", "sad", "happy", "dramatic")
    ]
    assert all(b > 1.3 * a for a, b in pairwise(levels))


def test_atmospheres_sound_as_they_say() -> None:
    def made(atmosphere: str | None, **changes: str) -> np.ndarray:
        scene = replace(PLAIN, atmosphere=atmosphere, **changes)
        return np.concatenate([render_sound(scene, np.random.default_rng(s)) for s in range(4)])

    calm = made(None, mood="calm")
    assert centroid(made("cozy", mood="calm")) < 0.9 * centroid(calm)
    assert np.abs(made("dim", mood="calm")).max() < 0.75 * np.abs(calm).max()
    assert centroid(made("bright")) > 1.2 * centroid(made(None)) > 1.2 * centroid(made("warm"))
    assert FEELINGS["dramatic"].structure == "with drums"


def test_instruments_and_sounds_differ_from_each_other() -> None:
    """Long-term spectra in 24 bands: a render is nearest to the mean of its own kind."""

    def bands(scene: SoundScene, seed: int) -> np.ndarray:
        wave = render_sound(scene, np.random.default_rng(seed))
        power = np.abs(np.fft.rfft(wave)) ** 2
        edges = np.geomspace(8, len(power), 25).astype(int)
        levels = np.array([power[a:b].mean() for a, b in pairwise(edges)])
        return np.log(levels / levels.max() + 1e-3)

    things = [SoundScene(sound=s) for s in SOUNDS]
    means = [np.mean([bands(s, seed) for seed in range(6)], 0) for s in things]
    for i, scene in enumerate(things):
        for seed in (10, 11, 12):
            distances = [np.abs(bands(scene, seed) - m).mean() for m in means]
            assert int(np.argmin(distances)) == i, scene


@pytest.mark.parametrize("sound", SOUNDS)
def test_sounds_fill_their_clip(sound: str) -> None:
    wave = effect(sound, np.random.default_rng(0))
    assert wave.shape == (SAMPLES,)
    assert 0.39 < np.abs(wave).max() < 0.51
    seconds = wave.reshape(4, -1)
    assert all(np.abs(s).max() > 0.05 for s in seconds) or sound in ("cat", "dog", "bird")


def test_music_and_a_sound_are_heard_together() -> None:
    both = render_sound(replace(PLAIN, sound="rain"), np.random.default_rng(1))
    music = render_sound(PLAIN, np.random.default_rng(1))
    assert 0.01 < loudness(both - music) < 0.2
    assert np.corrcoef(both, music)[0, 1] > 0.5
