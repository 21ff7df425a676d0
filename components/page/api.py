"""The same experiments for programs: one endpoint per tab, listed once."""

import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

from components.runs.queues import queue_of
from components.ui.errors import explained
from components.ui.language import load_texts


def register(api: dict[str, Callable[..., Any]]) -> None:
    """List functions as endpoints of the page being built.

    Args:
        api: typed functions with Google docstrings by endpoint name, each of which says its queue
            (`queues.endpoint`). Their parameters need defaults, so that a call names only what it changes.
    """
    calm = explained(load_texts("en"), for_page=False)
    for name, function in api.items():
        gr.api(
            calm(function),
            api_name=name,
            api_description=inspect.getdoc(function),  # Gradio alone lists only its first part
            **queue_of(function),
        )
