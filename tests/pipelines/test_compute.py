"""Models compute on one thread, whoever asks."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
import torch
from PIL import Image

from pipelines.clip.model import clip_model, clip_scores
from pipelines.image import image
from pipelines.image.load import image_pipeline
from pipelines.image.request import ImageRequest
from pipelines.serving import compute
from pipelines.serving.compute import low_priority, on_compute_thread, on_short_lived_thread, one_core


@on_compute_thread
def name() -> str:
    return threading.current_thread().name


@on_compute_thread
def nested() -> tuple[str, str]:
    return threading.current_thread().name, name()


def test_all_callers_share_one_thread_that_is_none_of_theirs() -> None:
    with ThreadPoolExecutor(8, thread_name_prefix="visitor") as visitors:
        names = set(visitors.map(lambda _: name(), range(40)))
    assert len(names) == 1
    assert not names.pop().startswith(("visitor", threading.main_thread().name))


def test_nested_calls_do_not_wait_for_themselves() -> None:
    outer, inner = nested()
    assert outer == inner


def test_what_is_patient_lets_visitors_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "QUIET_S", 3.0)  # a slow machine may pause between two calls
    order: list[str] = []
    note = on_compute_thread(order.append)
    note("visitor")

    def in_the_background() -> None:
        with low_priority():
            note("patient")

    background = threading.Thread(target=in_the_background)
    background.start()
    for _ in range(200):
        note("visitor")
    background.join()
    assert order == ["visitor"] * 201 + ["patient"]


@pytest.mark.parametrize("decorator", [on_compute_thread, on_short_lived_thread])
def test_errors_reach_the_caller(decorator) -> None:
    @decorator
    def fails(what: str) -> None:
        raise ValueError(what)

    with pytest.raises(ValueError, match="broken"):
        fails("broken")


def test_a_passing_thread_ends_with_its_work() -> None:
    thread = on_short_lived_thread(threading.current_thread)()
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_every_model_computes_there() -> None:
    seen: dict[str, set[str]] = {}
    pipe, clip = image_pipeline("classroom-image"), clip_model("classroom-clip")
    parts = {
        "text encoder": pipe.text_encoder, "unet": pipe.unet, "decoder": pipe.vae.decoder,
        "clip text": clip.model.transformer, "clip picture": clip.model.visual,
    }  # fmt: skip
    with ExitStack() as hooks:
        for part, module in parts.items():
            seen[part] = set()

            def note(*_: object, threads: set[str] = seen[part]) -> None:
                threads.add(threading.current_thread().name)

            hooks.callback(module.register_forward_pre_hook(note).remove)
        with ThreadPoolExecutor(4) as visitors:
            request = ImageRequest("a red car", num_inference_steps=2, model="classroom-image")
            list(visitors.map(image.run, [request] * 4))
            list(
                visitors.map(
                    lambda _: clip_scores([Image.new("RGB", (64, 64))], ["a"], "classroom-clip"), "ab"
                )
            )
    assert seen == {part: {name()} for part in parts}


def test_one_core_is_given_back_even_after_an_error() -> None:
    @on_compute_thread
    def cores() -> tuple[int, int]:
        before = torch.get_num_threads()
        torch.set_num_threads(3)
        try:
            with suppress(ValueError), one_core():
                inside = torch.get_num_threads()
                raise ValueError
            return inside, torch.get_num_threads()
        finally:
            torch.set_num_threads(before)

    inside, after = cores()
    assert (inside, after) == (1, 3)
