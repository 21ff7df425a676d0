"""Two films beside each other that differ in one thing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import gradio as gr
import numpy as np

from components.page.vocabulary import reads
from components.runs.queues import FILM
from components.runs.slot import RunSlot
from components.ui.errors import explained
from components.ui.fields import slider
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.numbers import fixed, of_100
from components.ui.scene import scene
from components.video.run import example_video, video_run
from components.video.sheets import LiveVideo, VideoResult, heat_sheet
from components.video.view import HTML, aspect, base_data, measured
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.serving.measured import figure
from pipelines.video.measures import VideoMeasures
from pipelines.video.request import VideoRequest
from pipelines.video.words import real_clips, said_motion, with_motion_word
from pipelines.world.films import MOTION_WORDS, MOTIONS

_MEASURED = (
    "motion", "consistency", "consistency_real", "consistency_without_attention", "dynamic_degree",
    "dynamic_degree_real",
)  # fmt: skip
LEVERS = ("off", "word", "later")
LATER_PROMPT = "A cat walks right on a beach."


@dataclass(frozen=True)
class PairParts:
    """The section's components."""

    lever: gr.Radio
    motion: gr.Dropdown
    later: gr.Textbox
    frame: gr.Slider
    draw: gr.Button
    stop: gr.Button
    view: gr.HTML
    pair: gr.State


@dataclass(frozen=True, eq=False)
class Pair:
    """Two films and what makes the difference."""

    lever: str
    one: VideoResult
    other: VideoResult


def other_request(request: VideoRequest, lever: str, motion: str, later: str, frame: int) -> VideoRequest:
    """The film beside: the same seed and numbers, one thing changed.

    Args:
        request: of the film at hand.
        lever: "off" switches the attention between frames off; "word" puts another motion word in; "later"
            changes the prompt while the film runs.
        motion: for "word".
        later: for "later", the text from `frame` on.
        frame: for "later", 1-based.

    Raises:
        InputError: `film_lever_unknown`, `word_same`, and what `VideoRequest.validated` raises.
    """
    if lever == "off":
        return replace(request, motion=False).validated()
    if lever == "word":
        changed = with_motion_word(request.prompt, motion)
        if changed == request.prompt:
            raise InputError("word_same", word=MOTION_WORDS[motion][0] if motion else "")
        return replace(request.varied(changed), later=()).validated()
    if lever == "later":
        at = int(frame) - 1
        hard = ((at - 1, request.prompt),) if at > 1 else ()  # so that the text changes from one to the next
        return replace(request, later=(*hard, (at, later))).validated()
    raise InputError("film_lever_unknown", received=lever, known=", ".join(LEVERS))


def build_pair(t: Texts) -> PairParts:
    """Draw the section."""
    with scene(t, "video.pair"):
        lever = gr.Radio(
            [(t(f"video.lever_{name}"), name) for name in LEVERS], value=LEVERS[0], label=t("video.lever"),
            elem_id="video-lever",
        )  # fmt: skip
        with gr.Row(equal_height=False):
            motion = gr.Dropdown(
                [(motion_label(name, t), name) for name in MOTIONS], value="flies up", filterable=False,
                label=t("video.other_motion"), visible=False, elem_id="video-other-motion",
            )  # fmt: skip
            later = gr.Textbox(
                LATER_PROMPT,
                label=t("video.later"),
                visible=False,
                elem_id="video-later",
                scale=2,
                elem_classes=reads("video"),
            )
            frame = slider(
                2,
                16,
                value=9,
                step=1,
                label=t("video.later_frame"),
                visible=False,
                elem_id="video-later-frame",
            )
        with gr.Row(elem_classes="image-actions", equal_height=True):
            draw = gr.Button(
                t("video.pair_draw"), variant="primary", elem_id="video-pair-draw", scale=0, min_width=320
            )
            stop = gr.Button(
                t("image.stop"), variant="stop", interactive=False, elem_id="video-pair-stop", scale=0,
                min_width=130,
            )  # fmt: skip
        view = live_html("video/view", "video-pair", t("video.pair_title"), waiting_html(t))
        gr.Markdown(measured_text(t), elem_classes="sv-hint")
    return PairParts(lever, motion, later, frame, draw, stop, view, gr.State(None))


def measured_text(t: Texts) -> str:
    """What the evaluation says of the shipped model, with its sample size, if these weights were measured."""
    found = {name: figure(f"video.{name}") for name in _MEASURED}
    if any(f is None for f in found.values()):
        return t("video.not_measured")
    shares = ("motion", "dynamic_degree", "dynamic_degree_real")
    words = {
        name: (of_100 if name in shares else fixed)(f.value, t) for name, f in found.items() if f is not None
    }
    asked = found["motion"]
    assert asked is not None  # or it would not have been measured
    low, high = (of_100(value, t) for value in asked.ci95)
    said = t("video.measured", n=asked.n, low=low, high=high, **words)
    return f"{said} {t('video.judge_weak')}" if asked.judge else said


def motion_label(name: str, t: Texts) -> str:
    """What a motion word means, in the page's language; the word itself stands in the prompt."""
    return t(f"video.motion_name.{name.replace(' ', '_')}")


def waiting_html(t: Texts) -> str:
    """Before there is a film to compare with."""
    return HTML.pair_waiting(t)


def wire_pair(parts: PairParts, result: gr.State, slot: gr.State, t: Texts) -> Callable[..., Iterator[Any]]:
    """Wire the section.

    Args:
        parts: of `build_pair`.
        result: this visitor's film.
        slot: this visitor's run of films.

    Returns:
        What draws the pair without a click, once the first film is there.
    """

    def levers(lever: str) -> Any:
        return (
            gr.update(visible=lever == "word"), gr.update(visible=lever == "later"),
            gr.update(visible=lever == "later"),
        )  # fmt: skip

    @explained(t)
    def compare(lever: str, motion: str, later: str, frame: int, result: VideoResult | None, slot: RunSlot,
                pair: Pair | None) -> Iterator[Any]:  # fmt: skip
        yield from pair_run(lever, motion, later, frame, result, slot, pair, t)

    inputs = [parts.lever, parts.motion, parts.later, parts.frame, result, slot, parts.pair]
    outputs = [parts.view, parts.stop, parts.pair]
    parts.lever.change(levers, parts.lever, [parts.motion, parts.later, parts.frame], queue=False,
                       api_visibility="private")  # fmt: skip
    parts.draw.click(compare, inputs, outputs, trigger_mode="multiple", **FILM)
    parts.stop.click(lambda s: s.stop(), slot, queue=False, api_visibility="private")

    def first(lever: str, motion: str, later: str, frame: int, result: VideoResult | None, slot: RunSlot,
              pair: Pair | None) -> Iterator[Any]:  # fmt: skip
        if pair is not None or result is None or slot.busy:
            yield (gr.skip(),) * 3
        else:
            yield from pair_run(lever, motion, later, frame, result, slot, pair, t)

    return explained(t)(first)


def pair_run(
    lever: str, motion: str, later: str, frame: int, result: VideoResult | None, slot: RunSlot,
    before: Pair | None, t: Texts,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Draw the other film, showing it beside the first as it comes.

    Yields:
        Values for the view, the stop button and the pair.
    """
    if result is None:
        raise InputError("film_missing")
    request = other_request(result.trace.request, lever, motion, later, frame)
    if (ready := example_video(request)) is not None:
        slot.silence("film-pair")
        pair = Pair(lever, result, ready)
        yield pair_view(pair, t), gr.update(interactive=False), pair
        return

    def running(live: LiveVideo) -> tuple[Any, ...]:
        return pair_running(lever, result, live, t), gr.update(interactive=True), gr.skip()

    def finished(other: VideoResult) -> tuple[Any, ...]:
        pair = Pair(lever, result, other)
        return pair_view(pair, t), gr.update(interactive=False), pair

    def restored() -> tuple[Any, ...]:
        page = pair_view(before, t) if before else waiting_html(t)
        return page, gr.update(interactive=False), gr.skip()

    yield from video_run(request, slot, running, finished, restored, place="film-pair")


def pair_running(lever: str, result: VideoResult, live: LiveVideo, t: Texts) -> str:
    """The finished film beside the one that is being drawn."""
    said = t("video.step_of", step=len(live.steps), total=live.request.num_inference_steps)
    sides = [
        _side("one", "one", result.trace.request, t), _side("other", lever, live.request, t, progress=said),
    ]  # fmt: skip
    films = {"one": [result.sheets[-1]], "other": live.sheets[-1:]}
    data = base_data(result.count, t) | {"films": films, "step": 0}
    return HTML.pair(sides, aspect(result.trace.steps[-1]), data, t)


def pair_view(pair: Pair, t: Texts) -> str:
    """Both films in step, and frame by frame how alike they are."""
    one, other = pair.one, pair.other
    sides = [
        _side("one", "one", one.trace.request, t, one.measures),
        _side("other", pair.lever, other.trace.request, t, other.measures),
    ]
    films = {"one": [one.sheets[-1]], "other": [other.sheets[-1]]}
    data = base_data(one.count, t) | {"films": films, "step": 0}
    return HTML.pair(sides, aspect(one.trace.steps[-1]), data, t, pair.lever, _real(one, t))


def _side(
    name: str, key: str, request: VideoRequest, t: Texts, measures: VideoMeasures | None = None,
    progress: str = "",
) -> dict[str, Any]:  # fmt: skip
    """One of the two films for the template; `progress` while it is being drawn."""
    texts = [request.prompt, *(text for _, text in request.later[-1:])]
    return {
        "name": name,
        "title": t(f"video.side_{key}"),
        "words": " → ".join(texts),
        "progress": progress,
        "similarity": heat_sheet(np.clip(measures.similarity, 0, 1)[None], [1.0]) if measures else "",
        "measured": measured(measures, t) if measures else None,
    }


def _real(result: VideoResult, t: Texts) -> str:
    """What films that the world draws itself reach with this motion, beside which a model's can be judged."""
    if catalogue.entry(result.trace.request.model).family != "classroom":
        return ""
    motion = said_motion(result.trace.request.prompt)
    consistency, speed = _real_numbers(motion)
    name = MOTION_WORDS[motion][0] if motion else t("video.nothing_moves")
    return t("video.real", motion=name, consistency=fixed(consistency, t), speed=fixed(speed, t, 1))


@lru_cache(maxsize=16)
def _real_numbers(motion: str | None) -> tuple[float, float]:
    clips = real_clips(motion)
    return float(np.mean([c.consistency for c in clips])), float(np.mean([c.speed for c in clips]))
