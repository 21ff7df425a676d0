"""What tabs share whose visitors train models of their own: which events wait for which."""

from typing import Any

import gradio as gr

from pipelines.serving.live_training import trainings

MODEL: dict[str, Any] = {
    "api_visibility": "private",
    "concurrency_id": "model",
    "concurrency_limit": 1,
    "show_progress": "hidden",
}
# A run is a stream that its visitor watches; as many as there are places for trainings.
TRAINING: dict[str, Any] = {
    "api_visibility": "private",
    "concurrency_id": "training",
    "concurrency_limit": 32,
    "show_progress": "hidden",
}


def owner_of(request: gr.Request | None) -> str:
    """The name under which a visitor's trainings are kept: that of the open page."""
    return str(getattr(request, "session_hash", None) or "")


def _leave(request: gr.Request) -> None:
    if owner := owner_of(request):
        trainings.leave(owner)


def wire_leaving(page: gr.Blocks) -> None:
    """Put a visitor's trainings away when the page is closed or loaded anew."""
    page.unload(_leave)
