import logging

from components import warm_up as examples
from components.guidance.sweep import SCALES, compute_example_sweep
from components.page.picture_tabs import compute_example, example_if_ready, example_request
from pipelines.serving.errors import InputError


def test_the_first_tabs_are_filled_from_a_real_run_of_the_bars_defaults():
    compute_example.cache_clear()
    assert example_if_ready(example_request()) is None, "nothing is computed at import"
    examples.warm_up().join()
    trace, frames = example_if_ready(example_request())
    assert trace.request == example_request()
    assert len(frames.guided) == trace.request.num_inference_steps
    assert tuple(compute_example_sweep().scales) == SCALES


def test_one_example_that_fails_leaves_the_others_and_says_why(monkeypatch, caplog):
    drawn = []

    def fails() -> None:
        raise InputError("model_needs_network", title="SD") from OSError("no route to host")

    monkeypatch.setattr(examples, "WARM_UP", (fails, lambda: 1 / 0, lambda: drawn.append(True)))
    with caplog.at_level(logging.WARNING):
        examples.warm_up().join()
    assert drawn == [True]
    assert "model_needs_network" in caplog.text and "no route to host" in caplog.text
    assert "ZeroDivisionError" in caplog.text
