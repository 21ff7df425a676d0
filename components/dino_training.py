"""The live part of the DINO tab: a visitor's own student and teacher."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gradio as gr

from components.dino_training_view import state_of, training_html
from components.dino_view import waiting_html
from components.errors import explained
from components.language import Texts
from components.layout import live_html, section
from components.live import MODEL, TRAINING, owner_of
from pipelines.checks import MAX_SEED, whole
from pipelines.compute import on_compute_thread
from pipelines.dino_training import (
    MOMENTUM_HIGHEST,
    DinoLearner,
    DinoRecord,
    Settings,
    neighbour_share,
)
from pipelines.live_training import Run, trainings

PACE = 0.4  # s between two views: a view is some forty small pictures
MOST_API_STEPS = 200


@dataclass(frozen=True)
class TrainingSection:
    """The live part's components; `key` is this visitor's training, "" before the first."""

    start: gr.Button
    stop: gr.Button
    anew: gr.Button
    momentum: gr.Slider
    centering: gr.Checkbox
    sharpening: gr.Checkbox
    view: gr.HTML
    key: gr.State


def build_training_section(t: Texts) -> TrainingSection:
    """Draw the live part."""
    section(t("dino.live_title"), t("dino.live_hint"))
    default = Settings()
    with gr.Row(equal_height=False, elem_classes="dial-row"):
        start = gr.Button(t("dino.train"), variant="primary", elem_id="dino-train", scale=2)
        stop = gr.Button(t("dino.stop"), variant="stop", elem_id="dino-stop", interactive=False, scale=1)
        anew = gr.Button(t("dino.anew"), elem_id="dino-anew", scale=1)
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            momentum = gr.Slider(
                0, MOMENTUM_HIGHEST, value=default.momentum, step=0.001, label=t("dino.momentum"),
                info=t("dino.momentum_info"), elem_id="dino-momentum",
            )  # fmt: skip
        with gr.Column(min_width=320):
            centering = gr.Checkbox(
                True, label=t("dino.centering"), info=t("dino.centering_info"), elem_id="dino-centering"
            )
        with gr.Column(min_width=320):
            sharpening = gr.Checkbox(
                True, label=t("dino.sharpening"), info=t("dino.sharpening_info"), elem_id="dino-sharpening"
            )
    view = live_html("dino", "dino-training", t("dino.live_title"), waiting_html(t))
    return TrainingSection(start, stop, anew, momentum, centering, sharpening, view, gr.State(""))


@lru_cache(maxsize=1)
def first_record() -> DinoRecord:
    """The untrained models' first look, which is the same for every visitor."""
    return on_compute_thread(lambda: DinoLearner(0, Settings()).measure())()


def wire_training(part: TrainingSection, tab: gr.Tab, t: Texts) -> None:
    """Let the buttons train, stop and begin anew, and the switches act at once."""
    train, anew, change, enter = _handlers(t)
    dials = [part.momentum, part.centering, part.sharpening]
    outputs = [part.view, part.key, part.stop]
    part.start.click(train, [part.key, *dials], outputs, trigger_mode="multiple", **TRAINING)
    part.anew.click(anew, [part.key, *dials], outputs, trigger_mode="multiple", **TRAINING)
    part.stop.click(_pause, part.key, part.stop, queue=False, api_visibility="private")
    for event in (part.momentum.release, part.centering.input, part.sharpening.input):
        event(change, [part.key, *dials], None, queue=False, api_visibility="private")
    tab.select(enter, part.key, part.view, **MODEL)


def _pause(key: str) -> Any:
    trainings.pause(key)
    return gr.update(interactive=False)


def _handlers(t: Texts) -> tuple[Callable[..., Any], ...]:
    @explained(t)
    def train(
        key: str, momentum: float, centering: bool, sharpening: bool, request: gr.Request
    ) -> Iterator[Any]:
        settings = Settings(momentum, centering, sharpening)
        if not trainings.holds(key):
            key = trainings.begin(lambda: DinoLearner(0, settings), owner_of(request))
        run = trainings.run(key)
        trainings.learner(key).change(settings)
        yield from _shown(run, key, t)

    @explained(t)
    def anew(
        key: str, momentum: float, centering: bool, sharpening: bool, request: gr.Request
    ) -> Iterator[Any]:
        trainings.free(key)
        yield from train("", momentum, centering, sharpening, request)

    @explained(t)
    def change(key: str, momentum: float, centering: bool, sharpening: bool) -> None:
        settings = Settings(momentum, centering, sharpening)
        if trainings.holds(key):
            trainings.learner(key).change(settings)

    @explained(t)
    def enter(key: str) -> Any:
        return training_html(trainings.records(key) if trainings.holds(key) else [first_record()], t)

    return train, anew, change, enter


def _shown(run: Run[DinoRecord], key: str, t: Texts) -> Iterator[Any]:
    """A training while it runs; each view has all that was measured."""
    yield training_html(trainings.records(key), t), key, gr.update(interactive=True)
    shown = -math.inf
    for _ in run:
        if time.monotonic() - shown >= PACE:
            yield training_html(trainings.records(key), t), gr.skip(), gr.skip()
            shown = time.monotonic()
    if trainings.holds(key):
        yield training_html(trainings.records(key), t), gr.skip(), gr.update(interactive=False)


def train_dino(
    steps: int = 60, momentum: float = 0.95, centering: bool = True, sharpening: bool = True, seed: int = 0
) -> dict[str, Any]:
    """Train a small DINO without labels on pictures of the classroom world, and say whether it collapses.

    Args:
        steps: 1 to 200.
        momentum: share of itself that the teacher keeps at a step, 0 to 0.999.
        centering: subtract the running mean of the teacher's scores.
        sharpening: divide the teacher's scores by a low temperature.
        seed: 0 to 4294967295; the same seed and settings give the same training to the bit.

    Returns:
        One value a step, that of the untrained models first: "entropy" (mean over pictures, nats), "variety"
        (entropy of the mean over pictures, nats) and "spread" (standard deviation of normalised features, 0
        to 1); "loss" (nats, one fewer); "state", one of "early", "one", "same", "fine"; "knn", the share of
        pictures whose five nearest show the same thing.
    """
    _check(steps, seed)
    settings = Settings(momentum, bool(centering), bool(sharpening))
    key = trainings.begin(lambda: DinoLearner(int(seed), settings))
    try:
        run = trainings.run(key)
        for _ in zip(range(int(steps)), run, strict=False):
            pass
        records, learner = trainings.records(key), trainings.learner(key)
        return {
            **{k: [round(getattr(r, k), 5) for r in records] for k in ("entropy", "variety", "spread")},
            "loss": [round(r.loss, 5) for r in records[1:]],
            "state": state_of(records),
            "knn": round(on_compute_thread(neighbour_share)(learner), 4),
        }
    finally:
        trainings.free(key)


def _check(steps: int, seed: int) -> None:
    whole("dino_steps", steps, 1, MOST_API_STEPS)
    whole("seed_range", seed, 0, MAX_SEED)


API: dict[str, Callable[..., Any]] = {"train_dino": train_dino}
