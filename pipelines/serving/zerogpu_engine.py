"""Models of the hub on a ZeroGPU Space: a GPU is there only while a function decorated by `@spaces.GPU` runs.

Such a function runs in a process forked for it, and yields what can be pickled; hooks and live objects do not
cross. So a run executes whole inside one, and the page's process keeps what needs no GPU: the
classroom's models and all that reads texts.

Source: huggingface/hub-docs, docs/hub/spaces-zerogpu.md.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, cast

from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.serving.steps import Begun, Message, Relay, portable
from pipelines.serving.work import Work, behind, model_in

RUN_S, CALL_S = 60, 20  # of a GPU, asked for at most: what is not used is not counted


def begun(door: Callable[..., Any], requests: Sequence[Any]) -> Generator[Message, None, None]:
    """Runs, whole, in the forked process; see `Begun`."""
    runs = Begun(behind(door), requests)
    try:
        yield from runs
    finally:
        runs.close()


def answered(door: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bool, Any]:
    """A call in the forked process: whether it was done, and its answer or the error."""
    try:
        return True, behind(door)(*args, **kwargs)
    except Exception as error:
        return False, portable(error)


def sentence_for(error: Exception) -> Exception:
    """What is said where ZeroGPU refuses or aborts; its errors are Gradio's, in English, with a title."""
    title = str(getattr(error, "title", ""))
    if not title.startswith("ZeroGPU"):
        return error
    if "quota" in title or "credits" in title or "duration" in title:
        return InputError("gpu_quota")
    return InputError("gpu_busy" if "queue" in title or "client" in title else "engine_stopped")


def wants_gpu(model: str) -> bool:
    """Whether there is such a model, and it is one that computes on a GPU that is lent to it."""
    return any(catalogue.shares_gpu(e) for e in catalogue.entries() if e.id == model)


class ZeroGpuEngine:
    """Hub models in forked processes with a GPU, all others here."""

    def __init__(self) -> None:
        import spaces

        self._begun = spaces.GPU(duration=RUN_S)(begun)
        self._answered = spaces.GPU(duration=CALL_S)(answered)

    def submit(self, work: Work, requests: Sequence[Any]) -> list[Any]:
        if not wants_gpu(model := next(filter(None, map(model_in, requests)), "")):
            return cast("list[Any]", work.function(requests))
        # the forked process finds it in its memory, and no time on the GPU goes into a download
        work.load(model)

        def attempt(remaining: Sequence[Any]) -> Generator[Message, None, None]:
            return self._translated(work, remaining)

        return list(Relay(attempt, requests).start())

    def _translated(self, work: Work, requests: Sequence[Any]) -> Generator[Message, None, None]:
        try:
            yield from self._begun(work.door, requests)
        except Exception as error:
            raise sentence_for(error) from error

    def call(self, work: Work, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not wants_gpu(model := work.model_of(args, kwargs)):
            return work.function(*args, **kwargs)
        work.load(model)
        try:
            done, value = self._answered(work.door, args, kwargs)
        except Exception as error:
            raise sentence_for(error) from error
        if not done:
            raise value
        return value
