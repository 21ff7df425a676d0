"""A visitor's own DINO: it collapses without its guards, not with them; a seed gives the same again."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.dino import training as dino_training
from pipelines.dino.crops import Crops
from pipelines.dino.self_distillation import Forward, forward
from pipelines.dino.training import PROTOTYPES, DinoLearner, DinoRecord, Settings, look, pictures
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import MOST_STEPS, Training, Trainings, trainings

TOP = math.log(PROTOTYPES)
STEPS = 40


def trained(settings: Settings, steps: int = STEPS, seed: int = 0) -> list[DinoRecord]:
    training = Training(DinoLearner(seed, settings), 500, 4)
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
        for name in ("student", "targets"):
            assert np.array_equal(getattr(one, name), getattr(two, name)), name
    other = trained(Settings(), 2, seed=1)
    assert other[1].loss != healthy[1].loss


def test_going_back_leads_to_the_same_step_and_on_to_another_future() -> None:
    store = Trainings(most_steps=30, most_saved=3)
    key = store.begin(DinoLearner(0, Settings()))
    run = store.run(key)
    for _ in range(9):
        next(run)
    before = store.records(key)
    again = store.run(key, step=5)
    store.change(key, Settings(sharpening=False))
    changed = [next(again) for _ in range(2)]
    assert [r.settings.sharpening for r in store.records(key)] == [True] * 6 + [False] * 2
    assert changed[0].entropy > before[6].entropy
    again = store.run(key, step=5)
    store.change(key, Settings())
    assert next(again).loss == before[6].loss
    store.free(key)


@pytest.mark.slow
def test_ten_visitors_train_at_once_and_each_gets_the_training_of_a_lone_one() -> None:
    def visit(seed: int) -> list[DinoRecord]:
        key = trainings.begin(DinoLearner(seed, Settings(centering=seed % 2 == 0)), owner=f"dino {seed}")
        run = trainings.run(key)
        found = [next(run) for _ in range(4)]
        trainings.leave(f"dino {seed}")
        assert next(run, None) is None and not trainings.holds(key)
        return found

    with ThreadPoolExecutor(10) as visitors:
        together = list(visitors.map(visit, range(10)))
    for seed in (0, 3, 9):
        alone = trained(Settings(centering=seed % 2 == 0), 4, seed)[1:]
        for one, other in zip(together[seed], alone, strict=True):
            assert (one.loss, one.spread, one.seen) == (other.loss, other.spread, other.seen)
            assert np.array_equal(one.targets, other.targets)


def test_a_change_counts_from_the_next_step() -> None:
    training = Training(DinoLearner(0, Settings()), 500, 4)
    training.advance()
    training.change(Settings(momentum=0.5))
    training.advance()
    assert [r.settings.momentum for r in training.records] == [0.95, 0.95, 0.5]


def test_momentum_zero_makes_the_teacher_the_student() -> None:
    training = Training(DinoLearner(0, Settings(momentum=0)), 500, 4)
    training.advance()
    model = training.learner.model
    for own, theirs in zip(model.student.parameters(), model.teacher.parameters(), strict=True):
        assert torch.equal(own, theirs)


@pytest.mark.parametrize("momentum", [1, 1.5, -0.1, math.nan, math.inf])
def test_a_momentum_of_one_or_beyond_is_refused(momentum: float) -> None:
    with pytest.raises(InputError, match="momentum_range") as caught:
        Settings(momentum)
    assert caught.value.values["highest"] == 0.999


def test_a_record_shows_what_was_said(healthy) -> None:
    record = healthy[3]
    assert record.targets.shape == record.student.shape == (PROTOTYPES,)
    assert record.student.sum() == pytest.approx(1, abs=1e-5)
    assert record.divergence == pytest.approx(record.loss - record.entropy)
    assert math.isnan(healthy[0].loss)
    assert pictures().shape == (192, 64, 64, 3)


def test_a_look_drawn_again_is_what_the_step_was_shown(monkeypatch) -> None:
    shown: list[Crops] = []

    def spy(model, crops, *rest) -> Forward:
        shown.append(crops)
        return forward(model, crops, *rest)

    monkeypatch.setattr(dino_training, "forward", spy)
    training = Training(DinoLearner(3, Settings()), 500, 4)
    for _ in range(3):
        training.advance()
    assert [record.seen for record in training.records] == [(3, 0), (3, 0), (3, 1), (3, 2)]
    for record, crops in zip(training.records, shown, strict=True):
        seen = look(*record.seen)
        assert seen.large.shape == (2, 32, 32, 3) and seen.small.shape == (4, 16, 16, 3)
        for found, given in ((seen.large, crops.large), (seen.small, crops.small)):
            expected = (given[:, 0].permute(0, 2, 3, 1).numpy() + 1) * 127.5
            np.testing.assert_allclose(found, expected, atol=0.51)
        assert np.array_equal(seen.large_boxes, crops.large_boxes[:, 0].numpy())
        assert np.array_equal(seen.small_boxes, crops.small_boxes[:, 0].numpy())
    assert not np.array_equal(look(3, 1).large, look(3, 2).large)


def test_a_boxs_picture_is_the_one_that_was_cut() -> None:
    """Where a large crop was cut, the picture has about the crop's content, whatever was recoloured."""
    seen = look(0, 5)
    left, top, width, height = seen.large_boxes[0]
    picture = Image.fromarray(pictures()[seen.picture]).convert("L")
    box = [round(64 * float(v)) for v in (left, top, left + width, top + height)]
    own = np.asarray(picture.crop(box).resize((32, 32)), dtype=float)
    crop = np.asarray(Image.fromarray(seen.large[0]).convert("L"), dtype=float)
    likeness = max(np.corrcoef(own.ravel(), side.ravel())[0, 1] for side in (crop, crop[:, ::-1]))
    assert likeness > 0.8


def test_a_long_trainings_records_are_small(healthy) -> None:
    """500 of them, 32 visitors: what grows with the steps must stay far below the weights."""
    record = healthy[-1]
    arrays = [v for v in vars(record).values() if isinstance(v, np.ndarray)]
    assert sum(a.nbytes if a.base is None else a.base.nbytes for a in arrays) <= 1024
    assert look.cache_info().maxsize == MOST_STEPS


def test_building_a_learner_leaves_other_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    DinoLearner(0, Settings()).build()
    assert torch.equal(torch.rand(3), expected)
