"""Cross-attention and conditioning in a browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import Page, expect

from components.ui.language import load_texts
from tests.conftest import WAIT

EN = load_texts("en")
QUICK = "/?num_inference_steps=3&prompt=A%20small%20cat%20on%20a%20bed."
Opener, TabOpener = Callable[..., Page], Callable[[Page, str], None]


@pytest.fixture
def attention(kept: Opener) -> Page:
    opened = kept(f"{QUICK}&tab=cross_attention")
    opened.locator("#attention-view [data-chips] button").first.wait_for(timeout=WAIT)
    return opened


def chosen(page: Page) -> str:
    return page.locator('#attention-view [data-chips] [aria-checked="true"] b').inner_text()


def heat(page: Page) -> list[int]:
    """The lead map's cells: their opacity."""
    return page.evaluate(
        """() => { const c = document.querySelector('#attention-view [data-heat] canvas');
        const all = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        return [...all].filter((_, i) => i % 4 == 3); }"""
    )


def test_heat_follows_token_step_layers_and_branch(attention: Page) -> None:
    assert chosen(attention) == "cat"  # the first thing
    first = heat(attention)
    assert len(first) == 256 and max(first) == 235
    attention.locator("#attention-view [data-chips] button", has_text="bed").click()
    expect(attention.locator("#attention-view [data-legend] b")).to_have_text("bed")
    assert heat(attention) != first
    attention.keyboard.press("ArrowLeft")
    expect(attention.locator("#attention-view [data-legend] b")).to_have_text("a")
    attention.locator("#attention-view .pills span", has_text="8×8").click()
    expect(attention.locator("#attention-view [data-heat] canvas")).to_have_attribute("width", "8")
    attention.locator("#attention-view [data-frame]").nth(1).click()
    expect(attention.locator("#attention-view [data-step-label]")).to_have_text(
        EN("image.step", step=2, total=3)
    )
    attention.locator("#attention-view .pills span", has_text=EN("cross_attention.without")).click()
    expect(attention.locator("#attention-view [data-chips] button")).to_have_count(3)


def test_a_link_leads_to_the_word_and_the_step(page: Opener) -> None:
    attention = page(f"{QUICK}&tab=cross_attention")
    attention.locator("#attention-view [data-chips] button", has_text="cat").click()
    attention.locator("#attention-view [data-frame]").nth(1).click()
    attention.wait_for_function("new URLSearchParams(location.search).get('attention-view.step') === '2'")
    attention.reload()
    expect(attention.locator("#attention-view [data-legend] b")).to_have_text("cat", timeout=WAIT)
    label = EN("image.step", step=2, total=3)
    expect(attention.locator("#attention-view [data-step-label]")).to_have_text(label)


def test_hiding_tokens_shows_attention_beside_effect(attention: Page) -> None:
    attention.locator("#attention-hide").click()
    expect(attention.locator("#attention-hidden .gallery img")).to_have_count(10, timeout=WAIT)
    expect(attention.locator("#attention-hidden-figure .bars .point")).to_have_count(18, timeout=WAIT)


def test_a_world_picture_and_an_upload(attention: Page, tmp_path: Path) -> None:
    view = attention.locator("#attention-picture")
    expect(view.locator(".truths figure")).to_have_count(2, timeout=WAIT)
    path = tmp_path / "wide.png"
    Image.new("RGB", (120, 60), "red").save(path)
    attention.locator("#attention-text textarea").fill("a red <i>ball</i>")
    with attention.expect_file_chooser() as chooser:
        attention.locator("#attention-upload").click()
    chooser.value.set_files(path)
    expect(view.locator(".truths figure")).to_have_count(0, timeout=WAIT)
    expect(view.locator(".word figcaption", has_text="ball")).to_be_visible()
    assert view.locator(".word canvas").first.get_attribute("width") == "24"
    broken = tmp_path / "broken.png"
    broken.write_bytes(path.read_bytes()[:60])
    with attention.expect_file_chooser() as chooser:
        attention.locator("#attention-upload").click()
    chooser.value.set_files(broken)
    expect(attention.locator(".toast-body")).to_contain_text("damaged", timeout=WAIT)
    expect(view.locator(".word")).not_to_have_count(0)


def test_the_same_run_serves_both_tabs(attention: Page, open_tab: TabOpener) -> None:
    open_tab(attention, "conditioning")
    expect(attention.locator("#conditioning-effects .main-svg").first).to_be_visible(timeout=WAIT)
    expect(attention.locator("#conditioning-effects .heatmaplayer image")).to_have_count(4)


def test_cutting_blocks_and_swapping_prompts(page: Opener) -> None:
    opened = page(f"{QUICK}&tab=conditioning")
    opened.locator("#conditioning-effects .main-svg").first.wait_for(timeout=WAIT)
    opened.locator("#conditioning-cut").click()
    expect(opened.locator("#conditioning-cuts img")).to_have_count(8, timeout=WAIT)
    opened.locator("#conditioning-switch").click()
    expect(opened.locator("#conditioning-row img")).to_have_count(4, timeout=WAIT)
    expect(opened.locator("#conditioning-scores .scatterlayer .point")).to_have_count(8, timeout=WAIT)
    box = opened.locator("#conditioning-at input[type=number]")
    box.fill("1")
    box.blur()
    expect(opened.locator("#conditioning-one .trace")).to_have_attribute("data-state", "done", timeout=WAIT)
    expect(opened.locator("#conditioning-one")).to_contain_text("A large cat on a bed.")


def test_endpoints_explain_what_they_refuse(client: Client) -> None:
    maps = client.predict(prompt="a cat", num_inference_steps=2, api_name="/cross_attention")
    assert maps["tokens"][1:3] == ["a", "cat"]
    with pytest.raises(AppError, match="second prompt"):
        client.predict(prompt="a cat", prompt_b=" ", api_name="/switch_prompts")
    with pytest.raises(AppError, match="0 to 2"):
        client.predict(
            prompt="a cat", prompt_b="a car", switch_at=[3], num_inference_steps=2, api_name="/switch_prompts"
        )
    with pytest.raises(AppError, match="from the list"):
        client.predict(prompt="a cat", model="nonsense", api_name="/cut_blocks")


@pytest.mark.parametrize(
    "stem, result", [("guidance", "#guidance-live"), ("conditioning", "#conditioning-status")]
)
def test_enter_draws_a_new_prompt_though_no_other_tab_was_opened(
    page: Opener, stem: str, result: str
) -> None:
    opened = page(f"{QUICK}&tab={stem}")
    stop = opened.locator(f"#{stem}-{'draw-' if stem == 'conditioning' else ''}stop")
    opened.locator(f"#tab-{stem} img, #tab-{stem} .js-plotly-plot").first.wait_for(timeout=WAIT)
    expect(stop).to_be_disabled()
    opened.locator("#prompt textarea").fill("A red dog in the snow.")
    with opened.expect_request(
        lambda request: "queue/join" in request.url and "red dog" in (request.post_data or "")
    ):
        opened.locator("#prompt textarea").press("Enter")
    expect(opened.locator(f"#tab-{stem}")).to_contain_text("A red dog in the snow.")


def test_the_result_that_is_seen_follows_enter_and_an_old_one_says_so(page: Opener) -> None:
    """In the scene that stands open; the other one's figures stay dimmed until they are drawn anew."""
    opened = page(f"{QUICK}&tab=conditioning", closed=True)
    one, scene = opened.locator("#conditioning-one"), opened.locator("#scene-conditioning-switch")
    expect(one.locator("[data-state=done]")).to_be_visible(timeout=WAIT)
    expect(opened.locator("[data-outdated]")).to_have_count(0)
    opened.locator("#prompt textarea").fill("A red dog in the snow.")
    expect(scene).to_have_attribute("data-outdated", "")
    assert one.locator("img").evaluate("image => getComputedStyle(image).opacity") == "0.4"
    opened.locator("#prompt textarea").press("Enter")
    expect(one.locator(".first")).to_contain_text("A red dog in the snow.", timeout=WAIT)
    expect(one.locator("[data-state=done]")).to_be_visible(timeout=WAIT)
    expect(scene).not_to_have_attribute("data-outdated", "")
    effects = opened.locator("#scene-conditioning-effects")
    effects.locator(".sv-scene-button").click()
    expect(effects).to_have_attribute("data-outdated", "")
    assert effects.locator(".sv-plot").first.evaluate("plot => getComputedStyle(plot).opacity") == "0.4"
    opened.locator("#conditioning-draw").click()
    expect(effects).not_to_have_attribute("data-outdated", "", timeout=WAIT)
