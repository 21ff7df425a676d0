"""From an exception to a sentence that a visitor can act on."""

import functools
import inspect
import logging
from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from components.ui.language import Texts
from pipelines.serving.errors import InputError

log = logging.getLogger(__name__)


def message(error: InputError, t: Texts) -> str:
    """The translated message of an input error, as plain text."""
    return t(f"errors.{error.key}", **error.values)


def as_gradio_error(error: Exception, t: Texts) -> gr.Error:
    """What the page shows for an exception.

    Gradio renders messages as HTML, and they quote what visitors typed: everything is escaped.
    """
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, InputError):
        text = escape(message(error, t), quote=False)
        return gr.Error(text, title=t("errors.title"), print_exception=False)
    log.error("unexpected error in a handler", exc_info=error)
    return gr.Error(t("errors.unexpected"), title=t("errors.title"), print_exception=False)


def explained(t: Texts) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator for event handlers: their errors reach the visitor translated and calm.

    Works for functions and for generators. An `InputError` becomes its own message; anything
    else is logged with its traceback and becomes one general sentence.

    Args:
        t: the texts of the page that the handler serves.
    """

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                try:
                    yield from handler(*args, **kwargs)
                except Exception as error:
                    raise as_gradio_error(error, t) from error

        else:

            @functools.wraps(handler)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                try:
                    return handler(*args, **kwargs)
                except Exception as error:
                    raise as_gradio_error(error, t) from error

        return wrapped

    return decorate
