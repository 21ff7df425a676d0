"""A model of the hub runs when somebody presses a button, not because a tab was opened."""

from typing import Any

import gradio as gr
import pytest

from components.audio import tab as audio_tab
from components.conditioning import tab as conditioning_tab
from components.cross_attention import known_pictures
from components.image import tab as image_tab
from components.page.picture_tabs import open_tab
from components.prompt_lab import tab as prompt_lab_tab
from components.runs.slot import RunSlot
from components.runs.unasked import waits_for_click
from components.ui.language import load_texts
from components.video import tab as video_tab
from pipelines.image.request import ImageRequest
from pipelines.serving import catalogue

T = load_texts("de")
SKIPPED = gr.skip()


def of_hub(role: str) -> str:
    return next(entry.id for entry in catalogue.entries(role) if entry.family == "hub")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What visitors are told outside of a view."""
    said: list[str] = []
    monkeypatch.setattr(gr, "Info", lambda text, **_: said.append(text))
    return said


@pytest.mark.parametrize("role", ["image", "video", "audio"])
def test_only_the_classrooms_models_run_unasked(role: str, told: list[str]) -> None:
    model = of_hub(role)
    assert waits_for_click(model, T)
    assert told == [T("common.waits_for_click", model=catalogue.entry(model, role).title)]
    assert not waits_for_click(f"classroom-{role}", T)
    assert len(told) == 1


@pytest.mark.usefixtures("told")
def test_a_picture_tab_that_is_opened_draws_nothing_with_a_model_of_the_hub() -> None:
    ran: list[ImageRequest] = []

    def opened(model: str) -> list[Any]:
        request = ImageRequest("a dog", num_inference_steps=1, model=model)
        return list(
            open_tab(
                None, lambda: request, RunSlot(), T, waiting=lambda _: ("waits",), show=lambda _: ("shown",),
                restored=lambda: ("nothing",), run=lambda asked, _: iter([ran.append(asked)]),
            )
        )  # fmt: skip

    assert opened(of_hub("image")) == [SKIPPED] and ran == []
    opened("classroom-image")
    assert [request.model for request in ran] == ["classroom-image"]


@pytest.mark.usefixtures("told")
def test_no_tab_with_a_run_of_its_own_begins_one() -> None:
    """A run would fail here, where no model of the hub can be had, and say so."""
    slot = RunSlot()
    image = image_tab._handlers(T)[1]("a dog", "", 1, 5.0, 2, "ddim", of_hub("image"), None, slot)
    video = video_tab._handlers(T)[1]("a dog", 2, 16, of_hub("video"), "", None, slot, "", 1, 5.0)
    audio = audio_tab._handlers(T)[1](
        "a dog", 1, 3.0, 1.0, 250, 4.0, of_hub("audio"), "transformers", None, slot
    )
    for entered, outputs in ((image, 4), (video, None), (audio, None)):
        whole = list(entered)
        sent = [value for values in whole for value in (values if isinstance(values, tuple) else [values])]
        assert sent and all(value == SKIPPED for value in sent)
        if outputs:  # Gradio takes one value for all outputs, or one for each
            assert all(values == SKIPPED or len(values) == outputs for values in whole)
    assert not slot.busy


@pytest.mark.usefixtures("told")
def test_no_part_of_a_tab_about_pictures_begins_one() -> None:
    """Those that do not begin with `open_tab`."""
    slot, model = RunSlot(), of_hub("image")
    values = ("a dog", "", 1, 5.0, 2, model, None, slot)
    grid = prompt_lab_tab._grid_handlers(T)[1](*values, "size", None)
    first = conditioning_tab._first(conditioning_tab._handlers(T)[-1])
    known = known_pictures._picture_handlers(T)[-1]
    assert list(grid) == [SKIPPED]
    assert list(first(True, False, *values, "a cat", 1)) == [(SKIPPED,) * 2]
    assert known(None, model) == (SKIPPED,) * 3
    assert not slot.busy


@pytest.mark.usefixtures("told")
def test_a_tab_that_waited_for_a_run_of_which_nothing_came_shows_that_nothing_is_there() -> None:
    slot = RunSlot()
    run = slot.begin("cuts")
    request = ImageRequest("a dog", num_inference_steps=1, model=of_hub("image"))
    opened = open_tab(
        None, lambda: request, slot, T, waiting=lambda _: ("waits",), show=lambda _: ("shown",),
        restored=lambda: ("nothing",), run=lambda *_: iter([("ran",)]),
    )  # fmt: skip
    assert next(opened) == ("waits",)
    run.finish()
    assert list(opened) == [("nothing",)]
