"""The token view in a browser, as a visitor meets it, and its endpoint as a program does."""

import pytest
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

TAB = "#tab-tokens[role=tabpanel]"
IDS = f"{TAB} .tk-strip .tk-id"


# Notes every step that is drawn, so that a slow machine misses none.
SEEN = """() => {
  window.seen = [];
  new MutationObserver(() => {
    const text = document.querySelector("#tokens-merges .tk-progress").textContent;
    if (window.seen.at(-1) !== text) window.seen.push(text);
  }).observe(document.querySelector("#tokens-merges"), { childList: true, subtree: true });
}"""


def _type(page: Page, prompt: str) -> None:
    page.locator("#prompt textarea").fill(prompt)


def _ids(page: Page, ids: list[int]) -> None:
    expect(page.locator(IDS)).to_have_text([str(i) for i in ids])


@pytest.mark.parametrize(("path", "sentence"), [("/", "Everything fits."), ("/de", "Alles passt.")])
def test_the_first_example_stands_there_when_the_page_opens(page, path, sentence):
    opened = page(f"{path}?tab=tokens")
    _ids(opened, [49406, 320, 736, 1615, 525, 518, 2117, 269, 49407])
    expect(opened.locator(f"{TAB} .tk-sentence").first).to_contain_text(sentence)
    expect(opened.locator(f"{TAB} .tk-final code")).to_have_count(1)


def test_the_view_follows_while_one_types_and_the_model_can_be_changed(page):
    opened = page("/?tab=tokens")
    box = opened.locator("#prompt textarea")
    box.fill("")
    box.press_sequentially("don’t")
    _ids(opened, [49406, 847, 713, 49407])
    opened.locator("#tokens-reader label").nth(1).click()
    _ids(opened, [49406, 847, 728, 503, 339, 49407])


def test_every_merge_can_be_stepped_through_with_the_keyboard(page):
    opened = page("/de?tab=tokens")
    _type(opened, "A cat. Cozy atmosphere. Dimm lighting.")
    view = opened.locator(TAB)
    expect(view.locator(".tk-final code")).to_have_text(["570", "2848"])
    slider = view.locator(".tk-controls input")
    slider.focus()
    slider.press("Home")
    expect(view.locator(".tk-progress")).to_have_text("Schritt 0 von 2")
    expect(view.locator(".tk-wins")).to_have_text(["59"])
    expect(view.locator(".tk-letter")).to_have_text(["d", "i", "m", "m"])
    opened.keyboard.press("ArrowRight")
    expect(view.locator(".tk-progress")).to_have_text("Schritt 1 von 2")
    expect(view.locator(".tk-fresh")).to_have_text(["di"])
    expect(view.locator(".tk-wins")).to_have_text(["2.337"])
    opened.keyboard.press("ArrowRight")
    expect(view.locator(".tk-done")).to_contain_text("2 Tokens")
    expect(slider).to_be_focused()
    view.locator(".tk-back").focus()
    opened.keyboard.press("Enter")
    expect(view.locator(".tk-progress")).to_have_text("Schritt 1 von 2")
    expect(view.locator(".tk-back")).to_be_focused()


def test_the_slider_can_be_dragged_and_a_long_word_stays_where_it_is_scrolled(page):
    opened = page("/?tab=tokens", width=390, height=844)
    _type(opened, "Donaudampfschiff")
    expect(opened.locator(f"{TAB} .tk-letter")).to_have_count(16)
    grid = opened.locator(f"{TAB} .tk-scroll")
    opened.wait_for_function("grid => grid.scrollWidth > grid.clientWidth + 40", arg=grid.element_handle())
    slider = opened.locator(f"{TAB} .tk-controls input")
    opened.evaluate("([grid, slider]) => { grid.scrollLeft = 30; window.held = slider; }",
                    [grid.element_handle(), slider.element_handle()])  # fmt: skip
    for step in (3, 2):
        slider.evaluate(
            "(held, step) => { held.value = step; held.dispatchEvent(new Event('input')); }", step
        )
        expect(opened.locator(f"{TAB} .tk-progress")).to_contain_text(f"Step {step} of")
    assert opened.evaluate("window.held.isConnected") and slider.input_value() == "2"
    assert grid.evaluate("grid => grid.scrollLeft") == 30


def test_playing_runs_from_the_bytes_to_the_tokens(kept):
    opened = kept("/?tab=tokens")
    _type(opened, "Dimm")
    view = opened.locator(TAB)
    expect(view.locator(".tk-final")).to_have_count(2)
    opened.evaluate(SEEN)
    view.locator(".tk-play").click()
    opened.wait_for_function("window.seen.length >= 3")
    expect(view.locator(".tk-play")).to_have_text("Play")
    assert opened.evaluate("window.seen") == ["Step 0 of 2", "Step 1 of 2", "Step 2 of 2"]


def test_a_token_selects_its_word_and_lights_its_place(kept):
    opened = kept("/?tab=tokens")
    _type(opened, "Dimm lighting")
    view = opened.locator(TAB)
    view.locator(".tk-strip button", has_text="lighting").click()
    expect(view.locator(".tk-final code")).to_have_text(["5799"])
    expect(view.locator('.tk-pick[aria-pressed="true"]')).to_have_text("lighting")
    view.locator(".tk-strip button", has_text="mm").hover()
    expect(view.locator(".tk-cells i").nth(2)).to_have_class("tk-lit")
    _type(opened, "Dimm lighting in a room")  # the choice survives typing
    expect(view.locator(".tk-pick")).to_have_count(5)
    expect(view.locator('.tk-pick[aria-pressed="true"]')).to_have_text("lighting")


def test_bytes_are_joined_to_letters(kept):
    opened = kept("/?tab=tokens")
    _type(opened, "schön")
    view = opened.locator(TAB)
    expect(view.locator(".tk-byte")).to_have_text(["73", "63", "68", "C3", "B6", "6E"])
    expect(view.locator(".tk-letter")).to_have_text(["s", "c", "h", "ö", "n"])
    expect(view.locator(".tk-final code")).to_have_text(["844", "7255", "333"])


def test_what_does_not_fit_is_greyed(kept):
    opened = kept("/?tab=tokens")
    _type(opened, "cat " * 90)
    view = opened.locator(TAB)
    expect(view.locator(".tk-strip .tk-cut")).to_have_count(15)
    expect(view).to_contain_text("The last 15 are cut off: shown greyed.")
    expect(view.locator('.tk-meter[aria-valuenow="77"]')).to_be_visible()


HOSTILE = (
    "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>",
    "${document.title='broken'} {{constructor}} `${document.title='broken'}`",
    "👩‍👩‍👧‍👦👍🏽 שלום \u202eabc \x07",
    "a" * 10_000,
    "漢字" * 5_000,
)


def test_hostile_text_is_shown_not_run(page):
    opened = page("/?tab=tokens")
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda note: wrong.append(note.text) if note.type == "error" else None)
    view = opened.locator(TAB)
    strip = view.locator(".tk-strip")
    for prompt in HOSTILE:
        before = strip.text_content()
        _type(opened, prompt)
        expect(strip).not_to_have_text(before)
        assert opened.title() != "broken"
        assert "\ufffd" not in view.inner_text()
        assert view.locator("img, script").count() == 0
        for width in (390, 1280):
            opened.set_viewport_size({"width": width, "height": 800})
            assert opened.evaluate("document.documentElement.scrollWidth") <= width
        assert wrong == []


def test_the_endpoint_answers_programs(client):
    answer = client.predict("Dimm cat", prompt_b="Dim cat", api_name="/tokens")
    assert answer["ids"][:5] == [49406, 570, 2848, 2368, 49407]
    assert answer["changes"][0]["kind"] == "replace"
    assert client.predict(api_name="/tokens")["cleaned"] == "a small cat on a bed."
    assert client.predict("a" * 10_000, api_name="/tokens")["cut"] > 1000
    with pytest.raises(AppError, match="20000 characters"):
        client.predict("a" * 20_001, api_name="/tokens")
    with pytest.raises(AppError, match="model has to be one from the list"):
        client.predict("a", model="<b>", api_name="/tokens")
