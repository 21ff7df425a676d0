"""The journey's station in time: the same prompt as a film."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import gradio as gr

from components.errors import message
from components.journey_view import READING, STEERING, card, hole, row
from components.language import Texts
from components.layout import html_escape, live_html
from components.picture_tabs import example_request
from components.prompt_bar import PromptBar, values_from_query
from components.runs import RunSlot
from components.video_runs import FILM, film_run, shot_of
from components.video_sheets import FilmReel, Shot
from pipelines import models
from pipelines.errors import InputError
from pipelines.trace import Trace
from pipelines.video import FilmRequest
from pipelines.video_words import said_motion, with_motion_word

ADDED = "walks right"  # what moves where the prompt does not say
STEPS = 8  # fewer than in the tab: a miniature
SHOWN = 6  # frames beside the film


def film_request(prompt: str, seed: int) -> FilmRequest:
    """The bar's prompt as a film; of the classroom model, whatever the tab has chosen.

    Raises:
        InputError: what `FilmRequest.validated` raises.
    """
    moving = prompt if said_motion(prompt) or not prompt.strip() else with_motion_word(prompt, ADDED)
    model = models.catalogue("video")[0].id
    return FilmRequest(moving, seed=seed, num_inference_steps=STEPS, model=model).validated()


@lru_cache(maxsize=1)
def compute_example_station() -> Shot:
    """The film of the bar's first prompt, drawn once after start."""
    example = example_request()
    return shot_of(film_request(example.prompt, example.seed))


def waiting_station(t: Texts) -> str:
    """The station before anything moves."""
    return _page(hole(t), "…", t)


def running_station(reel: FilmReel, t: Texts) -> str:
    """All frames of the step that was taken last."""
    if not reel.steps:
        return waiting_station(t)
    words = t("journey.say_video_running", done=len(reel.steps), total=reel.request.num_inference_steps)
    return _page(_film(reel.sheets[-1], len(reel.steps[-1].denoised), reel.request, t), html_escape(words), t)


def film_station(shot: Shot, prompt: str, t: Texts) -> str:
    """The station with a film.

    Args:
        shot: of the prompt.
        prompt: as it stands in the bar; the film's own may have a motion word more.
        t: texts.
    """
    frames, _, height, width = shot.trace.steps[-1].latents.shape
    words = t("journey.say_video", prompt=shot.trace.request.prompt, frames=frames, tokens=height * width)
    if prompt != shot.trace.request.prompt:
        words += " " + t("journey.say_video_added", motion=ADDED)
    return _page(_film(shot.sheets[-1], shot.count, shot.trace.request, t), html_escape(words), t, "done")


def _film(sheet: str, count: int, request: FilmRequest, t: Texts) -> str:
    alt = html_escape(t("journey.alt_video", prompt=request.prompt))
    chosen = sorted({round(i * (count - 1) / (SHOWN - 1)) for i in range(SHOWN)})
    stills = "".join(f'<i style="--i:{i}"></i>' for i in chosen)
    return (
        f'<span class="reel" style="--n:{count};--sheet:url(\'{sheet}\')">'
        f'<i class="moving" style="--i:0" role="img" aria-label="{alt}"></i>{stills}</span>'
    )


def _page(body: str, words: str, t: Texts, state: str = "waiting") -> str:
    station = card(len(READING) + len(STEERING) + 1, "video", body, words, t)
    shown = row([station], t("journey.film")).replace('class="row"', 'class="row time"', 1)
    return f'<div data-state="{state}">{shown}</div>'


def build_film_row(bar: PromptBar, t: Texts) -> tuple[gr.HTML, Callable[..., Any], list[Any]]:
    """Draw the row.

    Returns:
        Its place, the handler that fills it, and the handler's inputs.
    """
    place = live_html("journey", "journey-film", t("journey.film"), waiting_station(t))
    return place, _handler(t), [bar.prompt, bar.seed, bar.trace, gr.State(RunSlot())]


def _handler(t: Texts) -> Callable[..., Any]:
    def film(
        prompt: str, seed: int, trace: Trace | None, slot: RunSlot, request: gr.Request
    ) -> Iterator[Any]:
        """Gradio tells of the first tab while the page opens at whatever tab; the address is what counts.

        Before the first picture is there, the bar may not have been told yet what the address says.
        """
        if request.query_params.get("tab", "journey") != "journey":
            yield gr.skip()
            return
        if trace is None:
            asked = values_from_query(request.query_params)
            prompt, seed = asked.prompt, asked.seed
        try:
            yield from fill(prompt, seed, slot, t)
        except InputError as error:
            yield f'<p class="refused" role="alert">{html_escape(message(error, t))}</p>'

    return film


def fill(prompt: str, seed: int, slot: RunSlot, t: Texts) -> Iterator[str]:
    """Draw the film, unless it is the first example and there already; yields views of the station."""
    request = film_request(prompt, seed)
    if compute_example_station.cache_info().currsize:
        ready = compute_example_station()
        if ready.trace.request == request:
            yield film_station(ready, prompt, t)
            return
    views = film_run(
        request, slot,
        running=lambda reel: (running_station(reel, t),),
        finished=lambda shot: (film_station(shot, prompt, t),),
        restored=lambda: (waiting_station(t),),
    )  # fmt: skip
    yield from (page for (page,) in views)


WIRING = {**FILM, "trigger_mode": "multiple"}
