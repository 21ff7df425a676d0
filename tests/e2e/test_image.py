"""The image tab in a browser."""

import json
import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import torch
from gradio_client import Client
from PIL import Image
from playwright.sync_api import Page, expect
from plotly.colors import get_colorscale, hex_to_rgb

from components.runs.trace_data import LATENT_RANGE
from components.ui.language import load_texts
from components.ui.plots import DIVERGING, SEQUENTIAL
from pipelines.image import image
from pipelines.image.guidance import guidance_difference
from pipelines.image.image import read_parameters
from pipelines.image.previews import linear_decoder
from pipelines.image.request import ImageRequest
from tests.conftest import WAIT

EN, DE = load_texts("en"), load_texts("de")


def wait_for(page: Page, state: str) -> None:
    page.locator(f"#image-trace .trace[data-state={state}]").wait_for(timeout=WAIT)


def shown(page: Page) -> tuple[str | None, ...]:
    """The addresses of the pictures of a step."""
    rows = ("noisy", "guided", "prompt", "empty", "latents")
    return tuple(
        page.locator(f"#image-trace .stage img[data-row={row}]").get_attribute("src") for row in rows
    )


def test_a_finished_run_is_scrubbed_from_pure_noise_on_and_the_server_asked_once(
    page: Callable[..., Page], open_tab: Callable[[Page, str], None]
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
    slider.press("Home")
    expect(opened.locator("#image-trace .count")).to_have_text("0 / 20")
    expect(opened.locator("#image-trace [data-place=guided] .hole")).to_have_text(EN("image.not_yet"))
    expect(opened.locator("#image-trace [data-place=noisy] img")).to_be_visible()
    seen = set()
    for step in range(1, 21):
        slider.press("ArrowRight")
        expect(slider).to_have_js_property("value", str(step))
        expect(opened.locator("#image-trace .count")).to_have_text(f"{step} / 20")
        seen.add(shown(opened))
    assert len(seen) == 20, "every step has its own pictures"
    assert asked.count(place) == 1, "for the exact pictures, when the first step was chosen"
    opened.locator("#image-trace .film button").nth(4).click()
    expect(opened.locator("#image-trace .count")).to_have_text("4 / 20")
    for row in ("noisy", "guided", "prompt", "empty"):
        picture = opened.locator(f"#image-trace .stage img[data-row={row}]")
        expect(picture).to_have_attribute("src", re.compile("^data:image/webp"))
    before = shown(opened)
    open_tab(opened, "tokens")
    open_tab(opened, "image")  # where the run is told once more
    expect(opened.locator("#image-trace [data-text=remark]")).to_have_text("")
    expect(opened.locator("#image-trace .count")).to_have_text("4 / 20")
    assert shown(opened) == before, "the decoder's own pictures, though nobody has asked for them again"


def pixels_of(page: Page, selector: str) -> np.ndarray:
    """`[y, x, 4]` the pixels of a picture on the page."""
    found = page.evaluate(
        "s => steuervektor.pixelsOf(s).then(({ width, height, data }) => [width, height, [...data]])",
        page.locator(selector).get_attribute("src"),
    )
    return np.array(found[2]).reshape(found[1], found[0], 4)


def test_a_preview_is_what_the_linear_decoder_makes_of_the_latents(page: Callable[..., Page]) -> None:
    opened = page("/?tab=image&num_inference_steps=3&prompt=a+blue+bird&seed=3")
    wait_for(opened, "done")
    pixels = pixels_of(opened, "#image-trace .film [data-step='2'] img")[..., :3]
    request = ImageRequest("a blue bird", seed=3, num_inference_steps=3, model="classroom-image")
    latents = image.run(request).steps[1].latents
    expected = linear_decoder("classroom-image").decode(latents[None])[0].astype(int)
    # the latents have travelled as whole numbers, 127 to the largest
    assert np.abs(pixels - expected).mean() < 3


def coloured(stops: Sequence[tuple[float, str]], shares: np.ndarray) -> np.ndarray:
    """Shares of a scale of colours as RGB, with one more axis."""
    places, colours = [place for place, _ in stops], np.array([hex_to_rgb(colour) for _, colour in stops])
    return np.stack([np.interp(shares, places, colours[:, c]) for c in range(3)], axis=-1)


def test_colours_of_latents_are_neutral_at_zero_and_full_at_the_limit(page: Callable[..., Page]) -> None:
    opened = page("/?tab=image&num_inference_steps=3&prompt=a+blue+bird&seed=3")
    wait_for(opened, "done")
    opened.locator("#image-trace input[type=range]").press("Home")
    tile = pixels_of(opened, "#image-trace .stage img[data-row=latents]")
    assert tile.shape == (33, 33, 4)
    assert not tile[16, :, 3].any() and not tile[:, 16, 3].any(), "between the channels there is nothing"
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))[0].numpy()
    assert np.abs(noise).max() > LATENT_RANGE, "some lie beyond the limit"
    channels = tile[:16, :16], tile[:16, 17:], tile[17:, :16], tile[17:, 17:]
    for cells, values in zip(channels, noise, strict=True):
        expected = coloured(DIVERGING, values / (2 * LATENT_RANGE) + 0.5)
        assert np.abs(cells[..., :3] - expected).max() < 8, "as numbers travel"


def test_magnitude_is_the_length_over_the_channels(page: Callable[..., Page]) -> None:
    opened = page("/?tab=guidance&num_inference_steps=3&prompt=a+blue+bird&seed=3")
    shown = opened.locator("#guidance-sum .trace[data-state=done] img[data-row=magnitude]")
    expect(shown).to_have_attribute("src", re.compile("^data:image/png"), timeout=WAIT)
    request = ImageRequest("a blue bird", seed=3, num_inference_steps=3, model="classroom-image")
    differences = [guidance_difference(step) for step in image.run(request).steps]
    lengths = np.linalg.norm(differences, axis=1)
    expected = coloured(get_colorscale(SEQUENTIAL), lengths[2] / lengths.max())
    pixels = pixels_of(opened, "#guidance-sum img[data-row=magnitude]")[..., :3]
    assert np.abs(pixels - expected).max() < 8, "as numbers travel"


@pytest.mark.parametrize("total", [1, 2, 26, 50])
def test_film_strip_shows_first_and_last_and_stays_short(page: Callable[..., Page], total: int) -> None:
    opened = page(f"/?tab=image&num_inference_steps={total}&prompt=a+blue+bird")
    wait_for(opened, "done")
    film = "[...document.querySelectorAll('#image-trace .film button{}')].map((thumb) => +thumb.dataset.step)"
    places = opened.evaluate(film.format(""))
    assert places == sorted(set(places))
    assert (places[0], places[-1]) == (0, total)
    assert len(places) == min(total + 1, 25)
    assert 1 <= len(opened.evaluate(film.format("[data-coarse]"))) <= 6


def test_a_link_leads_to_the_step(page: Callable[..., Page]) -> None:
    opened = page("/?tab=image")
    wait_for(opened, "done")
    slider = opened.locator("#image-trace input[type=range]")
    slider.press("Home")
    for _ in range(7):
        slider.press("ArrowRight")
    opened.wait_for_function("new URLSearchParams(location.search).get('image-trace.step') === '7'")
    opened.reload()
    wait_for(opened, "done")
    expect(opened.locator("#image-trace .count")).to_have_text("7 / 20")


def test_stop_shows_what_was_drawn_and_the_next_run_goes_through(
    page: Callable[..., Page],
) -> None:
    opened = page("/?num_inference_steps=50&tab=image")  # nobody's example, so a run starts
    wait_for(opened, "running")
    opened.evaluate("""() => new Promise((pressed) => {
      const press = () => document.querySelectorAll("#image-trace .film button").length > 2
        ? pressed(document.getElementById("stop").click()) : requestAnimationFrame(press);
      press();
    })""")  # by hand one may be slower than the model
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


def test_a_picture_takes_less_than_150_kilobytes_of_the_network(server: str) -> None:
    config = httpx.get(f"{server}/config").json()
    ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
    press = next(
        d for d in config["dependencies"] if [ids["generate"], "click"] in d["targets"] and d["backend_fn"]
    )
    asked = ["a blue bird", "", 3, 5, 20, "ddim", "classroom-image", None, None]
    call = {"data": asked, "fn_index": press["id"], "trigger_id": ids["generate"], "session_hash": "bytes"}
    httpx.post(f"{server}/gradio_api/queue/join", json=call, timeout=WAIT / 1000).raise_for_status()
    sent, whole = 0, False
    with httpx.stream(
        "GET", f"{server}/gradio_api/queue/data?session_hash=bytes", timeout=WAIT / 1000
    ) as stream:
        for line in stream.iter_lines():
            sent += len(line.encode()) + 1
            if "process_completed" in line:
                whole = json.loads(line.removeprefix("data:"))["success"]
                break
    assert whole
    assert 50_000 < sent < 150_000, "the latents of 20 steps, each once"
