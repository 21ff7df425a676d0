import base64
import html
import io
import json
import math
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from gradio.utils import deep_hash
from markupsafe import escape
from PIL import Image

from components.image.tab import draw_run, generate_image
from components.page.picture_tabs import trace_at_hand
from components.runs.files import save_png
from components.runs.frames import Frames, LiveFrames, magnitude_picture, signed_tile
from components.runs.slot import RunSlot
from components.runs.trace_view import facts, film, finished_view, running_view
from components.ui.language import load_texts
from pipelines.image import image, stepper
from pipelines.image.request import ImageRequest, Trace
from pipelines.serving.errors import InputError

T = load_texts("en")


def request(**changes) -> ImageRequest:
    values = {"prompt": "A small cat on a bed.", "num_inference_steps": 3, "model": "classroom-image"}
    return ImageRequest(**(values | changes)).validated()


@pytest.fixture(scope="module")
def trace() -> Trace:
    return image.run(request())


@pytest.fixture(scope="module")
def frames(trace) -> Frames:
    return Frames.of(trace)


def state(page: str) -> str:
    return re.search(r'data-state="(\w+)"', page)[1]


def stored(page: str) -> dict:
    return json.loads(html.unescape(re.search(r'data-frames="([^"]*)"', page)[1]))


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def test_a_run_shows_its_steps_as_they_come_and_then_can_be_scrubbed():
    slot = RunSlot()
    outputs = list(draw_run(request(), None, slot, T))
    pages = [output[0] for output in outputs]
    states = [state(page) for page in pages]
    assert states == ["running"] * (len(pages) - 2) + ["drawn", "done"], "whole before one can scrub"
    counts = [int(re.search(r'<span data-text="count">(\d+)</span>', page)[1]) for page in pages[:-1]]
    assert counts[:2] == [0, 1], "the first estimate is shown at once"
    assert counts == sorted(set(counts))
    for done, page in zip(counts, pages[:-1], strict=True):
        assert page.count("data-step=") == done, "the film strip has every step so far"
    assert all('data-row="empty"' in page for page in pages[1:]), "what the text changes is seen at once"
    trace = outputs[-1][3]
    assert len(trace.steps) == 3
    assert trace.request == request()
    content = stored(pages[-1])
    assert {name: len(row) for name, row in content["rows"].items()} == dict.fromkeys(
        ("guided", "prompt", "empty", "latents"), 3
    )


def test_pictures_decoded_on_the_way_are_those_of_the_whole_trace(trace, frames):
    reel = LiveFrames(trace.request)
    reel.add(trace.steps[:2])
    reel.add(trace.steps[2:])
    in_parts = reel.frames()
    assert in_parts.difference == frames.difference
    assert in_parts.latents == frames.latents
    for row in ("guided", "prompt", "empty"):
        for one, other in zip(getattr(in_parts, row), getattr(frames, row), strict=True):
            difference = np.asarray(opened(one), dtype=int) - np.asarray(opened(other), dtype=int)
            assert np.abs(difference).mean() < 1


def test_every_estimate_is_decoded_once_and_on_the_way_only_what_is_seen(trace, monkeypatch):
    decoded: list[int] = []
    preview = image.preview

    def counted(latents, model):
        decoded.append(len(latents))
        return preview(latents, model)

    monkeypatch.setattr(image, "preview", counted)
    reel, count = LiveFrames(trace.request), len(trace.steps)
    reel.add(trace.steps[:1])
    assert decoded == [3], "guided, with and without the prompt"
    reel.add(trace.steps[1:])
    assert decoded == [3, count - 1 + 2], "the film goes on; of the other two only the last is seen"
    assert len(reel.prompt[-1]) and len(reel.empty[-1]) and len(decoded) == 2
    reel.frames()
    assert sum(decoded) == 3 * count
    reel.frames()
    assert sum(decoded) == 3 * count


def test_stop_ends_the_run_and_keeps_what_was_drawn():
    slot = RunSlot()
    outputs = draw_run(request(num_inference_steps=100), None, slot, T)
    for _ in range(3):
        next(outputs)
    slot.stop()
    page, _, download, trace = list(outputs)[-1]
    assert state(page) == "stopped"
    assert 2 <= len(trace.steps) < 100
    assert download["interactive"] is False, "a picture that is not finished cannot be drawn again"
    assert T("image.stopped", step=len(trace.steps), total=100) in page


def test_a_second_run_silences_the_first():
    slot = RunSlot()
    first = draw_run(request(num_inference_steps=100), None, slot, T)
    next(first), next(first)
    second = list(draw_run(request(seed=1), None, slot, T))
    assert list(first) == [], "the first run would overwrite what the second shows"
    assert second[-1][3].request.seed == 1


def test_one_visitors_stop_leaves_the_others_run_alone():
    mine, theirs = RunSlot(), RunSlot()
    running = draw_run(request(num_inference_steps=5), None, theirs, T)
    next(running)
    mine.begin()
    mine.stop()
    assert len(list(running)[-1][3].steps) == 5


def test_a_visitor_who_leaves_frees_the_engine():
    outputs = draw_run(request(num_inference_steps=100), None, RunSlot(), T)
    next(outputs), next(outputs)
    outputs.close()
    image.run(request(num_inference_steps=1))  # the engine drops closed runs before its next step
    assert stepper.queue_length() == 0


def test_the_same_request_again_is_said_to_give_the_same_picture(trace):
    page = list(draw_run(trace.request, trace, RunSlot(), T))[-1][0]
    assert T("image.repeated", difference=0) in page
    other = list(draw_run(request(seed=7), trace, RunSlot(), T))[-1][0]
    assert T("image.repeated", difference=0) not in other


def test_a_run_that_fails_brings_back_what_was_there(trace):
    slot = RunSlot()
    slot.frames_of(trace)
    outputs = draw_run(ImageRequest("a cat", scheduler="none", model="classroom-image"), trace, slot, T)
    next(outputs)
    page, stop, _, kept = next(outputs)
    assert state(page) == "done"
    assert stop["interactive"] is False
    assert kept is trace
    with pytest.raises(InputError, match="scheduler_unknown"):
        next(outputs)


def test_frames_are_the_decoded_estimates_of_their_steps(trace, frames):
    for uri, step in zip(frames.prompt, trace.steps, strict=True):
        reference = np.asarray(image.decode(step.denoised_prompt, "classroom-image")[0], dtype=float)
        assert np.abs(np.asarray(opened(uri).convert("RGB"), dtype=float) - reference).mean() < 8  # WebP
    last = np.asarray(opened(frames.guided[-1]).convert("RGB"), dtype=float)
    assert np.abs(last - np.asarray(trace.image, dtype=float)).mean() < 8


def test_signed_tile_is_neutral_at_zero_and_full_at_the_limit():
    latents = np.zeros((4, 2, 3))
    latents[1, 0, 0], latents[2, 1, 2] = 2.0, -5.0  # the second lies beyond the limit
    tile = np.asarray(signed_tile(latents, limit=2.0))
    assert tile.shape == (2 * 2 + 1, 2 * 3 + 1, 4)
    assert tuple(tile[0, 0, :3]) == (0xF2, 0xF0, 0xEC)
    assert tuple(tile[0, 4, :3]) == (0x7A, 0x2F, 0x04), "channel 1 is at the top right"
    assert tuple(tile[4, 2, :3]) == (0x05, 0x3A, 0x6B), "channel 2 is at the bottom left"
    assert (tile[2, :, 3] == 0).all()
    assert (tile[:, 3, 3] == 0).all()


def test_magnitude_is_the_length_over_the_channels():
    latents = np.zeros((4, 1, 2))
    latents[:2, 0, 1] = 3.0, 4.0
    picture = np.asarray(magnitude_picture(latents, limit=5.0), dtype=int)
    assert picture.shape == (1, 2, 3)
    assert picture[0, 0].sum() < 150 < 500 < picture[0, 1].sum() + 100


def test_text_from_visitors_is_shown_as_text():
    evil = '<img src=x onerror="alert(1)">'
    page = running_view(LiveFrames(request(prompt=evil, negative_prompt=evil)), T)
    assert "<img src=x" not in page
    assert escape(evil) in page


def test_without_an_unconditional_branch_its_place_says_so(trace):
    from dataclasses import replace

    steps = tuple(replace(step, denoised_empty=None) for step in trace.steps)
    distilled = replace(trace, steps=steps)
    page = finished_view(distilled, Frames.of(distilled), "", T)
    assert T("image.no_branch") in page
    assert "empty" not in stored(page)["rows"]


@pytest.mark.parametrize("total", [1, 2, 25, 26, 100])
def test_film_strip_shows_first_and_last_and_stays_short(total):
    strip = film([f"data:,{i}" for i in range(total)], total, T)
    shown = [int(i) for i in re.findall(r'data-step="(\d+)"', strip)]
    assert shown == sorted(set(shown))
    assert (shown[0], shown[-1]) == (0, total - 1)
    assert len(shown) == min(total, 25)
    assert 1 <= strip.count("data-coarse") <= 6


def test_endpoint_returns_a_png_that_carries_what_it_takes_to_draw_it_again():
    file, parameters = generate_image("a red car", seed=3, num_inference_steps=2)
    with open(file.path, "rb") as png:
        assert image.read_parameters(png.read()) == parameters
    again = image.run(ImageRequest(**parameters))
    assert (np.asarray(again.image) == np.asarray(Image.open(file.path))).all()
    assert (parameters["prompt"], parameters["seed"]) == ("a red car", 3)


def test_png_goes_where_files_are_deleted_again(trace, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert save_png(trace).startswith(str(tmp_path))


def test_a_prompt_of_emoji_only_is_drawn():
    file, _ = generate_image("🐱🛏️👩🏽‍🚀", num_inference_steps=1)
    assert Image.open(file.path).size == (64, 64)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"prompt": ""}, "prompt_empty"),
        ({"prompt": " \n\t"}, "prompt_empty"),
        ({"prompt": None}, "prompt_empty"),
        ({"prompt": "a" * 10_000}, "prompt_too_long"),
        ({"negative_prompt": "a" * 10_000}, "prompt_too_long"),
        ({"seed": -1}, "seed_range"),
        ({"seed": 2**32}, "seed_range"),
        ({"seed": None}, "seed_range"),
        ({"guidance_scale": math.nan}, "guidance_scale_range"),
        ({"guidance_scale": -1}, "guidance_scale_range"),
        ({"guidance_scale": 20.5}, "guidance_scale_range"),
        ({"guidance_scale": "5"}, "guidance_scale_range"),
        ({"num_inference_steps": 0}, "steps_range"),
        ({"num_inference_steps": 2.5}, "steps_range"),
        ({"num_inference_steps": math.inf}, "steps_range"),
        ({"scheduler": "<b>"}, "scheduler_unknown"),
        ({"model": "../secret"}, "model_unknown"),
    ],
)
def test_bad_input_has_a_message_in_both_languages(changes, key):
    with pytest.raises(InputError) as caught:
        generate_image(**({"prompt": "a cat"} | changes))
    assert caught.value.key == key
    for language in ("de", "en"):
        assert load_texts(language)(f"errors.{key}", **caught.value.values)


def test_a_trace_can_live_in_a_state_that_others_listen_to(trace):
    """Gradio hashes such states after every event, and arrays have no hash."""
    assert deep_hash(trace) == deep_hash(trace)
    assert deep_hash(trace) != deep_hash(image.run(request(num_inference_steps=1)))


def test_a_tab_opened_during_a_run_waits_for_what_it_draws():
    slot, wanted = RunSlot(), request(prompt="a blue bird", num_inference_steps=8)
    stream = draw_run(wanted, None, slot, T)
    next(stream)  # begun
    assert slot.busy
    with ThreadPoolExecutor(1) as elsewhere:
        rest = elsewhere.submit(list, stream)
        shown = trace_at_hand(None, request(prompt="a cat"), slot)
        last = rest.result()[-1]
    assert shown is last[-1] is slot.shown[0]
    assert shown.request.prompt == "a blue bird"
    assert trace_at_hand(None, request(prompt="a cat"), RunSlot()) is None


def test_the_facts_say_how_much_of_a_prompt_is_cut():
    assert f"{T('image.fact_cut')} <b" in (line := str(facts(request(prompt="cat " * 80), T)))
    assert ">5</b>" in line
    assert T("image.fact_cut") not in facts(request(prompt="cat " * 75), T)
