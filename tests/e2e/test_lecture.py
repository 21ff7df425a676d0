"""The lecture's prompts on the page: a visitor types them and sees what the words ask for.

A picture is right if the judge finds all of it there: things, sizes, relation, light. How often that is so
over more seeds, and how well the judge sees it, is in docs/evaluation.md.
"""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pipelines.image import image
from pipelines.image.request import ImageRequest
from tests.conftest import WAIT
from training.evaluate import parse_all
from training.evaluation_prompts import LECTURE
from training.scorers import load_scorer, look_at

SEEDS = range(8)
MOST = 6  # pictures that must be right


@pytest.mark.parametrize("prompt", LECTURE)
def test_a_prompt_of_the_lecture_draws_what_it_asks_for(prompt: str) -> None:
    """Drawn by the engine of the page, with the numbers that the bar has at first."""
    requests = [ImageRequest(prompt, seed=seed).validated() for seed in SEEDS]
    pictures = image.decode_steps(image.draw_together(requests), requests[0].model)
    verdicts = look_at(pictures, load_scorer())
    right = [any(all(v.answers(facts).values()) for facts in parse_all(prompt)) for v in verdicts]
    assert sum(right) >= MOST, [(v.counts, v.looks) for v in verdicts]


def test_a_visitor_types_a_prompt_of_the_lecture_and_saves_that_picture(page: Callable[..., Page]) -> None:
    prompt, seed = LECTURE[1], 3
    opened = page("/?tab=image")
    opened.locator("#prompt-bar-more .sv-more-button").click()
    opened.locator("#prompt textarea").fill(prompt)
    opened.locator("#seed input").fill(str(seed))
    opened.locator("#seed input").press("Tab")
    opened.locator("#generate").click()
    shown = opened.locator("#image-trace .trace[data-state=done] .facts")
    expect(shown).to_contain_text(f"Seed {seed}", timeout=WAIT)
    expect(opened.locator("#download")).to_be_enabled()
    with opened.expect_download() as download:
        opened.locator("#download").click()
    saved = Image.open(io.BytesIO(download.value.path().read_bytes()))
    expected = image.run(ImageRequest(prompt, seed=seed)).image
    # The server's sums are in the order of its threads.
    np.testing.assert_allclose(np.asarray(saved, float), np.asarray(expected, float), atol=2)
