"""Freshly drawn sounds: what a training hears."""

from argparse import Namespace

import numpy as np
import torch

from pipelines.world.sound import is_held_out_music
from pipelines.world.sound_captions import parse_sound
from tests.oracles import sound_holds
from training.sound_pool import CHUNK, SoundPool, SoundStream, draw_sound_example, to_waves


def pool_of(**changes: int) -> SoundPool:
    settings = {"seed": 1, "workers": 0, "pool": 2 * CHUNK, "fresh": 4, "batch": 8, "device": "cpu"}
    return SoundPool(Namespace(**settings | changes))


def test_an_example_is_decided_by_its_seed() -> None:
    one, same, other = (draw_sound_example(np.random.default_rng(s)) for s in (1, 1, 2))
    assert one.scene == same.scene != other.scene
    assert np.array_equal(one.samples, same.samples)


def test_the_training_stream_lets_hear_nothing_that_is_held_out() -> None:
    stream = iter(SoundStream(seed=3, chunk=100))
    assert not any(is_held_out_music(e.scene.instrument, e.scene.mood) for e in next(stream))


def test_waves_are_what_was_rendered() -> None:
    examples = next(iter(SoundStream(seed=4, chunk=3)))
    waves = to_waves(examples)
    assert waves.shape == (3, 1, 64000)
    assert waves.abs().max() <= 1
    assert torch.equal((waves[1, 0] * 32767).round().to(torch.int16), torch.from_numpy(examples[1].samples))


def test_values_stay_with_their_scenes_and_the_ring_is_renewed() -> None:
    pool = pool_of()
    before = list(pool.column("scenes"))
    for _ in range(2 * CHUNK // 4):
        assert pool.sample()["sounds"].shape == (8, 1, 64000)
    assert all(new != old for new, old in zip(pool.column("scenes"), before, strict=True))
    pairs = zip(pool.column("scenes"), pool.column("sounds"), strict=True)
    level = {id(scene): float(sound.abs().max()) for scene, sound in pairs}
    rows = pool.sample()
    assert [float(s.abs().max()) for s in rows["sounds"]] == [level[id(s)] for s in rows["scenes"]]


def test_captions_of_the_pool_are_true() -> None:
    pool = pool_of()
    scenes = pool.sample()["scenes"]
    assert all(sound_holds(parse_sound(t), s) for t, s in zip(pool.captions(scenes), scenes, strict=True))
