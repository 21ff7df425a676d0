"""The image tab in a browser."""

import json
from collections.abc import Callable
from urllib.parse import quote

from gradio_client import Client
from PIL import Image
from playwright.sync_api import Page, expect

from components.ui.language import load_texts
from pipelines.image.image import read_parameters

WAIT = 120_000  # ms; a guard, not a measure: the machine may be busy with a training
EN, DE = load_texts("en"), load_texts("de")


def wait_for(page: Page, state: str) -> None:
    page.locator(f"#image-trace .trace[data-state={state}]").wait_for(timeout=WAIT)


def test_tab_shows_a_finished_run_without_a_click_and_scrubs_it_without_the_server(
    page: Callable[..., Page],
) -> None:
    opened = page("/?tab=image")
    wait_for(opened, "done")
    place = opened.evaluate("window.gradio_config.components.find(c => c.props.elem_id === 'image-trace').id")
    asked: list[int] = []  # which parts of the page asked the server for something
    opened.on(
        "request",
        lambda r: asked.append(json.loads(r.post_data)["trigger_id"]) if "/queue/join" in r.url else None,
    )
    slider = opened.locator("#image-trace input[type=range]")
    seen = set()
    slider.press("Home")
    for step in range(1, 21):
        expect(slider).to_have_js_property("value", str(step))
        expect(opened.locator("#image-trace .count")).to_have_text(f"{step} / 20")
        seen.add(
            tuple(
                opened.locator(f"#image-trace .stage img[data-row={row}]").get_attribute("src")
                for row in ("guided", "prompt", "empty", "latents")
            )
        )
        slider.press("ArrowRight")
    assert len(seen) == 20, "every step has its own pictures"
    assert place not in asked, "scrubbing asked the server"
    opened.locator("#image-trace .film button").nth(4).click()
    expect(opened.locator("#image-trace .count")).to_have_text("5 / 20")


def test_stop_shows_what_was_drawn_and_the_next_run_goes_through(
    page: Callable[..., Page],
) -> None:
    opened = page("/?num_inference_steps=50&tab=image")  # nobody's example, so a run starts
    wait_for(opened, "running")
    opened.locator("#image-trace .film button").nth(1).wait_for(timeout=WAIT)
    opened.locator("#stop").click()
    wait_for(opened, "stopped")
    expect(opened.locator("#stop")).to_be_disabled()
    expect(opened.locator("#download")).to_be_disabled()
    opened.locator("#generate").click()
    wait_for(opened, "running")
    opened.locator("#generate").click()  # takes the first one's place
    wait_for(opened, "done")
    expect(opened.locator("#image-trace .count")).to_have_text("50 / 50")


def test_saved_png_carries_the_parameters_of_the_bar(page: Callable[..., Page]) -> None:
    opened = page("/de?tab=image&prompt=A%20blue%20bird.&seed=11&num_inference_steps=3&guidance_scale=2.5")
    wait_for(opened, "done")
    expect(opened.locator("#image-trace .facts")).to_contain_text("„A blue bird.“")
    with opened.expect_download() as download:
        opened.locator("#download").click()
    parameters = read_parameters(download.value.path().read_bytes())
    assert parameters["prompt"] == "A blue bird."
    assert (parameters["seed"], parameters["num_inference_steps"]) == (11, 3)
    assert parameters["guidance_scale"] == 2.5


def test_markup_in_the_prompt_is_shown_as_text(page: Callable[..., Page]) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">"
    opened = page(f"/?tab=image&num_inference_steps=1&prompt={quote(evil)}")
    wait_for(opened, "done")
    expect(opened.locator("#image-trace .facts")).to_contain_text(evil)
    assert opened.title() != "owned"


def test_empty_prompt_gets_its_sentence_and_the_picture_stays(page: Callable[..., Page]) -> None:
    opened = page("/de?tab=image")
    wait_for(opened, "done")
    opened.locator("#prompt textarea").fill("")
    opened.locator("#generate").click()
    expect(opened.locator(".toast-body")).to_contain_text(DE("errors.prompt_empty"), timeout=WAIT)
    wait_for(opened, "done")


def test_endpoint_gives_a_file_and_its_parameters(client: Client) -> None:
    path, parameters = client.predict(
        prompt="A red car.", seed=5, num_inference_steps=2, api_name="/generate_image"
    )
    assert Image.open(path).format == "PNG"
    assert parameters["seed"] == 5
    assert parameters["scheduler"] == "ddim"
