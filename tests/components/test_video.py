"""The video tab without a browser: what it draws, how its runs go, what it answers."""

import asyncio
import json
import re
import threading
from dataclasses import replace
from html import unescape
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from components.journey import video_row as video_row
from components.page.api import register
from components.page.prompt_bar import EXAMPLES
from components.runs import files
from components.runs.slot import RunSlot
from components.ui.language import load_texts
from components.video import pair as video_pair
from components.video import run as video_runs
from components.video import tab
from components.video.pair import other_request, pair_run, pair_view
from components.video.sheets import LiveVideo, VideoResult, video_sheet
from components.video.view import HTML, facts, finished_view, inside_view, running_view
from pipelines.serving.errors import InputError
from pipelines.serving.measured import Figure
from pipelines.video import video
from pipelines.video.files import FORMATS
from pipelines.video.latent_tokens import follow, video_tokens
from pipelines.video.request import VideoRequest
from pipelines.video.words import said_motion
from pipelines.world.films import CAMERA_MOTIONS
from tests import loops
from tests.oracles import pixels

EN, DE = load_texts("en"), load_texts("de")
REQUEST = VideoRequest(
    "A cat <b>jumps</b>.",
    seed=5,
    num_inference_steps=3,
    num_frames=4,
    model="classroom-video",
    height=32,
    width=32,
).validated()


@pytest.fixture(scope="module")
def shot() -> VideoResult:
    return video_runs.draw_video(REQUEST)


@pytest.fixture(scope="module")
def apart() -> VideoResult:
    return video_runs.draw_video(replace(REQUEST, motion=False))


def data_of(html: str) -> dict:
    return json.loads(unescape(re.search(r'data-video="([^"]*)"', html)[1]))


def test_every_step_has_a_sheet_with_all_frames_in_order(shot: VideoResult) -> None:
    data = data_of(finished_view(shot, "", EN))
    sheets = data["films"]["main"]
    assert len(sheets) == 3 and len(set(sheets)) == 3 and data["count"] == 4 and data["step"] == 2
    last = pixels(sheets[-1]).reshape(32, 4, 32, 3).transpose(1, 0, 2, 3).astype(int)
    for frame, picture in zip(shot.trace.frames, last, strict=True):
        assert np.abs(np.asarray(frame, int) - picture).mean() < 6  # WebP
    assert "&lt;b&gt;jumps" in finished_view(shot, "", DE) and "<b>jumps" not in finished_view(shot, "", DE)


def test_whoever_looks_back_gets_the_decoders_own_sheets(shot: VideoResult) -> None:
    told = tab._exact(shot)
    assert told is not None and told[0] == shot.run == data_of(finished_view(shot, "", EN))["run"]
    sheets = told[1]["main"]
    for step, sheet, preview in zip(shot.trace.steps, sheets, shot.sheets, strict=True):
        decoded = np.concatenate(video.decode(step.denoised, REQUEST.model), axis=1).astype(int)
        assert np.abs(decoded - pixels(sheet)).mean() < 6, "WebP"
        # through the linear map: near, but for the last one not the same
        assert (sheet == preview) == step.last and np.abs(decoded - pixels(preview)).mean() < 40
    assert tab._exact(None) is None


def test_a_sheet_of_many_frames_shows_some_from_the_first_to_the_last() -> None:
    frames = [Image.new("RGB", (8, 8), (10 * i, 0, 0)) for i in range(9)]
    found = pixels(video_sheet(frames, 3))[4, [4, 12, 20], 0].astype(int)
    np.testing.assert_allclose(found, [0, 40, 80], atol=6)


def test_the_script_finds_what_the_pipeline_finds_when_a_token_is_picked_up(shot: VideoResult) -> None:
    """The bytes in the page lead to the same most similar tokens as the pipeline's numbers."""
    tokens, data = video_tokens(shot.trace), data_of(inside_view(shot, EN))
    frames, height, width = tokens.values.shape[:3]
    assert data["grid"] == [height, width] and data["channels"] == 4
    features = (pixels(data["features"]).astype(int) - 128) / 127
    values = (pixels(data["values"]).astype(int) - 128) / 127 * data["limit"]
    frame, y, x = data["picked"]
    row = (frame * height + y) * width + x
    similar = (features @ features[row]).reshape(frames, -1)
    found = follow(tokens, frame, y, x)
    assert np.abs(similar.max(1) - found[:, 2]).max() < 0.03
    exact = tokens.features.reshape(frames, height * width, -1) @ tokens.features[frame, y, x]
    for f in range(frames):
        assert exact[f, similar[f].argmax()] > found[f, 2] - 0.03
    np.testing.assert_allclose(values[row], tokens.values[frame, y, x].clip(-4, 4), atol=0.02)
    looks = pixels(data["looks"])[y * width + x].reshape(frames, frames) / 255 * data["most"]
    np.testing.assert_allclose(looks, tokens.looks[y, x], atol=0.003)


def test_maps_of_all_blocks_stand_side_by_side_for_every_step(shot: VideoResult, apart: VideoResult) -> None:
    html = inside_view(shot, EN)
    sheets = data_of(html)["films"]["attention"]
    assert len(sheets) == 3 and all(pixels(sheet).shape[:2] == (4, 6 * 4) for sheet in sheets)
    most = np.max([step.inside.frames.max((1, 2)) for step in shot.trace.steps], axis=0)  # of each block
    light = pixels(sheets[0]).astype(int).sum(-1).reshape(4, 6, 4)
    looks = shot.trace.steps[0].inside.frames.transpose(1, 0, 2) / most[:, None]
    assert np.corrcoef(light.ravel(), looks.ravel())[0, 1] > 0.97
    assert html.count('class="map"') == 6 and "Down 1" in html and "Abwärts 1" in inside_view(shot, DE)
    off = inside_view(apart, EN)
    assert EN("video.attention_none") in unescape(off) and "features" not in data_of(off)


def test_a_run_shows_all_frames_at_every_step_and_ends_with_the_film(shot: VideoResult) -> None:
    slot, reels = RunSlot(), []
    views = list(
        video_runs.video_run(
            REQUEST, slot, lambda reel: (len(reel.steps), running_view(reel, EN)), lambda s: ("done", s),
            lambda: ("nothing",),
        )
    )  # fmt: skip
    assert views[0][0] == 0 and EN("video.waiting") in views[0][1]
    reels = [view[0] for view in views[1:-1]]
    assert reels == sorted(reels) and 1 <= len(reels) <= 3
    data = data_of(views[1][1])
    assert data["count"] == 4 and pixels(data["films"]["main"][0]).shape == (32, 4 * 32, 3)
    assert [f.tobytes() for f in views[-1][1].trace.frames] == [f.tobytes() for f in shot.trace.frames]
    assert slot.current.finished


def test_a_stopped_run_shows_what_was_there_and_saves_no_file(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    slot = RunSlot()
    run = video_runs.video_run(
        replace(REQUEST, num_inference_steps=40), slot, lambda reel: (len(reel.steps),), lambda s: s,
        lambda: ("nothing",),
    )  # fmt: skip
    while next(run)[0] == 0:
        pass
    slot.stop()
    (*_, stopped) = run
    assert isinstance(stopped, VideoResult) and 1 <= len(stopped.trace.steps) < 40
    shown = tab._show(stopped, tab._remark(stopped, EN), EN)
    assert 'data-state="stopped"' in shown[0] and "of 40" in shown[0]
    assert not any(update["interactive"] for update in shown[4:7])
    assert not list(tmp_path.rglob("*.mp4"))


def test_a_new_run_silences_the_one_before() -> None:
    slot = RunSlot()
    first = video_runs.video_run(
        REQUEST, slot, lambda r: ("one", len(r.steps)), lambda s: ("one", s), lambda: ()
    )
    next(first)
    second = video_runs.video_run(REQUEST, slot, lambda r: ("two",), lambda s: ("two",), lambda: ())
    assert list(second)[-1] == ("two",)
    assert list(first) == []


def test_files_are_written_once_and_off_the_event_loop(
    shot: VideoResult, monkeypatch, tmp_path: Path
) -> None:
    """Gradio runs a handler that is no coroutine in a thread of its own: encoding keeps nobody waiting."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    threads: list[int] = []
    save = files.video_bytes

    def noted(*args, **kwargs):
        threads.append(threading.get_ident())
        return save(*args, **kwargs)

    monkeypatch.setattr(files, "video_bytes", noted)
    with gr.Blocks() as demo:
        box = gr.State(shot)
        gr.Button().click(lambda s: tab._show(s, "", EN)[4]["value"], box, gr.Textbox())

    async def click() -> tuple[int, dict]:
        answer = await demo.process_api(0, [None], state=None)
        return threading.get_ident(), answer

    loop, answer = loops.run(click())
    assert len(threads) == 3 and loop not in threads
    assert Path(answer["data"][0]).suffix == ".mp4"
    paths = [Path(files.save_video(shot.trace, kind)) for kind in FORMATS]
    assert [p.suffix[1:] for p in paths] == list(FORMATS) and all(p.is_relative_to(tmp_path) for p in paths)
    assert not asyncio.iscoroutinefunction(tab.generate_video)


@pytest.mark.parametrize(
    "lever, motion, later, frame, expected",
    [
        ("off", "", "", 2, {"motion": False}),
        ("word", "falls", "", 2, {"prompt": "A cat falls."}),
        ("later", "", "A red car.", 3, {"later": ((1, "A cat jumps."), (2, "A red car."))}),
        ("later", "", "A red car.", 2, {"later": ((1, "A red car."),)}),
    ],
)
def test_one_lever_changes_one_thing(lever, motion, later, frame, expected) -> None:
    request = replace(REQUEST, prompt="A cat jumps.")
    assert other_request(request, lever, motion, later, frame) == replace(request, **expected)


@pytest.mark.parametrize(
    "lever, motion, later, frame, key",
    [
        ("word", "jumps", "", 2, "word_same"), ("later", "", " ", 3, "film_prompt_empty"),
        ("later", "", "a dog", 9, "schedule_frame"), ("sound", "", "", 2, "film_lever_unknown"),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_refused(lever, motion, later, frame, key) -> None:
    with pytest.raises(InputError) as refused:
        other_request(replace(REQUEST, prompt="A cat jumps."), lever, motion, later, frame)
    assert refused.value.key == key


def test_a_film_that_is_there_already_silences_the_one_under_way(
    shot: VideoResult, apart: VideoResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = RunSlot()
    drawing = pair_run("word", "walks left", "", 2, shot, slot, None, EN)
    next(drawing)
    monkeypatch.setattr(video_pair, "example_video", lambda request: apart)
    ((_, _, pair),) = pair_run("off", "", "", 2, shot, slot, None, EN)
    assert pair.other is apart
    assert list(drawing) == [], "it would write over the pair that was asked for"


def test_a_pair_starts_from_the_same_noise_and_says_what_the_world_itself_reaches(shot: VideoResult) -> None:
    slot = RunSlot()
    *_, (page, _, pair) = pair_run("off", "", "", 2, shot, slot, None, EN)
    assert pair.one is shot and pair.other.trace.request == replace(REQUEST, motion=False)
    data = data_of(page)
    assert set(data["films"]) == {"one", "other"} and page.count('class="matrix"') == 2
    assert page.count(EN("video.consistency")) == 2 and page.count("<dl") == 2
    assert "jumps" in re.search(r'<p class="real">(.*?)</p>', page)[1]
    assert pair_view(pair, DE).count('class="strip"') == 2
    with pytest.raises(InputError, match="film_missing"):
        next(pair_run("off", "", "", 2, None, slot, None, EN))


def test_a_long_run_is_asked_about_first_and_drawn_on_the_second_click() -> None:
    draw, _ = tab._handlers(EN)
    values = ("a cat", 30, 81, "wan-2.1-1.3b", "", None, RunSlot(), "", 0, 5.0)
    (asked,) = draw(*values)
    assert "Wan" in asked[2] and "minutes" in asked[2] and asked[-2]
    slow, _ = tab._chosen(DE)("animatediff-v1-5-3", 25)
    assert "3,6 GB" in slow and "Teraflop" in slow
    assert tab._chosen(DE)("classroom-video", 12)[0] == ""


def test_a_film_remembers_its_prompt_as_plain_text_to_be_held_against_the_field() -> None:
    prompt = 'a "cat" <b>runs</b>'
    page = HTML.facts(facts(replace(REQUEST, prompt=prompt), EN), EN)
    found = re.search(r'data-drawn-from="([^"]*)"', page)
    assert found and unescape(found[1]) == prompt


def test_opening_the_tab_leaves_the_stop_button_to_the_run(
    shot: VideoResult, monkeypatch, tmp_path: Path
) -> None:
    """Between asking whether a film is being drawn and answering, a visitor may have begun one."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(tab, "example_video", lambda request: shot)
    _, enter = tab._handlers(EN)
    stop = 3
    slot = RunSlot()
    first = video_runs.first_request()
    bar = (first.negative_prompt, first.seed, first.guidance_scale)
    values = (first.prompt, 12, 16, "classroom-video", "", None, slot, *bar)
    (opened,) = enter(*values)
    assert opened[stop] == gr.skip() and opened[-1] is shot and EN("video.example") in opened[0]
    assert tab._show(shot, "", EN)[stop] == gr.update(interactive=False)  # as at the end of a run
    run = video_runs.video_run(REQUEST, slot, lambda r: ("one",), lambda s: ("one",), lambda: ())
    next(run)
    assert list(enter(*values)) == [(gr.skip(),) * 9]
    run.close()


def test_the_endpoint_answers_with_a_file_and_its_numbers(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    file, told = tab.generate_video(
        "A dog falls.", later=[[2, "A red car."]], num_inference_steps=2, num_frames=4, format="webp"
    )
    assert Path(file.path).suffix == ".webp" and file.mime_type == "image/webp"
    assert len(told["similarity"]) == 4 and len(told["attention"]) == len(told["blocks"]) == 6
    assert 0 <= told["consistency"] <= 1 and isinstance(told["moves"], bool)
    again = VideoRequest(**told["parameters"]).validated()
    assert again.later == ((2, "A red car."),)
    assert (
        tab.generate_video("A dog.", num_inference_steps=1, num_frames=2, motion=False)[1]["attention"] == []
    )
    for change, key in (
        ({"num_frames": 0}, "frames_range"), ({"num_frames": 500}, "frames_range"),
        ({"format": "avi"}, "film_format_unknown"), ({"later": [[3, "a"], [1, "b"]]}, "schedule_order"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=key):
            tab.generate_video(**change)


def test_the_endpoint_is_still_found_under_its_name_before() -> None:
    with gr.Blocks() as demo:
        register(tab.API)
    named = demo.get_api_info()["named_endpoints"]
    assert named["/generate_film"] == named["/generate_video"]
    queues = {f.api_name: (f.concurrency_id, f.concurrency_limit) for f in demo.fns.values()}
    assert queues["generate_film"] == queues["generate_video"]


def test_a_full_disk_reaches_the_visitor_as_a_sentence(
    shot: VideoResult, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    path = Path(files.save_video(shot.trace, "gif"))
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(InputError) as refused:
        files.save_video(shot.trace, "gif")
    assert "disk" in EN(f"errors.{refused.value.key}", **refused.value.values)
    path.symlink_to("/dev/full")
    with pytest.warns(UserWarning, match="disk of the machine that serves this page is full"):
        page, *_, mp4, gif, webp, _, kept = tab._show(shot, "", EN)
    assert kept is shot and "film-view" in str(page)
    assert not any(button["interactive"] for button in (mp4, gif, webp))


def test_the_journeys_station_takes_the_bars_prompt_and_says_what_it_added() -> None:
    request = video_row.video_request("A small cat on a bed.", 4)
    assert request.prompt == "A small cat on a bed, camera zooms in." and request.seed == 4
    for example in EXAMPLES:  # no thing is told to do what it cannot do
        assert said_motion(video_row.video_request(example.prompt, 0).prompt) in CAMERA_MOTIONS
    assert video_row.video_request("a dog jumps", 0).prompt == "a dog jumps"
    with pytest.raises(InputError, match="film_prompt_empty"):
        video_row.video_request(" ", 0)
    reel = LiveVideo(replace(REQUEST, prompt=request.prompt))
    for step in video.generate(reel.request):
        reel.add(step)
        assert "Step" in video_row.running_video(reel, EN)
    page = video_row.video_station(reel.result(), "A small cat on a bed.", DE)
    assert 'data-door="video"' in page and "camera zooms in" in page and 'class="moving"' in page
    assert EN("journey.say_video_added", motion="camera zooms in") not in video_row.video_station(
        reel.result(), request.prompt, EN
    )


def test_what_was_measured_is_said_with_its_sample_size_or_not_at_all(monkeypatch) -> None:
    monkeypatch.setattr(video_pair, "figure", lambda name: None)
    assert video_pair.measured_text(EN) == EN("video.not_measured")
    row = Figure("video.motion", 0.825, 0.8, 72, (0.72, 0.9), True)
    monkeypatch.setattr(video_pair, "figure", lambda name: row)
    assert "72 prompts" in video_pair.measured_text(EN) and "0,82 " in video_pair.measured_text(DE)
    assert EN("video.judge_weak") not in video_pair.measured_text(EN)
    monkeypatch.setattr(video_pair, "figure", lambda name: replace(row, judge=("motion",)))
    assert EN("video.judge_weak") in video_pair.measured_text(EN)


def test_levers_are_texts_in_both_languages() -> None:
    for t in (EN, DE):
        assert all(t(f"video.lever_{name}") and t(f"video.side_{name}") for name in video_pair.LEVERS)
        assert len({video_pair.motion_label(name, t) for name in tab.MOTIONS}) == len(tab.MOTIONS)


@pytest.mark.slow
def test_the_first_film_falls_apart_without_attention_between_frames() -> None:
    held, apart = (video_runs.compute_example_video(motion).measures for motion in (True, False))
    assert apart.change > 3 * held.change
    assert apart.consistency < held.consistency
