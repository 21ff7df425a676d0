"""The page as a visitor meets it: both languages, its address, offline, narrow, hostile input."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Page, expect

from benchmarks.browser import go_to_tab
from components.page.prompt_bar import EXAMPLES, FIRST
from components.ui.language import load_texts
from components.ui.numbers import percent
from tests.conftest import violations

Opener = Callable[..., Page]
TabOpener = Callable[[Page, str], None]
STEMS = (
    "journey", "tokens", "embeddings", "context", "control_vector", "clip_matrix", "contrastive", "dino",
    "image", "guidance", "cross_attention", "conditioning", "prompt_lab", "video", "audio", "quiz",
)  # fmt: skip
HOSTILE = '<img src=x onerror="document.title=\'hacked\'"><script>document.title="hacked"</script>{{7*7}}'


def strangers(requests: list[str], server: str) -> list[str]:
    """Requests that leave the machine."""
    own = urlsplit(server).netloc
    return [
        url
        for url in requests
        if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != own
    ]


def prompt_of(page: Page) -> str:
    return page.locator("#prompt textarea").input_value()


def shown_text(page: Page, stem: str) -> str:
    """All text of a tab, that which a narrow screen hides included."""
    return page.locator(f"#tab-{stem}").evaluate("""(tab) => {
        const copy = tab.cloneNode(true);
        copy.querySelectorAll("script, style, template").forEach((e) => e.remove());
        return copy.textContent; }""")


@pytest.mark.parametrize(("path", "language"), [("/", "en"), ("/de", "de")])
def test_every_tab_is_offline_accessible_in_its_language_and_fits_a_phone(
    page: Opener, server: str, open_tab: TabOpener, path: str, language: str
) -> None:
    t, other = load_texts(language), load_texts("de" if language == "en" else "en")
    foreign = {v for k, v in other.entries.items() if len(v.split()) > 4 and v != t.entries[k]}
    seen: list[str] = []
    scheme = "light" if language == "en" else "dark"
    opened = page(path, width=390, height=844, seen=seen, color_scheme=scheme)
    assert opened.evaluate("document.documentElement.lang") == language
    expect(opened).to_have_title(t("common.page_title"))
    broken: set[str] = set()
    for stem in STEMS:
        open_tab(opened, stem)
        expect(opened.locator(f"#tab-{stem} .sv-note")).to_be_visible()
        expect(opened.locator(f"#tab-{stem} .sv-head h2")).to_have_text(t(f"{stem}.title"))
        expect(opened.locator(f"#tab-{stem} .sv-note h3")).to_have_text(t("common.note_title"))
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390, stem
        text = shown_text(opened, stem)
        assert [value for value in foreign if value in text] == []
        # what is still being computed is pale, or a label on nothing, for the moment
        within = "html" if stem == "journey" else f"#tab-{stem}"  # what stands around the tabs once
        broken |= {f"{stem}: {found}" for found in violations(opened, within, ".empty", contrast=False)}
    assert not broken
    opened.locator("#prompt-bar-more .sv-more-button").click()
    expect(opened.locator("#guidance-scale input[type=range]")).to_be_visible()
    expect(opened.locator("#image-model")).to_be_visible()
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    assert opened.locator(".reset-button:visible").count() > 1
    cut = opened.locator(".reset-button:visible").evaluate_all("""all => all.filter(button => {
        const own = button.getBoundingClientRect(), frame = button.parentElement.getBoundingClientRect();
        return own.height < 40 || own.bottom > frame.bottom;
    }).length""")
    assert cut == 0, "a finger finds them, and sees all of them"
    labels = opened.locator("[aria-label]").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    words = zip(t.many("common.gradio_words"), other.many("common.gradio_words"), strict=True)
    assert any(label.startswith(t("common.gradio_words.1")) for label in labels)
    assert not [label for _, foreign in words for label in labels if label.startswith(foreign)]

    assert len(seen) > 20 and any("Inter-Regular.woff2" in url for url in seen), "recorded too little"
    assert strangers(seen, server) == []
    # The record does see a stranger: this one is refused a connection, and noticed.
    opened.evaluate("fetch('http://127.0.0.1:9/font.woff2').catch(() => 0)")
    assert strangers(seen, server) == ["http://127.0.0.1:9/font.woff2"]


def test_tabs_stand_in_one_row_behind_their_chapter_and_the_others_in_menus(kept: Opener) -> None:
    opened, t = kept("/de?tab=tokens", height=720), load_texts("de")
    opened.set_viewport_size({"width": 1280, "height": 720})
    chapters = opened.locator("#sv-chapters > button")
    expect(chapters).to_have_text(
        [t(f"common.chapter.{name}") for name in ("reading", "pictures", "steering", "time")]
    )

    def in_the_row() -> list[str]:
        """What one sees from left to right; all of it on one line and within the window."""
        boxes = opened.locator("#tabs > .tab-wrapper button").evaluate_all("""all => all
            .map(e => [e.getBoundingClientRect(), e.id || e.dataset.chapter])
            .filter(([box]) => box.width > 1).sort(([a], [b]) => a.left - b.left)
            .map(([box, name]) => [name, box.top, box.right])""")
        assert max(box[1] for box in boxes) - min(box[1] for box in boxes) < 4
        assert max(box[2] for box in boxes) <= 1280
        return [re.sub(r"^tab-|-button$", "", box[0]) for box in boxes]

    tabs = ["tokens", "context", "control_vector", "embeddings"]
    steering = ["image", "cross_attention", "conditioning", "guidance", "prompt_lab"]
    assert in_the_row() == ["journey", "reading", *tabs, "pictures", "steering", "time", "quiz"]
    opened.locator('[data-chapter="steering"]').press("Enter")
    menu = opened.locator("#sv-chapter-steering")
    expect(menu.locator("button b")).to_have_text([t(f"{stem}.tab") for stem in steering], ignore_case=False)
    expect(menu.locator("button").first).to_be_focused()
    opened.keyboard.press("ArrowDown")
    expect(menu.locator("button").nth(1)).to_be_focused()
    opened.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    assert in_the_row()[1] == "reading", "nothing was chosen"
    go_to_tab(opened, "guidance")
    assert in_the_row() == ["journey", "reading", "pictures", "steering", *steering, "time", "quiz"]
    expect(opened.locator('[data-chapter="steering"]')).to_have_attribute("aria-current", "true")
    assert "tab=guidance" in opened.url
    go_to_tab(opened, "tokens")


def test_german_browsers_are_sent_to_german_unless_they_chose(page: Opener) -> None:
    opened = page("/?seed=5", locale="de-DE")
    expect(opened.locator("html")).to_have_attribute("lang", "de")
    assert urlsplit(opened.url).path == "/de"
    assert parse_qs(urlsplit(opened.url).query)["seed"] == ["5"]

    opened.locator('a[data-language="en"]').click()
    expect(opened.locator("html")).to_have_attribute("lang", "en")
    opened.locator("#prompt textarea").wait_for()
    opened.goto(urlsplit(opened.url)._replace(query="").geturl())
    opened.locator("#prompt textarea").wait_for()
    assert opened.evaluate("document.documentElement.lang") == "en", "the choice was forgotten"

    english = page("/", locale="fr-FR")
    assert english.evaluate("document.documentElement.lang") == "en"


def test_the_language_switch_keeps_all_of_the_state(page: Opener, open_tab: TabOpener) -> None:
    opened = page("/?tab=tokens")
    opened.locator("#prompt textarea").fill("Ein Hund & 2 Äpfel?")
    opened.locator("#prompt-bar-more .sv-more-button").click()
    opened.locator("#prompt-b textarea").fill("zweiter + Text")
    opened.locator("#negative-prompt textarea").fill("night")
    opened.locator("#seed input").fill("42")
    opened.locator("#guidance-scale input[type=number]").fill("7.5")
    opened.locator("#guidance-scale input[type=number]").press("Tab")
    opened.locator("#num-inference-steps input[type=number]").fill("9")
    opened.locator("#num-inference-steps input[type=number]").press("Tab")
    open_tab(opened, "image")
    opened.locator('a[data-language="de"]').click()

    expect(opened.locator("html")).to_have_attribute("lang", "de")
    expect(opened.locator("#prompt textarea")).to_have_value("Ein Hund & 2 Äpfel?")
    expect(opened.locator("#tab-image-button")).to_have_attribute("aria-selected", "true")
    opened.locator("#prompt-bar-more .sv-more-button").click()
    expect(opened.locator("#prompt-b textarea")).to_have_value("zweiter + Text")
    expect(opened.locator("#negative-prompt textarea")).to_have_value("night")
    expect(opened.locator("#seed input")).to_have_value("42")
    expect(opened.locator("#guidance-scale input[type=number]")).to_have_value("7.5")
    expect(opened.locator("#num-inference-steps input[type=number]")).to_have_value("9")


def test_back_goes_through_tabs_and_languages(page: Opener, open_tab: TabOpener) -> None:
    opened = page("/", locale="en-GB")

    def is_at(language: str, stem: str) -> None:
        expect(opened.locator("html")).to_have_attribute("lang", language)
        expect(opened.locator(f"#tab-{stem}-button")).to_have_attribute("aria-selected", "true")

    open_tab(opened, "tokens")
    open_tab(opened, "tokens")  # opened already: not another place
    opened.locator("#prompt textarea").fill("a red dog")
    expect(opened).to_have_url(re.compile(r"prompt=a\+red\+dog"))
    open_tab(opened, "video")
    opened.go_back()
    is_at("en", "tokens")
    expect(opened.locator("#prompt textarea")).to_have_value("a red dog")
    opened.go_back()
    is_at("en", "journey")
    assert parse_qs(urlsplit(opened.url).query)["prompt"] == ["a red dog"], "what is typed was lost"
    opened.go_forward()
    is_at("en", "tokens")

    opened.locator('a[data-language="de"]').click()
    is_at("de", "tokens")
    opened.locator("html[data-restored]").wait_for(state="attached")
    opened.go_back()
    is_at("en", "tokens")
    expect(opened.locator("#prompt textarea")).to_have_value("a red dog")
    opened.reload()
    is_at("en", "tokens")
    opened.go_forward()
    is_at("de", "tokens")


def test_the_controls_are_on_the_page_before_they_are_shown(page: Opener) -> None:
    """What is drawn only when it is opened loses what is typed in that moment."""
    opened = page("/de?tab=tokens")
    second, button = opened.locator("#prompt-b textarea"), opened.locator("#prompt-bar-more .sv-more-button")
    expect(second).to_be_attached()
    expect(second).to_be_hidden()
    button.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    second.fill("a dog")
    expect(opened).to_have_url(re.compile(r"prompt_b=a\+dog"))
    button.click()
    expect(second).to_be_hidden()
    button.click()
    expect(second).to_have_value("a dog")


@pytest.mark.parametrize(("path", "language"), [("/", "en"), ("/de", "de")])
def test_scripts_write_shares_as_the_server_does(kept: Opener, path: str, language: str) -> None:
    shares = [0, 0.0001, 0.0049, 0.006, 0.114, 0.5, 0.994, 0.996, 0.9994, 0.99999, 1]
    opened = kept(f"{path}?tab=tokens")
    written = opened.evaluate("shares => shares.map((share) => steuervektor.percent(share))", shares)
    assert written == [percent(share, load_texts(language)) for share in shares]
    finely = opened.evaluate("[0, 0.0004, 0.0006, 0.114, 0.9996, 1].map((s) => steuervektor.percent(s, 1))")
    expected = ["0.0%", "<0.1%", "0.1%", "11.4%", ">99.9%", "100.0%"]
    german = [text.replace(".", ",").replace("%", "\u202f%") for text in expected]
    assert finely == (german if language == "de" else expected)


def test_an_example_is_one_click_away(kept: Opener) -> None:
    opened = kept("/?tab=tokens")
    assert prompt_of(opened) == FIRST.prompt
    for place in (2, 1, 0):
        opened.locator("#prompt-bar .sv-chip").nth(place).click()
        expect(opened.locator("#prompt textarea")).to_have_value(EXAMPLES[place].prompt)
        expect(opened.locator("#seed input")).to_have_value(str(EXAMPLES[place].seed))


def test_markup_in_every_field_stays_text(page: Opener, open_tab: TabOpener, server_log: Path) -> None:
    # all tabs draw their first example
    opened = page("/?num_inference_steps=2&video.steps=2&audio.seconds=0.4")
    dialogs: list[str] = []
    opened.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    opened.locator("#prompt-bar-more .sv-more-button").click()
    for field in ("prompt", "prompt-b", "negative-prompt"):
        opened.locator(f"#{field} textarea").fill(HOSTILE)
    for stem in STEMS:
        open_tab(opened, stem)
        expect(opened.locator(f"#tab-{stem} .sv-head h2")).to_be_visible()
    # A tab has answered the hostile prompt once the next view of it is drawn: the tokens show it.
    open_tab(opened, "tokens")
    expect(opened.locator("#tab-tokens")).to_contain_text("onerror")
    assert opened.locator("img[src='x']").count() == 0
    assert opened.title() != "hacked"
    assert dialogs == []
    assert "unexpected error" not in server_log.read_text()


def test_markup_in_the_address_stays_text(page: Opener) -> None:
    opened = page(f"/de?prompt={quote(HOSTILE)}&seed=%3Cscript%3E&tab=%22%3E%3Cscript%3E&guidance_scale=nan")
    expect(opened.locator("#prompt textarea")).to_have_value(HOSTILE)
    assert opened.locator("img[src='x']").count() == 0
    assert opened.title() != "hacked"
    expect(opened.locator("#tab-journey-button")).to_have_attribute("aria-selected", "true")


def test_a_phone_has_one_row_of_tabs_and_the_open_one_is_in_sight(page: Opener, open_tab: TabOpener) -> None:
    opened = page("/de?tab=audio", width=390, height=844)
    row = opened.locator("#tabs > .tab-wrapper")
    last, middle = (opened.locator(f"#tab-{stem}-button") for stem in ("audio", "clip_matrix"))
    expect(last).to_be_in_viewport(ratio=1)
    assert row.bounding_box()["height"] < 70
    open_tab(opened, "clip_matrix")
    expect(middle).to_be_in_viewport(ratio=1)
    expect(last).not_to_be_in_viewport()
    assert opened.evaluate("window.scrollY") == 0, "the page itself was scrolled"


def test_body_text_reads_from_the_last_row(kept: Opener) -> None:
    opened = kept("/")
    small = opened.evaluate("""() => [...document.querySelectorAll('.gradio-container *')]
        .filter(e => e.checkVisibility() && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
        .filter(e => parseFloat(getComputedStyle(e).fontSize) < 14)
        .map(e => e.tagName + '.' + e.className + ': ' + e.textContent.trim().slice(0, 30))""")
    assert small == []
    claim = opened.locator("#tab-journey .sv-claim")
    assert float(claim.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")) >= 18
    assert "Inter" in claim.evaluate("e => getComputedStyle(e).fontFamily")
    assert opened.evaluate("document.fonts.check('18px Inter')")


def test_light_and_dark_follow_the_system_and_the_switch_which_the_address_keeps(page: Opener) -> None:
    dark = "document.body.classList.contains('dark')"
    assert page("/", color_scheme="dark").evaluate(dark) is True
    opened = page("/", color_scheme="light")
    assert opened.evaluate(dark) is False
    opened.locator("[data-theme-switch]").click()
    assert opened.evaluate(dark) is True
    opened.locator('a[data-language="de"]').click()
    expect(opened.locator("html")).to_have_attribute("lang", "de")
    opened.locator("#prompt textarea").wait_for()
    assert opened.evaluate(dark) is True


def test_one_finger_on_a_figure_scrolls_the_page(page: Opener) -> None:
    opened = page("/?tab=context", width=390, height=844, has_touch=True)
    figure = opened.locator("#context-moves .js-plotly-plot")
    figure.locator(".main-svg").first.wait_for()
    figure.evaluate("figure => figure.scrollIntoView({ block: 'center' })")
    finger = opened.context.new_cdp_session(opened)
    for spot in (
        (0.5, 0.5),
        (0.06, 0.5),
        (0.5, 0.9),
    ):  # what is drawn, and both axes
        box, before = figure.bounding_box(), opened.evaluate("scrollY")
        assert box is not None
        x, y = box["x"] + spot[0] * box["width"], box["y"] + spot[1] * box["height"]
        touches = [("touchStart", y), *(("touchMove", y - 12 * step) for step in range(1, 9))]
        for kind, at in touches:
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": at}]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        opened.wait_for_function("before => scrollY > before + 30", arg=before)


def test_messages_speak_the_pages_language_and_cover_no_switch(page: Opener) -> None:
    opened, t = page("/de?tab=image"), load_texts("de")
    opened.locator("#image-trace .trace[data-state=done]").wait_for()
    opened.locator("#prompt textarea").fill("")
    opened.locator("#tab-image button.primary").first.click()
    message = opened.locator(".toast-body")
    expect(message).to_contain_text(t("errors.prompt_empty"))
    below, own = opened.locator("#tabs > .tab-wrapper").bounding_box(), message.bounding_box()
    assert below and own and own["y"] >= below["y"] + below["height"]
    # one of Gradio's own, which only breaks of its own make
    opened.evaluate("""() => {
        const own = document.querySelector(".toast-body").cloneNode(true);
        own.textContent = "Error";
        document.querySelector(".toast-wrap").append(own); }""")
    expect(message.last).to_have_text(t("common.gradio_messages.0"))


def test_numbers_out_of_range_or_missing_are_mended_on_the_page(page: Opener, server_log: Path) -> None:
    opened, t = page("/de?tab=image"), load_texts("de")
    opened.locator("#prompt-bar-more .sv-more-button").click()
    scale, seed = opened.locator("#guidance-scale input[type=number]"), opened.locator("#seed input")
    before = len(server_log.read_text())
    scale.fill("25")
    expect(opened.locator("#guidance-scale .sv-hint")).to_contain_text("0 bis 20")
    scale.press("Tab")
    expect(scale).to_have_value("20")
    expect(opened).to_have_url(re.compile("guidance_scale=20"))
    scale.fill("")
    scale.press("Tab")
    expect(scale).to_have_value("20")
    seed.fill("")
    expect(opened.locator("#seed .sv-hint")).to_have_text(t("common.hint.number"))
    seed.press("Tab")
    expect(seed).to_have_value(str(FIRST.seed))
    scale.press("Control+a")
    scale.press_sequentially("0,5")
    expect(opened).to_have_url(re.compile("guidance_scale=0.5"))
    expect(opened.locator("#guidance-scale .sv-hint")).to_be_hidden()
    assert "Traceback" not in server_log.read_text()[before:]


def test_the_prompt_stays_in_view_while_one_scrolls(kept: Opener) -> None:
    opened = kept("/", height=600)
    expect(opened.locator("#tab-journey .sv-note")).to_be_attached()
    opened.evaluate("window.scrollTo(0, 600)")
    expect(opened.locator("#prompt textarea")).to_be_in_viewport()
    assert opened.evaluate("window.scrollY") > 100, "the page was too short to scroll"


def test_the_skip_link_leads_into_the_open_tab_and_changes_nothing_else(page: Opener) -> None:
    opened = page("/de?tab=tokens&prompt=Hallo")
    opened.locator("#tab-tokens .sv-head").wait_for()
    expect(opened).to_have_url(re.compile("clip_model="))  # the bar has written itself into the address
    before = opened.url
    opened.locator(".sv-skip").focus()
    opened.keyboard.press("Enter")
    expect(opened.locator("#tab-tokens")).to_be_focused()
    assert (opened.url, prompt_of(opened)) == (before, "Hallo")


def test_plots_keep_their_colours_when_the_address_changes(page: Opener) -> None:
    """Plotly points at its gradients and clip paths by address: one with the page's own in it goes stale."""
    opened = page("/?tab=conditioning&num_inference_steps=2")
    opened.locator("#conditioning-effects .js-plotly-plot .colorbar").first.wait_for()
    pages: list[str] = []
    opened.on("request", lambda request: pages.append(request.url))
    opened.locator("#prompt textarea").fill("a dog")
    expect(opened).to_have_url(re.compile("a\\+dog"))
    opened.set_viewport_size({"width": 1000, "height": 800})
    fills = """Array.from(document.querySelectorAll('.js-plotly-plot svg *'), (e) =>
        [e.style.fill, e.getAttribute('clip-path')].filter((a) => a && a.includes('url('))).flat()"""
    opened.wait_for_function(f"{fills}.length > 0")
    # `url("#name")` means this document, whatever its address is
    assert [a for a in opened.evaluate(fills) if not re.match(r"""url\(["']?#""", a)] == []
    assert not [url for url in pages if urlsplit(url).path == "/" and "prompt" in url]
