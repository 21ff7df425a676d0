"""The first examples, computed once after start, so that nobody faces an empty tab."""

import logging
import threading

from components.guidance import compute_example_sweep
from components.image import compute_example
from pipelines.errors import InputError

log = logging.getLogger(__name__)


def warm_up() -> threading.Thread:
    """Draw the first picture and the first sweep behind the visitors' backs.

    Who opens the tabs sooner sees the same run live instead. A model that cannot be loaded
    explains itself there, in the visitor's language.
    """

    def work() -> None:
        try:
            compute_example()
            compute_example_sweep()
        except InputError as error:
            log.warning("the first picture could not be drawn: %s", error)

    thread = threading.Thread(target=work, name="examples", daemon=True)
    thread.start()
    return thread
