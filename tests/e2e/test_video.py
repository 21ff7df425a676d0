"""The video tab as a visitor sees it and as a program calls it."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import Page, expect

from components.ui.language import load_texts
from tests.conftest import WAIT

EN, DE = load_texts("en"), load_texts("de")
Opener = Callable[..., Page]


def ready(page: Page, state: str = "done") -> Page:
    """Wait until the film and what is inside it are drawn by their script."""
    page.locator(f"#video-view .film-view[data-state={state}]").wait_for(timeout=WAIT)
    for place in ("view", "inside"):
        page.locator(f"#video-{place} [data-ready]").wait_for(state="attached", timeout=WAIT)
    return page


def sheet(page: Page, place: str) -> str:
    return page.locator(f"{place}").first.evaluate("e => getComputedStyle(e).getPropertyValue('--sheet')")


@pytest.mark.parametrize(
    "path, width, t", [("/?tab=video", 1280, EN), ("/de?tab=video", 390, DE)], ids=["en", "de"]
)
def test_the_tab_opens_with_a_film_beside_the_same_without_attention(
    kept: Opener, path: str, width: int, t
) -> None:
    opened = ready(kept(path, width=width))
    expect(opened.locator("#video-view .strip button")).to_have_count(16)
    expect(opened.locator("#video-inside .map")).to_have_count(6)
    opened.locator("#video-pair .film-view[data-state=done]").wait_for(timeout=WAIT)
    expect(opened.locator("#video-pair .matrix")).to_have_count(2)
    expect(opened.locator("#video-pair")).to_contain_text(t("video.side_off"))
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_the_same_result_put_in_anew_is_painted_again(kept: Opener) -> None:
    """As Gradio does when a view comes a second time: the script's own marks on the elements are gone."""
    opened = ready(kept("/?tab=video"))
    opened.evaluate(
        """() => { const places = document.querySelectorAll('#video-view [data-film]');
        for (const place of places) place.removeAttribute('style');
        const view = document.querySelector('#video-view .film-view'); view.outerHTML = view.outerHTML; }"""
    )
    expect(opened.locator("#video-view [data-film]").first).to_have_attribute("style", re.compile("--sheet"))
    assert "url(" in sheet(opened, "#video-view [data-player]")


def test_playing_asks_the_server_for_nothing_and_scrubbing_through_steps_once(page: Opener) -> None:
    opened = ready(page("/?tab=video"))
    opened.locator("#video-pair .film-view[data-state=done]").wait_for(timeout=WAIT)
    asked: list[str] = []
    opened.on("request", lambda r: asked.append(r.url) if "/queue/join" in r.url else None)
    play = opened.locator("#video-view .play")
    expect(play).to_have_text(EN("video.pause"))  # a film plays by itself
    play.click()
    expect(play).to_have_text(EN("video.play"))
    frames = opened.locator("#video-view [data-slide=frame]")
    frames.press("Home")
    seen = set()
    for frame in range(1, 17):
        expect(opened.locator("#video-view .strip button[aria-current]")).to_have_text(str(frame))
        expect(opened.locator("#video-inside [data-tile][data-current]")).to_have_attribute(
            "data-tile", str(frame - 1)
        )
        frames.press("ArrowRight")
    assert not asked
    steps = opened.locator("#video-view [data-slide=step]")
    steps.press("Home")
    preview = sheet(opened, "#video-view .strip")
    opened.wait_for_function(
        "before => getComputedStyle(document.querySelector('#video-view .strip'))"
        ".getPropertyValue('--sheet') !== before",
        arg=preview,
    )  # the decoder's own
    for step in range(1, 13):
        expect(opened.locator("#video-view .count")).to_have_text(f"{step} / 12")
        seen.add((sheet(opened, "#video-view .strip"), sheet(opened, "#video-inside .tiles"),
                  sheet(opened, "#video-inside .maps")))  # fmt: skip
        steps.press("ArrowRight")
    assert len(seen) == 12 and all("data:image" in s for s in next(iter(seen)))
    steps.press("Home")
    assert sheet(opened, "#video-view .strip") != preview
    assert len(asked) == 1


def test_a_token_is_picked_up_by_click_and_moved_by_keys(kept: Opener) -> None:
    opened = ready(kept("/de?tab=video"))
    tile = opened.locator("#video-inside [data-tile='2'] .tile")
    box = tile.bounding_box()
    tile.click(position={"x": 3, "y": box["height"] - 3})  # the corner itself is round
    said = opened.locator("#video-inside [data-said=token]")
    expect(said).to_contain_text("Bild 3, Zeile 16, Spalte 1;")
    tiles = opened.locator("#video-inside .tiles")
    tiles.focus()
    for key in ("ArrowUp", "ArrowRight", "ArrowRight", "PageDown"):
        opened.keyboard.press(key)
    expect(said).to_contain_text("Bild 4, Zeile 15, Spalte 3;")
    expect(opened.locator("#video-inside [data-tile='3'] .place[data-own]")).to_be_visible()
    shares = opened.locator("#video-inside [data-tile] b").all_text_contents()
    assert len(shares) == 16 and 90 <= sum(int(s.strip("<\u202f%")) for s in shares) <= 110
    assert opened.locator("#video-inside [data-tile] .found").count() == 16


def test_another_motion_is_drawn_stopped_drawn_again_and_saved(page: Opener) -> None:
    opened = ready(page("/?tab=video"))
    opened.locator("#video-pair .film-view[data-state=done]").wait_for(timeout=WAIT)
    opened.locator("#video-motion label", has_text="jumps").click()
    expect(opened.locator("#video-prompt textarea")).to_have_value("A cat jumps.")
    opened.locator("#video-more button").first.click()
    opened.locator("#video-steps input[type=number]").fill("40")
    opened.locator("#video-draw").click()
    opened.locator("#video-view .film-view[data-state=running]").wait_for(timeout=WAIT)
    opened.locator("#video-stop").click()
    ready(opened, "stopped")
    expect(opened.locator("#video-mp4")).to_be_disabled()
    opened.locator("#video-steps input[type=number]").fill("2")
    opened.locator("#video-prompt textarea").press("Enter")
    ready(opened)
    expect(opened.locator("#video-view .facts")).to_contain_text("A cat jumps.")
    for kind in ("mp4", "gif", "webp"):
        with opened.expect_download() as download:
            opened.locator(f"#video-{kind}").click()
        content = download.value.path().read_bytes()
        if kind == "mp4":
            with av.open(io.BytesIO(content)) as file:
                assert sum(1 for _ in file.decode(video=0)) == 16
                assert json.loads(file.metadata["comment"])["prompt"] == "A cat jumps."
        else:
            with Image.open(io.BytesIO(content)) as file:
                assert file.n_frames == 16


def test_a_prompt_that_changes_in_the_middle_and_one_that_is_missing(page: Opener) -> None:
    opened = ready(page("/?tab=video"))
    opened.locator("#video-pair .film-view[data-state=done]").wait_for(timeout=WAIT)
    opened.locator("#video-lever label").nth(2).click()
    text = opened.locator("#video-later textarea")
    text.fill("")
    opened.locator("#video-pair-draw").click()
    expect(opened.locator(".toast-body")).to_contain_text(EN("errors.film_prompt_empty"), timeout=WAIT)
    text.fill("A red car in the snow.")
    opened.locator("#video-pair-draw").click()
    changed = opened.locator("#video-pair .film-view[data-state=done][data-lever=later]")
    changed.wait_for(timeout=WAIT)
    expect(changed).to_contain_text("A cat walks right. → A red car in the snow.")


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ("prompt=A+red+dog+in+the+snow.", "A red dog walks right in the snow."),
        ("video.prompt=A+dog+jumps.", "A dog jumps."),
    ],
)
def test_a_link_with_another_prompt_opens_with_its_film(page: Opener, asked: str, drawn: str) -> None:
    opened = ready(page(f"/?tab=video&video.steps=2&{asked}", closed=True))
    expect(opened.locator("#video-prompt textarea")).to_have_value(drawn)
    expect(opened.locator("#video-view .facts")).to_contain_text(drawn)


def test_a_program_gets_a_film_and_its_numbers(client: Client) -> None:
    path, told = client.predict(
        prompt="A dog jumps.", num_inference_steps=2, num_frames=4, format="gif", api_name="/generate_video"
    )
    assert Image.open(Path(path)).n_frames == 4
    assert len(told["similarity"]) == 4 and told["parameters"]["motion"] is True
    for call, said in (({"num_frames": 500}, "2 to 32"), ({"later": [[9, "a"], [3, "b"]]}, "in order")):
        with pytest.raises(AppError, match=said):
            client.predict(**call, api_name="/generate_film")
