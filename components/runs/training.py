"""What tabs share whose visitors train models of their own: which events wait for which."""

import gradio as gr

from pipelines.serving.live_training import trainings


def owner_of(request: gr.Request | None) -> str:
    """The name under which a visitor's trainings are kept: that of the open page."""
    return str(getattr(request, "session_hash", None) or "")


def _leave(request: gr.Request) -> None:
    if owner := owner_of(request):
        trainings.leave(owner)


def wire_leaving(page: gr.Blocks) -> None:
    """Put a visitor's trainings away when the page is closed or loaded anew."""
    page.unload(_leave)
