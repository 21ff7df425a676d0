"""What the training scripts share: averages, the learning rate's course, files, streams."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pipelines.world.captions import holds, parse
from pipelines.world.scene import is_held_out
from training import common
from training.common import (
    Average,
    Clock,
    Progress,
    SceneStream,
    draw_example,
    load_checkpoint,
    save_checkpoint,
    save_fp16,
    set_lr,
    to_tensor,
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
    assert all(holds(parse(common.caption(example.scene, rng)), example.scene) for _ in range(50))


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
