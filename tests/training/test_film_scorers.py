"""The judge of films: its data, its loss, and the rows that come of what it sees."""

import numpy as np
import pytest
import torch

from pipelines.video.measures import VideoMeasures
from pipelines.world.films import FRAMES, MOTIONS, draw_film, is_held_out_motion, parse_motion, render_film
from training import train_motion_scorer
from training.evaluate_video import MotionPrompt, consistency_rows, motion_rows, prompts, real_clip, redrawn
from training.film_scorers import ANSWERS, FilmScorer, to_films, watch
from training.train_motion_scorer import Renders, loss_of, softened, swimming


def test_prompts_ask_for_every_motion_equally_and_say_what_they_ask() -> None:
    asked = prompts(8)
    assert len(asked) == 8 * len(MOTIONS) == len({a.text for a in asked})
    for one in asked:
        assert parse_motion(one.text) == one.motion and one.noun in one.text
    assert any(is_held_out_motion(a.motion, a.noun) for a in asked)


def test_a_real_clip_shows_the_thing_in_the_motion_that_was_asked_for() -> None:
    frames = real_clip(MotionPrompt("a cat jumps", "cat", "jumps"), 3)
    assert len(frames) == FRAMES
    assert len({frame.tobytes() for frame in frames}) > 3  # a jump passes the same heights twice
    again = real_clip(MotionPrompt("a cat jumps", "cat", "jumps"), 3)
    assert [f.tobytes() for f in frames] == [f.tobytes() for f in again]


@pytest.mark.slow
def test_the_judge_learns_left_from_right_and_forward_from_backward() -> None:
    """A film played backwards walks the other way: only the order of its frames differs."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    clips = [render_film(draw_film(rng, motion="walks left"), i).frames for i in range(6)]
    both = to_films([*clips, *(clip[::-1] for clip in clips)])
    truth = torch.tensor([ANSWERS.index("walks left")] * 6 + [ANSWERS.index("walks right")] * 6)
    scorer = FilmScorer().train()
    optimizer = torch.optim.AdamW(scorer.parameters(), lr=2e-3)
    losses = []
    for _ in range(25):
        loss, right = loss_of(scorer, both, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0] and right["right"] == 1.0


def test_the_stream_is_of_films_with_their_truth_and_softening_keeps_the_shape() -> None:
    drawn = next(iter(Renders(5)))
    assert drawn.film.motion in ANSWERS and drawn.frames.shape == (FRAMES, 64, 64, 3)
    rng = np.random.default_rng(1)
    films = torch.zeros(2, 4, 3, 64, 64)
    assert all(softened(films, rng).shape == films.shape for _ in range(6))


def test_swimming_changes_each_frame_for_itself_and_some_films_hardly() -> None:
    rng = np.random.default_rng(2)
    clips = [render_film(draw_film(rng), i).frames for i in range(8)]
    still = to_films([[clip[0]] * FRAMES for clip in clips])
    swum = swimming(still, torch.Generator().manual_seed(0))
    assert swum.shape == still.shape and swum.min() >= -1 and swum.max() <= 1
    between = (swum[:, 1:] - swum[:, :-1]).abs().mean((1, 2, 3, 4))
    assert between.max() > 0.05 and between.max() > 2 * between.min()
    torch.testing.assert_close(swum, swimming(still, torch.Generator().manual_seed(0)))


def test_swimming_bends_without_moving_and_tints_without_a_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over many frames it averages out: a film that moved by it would be another film."""
    for name in ("MOST_TINTED", "MOST_SPECKLED"):
        monkeypatch.setattr(train_motion_scorer, name, 0.0)
    ramp = torch.linspace(-0.9, 0.9, 64).expand(4, 200, 3, 64, 64)
    bent = swimming(ramp, torch.Generator().manual_seed(3))
    off = (bent - ramp)[:, :, 0, :, 16:48]
    assert off.std() > 0.005
    assert (off.mean(1).abs() < 5 * off.std(1) / 200**0.5 + 1e-5).all()


def test_a_film_drawn_anew_shows_the_same_and_its_frames_agree_less() -> None:
    asked = prompts(1)[0]
    film = real_clip(asked, 3)
    still = [film[0]] * 4
    new = redrawn(still, asked.text, 3)
    again = redrawn(still, asked.text, 3)
    assert [f.tobytes() for f in new] == [f.tobytes() for f in again]
    gaps = np.abs(np.diff(np.stack([np.asarray(f, float) for f in new]), axis=0)).mean((1, 2, 3))
    assert (gaps > 1).all()
    off = np.abs(np.asarray(new[0], float) - np.asarray(film[0], float)).mean()
    other = real_clip(prompts(1)[4], 5)[0]
    assert off < np.abs(np.asarray(other, float) - np.asarray(film[0], float)).mean()


def test_watching_in_parts_is_watching_at_once() -> None:
    torch.manual_seed(1)
    scorer = FilmScorer().eval()
    clips = [render_film(draw_film(np.random.default_rng(i)), i).frames for i in range(18)]
    alone = [watch([clip], scorer)[0] for clip in clips]
    assert watch(clips, scorer) == alone


def test_rows_count_hits_and_hold_consistency_against_the_worlds_own() -> None:
    asked = prompts(2)
    seen = [a.motion for a in asked]
    seen[0] = None
    rows = {row.id: row for row in motion_rows(asked, seen, [asked[0].motion, "jumps"])}
    assert rows["video.motion"].value == pytest.approx(17 / 18, abs=1e-4) and rows["video.motion"].ok
    assert rows["video.motion_without_attention"].n == 2
    assert rows["video.motion_seen"].n + rows["video.motion_unseen"].n == 18

    def film(consistency: float, speed: float) -> VideoMeasures:
        motion = np.full(15, speed, np.float32)
        return VideoMeasures(np.eye(2), consistency, motion, 10 * speed, "classroom-dino")

    rows = {
        row.id: row
        for row in consistency_rows(
            [film(0.50, 2.0), film(0.60, 0.0)], [film(0.55, 2.0), film(0.60, 3.0)], [film(0.2, 9.0)] * 2
        )
    }
    assert rows["video.consistency_gap"].value == pytest.approx(-0.025)
    assert rows["video.consistency_gap"].ok
    assert rows["video.dynamic_degree"].value == 0.5 and rows["video.dynamic_degree_real"].value == 1.0
    assert rows["video.consistency_without_attention"].value == pytest.approx(0.2)
    changes = [rows[f"video.change{name}"].value for name in ("", "_real", "_without_attention")]
    assert changes == [10, 25, 90]
