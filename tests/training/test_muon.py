"""The optimiser of the classroom models, against a singular value decomposition and the library's own."""

import pytest
import torch
from torch import nn

from training.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 6, 6)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape) * torch.tensor([1e-3, 1.0, 50.0])[: shape[0], None, None]
    result = orthogonalised(matrices)
    assert result.shape == shape
    for before, after in zip(matrices, result, strict=True):
        u, _, v = torch.linalg.svd(before, full_matrices=False)
        inside = u.mT @ after @ v.mT  # diagonal where the singular vectors are the same
        values = inside.diagonal()
        assert values.min() > 0.5
        assert values.max() < 1.4
        torch.testing.assert_close(inside, torch.diag(values), atol=1e-3, rtol=0)


def steps_of(optimizer: torch.optim.Optimizer, weight: nn.Parameter, gradients: torch.Tensor) -> torch.Tensor:
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


def test_matrices_step_as_in_the_library() -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(12, 30), torch.randn(5, 12, 30)
    model, twin = nn.Linear(30, 12, bias=False), nn.Linear(30, 12, bias=False)
    for m in (model, twin):
        m.weight.data.copy_(start)
    ours = Muon(model, weight_decay=0.1)
    ours.param_groups[0]["lr"] = 0.02
    library = torch.optim.Muon(twin.parameters(), lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    moved = steps_of(ours, model.weight, gradients) - start
    expected = steps_of(library, twin.weight, gradients) - start
    # The library iterates in bfloat16, which leaves three digits.
    assert (moved - expected).norm() < 0.03 * expected.norm()


def test_convolutions_step_as_the_matrices_that_they_are() -> None:
    torch.manual_seed(0)
    gradients = torch.randn(3, 8, 4, 3, 3)
    conv, linear = nn.Conv2d(4, 8, 3, bias=False), nn.Linear(36, 8, bias=False)
    linear.weight.data.copy_(conv.weight.data.flatten(1))
    as_conv = steps_of(Muon(conv), conv.weight, gradients)
    as_linear = steps_of(Muon(linear), linear.weight, gradients.flatten(2))
    torch.testing.assert_close(as_conv.flatten(1), as_linear)


def test_vectors_and_edges_step_as_in_adamw() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"inside": nn.Linear(6, 5), "edge": nn.Linear(5, 2)})
    twin = nn.ModuleDict({"inside": nn.Linear(6, 5), "edge": nn.Linear(5, 2)})
    twin.load_state_dict(model.state_dict())
    ours = Muon(model, outer=("edge",), weight_decay=0.1)
    library = torch.optim.AdamW(
        [
            {"params": [twin["edge"].weight], "weight_decay": 0.1},
            {"params": [twin["inside"].bias, twin["edge"].bias], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.99),
    )
    before = model["inside"].weight.clone()
    for seed in range(3):
        for m, optimizer in ((model, ours), (twin, library)):
            torch.manual_seed(seed)
            m["edge"](m["inside"](torch.randn(7, 6))).square().mean().backward()
            optimizer.step()
            assert m["inside"].weight.grad is not None, "gradients are the caller's to clear"
            optimizer.zero_grad()
            twin["inside"].weight.data.copy_(model["inside"].weight.data)  # the same gradients next time
    torch.testing.assert_close(model["edge"].weight, twin["edge"].weight)
    torch.testing.assert_close(model["inside"].bias, twin["inside"].bias)
    assert (model["inside"].weight - before).abs().min() > 0


def test_its_state_comes_back() -> None:
    torch.manual_seed(0)
    gradients = torch.randn(4, 5, 6)
    whole, parts = nn.Linear(6, 5, bias=False), nn.Linear(6, 5, bias=False)
    parts.load_state_dict(whole.state_dict())
    expected = steps_of(Muon(whole), whole.weight, gradients)
    first = Muon(parts)
    steps_of(first, parts.weight, gradients[:2])
    second = Muon(parts)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(steps_of(second, parts.weight, gradients[2:]), expected)


def test_frozen_parts_stay() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    optimizer = Muon(model)
    frozen = model[0].weight.clone()
    model[0].requires_grad_(False)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.testing.assert_close(model[0].weight, frozen)
