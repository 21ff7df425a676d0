"""Of a visit that ended nothing stays in memory."""

import gc
import platform
import time
import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

import gradio as gr
import httpx
import pytest
from gradio import state_holder
from gradio_client import Client
from starlette.middleware import Middleware

import app
from components.page.visits import KEPT_S, LightSession, Visits
from pipelines.serving.memory import few_heaps, give_back


class Picture:
    """What a visitor has."""

    alive: ClassVar[weakref.WeakSet["Picture"]] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)


def draw(prompt: str) -> tuple[Picture, str]:
    return Picture(), f"<p>{prompt * 1000}</p>"


class House:
    """A page with a state and a view, behind the middleware of the app."""

    def __init__(self, **limits: Any) -> None:
        self.now = 0.0
        with gr.Blocks(analytics_enabled=False) as self.page:
            prompt, state, view = gr.Textbox(), gr.State(None), gr.HTML()
            gr.Button().click(draw, prompt, [state, view], api_name="draw")
        made: list[Visits] = []

        def middleware(inner: Any) -> Visits:
            made.append(Visits(inner, look_s=3600, clock=lambda: self.now, **limits))
            return made[-1]

        options = {"middleware": [Middleware(middleware)]}  # type: ignore[arg-type]
        _, self.address, _ = self.page.launch(
            prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", app_kwargs=options
        )
        httpx.get(self.address)
        self.visits = made[0]
        self.gradio = self.page.app

    @property
    def sessions(self) -> int:
        return len(self.gradio.state_holder.session_data)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with a look before and after."""
        self.visits.sweep(self.gradio)
        self.now += seconds
        self.visits.sweep(self.gradio)

    def call(self, words: str, session: str) -> None:
        """One call of a program that keeps no connection open, and reads its answer."""
        join = {"data": [words], "fn_index": 0, "session_hash": session}
        httpx.post(f"{self.address}gradio_api/queue/join", json=join).raise_for_status()
        asked = f"{self.address}gradio_api/queue/data"
        with httpx.stream("GET", asked, params={"session_hash": session}, timeout=60) as told:
            assert any("process_completed" in line for line in told.iter_lines())
        while self.page._queue.event_ids_to_events:  # Gradio puts the call away after its answer
            time.sleep(0.01)


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.page.close()


def alive() -> int:
    gc.collect()
    return len(Picture.alive)


def test_visitors_who_came_and_went_leave_nothing(house: House) -> None:
    clients = [Client(house.address, verbose=False) for _ in range(5)]
    for client in clients:
        client.predict("a cat", api_name="/draw")
    for k in range(5):
        house.call("a dog", f"program-{k}")
    assert (house.sessions, alive()) == (10, 10)
    for client in clients:
        client.close()
    while house.visits._open:  # the server sees it a moment later
        time.sleep(0.01)
    house.pass_time(KEPT_S / 2)
    assert house.sessions == 10, "they may come back"
    house.pass_time(KEPT_S)
    assert (house.sessions, alive()) == (0, 0)
    queue = house.page._queue
    assert not queue.pending_messages_per_session and not queue.pending_event_ids_session
    assert not house.visits._last and not house.visits._open


def test_an_open_page_keeps_what_it_has_and_one_that_comes_back_finds_it(house: House) -> None:
    beat = f"{house.address}gradio_api/heartbeat/visitor"
    for _ in range(2):  # the connection breaks once
        with httpx.stream("GET", beat, timeout=30) as told:
            reading = told.iter_text()  # kept: a stream whose reader is gone is closed
            assert "ALIVE" in next(reading)
            house.call("a cat", "visitor")
            house.pass_time(10 * KEPT_S)
            assert (house.sessions, alive()) == (1, 1)
            assert not house.gradio.state_holder.session_data["visitor"].is_closed
        while house.visits._open:
            time.sleep(0.01)
        house.pass_time(KEPT_S / 2)
    house.pass_time(KEPT_S)
    assert (house.sessions, alive()) == (0, 0)


@pytest.mark.usefixtures("demo")
def test_what_a_page_shows_is_not_kept_a_second_time(house: House) -> None:
    house.call("a cat", "visitor")
    held = house.gradio.state_holder.session_data["visitor"]
    assert held.config_values and not any(held.config_values.values())
    assert alive() == 1


@pytest.mark.usefixtures("demo")
def test_opening_a_session_does_not_describe_the_whole_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,300 parts of the page, that took a fifth of a second in which nobody else was answered."""
    assert state_holder.SessionState is LightSession
    with gr.Blocks(analytics_enabled=False) as page:
        prompt = gr.Textbox("a cat")
    described: list[int] = []
    monkeypatch.setattr(type(page.default_config), "config_for_block", lambda key, *_: described.append(key))
    holder = state_holder.StateHolder()
    holder.set_blocks(page)
    assert holder["visitor"][prompt._id].value == "a cat"
    assert not described


def test_programs_do_not_push_out_open_pages() -> None:
    house = House(many=5)
    with httpx.stream("GET", f"{house.address}gradio_api/heartbeat/visitor", timeout=30) as told:
        reading = told.iter_text()
        assert "ALIVE" in next(reading)
        house.call("a cat", "visitor")
        for k in range(20):
            house.call("a dog", f"program-{k}")
            assert house.sessions <= 7
        assert "visitor" in house.gradio.state_holder.session_data
    house.page.close()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such heaps")
def test_free_memory_is_given_back_where_the_c_library_can() -> None:
    assert few_heaps()
    pieces = [bytes(100_000) for _ in range(100)]
    del pieces[:-1]  # what lies below the last piece, glibc keeps until it is told
    assert give_back()


def test_calls_are_not_counted_for_a_page_that_nobody_opens(house: House) -> None:
    """Gradio sums up all calls of the past after each call, with pandas."""
    assert app.ENDPOINTS  # what `app` sets for Gradio holds here, too
    for k in range(3):
        house.call("a cat", f"program-{k}")
    queue = house.page._queue
    assert len(queue.event_analytics) <= 1 and not queue.cached_event_analytics_summary["functions"]
