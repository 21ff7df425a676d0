"""The journey's station in time: the same prompt as a film."""

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import gradio as gr

from components.journey.time_row import TimeRow, build_time_row
from components.journey.view import HTML
from components.page.picture_tabs import example_request
from components.runs.queues import FILM
from components.runs.slot import RunSlot
from components.ui.language import Texts
from components.ui.templates import quote
from components.video.run import draw_video, video_run
from components.video.sheets import LiveVideo, VideoResult
from pipelines.serving import catalogue
from pipelines.video.request import VideoRequest
from pipelines.video.words import said_motion, with_motion_word
from pipelines.world.films import MOTION_WORDS

# What moves where the prompt does not say: the camera, for no thing of the prompt may be able to.
ADDED = "zooms in"
STEPS = 8  # fewer than in the tab: a miniature
SHOWN = 6  # frames beside the film


def video_request(prompt: str, seed: int) -> VideoRequest:
    """The bar's prompt as a film; of the classroom model, whatever the tab has chosen.

    Raises:
        InputError: what `VideoRequest.validated` raises.
    """
    moving = prompt if said_motion(prompt) or not prompt.strip() else with_motion_word(prompt, ADDED)
    model = catalogue.entries("video")[0].id
    asked = VideoRequest(prompt, seed=seed, num_inference_steps=STEPS, model=model)
    return asked.varied(moving).validated()


@lru_cache(maxsize=1)
def compute_station_video() -> VideoResult:
    """The film of the bar's first prompt, drawn once after start."""
    example = example_request()
    return draw_video(video_request(example.prompt, example.seed))


def waiting_video(t: Texts, asks: str = "") -> str:
    """The station before anything moves, and whether it asks for its film when it is seen."""
    return HTML.video("waiting", None, t("journey.when_seen") if asks else "…", t, asks)


def running_video(live: LiveVideo, t: Texts) -> str:
    """All frames of the step that was taken last."""
    if not live.steps:
        return waiting_video(t)
    film = _video(live.sheets[-1], len(live.steps[-1].denoised), live.request)
    words = t("journey.say_video_running", done=len(live.steps), total=live.request.num_inference_steps)
    return HTML.video("waiting", film, words, t)


def video_station(result: VideoResult, prompt: str, t: Texts) -> str:
    """The station with a film.

    Args:
        result: of the prompt.
        prompt: as it stands in the bar; the film's own may have a motion word more.
    """
    request = result.trace.request
    frames, _, height, width = result.trace.steps[-1].latents.shape
    words = t.html("journey.say_video", prompt=quote(request.prompt), frames=frames, tokens=height * width)
    if prompt != request.prompt:
        words += " " + t.html("journey.say_video_added", motion=quote(MOTION_WORDS[ADDED][0]))
    return HTML.video("done", _video(result.sheets[-1], result.count, request), words, t)


def _video(sheet: str, count: int, request: VideoRequest) -> dict[str, Any]:
    stills = sorted({round(i * (count - 1) / (SHOWN - 1)) for i in range(SHOWN)})
    return {"sheet": sheet, "count": count, "stills": stills, "prompt": request.prompt}


def build_video_row(shown: gr.State, t: Texts) -> TimeRow:
    """Draw the row, see `build_time_row`."""
    return build_time_row(shown, t, "video", partial(waiting_video, t), partial(fill, t=t), FILM)


def fill(prompt: str, seed: int, slot: RunSlot, t: Texts) -> Iterator[str]:
    """Draw the film, unless it is the first example and there already; yields views of the station."""
    request = video_request(prompt, seed)
    if compute_station_video.cache_info().currsize:
        ready = compute_station_video()
        if ready.trace.request == request:
            yield video_station(ready, prompt, t)
            return
    views = video_run(
        request, slot,
        running=lambda live: (running_video(live, t),),
        finished=lambda result: (video_station(result, prompt, t),),
        restored=lambda: (waiting_video(t),), place="journey-video",
    )  # fmt: skip
    yield from (page for (page,) in views)
