"""The lecture's prompts on the page: a visitor types them and sees what the words ask for.

A picture is right if the judge finds all of it there: things, sizes, relation, light. How often that is so
over more seeds, and how well the judge sees it, is in docs/evaluation.md.
"""

import io
from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from training.evaluate import parse_all
from training.evaluation_prompts import LECTURE
from training.scorers import load_scorer, look_at

WAIT = 120_000  # ms; a guard, not a measure
SEEDS = range(8)
MOST = 6  # pictures that must be right


def drawn_by_the_page(opened: Page, seed: int) -> Image.Image:
    """Press the button, wait for the last step, and save the picture as a visitor would."""
    opened.locator("#seed input").fill(str(seed))
    opened.locator("#seed input").press("Tab")
    opened.locator("#generate").click()
    shown = opened.locator("#image-trace .trace[data-state=done] .facts")
    expect(shown).to_contain_text(f"Seed {seed}", timeout=WAIT)
    expect(opened.locator("#download")).to_be_enabled()
    with opened.expect_download() as download:
        opened.locator("#download").click()
    return Image.open(io.BytesIO(download.value.path().read_bytes()))


@pytest.mark.parametrize("prompt", LECTURE)
def test_a_visitor_types_a_prompt_of_the_lecture_and_sees_what_it_asks_for(
    page: Callable[..., Page], open_tab: Callable[[Page, str], None], prompt: str
) -> None:
    opened = page()
    open_tab(opened, "image")
    opened.locator("#prompt-bar-more .sv-more-button").click()
    opened.locator("#prompt textarea").fill(prompt)
    scorer = load_scorer()
    verdicts = look_at([drawn_by_the_page(opened, seed) for seed in SEEDS], scorer)
    right = [any(all(v.answers(facts).values()) for facts in parse_all(prompt)) for v in verdicts]
    assert sum(right) >= MOST, [(v.counts, v.looks) for v in verdicts]
