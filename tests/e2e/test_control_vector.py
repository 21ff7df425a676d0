"""The control vector tab in a browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import Page, expect

from components.ui.language import load_texts
from tests.conftest import WAIT, stand_over_their_points

EN, DE = load_texts("en"), load_texts("de")
QUICK = "num_inference_steps=2"


def open_vector(page: Callable[..., Page], path: str = "/", **size: int) -> Page:
    opened = page(f"{path}&tab=control_vector" if "?" in path else f"{path}?tab=control_vector", **size)
    opened.locator("#cv-handed .cv-row").nth(76).wait_for(state="attached", timeout=WAIT)
    return opened


def test_what_is_handed_over_is_there_at_once_and_follows_the_prompt(page: Callable[..., Page]) -> None:
    opened = open_vector(page, "/?prompt=A%20small%20cat%20on%20a%20bed.")
    detail = opened.locator("#cv-handed .cv-detail")
    expect(opened.locator("#cv-handed .cv-row")).to_have_count(77)
    expect(detail.locator("b")).to_have_text(EN("tokens.strip.end"))
    expect(opened.locator("#cv-table .cv-chosen")).to_contain_text("Classroom diffusion")
    heat = "() => getComputedStyle(document.querySelector('#cv-handed .cv-heat')).backgroundImage"
    before = opened.evaluate(heat)
    assert before.startswith('url("data:image/png')

    opened.locator("#cv-handed .cv-row").nth(3).hover()
    expect(detail.locator("b")).to_have_text("cat")
    opened.locator("#cv-handed .cv-row").nth(3).click()
    opened.keyboard.press("ArrowDown")
    expect(detail.locator("b")).to_have_text("on")
    expect(detail.locator("li")).to_have_count(3)
    opened.keyboard.press("End")
    expect(detail.locator("b")).to_have_text(EN("control_vector.padding_name"))

    opened.locator("#prompt textarea").fill("A dog in the sea")
    expect(opened.locator("#cv-handed .cv-chip")).to_have_text(
        ["start", "a", "dog", "in", "the", "sea", "end"], timeout=WAIT
    )
    assert opened.evaluate(heat) != before
    expect(opened.locator("#cv-tokens [aria-pressed=true]")).to_have_text("dog")
    expect(opened.locator("#cv-tokens .cv-note")).to_have_text(
        EN("control_vector.choice_gone", gone="cat", now="dog")
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_from_a_to_b_with_every_picture_over_its_point(page: Callable[..., Page], width: int) -> None:
    opened = open_vector(page, f"/?{QUICK}&prompt_b=A%20blue%20bird.", width=width)
    expect(opened.locator("#cv-pair .cv-B")).to_contain_text("A blue bird.")
    opened.locator("#cv-blend-start").click()
    view = opened.locator("#cv-blend-view")
    expect(view.locator(".lever")).to_have_attribute("data-state", "done", timeout=WAIT)
    expect(view.locator(".lever-row img")).to_have_count(7)
    expect(view).to_contain_text("A blue bird.")
    opened.locator("#cv-blend-figure .scatterlayer .trace").nth(1).locator(".point").nth(6).wait_for(
        timeout=WAIT
    )
    points = "#cv-blend-figure .scatterlayer .trace:first-child .point"
    stand_over_their_points(opened, "#cv-blend-view .lever-row img", points, 7)

    lead = view.locator("[data-lead]")
    view.locator("[data-station='6']").click()
    expect(view.locator("[data-read]")).to_have_text("0% A + 100% B")
    assert lead.get_attribute("src") == view.locator("[data-station='6'] img").get_attribute("src")
    assert opened.locator("#cv-blend-slider input[type=range]").input_value() == "1"

    box = opened.locator("#cv-blend-slider input[type=number]")
    box.fill("0.4")
    box.blur()
    expect(view.locator("[data-caption]")).to_have_text(EN("control_vector.exact"), timeout=WAIT)
    expect(view.locator("[data-scores]")).to_contain_text("CLIP", timeout=WAIT)
    expect(view.locator("[data-read]")).to_have_text("60% A + 40% B")
    expect(view.locator(".lever-row img")).to_have_count(7)


def test_equal_prompts_are_explained_and_nothing_is_lost(page: Callable[..., Page]) -> None:
    opened = open_vector(page, f"/?{QUICK}&prompt=A%20dog.&prompt_b=a%20DOG%20.")
    expect(opened.locator("#cv-pair")).to_contain_text(EN("errors.prompts_equal"))
    opened.locator("#cv-blend-start").click()
    expect(opened.locator(".toast-body")).to_contain_text(EN("errors.prompts_equal"), timeout=WAIT)
    expect(opened.locator("#cv-blend-view .lever")).to_have_attribute("data-state", "idle")
    opened.locator(".toast-close").click()  # it lies over what is clicked next
    opened.locator("#prompt-bar-more .sv-more-button").click()
    expect(opened.locator("#prompt-b textarea")).to_have_value("a DOG .")
    opened.locator("#prompt-b textarea").fill("")
    expect(opened.locator("#cv-pair .cv-B")).to_contain_text("A dog in a meadow.", timeout=WAIT)
    opened.locator("#cv-blend-start").click()
    expect(opened.locator("#cv-blend-view")).to_contain_text(EN("control_vector.blend_example"), timeout=WAIT)
    expect(opened.locator("#cv-blend-view .lever")).to_have_attribute("data-state", "done", timeout=WAIT)


def test_one_words_weight_in_german(page: Callable[..., Page]) -> None:
    opened = open_vector(page, f"/de?{QUICK}")
    opened.locator("#cv-tokens button", has_text="beach").click()
    expect(opened.locator("#cv-tokens [aria-pressed=true]")).to_have_text("beach")
    opened.locator("#cv-onwards input").check()
    opened.locator("#cv-weight-start").click()
    view = opened.locator("#cv-weight-view")
    expect(view.locator(".lever")).to_have_attribute("data-state", "done", timeout=WAIT)
    expect(view.locator(".lever-row img")).to_have_count(5)
    expect(view).to_contain_text(DE("control_vector.weight_onwards", text="beach"))
    view.locator("[data-station='1']").click()
    expect(view.locator("[data-read]")).to_have_text("Gewicht 0,5")


def test_pooled_pictures_stop_within_a_step(page: Callable[..., Page]) -> None:
    opened = open_vector(page, "/?num_inference_steps=50")
    opened.locator("#cv-pooled-start").click()
    view = opened.locator("#cv-pooled-view")
    expect(view.locator("img")).to_have_count(8, timeout=WAIT)
    opened.locator("#cv-pooled-stop").click()
    expect(view).to_contain_text("Stopped after step", timeout=WAIT)
    expect(view.locator("img")).to_have_count(8)


def test_endpoints_answer_and_refuse(client: Client) -> None:
    said = client.predict(prompt="A red car.", api_name="/control_vector")
    assert said["sequence_shape"] == [77, 128] and said["tokens"][2] == "red"
    file, numbers = client.predict(
        prompt="A red car.", prompt_b="A tree.", blend=0.5, token_weights=[[2, 0.5]], num_inference_steps=2,
        api_name="/steer",
    )  # fmt: skip
    assert Image.open(Path(file)).size == (64, 64)
    assert numbers["parameters"]["steering"]["token_weights"] == [[2, 0.5]]
    for changes, words in (
        ({"token_weights": [[2, 3]]}, "number from 0 to 2"),
        ({"token_weights": [[200, 1]]}, "position 200"),
        ({"blend": 2}, "from 0 to 1"),
        ({"prompt_b": "A red car."}, "same tokens"),
        ({"prompt_b": ""}, "second prompt"),
    ):
        values = {"prompt": "A red car.", "num_inference_steps": 1} | changes
        with pytest.raises(AppError, match=words):
            client.predict(**values, api_name="/steer")
