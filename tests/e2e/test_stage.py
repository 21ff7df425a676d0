"""The stage, the scenes on the page, and links to them, as a lecturer uses them."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from benchmarks.browser import go_to_tab
from components.ui.language import load_texts
from tests.conftest import violations

ROOT = "html"
# What a scene on the stage shows outside the window, and whether it shows a result and a way to act.
OUTSIDE = """id => {
  const scene = document.getElementById(id);
  const bottom = document.getElementById("sv-stage-bar").getBoundingClientRect().top;
  const kinds = "h3, p, img, svg, canvas, table, button, input, textarea, select";
  const unseen = ".sv-sr, [class*='scroll'], .modebar, [data-testid='status-tracker']";
  return [...scene.querySelectorAll(kinds)].filter((part) => !part.closest(unseen)
    && part.checkVisibility({ visibilityProperty: true, opacityProperty: true })).map((part) => {
    const box = part.getBoundingClientRect();
    const out = box.bottom > bottom + 2 || box.top < 0 || box.right > innerWidth + 2 || box.left < -2;
    return out && box.width > 1 && `${part.outerHTML.slice(0, 90)} ${JSON.stringify(box)}`;
  }).filter(Boolean);
}"""


def _scenes(opened: Page) -> list[dict[str, str]]:
    found = json.loads(opened.locator("#sv-scenes").get_attribute("data-scenes"))
    return [scene for scene in found if scene["stage"]]


def _query(opened: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(opened.url).query)


def _scene(opened: Page, key: str) -> None:
    """The stage shows this scene, and its size has settled."""
    opened.wait_for_function("key => new URLSearchParams(location.search).get('scene') === key", arg=key)
    expect(opened.locator(f"#scene-{key.replace('.', '-')}")).to_have_attribute("data-fits", "true")


QUICK = "num_inference_steps=2&video.steps=2&audio.seconds=0.4"


@pytest.mark.parametrize("path", ["/?stage=1", "/de?stage=1"])
def test_the_arrow_key_leads_through_all_scenes_and_each_fits_the_projector(page, path):
    opened = page(f"{path}&{QUICK}", width=1280, height=720, closed=True)
    scenes = _scenes(opened)
    titles = set()
    for scene in scenes:
        _scene(opened, scene["key"])
        shown = opened.locator(f"#{scene['id']}")
        expect(shown.locator("h3:visible").first).to_be_visible()
        titles.add(scene["title"])
        if scene["by"]:  # nobody presses a button
            expect(shown.locator(":is(img, canvas, .js-plotly-plot):visible").first).to_be_visible()
        try:  # what a run brings is fitted within a moment
            opened.wait_for_function(f"id => ({OUTSIDE})(id).length === 0", arg=scene["id"], timeout=5_000)
        except PlaywrightTimeout:
            assert opened.evaluate(OUTSIDE, scene["id"]) == [], scene["key"]
        assert opened.locator(".sv-scene:visible").count() == 1
        opened.keyboard.press("ArrowRight")
    assert len(scenes) > 45 and len(titles) > 45
    opened.keyboard.press("PageUp")
    _scene(opened, scenes[-2]["key"])


def test_the_keys_of_the_stage(page):
    opened = page("/?tab=guidance", closed=True)
    opened.locator("#prompt textarea").press_sequentially(" f")
    expect(opened.locator(ROOT)).not_to_have_attribute("data-stage", "")
    opened.locator("#tab-guidance-button").focus()
    opened.keyboard.press("f")
    _scene(opened, "guidance.live")
    expect(opened.locator("#sv-header")).to_be_hidden()
    result = opened.locator("#guidance-live .trace")
    expect(result).to_be_visible()
    opened.keyboard.press("r")
    expect(result).to_be_hidden()
    opened.keyboard.press("r")
    expect(result).to_be_visible()
    opened.keyboard.press("b")
    expect(opened.locator("#sv-stage-black")).to_be_visible()
    opened.keyboard.press("b")
    expect(opened.locator("#sv-stage-black")).to_be_hidden()
    panel = opened.locator("#sv-stage-panel")
    opened.keyboard.press("n")
    expect(panel).to_contain_text(load_texts("en")("common.note_title"))
    opened.keyboard.press("?")
    expect(panel.locator("kbd")).to_have_count(10)
    opened.keyboard.press("ArrowRight")
    _scene(opened, "guidance.sum")
    expect(panel).to_be_hidden()
    opened.keyboard.press("Escape")
    expect(opened.locator(ROOT)).not_to_have_attribute("data-stage", "")
    expect(opened.locator("#scene-guidance-sum .sv-scene-button")).to_have_attribute("aria-expanded", "true")


def test_the_speaker_sees_what_comes_next(page):
    opened = page("/de?tab=guidance", closed=True)
    t = load_texts("de")
    opened.locator("#tab-guidance-button").press("f")
    _scene(opened, "guidance.live")
    with opened.expect_popup() as waiting:
        opened.keyboard.press("s")
    speaker = waiting.value
    expect(speaker.locator("main")).to_contain_text(t("guidance.live_title"))
    expect(speaker.locator("main")).to_contain_text(f"{t('common.stage.next_up')}: {t('guidance.sum_title')}")
    speaker.locator("body").press("PageDown")
    _scene(opened, "guidance.sum")
    expect(speaker.locator("main h1")).to_have_text(t("guidance.sum_title"))


def test_a_tab_shows_its_first_experiment_and_opens_the_others(page):
    opened = page("/?tab=guidance", closed=True)
    expect(opened.locator("#guidance-live")).to_be_visible()
    expect(opened.locator("#sweep")).to_be_hidden()
    heading = opened.locator("#scene-guidance-sweep .sv-scene-button")
    heading.focus()
    opened.keyboard.press("Enter")
    expect(opened.locator("#sweep")).to_be_visible()
    opened.wait_for_function("new URLSearchParams(location.search).get('scene') === 'guidance.sweep'")
    opened.reload()
    expect(opened.locator("#sweep")).to_be_visible()
    expect(opened.locator("#sweep")).to_be_in_viewport()


def test_a_link_that_asks_for_the_impossible_is_taken_as_far_as_it_goes(page):
    opened = page(
        "/?tab=conditioning&scene=guidance.nothing&conditioning.at=99&image.scheduler=nope&v=9&seed=7",
        closed=True,
    )
    t = load_texts("en")
    expect(opened.get_by_text(t("common.stage.unknown").replace("SCENE", "guidance.nothing"))).to_be_visible()
    expect(opened.locator(".toast-body", has_text=t("common.link.other_version"))).to_be_visible()
    told = opened.locator(".toast-body", has_text=t("conditioning.at"))
    expect(told).to_contain_text("99")
    expect(told).to_contain_text(t("image.scheduler"))
    expect(opened.locator("#seed input")).to_have_value("7")


def _turn(opened: Page) -> None:
    """Choose something on several tabs, by hand."""
    go_to_tab(opened, "context")
    opened.locator("#context-view .cx-slider input").press("End")
    opened.locator("#context-view .cx-token").nth(2).click()
    go_to_tab(opened, "clip_matrix")
    opened.locator("#clip-view input").nth(1).check()
    go_to_tab(opened, "conditioning")
    opened.locator("#conditioning-at input[type=number]").fill("12")


def test_a_shared_link_restores_every_choice_in_another_browser(page):
    opened = page("/?prompt=a+red+car")
    _turn(opened)
    opened.wait_for_function("new URLSearchParams(location.search).get('conditioning.at') === '12'")
    opened.locator("[data-share]").click()
    dialog = opened.locator("#sv-share")
    dialog.locator("input[value=de]").check()
    dialog.locator("input[name=hide][value=negative]").check()
    link = dialog.locator("#sv-share-link").input_value()
    expect(dialog.locator("#sv-share-qr")).to_have_js_property("complete", True)
    assert opened.evaluate("document.getElementById('sv-share-qr').naturalWidth") > 100
    assert dialog.locator("#sv-share-embed").input_value().startswith("<iframe src=")
    parts = urlsplit(link)
    other = page(f"{parts.path}?{parts.query}", locale="de-DE")
    assert other.locator(ROOT).get_attribute("lang") == "de"
    expect(other.locator("#prompt textarea")).to_have_value("a red car")
    expect(other.locator("#conditioning-at input[type=number]")).to_have_value("12")
    expect(other.locator("#negative-prompt")).to_be_hidden()
    go_to_tab(other, "clip_matrix")
    expect(other.locator("#clip-view input").nth(1)).to_be_checked()
    go_to_tab(other, "context")
    slider = other.locator("#context-view .cx-slider input")
    expect(slider).to_have_value(slider.get_attribute("max"))
    expect(other.locator("#context-view .cx-token.cx-here")).to_have_count(1)
    expect(other.locator("#context-view .cx-token").nth(2)).to_have_class(re.compile("cx-here"))


def test_a_link_holds_choices_that_another_choice_decides(page):
    link = (
        "/?tab=embeddings&embeddings.direction=colour&embeddings.plus=red&embeddings.minus=blue&embeddings.axes=3"
        "&embeddings.grouping=colour&embeddings.only=red&prompt_lab.dimension=style&prompt_lab.value=pencil+sketch"
        "&video.prompt=A+cat+walks+left."
    )
    opened = page(link)
    for place, said in (("direction-plus", "red"), ("direction-minus", "blue"), ("embedding-only", "red")):
        expect(opened.locator(f"#{place} input")).to_have_value(said)
    expect(opened.locator("#direction-verdict")).to_contain_text("red")
    opened.wait_for_function(
        "document.querySelector('#embedding-map .js-plotly-plot')?.data?.[0]?.type === 'scatter3d'"
    )
    for name in ("embeddings.only", "embeddings.minus", "embeddings.axes"):  # the page says the same again
        assert opened.evaluate(f"new URLSearchParams(location.search).get('{name}')")
    expect(opened.get_by_role("alert")).to_have_count(0)
    other = page("/?tab=embeddings&embeddings.direction=place")
    expect(other.locator("#direction-verdict")).to_contain_text(" puts ")
    go_to_tab(opened, "prompt_lab")
    expect(opened.locator("#lab-own-value input")).to_have_value("pencil sketch")
    go_to_tab(opened, "video")
    expect(opened.locator("#video-motion input:checked")).to_have_count(1)
    assert opened.evaluate("document.querySelector('#video-motion input:checked').value") != ""


def test_an_embedded_page_has_no_header_and_tells_its_height(page, server):
    opened = page("/?tab=tokens", closed=True)
    opened.evaluate(
        """address => new Promise((told) => {
          addEventListener("message", ({ data }) => data?.steuervektor && told(data.steuervektor.height));
          const frame = document.createElement("iframe");
          frame.id = "inner";
          frame.src = address;
          frame.style = "width:900px;height:500px";
          document.body.append(frame);
        }).then((height) => { window.told = height; })""",
        f"{server}/?embed=1&tab=tokens",
    )
    opened.wait_for_function("window.told > 400")
    inner = opened.frame_locator("#inner")
    expect(inner.locator("#tokens-view .tk-strip")).to_be_visible()
    expect(inner.locator("#sv-header")).to_be_hidden()


def test_the_stage_and_the_link_break_no_rule_of_accessibility(page):
    opened = page("/?stage=1&scene=guidance.live", closed=True)
    opened.locator("#guidance-live img").first.wait_for()
    assert violations(opened) == []
    opened.keyboard.press("?")
    assert violations(opened) == []
    opened.keyboard.press("Escape")
    opened.locator("[data-share]").click()
    assert violations(opened) == []
