"""The prompt lab in a browser."""

from collections.abc import Callable

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from components.page.prompt_bar import FIRST, LECTURE
from components.ui.language import load_texts
from tests.conftest import WAIT

EN, DE = load_texts("en"), load_texts("de")
QUICK = "/?tab=prompt_lab&num_inference_steps=2"
Opener = Callable[..., Page]


def open_lab(page: Opener, path: str = QUICK) -> Page:
    opened = page(path)
    opened.locator("#lab-grid .pl-facts").wait_for(timeout=WAIT)
    expect(opened.locator("#lab-grid img")).to_have_count(9, timeout=WAIT)
    return opened


def chip(page: Page, dimension: str, value: str):
    return page.locator(f'#lab-builder [data-dimension="{dimension}"][data-value="{value}"]')


def prompt_is(page: Page, text: str) -> None:
    expect(page.locator("#prompt textarea")).to_have_value(text)


def test_chips_change_one_word_of_the_prompt_and_say_which(kept: Opener) -> None:
    opened = open_lab(kept)
    chip(opened, "colour", "blue").click()
    prompt_is(opened, "A blue car on the beach.")
    expect(opened.locator("#lab-builder del")).to_have_text("red")
    expect(opened.locator("#lab-builder ins")).to_have_text("blue")
    expect(chip(opened, "colour", "blue")).to_have_attribute("aria-pressed", "true")
    chip(opened, "colour", "blue").click()
    prompt_is(opened, "A car on the beach.")
    expect(chip(opened, "colour", "blue")).to_have_attribute("aria-pressed", "false")
    chip(opened, "negative", "watermark").click()
    expect(opened.locator("#lab-builder .pl-away")).to_have_text(EN("prompt_lab.away_from", text="watermark"))
    opened.locator("#prompt-bar-more .sv-more-button").click()
    expect(opened.locator("#negative-prompt textarea")).to_have_value("watermark")
    opened.locator("#prompt textarea").fill("<b>two</b> dogs")
    expect(chip(opened, "content", "dog")).to_have_attribute("aria-pressed", "true")
    chip(opened, "content", "bird").press("Enter")  # by keyboard, too
    prompt_is(opened, "<b>two</b> birds")


def test_a_row_draws_its_words_and_a_picture_puts_its_word_into_the_prompt(page: Opener) -> None:
    opened = open_lab(page)
    opened.locator('#lab-builder [data-draw="style"]').click()
    expect(opened.locator("#lab-draw")).to_have_text(
        EN("prompt_lab.draw", dimension=EN("prompt_lab.dimension.style"))
    )
    watercolor = opened.locator('#lab-grid [data-value="watercolor"]')
    expect(watercolor.locator("img")).to_be_visible(timeout=WAIT)
    expect(opened.locator("#lab-grid img")).to_have_count(7, timeout=WAIT)
    watercolor.click()
    prompt_is(opened, f"{FIRST.prompt} Watercolor.")
    expect(chip(opened, "style", "watercolor")).to_have_attribute("aria-pressed", "true")


def test_an_example_of_the_lecture_draws_what_it_is_about(page: Opener) -> None:
    opened = open_lab(page)
    opened.locator("#lab-example-relation").click()
    prompt_is(opened, LECTURE[1].prompt)
    behind = opened.locator('#lab-grid [data-dimension="relation"][data-value="behind"] img')
    expect(behind).to_be_visible(timeout=WAIT)
    expect(opened.locator("#lab-grid .pl-facts")).to_contain_text("in front of a House")


def test_stop_ends_the_pictures_within_a_step(page: Opener) -> None:
    opened = page("/?tab=prompt_lab&num_inference_steps=50")
    expect(opened.locator("#lab-grid img").first).to_be_visible(timeout=WAIT)  # at least one step is there
    opened.locator("#lab-grid [data-stop]").click(timeout=WAIT)
    expect(opened.locator("#lab-grid [data-stop]")).to_have_count(0, timeout=WAIT)
    before = EN("prompt_lab.stopped", step="#", total=50).split("#")[0]
    expect(opened.locator("#lab-grid")).to_contain_text(before)


def test_each_word_is_left_out_and_the_one_that_mattered_is_named(kept: Opener, server_log) -> None:
    opened = open_lab(kept)
    opened.locator("#lab-without-run").click()
    expect(opened.locator("#lab-without .pl-result b").first).to_be_visible(timeout=WAIT)
    expect(opened.locator("#lab-without img")).to_have_count(7)
    expect(opened.locator("#lab-without-bars .bars .point")).to_have_count(12)
    opened.locator("#prompt textarea").fill("cat")
    opened.locator("#lab-without-run").click()
    expect(opened.locator(".toast-body")).to_contain_text("at least two words")
    expect(opened.locator("#lab-without img")).to_have_count(7)  # what was there is kept
    opened.locator(".toast-close").click()
    opened.locator("#prompt textarea").fill("")
    opened.locator("#lab-draw").click()
    expect(opened.locator(".toast-body")).to_contain_text("prompt")
    expect(opened.locator("#lab-grid img")).to_have_count(9)
    assert "unexpected error" not in server_log.read_text()


def test_ones_own_word_and_seeds_stand_as_dots_beneath_the_distributions(page: Opener) -> None:
    opened = open_lab(page, "/de" + QUICK[1:])
    expect(opened.locator("#lab-words .pl-result")).to_be_visible()
    measured = opened.locator("#lab-distribution").count() > 0
    opened.locator("#lab-own-run").click()
    expect(opened.locator("#lab-own img")).to_have_count(8, timeout=WAIT)
    expect(opened.locator("#lab-own .pl-result")).to_contain_text("12", timeout=WAIT)
    if measured:
        expect(opened.locator("#lab-distribution .scatterlayer .point")).to_have_count(16)


def test_a_negative_prompt_stands_beside_its_defect_and_no_beside_it(kept: Opener) -> None:
    opened = open_lab(kept)
    opened.locator("#prompt textarea").fill("")  # its texts are its own
    opened.locator("#lab-defect").get_by_text("watermark").click()
    opened.locator("#lab-negative-run").click()
    expect(opened.locator("#lab-negative .pl-facts")).to_be_visible(timeout=WAIT)
    expect(opened.locator("#lab-negative img")).to_have_count(4)
    expect(opened.locator("#lab-negative")).to_contain_text("a cat, watermark")
    expect(opened.locator("#lab-negative")).to_contain_text("a cat, no dog")
    expect(opened.locator("#lab-measured .pl-result")).to_be_visible()


def test_endpoints_draw_and_refuse(client: Client) -> None:
    files, numbers = client.predict(
        prompt="A red car.", dimension="size", num_inference_steps=2, api_name="/prompt_variants"
    )
    assert len(files) == len(numbers["clip_scores"]) == 3
    files, numbers = client.predict(prompt="A red car.", num_inference_steps=2, api_name="/leave_one_out")
    assert len(files) == 4 and numbers["words"] == ["A", "red", "car."]
    with pytest.raises(AppError, match=r"one from the list \(content.*taste"):
        client.predict(prompt="A red car.", dimension="taste", api_name="/prompt_variants")
    with pytest.raises(AppError, match="at least two words"):
        client.predict(prompt="🐱🐱", api_name="/leave_one_out")
    with pytest.raises(AppError, match="2000"):
        client.predict(prompt="a " * 5000, api_name="/leave_one_out")
