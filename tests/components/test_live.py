"""Whoever leaves the page takes their trainings along."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import gradio as gr
import httpx
import pytest

from components.runs import training as live
from components.runs.training import owner_of, wire_leaving


class Noted:
    """Stands where the table of trainings stands; notes who has left."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.somebody_left = threading.Event()

    def leave(self, owner: str) -> None:
        self.left.append(owner)
        self.somebody_left.set()


@pytest.fixture
def address() -> Iterator[str]:
    """A page of its own with the wiring of the app."""
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Markdown("a page")
    wire_leaving(page)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    yield url
    page.close()


def test_closing_a_page_puts_its_trainings_away(address: str, monkeypatch) -> None:
    noted = Noted()
    monkeypatch.setattr(live, "trainings", noted)
    with httpx.stream("GET", f"{address}gradio_api/heartbeat/visitor-1", timeout=30) as beat:
        told = beat.iter_text()  # kept: a stream whose reader is gone is closed
        assert "ALIVE" in next(told)
        assert not noted.left
    assert noted.somebody_left.wait(60)
    assert noted.left == ["visitor-1"]


def test_a_call_without_a_page_owns_nothing() -> None:
    assert owner_of(None) == ""


# Views that a click on them, the opening of the page, or a run writes, too.
ALSO_WRITTEN = {"cv-tokens", "lab-builder", "journey-reading", "dino-training", "video-cost"}


def test_what_follows_typing_is_written_by_one_event_or_in_one_line(demo: gr.Blocks) -> None:
    """Else an older answer can come after a newer one, and stay: events of two queues overtake each other."""
    writers: dict[gr.blocks.Block, list[gr.blocks.BlockFunction]] = defaultdict(list)
    for event in demo.fns.values():
        for output in event.outputs if event.fn is not None else ():
            writers[output].append(event)
    followed = set()
    for view, events in writers.items():
        follows = any(event.trigger_mode == "always_last" for event in events)
        if not follows or not isinstance(view, gr.HTML | gr.Plot | gr.JSON) or view.elem_id in ALSO_WRITTEN:
            continue
        followed.add(view.elem_id)
        lines = {(event.concurrency_id, event.concurrency_limit) for event in events}
        in_one_line = len(lines) == 1 and next(iter(lines))[1] == 1
        assert len(events) == 1 or in_one_line, (view.elem_id, [(e.name, e.concurrency_id) for e in events])
    assert {
        "clip-matrix",
        "embedding-neighbours",
        "embedding-sum",
        "context-verdict",
        "embedding-moved",
    } <= followed


def test_no_two_functions_wait_for_their_turn_at_one_event(demo: gr.Blocks) -> None:
    """When one is through, Gradio's page tells all that listen to it anew: two call each other for ever."""
    waiting: dict[tuple[int | None, str], list[str]] = defaultdict(list)
    for event in demo.fns.values():
        if event.fn is not None and event.trigger_mode == "always_last":
            for target in event.targets:
                if target[0] is not None:  # what comes after another event is told alone
                    waiting[target].append(event.name)
    assert len(waiting) > 40
    assert {target: names for target, names in waiting.items() if len(names) > 1} == {}


def test_a_queue_with_nothing_to_start_looks_a_hundred_times_a_second_at_most(
    demo: gr.Blocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradio's looks a thousand times, which takes a twelfth of a core though nobody is there."""
    loop, pauses = asyncio.new_event_loop(), []
    call_later = loop.call_later

    def note(seconds: float, *rest: Any, **options: Any) -> asyncio.TimerHandle:
        pauses.append(seconds)
        if len(pauses) == 3:
            looking.cancel()
        return call_later(seconds, *rest, **options)

    loop.call_later = note  # type: ignore[method-assign]
    monkeypatch.setattr(demo._queue, "stopped", False)  # as it will be again
    looking = loop.create_task(demo._queue.start_processing())
    # on a thread of its own: a browser of the same process may have a loop on this one
    with suppress(asyncio.CancelledError), ThreadPoolExecutor(1) as other:
        other.submit(loop.run_until_complete, looking).result()
    loop.close()
    assert len(pauses) == 3 and min(pauses) >= 0.01
