"""The tab of contrastive learning: a CLIP in small learns while the class watches."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from components.contrastive.api import train_contrastive
from components.contrastive.state import (
    BURST,
    EXPERIMENTS,
    MOST_AT_ONCE,
    OPENING,
    PACES,
    TrainingState,
    begun,
    first_desk,
    pulse_of,
    strip_of,
    train,
    with_captions,
    with_own_pictures,
    without,
)
from components.contrastive.view import waiting_html
from components.page.prompt_bar import PromptBar
from components.runs.queues import TRAINING
from components.runs.training import owner_of
from components.ui.errors import explained
from components.ui.fields import slider, told
from components.ui.language import Texts
from components.ui.layout import KEEPS_STILL, live_html, tab_frame
from components.ui.scene import scene
from components.ui.uploads import accept_named, sources_html
from pipelines.clip import contrastive_pairs
from pipelines.clip.contrastive import BATCHES, TEMPERATURES
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import trainings

API: dict[str, Callable[..., Any]] = {"train_contrastive": train_contrastive}


@dataclass(frozen=True)
class _Parts:
    """The tab's components."""

    desk: gr.State
    experiment: gr.Radio
    stage: gr.HTML
    pulse: gr.HTML
    pace: gr.Radio
    temperature: gr.Radio
    tau: gr.Slider
    batch: gr.Slider
    strip: gr.HTML
    captions: gr.Textbox
    sources: gr.HTML
    count: gr.Slider
    draw: gr.Button
    own: gr.Button
    still: gr.Checkbox  # never seen: whether the visitor wants nothing to move

    @property
    def recipe(self) -> list[Any]:
        """What a new training reads after the desk."""
        return [self.experiment, self.batch, self.temperature, self.tau, self.pace]

    @property
    def shown(self) -> list[Any]:
        return [self.desk, self.stage, self.pulse]

    @property
    def laid(self) -> list[Any]:
        """What changes with the pairs, beside what is shown."""
        return [self.captions, self.strip]


def _layout(t: Texts) -> _Parts:
    experiments = [(t(f"contrastive.experiment.{name}"), name) for name in EXPERIMENTS]
    with scene(t, "contrastive.training", kind="tab"):
        experiment = gr.Radio(
            experiments,
            value="pairs",
            label=t("contrastive.experiment_label"),
            show_label=False,
            elem_id="contrastive-experiment",
        )
        stage = live_html("contrastive/view", "contrastive-stage", also=["ui/training_console"])
        pulse = live_html("contrastive/pulse", "contrastive-pulse", classes=["sv-sr"])
        with gr.Row(equal_height=False):
            paces = [(t(f"contrastive.pace.{name}"), name) for name in PACES]
            pace = gr.Radio(
                paces,
                value="watch",
                label=t("contrastive.pace_label"),
                elem_id="contrastive-pace",
                min_width=260,
            )
            kinds = [(t(f"contrastive.temperature_kind.{kind}"), kind) for kind in ("learned", "fixed")]
            temperature = gr.Radio(
                kinds, value="learned", label=t("contrastive.temperature_label"),
                info=t("contrastive.temperature_info"), elem_id="contrastive-temperature", min_width=260,
            )  # fmt: skip
            tau = slider(
                *TEMPERATURES, value=0.07, step=0.01, label=t("contrastive.tau"),
                info=t("contrastive.tau_info"), elem_id="contrastive-tau", min_width=260,
            )  # fmt: skip
            batch = slider(
                *BATCHES, value=16, step=1, label=t("contrastive.batch"), info=t("contrastive.batch_info"),
                elem_id="contrastive-batch", min_width=260,
            )  # fmt: skip
    with scene(t, "contrastive.own"), gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            strip = live_html("ui/uploads", "contrastive-strip", t("contrastive.strip"))
            captions = gr.Textbox(
                "\n".join(first_desk().pairs.captions), lines=5, max_lines=9, label=t("contrastive.captions"),
                info=t("contrastive.captions_info"), elem_id="contrastive-captions", elem_classes="sv-text",
            )  # fmt: skip
            own = gr.Button(t("contrastive.train_own"), elem_id="contrastive-own")
        with gr.Column(scale=2, min_width=320):
            field = sources_html(t, "contrastive.drop")
            sources = live_html("ui/uploads", "contrastive-sources", value=field)
            count = slider(
                contrastive_pairs.FEWEST, contrastive_pairs.MOST, value=5, step=1,
                label=t("contrastive.count"), elem_id="contrastive-count",
            )  # fmt: skip
            draw = gr.Button(t("contrastive.draw"), elem_id="contrastive-draw")
    return _Parts(
        gr.State(first_desk()), experiment, stage, pulse, pace, temperature, tau, batch, strip, captions,
        sources, count, draw, own, gr.Checkbox(False, visible=False),
    )  # fmt: skip


def _fresh(desk: TrainingState, given: tuple[Any, ...], owner: str, burst: int, t: Texts) -> Iterator[Any]:
    """A new training and its first steps, as values of desk, stage and pulse; none if put away by then.

    Args:
        desk: with the pairs.
        given: values of `_Parts.recipe`.
        owner: the visitor.
        burst: steps to take; 0 only shows the untrained model.
    """
    experiment, batch, kind, tau, pace = given
    try:
        desk, stage = begun(desk, experiment, batch, tau if kind == "fixed" else None, owner, t)
    except InputError as error:
        if error.key == "training_gone":  # put away by the visitor's next start before it was shown
            return
        raise
    yield desk, stage, pulse_of(desk, running=burst > 0)
    if burst and desk.there:
        for pulse in train(desk, None, PACES[pace], burst):
            yield gr.skip(), gr.skip(), pulse


def _with_pairs(
    desk: TrainingState, captions: Any, given: tuple[Any, ...], owner: str, burst: int, t: Texts
) -> Iterator[Any]:
    """`_fresh`, and with its first values those of the box of captions and of the strip of pictures."""
    laid = captions, strip_of(desk, t)
    for values in _fresh(desk, given, owner, burst, t):
        yield *values, *laid
        laid = gr.skip(), gr.skip()


def _laid(desk: TrainingState, t: Texts) -> tuple[Any, ...]:
    """Pictures that wait for their captions, as values of everything; a training stands still."""
    trainings.pause(desk.key)
    return desk, waiting_html(t), "", "\n".join(desk.pairs.captions), strip_of(desk, t)


def _on(desk: TrainingState, step: int, pace: float, burst: int) -> Iterator[Any]:
    """More steps of a training; should it be gone, the next press begins a new one."""
    if not desk.there:
        yield replace(desk, key=""), gr.skip(), gr.skip()
    for pulse in train(desk, step, pace, burst):
        yield gr.skip(), gr.skip(), pulse


def _renewing(
    t: Texts, when: Callable[[tuple[Any, ...]], bool] = lambda given: True, burst: int = BURST, seed: int = 0
) -> Callable[..., Any]:
    """A handler that begins a new training.

    Args:
        when: told the values of `_Parts.recipe`, whether they make a difference.
        burst: steps to take at once.
        seed: added to the visitor's.
    """

    # Gradio finds request and event by their annotations, among the first parameters.
    @explained(t)
    def changed(request: gr.Request, desk: TrainingState, *given: Any) -> Iterator[Any]:
        if desk.number and when(given):
            yield from _fresh(replace(desk, seed=desk.seed + seed), given, owner_of(request), burst, t)
        else:  # nothing to do, or nobody has opened the tab yet
            yield (gr.skip(),) * 3

    return changed


def _continuing(t: Texts, burst: int) -> Callable[..., Any]:
    """A handler that goes on from the step that the stage shows."""

    @explained(t)
    def pressed(event: gr.EventData, request: gr.Request, desk: TrainingState, *given: Any) -> Iterator[Any]:
        if desk.key:
            yield from _on(desk, told(event, "step", int), PACES[given[-1]], burst)
        else:
            yield from _fresh(desk, given, owner_of(request), burst, t)

    return pressed


def _wire_training(t: Texts, tab: gr.Tab, p: _Parts) -> None:
    """The first example, the buttons of the stage, and what needs another model."""

    @explained(t)
    def opened(request: gr.Request, still: bool, desk: TrainingState, *given: Any) -> Iterator[Any]:
        if desk.number:
            yield (gr.skip(),) * 5
        else:
            burst = 0 if still else OPENING
            yield from _with_pairs(desk, gr.skip(), given, owner_of(request), burst, t)

    given: dict[str, Any] = {"inputs": [p.desk, *p.recipe], "outputs": p.shown, "trigger_mode": "multiple"}
    first = {"inputs": [p.still, *given["inputs"]], "outputs": [*p.shown, *p.laid]}
    tab.select(opened, **given | first, **TRAINING, js=KEEPS_STILL)
    p.stage.submit(_continuing(t, BURST), **given, **TRAINING)
    p.stage.edit(_continuing(t, 1), **given, **TRAINING)
    p.stage.clear(_renewing(t, burst=0, seed=1), **given, **TRAINING)
    for choice in (p.experiment, p.temperature):
        choice.input(_renewing(t), **given, **TRAINING)
    p.batch.release(_renewing(t, lambda given: given[0] == "many"), **given, **TRAINING)
    p.tau.release(_renewing(t, lambda given: given[2] == "fixed"), **given, **TRAINING)
    p.stage.stop(lambda desk: trainings.pause(desk.key), p.desk, queue=False, api_visibility="private")


def _wire_pairs(t: Texts, p: _Parts) -> None:
    """Pairs that a visitor draws, brings, takes away or captions anew."""

    @explained(t)
    def drawn(request: gr.Request, desk: TrainingState, count: float, *given: Any) -> Iterator[Any]:
        pairs = contrastive_pairs.draw_pairs(int(count), random.getrandbits(32))
        desk = replace(desk, pairs=pairs, waiting=False)
        yield from _with_pairs(desk, "\n".join(pairs.captions), given, owner_of(request), BURST, t)

    @explained(t)
    def sent(event: gr.EventData, desk: TrainingState) -> Any:
        names, images = accept_named(told(event, "paths", list), MOST_AT_ONCE, t)
        return _laid(with_own_pictures(desk, images, names), t) if images else (gr.skip(),) * 5

    @explained(t)
    def removed(
        event: gr.EventData, request: gr.Request, desk: TrainingState, text: str, *given: Any
    ) -> Iterator[Any]:
        left, captions = without(desk, told(event, "index", int), text)
        if left is desk:
            yield (gr.skip(),) * 5
        elif left.waiting:
            yield _laid(left, t)
        else:
            yield from _with_pairs(left, captions, given, owner_of(request), BURST, t)

    @explained(t)
    def captioned(request: gr.Request, desk: TrainingState, text: str, *given: Any) -> Iterator[Any]:
        desk = replace(with_captions(desk, text.splitlines()), waiting=False)
        yield from _with_pairs(desk, gr.skip(), given, owner_of(request), BURST, t)

    shown: dict[str, Any] = {"outputs": [*p.shown, *p.laid], "trigger_mode": "multiple"}
    p.draw.click(drawn, [p.desk, p.count, *p.recipe], **shown, **TRAINING)
    p.own.click(captioned, [p.desk, p.captions, *p.recipe], **shown, **TRAINING)
    p.strip.delete(removed, [p.desk, p.captions, *p.recipe], **shown, **TRAINING)
    for place in (p.sources, p.strip):
        place.upload(sent, p.desk, [*p.shown, *p.laid], api_visibility="private", show_progress="hidden")


def build_contrastive_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and wire it.

    Args:
        bar: the bar above all tabs; this tab has its own texts.
    """
    with tab_frame(t, "contrastive") as tab:
        parts = _layout(t)
    names = {"experiment", "pace", "temperature", "tau", "batch", "captions", "count"}
    bar.keep("contrastive", **{name: getattr(parts, name) for name in sorted(names)})
    _wire_training(t, tab, parts)
    _wire_pairs(t, parts)
