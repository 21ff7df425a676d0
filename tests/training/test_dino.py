"""How the classroom DINO is trained and judged."""

import argparse
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.utils.data import IterableDataset
from transformers import Dinov2Config, Dinov2Model

from pipelines.world.layout import draw_scene
from pipelines.world.scene import is_held_out
from training import common, train_dino, views
from training.dino_losses import PatchSelfDistillation
from training.dino_probe import draw_singles, enlarged, tokens_of
from training.evaluate_dino import evaluate_dino
from training.views import draw_views, elsewhere, sample_views, view_ring


class Numbered(IterableDataset[np.ndarray]):
    """Pairs that carry their number in the first drawing and its opposite in the second."""

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in itertools.count(0, views.CHUNK):
            pairs = np.zeros((views.CHUNK, 2, views.SIDE, views.SIDE, 3), np.uint8)
            for i in range(views.CHUNK):
                pairs[i, 0], pairs[i, 1] = (start + i) % 120, 255 - (start + i) % 120
            yield pairs


@pytest.fixture
def args() -> argparse.Namespace:
    return argparse.Namespace(seed=0, workers=0, pool=64, fresh=4, batch=16, device="cpu")


def test_the_same_things_stand_elsewhere() -> None:
    rng = np.random.default_rng(0)
    moved = 0
    for _ in range(60):
        scene = draw_scene(rng)
        while len({t.noun for t in scene.things}) > 1:
            scene = draw_scene(rng)
        other = elsewhere(scene, rng)
        assert [(t.noun, t.colour) for t in other.things] == [(t.noun, t.colour) for t in scene.things]
        assert not is_held_out(other)
        moved += (other.place, other.style, other.atmosphere) != (scene.place, scene.style, scene.atmosphere)
    assert moved > 50
    assert draw_views(rng).shape == (2, views.SIDE, views.SIDE, 3)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_batch_gets_both_drawings(args, share) -> None:
    ring = view_ring(args, Numbered())
    exchanged = []
    for _ in range(20):
        first, second = sample_views(ring, share)
        assert first.shape == (16, 3, views.SIDE, views.SIDE)
        exchanged += (first != second).flatten(1).any(1).tolist()
    assert np.mean(exchanged) == pytest.approx(share, abs=0.1 if share == 0.5 else 0)


def test_the_pool_is_renewed(args) -> None:
    ring = view_ring(args, Numbered())
    before = ring.column("pairs").clone()
    for _ in range(4):
        sample_views(ring, 1.0)
    changed = (ring.column("pairs") != before).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == list(range(16)), "four steps of four: two draws of eight"


def test_places_are_exchanged_more_and_more() -> None:
    shares = [train_dino.exchanged(step) for step in (0, train_dino.EXCHANGED_STEPS // 2, 10**6)]
    assert shares[0] == train_dino.EXCHANGED[0] and shares[2] == train_dino.EXCHANGED[1]
    assert shares[0] < shares[1] < shares[2]


def test_what_is_written_is_the_teacher_and_loads_in_the_library(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(train_dino, "FOLDER", tmp_path)
    monkeypatch.setattr(
        train_dino, "CONFIG",
        Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=64, patch_size=8),
    )  # fmt: skip
    model = train_dino.build()
    with torch.no_grad():
        for p in model.student.parameters():
            p.add_(1.0)
    train_dino.export(train_dino.Teacher(model).weights)
    loaded = Dinov2Model.from_pretrained(tmp_path, dtype=torch.float32)
    theirs = model.teacher.backbone.state_dict()
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, theirs[name].half().float(), msg=name)


@pytest.mark.slow
def test_training_goes_on_from_the_shipped_weights_unless_it_begins_anew() -> None:
    shipped = Dinov2Model.from_pretrained(train_dino.FOLDER, dtype=torch.float32).state_dict()
    for early in (False, True):
        model = train_dino.build(early)
        for network in (model.student, model.teacher):
            same = [
                torch.equal(value, shipped[name]) for name, value in network.backbone.state_dict().items()
            ]
            assert all(same) is not early
        scores = model.student.head(torch.eye(train_dino.CONFIG.hidden_size))
        straight = torch.nn.functional.normalize(model.student.head.prototypes, dim=-1).T
        assert early or torch.allclose(scores, straight)


@pytest.mark.slow
def test_the_gate_begins_where_things_are() -> None:
    network, scenes = train_dino.build().student, draw_singles(40, 5)
    patches = tokens_of(network.backbone, scenes.pixels, "cpu")[:, 1:]
    cosines = torch.cosine_similarity(torch.from_numpy(patches), network.gate.detach(), -1)
    there = torch.nn.functional.avg_pool2d(torch.from_numpy(scenes.masks).float(), 8).flatten(1)
    assert cosines[there > 0.7].mean() > cosines[there == 0].mean() + 0.2


@pytest.mark.parametrize("stage", ["early", "later"])
def test_a_run_ends_and_the_next_goes_on(tmp_path, monkeypatch, stage) -> None:
    """The script itself, tiny: student, teacher, heads, centers and optimizer come back."""
    monkeypatch.setattr(common, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(train_dino, "FOLDER", tmp_path / "model")
    monkeypatch.setattr(
        train_dino, "CONFIG",
        Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=64, patch_size=8),
    )  # fmt: skip
    monkeypatch.setattr(train_dino, "Probe", lambda device: None)
    monkeypatch.setattr(views, "ViewStream", lambda seed: Numbered())
    options = "--batch 2 --workers 0 --pool 64 --device cpu" + " --early" * (stage == "early")
    command = ["train_dino", "--minutes", "0.005", *options.split()]
    monkeypatch.setattr("sys.argv", command)
    train_dino.main()
    state = torch.load(
        tmp_path / "runs" / ("dino-early.pt" if stage == "early" else "dino.pt"), weights_only=True
    )
    names = {name.split(".")[0] for name in state["model"]}
    assert names == {"student", "teacher", "center", "patch_center"}
    assert any("prototypes" in name for name in state["model"]) and state["optimizer"]["state"]
    seen: list[PatchSelfDistillation] = []
    build = train_dino.build
    monkeypatch.setattr(train_dino, "build", lambda early: seen.append(build(early)) or seen[-1])
    monkeypatch.setattr("sys.argv", [*command[:2], "0", *command[3:]])
    train_dino.main()
    for name, value in seen[0].state_dict().items():
        assert torch.equal(value, state["model"][name]), name


def test_singles_have_one_thing_and_its_mask() -> None:
    scenes = draw_singles(6, 3)
    assert scenes.pixels.shape == (6, 3, 128, 128) and scenes.masks.shape == (6, 128, 128)
    assert scenes.masks.any((1, 2)).all() and scenes.pixels.abs().max() <= 1
    assert torch.equal(scenes.pixels, draw_singles(6, 3).pixels)
    assert not torch.equal(scenes.pixels, draw_singles(6, 4).pixels)


def test_enlarging_keeps_a_patch_where_it_is() -> None:
    grid = np.zeros((1, 4, 4), np.float32) - 1
    grid[0, 1, 2] = 3
    big = enlarged(grid, 16) > 0
    rows, columns = np.nonzero(big[0])
    assert (rows.mean(), columns.mean()) == pytest.approx((1.5 * 4 - 0.5, 2.5 * 4 - 0.5))


@pytest.mark.slow
def test_the_evaluations_rows() -> None:
    rows = {row.id: row for row in evaluate_dino(bank=80, queries=40)}
    assert {name: row.must for name, row in rows.items() if row.must} == {
        "dino.knn": 0.90, "dino.foreground_miou": 0.60,
    }  # fmt: skip
    assert all(
        0 <= row.value <= 1 and row.n == 40 and row.ci95[0] <= row.value <= row.ci95[1]
        for row in rows.values()
    )
