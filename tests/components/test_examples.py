import logging
from collections.abc import Iterator
from functools import partialmethod

import pytest

import app
from components import warm_up as examples
from components.guidance.sweep import SCALES, compute_example_sweep
from components.page.picture_tabs import compute_example, example_if_ready, example_request
from components.page.prompt_bar import BarValues
from components.video.run import example_video, first_request
from pipelines.serving.errors import InputError

DRAWN = (
    compute_example,
    compute_example_sweep,
    examples.compute_example_audio,
    examples.compute_example_strip,
    examples.compute_example_variants,
    examples.compute_station_video,
    examples.compute_example_video,
)


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """First examples of two steps, of which nothing is kept afterwards."""
    for example in DRAWN:
        example.cache_clear()
    monkeypatch.setattr(BarValues, "__init__", partialmethod(BarValues.__init__, num_inference_steps=2))
    monkeypatch.setattr("components.video.run.FIRST_STEPS", 2)
    monkeypatch.setattr("components.journey.video_row.STEPS", 2)
    yield
    for example in DRAWN:
        example.cache_clear()


@pytest.mark.slow
def test_the_first_tabs_are_filled_from_a_real_run_of_the_bars_defaults(few_steps: None) -> None:
    assert example_if_ready(example_request()) is None, "nothing is computed at import"
    examples.warm_up().join()
    trace, frames = example_if_ready(example_request())
    assert trace.request == example_request()
    assert len(frames.guided) == trace.request.num_inference_steps
    assert tuple(compute_example_sweep().scales) == SCALES
    assert all(example.cache_info().currsize for example in DRAWN)
    assert example_video(first_request()).trace.request == first_request()


def test_one_example_that_fails_leaves_the_others_and_says_why(monkeypatch, caplog):
    drawn = []

    def fails() -> None:
        raise InputError("model_needs_network", title="SD") from OSError("no route to host")

    monkeypatch.setattr(examples, "WARM_UP", (fails, lambda: 1 / 0, lambda: drawn.append(True)))
    monkeypatch.setattr(examples, "give_back", lambda: drawn.append("memory"))
    with caplog.at_level(logging.WARNING):
        examples.warm_up().join()
    assert drawn == [True, "memory"]
    assert "model_needs_network" in caplog.text and "no route to host" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(("value", "drawn"), [("0", False), ("1", True), ("", True)])
def test_whoever_starts_the_app_can_switch_them_off(
    monkeypatch: pytest.MonkeyPatch, value: str, drawn: bool
) -> None:
    class Page:
        def launch(self, **options: object) -> None: ...

        def block_thread(self) -> None: ...

    begun: list[bool] = []
    monkeypatch.setenv("STEUERVEKTOR_EXAMPLES", value)
    monkeypatch.setattr(app, "build", Page)
    monkeypatch.setattr(app.examples, "warm_up", lambda: begun.append(True))
    app.main()
    assert begun == [True] * drawn
