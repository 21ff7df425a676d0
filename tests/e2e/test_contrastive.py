"""A CLIP learns in the browser, and for programs."""

import re

import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import Page, expect

from components.ui.language import load_texts

NUMBER = re.compile(r"^−?\d\.\d\d$")
STAGE = "#contrastive-stage .stage"


def step(page: Page) -> int:
    return int(page.locator(STAGE).get_attribute("data-step") or 0)


def test_the_first_example_runs_and_can_be_paused_stepped_scrubbed_and_gone_on_with(page) -> None:
    opened = page("/?tab=contrastive")
    opened.locator(f"{STAGE}[data-state=running]").wait_for()
    expect(opened.locator("[data-matrix=pairs] .cell").first).to_have_text(NUMBER)
    opened.locator("[data-act=go]").click()
    opened.locator(f"{STAGE}[data-state=paused]").wait_for()
    paused = step(opened)
    opened.locator("[data-act=one]").click()
    expect(opened.locator(STAGE)).to_have_attribute("data-step", str(paused + 1))
    last = opened.locator("[data-matrix=pairs]").inner_text()
    slider = opened.locator("#contrastive-stage .console input")
    slider.fill("0")
    expect(opened.locator(STAGE)).to_have_attribute("data-step", "0")
    assert opened.locator("[data-matrix=pairs]").inner_text() != last
    opened.locator("[data-act=one]").click()  # from step 0 again: the steps after it are forgotten
    expect(opened.locator(STAGE)).to_have_attribute("data-step", "1")
    expect(slider).to_have_attribute("max", "1")


def test_nothing_moves_by_itself_for_a_visitor_who_wants_it_still(page) -> None:
    opened = page("/?tab=contrastive", reduced_motion="reduce")
    expect(opened.locator("[data-matrix=pairs] .cell").first).to_have_text(NUMBER)
    expect(opened.locator(f"{STAGE}[data-state=paused]")).to_have_attribute("data-step", "0")
    expect(opened.locator("""[data-pulse*='"running":false']""")).to_have_count(1)
    opened.locator("[data-act=go]").click()
    opened.locator(f"{STAGE}[data-state=running]").wait_for()


def test_a_step_looked_back_on_stays_when_the_run_has_its_last_word(page) -> None:
    opened = page("/?tab=contrastive")
    opened.wait_for_function(f"Number(document.querySelector('{STAGE}')?.dataset.step) >= 3")
    slider = opened.locator("#contrastive-stage .console input")
    slider.fill("1")
    opened.locator("""[data-pulse*='"running":false']""").wait_for(state="attached")
    expect(slider).not_to_have_attribute("max", "1")  # the later steps are still there
    assert step(opened) == 1
    expect(opened.locator(f"{STAGE}[data-state=paused]")).to_be_visible()
    opened.locator("[data-act=one]").click()
    expect(opened.locator(STAGE)).to_have_attribute("data-step", "2")


def test_pictures_are_brought_and_taken_away_one_by_one(page, tmp_path) -> None:
    for name, colour in (("red", "red"), ("blue", "blue"), ("night", "black")):
        Image.new("RGB", (60, 60), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "red.png").read_bytes()[:40])
    opened = page("/de?tab=contrastive")
    opened.locator(f"{STAGE}[data-state=running]").wait_for()
    strip, captions = (
        opened.locator("#contrastive-strip li"),
        opened.locator("#contrastive-captions textarea"),
    )
    cells = opened.locator("[data-matrix=pairs] .cell")
    expect(strip).to_have_count(5)
    opened.locator("#contrastive-strip [data-remove='1']").click()  # a drawn one: it trains on at once
    expect(cells).to_have_count(16)
    expect(captions).to_have_value(re.compile(r"^A cat in a room\.\nA blue car"))
    files = [str(tmp_path / f"{name}.png") for name in ("red", "cut", "blue", "night")]
    opened.locator("#contrastive-sources input[type=file]").set_input_files(files)
    expect(captions).to_have_value("red\nblue\nnight")
    expect(opened.get_by_text("cut.png: ")).to_be_visible()
    opened.locator("#contrastive-strip [data-remove='1']").click()
    expect(captions).to_have_value("red\nnight")
    expect(strip).to_have_count(2)
    opened.locator("#contrastive-strip [data-remove='0']").click()
    expect(opened.get_by_text(load_texts("de")("errors.pairs_needed", fewest=2))).to_be_visible()
    opened.locator("#contrastive-own").click()
    expect(cells).to_have_count(4)
    expect(strip).to_have_count(2)


def whole_percent(text: str) -> int:
    """A share as the page writes it; "<1 %" is nearly nothing, ">99 %" nearly all."""
    number = int("".join(filter(str.isdigit, text)))
    return number - ("<" in text) + (">" in text)


def test_softmax_columns_sum_to_one(page) -> None:
    opened = page("/de?tab=contrastive")
    opened.locator(f"{STAGE}[data-state=running]").wait_for()
    opened.locator("[data-act=go]").click()
    opened.locator(f"{STAGE}[data-state=paused]").wait_for()
    for view, axis in (("texts", 1), ("images", 0)):
        opened.locator(f"[data-view={view}]").click()
        cells = opened.locator("[data-matrix=pairs] .cell")
        shares = {int(c.get_attribute("data-at") or 0): whole_percent(c.inner_text()) for c in cells.all()}
        table = np.array([shares[i] for i in range(25)]).reshape(5, 5)
        np.testing.assert_allclose(table.sum(axis), 100, atol=3)


def test_ten_train_at_once_and_nobody_elses_page_hangs(client: Client) -> None:
    jobs = [client.submit(pairs=2, steps=60, api_name="/train_contrastive") for _ in range(10)]
    read = client.predict(prompt="a red car", api_name="/tokens")
    assert read["tokens"] and not all(job.done() for job in jobs)
    answers = [job.result(300) for job in jobs]
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0]["loss"]) == 61


def test_a_program_is_told_what_to_mend(client: Client) -> None:
    with pytest.raises(AppError, match=r"from 2 to 8; got 1"):
        client.predict(pairs=1, api_name="/train_contrastive")
