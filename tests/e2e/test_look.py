"""How the page looks and is reached: zoomed in, on paper, by keyboard, on a phone, in the dark."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from benchmarks.browser import go_to_tab

Opener = Callable[..., Page]
# Contrast of an element's colour with what it stands on. Source: WCAG 2.2, "contrast ratio".
CONTRAST = """(element, name) => {
    const channels = (colour) => {
        const pen = new OffscreenCanvas(1, 1).getContext("2d");
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data];
    };
    const light = (colour) => channels(colour).slice(0, 3)
        .map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    let ground = element;
    const paper = (e) => getComputedStyle(e).backgroundColor;
    while (ground.parentElement && channels(paper(ground))[3] < 255) ground = ground.parentElement;
    const [low, high] = [light(getComputedStyle(element)[name]), light(paper(ground))].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05); }"""


def place(element: Locator) -> dict[str, float]:
    box = element.bounding_box()
    assert box is not None
    return dict(box)


def test_zoomed_in_the_header_scrolls_away(page: Opener) -> None:
    opened = page("/?tab=tokens", width=640, height=400)  # 1280 × 800 at 200 %
    opened.locator(".tk-merges .tk-grid").wait_for()
    assert place(opened.locator("#sv-header"))["height"] < 200
    opened.evaluate("scrollTo(0, 500)")
    expect(opened.locator("#sv-header h1")).not_to_be_in_viewport()
    expect(opened.locator("#prompt textarea")).not_to_be_in_viewport()


def test_on_paper_plots_end_within_the_page_and_nothing_is_there_to_be_pressed(page: Opener) -> None:
    """Also while the plots are as wide as on the screen: a browser prints before they are drawn anew."""
    opened = page("/?tab=context", width=1440)
    opened.locator("#context-moves .js-plotly-plot .main-svg").first.wait_for()
    opened.emulate_media(media="print")
    opened.set_viewport_size({"width": 720, "height": 1000})
    buttons = opened.locator("button.lg, button.sm, button.primary, button.secondary, .sv-switches")
    assert buttons.count() > 0
    assert not [button for button in buttons.all() if button.is_visible()]
    plots = opened.locator("#tab-context .js-plotly-plot .main-svg").all()
    assert plots and max(place(plot)["x"] + place(plot)["width"] for plot in plots) <= 720
    assert (
        opened.locator("#prompt").evaluate("e => getComputedStyle(e.closest('.form')).position") == "static"
    )


def test_arrow_keys_go_through_the_tabs_which_are_one_stop_and_fields_show_their_focus(page: Opener) -> None:
    opened = page("/?tab=tokens", width=1280)
    opened.locator("#tab-tokens-button").focus()
    for key, stem in (("ArrowRight", "context"), ("ArrowLeft", "tokens"), ("Home", "journey")):
        opened.keyboard.press(key)
        expect(opened.locator(f"#tab-{stem}-button")).to_be_focused()
        expect(opened.locator(f"#tab-{stem}-button")).to_have_attribute("aria-selected", "true")
        expect(opened.locator("#tabs [role=tab]:visible:not([tabindex='-1'])")).to_have_count(1)
    field = opened.locator("#prompt textarea")
    ring = "e => getComputedStyle(e).outlineStyle + parseFloat(getComputedStyle(e).outlineWidth)"
    assert field.evaluate(ring) != "solid3"
    field.focus()
    assert field.evaluate(ring) == "solid3"


def test_on_a_phone_the_prompt_is_opaque_and_small_buttons_are_large_enough(page: Opener) -> None:
    opened = page("/?tab=tokens", width=390, height=844)
    opened.locator(".tk-merges .tk-grid").wait_for()
    opened.evaluate("scrollTo(0, 900)")
    expect(opened.locator("#prompt textarea")).to_be_in_viewport()
    paper = opened.locator("#prompt").evaluate("e => getComputedStyle(e).backgroundColor")
    assert paper == opened.evaluate("getComputedStyle(document.body).backgroundColor")
    opened.locator("#prompt-bar-more .sv-more-button").click()
    resets = opened.locator("#prompt-bar-more button.reset-button")
    resets.first.scroll_into_view_if_needed()
    assert resets.count() > 0
    for button in resets.all():
        assert min(place(button)["width"], place(button)["height"]) >= 44


def test_the_choices_of_a_training_stand_two_by_two(page: Opener) -> None:
    opened = page("/?tab=contrastive", width=1280)
    names = ("pace", "temperature", "tau", "batch")
    boxes = [place(opened.locator(f"#contrastive-{name}")) for name in names]
    rows = sorted({round(box["y"]) for box in boxes})
    assert [[round(box["y"]) for box in boxes].count(y) for y in rows] == [2, 2]
    assert min(box["width"] for box in boxes) > 400


def test_lines_and_headings_are_bright_enough_in_the_dark(page: Opener) -> None:
    opened = page("/?tab=dino", width=1280, color_scheme="dark")
    for who in ("student", "teacher"):
        heading = opened.locator(f"#dino-training [data-side={who}] h4 b")
        assert heading.evaluate(CONTRAST, "color") >= 4.5
    go_to_tab(opened, "context")
    line = opened.locator("#context-parted .js-plotly-plot path.js-line").first
    line.wait_for(state="attached")
    assert line.evaluate(CONTRAST, "stroke") >= 3
