"""The machine's clock may jump, as when it is set: nothing that waits or expires heeds it."""

import itertools
import os
import time
from pathlib import Path

import pytest

from pipelines.image.request import ImageRequest
from pipelines.image.stepper import Stepper
from pipelines.serving import compute, loading
from pipelines.serving.catalogue import entry
from pipelines.serving.compute import due_later, low_priority, on_compute_thread
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import Trainings
from pipelines.serving.temporary import remove_older

HOURS = 5 * 3600
pytestmark = pytest.mark.usefixtures("tiny_models")


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two looks, the clock is set by hours, on and back."""
    jumps, true = itertools.cycle((HOURS, -HOURS)), time.time
    monkeypatch.setattr(time, "time", lambda: true() + next(jumps))
    assert abs(time.time() - time.time()) > HOURS


@pytest.mark.usefixtures("jumping")
def test_runs_and_queues_go_on() -> None:
    request = ImageRequest("a red car", num_inference_steps=3, model="tiny-sd")
    assert [step.index for step in Stepper().submit([request])[0]] == [0, 1, 2]
    assert due_later(0.01)(lambda: "done")() == "done"
    assert compute._last_asked <= time.monotonic(), "whoever is patient would wait for hours"
    with low_priority():
        assert on_compute_thread(lambda: "done")() == "done"


@pytest.mark.usefixtures("jumping")
def test_what_failed_a_moment_ago_is_not_tried_again_and_trainings_stay(monkeypatch) -> None:
    monkeypatch.setattr(loading, "_failed", {})
    loading.explained(entry("absent"), ConnectionError(), "absent")
    for _ in range(4):
        with pytest.raises(InputError, match="model_needs_network"):
            loading.raise_if_just_failed("absent")
    assert Trainings()._clock is time.monotonic


@pytest.mark.usefixtures("jumping")
def test_files_of_a_visit_stay(tmp_path: Path) -> None:
    """They are kept for a day by the clock of which the files tell: a visit is shorter by far."""
    (tmp_path / "picture.png").write_bytes(b"x")
    os.utime(tmp_path / "picture.png", (time.time() - 3600,) * 2)
    for _ in range(4):
        remove_older(str(tmp_path), 24 * 3600)
    assert (tmp_path / "picture.png").exists()
