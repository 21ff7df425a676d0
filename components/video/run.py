"""A visitor's run of a film: how it is shown, stopped and kept; and the first films of the tab."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from components.page.prompt_bar import BarValues
from components.runs.slot import RunSlot
from components.runs.stream import Views, stream
from components.video.sheets import LiveVideo, VideoResult
from pipelines.serving import catalogue
from pipelines.video import video
from pipelines.video.request import VideoRequest

# No place is named: without attention between frames, each frame finds one of its own.
FIRST_PROMPT = "A cat walks right."
FIRST_STEPS = 12
FIRST_FRAMES = 16


def first_request() -> VideoRequest:
    """The film that the tab opens with."""
    bar = BarValues()
    return VideoRequest(
        FIRST_PROMPT, (), bar.negative_prompt, bar.seed, bar.guidance_scale, FIRST_STEPS,
        model=catalogue.default_id("video"),
    ).validated()  # fmt: skip


def draw_video(request: VideoRequest) -> VideoResult:
    """Draw a film to its end."""
    live = LiveVideo(request)
    for step in video.generate(request):
        live.add(step)
    return live.result()


@lru_cache(maxsize=2)
def compute_example_video(motion: bool) -> VideoResult:
    """The tab's first film, with and without attention between frames; drawn once after start."""
    return draw_video(replace(first_request(), motion=motion))


def example_video(request: VideoRequest) -> VideoResult | None:
    """One of the first two films, if this is it and it has been drawn.

    The cache is only asked when both are there, since asking it draws what is not.
    """
    if compute_example_video.cache_info().currsize < 2:
        return None
    return next((s for s in map(compute_example_video, (True, False)) if s.trace.request == request), None)


def video_run(
    request: VideoRequest,
    slot: RunSlot,
    running: Callable[[LiveVideo], tuple[Any, ...]],
    finished: Callable[[VideoResult], tuple[Any, ...]],
    restored: Callable[[], tuple[Any, ...]],
    place: str = "film",
) -> Iterator[tuple[Any, ...]]:
    """Draw a film for one visitor, showing all frames at every step; see `stream`.

    Args:
        request: checked.
        running: values for the films so far, none at first.
        finished: values at the end, or where the run was stopped.
        restored: values of what was there before, should the run draw nothing.
        place: the part of the page.

    Yields:
        Values for the outputs.
    """
    views = Views(running, lambda live: finished(live.result()), restored)
    yield from stream(lambda run: run.follow(video.generate(request)), LiveVideo(request), slot, place, views)
