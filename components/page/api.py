"""The same experiments for programs: one endpoint per tab, listed once."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import gradio as gr

from components.runs.queues import queue_of
from components.ui.arguments import argument_words, checked, parameters_of
from components.ui.errors import explained
from components.ui.language import load_texts


def register(api: dict[str, Callable[..., Any]]) -> None:
    """List functions as endpoints of the page being built, with checked arguments and their whole schema.

    Args:
        api: typed functions with Google docstrings by endpoint name, each of which says its queue
            (`queues.endpoint`). Their parameters need defaults, so that a call names only what it changes.
    """
    calm = explained(load_texts("en"), for_page=False)
    page = gr.context.Context.root_block
    assert page is not None  # within `gr.Blocks()`
    for name, function in api.items():
        parameters = parameters_of(function)
        served = calm(checked(function, parameters))
        served.__doc__ = _a_line_each(function)
        listed = gr.api(
            served,
            api_name=name,
            api_description=inspect.getdoc(function),  # Gradio alone lists only its first part
            **queue_of(function),
        )
        for place, parameter in zip(page.fns[listed["id"]].inputs, parameters.values(), strict=True):
            place._api_info = parameter.schema


def _a_line_each(function: Callable[..., Any]) -> str:
    """The docstring, each argument described on one line: Gradio cuts it at the line's end."""
    lines = "".join(f"    {name}: {words}\n" for name, words in argument_words(function).items())
    section = r"^Args:\n(?:    .*\n?|\n)+"
    doc = inspect.getdoc(function) or ""
    return re.sub(section, lambda _: f"Args:\n{lines}\n", doc, flags=re.MULTILINE)
