"""Two prompts from one seed side by side, against the same prompt from another seed."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import numpy as np

from components.audio.run import AudioResult, LiveAudio, made_message, request_of, wait_message
from components.audio.view import HTML, feed_html
from components.runs.queues import AUDIO
from components.runs.slot import RunSlot
from components.runs.stream import WHEN_DUE, Views, stream
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.numbers import fixed
from components.ui.scene import scene
from components.ui.templates import isolated
from pipelines.audio import audio
from pipelines.audio.request import AudioFrame, AudioRequest
from pipelines.serving.checks import MAX_SEED

PARTNER = "A fast, happy drum piece."
PLAYERS = ("audio-pair-a", "audio-pair-b", "audio-pair-c")


@dataclass(frozen=True)
class PairPart:
    """The components of this part of the tab."""

    start: gr.Button
    stop: gr.Button
    feed: gr.HTML
    verdict: gr.HTML
    made: gr.State  # the visitor's last three sounds, or None


def build_pair_part(t: Texts) -> PairPart:
    """Draw this part of the tab."""
    asked = t("audio.pair.title"), t("audio.pair.hint")
    with scene(t, "audio.pair", *asked, filled_by="audio-pair-start"):
        with gr.Row(elem_classes="image-actions", equal_height=True):
            start = gr.Button(t("audio.pair.start"), variant="primary", elem_id="audio-pair-start")
            stop = gr.Button(
                t("audio.stop"),
                variant="stop",
                interactive=False,
                elem_id="audio-pair-stop",
                scale=0,
                min_width=140,
            )
        before = verdict_html(t("audio.pair.before"))
        verdict = live_html("audio/player", "audio-pair-verdict", value=before, script=False)
        with gr.Row(equal_height=False, elem_classes="audio-pair"):
            for player in PLAYERS:
                with gr.Column(min_width=320):
                    page = HTML.player("", "", t)
                    live_html("audio/player", player, t("audio.player.tracks"), page, classes=["audio-small"])
        feed = live_html("audio/feed", "audio-pair-feed", classes=["sv-sr"])
    return PairPart(start, stop, feed, verdict, gr.State(None))


def verdict_html(text: str) -> str:
    """A sentence about the sounds."""
    return HTML.verdict(text)


def wire_pair_part(part: PairPart, values: list[Any], prompt_b: gr.Textbox, slot: gr.State, t: Texts) -> None:
    """Let three sounds be made.

    Args:
        part: what `build_pair_part` drew.
        values: components of the request of the first.
        prompt_b: the bar's second prompt.
    """
    part.start.click(
        _handler(t), [*values, prompt_b, slot, part.made],
        [part.feed, part.stop, part.verdict, part.made], trigger_mode="multiple", **AUDIO,
    )  # fmt: skip
    part.stop.click(lambda own: own.stop(), slot, queue=False, api_visibility="private")


def _handler(t: Texts) -> Callable[..., Any]:
    @explained(t)
    def compare(*inputs: Any) -> Iterator[Any]:
        *values, prompt_b, slot, made = inputs
        yield from pair_run(request_of(*values), prompt_b or PARTNER, slot, made, t)

    return compare


@dataclass(frozen=True, eq=False)
class LiveSounds:
    """Several sounds that are made in turn."""

    sounds: Sequence[LiveAudio]

    def add(self, frame: AudioFrame) -> bool:
        """Note a step of the first that is not whole; whether there is something new to hear."""
        return next(sound for sound in self.sounds if not sound.whole).add(frame)

    @property
    def whole(self) -> bool:
        """Whether all of them are."""
        return all(sound.whole for sound in self.sounds)

    def steps(self) -> tuple[int, int]:
        """Steps taken and steps in all, once the first is taken."""
        total = self.sounds[0].frames[-1].total
        return sum(len(sound.frames) for sound in self.sounds), total * len(self.sounds)


def in_turn(requests: Sequence[AudioRequest]) -> Generator[AudioFrame, None, None]:
    """The steps of one sound after the other."""
    for request in requests:
        with closing(audio.generate(request)) as frames:
            yield from frames


def pair_run(
    request: AudioRequest, prompt_b: str, slot: RunSlot, before: Sequence[AudioResult] | None, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Make a sound, one with another prompt, and one with another seed.

    Args:
        request: of the first, checked.
        prompt_b: the other prompt.
        before: the three sounds that are there, which come back should these not all be made.

    Yields:
        Values for feed, stop button, verdict and the three sounds.
    """
    other_seed = replace(request, seed=(request.seed + 1) % (MAX_SEED + 1))
    requests = [request, replace(request, prompt=prompt_b).validated(), other_seed]

    def running(live: LiveSounds) -> tuple[Any, ...]:
        if not live.sounds[0].frames:
            waiting = _waiting(t("audio.reading"))
            return waiting, gr.update(interactive=True), verdict_html(t("audio.reading")), gr.skip()
        done, total = live.steps()
        said = verdict_html(t("audio.making", step=done, total=total))
        return gr.skip(), gr.skip(), said, gr.skip()

    def finished(live: LiveSounds) -> tuple[Any, ...]:
        if live.whole:
            made = tuple(sound.made() for sound in live.sounds)
            return *_compared(made, _verdict(made, t), t), made
        if before is None:
            return *_nothing(t("audio.pair.stopped")), gr.skip()
        return *_compared(before, f"{t('audio.pair.stopped_back')} {_verdict(before, t)}", t), gr.skip()

    def restored() -> tuple[Any, ...]:
        if before is None:
            return *_nothing(t("audio.pair.before")), gr.skip()
        return *_compared(before, _verdict(before, t), t), gr.skip()

    live = LiveSounds([LiveAudio(each, None, "audio-pair", False) for each in requests])
    views = Views(running, finished, restored)
    yield from stream(lambda run: run.follow(in_turn(requests)), live, slot, "audio-pair", views, WHEN_DUE)


def _waiting(text: str) -> str:
    """All three players without a sound."""
    return feed_html([wait_message(player, text) for player in PLAYERS])


def _nothing(text: str) -> tuple[Any, ...]:
    """Values for feed, stop button and verdict where there are no sounds."""
    return _waiting(""), gr.update(interactive=False), verdict_html(text)


def _compared(made: Sequence[AudioResult], text: str, t: Texts) -> tuple[Any, ...]:
    """Values for feed, stop button and verdict of three sounds."""
    messages = [
        made_message(one, player, t, text=t("audio.pair.of", prompt=isolated(one.sound.request.prompt),
                                            seed=one.sound.request.seed))
        for one, player in zip(made, PLAYERS, strict=True)
    ]  # fmt: skip
    return feed_html(messages), gr.update(interactive=False), verdict_html(text)


def same_codes(a: AudioResult, b: AudioResult) -> float:
    """Share of codes that two sounds have in common at the same place, 0..1."""
    return float(np.mean(a.sound.codes == b.sound.codes))


def _verdict(made: Sequence[AudioResult], t: Texts) -> str:
    first, other_prompt, other_seed = made
    shares = [fixed(100 * same_codes(first, other), t, 1) for other in (other_prompt, other_seed)]
    return t("audio.pair.verdict", prompt=shares[0], seed=shares[1], count=first.sound.codes.size)
