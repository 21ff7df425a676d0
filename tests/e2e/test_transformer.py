"""A transformer from the folder of a checkpoint, through the page: its latents have sixteen channels."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from components.runs.trace_data import LATENT_RANGE
from components.ui.plots import DIVERGING
from pipelines.image import image
from pipelines.image.request import ImageRequest
from tests.conftest import start_app
from tests.e2e.test_image import WAIT, coloured, pixels_of, wait_for
from tests.pipelines.tiny_transformers import in_catalogue, write_transformers

MODEL, PROMPT, STEPS = "tiny-sd3", "a cat", 3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that adds the model to the catalogue."""
    return write_transformers(tmp_path_factory.mktemp("models"), [MODEL])


@pytest.fixture(scope="module")
def opened(models: Path, browser: Browser) -> Iterator[Page]:
    """The image tab of an app that knows the model, with a picture drawn by it."""
    app = start_app(
        models.parent, STEUERVEKTOR_MODELS=str(models), STEUERVEKTOR_EXAMPLES="0", OMP_NUM_THREADS="1"
    )
    try:
        app.wait()
        with browser.new_context() as context:
            page = context.new_page()
            asked = {
                "tab": "image",
                "image_model": MODEL,
                "prompt": PROMPT,
                "num_inference_steps": STEPS,
                "seed": 3,
            }
            page.goto(f"{app.address}/?{urlencode(asked)}")
            page.locator("html[data-restored]").wait_for(state="attached", timeout=WAIT)
            # what somebody has to download, or to wait for, is drawn when asked for
            page.locator("#generate").click()
            expect(page.locator("#image-trace")).to_contain_text(MODEL, timeout=WAIT)
            wait_for(page, "done")
            yield page
        assert "Traceback" not in app.log.read_text()
    finally:
        app.stop()


def test_the_player_shows_every_step_and_all_channels(opened: Page, models: Path) -> None:
    slider = opened.locator("#image-trace input[type=range]")
    slider.press("Home")
    tile = pixels_of(opened, "#image-trace .stage img[data-row=latents]")
    with in_catalogue(models):
        steps = image.run(ImageRequest(PROMPT, seed=3, num_inference_steps=STEPS, model=MODEL)).steps
    noise = steps[0].start
    channels, height, width = noise.shape
    assert channels == 16 and tile.shape == (4 * height + 3, 4 * width + 3, 4), "four by four, with seams"
    for channel, values in enumerate(noise):
        row, column = divmod(channel, 4)
        top, left = row * (height + 1), column * (width + 1)
        expected = coloured(DIVERGING, values / (2 * LATENT_RANGE) + 0.5)
        assert np.abs(tile[top : top + height, left : left + width, :3] - expected).max() < 8, channel
    seen = set()
    for step in range(1, STEPS + 1):
        slider.press("ArrowRight")
        expect(opened.locator("#image-trace .count")).to_have_text(f"{step} / {STEPS}")
        for row in ("noisy", "guided", "prompt", "empty"):
            expect(opened.locator(f"#image-trace .stage img[data-row={row}]")).to_be_visible()
        seen.add(opened.locator("#image-trace .stage img[data-row=latents]").get_attribute("src"))
    assert len(seen) == STEPS
