"""Whoever leaves the page takes their trainings along."""

import threading
from collections.abc import Iterator

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
