"""A CLIP learns in the browser, and for programs."""

import re

import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

NUMBER = re.compile(r"^−?\d\.\d\d$")
STAGE = "#contrastive-stage .stage"


def step(page: Page) -> int:
    return int(page.locator(STAGE).get_attribute("data-step") or 0)


def test_the_first_example_runs_and_can_be_paused_stepped_scrubbed_and_gone_on_with(page, open_tab) -> None:
    opened = page("/")
    open_tab(opened, "contrastive")
    opened.locator(f"{STAGE}[data-state=running]").wait_for()
    expect(opened.locator("[data-matrix=pairs] .cell").first).to_have_text(NUMBER)
    opened.locator("[data-act=go]").click()
    opened.locator(f"{STAGE}[data-state=paused]").wait_for()
    paused = step(opened)
    opened.locator("[data-act=one]").click()
    expect(opened.locator(STAGE)).to_have_attribute("data-step", str(paused + 1))
    last = opened.locator("[data-matrix=pairs]").inner_text()
    slider = opened.locator("#contrastive-stage input[type=range]")
    slider.evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input', {bubbles: true})); }")
    expect(opened.locator(STAGE)).to_have_attribute("data-step", "0")
    assert opened.locator("[data-matrix=pairs]").inner_text() != last
    opened.locator("[data-act=one]").click()  # from step 0 again: the steps after it are forgotten
    expect(opened.locator(STAGE)).to_have_attribute("data-step", "1")
    expect(slider).to_have_attribute("max", "1")


def test_softmax_columns_sum_to_one(page, open_tab) -> None:
    opened = page("/de")
    open_tab(opened, "contrastive")
    opened.locator(f"{STAGE}[data-state=running]").wait_for()
    opened.locator("[data-act=go]").click()
    opened.locator(f"{STAGE}[data-state=paused]").wait_for()
    for view, axis in (("texts", 1), ("images", 0)):
        opened.locator(f"[data-view={view}]").click()
        cells = opened.locator("[data-matrix=pairs] .cell")
        shares = {int(c.get_attribute("data-at") or 0): int("".join(filter(str.isdigit, c.inner_text())))
                  for c in cells.all()}  # fmt: skip
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
    with pytest.raises(AppError, match=r"takes 2 to 8"):
        client.predict(pairs=1, api_name="/train_contrastive")
