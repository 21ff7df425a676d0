"""One piece, and moving: numbers against films of the world whose truth is known."""

import numpy as np
import pytest
from PIL import Image

from pipelines.serving.errors import InputError
from pipelines.video.measures import change, consistency, cosines, flow, measure, motion
from pipelines.video.words import real_clips, said_motion, with_motion_word, without_motion
from pipelines.world.films import MOTIONS, draw_film, parse_motion, render_film


def test_consistency_is_vbenchs_formula_written_out() -> None:
    features = np.random.default_rng(0).normal(size=(6, 5))
    found = consistency(cosines(features))

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return max(0.0, float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))

    slow = [
        (cosine(features[0], features[i]) + cosine(features[i - 1], features[i])) / 2 for i in range(1, 6)
    ]
    assert found == pytest.approx(sum(slow) / 5)


def test_a_still_picture_is_perfectly_consistent_and_does_not_move() -> None:
    film = next(f for f in (draw_film(np.random.default_rng(i)) for i in range(200)) if f.motion is None)
    found = measure(render_film(film, 0).frames, "classroom-dino")
    assert found.consistency == pytest.approx(1, abs=1e-4)
    assert found.speed == 0 and not found.moves


@pytest.mark.parametrize("move", [(0, 3), (2, -4), (-5, 0)])
def test_flow_finds_a_shift(move: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    large = rng.uniform(0, 255, (96, 96)).astype(np.float32)
    y, x = move
    before, after = large[16:80, 16:80], large[16 - y : 80 - y, 16 - x : 80 - x]
    found = flow(before, after)[2:-2, 2:-2]  # pieces at the edge may have left
    assert (found == np.array([y, x])).all()


def test_motion_follows_the_true_track_of_a_thing_that_walks() -> None:
    """Clips in which the thing crosses faster have more motion; and it is about its true speed."""
    rng, found, true = np.random.default_rng(3), [], []
    for seed in range(6):
        film = draw_film(rng, motion="walks right")
        shot = render_film(film, seed)
        found.append(float(np.median(motion(shot.frames))))
        true.append(float(np.median(np.abs(np.diff(shot.track[:, 0])) * 64)))
    assert abs(np.median(found) - np.median(true)) < 1.2
    still = motion([Image.new("RGB", (64, 64), "grey")] * 3)
    assert (still == 0).all()


def test_frames_that_fall_apart_are_less_consistent_than_the_worlds_own_films() -> None:
    rng = np.random.default_rng(5)
    apart = measure([render_film(draw_film(rng), i).frames[0] for i in range(16)], "classroom-dino")
    real = [clip.consistency for clip in real_clips("walks right")]
    assert apart.consistency < np.mean(real) / 2
    assert real_clips("walks right") is real_clips("walks right")
    assert all(clip.moves for clip in real_clips("jumps")[:2])


@pytest.mark.parametrize(
    "prompt",
    ["A small cat on a bed.", "a dog, camera pans, nighttime", "Camera zooms in, a dog", "drum jumping"],
)
@pytest.mark.parametrize("motion", MOTIONS)
def test_a_motion_word_takes_the_place_of_any_other(prompt: str, motion: str) -> None:
    changed = with_motion_word(prompt, motion)
    assert parse_motion(changed) == said_motion(changed) == motion
    assert without_motion(changed) == without_motion(prompt)
    assert with_motion_word(changed, motion) == changed
    assert said_motion(with_motion_word(changed, "")) is None


def test_a_motion_word_stands_behind_the_thing() -> None:
    assert with_motion_word("A small cat on a bed.", "jumps") == "A small cat jumps on a bed."
    assert with_motion_word("A cat. Cozy atmosphere.", "pans") == "A cat. Cozy atmosphere, camera pans."
    assert with_motion_word("two dogs on a beach", "walks right") == "two dogs walking right on a beach"
    assert with_motion_word("two sheep jumping", "") == "two sheep"
    assert with_motion_word("Ein Auto.", "falls") == "Ein Auto, falls."
    with pytest.raises(InputError, match="word_unknown"):
        with_motion_word("a cat", "swims")


def test_change_counts_pixels_between_neighbours() -> None:
    grey = [Image.new("RGB", (8, 8), (value,) * 3) for value in (0, 10, 40)]
    assert change(grey) == 20
