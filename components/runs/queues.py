"""Every queue of the page, in one table: what may run beside what is read here and nowhere else.

Events of one queue wait for each other beyond its limit; events of different queues do not. Models are safe
all the same, as they compute on one thread (`pipelines/serving/compute.py`): a queue decides who waits.

| queue | at once | who waits for whom, and why |
|---|---|---|
| text | 4 | text first: what follows typing, and programs that read texts, wait for no picture |
| model | 1 | single calls about pictures and maps (CLIP, DINO, t-SNE) take turns; they are short |
| matrix | 1 | events of the CLIP matrix read a state and write it back: each begins with what the last left |
| stepper | 64 | picture runs: all active ones share their steps (`pipelines/image/stepper.py`) |
| film | 32 | film runs: a step each in turn |
| audio | 32 | sound runs: a step is short, and all take turns on the compute thread |
| training | 32 | live trainings: as many as there are places (`live_training.py`) |

What several events write, an older one may not write last: what follows typing is one event
(`PromptBar.follow`), of which Gradio sends one at a time, or several in a queue of one.

An endpoint for programs waits in the queue of its kind, beside the page's own events. What computes nothing,
such as a stop button, has `queue=False` or `concurrency_limit=None` where it is wired; the latter also holds
for tokens and context of a text that is being typed, of which each visitor has one at a time. What is wired
without any of this is light, too: of each such event, `default_concurrency_limit` (`app.py`) run at once.
"""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
_QUEUE = "steuervektor_queue"  # the attribute in which an endpoint carries its queue


def _queue(name: str, at_once: int, **options: Any) -> dict[str, Any]:
    """Arguments of an event of the page that belongs to a queue."""
    return {"concurrency_id": name, "concurrency_limit": at_once, "api_visibility": "private", **options}


TEXT = _queue("text", 4, show_progress="hidden")
MODEL = _queue("model", 1)
QUIET_MODEL = MODEL | {"show_progress": "hidden"}
MATRIX = _queue("matrix", 1, show_progress="hidden")
LIVE_MATRIX = MATRIX | {"trigger_mode": "always_last"}  # while somebody types, only the last text counts
STEPPER = _queue("stepper", 64, show_progress="hidden")
FILM = _queue("film", 32, show_progress="hidden")
AUDIO = _queue("audio", 32, show_progress="hidden")
TRAINING = _queue("training", 32, show_progress="hidden")


def endpoint(queue: dict[str, Any]) -> Callable[[Function], Function]:
    """Decorator of an endpoint for programs: it waits in the same queue as the page's events of its kind."""

    def decorate(function: Function) -> Function:
        setattr(function, _QUEUE, {name: queue[name] for name in ("concurrency_id", "concurrency_limit")})
        return function

    return decorate


def queue_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of an event that runs an endpoint.

    Raises:
        AttributeError: the endpoint says no queue.
    """
    queue: dict[str, Any] = getattr(function, _QUEUE)
    return queue
