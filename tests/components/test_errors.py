"""Handlers' errors reach visitors translated, escaped and calm."""

import errno
import inspect
import logging

import gradio as gr
import pytest
import torch

from components.ui import errors
from components.ui.errors import Sparing, explained
from components.ui.language import Texts, load_texts
from pipelines.serving.errors import InputError

T = Texts(
    "en",
    {
        "errors.title": "No",
        "errors.unexpected": "Calm.",
        "errors.too_long": "At most {limit}; got “{received}”.",
    },
)


def test_an_input_error_becomes_its_message_with_the_visitors_text_escaped() -> None:
    @explained(T)
    def handler() -> None:
        raise InputError("too_long", limit=3, received="<img src=x onerror=alert(1)>")

    with pytest.raises(gr.Error) as caught:
        handler()
    assert caught.value.message == "At most 3; got “&lt;img src=x onerror=alert(1)&gt;”."
    assert caught.value.print_exception is False


def test_each_language_has_its_own_message() -> None:
    values = {"received": "nope", "known": "classroom-clip"}

    def fails() -> None:
        raise InputError("model_unknown", **values)

    messages = []
    for language in ("de", "en"):
        with pytest.raises(gr.Error) as caught:
            explained(load_texts(language))(fails)()
        messages.append(caught.value.message)
    assert "nope" in messages[0]
    assert "nope" in messages[1]
    assert messages[0] != messages[1]


def test_a_generator_yields_until_its_error() -> None:
    @explained(T)
    def steps():  # type: ignore[no-untyped-def]
        yield 1
        raise InputError("too_long", limit=1, received="ab")

    assert inspect.isgeneratorfunction(steps), "Gradio would not stream it"
    run = steps()
    assert next(run) == 1
    with pytest.raises(gr.Error, match="At most 1"):
        next(run)


def test_an_unexpected_error_is_logged_in_full_and_told_calmly(caplog: pytest.LogCaptureFixture) -> None:
    @explained(T)
    def handler() -> None:
        raise RuntimeError("secret path /srv/app")

    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as caught:
        handler()
    assert caught.value.message == "Calm."
    assert "secret path /srv/app" in caplog.text
    assert "Traceback" in caplog.text


def allocator_error() -> RuntimeError:
    """What PyTorch raises where the machine's memory is short: a type that any other error could have."""
    huge = 2**60
    with pytest.raises(RuntimeError) as caught:
        torch.empty(huge)
    return caught.value


FULL = OSError(errno.ENOSPC, "No space left on device", "/srv/secret")


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (allocator_error(), "out_of_memory"),
        (FULL, "disk_full"),
        (InputError("engine_stopped"), "engine_stopped"),
    ],
    ids=["cuda", "python", "pytorch", "disk", "thread"],
)
@pytest.mark.parametrize("language", ["de", "en"])
def test_a_fault_of_the_machine_is_told_with_what_to_do_and_its_cause_stands_in_the_log(
    error: Exception,
    key: str,
    language: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errors, "refusals", Sparing(most=1))  # other tests may have used up the minute's

    def fails() -> None:
        try:
            raise error
        except Exception as cause:
            if isinstance(error, InputError):
                raise
            raise RuntimeError("what a library makes of it") from cause

    t = load_texts(language)
    with caplog.at_level(logging.WARNING), pytest.raises(gr.Error) as caught:
        explained(t)(fails)()
    assert caught.value.message == t(f"errors.{key}") != t("errors.unexpected")
    assert ("itte" if language == "de" else "lease") in caught.value.message
    assert caught.value.print_exception is False
    assert key in caplog.text and (isinstance(error, InputError) or "Traceback" in caplog.text)


def test_a_handler_keeps_its_signature_and_result() -> None:
    @explained(T)
    def handler(prompt: str, request: gr.Request) -> str:
        return prompt.upper()

    assert list(inspect.signature(handler).parameters) == ["prompt", "request"]
    assert handler("a", None) == "A"


def test_a_refused_input_is_one_line_without_its_text_and_no_flood(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    monitor = Sparing(most=3, clock=lambda: now[0])
    for _ in range(1000):
        monitor.warn("%s refused an input (%s)", "tokens", "too_long")
    assert len(caplog.records) == 3
    now[0] = 61.0
    monitor.warn("%s refused an input (%s)", "tokens", "too_long")
    assert "997 more refused inputs" in caplog.text and len(caplog.records) == 5

    @explained(T)
    def handler() -> None:
        raise InputError("too_long", limit=3, received="private words")

    caplog.clear()
    with pytest.raises(gr.Error):
        handler()
    assert "private words" not in caplog.text and "Traceback" not in caplog.text
