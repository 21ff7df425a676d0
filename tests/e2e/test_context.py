"""The context tab in a browser, as a visitor meets it, and its endpoint as a program does."""

import pytest
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from components.ui.language import load_texts

EN = load_texts("en")
SHARES = "#context-view .cx-share"


def _open(
    page, path: str = "/?tab=context&prompt=A%20small%20cat%20on%20a%20bed.", **options: object
) -> Page:
    """The tab with everything drawn."""
    opened = page(path, **options)
    expect(opened.locator(f"{SHARES} >> nth=0")).to_be_visible()
    expect(opened.locator("#context-moves .js-plotly-plot")).to_be_visible()
    expect(opened.locator("#context-parted .js-plotly-plot")).to_be_visible()
    return opened


def _type(page: Page, prompt: str, prompt_b: str | None = None) -> None:
    page.locator("#prompt textarea").fill(prompt)
    if prompt_b is not None:
        if not page.locator("#prompt-b textarea").is_visible():
            page.locator("#prompt-bar-more .sv-more-button").click()
        page.locator("#prompt-b textarea").fill(prompt_b)


def _arcs(page: Page) -> list[str]:
    """Which tokens the arcs lead to."""
    return page.locator("#context-view .cx-arcs path").evaluate_all("all => all.map(a => a.dataset.to)")


def test_the_first_example_is_drawn_when_the_tab_is_opened(page, open_tab) -> None:
    opened = page("/de?prompt=A%20small%20cat%20on%20a%20bed.")
    open_tab(opened, "context")
    view = opened.locator("#context-view")
    expect(view.locator(".cx-token.cx-here .cx-chip")).to_have_text("cat")
    expect(view.locator(".cx-readout")).to_contain_text(
        "Es kann nicht sehen, was danach kommt: on, a (2.), bed"
    )
    assert view.locator(".cx-unseen .cx-share").all_inner_texts() == ["–"] * 5
    expect(opened.locator("#context-verdict")).to_contain_text("dieselbe Position (4)")
    expect(opened.locator("#context-word input")).to_have_value("cat")


def test_layer_head_and_token_are_chosen_without_the_server(kept) -> None:
    opened = _open(kept)
    view = opened.locator("#context-view")
    expect(opened.locator("#context-parted .js-plotly-plot")).to_be_visible()  # nothing more is on its way
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    view.locator(".cx-token", has_text="cat").click()
    view.locator(".cx-mini").first.click()
    means = view.locator(".cx-share").all_inner_texts()
    view.get_by_role("button", name="Head 2", exact=True).click()
    expect(view.locator(".cx-readout")).to_contain_text("Layer 1, head 2: “cat” looks at")
    assert view.locator(".cx-share").all_inner_texts() != means
    slider = view.locator(".cx-layer")
    slider.focus()
    slider.press("End")
    expect(view.locator(".cx-shown")).to_have_text("4 of 4")
    expect(view.locator(".cx-mini[aria-pressed=true]")).to_have_attribute("aria-label", "Layer 4, head 2")
    view.locator(".cx-mini").nth(10).click()  # five in a row: layer 3, mean
    expect(view.locator(".cx-mini[aria-pressed=true]")).to_have_attribute(
        "aria-label", "Layer 3, mean of all heads"
    )
    expect(view.locator(".cx-shown")).to_have_text("3 of 4")
    assert asked == []


def test_the_keyboard_walks_from_token_to_token(kept) -> None:
    opened = _open(kept)
    view = opened.locator("#context-view")
    view.locator(".cx-token[tabindex='0']").focus()
    opened.keyboard.press("ArrowLeft")
    expect(view.locator(".cx-token:focus .cx-chip")).to_have_text("small")
    expect(view.locator(".cx-token[aria-checked=true] .cx-chip")).to_have_text("small")
    assert set(_arcs(opened)) <= {"0", "1", "2"}
    opened.keyboard.press("End")
    expect(view.locator(".cx-token:focus .cx-chip")).to_have_text("end")
    expect(view.locator(".cx-unseen")).to_have_count(0)
    assert len(_arcs(opened)) > 3
    opened.keyboard.press("Home")
    expect(view.locator(".cx-share").first).to_have_text("100%")
    assert _arcs(opened) == ["0"]


def test_the_table_chooses_a_row_and_says_what_a_cell_is(kept) -> None:
    opened = _open(kept)
    canvas = opened.locator("#context-view .cx-area canvas")
    box = canvas.bounding_box()
    assert box is not None
    cell = box["width"] / 9
    canvas.hover(position={"x": 2.5 * cell, "y": 3.5 * cell})
    expect(opened.locator("#context-view .cx-told")).to_contain_text("“cat” looks at “small”")
    canvas.hover(position={"x": 5.5 * cell, "y": 3.5 * cell})
    expect(opened.locator("#context-view .cx-told")).to_have_text(EN("context.triangle"))
    canvas.click(position={"x": 0.5 * cell, "y": 6.5 * cell})
    expect(opened.locator("#context-view .cx-token[aria-checked=true] .cx-chip")).to_have_text("bed")


def test_the_chosen_token_survives_typing_until_it_is_gone(kept) -> None:
    opened = _open(kept)
    view = opened.locator("#context-view")
    view.locator(".cx-token", has_text="bed").click()
    view.locator(".cx-mini").nth(7).click()
    _type(opened, "A small red cat on a bed.")
    expect(view.locator(".cx-token")).to_have_count(10)
    expect(view.locator(".cx-token[aria-checked=true] .cx-chip")).to_have_text("bed")
    expect(view.locator(".cx-mini[aria-pressed=true]")).to_have_attribute("aria-label", "Layer 2, head 2")
    expect(view.locator(".cx-gone")).to_be_hidden()
    _type(opened, "A small red cat.")
    expect(view.locator(".cx-gone")).to_have_text(EN("context.gone", token="bed", shown="cat"))
    expect(view.locator(".cx-token[aria-checked=true] .cx-chip")).to_have_text("cat")
    _type(opened, "A small red cat on a bed.")
    expect(view.locator(".cx-token[aria-checked=true] .cx-chip")).to_have_text("bed")
    expect(view.locator(".cx-gone")).to_be_hidden()


def test_the_view_follows_the_second_prompt_and_keeps_the_chosen_word(kept) -> None:
    opened = _open(kept)
    said, verdict = opened.locator("#context-said"), opened.locator("#context-verdict")
    opened.locator("#context-word input").click()
    opened.get_by_role("option", name="bed").click()
    expect(verdict).to_contain_text("“bed” have drifted apart")
    _type(opened, "A small cat on a bed.", "a dog on a bed")
    expect(said.locator(".cx-said").nth(1)).to_contain_text("dog")
    expect(verdict).to_contain_text("“bed”")
    _type(opened, "A small cat on a bed.", "a small dog")
    expect(said).to_contain_text("“bed” no longer stands in both sentences")
    _type(opened, "A small cat on a bed.", "A small cat on a bed.")
    expect(verdict).to_contain_text("same tokens to the model")
    expect(opened.locator("#context-word input")).to_have_value("bed")
    _type(opened, "A small cat on a bed.", "cat " * 90)
    expect(said).to_contain_text("Prompt B has 92 tokens")
    _type(opened, "A small cat on a bed.", "")
    expect(said).to_contain_text("The second prompt is still empty")


def test_trials_show_that_what_follows_changes_nothing(page) -> None:
    opened = _open(page, "/de?tab=context")
    opened.locator("#context-after").click()
    expect(opened.locator("#context-verdict")).to_contain_text("„cat“ kann sich gar nicht ändern")
    expect(opened.locator("#prompt textarea")).to_have_value("a cat on a bed")
    opened.locator("#context-before").click()
    expect(opened.locator("#context-verdict")).to_contain_text("dieselbe Position (7)")
    expect(opened.locator("#context-verdict")).to_contain_text("„cat“ auseinanderentwickelt")


HOSTILE = (
    "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script> cat",
    "${document.title='broken'} {{constructor}} {token} `${document.title='broken'}` 👍🏽 שלום",
    "cat " * 400,
)


def test_hostile_text_is_shown_not_run(kept) -> None:
    opened = _open(kept)
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda note: wrong.append(note.text) if note.type == "error" else None)
    tokens = opened.locator("#context-view .cx-token")
    for prompt in HOSTILE:
        before = tokens.count()
        _type(opened, prompt)
        expect(tokens).not_to_have_count(before)
        assert opened.title() != "broken"
        assert opened.locator("#tab-context img:not(.cx-lookup img), #context-view script").count() == 0
        for width in (390, 1280):
            opened.set_viewport_size({"width": width, "height": 800})
            assert opened.evaluate("document.documentElement.scrollWidth") <= width
        assert wrong == []


def test_what_cannot_be_read_is_told_and_the_next_prompt_is_shown(kept) -> None:
    opened = _open(kept)
    _type(opened, "a" * 20_001)
    expect(opened.locator("#context-view")).to_contain_text("20000")
    _type(opened, "")
    expect(opened.locator("#context-view .cx-token")).to_have_count(2)
    _type(opened, "a cat")
    expect(opened.locator("#context-view .cx-token")).to_have_count(4)


def test_the_endpoint_answers_programs(client) -> None:
    answer = client.predict("a cat on a bed", prompt_b="a cat on a car", api_name="/context")
    assert answer["causal"] is True
    cat = next(word for word in answer["words"] if word["text"] == "cat")
    assert cat["similarity"] == [1] * 5
    assert len(client.predict(api_name="/context")["tokens"]) == 9
    with pytest.raises(AppError, match="20000 characters"):
        client.predict("a" * 20_001, api_name="/context")
    with pytest.raises(AppError, match="model has to be one from the list"):
        client.predict("a", model="<b>", api_name="/context")
