"""What DINOv2 and CutMix add to DINO, against values worked out by hand and against slow loops."""

import math

import pytest
import torch
from torch import Generator
from transformers import Dinov2Config

from pipelines.dino import self_distillation as sd
from pipelines.dino.crops import Crops, MultiCrop, multi_crop
from tests.oracles import slow_loss, small_crops
from training import dino_losses as losses
from training.dino_losses import PatchDinoNetwork, PatchSelfDistillation, TrainingRecipe, cutmix

CONFIG = Dinov2Config(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2, image_size=16, patch_size=8
)


@pytest.fixture
def model() -> PatchSelfDistillation:
    torch.manual_seed(3)
    return PatchSelfDistillation(PatchDinoNetwork(CONFIG, prototypes=12))


@pytest.fixture
def crops() -> Crops:
    return small_crops()


def test_without_what_was_added_a_step_is_dinos(model: PatchSelfDistillation, crops: Crops) -> None:
    plain = sd.forward(model, crops, sd.DinoRecipe())
    done = losses.forward(model, crops, TrainingRecipe(), Generator().manual_seed(0))
    assert torch.equal(done.loss, plain.loss) and torch.equal(done.student, plain.student)
    assert torch.equal(done.targets, plain.targets) and torch.equal(done.new_center, plain.new_center)
    assert torch.equal(done.features, plain.features)


def test_sinkhorn_uses_all_prototypes_alike(model: PatchSelfDistillation, crops: Crops) -> None:
    scores = 5 * torch.randn(48, 12, generator=Generator().manual_seed(0))
    shares = losses.sinkhorn_knopp(scores, rounds=100)
    torch.testing.assert_close(shares.sum(1), torch.ones(48))
    torch.testing.assert_close(shares.sum(0), torch.full((12,), 4.0), rtol=1e-3, atol=0)
    # What rows and columns are scaled by leaves the ratios of any rectangle as they are.
    ratio = shares[0, 0] * shares[1, 1] / (shares[0, 1] * shares[1, 0])
    torch.testing.assert_close(
        ratio.log(), scores[0, 0] + scores[1, 1] - scores[0, 1] - scores[1, 0], rtol=1e-3, atol=1e-3
    )
    done = losses.forward(model, crops, TrainingRecipe(sinkhorn=True), Generator().manual_seed(0))
    heard = torch.stack([model.teacher.head(model.teacher.tokens(c)[:, 0]) for c in crops.large])
    expected = losses.sinkhorn_knopp(heard.flatten(0, 1) / 0.04).unflatten(0, (2, -1))
    torch.testing.assert_close(done.targets, expected, rtol=1e-4, atol=1e-5)


def test_the_centers_follow_the_teacher(model: PatchSelfDistillation, crops: Crops) -> None:
    done = losses.forward(model, crops, TrainingRecipe(patches=1.0), Generator().manual_seed(0))
    losses.update_teacher_and_centers(model, done, 0.9)
    assert torch.equal(model.center, done.new_center)
    assert torch.equal(model.patch_center, done.new_patch_center) and model.patch_center.any()


def test_no_gradient_reaches_the_teacher(model: PatchSelfDistillation, crops: Crops) -> None:
    done = losses.forward(model, crops, TrainingRecipe(patches=1.0, koleo=0.1), Generator().manual_seed(0))
    done.loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in model.teacher.parameters())
    assert not done.targets.requires_grad and not done.features.requires_grad
    moved = [n for n, p in model.student.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert {n.split(".")[0] for n in moved} == {"backbone", "head", "patch_head"}


def test_the_parts_of_a_pasted_picture_say_what_their_wholes_say() -> None:
    """The whole forward pass against slow loops over pictures and patches."""
    torch.manual_seed(4)
    model = PatchSelfDistillation(PatchDinoNetwork(CONFIG, prototypes=12))
    torch.nn.init.normal_(model.student.gate)
    pixels = torch.rand(5, 3, 48, 48, generator=Generator().manual_seed(1)) * 2 - 1
    how = MultiCrop(global_side=32, local_side=8, local_count=2)
    crops = multi_crop(pixels, pixels, how, Generator().manual_seed(2))
    done = losses.forward(model, crops, TrainingRecipe(cutmix=0.5), Generator().manual_seed(3))
    mixed, pasted = cutmix(crops.large[0], 4, Generator().manual_seed(3))
    gate, log_p = model.student.gate, []
    with torch.no_grad():
        say = [
            model.student.head(model.student.backbone(c).last_hidden_state[:, 0])
            for c in [crops.large[1], *crops.small]
        ]
        for patches, where in zip(
            model.student.backbone(mixed).last_hidden_state[:, 1:], pasted, strict=True
        ):
            for part in (False, True):
                of_part = [p for p, w in zip(patches, where.flatten(), strict=True) if bool(w) is part]
                weights = [math.exp(2 * float(torch.cosine_similarity(p, gate, 0))) for p in of_part]
                said = sum(w * p for w, p in zip(weights, of_part, strict=True)) / sum(weights)
                score = model.student.head(said)
                log_p.append(torch.log_softmax(score / 0.1, -1))
    wanted = [done.targets[1][i - shift] for i in range(5) for shift in (0, 1)]
    parts = -sum(float(w @ p) for w, p in zip(wanted, log_p, strict=True)) / len(log_p)
    expected = slow_loss(torch.stack(say), done.targets, first=1) + 0.5 * parts
    assert done.loss.item() == pytest.approx(expected, rel=1e-4)
    assert done.student.shape == (3, 5, 12)
    done.loss.backward()
    assert model.student.gate.grad is not None and model.student.gate.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.teacher.parameters())


def test_pasted_patches_cannot_be_guessed() -> None:
    with pytest.raises(ValueError, match="exclude"):
        TrainingRecipe(cutmix=1.0, patches=1.0)


def test_only_masked_patches_count(model: PatchSelfDistillation, crops: Crops) -> None:
    masks = losses.draw_masks(4, 10, 0.3, Generator().manual_seed(0))
    assert masks.sum(1).tolist() == [3, 0, 3, 0]
    plain = losses.forward(model, crops, TrainingRecipe(), Generator().manual_seed(0))
    assert torch.equal(plain.new_patch_center, model.patch_center)
    both = losses.forward(model, crops, TrainingRecipe(patches=1.0, masked=0.5), Generator().manual_seed(0))
    assert not torch.equal(both.new_patch_center, model.patch_center)


def test_the_patch_loss_by_hand() -> None:
    student = torch.tensor([[0.1 * math.log(3), 0.0]])
    targets = torch.tensor([[0.5, 0.5]])
    expected = -(math.log(0.75) + math.log(0.25)) / 2
    assert losses.patch_loss(student, targets).item() == pytest.approx(expected, rel=1e-5)


def test_koleo_by_hand() -> None:
    # On a circle at 0°, 60° and 180°: nearest at distances 1, 1 and √3 (from 60°: chord of 120°).
    angles = torch.tensor([0.0, math.pi / 3, math.pi])
    features = 5 * torch.stack([angles.cos(), angles.sin()], 1)
    expected = -(0 + 0 + math.log(math.sqrt(3))) / 3
    assert losses.koleo_loss(features).item() == pytest.approx(expected, abs=1e-4)


def test_a_rectangle_of_the_next_picture_is_pasted_along_patches() -> None:
    pictures = torch.arange(200.0)[:, None, None, None].expand(200, 3, 48, 48)
    mixed, pasted = cutmix(pictures, 6, Generator().manual_seed(0))
    for i, (picture, where) in enumerate(zip(mixed, pasted, strict=True)):
        rows, columns = where.any(1), where.any(0)
        assert torch.equal(where, rows[:, None] & columns)
        assert rows.nonzero().diff(dim=0).eq(1).all() and columns.nonzero().diff(dim=0).eq(1).all()
        assert 9 <= where.sum() <= 27
        big = where.repeat_interleave(8, 0).repeat_interleave(8, 1)
        assert (picture[:, big] == (i - 1) % 200).all() and (picture[:, ~big] == i).all()
    assert pasted.float().mean(0).min() > 0.1  # every patch is reached, corners too
    assert torch.equal(cutmix(pictures, 6, Generator().manual_seed(0))[1], pasted)
