"""Many visitors, one engine: each gets their own picture, and nobody disturbs another."""

import gc
import itertools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.image import image
from pipelines.image.families import unet
from pipelines.image.load import image_pipeline
from pipelines.image.request import SCHEDULERS, DenoiseStep, ImageRequest
from pipelines.image.schedulers import make_scheduler
from pipelines.image.stepper import Stepper
from pipelines.serving import compute
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.errors import InputError

pytestmark = pytest.mark.usefixtures("tiny_models")

QUIET = Stepper()
REQUEST = ImageRequest("a red car", seed=1, num_inference_steps=4, model="tiny-sd")


def crowd(count: int) -> list[ImageRequest]:
    """Requests that differ in everything that a request has."""
    values = zip(
        range(count),
        itertools.cycle(("a red car", "a blue bird", "a tree in the snow", "two cats")),
        itertools.cycle((0, 1, 2.5, 7, 20)),
        itertools.cycle((2, 3, 5)),
        itertools.cycle(SCHEDULERS),
        itertools.cycle((None, None, None, 96)),
        itertools.cycle(("tiny-sd",) * 6 + ("tiny-turbo",)),
        strict=False,
    )
    return [
        ImageRequest(f"{prompt} {seed}", "blur" * (seed % 2), seed, scale, steps, name, model, height)
        for seed, prompt, scale, steps, name, height, model in values
    ]


@cache
def alone(request: ImageRequest) -> tuple[DenoiseStep, ...]:
    """The run when nobody else is there."""
    return tuple(QUIET.submit([request])[0])


def together(stepper: Stepper, requests: Sequence[ImageRequest]) -> list[tuple[DenoiseStep, ...]]:
    """All runs at once, each asked for by a visitor of their own."""
    ready = threading.Barrier(len(requests))

    def visit(request: ImageRequest) -> tuple[DenoiseStep, ...]:
        ready.wait()
        return tuple(stepper.submit([request])[0])

    with ThreadPoolExecutor(len(requests)) as visitors:
        return list(visitors.map(visit, requests))


def largest_difference(requests: Sequence[ImageRequest], runs: Sequence[Sequence[DenoiseStep]]) -> int:
    """Largest difference of a run's picture from its lone run's, in 1/255."""
    worst = 0
    for request, steps in zip(requests, runs, strict=True):
        assert [step.index for step in steps] == list(range(request.num_inference_steps))
        pictures = image.decode(np.stack([steps[-1].latents, alone(request)[-1].latents]), request.model)
        ours, expected = (np.asarray(picture, int) for picture in pictures)
        worst = max(worst, int(np.abs(ours - expected).max()))
    return worst


class Gate:
    """Schedulers that wait for permission before each step, and note whose steps were taken."""

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)
        self.taken: list[int] = []
        self._made = itertools.count()

    def make_scheduler(self, name: str, pipe: Any) -> Any:
        scheduler, number = make_scheduler(name, pipe), next(self._made)
        take_step = scheduler.step

        def step(*args: Any, **kwargs: Any) -> Any:
            self.permits.acquire()
            self.taken.append(number)
            return take_step(*args, **kwargs)

        scheduler.step = step
        return scheduler


@contextmanager
def batch_sizes(model: str) -> Iterator[list[int]]:
    """The batch size of every U-Net call."""
    seen: list[int] = []
    unet = image_pipeline(model).unet
    hook = unet.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    try:
        yield seen
    finally:
        hook.remove()


@pytest.mark.slow
def test_a_hundred_visitors_get_the_picture_of_their_lone_run():
    requests = crowd(100)
    assert largest_difference(requests, together(Stepper(), requests)) <= 1


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_check_fails_when_a_scheduler_is_shared(name):
    shared: dict[str, Any] = {}

    def share(name: str, pipe: Any) -> Any:
        return shared.setdefault(name, make_scheduler(name, pipe))

    requests = [replace(request, scheduler=name, model="tiny-sd") for request in crowd(12)]
    with pytest.raises((AssertionError, IndexError, RuntimeError, ValueError)):
        assert largest_difference(requests, together(Stepper(make_scheduler=share), requests)) <= 1


def test_pictures_of_the_crowd_differ_so_that_a_mix_up_would_be_seen():
    requests = crowd(6)
    mixed = [replace(request, num_inference_steps=4, height=None) for request in requests]
    runs = [alone(request) for request in mixed]
    assert largest_difference(mixed, runs) == 0
    assert largest_difference(mixed, runs[1:] + runs[:1]) > 20


def test_a_lone_run_is_the_same_to_the_bit_every_time():
    first, again = (tuple(Stepper().submit([REQUEST])[0]) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.latents, other.latents)
        assert np.array_equal(one.denoised_guided, other.denoised_guided)


def test_runs_of_one_kind_share_a_call_and_other_kinds_do_not():
    requests = [replace(REQUEST, seed=seed, height=96 if seed > 2 else None) for seed in range(5)]
    with batch_sizes("tiny-sd") as seen:
        for run in Stepper().submit(requests):
            assert len(tuple(run)) == 4
    assert seen == [6, 4] * 4  # with and without the prompt


@pytest.fixture
def three_cores() -> Iterator[None]:
    """The compute thread's operations use three, as on a larger machine than where tests run."""
    before = on_compute_thread(torch.get_num_threads)()
    on_compute_thread(torch.set_num_threads)(3)
    yield
    on_compute_thread(torch.set_num_threads)(before)


@pytest.mark.usefixtures("three_cores")
def test_one_small_picture_leaves_a_core_to_the_browser_and_several_take_all(monkeypatch):
    """Whoever shares so little waits for the thread whose core the browser has."""
    monkeypatch.setattr(compute, "_browser_expected", True)
    used: list[int] = []
    hook = image_pipeline("tiny-sd").unet.register_forward_pre_hook(
        lambda *_: used.append(torch.get_num_threads())
    )
    try:
        for count in (1, 2):
            requests = [replace(REQUEST, seed=seed, num_inference_steps=1) for seed in range(count)]
            assert [len(tuple(run)) for run in Stepper().submit(requests)] == [1] * count
        monkeypatch.setattr(unet, "WIDE", 1)  # as wide as Stable Diffusion's
        tuple(Stepper().submit(requests[:1])[0])
    finally:
        hook.remove()
    assert used == [2, 3, 3]


def test_turns_are_fair_when_more_runs_than_fit_a_batch():
    gate = Gate()
    gate.permits.release(100)
    stepper = Stepper(max_batch=2, make_scheduler=gate.make_scheduler)
    for run in stepper.submit([REQUEST] * 5):
        tuple(run)
    rounds = [sorted(gate.taken[i : i + 5]) for i in range(0, 20, 5)]
    assert rounds == [[0, 1, 2, 3, 4]] * 4


def test_new_runs_join_those_under_way():
    gate = Gate()
    stepper = Stepper(make_scheduler=gate.make_scheduler)
    long = replace(REQUEST, num_inference_steps=30)
    first = stepper.submit([long])[0]
    gate.permits.release(1)
    next(first)
    second = stepper.submit([REQUEST])[0]
    gate.permits.release(1000)
    assert len(tuple(second)) == 4
    assert gate.taken.index(1) <= 2  # at the next tick but for the one that had begun
    assert len(tuple(first)) == 29


def test_one_visitors_stop_stops_nobody_else():
    gate = Gate()
    stepper = Stepper(make_scheduler=gate.make_scheduler)
    requests = [replace(REQUEST, seed=seed, num_inference_steps=20) for seed in range(3)]
    runs = stepper.submit(requests)
    gate.permits.release(3)
    first = [next(run) for run in runs]
    runs[1].close()
    gate.permits.release(1000)
    others = [(first[i], *runs[i]) for i in (0, 2)]
    assert largest_difference([requests[0], requests[2]], others) <= 1
    assert gate.taken.count(1) <= 2  # the tick that had begun, and no further
    assert tuple(runs[1]) == ()
    assert stepper.queue_length() == 0


@pytest.mark.parametrize("leave", [lambda runs: runs[0].close(), lambda runs: runs.pop(0) and gc.collect()])
def test_leaving_frees_the_place(leave: Callable[[list], Any]):
    gate = Gate()
    stepper = Stepper(max_runs=2, make_scheduler=gate.make_scheduler)
    runs = stepper.submit([replace(REQUEST, num_inference_steps=100), REQUEST])
    other = runs[1]
    assert stepper.queue_length() == 2
    with pytest.raises(InputError, match="queue_full"):
        stepper.submit([REQUEST])
    leave(runs)
    gate.permits.release(1000)
    assert len(tuple(other)) == 4
    assert stepper.queue_length() == 0
    assert len(tuple(stepper.submit([REQUEST])[0])) == 4


def test_closing_wakes_a_thread_that_waits_for_the_next_step():
    gate = Gate()
    run = Stepper(make_scheduler=gate.make_scheduler).submit([REQUEST])[0]
    waiting = threading.Thread(target=lambda: tuple(run))
    waiting.start()
    run.close()
    waiting.join(timeout=20)
    assert not waiting.is_alive()
    gate.permits.release(100)


def _fails_to_start(scheduler: Any) -> None:
    raise RuntimeError("start")


def _fails_to_step(scheduler: Any) -> None:
    def step(*_: Any, **__: Any) -> None:
        raise RuntimeError("step")

    scheduler.step = step


def _fails_in_the_shared_call(scheduler: Any) -> None:
    scheduler.scale_model_input = lambda sample, *_: torch.zeros(1, 9, 8, 8)


@pytest.mark.parametrize("fault", [_fails_to_start, _fails_to_step, _fails_in_the_shared_call])
def test_an_error_reaches_its_visitor_only(fault: Callable[[Any], None]):
    def make(name: str, pipe: Any) -> Any:
        scheduler = make_scheduler(name, pipe)
        if name == "euler":
            fault(scheduler)
        return scheduler

    stepper = Stepper(make_scheduler=make)
    requests = [REQUEST, replace(REQUEST, scheduler="euler"), replace(REQUEST, seed=2, scheduler="dpm++")]
    good, bad, other = stepper.submit(requests)
    with pytest.raises(RuntimeError):
        tuple(bad)
    assert tuple(bad) == ()
    assert largest_difference([requests[0], requests[2]], [tuple(good), tuple(other)]) <= 1
    assert stepper.queue_length() == 0
    assert len(tuple(stepper.submit([REQUEST])[0])) == 4  # the worker lives


def test_a_fault_of_the_engine_fails_the_runs_under_way_and_the_next_ones_go_through(monkeypatch, caplog):
    stepper = Stepper()
    group, faults = stepper._next_group, iter([True])

    def next_group():
        if next(faults, False):
            raise RuntimeError("a fault outside any one run")
        return group()

    monkeypatch.setattr(stepper, "_next_group", next_group)
    for run in stepper.submit([REQUEST, replace(REQUEST, seed=2)]):
        with pytest.raises(InputError, match="engine_stopped"):
            tuple(run)
    assert "given up" in caplog.text and "outside any one run" in caplog.text
    assert len(tuple(stepper.submit([REQUEST])[0])) == 4
    assert stepper.queue_length() == 0


@contextmanager
def unet_that(fails: Callable[[int], object]) -> Iterator[None]:
    """Before each call of the tiny U-Net, `fails` gets its batch size."""
    hook = image_pipeline("tiny-sd").unet.register_forward_pre_hook(
        lambda _, args: fails(len(args[0])) and None
    )
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.parametrize("where", ["in a step", "between two steps"])
def test_when_the_engines_thread_is_asked_to_end_those_under_way_are_told_and_the_next_run_works(
    where: str, monkeypatch, caplog
):
    stepper = Stepper()
    once = iter([True])

    def end(*_: object) -> None:
        if next(once, False):
            sys.exit("asked to end")

    drop = stepper._drop_closed
    with unet_that(end if where == "in a step" else lambda size: None):
        monkeypatch.setattr(
            stepper, "_drop_closed", lambda: drop() if where == "in a step" else (end(), drop())
        )
        for run in stepper.submit([REQUEST, replace(REQUEST, seed=2)]):
            with pytest.raises(InputError, match="engine_stopped"):
                tuple(run)
        assert len(tuple(stepper.submit([REQUEST])[0])) == 4
    assert stepper.queue_length() == 0 and "asked to end" in caplog.text


def test_an_engine_whose_thread_is_gone_gets_another():
    stepper = Stepper()
    stepper._thread = threading.Thread(target=int)
    stepper._thread.start()
    stepper._thread.join()
    assert len(tuple(stepper.submit([REQUEST])[0])) == 4


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("DefaultCPUAllocator: no")],
    ids=lambda error: type(error).__name__,
)
def test_memory_that_is_short_for_all_suffices_for_each(error: Exception):
    requests = [replace(REQUEST, seed=seed) for seed in range(3)]

    def short(size: int) -> None:
        if size > 2:  # one run, with and without the prompt
            raise error

    with unet_that(short):
        runs = [tuple(run) for run in Stepper().submit(requests)]
    assert largest_difference(requests, runs) <= 1


def test_memory_that_is_short_for_one_run_fails_it_alone_and_the_next_one_works():
    stepper = Stepper()
    large = replace(REQUEST, height=96)

    def short(model: Any, args: tuple[Any, ...]) -> None:
        if args[0].shape[2] > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = image_pipeline("tiny-sd").unet.register_forward_pre_hook(short)
    try:
        good, bad = stepper.submit([REQUEST, large])
        with pytest.raises(torch.OutOfMemoryError):
            tuple(bad)
        assert largest_difference([REQUEST], [tuple(good)]) <= 1
    finally:
        hook.remove()
    assert len(tuple(stepper.submit([large])[0])) == 4 and stepper.queue_length() == 0


def test_no_thread_starts_before_the_first_run():
    before = threading.active_count()
    stepper = Stepper()
    assert threading.active_count() == before
    with pytest.raises(InputError, match="prompt_empty"):
        stepper.submit([replace(REQUEST, prompt=" ")])
    assert (threading.active_count(), stepper.queue_length()) == (before, 0)


def test_a_batch_is_accepted_whole_or_not_at_all():
    stepper = Stepper(max_runs=3)
    with pytest.raises(InputError, match="queue_full"):
        stepper.submit([REQUEST] * 4)
    assert stepper.queue_length() == 0


def test_who_looks_away_gets_all_steps_that_came_meanwhile_at_once():
    gate = Gate()
    stepper = Stepper(make_scheduler=gate.make_scheduler)
    (run,) = stepper.submit([REQUEST])
    arrivals = run.arrivals()
    gate.permits.release()
    assert [step.index for step in next(arrivals)] == [0]
    gate.permits.release(100)
    (later,) = stepper.submit([replace(REQUEST, num_inference_steps=6)])
    assert len(list(later)) == 6  # it takes turns with the first, which has ended by now
    assert [[step.index for step in steps] for steps in arrivals] == [[1, 2, 3]]


def test_an_error_comes_after_the_steps_before_it():
    def breaks_at_the_third_step(name: str, pipe: Any) -> Any:
        scheduler = make_scheduler(name, pipe)
        take_step, count = scheduler.step, itertools.count()

        def step(*args: Any, **kwargs: Any) -> Any:
            if next(count) == 2:
                raise RuntimeError("broken")
            return take_step(*args, **kwargs)

        scheduler.step = step
        return scheduler

    (run,) = Stepper(make_scheduler=breaks_at_the_third_step).submit([REQUEST])
    seen: list[DenoiseStep] = []
    with pytest.raises(RuntimeError, match="broken"):
        seen.extend(step for steps in run.arrivals() for step in steps)
    assert [step.index for step in seen] == [0, 1]
