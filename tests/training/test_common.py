"""What the training scripts share: the loop, averages, the learning rate's course, files."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from training import common
from training.common import (
    Average,
    Clock,
    Progress,
    load_checkpoint,
    means,
    save_checkpoint,
    save_fp16,
    set_lr,
    train,
)


class Hands:
    """A clock for `Clock` that moves only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(common.time, "monotonic", hands.monotonic)
    return hands


def tiny_model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_the_average_is_the_exponential_one() -> None:
    torch.manual_seed(0)
    model = tiny_model()
    average = Average(model, decay=0.9)
    expected = model[0].weight.detach().double().clone()
    for step in range(400):
        with torch.no_grad():
            model[0].weight.normal_()
        average.update(model, step)
        # Karras et al. 2024 (and the original TensorFlow): the decay grows from nearly nothing.
        decay = min(0.9, (step + 1) / (step + 20))
        expected = decay * expected + (1 - decay) * model[0].weight.detach().double()
    torch.testing.assert_close(average.weights["0.weight"].double(), expected, rtol=1e-5, atol=1e-6)


def test_the_average_starts_as_a_copy_and_copies_counters() -> None:
    model = tiny_model()
    average = Average(model)
    assert average.weights["0.weight"].data_ptr() != model[0].weight.data_ptr()
    assert torch.equal(average.weights["0.weight"], model[0].weight)
    model(torch.randn(4, 3))
    average.update(model, 0)
    assert average.weights["1.num_batches_tracked"].item() == 1


def test_an_average_of_equal_weights_is_those_weights() -> None:
    model = tiny_model()
    average = Average(model)
    for step in range(50):
        average.update(model, step)
    torch.testing.assert_close(average.weights, dict(model.state_dict()))


def test_the_clock_counts_on_until_the_time_is_over(hands: Hands) -> None:
    clock = Clock(minutes=1, first_step=7)
    steps = []
    for step in clock:
        steps.append(step)
        hands.now += 10
    assert steps == [7, 8, 9, 10, 11, 12]


def test_a_training_that_was_stopped_for_a_while_loses_no_time(hands: Hands) -> None:
    clock = Clock(minutes=3)
    steps = 0
    for step in clock:
        steps += 1
        hands.now += 3600 if step == 4 else 10
    assert steps == 13  # the long one counts a minute


def test_the_learning_rate_rises_holds_and_falls(hands: Hands) -> None:
    clock = Clock(minutes=100 / 60, first_step=50, warmup=10)
    scales = []
    for _ in clock:
        scales.append(clock.lr_scale)
        hands.now += 1
    assert len(scales) == 100
    np.testing.assert_allclose(scales[:10], np.arange(1, 11) / 10)
    np.testing.assert_allclose(scales[10:76], 1)
    assert (np.diff(scales[76:]) < 0).all()
    half = 0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * 0.5))
    assert scales[87] > half > scales[88]
    assert 0.02 < scales[-1] < 0.03


def test_the_learning_rate_can_fall_from_the_start(hands: Hands) -> None:
    clock = Clock(minutes=1, warmup=1, fall=1.0)
    scales = []
    for _ in clock:
        scales.append(clock.lr_scale)
        hands.now += 1
    assert scales[0] == 1
    assert scales[30] == pytest.approx(0.51)
    assert (np.diff(scales) < 0).all()


def test_the_learning_rate_reaches_every_group() -> None:
    model = tiny_model()
    optimizer = torch.optim.AdamW([{"params": model[0].parameters()}, {"params": model[1].parameters()}])
    set_lr(optimizer, 0.123)
    assert [g["lr"] for g in optimizer.param_groups] == [0.123, 0.123]


def test_weights_are_written_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = {"w": torch.randn(3, 4).t(), "count": torch.tensor([2**40]), "half": torch.ones(2).half()}
    path = tmp_path / "new" / "model.safetensors"
    save_fp16(weights, path)
    back = load_file(path)
    assert back.keys() == weights.keys()
    assert back["w"].dtype == torch.float16
    assert torch.equal(back["w"], weights["w"].half())
    assert torch.equal(back["count"], weights["count"])


def test_a_checkpoint_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "RUNS", tmp_path / "runs")
    assert load_checkpoint("toy", False, "cpu") is None
    model = tiny_model()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    save_checkpoint("toy", model=model.state_dict(), optimizer=optimizer.state_dict(), step=12)
    state = load_checkpoint("toy", False, "cpu")
    assert state is not None
    assert state["step"] == 12
    torch.testing.assert_close(state["model"], dict(model.state_dict()))
    optimizer.load_state_dict(state["optimizer"])
    assert load_checkpoint("toy", True, "cpu") is None
    assert not list((tmp_path / "runs").glob("*.tmp"))


def test_a_training_goes_on_from_its_checkpoint_else_from_the_shipped_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "RUNS", tmp_path)
    shipped = tiny_model().state_dict()

    def start(*, restart: bool) -> Progress:
        model = tiny_model()
        optimizer = torch.optim.AdamW(model.parameters())
        args = Namespace(restart=restart, device="cpu")
        return Progress.resume("toy", model, optimizer, args, shipped)

    fresh = start(restart=False)
    assert fresh.step == 0
    torch.testing.assert_close(dict(fresh.model.state_dict()), dict(shipped))
    torch.testing.assert_close(fresh.average.weights, dict(shipped))

    with torch.no_grad():
        fresh.model[0].weight += 1
    fresh.average.update(fresh.model, 0)
    fresh.save(41)
    later = start(restart=False)
    assert later.step == 42
    torch.testing.assert_close(later.model[0].weight, shipped["0.weight"] + 1)
    torch.testing.assert_close(later.average.weights, fresh.average.weights)

    anew = start(restart=True)
    assert anew.step == 0
    assert (anew.model[0].weight != shipped["0.weight"]).any()


def test_the_loop_learns_logs_saves_and_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hands: Hands
) -> None:
    monkeypatch.setattr(common, "RUNS", tmp_path)
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    run = Progress("toy", model, torch.optim.AdamW(model.parameters(), lr=0.1), Average(model))
    inputs = torch.randn(64, 3)
    targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5]])
    exported: list[dict[str, torch.Tensor]] = []

    def compute() -> tuple[torch.Tensor, dict[str, float]]:
        hands.now += 1
        error = model(inputs) - targets
        return error.square().mean(), {"worst": error.abs().max().item()}

    def export(weights: dict[str, torch.Tensor]) -> dict[str, float]:
        exported.append({k: v.clone() for k, v in weights.items()})
        return {"exports": len(exported)}

    args = Namespace(minutes=5, lr=0.1, fall=0.25)
    steps = train(run, args, compute, export=export, log_every=100, save_every=150,
                  after=lambda: {"bias": model.bias.item()})  # fmt: skip
    assert steps == 300
    lines = [json.loads(line) for line in (tmp_path / "toy.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [100, 200, 300, 300]
    assert lines[0]["loss"] > 100 * lines[2]["loss"]
    assert {"worst", "bias", "minutes"} <= lines[1].keys()
    assert lines[3]["exports"] == len(exported) == 3
    assert load_checkpoint("toy", False, "cpu")["step"] == 300
    torch.testing.assert_close(exported[-1], run.average.weights)
    torch.testing.assert_close(model.weight.detach(), torch.tensor([[1.0, -2.0, 0.5]]), atol=0.05, rtol=0)


def test_means_are_over_the_steps_that_have_the_metric() -> None:
    assert means([{"a": 1.0, "b": 4.0}, {"a": 3.0}]) == {"a": 2.0, "b": 4.0}
