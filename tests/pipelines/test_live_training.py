"""Many visitors, a model each: they take turns, and what is left behind is put away."""

import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import init_empty_weights
from torch import nn

from pipelines.serving import catalogue, compute, loading
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import Training, TrainingRun, Trainings
from pipelines.serving.training_steps import Learner


class Small(Learner[np.ndarray]):
    """A real training in small: a layer learns random batches, drawn anew from the number of the step."""

    def __init__(self, seed: int = 0, before: Callable[[int], None] = lambda step: None) -> None:
        self.seed, self.before = seed, before
        self.threads: set[str] = set()

    def build(self) -> None:
        torch.manual_seed(self.seed)
        self.model = nn.Linear(8, 8)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.05)

    def update(self, step: int) -> None:
        self.before(step)
        self.threads.add(threading.current_thread().name)
        batch = torch.randn(4, 8, generator=torch.Generator().manual_seed(step))
        self.optimizer.zero_grad()
        (self.model(batch) - batch.roll(1, 1)).square().mean().backward()
        self.optimizer.step()

    def measure(self) -> np.ndarray:
        return self.model.weight.detach().numpy().copy()

    def save(self) -> Any:
        return deepcopy((self.model.state_dict(), self.optimizer.state_dict()))

    def load(self, saved: Any) -> None:
        model, optimizer = deepcopy(saved)
        self.model.load_state_dict(model)
        self.optimizer.load_state_dict(optimizer)


class Clock:
    """Time passes when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def weights(seed: int, steps: int) -> list[np.ndarray]:
    """The weights after each step, trained without the code under test."""
    learner = Small(seed)
    learner.build()
    found = [learner.measure()]
    for step in range(steps):
        learner.update(step)
        found.append(learner.measure())
    return found


def same(first: list[Any] | tuple[Any, ...], second: list[Any] | tuple[Any, ...]) -> bool:
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def take(run: Any, count: int) -> list[Any]:
    return [next(run) for _ in range(count)]


def test_a_training_is_a_plain_loop_to_the_bit() -> None:
    table = Trainings(most_steps=20)
    key = table.begin(Small())
    shown = list(table.run(key))
    assert same(shown, weights(0, 20)[1:])
    assert same(table.records(key), weights(0, 20))
    assert not same(shown, weights(1, 20)[1:])


@pytest.mark.parametrize("step", [0, 1, 13, 31, 47, 59, 60])
def test_from_any_earlier_step_the_future_is_the_same_to_the_bit(step: int) -> None:
    table = Trainings(most_steps=80, most_saved=4)
    key = table.begin(Small())
    take(table.run(key), 60)
    again = table.run(key, step)
    assert len(table.records(key)) == step + 1
    assert same(list(again), weights(0, 80)[step + 1 :])
    assert same(table.records(key), weights(0, 80))


def test_going_back_twice_before_the_way_there_is_walked() -> None:
    table = Trainings(most_steps=64, most_saved=4)
    key = table.begin(Small())
    take(table.run(key), 50)
    table.run(key, 47).close()
    table.run(key, 32).close()  # where saved weights are
    assert same(take(table.run(key, 31), 3), weights(0, 34)[32:])


def test_saved_weights_are_few_and_evenly_spread() -> None:
    training: Training[Any] = Training(Small(), most_steps=100, most_saved=5)
    gaps = []
    for step in range(1, 101):
        training.advance()
        kept = sorted(training._saved)
        assert len(kept) <= 5 and kept[0] == 0
        gaps.append(step - kept[-1])
    assert sorted(training._saved) == [0, 32, 64, 96]
    assert max(gaps) < 32


@pytest.mark.parametrize("step", [-1, 11])
def test_a_step_that_was_not_taken_cannot_be_gone_back_to(step: int) -> None:
    table = Trainings()
    key = table.begin(Small())
    take(table.run(key), 10)
    with pytest.raises(InputError, match="step_unknown"):
        table.run(key, step)
    assert len(table.records(key)) == 11


def test_a_stop_takes_effect_within_the_step_that_has_begun() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def before(step: int) -> None:
        if step == 3:
            begun.set()
            assert may_end.wait(20)

    table = Trainings()
    key = table.begin(Small(before=before))
    run = table.run(key)
    with ThreadPoolExecutor(2) as visitor:
        shown = visitor.submit(list, run)
        assert begun.wait(20)
        pausing = visitor.submit(lambda: (table.pause(key), len(table.records(key)))[1])
        assert run.wait(20)
        assert not pausing.done(), "what is recorded after a pause is all there is"
        may_end.set()
        assert len(shown.result(20)) == 4
        assert pausing.result(20) == 5
    assert same(take(table.run(key), 2), weights(0, 6)[5:])  # and it goes on from there


def test_a_stop_wakes_who_waits_for_the_next_step() -> None:
    table = Trainings()
    key = table.begin(Small())
    run = table.run(key)
    with ThreadPoolExecutor(1) as visitor:
        waiting = visitor.submit(run.wait, 600)
        table.pause(key)
        assert waiting.result(20)
    assert list(run) == [] and not run.superseded


def test_a_second_run_of_one_training_ends_the_first() -> None:
    table = Trainings(most_steps=10)
    key = table.begin(Small())
    first = table.run(key)
    next(first)
    second = table.run(key)
    assert list(first) == [] and first.superseded
    assert same(list(second), weights(0, 10)[2:]) and not second.superseded


class Line:
    """Those who stand in line at the compute thread, counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.changed, self.waiting = threading.Condition(), 0
        put = compute._compute._line.put

        def noted(*args: Any) -> None:
            with self.changed:
                self.waiting += 1
                put(*args)
                self.changed.notify_all()

        monkeypatch.setattr(compute._compute._line, "put", noted)


def test_ten_trainings_take_turns_and_let_a_picture_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody has asked before a step ends, so the order of the steps is the order of the line."""
    line, order, steps = Line(monkeypatch), [], 6
    visitors = range(11)  # the last one draws a picture, whose steps are calls like any other

    def before(visitor: int) -> None:
        order.append(visitor)
        others = sum(order.count(other) < steps for other in visitors if other != visitor)
        with line.changed:
            line.waiting -= 1
            assert line.changed.wait_for(lambda: line.waiting >= others, 30)

    table = Trainings(most_steps=steps)
    keys = [table.begin(Small(n, lambda step, n=n: before(n))) for n in visitors[:10]]  # type: ignore[misc]
    line.waiting = 0
    draw = on_compute_thread(lambda: before(10))
    with ThreadPoolExecutor(11) as pool:
        runs = [pool.submit(lambda key=key: list(table.run(key))) for key in keys]  # type: ignore[misc]
        pool.submit(lambda: [draw() for _ in range(steps)]).result(60)
        shown = [run.result(60) for run in runs]
    trainings = [visitor for visitor in order if visitor < 10]
    rounds = [sorted(trainings[i : i + 10]) for i in range(0, 10 * steps, 10)]
    assert rounds == [list(visitors[:10])] * steps
    assert max(place for place, visitor in enumerate(order) if visitor == 10) < 3 * steps
    assert all(same(records, weights(n, steps)[1:]) for n, records in enumerate(shown))
    assert len({name for key in keys for name in table.learner(key).threads}) == 1


def test_after_ten_idle_minutes_a_training_is_put_away() -> None:
    clock = Clock()
    table = Trainings(clock=clock)
    key = table.begin(Small())
    clock.now = 599
    assert table.sweep() == 1
    next(table.run(key))
    clock.now = 1198
    table.sweep()
    assert table.holds(key)
    clock.now = 1199
    table.sweep()
    assert not table.holds(key)
    for use in (table.run, table.records, table.learner):
        with pytest.raises(InputError, match="training_gone") as error:
            use(key)
        assert error.value.values == {"minutes": 10}
    table.pause(key)  # harmless


def test_putting_away_frees_the_model() -> None:
    table = Trainings()
    for put_away in (lambda key: table.free(key), lambda key: table.leave("me")):
        key = table.begin(Small(), owner="me")
        model = weakref.ref(table.learner(key).model)
        next(table.run(key))
        put_away(key)
        gc.collect()
        assert model() is None
    assert len(table) == 0


def test_leaving_ends_ones_own_trainings_only() -> None:
    table = Trainings()
    mine, also_mine, yours = (table.begin(Small(), owner) for owner in ("me", "me", "you"))
    runs = {key: table.run(key) for key in (mine, also_mine, yours)}
    table.leave("me")
    assert [table.holds(key) for key in (mine, also_mine, yours)] == [False, False, True]
    assert list(runs[mine]) == [] and next(runs[yours]) is not None


def test_an_owner_has_one_training_of_each_kind() -> None:
    table = Trainings()
    first, other_kind = (table.begin(Small(), "me", kind) for kind in ("a", "b"))
    yours, programs = table.begin(Small(), "you", "a"), [table.begin(Small(), "", "a") for _ in range(2)]
    second = table.begin(Small(), "me", "a")
    assert not table.holds(first)
    assert all(table.holds(key) for key in (second, other_kind, yours, *programs))
    for owner in ("me", "you"):
        table.leave(owner)
    for key in programs:
        table.free(key)


def test_whoever_begins_anew_in_a_full_table_takes_nobody_elses_place() -> None:
    table = Trainings(most=2)
    mine, yours = table.begin(Small(), "me", "a"), table.begin(Small(), "you", "a")
    again = table.begin(Small(), "me", "a")
    assert [table.holds(key) for key in (mine, yours, again)] == [False, True, True]
    runs = [table.run(key) for key in (yours, again)]
    assert table.holds(table.begin(Small(), "me", "a")), "though all are busy"
    assert len(table) == 2
    runs.clear()
    for owner in ("me", "you"):
        table.leave(owner)


def test_a_full_table_gives_the_place_of_who_rested_longest() -> None:
    clock = Clock()
    table = Trainings(most=3, clock=clock)
    keys = []
    for clock.now in (1.0, 2.0, 3.0):
        keys.append(table.begin(Small()))
    busy = table.run(keys[0])
    clock.now = 4.0
    table.records(keys[1])  # a look counts
    fourth = table.begin(Small())
    assert [table.holds(key) for key in (*keys, fourth)] == [True, True, False, True]
    busy.close()


def test_where_all_train_a_further_visitor_is_told_to_wait() -> None:
    table = Trainings(most=2)
    runs = [table.run(table.begin(Small())) for _ in range(2)]
    with pytest.raises(InputError, match="trainings_full") as error:
        table.begin(Small())
    assert error.value.values == {"limit": 2}
    runs.pop()  # dropped: its visitor's page is gone
    gc.collect()
    table.begin(Small())
    assert len(table) == 2


def test_an_error_in_a_step_reaches_its_visitor_and_nobody_else() -> None:
    def fails(step: int) -> None:
        raise RuntimeError("broken")

    table = Trainings(most_steps=3)
    bad, good = table.begin(Small(0, fails)), table.begin(Small())
    with pytest.raises(RuntimeError, match="broken"):
        next(table.run(bad))
    assert same(list(table.run(good)), weights(0, 3)[1:])


def test_no_thread_starts_before_the_first_training_and_none_stays_after_the_last() -> None:
    table = Trainings()
    assert table._caretaker is None
    key = table.begin(Small())
    caretaker = table._caretaker
    assert caretaker is not None and caretaker.is_alive()
    table.free(key)
    caretaker.join(20)
    assert not caretaker.is_alive()


def test_a_training_put_away_while_its_run_begins_takes_no_step() -> None:
    table = Trainings()
    key = table.begin(Small())
    place = table._place(key)
    table.free(key)
    assert list(TrainingRun(place, 1)) == []
    assert len(place.training.records) == 1


def test_a_learner_is_not_made_while_a_model_is_loaded(monkeypatch: pytest.MonkeyPatch):
    """What diffusers loads under leaves parameters of all threads' new modules without storage."""
    building, made = threading.Event(), threading.Event()

    class Loaded:
        """A model whose build fills no parameters."""

    def build(entry: catalogue.ModelEntry, device: str) -> Loaded:
        with init_empty_weights():
            building.set()
            made.wait(1)  # in vain, as the learner waits for this build
        return Loaded()

    class Noted(Small):
        def build(self) -> None:
            super().build()
            made.set()

    entry = catalogue.entry("classroom-audio")
    monkeypatch.setattr(loading, "_loaded", {})
    store = Trainings()
    with ThreadPoolExecutor(2) as visitors:
        loaded = visitors.submit(loading.load, entry, build)
        building.wait()
        key = visitors.submit(store.begin, Noted()).result()
        assert isinstance(loaded.result(), Loaded)
    assert {p.device.type for p in store.learner(key).model.parameters()} == {"cpu"}
    assert [next(store.run(key)) is not None for _ in range(2)] == [True, True]
    store.free(key)
