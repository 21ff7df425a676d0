"""The ray engine: wrong settings are refused, and a real cluster draws what this process draws."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.serving import ray_engine
from pipelines.serving.errors import InputError

ROOT = Path(__file__).parents[2]
# Whole pictures, strips, films, sounds and texts, all by way of the engine.
SUITES = (
    "image", "guidance", "steering", "prompt_lab", "control_vector", "conditioning", "cross_attention",
    "attention", "context", "embeddings", "previews", "handed_over", "joint_attention", "video", "audio",
    "clip_matrix", "families", "tokens",
)  # fmt: skip


USUAL = {"text": "1", "image": "2"}


@pytest.mark.parametrize(
    ("said", "number", "found"),
    [
        ("", ray_engine.REPLICAS, USUAL),
        ("image=1-4", ray_engine.REPLICAS, USUAL | {"image": "1-4"}),
        ("image=0, video=1", ray_engine.REPLICAS, USUAL | {"image": "0", "video": "1"}),
        ("image=0.5", ray_engine.GPUS, USUAL | {"image": "0.5"}),
    ],
)
def test_shares_are_read_by_role(
    said: str, number: str, found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARES", said)
    assert ray_engine.shares("SHARES", USUAL, number) == found


@pytest.mark.parametrize("said", ["images=2", "image", "image=two", "2", "image=2; text=1", "image=0.5"])
def test_shares_that_cannot_be_read_are_told(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARES", said)
    with pytest.raises(SystemExit, match=r"SHARES is .*text=1 image=2"):
        ray_engine.shares("SHARES", USUAL, ray_engine.REPLICAS)


def test_only_what_is_no_fault_of_the_work_is_asked_for_again() -> None:
    exceptions = pytest.importorskip("ray.exceptions", reason="needs requirements-ray.txt")
    lost = (
        exceptions.ActorDiedError(),
        exceptions.ActorUnavailableError("gone", None),
        exceptions.WorkerCrashedError(),
    )
    kept = (
        exceptions.TaskCancelledError(),
        exceptions.RayTaskError("f", "", ValueError()),
        InputError("queue_full"),
    )
    assert list(map(ray_engine.is_lost, lost)) == [True] * 3
    assert list(map(ray_engine.is_lost, kept)) == [False] * 3


# Trainings of two visitors, first in this process and then in a replica that is killed in the midst of both.
TRAINED = """
import logging, os, sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
import numpy as np
from benchmarks.cluster import workers
from pipelines.clip.contrastive import ContrastiveLearner, Recipe
from pipelines.clip.contrastive_pairs import first_pairs
from pipelines.dino.training import DinoLearner, Settings
from pipelines.serving.engine import engine
from pipelines.serving.live_training import STRETCH, Trainings

lost = []
class Noted(logging.Handler):
    def emit(self, record):
        if "begun again" in record.getMessage():
            lost.append(record.getMessage())
logging.getLogger("pipelines.serving.steps").addHandler(Noted())

MAKE = [lambda: ContrastiveLearner(first_pairs(), Recipe("swapped")), lambda: DinoLearner(0, Settings())]

def trained(make, after):
    learner, table = make(), Trainings()
    key = table.begin(learner)
    for number, _ in enumerate(table.run(key, most=2 * STRETCH + 3), 1):
        after(number)
    for _ in table.run(key, STRETCH + 7, most=4):
        pass
    return [astuple(record) for record in table.records(key)], learner

alone = [trained(make, lambda number: None)[0] for make in MAKE]
os.environ["STEUERVEKTOR_ENGINE"] = "ray"
engine.cache_clear()
engine()
killed = []

def kill(number):
    if number == STRETCH + 1:  # the first step of a stretch
        for worker in workers("image").values():
            killed.append(worker.pid)
            worker.kill()

with ThreadPoolExecutor(2) as visitors:
    found = list(visitors.map(trained, MAKE, [kill, lambda number: None]))
assert killed and lost, (killed, lost)
for (records, learner), expected in zip(found, alone, strict=True):
    assert learner.at is None, "computed here"
    assert len(records) == STRETCH + 7 + 4 + 1
    np.testing.assert_equal(records, expected)
print("the same to the bit after", len(killed), "killed and", len(lost), "lost")
"""


def in_a_process(
    arguments: list[str], engine: str, replicas: str, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, as a cluster's page process would run."""
    pytest.importorskip("ray", reason="needs requirements-ray.txt")
    environment = os.environ | {
        "STEUERVEKTOR_ENGINE": engine,
        "STEUERVEKTOR_REPLICAS": replicas,
        "OMP_NUM_THREADS": "1",  # as replicas have: sums are then in the same order
    }
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s
    )


@pytest.mark.slow
def test_trainings_whose_replica_is_killed_go_on_the_same_to_the_bit() -> None:
    done = in_a_process(["-c", TRAINED], "local", "text=0 image=1 video=0 audio=0", 600)
    assert "the same to the bit" in done.stdout, (done.stdout + done.stderr)[-5000:]


@pytest.mark.slow
def test_the_suites_of_pictures_and_texts_pass_in_a_cluster() -> None:
    """The same tests, in a process of their own, whose models compute in four others."""
    suites = [f"tests/pipelines/test_{name}.py" for name in SUITES]
    arguments = ["-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *suites]
    done = in_a_process(arguments, "ray", "text=1 image=1 video=1 audio=1", 1200)
    assert done.returncode == 0, done.stdout[-5000:]
