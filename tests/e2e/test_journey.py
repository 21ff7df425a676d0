"""The landing tab in a browser."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from gradio_client import Client
from playwright.sync_api import Browser, Page, expect

from benchmarks.browser import go_to_tab
from components.ui.language import load_texts
from tests.conftest import WAIT

QUICK = "/?num_inference_steps=3"
Opener = Callable[..., Page]


@pytest.mark.parametrize(("path", "width", "language"), [("/", 1280, "en"), ("/de", 390, "de")])
def test_the_page_opens_at_a_filled_journey(page: Opener, path: str, width: int, language: str) -> None:
    opened, t = page(path, width=width), load_texts(language)
    expect(opened.locator("#tab-journey-button")).to_have_attribute("aria-selected", "true")
    expect(opened.locator("#journey-steering [data-state=done]")).to_be_visible(timeout=WAIT)
    expect(opened.locator("#journey-reading .chips em")).to_have_count(7, timeout=WAIT)
    expect(opened.locator("#journey-reading")).to_contain_text(t("journey.say_tokens", count=7))
    for row in ("#journey-video", "#journey-audio"):  # made when they are seen
        opened.locator(row).scroll_into_view_if_needed()
    expect(opened.locator("#journey-video [data-state=done] .moving")).to_be_visible(timeout=WAIT)
    expect(opened.locator(".station .hole")).to_have_count(0, timeout=WAIT)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_the_text_stations_follow_typing_and_enter_draws(page: Opener) -> None:
    opened = page(QUICK)
    expect(opened.locator("#journey-steering [data-state=done]")).to_be_visible(timeout=WAIT)
    opened.locator("#prompt textarea").fill("A blue boat")
    expect(opened.locator("#journey-reading .chips em")).to_have_count(3, timeout=WAIT)
    expect(opened.locator("#journey-steering .facts")).not_to_contain_text("A blue boat")
    opened.locator("#prompt textarea").press("Enter")
    expect(opened.locator("#journey-steering [data-state=done] .facts")).to_contain_text(
        "A blue boat", timeout=WAIT
    )
    opened.locator("#prompt textarea").fill("")
    expect(opened.locator("#journey-reading [data-door=tokens]")).to_contain_text(
        load_texts("en")("tokens.meter.empty"), timeout=WAIT
    )
    expect(opened.locator("#journey-reading .near img")).to_have_count(0)
    expect(opened.locator("#journey-steering [data-state=done]")).to_be_visible()


def test_a_film_is_made_for_the_picture_that_is_drawn_and_only_when_somebody_sees_it(page: Opener) -> None:
    opened = page(QUICK + "&prompt=a+red+dog", height=300)
    video = opened.locator("#journey-video")
    expect(video.locator("[data-asks]")).to_have_count(1, timeout=WAIT)
    expect(opened.locator("#journey-steering .facts")).to_contain_text("a red dog")
    opened.locator("#prompt textarea").fill("A blue boat")  # typed, not drawn
    expect(opened.locator("#journey-reading .chips em")).to_have_count(3, timeout=WAIT)
    expect(video.locator("[data-asks]")).to_have_count(1)
    video.scroll_into_view_if_needed()
    expect(video.locator("[data-state=done] .say")).to_contain_text("a red dog", timeout=WAIT)
    go_to_tab(opened, "tokens")
    go_to_tab(opened, "journey")
    expect(video.locator("[data-state=done] .say")).to_contain_text("a red dog")  # the picture's is there
    opened.evaluate("scrollTo(0, 0)")
    opened.locator("#prompt textarea").press("Enter")
    expect(video.locator("[data-asks]")).to_have_count(1, timeout=WAIT)
    expect(video).not_to_contain_text("a red dog")


def test_a_film_seen_before_its_picture_is_there_is_of_the_same_prompt(page: Opener) -> None:
    """Whatever is typed in the meantime: it was made of that, and stood there beside another picture."""
    opened = page("/?num_inference_steps=100&prompt=a+red+dog&seed=4", height=300)
    video = opened.locator("#journey-video")
    expect(video.locator("[data-asks]")).to_have_count(1, timeout=WAIT)
    opened.locator("#prompt textarea").fill("A blue boat")
    expect(opened).to_have_url(re.compile("blue"))
    video.scroll_into_view_if_needed()
    expect(video.locator("[data-state=done] .say")).to_contain_text("a red dog", timeout=WAIT)
    drawn = opened.locator("#journey-steering [data-state=done] .facts")
    expect(drawn).to_contain_text("a red dog", timeout=WAIT)


def test_a_view_that_comes_late_does_not_keep_a_row_from_being_filled(kept: Opener) -> None:
    """Sent by the run before, it takes away the mark by which the row asks: it stood there for ever."""
    opened = kept("/?tab=tokens")
    asked = opened.evaluate("""async () => {
        const place = document.createElement("div"), props = { value: "" }, looks = [], asked = [];
        Object.assign(place.style, { position: "fixed", top: 0, height: "9px" });
        document.body.append(place);
        const trigger = (name) => asked.push(name), watch = (_, look) => looks.push(look);
        svViews["journey/view"](place, trigger, props, null, watch);
        for (const mark of ['data-asks="1"', ""]) { // both before the browser draws
            place.innerHTML = props.value = `<div data-state="waiting" ${mark}></div>`;
            for (const look of looks) look();
        }
        await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 200)));
        place.remove();
        return asked;
    }""")
    assert asked == ["submit"]


def test_a_film_and_a_sound_are_made_once_for_a_page(page: Opener) -> None:
    """Asked for when the page opens, and again when its picture was there: each cost twice."""
    opened = page("/?num_inference_steps=3&prompt=a+red+dog&seed=9", closed=True)
    joined: list[int] = []
    opened.on(
        "request",
        lambda asked: (
            joined.append(json.loads(asked.post_data)["trigger_id"]) if "/queue/join" in asked.url else None
        ),
    )
    opened.locator("#journey-video").scroll_into_view_if_needed()
    for row in ("video", "audio"):
        expect(opened.locator(f"#journey-{row} [data-state=done]")).to_be_visible(timeout=WAIT)
    for row in ("video", "audio"):
        place = opened.evaluate(
            "id => window.gradio_config.components.find((part) => part.props.elem_id === id).id",
            f"journey-{row}",
        )
        assert joined.count(place) == 1


def test_a_station_is_a_door(page: Opener) -> None:
    opened = page(QUICK)
    opened.locator('[data-door="context"]').click()
    expect(opened.locator("#tab-context-button")).to_have_attribute("aria-selected", "true")
    expect(opened.locator("#tab-context .sv-note")).to_be_visible()


def test_a_journey_is_saved_as_a_file_that_opens_without_the_app(
    page: Opener, browser: Browser, tmp_path: Path
) -> None:
    t = load_texts("de")
    opened = page("/de?num_inference_steps=3&prompt=A+red+car+%3Cb%3E+on+the+beach.")
    opened.locator("[data-journey-save]").click()
    expect(opened.get_by_text(t("lesson.record.record_waits"))).to_be_visible()
    opened.locator("#journey-audio audio").wait_for(timeout=WAIT)
    expect(opened.locator("#tab-journey [data-state]:not([data-state=done])")).to_have_count(0, timeout=WAIT)
    expect(opened.locator("html[data-journey-saved]")).to_have_count(1)
    opened.route("**/gradio_api/file=**", lambda route: route.abort())
    opened.locator("[data-journey-save]").click()
    expect(opened.get_by_text(t("lesson.stage.offline"))).to_be_visible()
    expect(opened.locator("html[data-journey-saved]")).to_have_count(0)  # nothing is computed unseen any more
    opened.unroute("**/gradio_api/file=**")
    with opened.expect_download() as saved:
        opened.locator("[data-journey-save]").click()
    file = tmp_path / "journey.html"
    saved.value.save_as(file)
    with browser.new_context(offline=True, viewport={"width": 1280, "height": 720}) as elsewhere:
        found = elsewhere.new_page()
        asked: list[str] = []
        found.on("request", lambda request: asked.append(request.url))
        found.goto(file.as_uri())
        expect(found.locator("h1")).to_contain_text("A red car <b> on the beach.")
        expect(found.locator(".sv-recorded")).to_contain_text("Aufgezeichnet am")
        expect(found.locator(".station")).to_have_count(10)
        expect(found.locator(".station").first).to_be_visible()
        assert found.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth)")
        seconds = found.evaluate(
            """new Promise((done) => { const sound = document.querySelector('audio'); sound.preload = 'auto';
            sound.onloadedmetadata = () => done(sound.duration); sound.load(); })"""
        )
        assert seconds == pytest.approx(4, abs=0.2)
        given = json.loads(found.locator("#parameters").text_content() or "")
        assert given["num_inference_steps"] == "3" and "<b>" in given["prompt"]
        assert {url.partition(":")[0] for url in asked} <= {"file", "data"}


def test_the_endpoint_follows_a_prompt(client: Client) -> None:
    found = client.predict(prompt="a red car", num_inference_steps=1, api_name="/follow_prompt")
    assert found["tokens"][1:4] == ["a", "red", "car"]
