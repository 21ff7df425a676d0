"""Trainings whose steps another process takes: the same records to the bit, whatever is lost on the way."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from pipelines.clip.contrastive import ContrastiveLearner, Recipe
from pipelines.clip.contrastive_pairs import first_pairs
from pipelines.dino.training import DinoLearner, Settings, neighbour_share
from pipelines.serving import engine, steps
from pipelines.serving.compute import one_core
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import STRETCH, Trainings
from pipelines.serving.steps import Relay
from pipelines.serving.training_steps import Learner
from pipelines.serving.work import Work
from tests.pipelines.test_engine import PATIENCE_S, Elsewhere, is_lost, passed
from tests.pipelines.test_live_training import Small, same, take, weights

BEGUN = 1  # the first message of each attempt


class Distant:
    """An engine of one process beyond pickle.

    Attributes:
        dies_after: for each stretch to come, the messages of its attempts after which the process is lost.
        asked: what each stretch was asked for by.
    """

    def __init__(self) -> None:
        self.dies_after: list[Sequence[int]] = []
        self.asked: list[Elsewhere] = []

    def submit(self, work: Work, requests: Sequence[Any]) -> list[Any]:
        self.asked.append(Elsewhere(self.dies_after.pop(0) if self.dies_after else (), work.function))
        return list(Relay(self.asked[-1], requests, is_lost).start())

    def call(self, work: Work, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        args, kwargs = passed((args, kwargs))
        return passed(work.function(*args, **kwargs))


@pytest.fixture
def distant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Distant]:
    made = Distant()
    monkeypatch.setitem(engine.ENGINES, "distant", lambda: made)
    monkeypatch.setenv("STEUERVEKTOR_ENGINE", "distant")
    monkeypatch.setattr(steps, "pause", lambda seconds: None)
    engine.engine.cache_clear()
    yield made
    for thread in threading.enumerate():  # nothing of one test is computed during the next
        if thread.name == "relay":
            thread.join(PATIENCE_S)
    monkeypatch.undo()
    engine.engine.cache_clear()


TAKEN: list[int] = []  # steps that were computed, wherever
GATE: list[threading.Semaphore] = []  # if there is one, each step waits there


def note(step: int) -> None:
    TAKEN.append(step)
    for gate in GATE:
        assert gate.acquire(timeout=PATIENCE_S)


@pytest.fixture
def counted() -> Iterator[Callable[[], Small]]:
    """Learners that say which steps are computed, and let a test hold them up."""
    TAKEN.clear()
    yield lambda: Small(0, note)
    for gate in GATE:
        gate.release(1000)
    GATE.clear()


LEARNERS: dict[str, Callable[[], Learner[Any]]] = {
    "clip": lambda: ContrastiveLearner(first_pairs(3), Recipe("reshuffled")),
    "clip of many": lambda: ContrastiveLearner(first_pairs(3), Recipe(many=True, batch=4)),
    "dino": lambda: DinoLearner(3, Settings(momentum=0.9)),
}
STEPS = STRETCH + 6


def assert_same(ours: Sequence[Any], theirs: Sequence[Any]) -> None:
    """To the bit; what is no number is the same as what is none."""
    np.testing.assert_equal([astuple(record) for record in ours], [astuple(record) for record in theirs])


def recorded(learner: Learner[Any], visit: Callable[[Trainings, str], Any]) -> tuple[Any, ...]:
    """The records of a training after a visit."""
    table = Trainings(most_saved=4)
    key = table.begin(learner)
    visit(table, key)
    return table.records(key)


@pytest.mark.parametrize("kind", LEARNERS)
def test_what_lost_processes_learn_is_the_same_to_the_bit(kind: str, request: pytest.FixtureRequest) -> None:
    def visit(table: Trainings, key: str) -> None:
        assert len(take(table.run(key), STEPS)) == STEPS
        assert len(take(table.run(key, 9), 4)) == 4

    here = recorded(LEARNERS[kind](), visit)
    distant: Distant = request.getfixturevalue("distant")
    distant.dies_after = [(BEGUN + 7,), (BEGUN + 3, 0, BEGUN + 1)]
    learner = LEARNERS[kind]()
    assert_same(recorded(learner, visit), here)
    assert len(here) == 9 + 4 + 1
    assert [len(stretch.asked) for stretch in distant.asked] == [2, 4, 1]
    assert learner.at is None, "no model was built here"


@pytest.mark.parametrize("step", [0, 1, 13, 31, 47, 59, 60])
def test_from_any_earlier_step_the_future_is_the_same_to_the_bit(
    step: int, distant: Distant, counted: Callable[[], Small]
) -> None:
    table = Trainings(most_steps=80, most_saved=4)
    key = table.begin(counted())
    take(table.run(key), 60)
    distant.dies_after = [(BEGUN + 2,), (BEGUN + 5,)]
    again = table.run(key, step)
    assert same(list(again), weights(0, 80)[step + 1 :])
    assert same(table.records(key), weights(0, 80))


def test_a_change_counts_from_the_next_step_though_others_are_computed_already(distant: Distant) -> None:
    first, second, third, fourth = Settings(), Settings(sharpening=False), Settings(0.5), Settings(0.9, False)
    distant.dies_after = [(), (BEGUN + 2,), (), (BEGUN + 1,)]
    table = Trainings(most_saved=4)
    key = table.begin(DinoLearner(0, first))
    run = table.run(key)
    take(run, 5)
    for settings in (second, third):
        table.change(key, settings)
        take(run, 3)
    run = table.run(key, 6)  # to which two of them lead, and the third one does not count any more
    table.change(key, fourth)
    take(run, 4)
    assert_same(table.records(key), plain(DinoLearner(0, first), [first] * 5 + [second] + [fourth] * 4))


@one_core()
def plain(learner: DinoLearner, taken: Sequence[Settings]) -> list[Any]:
    """The records of a plain loop, with the settings of each step."""
    learner.build()
    found = [learner.measure()]
    for step, settings in enumerate(taken):
        learner.change(settings, step)
        learner.update(step)
        found.append(learner.measure())
    return found


def test_a_pause_stops_the_other_process_and_waits_for_no_step_of_it(
    distant: Distant, counted: Callable[[], Small]
) -> None:
    table = Trainings()
    key = table.begin(counted())
    gate = threading.Semaphore(3)
    GATE.append(gate)
    with ThreadPoolExecutor(1) as visitor:
        shown = visitor.submit(list, table.run(key))
        deadline = time.monotonic() + PATIENCE_S
        while len(TAKEN) < 4 and time.monotonic() < deadline:  # three steps, and the one that is held up
            time.sleep(0.01)
        table.pause(key)
        assert len(shown.result(PATIENCE_S)) == 3
    gate.release(1000)
    assert distant.asked[-1].closed.wait(PATIENCE_S)
    assert TAKEN == [0, 1, 2, 3]
    GATE.clear()
    assert same(take(table.run(key), 30), weights(0, 33)[4:])


def test_no_more_is_computed_than_is_wanted_or_was_lost(
    distant: Distant, counted: Callable[[], Small]
) -> None:
    table = Trainings(most_saved=1)
    key = table.begin(counted())
    for _ in range(6):
        assert len(list(table.run(key, most=1))) == 1
    assert [*range(6)] == TAKEN, "weights came back with the last step that was wanted"
    distant.dies_after = [(), (BEGUN + 11,)]
    TAKEN.clear()
    assert len(list(table.run(key, most=2 * STRETCH))) == 2 * STRETCH
    first, second = range(6, 6 + STRETCH), range(6 + STRETCH, 6 + 2 * STRETCH)
    assert TAKEN[:STRETCH] == [*first], "the first stretch was not asked for again"
    assert len(TAKEN) <= 2 * STRETCH + 12 and TAKEN[-STRETCH:] == [*second]
    assert same(table.records(key), weights(0, 6 + 2 * STRETCH))


def test_when_no_process_comes_back_the_visitor_is_told_and_can_go_on_later(
    distant: Distant, counted: Callable[[], Small]
) -> None:
    table = Trainings()
    key = table.begin(counted())
    take(table.run(key), 4)
    distant.dies_after = [(BEGUN + 3,) + (1,) * (len(steps.RETRY_S) - 1)]
    run = table.run(key)
    with pytest.raises(InputError, match="engine_stopped"):
        take(run, 9)
    assert len(table.records(key)) == 4 + 3 + 1
    assert same(take(table.run(key), 9), weights(0, 16)[8:])


def test_what_is_asked_of_the_trained_model_is_answered_there(request: pytest.FixtureRequest) -> None:
    def share() -> float:
        table = Trainings()
        key = table.begin(DinoLearner(0, Settings()))
        take(table.run(key), 7)
        return neighbour_share(table.present(key))

    here = share()
    request.getfixturevalue("distant")
    assert share() == here


FAILED: list[int] = []


def fail_once(step: int) -> None:
    if step == 2 and not FAILED:
        FAILED.append(step)
        raise RuntimeError("broken")


def test_an_error_of_a_step_is_told_and_the_next_run_goes_on(distant: Distant) -> None:
    table = Trainings()
    key = table.begin(Small(0, fail_once))
    with pytest.raises(steps.EngineError, match="broken"):
        take(table.run(key), 3)
    assert same(take(table.run(key), 3), weights(0, 5)[3:])
