"""The live part of the DINO tab: a visitor's own student and teacher."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import gradio as gr
from pydantic import Field

from components.dino.training_view import state_of, training_html
from components.dino.view import waiting_html
from components.runs.queues import QUIET_MODEL, TRAINING, endpoint
from components.runs.training import owner_of, show_training
from components.ui.arguments import Flag, RealNumber, Seed, WholeNumber
from components.ui.errors import explained
from components.ui.fields import slider, told
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.scene import scene
from components.ui.training_console import console_html
from pipelines.dino.training import MOMENTUM_HIGHEST, DinoLearner, DinoRecord, Settings, neighbour_share
from pipelines.serving.checks import MAX_SEED, whole
from pipelines.serving.live_training import MOST_STEPS, TrainingRun, trainings
from pipelines.serving.training_steps import untrained

PACE = 0.3  # s between two views: each has a dozen small pictures
MOST_API_STEPS = 200


@dataclass(frozen=True)
class TrainingSection:
    """The live part's components; `key` is this visitor's training, "" before the first."""

    console: gr.HTML
    momentum: gr.Slider
    centering: gr.Checkbox
    sharpening: gr.Checkbox
    view: gr.HTML
    key: gr.State

    @property
    def dials(self) -> list[Any]:
        return [self.momentum, self.centering, self.sharpening]


def build_training_section(t: Texts) -> TrainingSection:
    """Draw the live part."""
    with scene(t, "dino.training", t("dino.live_title"), t("dino.live_hint")):
        default = Settings()
        console = live_html(
            "dino/console", "dino-console", value=console_html(t), also=["ui/training_console"]
        )
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                momentum = slider(
                    0, MOMENTUM_HIGHEST, value=default.momentum, step=0.001, label=t("dino.momentum"),
                    info=t("dino.momentum_info"), elem_id="dino-momentum",
                )  # fmt: skip
            with gr.Column(min_width=320):
                centering = gr.Checkbox(
                    True, label=t("dino.centering"), info=t("dino.centering_info"), elem_id="dino-centering"
                )
            with gr.Column(min_width=320):
                sharpening = gr.Checkbox(
                    True,
                    label=t("dino.sharpening"),
                    info=t("dino.sharpening_info"),
                    elem_id="dino-sharpening",
                )
        view = live_html(
            "dino/training", "dino-training", t("dino.live_title"), waiting_html(t), also=["dino/view"]
        )
    return TrainingSection(console, momentum, centering, sharpening, view, gr.State(""))


@lru_cache(maxsize=1)
def first_record() -> DinoRecord:
    """The untrained models' first look, which is the same for every visitor."""
    record = untrained(DinoLearner(0, Settings())).record
    assert record is not None
    return record


def wire_training(part: TrainingSection, tab: gr.Tab, t: Texts) -> None:
    """Let the console train, pause, go back and begin anew, and the switches act at once."""
    outputs = [part.view, part.key]
    common: dict[str, Any] = {"trigger_mode": "multiple", **TRAINING}
    part.console.submit(_training(t, MOST_STEPS), [part.key, *part.dials], outputs, **common)
    part.console.edit(_training(t, 1), [part.key, *part.dials], outputs, **common)
    part.console.clear(_renewing(t), [part.key, *part.dials], outputs, **common)
    pause, back, change, enter = _handlers(t)
    part.console.stop(pause, part.key, part.view, queue=False, api_visibility="private")
    part.console.input(back, part.key, part.view, trigger_mode="always_last", **TRAINING)
    for event in (part.momentum.release, part.centering.input, part.sharpening.input):
        event(change, [part.key, *part.dials], None, queue=False, api_visibility="private")
    tab.select(enter, part.key, part.view, **QUIET_MODEL)


def _training(t: Texts, burst: int) -> Callable[..., Any]:
    """A handler that goes on from the step that is shown, for so many steps at most."""

    # Gradio finds request and event by their annotations, among the first parameters.
    @explained(t)
    def pressed(
        event: gr.EventData, request: gr.Request, key: str, momentum: float, centering: bool, sharpening: bool
    ) -> Iterator[Any]:
        settings = Settings(momentum, centering, sharpening)
        step = told(event, "step", int) if trainings.holds(key) else 0
        if not trainings.holds(key):
            key = _begun(0, settings, request)
            if not trainings.holds(key):  # put away by the visitor's next start
                return
        run = trainings.run(key, step, burst)
        trainings.change(key, settings)
        yield from _shown(run, key, burst, t)

    return pressed


def _begun(seed: int, settings: Settings, request: gr.Request) -> str:
    """The key of a visitor's new training, in place of the one before."""
    return trainings.begin(DinoLearner(seed, settings), owner_of(request), kind="dino")


def _renewing(t: Texts) -> Callable[..., Any]:
    """A handler that puts other random weights in the place of what was learned."""

    @explained(t)
    def pressed(request: gr.Request, key: str, momentum: float, centering: bool, sharpening: bool) -> Any:
        settings = Settings(momentum, centering, sharpening)
        seed = trainings.learner(key).seed + 1 if trainings.holds(key) else 1
        trainings.free(key)
        key = _begun(seed, settings, request)
        if not trainings.holds(key):  # put away by the visitor's next start
            return gr.skip(), gr.skip()
        return training_html(trainings.records(key), t), key

    return pressed


def _handlers(t: Texts) -> tuple[Callable[..., Any], ...]:
    @explained(t)
    def pause(key: str) -> Any:
        trainings.pause(key)
        return training_html(trainings.records(key), t) if trainings.holds(key) else gr.skip()

    @explained(t)
    def back(event: gr.EventData, key: str) -> str:
        trainings.run(key).close()  # one that is under way falls silent
        return training_html(trainings.records(key), t, told(event, "step", int))

    @explained(t)
    def change(key: str, momentum: float, centering: bool, sharpening: bool) -> None:
        settings = Settings(momentum, centering, sharpening)
        if trainings.holds(key):
            trainings.change(key, settings)

    @explained(t)
    def enter(key: str) -> str:
        return training_html(trainings.records(key) if trainings.holds(key) else [first_record()], t)

    return pause, back, change, enter


def _shown(run: TrainingRun[DinoRecord], key: str, burst: int, t: Texts) -> Iterator[Any]:
    """A training while it runs; each view has all that was measured. The last one says that it rests."""

    def view(running: bool) -> tuple[str, str]:
        return training_html(trainings.records(key), t, running=running), key

    yield from show_training(run, burst, lambda: view(True), lambda: view(False), PACE)


@endpoint(TRAINING)
def train_dino(
    steps: Annotated[WholeNumber, Field(ge=1, le=MOST_API_STEPS)] = 60,
    momentum: Annotated[RealNumber, Field(ge=0, le=MOMENTUM_HIGHEST)] = 0.95,
    centering: Flag = True,
    sharpening: Flag = True,
    seed: Seed = 0,
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
    steps = whole("dino_steps", steps, 1, MOST_API_STEPS)
    seed = whole("seed_range", seed, 0, MAX_SEED)
    settings = Settings(momentum, bool(centering), bool(sharpening))
    key = trainings.begin(DinoLearner(int(seed), settings))
    try:
        for _ in trainings.run(key, most=steps):
            pass
        records = trainings.records(key)
        return {
            **{k: [round(getattr(r, k), 5) for r in records] for k in ("entropy", "variety", "spread")},
            "loss": [round(r.loss, 5) for r in records[1:]],
            "state": state_of(records),
            "knn": round(neighbour_share(trainings.present(key)), 4),
        }
    finally:
        trainings.free(key)


API: dict[str, Callable[..., Any]] = {"train_dino": train_dino}
