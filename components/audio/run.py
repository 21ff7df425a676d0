"""Making sounds for one visitor: what the players are told while a run goes on, and when it ends."""

import secrets
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
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
from components.runs.slot import Run, RunSlot
from components.ui.language import Texts
from components.ui.numbers import fixed
from pipelines.audio import audio
from pipelines.audio.audio import AudioFrame, AudioRequest, Sound
from pipelines.audio.bark import BarkLevel
from pipelines.audio.inside import Guess, WordLooks, guess_of, look_inside
from pipelines.audio.musicgen import backends_of
from pipelines.serving import models

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

    def grow(self, run: Run) -> Iterator[bool]:
        """Make the sound, step by step, until it is whole or `run` was ended.

        Yields:
            After each step whether there is something new to hear.
        """
        with closing(audio.generate(self.request, self.given)) as frames:
            for frame in frames:
                if run.ended:
                    return
                yield self.add(frame)

    def add(self, frame: AudioFrame) -> bool:
        """Note a step; whether there is something new to hear."""
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
    loaded = models.load(request.model)
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
        t: texts.
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
        key, prompt=r.prompt, seconds=seconds_text(made.sound, t), seed=r.seed,
        scale=fixed(r.guidance_scale, t, 1), temperature=fixed(r.temperature, t, 1), top_k=r.top_k,
    )  # fmt: skip
    return f"{text} {clip}".strip()


def request_of(prompt: str, seed: int, scale: float, temperature: float, top_k: int, seconds: float,
               model: str, backend: str) -> AudioRequest:  # fmt: skip
    """What bar and controls ask for."""
    known = backends_of(models.entry(model, "audio"))
    chosen = backend if backend in known else ""
    return AudioRequest(prompt, seed, scale, temperature, top_k, seconds, model, chosen).validated()


def example_request() -> AudioRequest:
    """What the page asks for when the tab opens for the first time."""
    bar = BarValues()
    return AudioRequest(bar.prompt, bar.seed).validated()


@lru_cache(maxsize=1)
def compute_example_audio() -> AudioResult:
    """Make the first example; the app does so once after start, and all visitors see that run."""
    made = compute_audio(example_request(), RunSlot())
    assert made is not None  # nobody else has the slot
    return made


def grow_audio(request: AudioRequest, slot: RunSlot) -> Iterator[LiveAudio]:
    """Make a sound; whoever stops listening stops the run, too.

    Args:
        request: checked.
        slot: of whoever asks; a run in it ends.

    Yields:
        The run as it grows, whenever there is more of it to hear; nothing more once another run has taken
        this one's place.
    """
    run, progress = slot.begin(), LiveAudio(request, None, "", False)
    try:
        for audible in progress.grow(run):
            if audible:
                yield progress
    finally:
        run.finished = True


def compute_audio(request: AudioRequest, slot: RunSlot) -> AudioResult | None:
    """Make a sound at once; None if another run has taken its place."""
    last = deque(grow_audio(request, slot), maxlen=1)
    return last[0].made() if last and last[0].whole else None


def example_if_ready(request: AudioRequest) -> AudioResult | None:
    """The first example, if this is it and it has been computed."""
    ready = compute_example_audio.cache_info().currsize
    return compute_example_audio() if ready and request == example_request() else None


def wait_message(player: str, text: str) -> dict[str, Any]:
    """A player that waits for its sound."""
    return {"kind": "wait", "player": player, "text": text}


def show_audio(
    request: AudioRequest, given: np.ndarray | None, before: AudioResult | None, slot: RunSlot, player: str,
    t: Texts, play: bool = True,
) -> Iterator[tuple[str, AudioResult | None, bool]]:  # fmt: skip
    """Make a sound for one visitor, heard and seen while it is made.

    Args:
        request: checked.
        given: codes that it goes on from, or None.
        before: what the player showed, which comes back should nothing come of the run.
        slot: this visitor's; a run in it ends.
        player: address of the player.
        t: texts.
        play: whether the visitor has asked to hear it.

    Yields:
        What the feed gets, the sound once it is there, and whether the run goes on; nothing more once another
        run has taken this one's place.
    """
    run = slot.begin(player)
    progress = LiveAudio(request, given, player, play)
    last = before
    try:
        yield feed_html([wait_message(player, t("audio.reading"))]), None, True
        for audible in progress.grow(run):
            if audible:
                yield feed_html([progress.message(t)]), None, True
        if run.superseded:
            return
        if progress.frames and progress.frames[-1].codes.size:
            last = progress.made()
    except Exception:
        yield restored(before, player, t), before, False
        raise
    finally:
        run.finished = True
    if not run.superseded:
        if last is before:
            yield restored(before, player, t), before, False
        else:
            assert last is not None
            yield feed_html([made_message(last, player, t, play)]), last, False


def restored(before: AudioResult | None, player: str, t: Texts) -> str:
    """What a player showed before a run of which nothing came; one in levels has to be opened anew."""
    if before is None or before.level is not None:
        return feed_html([wait_message(player, t("audio.nothing"))])
    return feed_html([made_message(before, player, t)])


def make_all(
    requests: Sequence[AudioRequest], slot: RunSlot, place: str
) -> Iterator[tuple[int, int, list[AudioResult] | None]]:
    """Make several sounds in turn for one visitor.

    Yields:
        Steps done and steps in all; the sounds with the last.
    """
    run = slot.begin(place)
    runs = [LiveAudio(r, None, place, False) for r in requests]
    done = 0
    try:
        for progress in runs:
            for audible in progress.grow(run):
                done += 1
                if audible:
                    yield done, progress.frames[-1].total * len(runs), None
            if run.ended:
                return
        yield done, done, [progress.made() for progress in runs]
    finally:
        run.finished = True
