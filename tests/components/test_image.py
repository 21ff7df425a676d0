import base64
import io
import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from gradio.utils import deep_hash, diff
from markupsafe import escape
from PIL import Image

from components.image.tab import draw_run, generate_image
from components.page.picture_tabs import trace_at_hand
from components.runs.files import save_png
from components.runs.frames import Frames
from components.runs.slot import RunSlot
from components.runs.trace_data import exact_pictures
from components.runs.trace_view import facts, finished_view, running_view
from components.ui.language import load_texts
from pipelines.image import image, stepper
from pipelines.image.request import ImageRequest, Trace
from pipelines.serving.errors import InputError
from tests.oracles import unpacked

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


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def test_a_run_shows_its_steps_as_they_come_and_then_can_be_scrubbed():
    slot = RunSlot()
    outputs = list(draw_run(request(), None, slot, T))
    pages = [output[0] for output in outputs]
    assert [page["state"] for page in pages] == ["running"] * (len(pages) - 1) + ["done"]
    counts = [len(page["times"]) for page in pages]
    assert counts[:2] == [0, 1], "the first estimate is shown at once"
    assert counts == sorted(counts) and counts[-1] == 3
    assert len({page["html"] for page in pages}) == len({page["run"] for page in pages}) == 1
    trace = outputs[-1][3]
    assert len(trace.steps) == 3 and trace.request == request()
    rows = {name: len(row) for name, row in pages[-1]["latents"].items()}
    assert rows == {"noisy": 4, "guided": 3, "prompt": 3, "empty": 3}, "first the noise before the first step"


def test_the_latents_on_the_page_are_those_of_the_trace(trace, frames):
    told = finished_view(trace, frames, "", T)
    noisy = [trace.steps[0].start, *(step.latents for step in trace.steps)]
    for name, row in {"noisy": noisy, "guided": [step.denoised_guided for step in trace.steps]}.items():
        for text, latents in zip(told["latents"][name], row, strict=True):
            assert tuple(told["grid"]) == latents.shape
            bound = np.abs(latents).max() / 127
            np.testing.assert_allclose(unpacked(text).reshape(latents.shape), latents, atol=0.51 * bound)


def test_a_whole_picture_takes_150_kilobytes_of_the_network_and_says_nothing_twice():
    pages = [output[0] for output in draw_run(request(num_inference_steps=20), None, RunSlot(), T)]
    changes = [json.dumps(diff(old, new)) for old, new in pairwise(pages)]
    assert len(json.dumps(pages[0])) + sum(map(len, changes)) < 150_000
    for latents in pages[-1]["latents"]["guided"]:
        assert sum(latents in change for change in changes) == 1


def test_what_is_decoded_is_what_somebody_looks_at_and_once(trace, monkeypatch):
    decoded: list[int] = []
    decode = image.decode

    def counted(latents, model):
        decoded.append(len(latents))
        return decode(latents, model)

    monkeypatch.setattr(image, "decode", counted)
    frames = Frames(trace.request)
    frames.add(trace.steps)
    running_view(frames, T)
    assert decoded == []
    finished_view(trace, frames, "", T)
    assert decoded == [3], "of the last step; the picture itself is there already"
    rows = exact_pictures(frames)
    assert {name: len(row) for name, row in rows.items()} == {
        "noisy": 4,
        "guided": 3,
        "prompt": 3,
        "empty": 3,
    }
    assert sum(decoded) == 4 + 3 * 3 - 1
    exact_pictures(frames)
    assert len(decoded) == 2


def test_stop_ends_the_run_and_keeps_what_was_drawn():
    slot = RunSlot()
    outputs = draw_run(request(num_inference_steps=100), None, slot, T)
    for _ in range(3):
        next(outputs)
    slot.stop()
    page, _, download, trace = list(outputs)[-1]
    assert page["state"] == "stopped"
    assert 2 <= len(trace.steps) < 100
    assert download["interactive"] is False, "a picture that is not finished cannot be drawn again"
    assert page["remark"] == T("image.stopped", step=len(trace.steps), total=100)


def test_a_picture_that_cannot_be_written_is_shown_all_the_same(trace, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    path = Path(save_png(trace))
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.warns(UserWarning, match="disk of the machine that serves this page is full"):
        page, _, download, kept = list(draw_run(request(), None, RunSlot(), T))[-1]
    assert page["state"] == "done" and np.array_equal(kept.image, trace.image)
    assert download["value"] is None and download["interactive"] is False
    assert list(draw_run(request(), None, RunSlot(), T))[-1][2]["value"] == str(path), "there is room again"


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
    assert page["remark"] == T("image.repeated", difference=0)
    other = list(draw_run(request(seed=7), trace, RunSlot(), T))[-1][0]
    assert other["remark"] == ""


def test_a_run_that_fails_brings_back_what_was_there(trace):
    slot = RunSlot()
    slot.frames_of(trace)
    outputs = draw_run(ImageRequest("a cat", scheduler="none", model="classroom-image"), trace, slot, T)
    next(outputs)
    page, stop, _, kept = next(outputs)
    assert page["state"] == "done"
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


def test_text_from_visitors_is_shown_as_text():
    evil = '<img src=x onerror="alert(1)">'
    page = running_view(Frames(request(prompt=evil, negative_prompt=evil)), T)["html"]
    assert "<img src=x" not in page
    assert escape(evil) in page


def test_without_an_unconditional_branch_its_place_says_so(trace):
    steps = tuple(replace(step, denoised_empty=None) for step in trace.steps)
    distilled = replace(trace, steps=steps)
    told = finished_view(distilled, Frames.of(distilled), "", T)
    assert told["texts"]["no_branch"] == T("image.no_branch")
    assert told["latents"]["empty"] == [] and "empty" not in told["exact"]


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
