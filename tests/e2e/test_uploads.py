"""What comes in from outside: camera and microphone end when they should, and a paste is a file."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from benchmarks.browser import chromium_path, go_to_tab
from components.ui.language import load_texts

EN, DE = load_texts("en"), load_texts("de")
Opener = Callable[..., Page]
# Keeps every track that a page was given, and shortens the longest recording to two seconds.
WATCH = """() => {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices), wait = window.setTimeout;
  window.tracks = [];
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await ask(wanted);
    window.tracks.push(...stream.getTracks());
    return stream;
  };
  window.setTimeout = (call, ms, ...rest) => wait(call, ms === 10000 ? 2000 : ms, ...rest);
}"""
HIDE = """() => {
  Object.defineProperty(document, "hidden", { value: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
PASTE = """(place) => {
  const canvas = document.createElement("canvas"), data = new DataTransfer();
  canvas.toBlob((blob) => {
    data.items.add(new File([blob], "pasted.png", { type: "image/png" }));
    const sent = { clipboardData: data, bubbles: true, cancelable: true };
    place.dispatchEvent(new ClipboardEvent("paste", sent));
  });
}"""


@pytest.fixture(scope="module")
def browser(browser: Browser) -> Iterator[Browser]:
    """Chromium with a camera and a microphone that are made up, and allowed without asking."""
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    chromium = browser.browser_type.launch(
        executable_path=chromium_path(), args=["--no-sandbox", "--disable-gpu", *fake]
    )
    yield chromium
    chromium.close()


@pytest.fixture(scope="module")
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A context of that browser."""
    with browser.new_context() as context:
        yield context


def expect_live(page: Page, count: int) -> None:
    """Wait until so many devices are in use."""
    page.wait_for_function(f"tracks.filter((track) => track.readyState === 'live').length === {count}")


def microphone_of(page: Page) -> Locator:
    page.evaluate(WATCH)
    return page.locator("#audio-clip [data-microphone]")


def own_pictures(page: Page) -> Locator:
    """The camera of the tab that sees without words, which is one click away."""
    page.locator("#dino-more .sv-more-button").click()
    return page.locator("#dino-sources .cm-camera")


def test_a_double_click_opens_one_camera_and_a_click_closes_it(page: Opener) -> None:
    opened = page("/?tab=clip_matrix")
    expect(opened.locator("#clip-matrix .cm-paired")).to_have_count(5)
    opened.evaluate(WATCH)
    camera, finder = opened.locator("#clip-sources .cm-camera"), opened.locator("#clip-sources .cm-finder")
    camera.dblclick()
    expect(finder).to_be_visible()
    opened.wait_for_function("document.querySelector('#clip-sources video').videoWidth > 0")
    opened.locator("#clip-sources .cm-shoot").click()
    expect(opened.locator("#clip-matrix .cm-picture")).to_have_count(6)
    camera.click()
    opened.locator("#clip-sources .cm-off").click()
    expect(finder).to_be_hidden()
    expect_live(opened, 0)
    assert opened.evaluate("tracks.length") == 1


def test_a_camera_that_is_closed_before_it_opens_stays_closed(page: Opener) -> None:
    opened = page("/?tab=dino")
    own_pictures(opened).wait_for()
    opened.evaluate(WATCH)
    opened.evaluate("""() => {
      document.querySelector("#dino-sources .cm-camera").click();
      document.querySelector("#dino-sources .cm-off").click();
    }""")
    opened.wait_for_function("tracks.length === 1")
    expect_live(opened, 0)
    expect(opened.locator("#dino-sources .cm-finder")).to_be_hidden()


@pytest.mark.parametrize("way", ["tab", "hidden"])
def test_who_leaves_is_no_longer_seen_or_heard(page: Opener, open_tab, way: str) -> None:
    def leave() -> None:
        open_tab(opened, "tokens") if way == "tab" else opened.evaluate(HIDE)

    opened = page("/?tab=dino")
    camera = own_pictures(opened)
    camera.wait_for()
    opened.evaluate(WATCH)
    camera.click()
    expect(opened.locator("#dino-sources .cm-finder")).to_be_visible()
    expect_live(opened, 1)
    leave()
    expect_live(opened, 0)
    opened = page("/?tab=audio")
    microphone = microphone_of(opened)
    microphone.click()
    expect(microphone).to_contain_text("(1 s)")
    leave()
    expect_live(opened, 0)
    expect(microphone).to_have_text(EN("audio.clip.record"))


def test_a_double_click_records_once_and_a_click_ends_it(page: Opener) -> None:
    opened = page("/de?tab=audio")
    microphone = microphone_of(opened)
    microphone.dblclick()
    expect(microphone).to_contain_text("(1 s)")
    microphone.dblclick()
    expect(microphone).to_have_text(DE("audio.clip.record"))
    expect_live(opened, 0)
    assert opened.evaluate("tracks.length") == 1
    expect(opened.locator("#audio-clip-status")).to_contain_text("1,")


def test_the_second_recording_is_as_long_as_the_first(page: Opener) -> None:
    opened = page("/?tab=audio")
    microphone = microphone_of(opened)
    microphone.click()
    expect(microphone).to_contain_text("(1 s)")
    microphone.click()
    expect(microphone).to_have_text(EN("audio.clip.record"))
    microphone.click()
    expect(microphone).to_contain_text("(1 s)")
    expect(microphone).to_have_text(EN("audio.clip.record"))  # by itself, after two seconds
    expect_live(opened, 0)
    expect(opened.locator("#audio-clip-status")).to_contain_text(re.compile(r"(1\.[6-9]|2\.\d) s"))


def test_without_devices_the_page_says_what_they_need(page: Opener) -> None:
    """An address without https gives scripts no `mediaDevices`."""
    opened = page("/?tab=audio")
    opened.evaluate("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    opened.locator("#audio-clip [data-microphone]").click()
    expect(opened.locator("#audio-clip .said")).to_contain_text("https or localhost")
    go_to_tab(opened, "dino")
    own_pictures(opened).click()
    expect(opened.locator("#dino-sources .cm-said")).to_contain_text("https or localhost")


def test_a_pasted_picture_comes_in_and_a_pasted_text_stays_text(page: Opener) -> None:
    opened = page("/?tab=clip_matrix")
    pictures = opened.locator("#clip-matrix .cm-picture")
    expect(opened.locator("#clip-matrix .cm-paired")).to_have_count(5)
    opened.locator("#clip-texts textarea").evaluate(PASTE)
    opened.locator("#clip-sources .cm-drop").evaluate(PASTE)
    expect(pictures).to_have_count(6)
    expect(opened.locator("#clip-matrix .cm-paired")).to_have_count(5)
    expect(pictures).to_have_count(6)
