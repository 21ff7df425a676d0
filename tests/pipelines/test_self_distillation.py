"""Self-distillation against values worked out by hand and against slow loops; and what prevents collapse."""

import copy
import math

import pytest
import torch
from torch import Generator
from transformers import Dinov2Config

from pipelines.dino import self_distillation as sd
from pipelines.dino.collapse import entropy, spread, variety
from pipelines.dino.crops import Crops
from pipelines.dino.self_distillation import DinoNetwork, DinoRecipe, SelfDistillation
from tests.oracles import slow_loss, small_crops

CONFIG = Dinov2Config(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2, image_size=16, patch_size=8
)


@pytest.fixture
def model() -> SelfDistillation:
    torch.manual_seed(3)
    return SelfDistillation(DinoNetwork(CONFIG, prototypes=12))


@pytest.fixture
def crops() -> Crops:
    return small_crops()


def test_targets_are_centered_and_sharpened() -> None:
    # Two prototypes, scores 0.2 and 0, center 0.1 and 0: 0.1 / 0.04 = 2.5, softmax e^2.5 / (e^2.5 + 1).
    scores, center = torch.tensor([[0.2, 0.0]]), torch.tensor([0.1, 0.0])
    both = sd.targets_of(scores, center, DinoRecipe())
    assert both[0, 0].item() == pytest.approx(math.exp(2.5) / (math.exp(2.5) + 1), rel=1e-5)
    sharp = sd.targets_of(scores, center, DinoRecipe(centering=False))
    assert sharp[0, 0].item() == pytest.approx(math.exp(5) / (math.exp(5) + 1), rel=1e-5)
    soft = sd.targets_of(scores, center, DinoRecipe(sharpening=False))
    assert soft[0, 0].item() == pytest.approx(math.exp(0.1) / (math.exp(0.1) + 1), rel=1e-5)


def test_the_loss_of_one_pair_by_hand() -> None:
    # Student says 3:1 of two prototypes (0.1 * ln 3 apart), teacher is sure: -ln 0.75 where it agrees.
    agree = torch.tensor([0.1 * math.log(3), 0.0])
    student = torch.stack([agree, agree])[:, None]  # two crops, one picture
    targets = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    # Pairs (teacher 1, student 2) and (teacher 2, student 1): -ln 0.75 and -ln 0.25.
    expected = -(math.log(0.75) + math.log(0.25)) / 2
    assert sd.crop_loss(student, targets).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_leaves_out_a_crop_against_itself() -> None:
    rng = Generator().manual_seed(5)
    student = torch.rand(6, 4, 7, generator=rng) * 2 - 1
    targets = torch.softmax(torch.randn(2, 4, 7, generator=rng), -1)
    assert sd.crop_loss(student, targets).item() == pytest.approx(slow_loss(student, targets), rel=1e-5)
    later = sd.crop_loss(student, targets, first=1).item()
    assert later == pytest.approx(slow_loss(student, targets, first=1), rel=1e-5)
    changed = targets.clone()
    changed[0] = torch.roll(changed[0], 1, -1)
    assert sd.crop_loss(student, changed).item() != pytest.approx(slow_loss(student, targets), rel=1e-3)


def test_the_center_follows_the_teachers_mean() -> None:
    scores = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    center = sd.update_center(torch.tensor([0.1, 0.2]), scores, 0.9)
    assert center.tolist() == pytest.approx([0.9 * 0.1 + 0.1 * 0.5, 0.9 * 0.2 + 0.1 * 0.25])


def test_the_teacher_is_exactly_the_moving_average(model: SelfDistillation) -> None:
    with torch.no_grad():
        for p in model.student.parameters():
            p.add_(torch.randn(p.shape, generator=Generator().manual_seed(1)))
    before = [p.double().clone() for p in model.teacher.parameters()]
    sd.ema_update(model.teacher, model.student, 0.9)
    for old, own, new in zip(before, model.student.parameters(), model.teacher.parameters(), strict=True):
        torch.testing.assert_close(new.double(), 0.9 * old + 0.1 * own.double(), rtol=1e-6, atol=1e-7)
    sd.ema_update(model.teacher, model.student, 0.0)
    for own, new in zip(model.student.parameters(), model.teacher.parameters(), strict=True):
        assert torch.equal(own, new)


def test_no_gradient_reaches_the_teacher(model: SelfDistillation, crops: Crops) -> None:
    done = sd.forward(model, crops, DinoRecipe())
    done.loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in model.teacher.parameters())
    assert not done.targets.requires_grad and not done.features.requires_grad
    moved = [n for n, p in model.student.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert {n.split(".")[0] for n in moved} == {"backbone", "head"}


def test_a_step_sees_what_it_says_it_sees(model: SelfDistillation, crops: Crops) -> None:
    """The whole forward pass against the parts of the library, called one crop at a time."""
    done = sd.forward(model, crops, DinoRecipe())
    with torch.no_grad():
        say = [
            model.student.head(model.student.backbone(c).last_hidden_state[:, 0])
            for c in [*crops.large, *crops.small]
        ]
        heard = torch.stack(
            [model.teacher.head(model.teacher.backbone(c).last_hidden_state[:, 0]) for c in crops.large]
        )
    targets = torch.softmax((heard - model.center) / 0.04, -1)
    torch.testing.assert_close(done.targets, targets, rtol=1e-4, atol=1e-5)
    assert done.loss.item() == pytest.approx(slow_loss(torch.stack(say), targets), rel=1e-4)
    torch.testing.assert_close(done.new_center, 0.1 * heard.mean((0, 1)), rtol=1e-4, atol=1e-5)


def test_entropy_variety_and_spread_by_hand() -> None:
    sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert entropy(sure) == 0
    assert variety(sure) == pytest.approx(math.log(2))
    assert entropy(torch.full((3, 4), 0.25)) == pytest.approx(math.log(4))
    assert variety(torch.tensor([[1.0, 0.0], [1.0, 0.0]])) == 0
    assert spread(torch.tensor([[1.0, 2.0], [2.0, 4.0]])) == pytest.approx(0, abs=1e-3)
    assert spread(torch.eye(2) * 7) == pytest.approx(math.sqrt(2) / 2)  # ±1/2 in both coordinates


def test_student_and_teacher_begin_alike_and_are_not_the_same(model: SelfDistillation) -> None:
    pairs = zip(model.student.parameters(), model.teacher.parameters(), strict=True)
    assert all(torch.equal(a, b) and a is not b for a, b in pairs)
    assert copy.deepcopy(model).state_dict().keys() == model.state_dict().keys()
    assert "center" in model.state_dict()
