"""Freshly drawn scenes: what a training sees."""

from argparse import Namespace

import numpy as np
import torch

from pipelines.world.captions import caption, holds, parse
from pipelines.world.films import Film, parse_motion
from pipelines.world.scene import is_held_out
from tests.oracles import film_holds
from training.pool import CHUNK, Pool, SceneStream, Shares, draw_example, to_tensor


def test_pictures_become_tensors_and_back() -> None:
    images = [np.random.default_rng(s).integers(0, 256, (64, 64, 3), dtype=np.uint8) for s in (0, 1)]
    batch = to_tensor(images)
    assert batch.shape == (2, 3, 64, 64)
    assert batch.dtype == torch.float32
    assert batch.min() >= -1
    assert batch.max() <= 1
    back = ((batch + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert (back == np.stack(images)).all()


def test_an_example_is_decided_by_its_seed() -> None:
    one, same, other = (draw_example(np.random.default_rng(s)) for s in (1, 1, 2))
    assert one.scene == same.scene
    assert (one.image == same.image).all()
    assert (one.masks == same.masks).all()
    assert one.scene != other.scene


def test_the_training_stream_shows_nothing_that_is_held_out() -> None:
    stream = iter(SceneStream(seed=3, chunk=50))
    examples = [e for _ in range(8) for e in next(stream)]
    assert len(examples) == 400
    assert not any(is_held_out(e.scene) for e in examples)
    assert all(e.image.shape == (64, 64, 3) and e.image.dtype == np.uint8 for e in examples)


def test_captions_of_the_stream_are_true() -> None:
    example = next(iter(SceneStream(seed=4, chunk=1)))[0]
    rng = np.random.default_rng(0)
    assert all(holds(parse(caption(example.scene, rng)), example.scene) for _ in range(50))


def test_the_ring_is_renewed_at_the_rate_asked_for() -> None:
    args = Namespace(seed=1, workers=0, pool=2 * CHUNK, fresh=4, batch=8, device="cpu")
    pool = Pool(args)
    before = list(pool.column("examples"))
    for step in range(1, 9):
        rows = pool.sample()
        assert rows["images"].shape == (8, 3, 64, 64)
        assert torch.equal(rows["images"], to_tensor([e.image for e in rows["examples"]]))
        renewed = sum(new is not old for new, old in zip(pool.column("examples"), before, strict=True))
        assert renewed == step * 4 // CHUNK * CHUNK


def test_frames_of_films_come_as_often_as_asked_and_are_told_as_such() -> None:
    rng = np.random.default_rng(7)
    examples = [draw_example(rng, shares=Shares(films=0.3)) for _ in range(300)]
    moving = [e for e in examples if e.motion is not None]
    assert 0.2 < len(moving) / len(examples) < 0.35  # one film in ten stands still
    assert all(e.masks.shape == (1, 64, 64) for e in moving)
    pool = Pool(Namespace(seed=1, workers=0, pool=CHUNK, fresh=4, batch=8, device="cpu"))
    said = pool.captions(moving)
    assert 0.8 < np.mean([parse_motion(text) is not None for text in said]) < 1
    assert all(film_holds(t, Film(e.scene, e.motion)) for t, e in zip(said, moving, strict=True))


def test_wide_shots_come_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    examples = [draw_example(rng, shares=Shares(pairs=0.25, wide=0.5)) for _ in range(200)]
    wide = sum(e.scene.composition == "wide shot" for e in examples)
    assert 90 < wide < 130
    assert sum(e.scene.relation is not None for e in examples) > 50
