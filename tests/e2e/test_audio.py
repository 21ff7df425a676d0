"""The audio tab as a visitor hears it and as a program calls it."""

import io
import re
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from components.ui.language import load_texts
from pipelines.audio import files as sounds
from tests.conftest import WAIT

EN, DE = load_texts("en"), load_texts("de")
Opener = Callable[..., Page]
# Counts what is handed to the loudspeaker.
LISTEN = """() => { window.begun = 0;
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (...given) {
    window.begun++;
    return start.apply(this, given);
  }; }"""
# A microphone that hears a tone: what records it, and what is made of the recording, is the browser's.
HUM = """() => { navigator.mediaDevices.getUserMedia = async () => {
  const context = new AudioContext(), tone = context.createOscillator();
  const stream = context.createMediaStreamDestination();
  tone.connect(stream);
  tone.start();
  return stream.stream;
}; }"""
MUTE = """() => { navigator.mediaDevices.getUserMedia = async () => {
  throw new DOMException("", "NotAllowedError");
}; }"""
REFUSE = "window.AudioContext = window.webkitAudioContext = undefined;"


def player(page: Page, state: str = "done", name: str = "audio-player"):
    found = page.locator(f"#{name} .player")
    expect(found).to_have_attribute("data-state", state, timeout=WAIT)
    return found


def heard(page: Page) -> float:
    return float(page.locator("#audio-player [data-time]").inner_text().split()[0].replace(",", "."))


def coloured(page: Page, opaque: bool) -> int:
    """Cells of the grid in full colour, or in any."""
    return page.evaluate(
        """(opaque) => { const c = document.querySelector('#audio-player canvas[data-grid]');
        const y = Math.floor(c.height / 8), line = c.getContext('2d').getImageData(0, y, c.width, 1).data;
        let n = 0; for (let i = 0; i < line.length; i += 4) {
          const [red, green, blue] = line.slice(i, i + 3);
          const own = Math.max(red, green, blue) - Math.min(red, green, blue);
          n += opaque ? line[i + 3] > 250 && own > 40 : line[i + 3] > 40 && own > 40; } return n; }""",
        opaque,
    )


@pytest.mark.parametrize(
    # a phone gives a cell less than two pixels, so few of them are in one colour
    "path, width, least, t",
    [("/?tab=audio", 1280, 500, EN), ("/de?tab=audio", 390, 60, DE)],
    ids=["en", "de"],
)
def test_the_tab_opens_with_a_sound_and_keeps_silent(
    kept: Opener, path: str, width: int, least: int, t
) -> None:
    opened = kept(path, width=width)
    found = player(opened)
    expect(found).to_have_attribute("data-sounding", "no")
    expect(opened.locator("#audio-player [data-words] span")).to_have_count(8)
    assert coloured(opened, opaque=True) > least
    expect(opened.locator("#audio-guess [data-bars] li").first).to_be_visible()
    expect(opened.locator("#audio-guess [data-cell]")).to_contain_text(t("audio.player.book", number=1))
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_sound_is_heard_while_it_is_made_and_the_grid_goes_with_it(page: Opener) -> None:
    opened = page("/?tab=audio")
    player(opened)
    opened.evaluate(LISTEN)
    opened.locator("#audio-seconds input[type=number]").fill("6")
    opened.locator("#audio-seconds input[type=number]").press("Tab")
    opened.locator("#audio-make").click()
    opened.locator("#audio-player .player[data-sounding=yes]").wait_for()
    opened.wait_for_function(
        "parseFloat(document.querySelector('#audio-player [data-time]').textContent) >= 1"
    )
    assert coloured(opened, opaque=True) < coloured(opened, opaque=False), "all at once"
    player(opened)
    opened.locator("#audio-player .player[data-sounding=no]").wait_for()
    assert heard(opened) == 6.0
    assert opened.evaluate("window.begun") >= 2, "it was not streamed"


def test_a_browser_without_sound_runs_silently(page: Opener) -> None:
    opened = page("/de?tab=audio")
    opened.add_init_script(REFUSE)
    opened.reload()
    player(opened)
    opened.locator("#audio-player [data-play]").click()
    expect(opened.locator("#audio-player [data-silent]")).to_have_text(DE("audio.player.silent"))
    opened.wait_for_function(
        "parseFloat(document.querySelector('#audio-player [data-time]').textContent) < 3"
    )
    opened.locator("#audio-player .player[data-sounding=no]").wait_for()
    assert heard(opened) == 4.0


def test_keys_choose_a_cell_and_play(kept: Opener) -> None:
    opened = kept("/?tab=audio")
    player(opened)
    tracks, cell = opened.locator("#audio-player [data-tracks]"), opened.locator("#audio-guess [data-cell]")
    tracks.focus()
    opened.keyboard.press("Home")
    expect(cell).to_contain_text("Codebook 1, second 0.00")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        opened.keyboard.press(key)
    expect(cell).to_contain_text("Codebook 2, second 0.04")
    expect(tracks).to_have_attribute("aria-valuenow", "2")
    shown = opened.locator("#audio-guess [data-bars] li.drawn b").inner_text()
    assert shown == cell.inner_text().split("code ")[1]
    opened.keyboard.press("Space")
    opened.locator("#audio-player .player[data-sounding=yes]").wait_for()
    opened.keyboard.press("Space")
    opened.locator("#audio-player .player[data-sounding=no]").wait_for()
    opened.locator("#audio-player [data-mode=heard]").click()
    box = opened.locator("#audio-player canvas[data-grid]").bounding_box()
    opened.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] - 4)
    expect(cell).to_contain_text("Codebook 4, second 2.0")


def test_codebooks_apart_and_a_saved_file(kept: Opener) -> None:
    opened = kept("/?tab=audio")
    player(opened)
    opened.locator("#audio-books label").first.click()
    expect(opened.locator("#audio-player [data-status]")).to_contain_text(
        EN("audio.hearing", books=1, total=4)
    )
    expect(opened.locator("#audio-player .player")).to_have_attribute("data-sounding", "yes")
    with opened.expect_download() as download:
        opened.locator("#audio-download").click()
    with open(download.value.path(), "rb") as file:
        request, _ = sounds.read_parameters(file.read())
    assert request.prompt == opened.locator("#prompt textarea").input_value()


def test_a_stop_in_the_middle_loses_nothing(kept: Opener) -> None:
    opened = kept("/?tab=audio")
    player(opened)
    opened.locator("#audio-seconds input[type=number]").fill("10")
    opened.locator("#audio-seconds input[type=number]").press("Tab")
    opened.locator("#audio-make").click()
    player(opened, "live")
    opened.locator("#audio-stop").click()
    player(opened, "stopped")
    expect(opened.locator("#audio-stop")).to_be_disabled()
    expect(opened.locator("#audio-download")).to_be_enabled()
    expect(opened.locator("#audio-player [data-play]")).to_be_enabled()


def test_clips_good_and_bad(kept: Opener, tmp_path) -> None:
    soundfile.write(tmp_path / "hum.wav", 0.3 * np.sin(np.arange(44_100) * 0.05), 44_100)
    soundfile.write(tmp_path / "silent.wav", np.zeros(44_100), 44_100)
    (tmp_path / "film.wav").write_bytes(b"\0\0\0\x20ftypisom" + bytes(5000))
    opened = kept("/de?tab=audio")
    player(opened)
    chooser = opened.locator("#audio-clip input[type=file]")
    for name, said in (("film", "clip_broken"), ("silent", "clip_silent")):
        chooser.set_input_files(str(tmp_path / f"{name}.wav"))
        expect(opened.get_by_text(DE(f"errors.{said}"))).to_be_visible()
        expect(opened.locator("#audio-go-on")).to_be_disabled()
    chooser.set_input_files(str(tmp_path / "hum.wav"))
    expect(opened.locator("#audio-clip-status")).to_contain_text("1,0 s")
    opened.locator("#audio-go-on").click()
    expect(opened.locator("#audio-player [data-status]")).to_contain_text(
        "1,0 s sind die Vorgabe", timeout=WAIT
    )
    assert opened.locator("#audio-player [data-time]").inner_text().endswith("5,0 s")


def test_a_recording_is_a_clip_to_go_on_from(page: Opener) -> None:
    opened = page("/?tab=audio")
    player(opened)
    opened.evaluate(HUM)
    microphone = opened.locator("#audio-clip [data-microphone]")
    microphone.click()
    expect(microphone).to_contain_text("(2 s)")
    microphone.click()
    expect(microphone).to_have_text(EN("audio.clip.record"))
    expect(opened.locator("#audio-clip-status")).to_contain_text(re.compile(r"[23]\.\d s"))
    expect(opened.locator("#audio-go-on")).to_be_enabled()


def test_a_refused_microphone_says_what_else_works(kept: Opener) -> None:
    opened = kept("/de?tab=audio")
    player(opened)
    opened.evaluate(MUTE)
    opened.locator("#audio-clip [data-microphone]").click()
    expect(opened.locator("#audio-clip .said")).to_have_text(DE("audio.clip.no_microphone"))


def test_two_prompts_side_by_side(page: Opener) -> None:
    opened = page("/?tab=audio&prompt_b=fast+drums")
    player(opened)
    opened.locator("#audio-seconds input[type=number]").fill("0.6")
    opened.locator("#audio-seconds input[type=number]").press("Tab")
    opened.locator("#audio-pair-start").click()
    for name in "abc":
        player(opened, name=f"audio-pair-{name}")
    expect(opened.locator("#audio-pair-b")).to_contain_text("fast drums")
    expect(opened.locator("#audio-pair-verdict")).to_contain_text("Of 120 codes")


def test_the_journey_ends_with_the_same_prompt_as_sound(page: Opener) -> None:
    opened = page("/?num_inference_steps=2&prompt=birdsong")
    opened.locator("#journey-audio").scroll_into_view_if_needed()
    station = opened.locator("#journey-audio [data-state=done] .station")
    expect(station).to_contain_text("“birdsong” as 4.0 s", timeout=WAIT)
    station.click()
    expect(opened.locator("#tab-audio-button")).to_have_attribute("aria-selected", "true")
    player(opened)
    expect(opened.locator("#audio-player [data-status]")).to_contain_text("birdsong")


def test_a_program_makes_a_sound_and_hears_what_is_wrong(client: Client) -> None:
    wav, _ = client.predict(prompt="birdsong", seconds=0.4, seed=2, api_name="/generate_audio")
    with open(wav, "rb") as file:
        data = file.read()
    assert sounds.read_parameters(data)[0].seed == 2
    samples, rate = soundfile.read(io.BytesIO(data))
    assert len(samples) == 0.4 * rate and np.abs(samples).max() <= sounds.LOUDEST
    _, on = client.predict(seconds=0.4, clip=handle_file(wav), api_name="/generate_audio")
    assert on["clip_seconds"] == 0.4 and len(on["codes"][0]) == 40
    for call, said in (
        ({"seconds": 600}, "0.2 to 10"),
        ({"prompt": ""}, "needs a prompt"),
        ({"top_k": -1}, "top_k has to be"),
    ):
        with pytest.raises(AppError, match=said):
            client.predict(**call, api_name="/generate_audio")
