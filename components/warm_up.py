"""The first examples, computed once after start, so that nobody faces an empty tab."""

import logging
import threading
from collections.abc import Callable
from functools import partial

from components.audio.run import compute_example_audio
from components.control_vector.blend import compute_example_strip
from components.guidance.sweep import compute_example_sweep
from components.journey.video_row import compute_station_video
from components.page.picture_tabs import compute_example
from components.prompt_lab.tab import compute_example_variants
from components.video.run import compute_example_video
from pipelines.clip import embeddings
from pipelines.image.previews import linear_decoder
from pipelines.serving import catalogue
from pipelines.serving.compute import low_priority, wait_until_quiet
from pipelines.serving.memory import give_back

log = logging.getLogger(__name__)
WARM_UP: tuple[Callable[[], object], ...] = (
    compute_example,
    lambda: linear_decoder(catalogue.default_id("image")),
    lambda: embeddings.warm_up(catalogue.default_id("clip")),
    compute_example_audio,
    compute_example_sweep,
    compute_example_strip,
    compute_example_variants,
    compute_station_video,
    partial(compute_example_video, True),
    partial(compute_example_video, False),
)


def warm_up() -> threading.Thread:
    """Load the preselected models and draw the first examples behind the visitors' backs.

    Who opens the tabs sooner sees the same run live instead, and need not wait for what is drawn here. An
    example that fails is left to its tab, which says why in the visitor's language; the others are drawn.
    """

    def work() -> None:
        with low_priority():
            for compute in WARM_UP:
                wait_until_quiet()  # pictures are drawn by the stepper's thread, which is never patient
                try:
                    compute()
                except Exception as error:
                    log.warning("a first example could not be computed: %s", error, exc_info=error)
        give_back()

    thread = threading.Thread(target=work, name="examples", daemon=True)
    thread.start()
    return thread
