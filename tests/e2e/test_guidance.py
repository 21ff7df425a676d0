"""The guidance tab in a browser."""

from collections.abc import Callable

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from components.ui.language import load_texts
from tests.conftest import WAIT, stand_over_their_points

EN = load_texts("en")
QUICK = "/?tab=guidance&num_inference_steps=2"


def open_guidance(page: Callable[..., Page]) -> Page:
    opened = page(QUICK)
    opened.locator("#guidance-sweep img").nth(7).wait_for(timeout=WAIT)
    return opened


def turn_dial(page: Page, scale: str) -> None:
    box = page.locator("#guidance-dial input[type=number]")
    box.fill(scale)
    box.blur()


def test_tab_is_filled_without_a_click(
    kept: Callable[..., Page],
) -> None:
    opened = open_guidance(kept)
    expect(opened.locator("#guidance-live img")).to_have_count(1)
    expect(opened.locator("#guidance-sum .sum img")).to_have_count(7)
    expect(opened.locator("#guidance-sweep .js-plotly-plot")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 390])
def test_every_picture_of_the_sweep_stands_over_its_point(kept: Callable[..., Page], width: int) -> None:
    opened = kept(QUICK, width=width)
    points = "#guidance-sweep .scatterlayer .point"
    opened.locator(points).nth(7).wait_for(timeout=WAIT)
    stand_over_their_points(opened, "#guidance-sweep figure img", points, 8)


def test_dial_draws_again_and_the_image_tab_shows_the_same_run(
    page: Callable[..., Page], open_tab: Callable[[Page, str], None]
) -> None:
    opened = open_guidance(page)
    turn_dial(opened, "12")
    live = opened.locator("#guidance-live")
    expect(live.locator("figure")).to_have_count(2, timeout=WAIT)
    expect(live.locator(".trace")).to_have_attribute("data-state", "done", timeout=WAIT)
    expect(live).to_contain_text(EN("guidance.before", scale="5"))
    expect(live).to_contain_text(EN("guidance.now", scale="12"))
    expect(live.locator(".formula b")).to_have_text("12")
    open_tab(opened, "image")
    expect(opened.locator("#image-trace .facts")).to_contain_text("Guidance 12", timeout=WAIT)


def test_steering_away_shows_two_pictures_of_one_seed(
    kept: Callable[..., Page],
) -> None:
    opened = open_guidance(kept)
    opened.locator("#away").click()
    away = opened.locator("#guidance-away")
    expect(away.locator("img")).to_have_count(2, timeout=WAIT)
    expect(away).to_contain_text(EN("guidance.negative_with", text=EN("guidance.negative_default")))


def test_endpoint_sweeps_and_refuses_nine_scales(client: Client) -> None:
    result = client.predict(
        prompt="A red car.", scales=[0, 1, 5], num_inference_steps=2, api_name="/guidance_sweep"
    )
    assert len(result["images"]) == len(result["clip_scores"]) == 3
    with pytest.raises(AppError, match="a list of 1 to 8 entries"):
        client.predict(prompt="A red car.", scales=[1.0] * 9, api_name="/guidance_sweep")
