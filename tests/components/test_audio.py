"""The audio tab without a browser: what the players are told, while a run goes on and after it."""

import base64
import io
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import soundfile

from components.audio import clip as audio_clip
from components.audio import pair as audio_pair
from components.audio import tab
from components.audio.run import AudioResult, LiveAudio, compute_audio, made_message, request_of, show_audio
from components.audio.view import HTML, code_colours
from components.journey.audio_row import audio_station, waiting_audio
from components.runs.files import save_wav
from components.runs.slot import RunSlot
from components.ui.language import load_texts
from pipelines.audio import audio
from pipelines.audio import files as sounds
from pipelines.audio.audio import generate
from pipelines.audio.inside import guess_of, look_inside
from pipelines.audio.request import AudioRequest
from pipelines.serving import loading
from pipelines.serving.errors import InputError

EN, DE = load_texts("en"), load_texts("de")
MODEL = "classroom-audio"
REQUEST = AudioRequest("a <b>slow</b> piano", seed=5, seconds=1.4, model=MODEL).validated()
FRAMES, BOOKS = 70, 4


@pytest.fixture(scope="module")
def made() -> AudioResult:
    found = compute_audio(REQUEST)
    assert found is not None
    return found


def messages(feed: str) -> list[dict]:
    return json.loads(unescape(re.search(r'data-sounds="([^"]*)"', feed)[1]))


def unpack(text: str, kind: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape or -1)


def test_the_player_hears_and_sees_what_the_pipeline_made(made: AudioResult) -> None:
    m = made_message(made, "p", EN)
    assert (m["frames"], m["hop"], m["rate"], m["delay"], m["play"]) == (FRAMES, 320, 50, True, False)
    samples = sounds.limited(made.sound.samples)
    np.testing.assert_allclose(unpack(m["pcm"], "<i2") / 32767, samples, atol=1e-4)
    expected = sounds.spectrogram(made.sound.samples, 16_000, 50)
    assert np.array_equal(unpack(m["levels"], "u1", FRAMES, -1), expected)
    steps = FRAMES + BOOKS - 1
    chosen = unpack(m["chosen"], "<i2", steps, BOOKS)
    for book in range(BOOKS):
        assert np.array_equal(chosen[book : book + FRAMES, book], made.sound.codes[book])
    frames = list(generate(REQUEST))
    shares = unpack(m["shares"], "<u2", steps, 3, BOOKS, m["ranks"]) / 65535
    np.testing.assert_allclose(shares[9], guess_of(frames[9]).shares, atol=1e-5)
    assert np.array_equal(unpack(m["ranked"], "<i2", steps, BOOKS, m["ranks"])[9], guess_of(frames[9]).codes)
    looks = look_inside(made.sound).looks
    np.testing.assert_allclose(unpack(m["looks"], "u1", FRAMES, -1) / 255, looks / looks.max(), atol=0.003)
    assert [w["text"] for w in m["words"]][-1] == EN("audio.player.end") and m["kind"] == "done"


def test_messages_of_a_run_overlap_and_together_are_the_whole() -> None:
    slot = RunSlot()
    shown = list(show_audio(replace(REQUEST, seconds=3.0), None, None, slot, "p", EN))
    told = [messages(feed)[0] for feed, _, _ in shown]
    assert [m["kind"] for m in told] == ["wait", *["live"] * 6, "done"]
    assert [running for _, _, running in shown] == [True] * 7 + [False]
    whole = unpack(told[-1]["pcm"], "<i2")
    for skipped in (0, 1, 2):  # the browser may leave messages out
        pcm, chosen = np.zeros_like(whole), np.full((153, BOOKS), -1)
        have = 0
        for m in told[1 + skipped : -1 : skipped + 1]:
            piece = unpack(m["pcm"], "<i2")
            assert m["sample"] <= have or not have
            pcm[m["sample"] : m["sample"] + len(piece)] = piece
            have = m["sample"] + len(piece)
            part = unpack(m["chosen"], "<i2", m["steps"], BOOKS)
            chosen[m["step"] : m["step"] + m["steps"]] = part
    assert np.array_equal(pcm[:have], whole[:have])
    levels = unpack(told[-1]["levels"], "u1", 150, -1)
    last = told[-2]
    begin = last["sample"] // 320
    piece = unpack(last["levels"], "u1").reshape(-1, levels.shape[1])
    assert np.array_equal(piece, levels[begin : begin + len(piece)])
    assert len({m["id"] for m in told[1:]}) == 1 and all(m["play"] for m in told[1:])
    assert slot.current is not None and slot.current.finished


def test_a_stop_leaves_what_was_made_and_it_can_be_saved() -> None:
    slot = RunSlot()
    run = show_audio(REQUEST, None, None, slot, "p", DE)
    next(run), next(run)
    slot.stop()
    feed, made, running = list(run)[-1]
    assert made is not None and not running and not made.whole
    message = messages(feed)[0]
    assert message["kind"] == "stopped" and 20 <= message["frames"] < FRAMES
    assert DE("audio.stopped").split("{")[0] in message["text"]
    samples, _ = soundfile.read(io.BytesIO(sounds.wav_with_parameters(made.sound)))
    assert len(samples) == message["frames"] * 320


def test_a_run_that_brings_nothing_gives_back_what_was_there(made: AudioResult) -> None:
    slot = RunSlot()
    run = show_audio(replace(REQUEST, seed=9), None, made, slot, "p", EN)
    next(run)
    slot.stop()
    feed, kept, _ = list(run)[-1]
    assert kept is made and messages(feed)[0]["id"] == made.id
    run = show_audio(replace(REQUEST, seed=9), None, None, RunSlot(), "p", EN)
    next(run)
    broken = show_audio(REQUEST, np.zeros((2, 2), int), made, RunSlot(), "p", EN)
    next(broken)
    assert next(broken)[1] is made
    with pytest.raises(InputError, match="clip_codes_foreign"):
        next(broken)


def test_a_newer_run_silences_the_older_and_leaving_ends_it() -> None:
    slot = RunSlot()
    old = show_audio(REQUEST, None, None, slot, "p", EN)
    next(old), next(old)
    newer = show_audio(replace(REQUEST, seed=6), None, None, slot, "p", EN)
    next(newer)
    assert list(old) == []
    newer.close()
    assert slot.current is not None and slot.current.finished


def test_a_clip_is_marked_and_gone_on_from(made: AudioResult) -> None:
    given = made.sound.codes[:, :20]
    shown = list(show_audio(replace(REQUEST, seconds=0.4), given, None, RunSlot(), "p", EN))
    message, result = messages(shown[-1][0])[0], shown[-1][1]
    assert message["given"] == 20 and message["frames"] == 40 and message["step"] == 20
    assert np.array_equal(unpack(message["givenCodes"], "<i2", BOOKS, 20), given)
    assert "0.4 s are your clip" in message["text"]
    assert result is not None and sounds.parameters(result.sound)["clip_seconds"] == 0.4


@pytest.mark.parametrize("t", [EN, DE])
def test_codebooks_are_heard_apart(made: AudioResult, t) -> None:
    one, all_of_them = (tab.books_message(made, k, t) for k in (1, 9))
    expected = sounds.pcm(audio.hear(made.sound.codes[:1], MODEL))
    assert np.array_equal(unpack(one["pcm"], "<i2"), expected) and one["books"] == 1 and one["play"]
    assert np.array_equal(unpack(all_of_them["pcm"], "<i2"), sounds.pcm(made.sound.samples))
    assert one["id"] == made.id and str(BOOKS) in one["text"]


def test_buttons_and_files_follow_the_run(made: AudioResult) -> None:
    run = list(tab.audio_run(REQUEST, None, None, RunSlot(), EN))
    assert run[0][1] == gr.update(interactive=True)
    feed, stop, download, books, result = run[-1]
    assert messages(feed)[0]["play"] and stop == gr.update(interactive=False) and books == tab.BOOKS
    with open(download["value"], "rb") as file:
        assert sounds.read_parameters(file.read()) == (REQUEST, 0.0)
    assert np.array_equal(result.sound.codes, made.sound.codes)


def test_a_sound_that_cannot_be_written_is_heard_all_the_same(
    made: AudioResult, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    path = Path(save_wav(made.sound))
    for shown in (lambda: tab._shown(made, EN), lambda: audio_station(made, EN)):
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/full")
        with pytest.warns(UserWarning, match="disk of the machine that serves this page is full"):
            page = shown()
        if isinstance(page, str):
            assert "<audio" not in page and "<img" in page
        else:
            assert messages(page[0])[0]["pcm"] and page[2]["interactive"] is False
    assert "<audio" in audio_station(made, EN)


def test_opening_the_tab_never_plays(made: AudioResult) -> None:
    enter = tab._handlers(EN)[1]
    values = [REQUEST.prompt, 5, 3.0, 1.0, 64, 1.4, MODEL, "transformers"]
    again = list(enter(*values, made, RunSlot()))
    assert len(again) == 1 and not messages(again[0][0])[0]["play"]
    fresh = list(enter(*values, None, RunSlot()))
    assert not any(m.get("play") for row in fresh for m in messages(row[0]))
    assert messages(fresh[-1][0])[0]["kind"] == "done"


def test_coming_back_to_the_tab_leaves_a_run_alone(made: AudioResult) -> None:
    slot = RunSlot()
    run = show_audio(REQUEST, None, None, slot, tab.PLAYER, EN)
    next(run), next(run)
    values = [REQUEST.prompt, 5, 3.0, 1.0, 64, 1.4, MODEL, "transformers"]
    assert list(tab._handlers(EN)[1](*values, made, slot)) == [(gr.skip(),) * 5]
    assert list(run)[-1][1] is not None


def test_what_visitors_type_stays_text(made: AudioResult) -> None:
    feed, *_ = tab._shown(made, EN)
    assert "<b>slow" not in feed and "<b>slow</b>" in messages(feed)[0]["text"]
    assert "<b>slow" not in audio_station(made, EN)


@pytest.mark.parametrize("t", [EN, DE])
def test_the_pages_parts_are_there_in_both_languages(t, made: AudioResult) -> None:
    page = HTML.player("", "x", t) + HTML.guess(t)
    for name in ("play", "time", "status", "tracks", "grid", "rows", "looks", "words", "wave", "pitches",
                 "head", "silent", "cell", "loupe", "bars", "rest"):  # fmt: skip
        assert f"data-{name}" in page, name
    assert HTML.levels(t).count("<tr>") == 4
    assert 'data-door="audio"' in waiting_audio(t) and 'data-state="done"' in audio_station(made, t)


def test_the_licence_stands_where_the_model_is_chosen() -> None:
    assert "CC-BY-NC-4.0" in tab.licence_text("musicgen-small", EN)
    assert "nicht kommerziell" in tab.licence_text("musicgen-small", DE)
    assert "2.4" in tab.licence_text("musicgen-small", EN)
    assert "non-commercial" not in tab.licence_text(MODEL, EN)
    model = tab._handlers(EN)[4]
    assert model(MODEL)[0]["choices"][0] == "transformers" or model(MODEL)[0]["choices"]


def test_a_backend_of_another_model_gives_way() -> None:
    assert request_of("a", 0, 3, 1, 64, 1, MODEL, "bark").backend == "transformers"


def test_three_sounds_are_compared() -> None:
    run = list(audio_pair.pair_run(replace(REQUEST, seconds=0.4), "fast drums", RunSlot(), None, EN))
    assert [m["kind"] for m in messages(run[0][0])] == ["wait"] * 3
    told = messages(run[-1][0])
    assert [m["player"] for m in told] == list(audio_pair.PLAYERS)
    assert "fast drums" in told[1]["text"] and "seed 6" in told[2]["text"]
    assert "Of 80 codes" in run[-1][2]
    alone = audio.run(replace(REQUEST, seconds=0.4, seed=6))
    assert np.array_equal(unpack(told[2]["pcm"], "<i2"), sounds.pcm(alone.samples))
    requests = [replace(REQUEST, seconds=0.2, seed=s) for s in (1, 2)]
    first, other = map(compute_audio, requests)
    assert audio_pair.same_codes(first, first) == 1 > audio_pair.same_codes(first, other)


def test_a_stopped_comparison_says_so() -> None:
    slot = RunSlot()
    run = audio_pair.pair_run(replace(REQUEST, seconds=1.0), "b", slot, None, DE)
    next(run), next(run)
    slot.stop()
    feed, _, verdict, _ = list(run)[-1]
    assert DE("audio.pair.stopped") in unescape(verdict)
    assert [told["text"] for told in messages(feed)] == [""] * 3, "the players would wait for ever"


def test_a_comparison_that_never_begins_leaves_no_player_waiting() -> None:
    slot = RunSlot()
    run = audio_pair.pair_run(replace(REQUEST, seconds=1.0), "b", slot, None, DE)
    assert [told["text"] for told in messages(next(run)[0])] == [DE("audio.reading")] * 3
    slot.stop()
    assert [told["text"] for told in messages(list(run)[-1][0])] == [""] * 3


@pytest.mark.parametrize("begun", [False, True])
def test_of_a_comparison_that_is_stopped_the_one_before_comes_back(begun: bool) -> None:
    slot = RunSlot()
    *_, (feed, _, verdict, made) = audio_pair.pair_run(replace(REQUEST, seconds=0.2), "b", slot, None, EN)
    run = audio_pair.pair_run(replace(REQUEST, seconds=1.0), "c", slot, made, EN)
    next(run)
    if begun:
        next(run)
    slot.stop()
    again, stop, said, kept = list(run)[-1]
    assert again == feed and stop["interactive"] is False and kept == gr.skip()
    assert re.sub("<.*?>", "", verdict).strip() in said
    assert (EN("audio.pair.stopped_back") in said) is begun


def test_a_comparison_that_another_overtakes_writes_nothing_more() -> None:
    slot = RunSlot()
    first = audio_pair.pair_run(replace(REQUEST, seconds=1.0), "b", slot, None, EN)
    next(first), next(first)
    second = audio_pair.pair_run(replace(REQUEST, seconds=1.0), "c", slot, None, EN)
    next(second)
    assert list(first) == [], "it would switch off the stop button of the second"
    second.close()
    assert not slot.busy


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV")
    return buffer.getvalue()


def test_a_clip_from_a_visitor_becomes_codes(upload) -> None:
    clip = audio_clip.open_sent(upload(wav(np.sin(np.arange(48_000) * 0.1), 48_000), "a.wav"), MODEL)
    assert len(clip.samples) == 16_000
    assert clip.codes_for(MODEL).shape == (BOOKS, 50)
    assert tab.codes_of(clip, MODEL).shape == (BOOKS, 50)
    with pytest.raises(InputError, match="clip_missing"):
        tab.codes_of(None, MODEL)
    for path in ("/etc/passwd", None, {"path": "../x"}):
        with pytest.raises(InputError, match="clip_not_uploaded"):
            audio_clip.open_sent(path, MODEL)


def test_the_world_lends_a_clip() -> None:
    _, drawn = audio_clip._handlers(EN)
    status, button, clip = drawn(MODEL)
    assert "3.0 s" in status and button == gr.update(interactive=True) and len(clip.samples) == 48_000


def test_a_program_makes_a_sound_and_goes_on_from_it(upload, monkeypatch) -> None:
    file, facts = tab.generate_audio("a cat", 3, seconds=0.4, model=MODEL)
    assert facts["seconds"] == 0.4 and np.array(facts["codes"]).shape == (BOOKS, 20)
    with open(file.path, "rb") as written:
        data = written.read()
    assert sounds.read_parameters(data)[0].seed == 3
    _, on = tab.generate_audio("a cat", 3, seconds=0.4, clip=upload(data, "b.wav"))
    assert on["clip_seconds"] == 0.4 and np.array(on["codes"]).shape == (BOOKS, 40)
    for bad, key in (
        ({"seconds": 600}, "seconds_range"),
        ({"clip": upload(b"film", "c.wav")}, "clip_not_supported"),
    ):
        with pytest.raises(InputError, match=key):
            tab.generate_audio("a cat", **bad)


def test_colours_of_codes_are_those_of_the_browser() -> None:
    """Against what Chromium paints for the `oklch(0.7 0.13 …)` of `player.js`."""
    found = code_colours(np.array([[0, 1, 2], [3, 200, 255]]))
    painted = [
        [[223, 122, 155], [117, 177, 94], [135, 151, 239]],
        [[221, 133, 76], [109, 178, 101], [104, 179, 105]],
    ]
    assert found.dtype == np.uint8 and np.abs(found.astype(int) - painted).max() <= 1


def test_a_progress_tells_only_of_its_own(made: AudioResult) -> None:
    progress = LiveAudio(REQUEST, None, "p", True)
    for frame in generate(REQUEST):
        progress.add(frame)
    assert progress.id != made.id and progress.made().sound.codes.tolist() == made.sound.codes.tolist()
    assert loading.is_loaded(MODEL)
