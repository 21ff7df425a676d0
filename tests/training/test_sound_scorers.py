"""The judge of sounds hears what is rendered, and learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.world.sound import SoundScene, draw_sound
from training.sound_pool import SoundStream, to_waves
from training.sound_scorers import QUESTIONS, SoundScorer, hear, truth_of
from training.train_sound_scorers import loss_of


def test_answers_are_those_of_the_scene() -> None:
    scene = SoundScene("piano", "slow", "sad", "rising", "cat", None)
    truth = truth_of([scene, SoundScene(sound="rain")])
    for name, answers in QUESTIONS.items():
        assert [answers[i] for i in truth[name]] == [
            getattr(scene, name),
            "rain" if name == "sound" else None,
        ]


def test_every_scene_has_an_answer_to_every_question() -> None:
    rng = np.random.default_rng(0)
    truth_of([draw_sound(rng, unseen=True) for _ in range(500)])


def test_one_clip_is_judged_as_among_others() -> None:
    torch.manual_seed(0)
    scorer = SoundScorer().eval()
    waves = to_waves(next(iter(SoundStream(seed=6, chunk=3))))
    assert hear(waves, scorer)[1] == hear(waves[1:2], scorer)[0]
    assert all(replace(s, atmosphere=None) == s for s in hear(waves, scorer))


@pytest.mark.slow
def test_the_judge_learns_what_is_played() -> None:
    """Some steps on one small batch: the losses of all questions together fall to less than a third."""
    torch.manual_seed(0)
    examples = next(iter(SoundStream(seed=7, chunk=24, unseen=True)))
    waves, scenes = to_waves(examples), [e.scene for e in examples]
    scorer = SoundScorer()
    optimizer = torch.optim.AdamW(scorer.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss, right = loss_of(scorer(waves), scenes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3
    assert right["instrument"] > 0.9
