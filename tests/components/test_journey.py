"""The landing tab: eight stations, each a door."""

import base64
import html
import io
import logging
import re
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from components.audio.run import compute_audio
from components.journey.audio_row import audio_station, journey_audio_run, waiting_audio
from components.journey.tab import follow_prompt, journey_run
from components.journey.time_row import build_time_row, new_shown
from components.journey.view import READING, STEERING, reading_view, steering_view, waiting_view
from components.runs.frames import Frames
from components.runs.slot import RunSlot
from components.ui.language import load_texts
from pipelines import journey
from pipelines.audio.request import AudioRequest
from pipelines.image import image
from pipelines.image.request import ImageRequest

T, DE = load_texts("en"), load_texts("de")
REQUEST = ImageRequest(
    "a <b>red</b> car", num_inference_steps=2, model="classroom-image", look_inside=True
).validated()


def doors(page: str) -> tuple[str, ...]:
    return tuple(re.findall(r'data-door="(\w+)"', page))


@pytest.mark.parametrize("t", [T, DE])
def test_each_station_is_a_door_before_and_after(t):
    reading = reading_view(journey.read(REQUEST.prompt, "classroom-clip", "classroom-image"), t)
    trace = image.run(REQUEST)
    steering = steering_view(REQUEST, Frames.of(trace), trace, journey.Verdict(0.25, 0.02), t)
    assert doors(reading) == doors(waiting_view(READING, t)) == READING
    assert doors(steering) == doors(waiting_view(STEERING, t)) == STEERING
    assert "<b>red</b>" not in reading + steering
    assert 'class="hole"' not in reading + steering
    for number in ("0.25", "0.02"):
        assert (number if t is T else number.replace(".", ",")) in steering
    assert [int(n) for n in re.findall(r"<i>(\d)</i>", reading + steering)] == list(range(1, 9))


@pytest.mark.parametrize("t", [T, DE])
def test_without_a_word_each_station_says_what_there_is(t):
    page = reading_view(journey.read(" ", "classroom-clip", "classroom-image"), t)
    assert doors(page) == READING and "<em" not in page
    for key in ("tokens.meter.empty", "journey.say_context_empty"):
        assert t(key) in html.unescape(page)
    assert t("journey.say_embeddings_empty", width=128) in html.unescape(page)


def test_many_tokens_are_counted():
    page = reading_view(journey.read("a cat " * 15, "classroom-clip", "classroom-image"), T)
    assert "+16" in page
    assert T("journey.say_tokens", count=30) in page


def test_a_run_fills_its_stations_and_looks_inside():
    slot = RunSlot()
    shown = list(journey_run(REQUEST, None, slot, T))
    assert 'data-state="running"' in shown[0][0]
    page, stop, trace = shown[-1]
    assert 'data-state="done"' in page
    assert 'class="over"' in page
    assert trace.steps[0].inside is not None
    assert stop["interactive"] is False


def test_a_trace_without_a_look_inside_leaves_that_station_open():
    trace = image.run(ImageRequest("a car", num_inference_steps=1, model="classroom-image"))
    page = steering_view(trace.request, Frames.of(trace), trace, journey.Verdict(0.1, 0.0), T)
    assert T("journey.say_attention_none") in page


def test_before_the_first_step_all_stations_wait():
    page = steering_view(REQUEST, Frames(REQUEST), None, None, T)
    assert page.count('class="hole"') == 5  # two steps of the film, three others


def test_the_endpoint_follows_a_prompt():
    found = follow_prompt("a red car", num_inference_steps=1)
    assert found["tokens"][1:4] == ["a", "red", "car"]
    assert len(found["ids"]) == len(found["tokens"])
    assert found["sequence"] == [77, 128]
    assert -1 <= found["clip_score"] <= 1


@pytest.mark.parametrize("t", [T, DE])
def test_the_last_station_is_the_same_prompt_as_sound(t):
    made = compute_audio(AudioRequest(REQUEST.prompt, seconds=0.4, model="classroom-audio").validated())
    page = audio_station(made, t)
    assert doors(page) == doors(waiting_audio(t)) == ("audio",)
    assert "<b>red</b>" not in page and "<i>10</i>" in page and 'class="hole"' not in page
    assert t("journey.alt_audio", books=4, frames=20) in page
    assert ("0.4" if t is T else "0,4") in page


def test_the_sound_fills_its_station_while_it_is_made():
    """The grid is as wide at once as it will be; what is not there yet is clear, and no wave."""
    request = AudioRequest(REQUEST.prompt, seconds=2.0, model="classroom-audio").validated()
    seen = []
    first, *pages, last = (page for (page,) in journey_audio_run(request, RunSlot(), T))
    assert first == waiting_audio(T) and 'data-state="done"' in last
    for page in pages:
        codes, wave = (png(uri) for uri in re.findall(r"data:image/png;base64,([^\"]+)", page))
        assert codes.shape == (4, 100, 4) and wave.shape[1] == 600 and 'data-state="waiting"' in page
        complete = int((codes[0, :, 3] > 0).sum())
        assert (codes[:, :complete, 3] == 255).all() and not codes[:, complete:, 3].any()
        seen.append(complete)
    assert seen == sorted(seen) and len(seen) > 2 and seen[-1] == 100


def png(data: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_who_leaves_does_not_leave_a_sound_behind():
    """Gradio closes the iterator of a page that is gone; a handler that did not yield would go on."""
    slot = RunSlot()
    growing = journey_audio_run(AudioRequest("birdsong", seconds=8.0).validated(), slot, T)
    next(growing), next(growing)
    growing.close()
    assert slot.current.finished
    assert list(growing) == []


def test_a_row_of_a_session_that_was_forgotten_is_filled_for_the_address():
    asked = []

    def fill(prompt, seed, slot):
        asked.append((prompt, seed))
        yield "filled"

    with gr.Blocks():
        row = build_time_row(new_shown(), T, "audio", lambda asks: "", fill, {})
    request = SimpleNamespace(query_params={"prompt": "a blue boat", "seed": "7"})
    for shown, expected in ((("a cat", 3), ("a cat", 3)), (None, ("a blue boat", 7))):
        assert list(row.handler(shown, RunSlot(), request)) == ["filled"]
        assert asked.pop() == expected


def test_an_error_of_a_row_reaches_the_visitor_calmly(caplog):
    def breaks(prompt, seed, slot):
        yield "waiting"
        raise RuntimeError("/srv/secret")

    with gr.Blocks():
        row = build_time_row(new_shown(), T, "audio", lambda asks: "", breaks, {})
    run = row.handler(("a cat", 0), RunSlot(), SimpleNamespace(query_params={}))
    assert next(run) == "waiting"
    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as caught:
        next(run)
    assert caught.value.message == T("errors.unexpected") and "/srv/secret" in caplog.text


def _said(prompt: str, number: int, t=T) -> str:
    """The sentence of a station of the upper row, as a person reads it."""
    page = reading_view(journey.read(prompt, "classroom-clip", "classroom-image"), t)
    return html.unescape(re.findall(r'<span class="say"[^>]*>(.*?)</span>', page, re.DOTALL)[number - 1])


@pytest.mark.parametrize("prompt", ["cat", "🐈"])
def test_a_prompt_of_one_word_looks_at_no_mark_by_its_spelling(prompt):
    for t in (T, DE):
        assert "_of_text>" not in _said(prompt, 3, t)
    if prompt == "cat":
        assert Markup(_said(prompt, 3)).striptags() == T("journey.say_context_alone", word="cat")


def test_a_cut_prompt_says_so_at_the_first_station():
    assert _said("cat " * 80, 1) == T("journey.say_tokens_cut", count=75, cut=5)
    assert _said("cat " * 76, 1) == T("journey.say_tokens_cut_one", count=75)
    assert _said("cat", 1) == T("journey.say_tokens", count=1)


def test_syntax_of_other_programs_is_named_at_the_first_station():
    said = Markup(_said("a (cat:1.4)", 1)).striptags()
    assert said.endswith(T("tokens.foreign", parts="(cat:1.4)"))
