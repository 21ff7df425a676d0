"""Speech in levels (Bark) in the same player: first a row of meaning, then coarse codes, then fine ones."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from components.audio.run import AudioResult, restored, wait_message
from components.audio.view import Frame, audio_part, codebook_rows, feed_html, guesses_part, seconds_text
from components.runs.slot import RunSlot
from components.runs.stream import WHEN_DUE, Views, stream
from components.ui.language import Texts
from components.ui.numbers import fixed
from components.ui.templates import isolated
from pipelines.audio import bark
from pipelines.audio.bark import LEVELS, BarkLevel, bark_voice
from pipelines.audio.inside import Guess
from pipelines.audio.request import AudioRequest, Sound
from pipelines.serving import catalogue


def level_message(
    request: AudioRequest, level: BarkLevel, run: str, player: str, t: Texts, play: bool = False
) -> dict[str, Any]:
    """A level for the player; rows that are still to come are empty.

    Args:
        request: checked.
        level: newest.
        run: id of the run.
        player: address of the player.
        play: whether the visitor has asked to hear it.
    """
    voice = bark_voice(request.model)
    names, hints = codebook_rows(voice.codebooks, t)
    rows, none = (t("audio.player.semantic"), *names), np.zeros((1 + voice.codebooks, 0), int)
    frame = Frame(
        player, run, level.frames, voice.sample_rate, voice.frame_rate, voice.vocabulary, none, rows,
        ("", *hints), False, play,
    )  # fmt: skip
    grid = np.full((level.frames, len(rows)), -1)
    grid[:, 0] = level.semantic_by_frame()
    grid[:, 1 : 1 + len(level.codes)] = level.codes.T
    guess = Guess(np.full((len(rows), 1), -1), np.zeros((3, len(rows), 1), np.float32), grid[0])
    drawn = guesses_part(0, [replace(guess, chosen=column) for column in grid])
    done = LEVELS.index(level.name) + 1
    sound = audio_part(voice.sample_rate, voice.frame_rate, level.sound) if len(level.sound) else {}
    name = t(f"audio.levels.{level.name}")
    return {**frame.facts(), **drawn, **sound, "kind": "live", "text": t("audio.level", name=name, done=done)}


def speech_message(made: AudioResult, player: str, t: Texts, play: bool = False) -> dict[str, Any]:
    """All of a finished speech for the player."""
    sound, level = made.sound, made.level
    assert level is not None
    r = sound.request
    text = t(
        "audio.made_speech", prompt=isolated(r.prompt), seconds=seconds_text(sound, t), seed=r.seed,
        temperature=fixed(r.temperature, t, 1), title=catalogue.entry(r.model).title,
    )  # fmt: skip
    return level_message(r, level, made.id, player, t, play) | {"kind": "done", "text": text}


@dataclass(eq=False)
class LiveSpeech:
    """A run as it grows: its newest level."""

    level: BarkLevel | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(4))

    def add(self, level: BarkLevel) -> bool:
        """Take the place of the level before."""
        self.level = level
        return True


def show_speech(
    request: AudioRequest, before: AudioResult | None, slot: RunSlot, player: str, t: Texts, play: bool = True
) -> Iterator[tuple[Any, ...]]:
    """Make speech for one visitor, level by level; see `components.audio.run.show_audio`."""

    def running(live: LiveSpeech) -> tuple[Any, ...]:
        if live.level is None:
            return feed_html([wait_message(player, t("audio.reading"))]), None, True
        return feed_html([level_message(request, live.level, live.id, player, t, play)]), None, True

    def finished(live: LiveSpeech) -> tuple[Any, ...]:
        level = live.level
        if level is None or not len(level.sound):  # stopped before there was anything to hear
            return nothing()
        voice = bark_voice(request.model)
        sound = Sound(request, level.codes, level.sound, voice.sample_rate, voice.frame_rate)
        made = AudioResult(sound, (), None, live.id, True, level)
        return feed_html([speech_message(made, player, t, play)]), made, False

    def nothing() -> tuple[Any, ...]:
        return restored(before, player, t), before, False

    views = Views(running, finished, nothing)
    yield from stream(
        lambda run: run.follow(bark.speak(request)), LiveSpeech(), slot, player, views, WHEN_DUE
    )
