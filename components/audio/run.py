"""Making sounds for one visitor: what the players are told while a run goes on, and when it ends."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from components.audio.view import (
    Frame,
    audio_part,
    codebook_rows,
    feed_html,
    guesses_part,
    looks_part,
    seconds_text,
)
from components.page.prompt_bar import BarValues
from components.runs.slot import RunSlot
from components.runs.stream import WHEN_DUE, Views, stream
from components.ui.language import Texts
from components.ui.numbers import fixed
from components.ui.templates import isolated
from pipelines.audio import audio
from pipelines.audio.audio import audio_model
from pipelines.audio.bark import BarkLevel
from pipelines.audio.inside import Guess, WordLooks, guess_of, look_inside
from pipelines.audio.request import AudioFrame, AudioRequest, Sound
from pipelines.serving import catalogue
from pipelines.serving.catalogue import backends_of

_AGAIN = 3  # chunks that a message repeats, should the browser have skipped one


@dataclass(frozen=True, eq=False)
class AudioResult:
    """A sound as the page keeps it for a visitor.

    Attributes:
        sound: with its request.
        guesses: of each step, from the first that was not given.
        looks: where the decoder looked, if it tells.
        id: of the run.
        whole: whether it came to its end.
        level: the last level of one that was made in levels (`components/audio/speech.py`).
    """

    sound: Sound
    guesses: tuple[Guess, ...]
    looks: WordLooks | None
    id: str
    whole: bool
    level: BarkLevel | None = None


@dataclass(eq=False)
class LiveAudio:
    """A run as it grows.

    Attributes:
        request: checked.
        given: codes that it goes on from, or None.
        player: address of the player that shows it.
        play: whether the visitor has asked to hear it.
    """

    request: AudioRequest
    given: np.ndarray | None
    player: str
    play: bool
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    frames: list[AudioFrame] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    chunks: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])  # (steps, samples) at their ends

    def add(self, frame: AudioFrame) -> bool:
        """Note a step; whether there is something new to hear, and so to be shown."""
        self.frames.append(frame)
        self.guesses.append(guess_of(frame))
        if len(frame.sound):
            self.chunks.append((len(self.frames), self.chunks[-1][1] + len(frame.sound)))
        return len(frame.sound) > 0

    @property
    def whole(self) -> bool:
        """Whether all steps are there."""
        return bool(self.frames) and self.frames[-1].index + 1 == self.frames[-1].total

    def samples(self) -> np.ndarray:
        """`[sample]` what can be heard so far."""
        return np.concatenate([frame.sound for frame in self.frames])

    def message(self, t: Texts) -> dict[str, Any]:
        """The newest chunks for the player."""
        steps, begin = self.chunks[max(0, len(self.chunks) - 1 - _AGAIN)]
        start = self.frames[0].index
        frame = frame_of(self.request, self.frames[-1].total, self.given, self, t)
        done = self.frames[-1].index + 1
        text = t("audio.making", step=done, total=self.frames[-1].total)
        return {
            **frame.facts(), **guesses_part(start + steps, self.guesses[steps:]),
            **audio_part(frame.sample_rate, frame.frame_rate, self.samples(), begin), "kind": "live",
            "text": text,
        }  # fmt: skip

    def made(self) -> AudioResult:
        """What came of it."""
        sound = audio.finish(self.request, self.frames, self.given)
        return AudioResult(sound, tuple(self.guesses), look_inside(sound), self.id, self.whole)


def frame_of(
    request: AudioRequest, steps: int, given: np.ndarray | None, run: "LiveAudio | AudioResult", t: Texts,
    player: str = "", play: bool = False,
) -> Frame:  # fmt: skip
    """What all messages about a run say."""
    loaded = audio_model(request.model)
    books = loaded.codebooks
    names, hints = codebook_rows(books, t)
    if isinstance(run, LiveAudio):
        player, play = run.player, run.play
    none = np.zeros((books, 0), int)
    return Frame(
        player, run.id, steps - books + 1, loaded.sample_rate, loaded.frame_rate, loaded.vocabulary,
        none if given is None else given, names, hints, True, play,
    )  # fmt: skip


def made_message(
    made: AudioResult, player: str, t: Texts, play: bool = False, text: str = ""
) -> dict[str, Any]:
    """All of a sound for a player.

    Args:
        made: finished or stopped.
        player: address of the player.
        play: whether the visitor has asked to hear it.
        text: instead of the usual sentence.
    """
    sound = made.sound
    given = sound.codes[:, : sound.given] if sound.given else None
    steps = sound.codes.shape[1] + len(sound.codes) - 1
    frame = frame_of(sound.request, steps, given, made, t, player, play)
    guesses = made.guesses[: max(0, steps - sound.given)]
    return {
        **frame.facts(), **guesses_part(sound.given, guesses),
        **audio_part(sound.sample_rate, sound.frame_rate, sound.samples),
        **looks_part(made.looks, t), "kind": "done" if made.whole else "stopped",
        "text": text or made_text(made, t),
    }  # fmt: skip


def made_text(made: AudioResult, t: Texts) -> str:
    """A sentence about a sound."""
    r, given = made.sound.request, made.sound.given
    key = "audio.made" if made.whole else "audio.stopped"
    clip = t("audio.made_clip", seconds=fixed(given / made.sound.frame_rate, t, 1)) if given else ""
    text = t(
        key, prompt=isolated(r.prompt), seconds=seconds_text(made.sound, t), seed=r.seed,
        scale=fixed(r.guidance_scale, t, 1), temperature=fixed(r.temperature, t, 1), top_k=r.top_k,
    )  # fmt: skip
    return f"{text} {clip}".strip()


def request_of(prompt: str, seed: int, scale: float, temperature: float, top_k: int, seconds: float,
               model: str, backend: str) -> AudioRequest:  # fmt: skip
    """What bar and controls ask for."""
    known = backends_of(catalogue.entry(model, "audio"))
    chosen = backend if backend in known else ""
    return AudioRequest(prompt, seed, scale, temperature, top_k, seconds, model, chosen).validated()


def example_request() -> AudioRequest:
    """What the page asks for when the tab opens for the first time."""
    bar = BarValues()
    return AudioRequest(bar.prompt, bar.seed).validated()


@lru_cache(maxsize=1)
def compute_example_audio() -> AudioResult:
    """Make the first example; the app does so once after start, and all visitors see that run."""
    return compute_audio(example_request())


def compute_audio(request: AudioRequest) -> AudioResult:
    """Make a sound at once, which nobody listens to meanwhile."""
    progress = LiveAudio(request, None, "", False)
    for frame in audio.generate(request):
        progress.add(frame)
    return progress.made()


def example_if_ready(request: AudioRequest) -> AudioResult | None:
    """The first example, if this is it and it has been computed."""
    ready = compute_example_audio.cache_info().currsize
    return compute_example_audio() if ready and request == example_request() else None


def wait_message(player: str, text: str) -> dict[str, Any]:
    """A player that waits for its sound."""
    return {"kind": "wait", "player": player, "text": text}


def stream_audio(
    progress: LiveAudio, slot: RunSlot, place: str, views: Views[LiveAudio]
) -> Iterator[tuple[Any, ...]]:
    """Make a sound for one visitor, with a view whenever there is more of it to hear; see `stream`."""
    request, given = progress.request, progress.given
    return stream(
        lambda run: run.follow(audio.generate(request, given)), progress, slot, place, views, WHEN_DUE
    )


def show_audio(
    request: AudioRequest, given: np.ndarray | None, before: AudioResult | None, slot: RunSlot, player: str,
    t: Texts, play: bool = True,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Make a sound for one visitor, heard and seen while it is made.

    Args:
        request: checked.
        given: codes that it goes on from, or None.
        before: what the player showed, which comes back should nothing come of the run.
        player: address of the player.
        play: whether the visitor has asked to hear it.

    Yields:
        What the feed gets, the sound once it is there, and whether the run goes on.
    """

    def running(progress: LiveAudio) -> tuple[Any, ...]:
        told = progress.message(t) if progress.frames else wait_message(player, t("audio.reading"))
        return feed_html([told]), None, True

    def finished(progress: LiveAudio) -> tuple[Any, ...]:
        if not progress.frames[-1].codes.size:
            return nothing()
        made = progress.made()
        return feed_html([made_message(made, player, t, play)]), made, False

    def nothing() -> tuple[Any, ...]:
        return restored(before, player, t), before, False

    progress = LiveAudio(request, given, player, play)
    yield from stream_audio(progress, slot, player, Views(running, finished, nothing))


def restored(before: AudioResult | None, player: str, t: Texts) -> str:
    """What a player showed before a run of which nothing came; one in levels has to be opened anew."""
    if before is None or before.level is not None:
        return feed_html([wait_message(player, t("audio.nothing"))])
    return feed_html([made_message(before, player, t)])
