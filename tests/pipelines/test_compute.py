"""Models compute on two threads, whoever asks."""

import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress

import pytest
import torch
from PIL import Image

from pipelines.clip.model import clip_model, clip_scores
from pipelines.image import image
from pipelines.image.load import image_pipeline
from pipelines.image.request import ImageRequest
from pipelines.serving import compute
from pipelines.serving.compute import (
    beside_browser,
    due_later,
    expect_browser,
    low_priority,
    on_compute_thread,
    on_short_lived_thread,
    on_text_thread,
    one_core,
)
from pipelines.serving.errors import InputError
from pipelines.serving.memory import without_triton


@on_compute_thread
def name() -> str:
    return threading.current_thread().name


@on_compute_thread
def nested() -> tuple[str, str]:
    return threading.current_thread().name, name()


def test_all_callers_share_one_thread_that_is_none_of_theirs() -> None:
    with ThreadPoolExecutor(8, thread_name_prefix="visitor") as visitors:
        names = set(visitors.map(lambda _: name(), range(40)))
    assert len(names) == 1
    assert not names.pop().startswith(("visitor", threading.main_thread().name))


def test_nested_calls_do_not_wait_for_themselves() -> None:
    outer, inner = nested()
    assert outer == inner


def test_what_is_patient_lets_visitors_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "QUIET_S", 3.0)  # a slow machine may pause between two calls
    order: list[str] = []
    note = on_compute_thread(order.append)
    note("visitor")

    def in_the_background() -> None:
        with low_priority():
            note("patient")

    background = threading.Thread(target=in_the_background)
    background.start()
    for _ in range(200):
        note("visitor")
    background.join()
    assert order == ["visitor"] * 201 + ["patient"]


def run_behind(first: threading.Event, calls: list[Callable[[], object]]) -> None:
    """Make the calls from threads of their own, in order, while the compute thread is held by other work."""
    with ThreadPoolExecutor(1 + len(calls)) as callers:
        began = threading.Event()
        callers.submit(on_compute_thread(lambda: (began.set(), first.wait(30))))
        began.wait(30)
        for count, call in enumerate(calls, 1):
            callers.submit(call)
            while compute._compute._line.qsize() < count:
                pass
        first.set()


def test_work_that_is_due_later_lets_what_comes_meanwhile_go_first() -> None:
    order: list[str] = []
    film, picture = due_later(60)(order.append), on_compute_thread(order.append)
    go = threading.Event()
    run_behind(go, [lambda: film("film"), lambda: picture("first"), lambda: picture("second")])
    assert order == ["first", "second", "film"]


def test_who_waits_long_enough_comes_before_later_work() -> None:
    order: list[str] = []
    film, training = due_later(0.0)(order.append), due_later(60)(order.append)
    go = threading.Event()
    run_behind(
        go,
        [lambda: training("training"), lambda: due_later(120)(order.append)("later"), lambda: film("film")],
    )
    assert order == ["film", "training", "later"]


def test_texts_are_read_while_the_compute_thread_is_busy() -> None:
    busy, read = threading.Event(), on_text_thread(lambda: threading.current_thread().name)
    with ThreadPoolExecutor(1) as caller:
        waits = caller.submit(on_compute_thread(busy.wait), 30)
        assert read() == "texts"
        assert not waits.done()
        busy.set()
        assert waits.result()


def test_texts_use_one_core_and_the_compute_thread_all() -> None:
    assert on_text_thread(torch.get_num_threads)() == 1
    assert on_compute_thread(torch.get_num_threads)() == compute._compute._cores


def test_processes_that_run_tests_side_by_side_leave_each_other_cores() -> None:
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    assert compute._compute._cores * processes <= max(processes, os.cpu_count() or 1)


def test_the_texts_thread_never_waits_for_the_compute_thread_which_may_wait_for_it() -> None:
    assert on_compute_thread(on_text_thread(lambda: threading.current_thread().name))() == "texts"
    with pytest.raises(RuntimeError, match="must not wait"):
        on_text_thread(name)()


@pytest.mark.parametrize("decorator", [on_compute_thread, on_text_thread, on_short_lived_thread])
def test_errors_reach_the_caller(decorator) -> None:
    @decorator
    def fails(what: str) -> None:
        raise ValueError(what)

    with pytest.raises(ValueError, match="broken"):
        fails("broken")


@pytest.mark.parametrize("decorator", [on_compute_thread, on_text_thread, on_short_lived_thread])
def test_work_that_asks_its_thread_to_end_ends_none_and_is_told(decorator, caplog) -> None:
    with pytest.raises(InputError, match="engine_stopped"):
        decorator(sys.exit)("as a library does that was not made for servers")
    assert "SystemExit: as a library does" in caplog.text
    assert decorator(lambda: "alive")() == "alive"


def test_who_waits_for_a_thread_that_dies_is_told_and_the_next_work_starts_another(caplog) -> None:
    worker = compute._Worker("doomed", 1)
    first, second, third = (threading.Event() for _ in range(3))

    def dies() -> None:
        first.set()
        second.wait(60)
        worker._line.get = fatal  # what the thread does next

    def fatal() -> None:
        del worker._line.get
        third.wait(60)
        raise SystemExit("between two works")

    with ThreadPoolExecutor(3) as visitors:
        before = visitors.submit(worker.call, dies, 0.0)
        first.wait(60)
        waiting = [visitors.submit(worker.call, lambda: "never", 0.0) for _ in range(2)]
        while worker._line.qsize() < 2:
            pass
        second.set()
        assert before.result(60) is None
        third.set()
        for visitor in waiting:
            with pytest.raises(InputError, match="engine_stopped"):
                visitor.result(60)
    assert "between two works" in caplog.text
    assert worker.call(lambda: threading.current_thread().name, 0.0) == "doomed"


def test_a_passing_thread_ends_with_its_work() -> None:
    thread = on_short_lived_thread(threading.current_thread)()
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_every_model_computes_on_one_of_the_two_threads() -> None:
    seen: dict[str, set[str]] = {}
    pipe, clip = image_pipeline("classroom-image"), clip_model("classroom-clip")
    parts = {
        "text encoder": pipe.text_encoder, "unet": pipe.unet, "decoder": pipe.vae.decoder,
        "clip text": clip.model.transformer, "clip picture": clip.model.visual,
    }  # fmt: skip
    with ExitStack() as hooks:
        for part, module in parts.items():
            seen[part] = set()

            def note(*_: object, threads: set[str] = seen[part]) -> None:
                threads.add(threading.current_thread().name)

            hooks.callback(module.register_forward_pre_hook(note).remove)
        with ThreadPoolExecutor(4) as visitors:
            request = ImageRequest("a red car", num_inference_steps=2, model="classroom-image")
            list(visitors.map(image.run, [request] * 4))
            list(
                visitors.map(
                    lambda _: clip_scores([Image.new("RGB", (64, 64))], ["a"], "classroom-clip"), "ab"
                )
            )
    texts = {"text encoder", "clip text"}
    assert seen == {part: {"texts" if part in texts else name()} for part in parts}


@on_compute_thread
def cores_within(limit: Callable[[], AbstractContextManager[None]], before: int) -> tuple[int, int]:
    """How many cores operations use within and afterwards, an error in between."""
    own = torch.get_num_threads()
    torch.set_num_threads(before)
    try:
        with suppress(ValueError), limit():
            inside = torch.get_num_threads()
            raise ValueError
        return inside, torch.get_num_threads()
    finally:
        torch.set_num_threads(own)


def test_one_core_is_given_back_even_after_an_error() -> None:
    assert cores_within(one_core, 3) == (1, 3)


def test_a_browser_is_left_a_core_if_one_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "_browser_expected", False)
    assert cores_within(beside_browser, 3) == (3, 3)
    expect_browser()
    assert cores_within(beside_browser, 3) == (2, 3)
    assert cores_within(beside_browser, 1) == (1, 1)


WATCHED = """
import os, sys
class Watch:
    def find_spec(self, name, *_):
        if name == {name!r}:
            print("told", {told}, flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch())
import app
"""


def told_before(name: str, told: str) -> str:
    """What an expression says when the app is about to import a library."""
    env = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    program = WATCHED.format(name=name, told=told)
    run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    return run.stdout.split("told", 1)[1].strip()


def test_openmp_is_told_how_long_to_turn_before_pytorch_loads_it() -> None:
    assert told_before("torch", "os.environ.get('GOMP_SPINCOUNT')") == "10000"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU needs its compiler")
def test_a_compiler_for_gpus_is_halted_before_pytorchs_own_looks_for_it() -> None:
    assert told_before("torch._dynamo", "sys.modules.get('triton', 'may be imported')") == "None"


@pytest.mark.parametrize("gpu", [True, False])
def test_only_a_gpu_has_its_compiler_imported(monkeypatch: pytest.MonkeyPatch, gpu: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setitem(sys.modules, "triton", sys)  # put back afterwards, or taken away
    del sys.modules["triton"]
    without_triton()
    assert ("triton" in sys.modules) is not gpu
    if not gpu:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("triton")


def test_a_process_that_ends_in_the_midst_of_work_ends_in_order() -> None:
    program = """
import os, sys, threading, time, torch
from pipelines.serving.compute import on_compute_thread, on_text_thread
def work():
    end = time.monotonic() + 1
    while time.monotonic() < end:
        torch.randn(400, 400) @ torch.randn(400, 400)
    os.write(1, b"done ")
for place in (on_compute_thread, on_text_thread):
    threading.Thread(target=place(work), daemon=True).start()
time.sleep(0.3)
sys.exit(0)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout.split()) == (0, ["done", "done"]), run.stderr


def test_at_the_end_who_waits_is_told_and_the_work_under_way_is_done() -> None:
    worker = compute._Worker("last", 1)
    began, go = threading.Event(), threading.Event()
    with ThreadPoolExecutor(3) as visitors:
        under_way = visitors.submit(worker.call, lambda: (began.set(), go.wait(60)), 0.0)
        began.wait(60)
        waiting = visitors.submit(worker.call, lambda: "never", 0.0)
        while worker._line.empty():
            pass
        worker.end(0.0)
        with pytest.raises(InputError, match="app_ends"):
            waiting.result(60)
        with pytest.raises(InputError, match="app_ends"):
            worker.call(lambda: "too late", 0.0)
        go.set()
        assert under_way.result(60) == (None, True)
    worker._thread.join(60)
    assert not worker._thread.is_alive()


def test_a_process_waits_for_all_its_work_together_and_no_longer() -> None:
    """Both threads are asked in turn; the second gets what the first has left of the time."""
    clock = iter([100.0, 103.0, 108.5])
    left: list[float] = []

    class Stuck:
        def join(self, timeout: float) -> None:
            left.append(timeout)

    workers = [compute._Worker(name, 1) for name in ("a", "b")]
    for worker in workers:
        worker._thread = Stuck()  # type: ignore[assignment]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compute, "_compute", workers[0])
        patch.setattr(compute, "_texts", workers[1])
        patch.setattr(compute.time, "monotonic", lambda: next(clock))
        compute.end()
        patch.setattr(compute.time, "monotonic", lambda: 109.0)
        compute.end()  # as Python does at its end, after the app has done so
    assert left == [compute.END_S - 3, 0.0]
