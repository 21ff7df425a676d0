"""A visitor's own DINO: it collapses without its guards, not with them; a seed gives the same again."""

import math

import numpy as np
import pytest
import torch

from pipelines.compute import on_compute_thread
from pipelines.dino_training import PROTOTYPES, DinoLearner, DinoRecord, Settings, pictures
from pipelines.errors import InputError
from pipelines.live_training import Training, Trainings

TOP = math.log(PROTOTYPES)
STEPS = 40


def trained(settings: Settings, steps: int = STEPS, seed: int = 0) -> list[DinoRecord]:
    training = on_compute_thread(lambda: Training(DinoLearner(seed, settings), 500, 4))()
    for _ in range(steps):
        training.advance()
    return training.records


@pytest.fixture(scope="module")
def healthy() -> list[DinoRecord]:
    return trained(Settings())


def late(records: list[DinoRecord], name: str) -> float:
    return float(np.mean([getattr(r, name) for r in records[-10:]]))


def test_with_both_guards_pictures_stay_apart(healthy) -> None:
    assert late(healthy, "variety") > 1.4, "some four prototypes and more"
    assert late(healthy, "entropy") < 0.5 * TOP
    assert late(healthy, "variety") - late(healthy, "entropy") > 0.4, "different pictures, different answers"
    assert late(healthy, "spread") > 0.4


def test_without_centering_a_prototype_or_two_win_with_all_pictures() -> None:
    records = trained(Settings(centering=False))
    assert late(records, "variety") < 0.9
    assert late(records, "entropy") < 0.3, "and the teacher is sure of it"


def test_without_sharpening_all_pictures_get_all_prototypes() -> None:
    records = trained(Settings(sharpening=False))
    assert late(records, "entropy") > 0.99 * TOP
    assert late(records, "spread") < 0.2
    assert late(records, "divergence") < 0.01, "all agree"


def test_a_seed_and_settings_give_the_same_training_to_the_bit(healthy) -> None:
    again = trained(Settings(), 6)
    for one, two in zip(healthy, again, strict=False):
        assert (one.entropy, one.variety, one.spread) == (two.entropy, two.variety, two.spread)
        for name in ("large", "small", "student", "targets", "large_boxes"):
            assert np.array_equal(getattr(one, name), getattr(two, name)), name
    other = trained(Settings(), 2, seed=1)
    assert other[1].loss != healthy[1].loss


def test_going_back_leads_to_the_same_step_and_on_to_another_future() -> None:
    store = Trainings(most_steps=30, most_saved=3)
    key = store.begin(lambda: DinoLearner(0, Settings()))
    run = store.run(key)
    for _ in range(9):
        next(run)
    before = store.records(key)
    again = store.run(key, step=5)
    learner = store.learner(key)
    learner.change(Settings(sharpening=False), after_rewind=5)
    changed = [next(again) for _ in range(2)]
    assert [r.settings.sharpening for r in store.records(key)] == [True] * 6 + [False] * 2
    assert changed[0].entropy > before[6].entropy
    again = store.run(key, step=5)
    learner.change(Settings(), after_rewind=5)
    assert next(again).loss == before[6].loss
    store.free(key)


def test_a_change_counts_from_the_next_step() -> None:
    training = on_compute_thread(lambda: Training(DinoLearner(0, Settings()), 500, 4))()
    training.advance()
    training.learner.change(Settings(momentum=0.5))
    training.advance()
    assert [r.settings.momentum for r in training.records] == [0.95, 0.95, 0.5]


def test_momentum_zero_makes_the_teacher_the_student() -> None:
    training = on_compute_thread(lambda: Training(DinoLearner(0, Settings(momentum=0)), 500, 4))()
    training.advance()
    model = training.learner.model
    for own, theirs in zip(model.student.parameters(), model.teacher.parameters(), strict=True):
        assert torch.equal(own, theirs)


@pytest.mark.parametrize("momentum", [1, 1.5, -0.1, math.nan, math.inf])
def test_a_momentum_of_one_or_beyond_is_refused(momentum: float) -> None:
    with pytest.raises(InputError, match="momentum_range") as caught:
        Settings(momentum)
    assert caught.value.values["highest"] == 0.999


def test_a_record_shows_what_was_seen(healthy) -> None:
    record = healthy[3]
    assert record.large.shape == (2, 32, 32, 3) and record.small.shape == (4, 16, 16, 3)
    assert record.targets.shape == (2, PROTOTYPES) and record.student.shape == (6, PROTOTYPES)
    np.testing.assert_allclose(record.student.sum(1), 1, atol=1e-5)
    assert record.divergence == pytest.approx(record.loss - record.entropy)
    assert math.isnan(healthy[0].loss)
    assert pictures().shape == (192, 64, 64, 3)


def test_building_a_learner_leaves_other_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    DinoLearner(0, Settings())
    assert torch.equal(torch.rand(3), expected)
