"""The DINO tab as a program calls it and as a visitor sees it."""

from collections.abc import Callable

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, Route, expect

from components.ui.language import load_texts
from pipelines.dino.dino import look_at, world_picture

EN, DE = load_texts("en"), load_texts("de")
Opener = Callable[..., Page]
STEPS = "Number(document.querySelector('#dino-training .training').dataset.last)"


def ready(page: Page) -> Page:
    page.locator("#dino-patches [data-ready]").wait_for(state="attached")
    expect(page.locator("#dino-near section")).to_have_count(3)
    return page


def heat(page: Page, tile: str) -> list[int]:
    """Opacity of the cells of a tile."""
    return page.evaluate(
        """(tile) => { const c = document.querySelector(`#dino-patches ${tile} canvas`);
        const all = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        return [...all].filter((_, i) => i % 4 == 3); }""",
        tile,
    )


@pytest.mark.parametrize("path, t", [("/?tab=dino", EN), ("/de?tab=dino", DE)], ids=["en", "de"])
def test_the_tab_opens_with_two_pictures_looked_at(kept: Opener, path: str, t) -> None:
    opened = ready(kept(path))
    expect(opened.locator("#dino-patches [data-tile]")).to_have_count(4)
    expect(opened.locator("#dino-patches [data-heads] figure")).to_have_count(8)
    expect(opened.get_by_text(t("dino.kind.clip"))).to_be_visible()
    expect(opened.locator("#dino-training [data-verdict=early]")).to_be_visible()


def test_the_same_pictures_put_in_anew_are_painted_again(kept: Opener) -> None:
    opened = ready(kept("/?tab=dino"))
    opened.evaluate(
        "for (const tile of document.querySelectorAll('#dino-patches [data-tile]')) tile.replaceChildren();"
    )
    expect(opened.locator("#dino-patches [data-tile] img")).to_have_count(4)
    assert max(heat(opened, "[data-tile=like][data-picture='0']")) > 0


def test_a_click_and_the_arrow_keys_choose_a_patch(kept: Opener) -> None:
    opened = ready(kept("/?tab=dino"))
    first = opened.locator("#dino-patches [data-tile=like][data-picture='0']")
    first.click(position={"x": 5, "y": 5})
    corner = heat(opened, "[data-tile=like][data-picture='0']")
    assert len(corner) == 256 and max(corner) == 235
    expect(first.locator(".chosen")).to_have_attribute(
        "style", "left: 0%; top: 0%; width: 6.25%; height: 6.25%;"
    )
    first.focus()
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("ArrowRight")
    expect(first.locator(".chosen")).to_have_attribute(
        "style", "left: 6.25%; top: 6.25%; width: 6.25%; height: 6.25%;"
    )
    assert heat(opened, "[data-tile=like][data-picture='0']") != corner  # a patch is most like itself
    before = heat(opened, "[data-heads] figure:first-child .tile")
    opened.locator("#dino-patches .pills span").first.click()
    assert heat(opened, "[data-heads] figure:first-child .tile") != before


PICTURES = "Array.from(document.querySelectorAll('#dino-patches [data-tile] img'), (i) => i.src)"


def changed(page: Page, before: list[str]) -> list[str]:
    """The pictures of all four tiles and of all heads, once they are others than before."""
    page.wait_for_function(f"(old) => {PICTURES}.length === 4 && {PICTURES}[0] !== old[0]", arg=before)
    expect(page.locator("#dino-patches [data-heads] figure img")).to_have_count(8)
    return page.evaluate(PICTURES)


def test_new_pictures_take_the_place_of_the_old_ones(kept: Opener) -> None:
    opened = ready(kept("/?tab=dino"))
    pictures = changed(opened, [""])
    opened.locator("#dino-draw").click()
    drawn = changed(opened, pictures)
    assert heat(opened, "[data-tile=like][data-picture='1']")
    opened.locator("#dino-swap").click()
    swapped = changed(opened, drawn)
    assert sorted(swapped) == sorted(drawn)


def test_a_visitor_brings_a_picture_and_exchanges_the_two(kept: Opener, tmp_path) -> None:
    world_picture(5).picture.save(tmp_path / "own.png")
    (tmp_path / "bad.png").write_bytes(b"only words")
    opened = ready(kept("/de?tab=dino"))
    hits = opened.locator("#dino-near .hits").first
    expect(hits).not_to_be_empty()
    chooser = opened.locator("#dino-sources input[type=file]")
    chooser.set_input_files(str(tmp_path / "own.png"))
    expect(hits).to_be_empty()  # of a picture from outside nobody knows what is in it
    opened.locator("#dino-swap").click()
    expect(hits).not_to_be_empty()
    chooser.set_input_files(str(tmp_path / "bad.png"))
    said = DE("errors.picture_not_supported", known="PNG, JPEG, WEBP, GIF, BMP, AVIF")
    expect(opened.get_by_text(said)).to_be_visible()
    opened.locator("#dino-draw").click()
    expect(opened.locator("#dino-near section")).to_have_count(3)


def test_a_visitor_trains_switches_pauses_and_goes_back(page: Opener) -> None:
    opened = page("/?tab=dino")
    opened.locator("#dino-training .training").wait_for()  # the untrained models' first look
    press = opened.locator("#dino-console button[data-act=go]").click
    view, slider = opened.locator("#dino-training .training"), opened.locator("#dino-console input")
    press()
    opened.wait_for_function(f"{STEPS} >= 5")
    opened.locator("#dino-sharpening input").uncheck()
    expect(opened.locator("#dino-training .change")).to_have_count(3)
    opened.wait_for_function(f"{STEPS} >= 45")
    expect(opened.locator("#dino-training [data-verdict=same]")).to_be_visible()
    press()
    expect(opened.locator("#dino-training .training[data-running=false]")).to_be_visible()
    done = opened.evaluate(STEPS)
    expect(slider).to_have_value(str(done))
    slider.fill("3")
    expect(view).to_have_attribute("data-at", "3")
    expect(view).to_have_attribute("data-last", str(done))  # what came later is only pale
    expect(opened.locator("#dino-training [data-verdict=early]")).to_be_visible()
    expect(opened.locator("#dino-training .meter .at")).to_have_count(3)
    expect(slider).to_have_value("3")
    opened.locator("#dino-console button[data-act=one]").click()  # another way from here
    expect(view).to_have_attribute("data-last", "4")
    expect(slider).to_have_value("4")
    press()
    opened.wait_for_function(f"{STEPS} >= 6")
    slider.fill("5")
    expect(view).to_have_attribute("data-at", "5")  # and it pauses
    expect(view).to_have_attribute("data-running", "false")
    opened.locator("#dino-console button[data-act=anew]").click()
    expect(view).to_have_attribute("data-last", "0")
    expect(slider).to_be_disabled()


def test_a_step_looked_back_on_stays_though_the_answer_to_the_pause_comes_late(page: Opener) -> None:
    opened = page("/?tab=dino")
    opened.locator("#dino-training .training").wait_for()
    view, slider = opened.locator("#dino-training .training"), opened.locator("#dino-console input")
    opened.locator("#dino-console button[data-act=go]").click()
    opened.wait_for_function(f"{STEPS} >= 6")
    pauses: list[Route] = []
    opened.route(lambda url: "run/predict" in url, lambda route: pauses.append(route))
    slider.fill("2")
    slider.dispatch_event("click")  # as a mouse that lets it go does
    expect(view).to_have_attribute("data-at", "2")
    expect(view).to_have_attribute("data-running", "false")
    with opened.expect_request(lambda request: "queue/join" in request.url):  # the page asks again
        pauses[0].continue_()
    expect(view).to_have_attribute("data-at", "2")
    expect(slider).to_have_value("2")


def test_a_program_looks_and_trains(client: Client, tmp_path) -> None:
    known = world_picture(5)
    known.picture.save(tmp_path / "a.png")
    answer = client.predict(images=[handle_file(tmp_path / "a.png")], api_name="/dino_features")
    assert answer["grid"] == look_at([known.picture], "classroom-dino").grid
    assert len(answer["neighbours"]["pixels"]) == 6
    trained = client.predict(steps=2, centering=False, api_name="/train_dino")
    assert len(trained["spread"]) == 3
    for call, said in (({"momentum": 1}, "0.999"), ({"steps": 5000}, "200")):
        with pytest.raises(AppError, match=said):
            client.predict(**call, api_name="/train_dino")
