"""The one loop of all runs: begun, growing, finished, stopped, overtaken, left; and whose turn it is."""

import contextlib
import copy
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import gradio as gr
import pytest

from components.runs.slot import RunSlot
from components.runs.stream import WHEN_DUE, Views, sent_once, stream


@dataclass
class Numbers:
    """A run that draws numbers; those that `due` holds are due."""

    due: tuple[int, ...] = ()
    seen: list[int] = field(default_factory=list)

    def add(self, number: int) -> bool:
        self.seen.append(number)
        return number in self.due


class Source(Iterator[int]):
    """Numbers from 0, as the engines' steps: closing wakes and ends it."""

    def __init__(self, count: int = 5) -> None:
        self.left, self.closed = list(range(count)), False

    def __next__(self) -> int:
        if self.closed or not self.left:
            raise StopIteration
        return self.left.pop(0)

    def close(self) -> None:
        self.closed = True


class Breaks(Source):
    def __next__(self) -> int:
        raise ZeroDivisionError


VIEWS: Views[Numbers] = Views(
    running=lambda live: ("running", *live.seen),
    finished=lambda live: ("finished", *live.seen),
    restored=lambda: ("restored",),
)


def numbers(slot: RunSlot, place: str = "here", source: Source | None = None, pace: float = 0.0, due=()):
    source = source or Source()
    return stream(lambda run: run.follow(source), Numbers(due), slot, place, VIEWS, pace)


def test_a_run_is_shown_as_it_grows_and_when_it_is_done():
    slot = RunSlot()
    shown = list(numbers(slot, source=Source(2)))
    assert shown == [("running",), ("running", 0), ("running", 0, 1), ("finished", 0, 1)]
    assert slot.current.finished and not slot.busy


def test_views_are_paced_but_what_is_due_is_shown_at_once():
    assert list(numbers(RunSlot(), pace=1000.0, due=(4,))) == [
        ("running",), ("running", 0), ("running", 0, 1, 2, 3, 4), ("finished", 0, 1, 2, 3, 4)
    ]  # fmt: skip
    only_due = list(numbers(RunSlot(), pace=WHEN_DUE, due=(2,)))
    assert only_due[1:] == [("running", 0, 1, 2), ("finished", 0, 1, 2, 3, 4)]


def test_a_stopped_run_shows_how_far_it_came_or_what_was_there():
    slot = RunSlot()
    run = numbers(slot)
    next(run), next(run)
    slot.stop()
    assert list(run) == [("finished", 0)]
    run = numbers(slot)
    next(run)
    slot.stop()
    assert list(run) == [("restored",)]


def test_a_run_that_another_of_its_place_overtakes_writes_nothing_more():
    slot = RunSlot()
    first = numbers(slot)
    next(first), next(first)
    second = numbers(slot)
    assert next(second) == ("running",)
    assert list(first) == []
    assert list(second)[-1][0] == "finished"


def test_a_run_that_another_place_overtakes_shows_how_far_it_came():
    slot = RunSlot()
    here, there = numbers(slot, "here"), numbers(slot, "there")
    next(here), next(here), next(there)
    assert list(here) == [("finished", 0)] and slot.busy
    next(numbers(slot, "there"))
    assert list(there) == [], "its place has a new run"


def test_whoever_comes_back_late_writes_nothing_over_a_run_two_turns_on():
    slot = RunSlot()
    first = numbers(slot, "here")
    next(first), next(first)
    slot.begin("there")
    slot.begin("here")
    assert list(first) == []


@pytest.mark.parametrize("views", [1, 2])
def test_a_visitor_who_leaves_ends_the_run_at_whatever_view(views):
    """Closed at its first view, a run used to count as under way for ever, and others waited for it."""
    slot, source = RunSlot(), Source()
    run = numbers(slot, source=source)
    for _ in range(views):
        next(run)
    run.close()
    assert slot.current.finished and not slot.busy
    assert views == 1 or source.closed
    waits = threading.Thread(target=slot.wait_idle, daemon=True)
    waits.start()
    waits.join(5)
    assert not waits.is_alive()


def test_a_run_that_fails_brings_back_what_was_there_unless_it_was_overtaken():
    slot = RunSlot()
    run = numbers(slot, source=Breaks())
    assert next(run) == ("running",)
    assert next(run) == ("restored",) and slot.current.finished
    with pytest.raises(ZeroDivisionError):
        next(run)
    overtaken = numbers(slot, source=Breaks())
    next(overtaken)
    slot.begin("here")
    assert list(overtaken) == []


def test_the_last_view_keeps_nobody_waiting():
    slot = RunSlot()
    run = numbers(slot, source=Source(1))
    next(run), next(run)
    assert next(run) == ("finished", 0) and not slot.busy


def test_a_slot_begins_one_run_at_a_time():
    """Two handlers of a visitor may begin at once; both used to find the same run before them."""
    both = threading.Barrier(2)

    class Slow(RunSlot):
        """Lets two threads read before either writes, if nothing keeps them apart."""

        def __getattribute__(self, name):
            value = super().__getattribute__(name)
            if name == "current" and threading.current_thread().name.startswith("begins"):
                with contextlib.suppress(threading.BrokenBarrierError):
                    both.wait(0.3)
            return value

    slot, runs = Slow(), []
    threads = [
        threading.Thread(target=lambda i=i: runs.append(slot.begin(str(i))), name=f"begins {i}")
        for i in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.superseded for run in runs].count(False) == 1
    assert not slot.current.superseded


def test_a_slot_can_be_copied_as_gradio_copies_a_state():
    first, second = (copy.deepcopy(RunSlot()) for _ in range(2))
    run = first.begin()
    second.begin()
    assert not run.superseded


def test_a_generator_that_another_thread_runs_is_left_alone():
    """Closing it there raises `ValueError`, in the handler of the run that overtakes it."""
    inside, go_on = threading.Event(), threading.Event()

    def slow():
        inside.set()
        go_on.wait(5)
        yield 0
        yield 1

    slot, shown = RunSlot(), []
    run = stream(lambda own: own.follow(slow()), Numbers(), slot, "here", VIEWS, 0.0)
    thread = threading.Thread(target=lambda: shown.extend(run))
    thread.start()
    assert inside.wait(5)
    slot.begin("here")
    go_on.set()
    thread.join(5)
    assert shown == [("running",)]


def test_the_end_of_a_handler_changes_none_of_its_outputs_however_many_they_are():
    @sent_once
    def handler(*values):
        yield from values

    assert list(handler(("a", "b"))) == [("a", "b"), (gr.skip(), gr.skip())]
    assert list(handler(gr.skip())) == [gr.skip(), gr.skip()]  # one for all of them
    assert list(handler()) == []


def test_a_part_that_shows_something_else_silences_its_run_and_no_other():
    slot, source = RunSlot(), Source()
    here = numbers(slot, source=source)
    next(here)
    slot.silence("there")
    assert next(here) == ("running", 0)
    slot.silence("here")
    assert list(here) == [] and source.closed
    assert next(numbers(slot)) == ("running",)
