from components import warm_up as examples
from components.guidance.sweep import SCALES, compute_example_sweep
from components.page.picture_tabs import compute_example, example_if_ready, example_request


def test_the_first_tabs_are_filled_from_a_real_run_of_the_bars_defaults():
    compute_example.cache_clear()
    assert example_if_ready(example_request()) is None, "nothing is computed at import"
    examples.warm_up().join()
    trace, frames = example_if_ready(example_request())
    assert trace.request == example_request()
    assert len(frames.guided) == trace.request.num_inference_steps
    assert tuple(compute_example_sweep().scales) == SCALES
