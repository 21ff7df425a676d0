"""From an exception to a sentence that a visitor can act on."""

import functools
import inspect
import logging
import time
from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from components.ui.arguments import ArgumentError, required
from components.ui.language import Texts
from pipelines.serving.errors import InputError, fault_of, short

log = logging.getLogger(__name__)


class Refused(gr.Error):
    """An error that whoever called can mend: its status in HTTP is 422, where Gradio alone answers 500."""


class Sparing:
    """Writes log lines, but so many in a minute at most: no visitor can fill the disk with refused input."""

    def __init__(
        self, most: int, clock: Callable[[], float] = time.monotonic, log: logging.Logger = log
    ) -> None:
        self.most, self.clock, self.log = most, clock, log
        self.since, self.written, self.dropped = -60.0, 0, 0

    def warn(self, text: str, *values: object) -> None:
        now = self.clock()
        if now - self.since >= 60:
            if self.dropped:
                self.log.warning("%d more refused inputs in the last minute", self.dropped)
            self.since, self.written, self.dropped = now, 0, 0
        if self.written < self.most:
            self.written += 1
            self.log.warning(text, *values)
        else:
            self.dropped += 1


refusals = Sparing(most=20)
MOST_QUOTED = 120  # characters of what came that a message repeats


def _quoted(value: object, t: Texts) -> str:
    """A value as a message repeats it: short, and what can be sent and printed."""
    if value is None:
        return t("errors.nothing")
    text = value if isinstance(value, str) else short(value)
    text = text if len(text) <= MOST_QUOTED else text[: MOST_QUOTED - 1] + "…"
    if isinstance(value, str | list) and len(value) > 6 and text != value:
        text += f" ({len(value)})"  # what is shortened says how long it was
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def message(error: InputError, t: Texts) -> str:
    """The translated message of an input error, as plain text; what came is repeated shortened."""
    ours = ("known", "title")
    values = {name: v if name in ours else _quoted(v, t) for name, v in error.values.items()}
    if isinstance(error, ArgumentError):
        values["required"] = required(error.schema, t)
    return t(f"errors.{error.key}", **values)


def as_gradio_error(error: Exception, t: Texts, where: str, for_page: bool = True) -> gr.Error:
    """What visitors or programs are told of an exception.

    Args:
        error: what was raised.
        where: what failed, for the log.
        for_page: whether the message is shown on the page, where Gradio renders it as HTML: it quotes what
            visitors typed, so it is escaped.
    """
    if isinstance(error, gr.Error):
        return error
    title = t("errors.title")
    if isinstance(error, InputError):
        refusals.warn("%s refused an input (%s)", where, error.key)  # never what the visitor wrote
        text = escape(message(error, t), quote=False) if for_page else message(error, t)
        return Refused(text, title=title, print_exception=False)
    fault = fault_of(error)
    log.error("%s in %s", fault.key if fault else "unexpected error", where, exc_info=error)
    told = message(fault, t) if fault else t("errors.unexpected")
    return gr.Error(told, title=title, print_exception=False)


def explained(t: Texts, for_page: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator for event handlers and endpoints: their errors come out translated and calm.

    Works for functions and for generators. An `InputError` becomes its own message. Anything else is logged
    with its traceback: a fault of the machine (`fault_of`) has a sentence, and all others have one in common.

    Args:
        t: the texts of the page that the handler serves.
        for_page: see `as_gradio_error`.
    """

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        def calm(error: Exception) -> gr.Error:
            return as_gradio_error(error, t, handler.__qualname__, for_page)

        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                try:
                    yield from handler(*args, **kwargs)
                except Exception as error:
                    raise calm(error) from error

        else:

            @functools.wraps(handler)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                try:
                    return handler(*args, **kwargs)
                except Exception as error:
                    raise calm(error) from error

        return wrapped

    return decorate
