"""The audio tab's players and what is sent to them, as HTML and JSON."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.ui.colors import token_colours
from components.ui.language import Texts
from components.ui.numbers import fixed
from components.ui.templates import templates
from pipelines.audio.files import BANDS, LOUDEST, pcm, spectrogram
from pipelines.audio.inside import Guess, WordLooks
from pipelines.audio.request import Sound

HTML = templates("audio/view.html")
GUESS = "audio-guess"  # where the main player shows the chosen cell


def feed_html(messages: Sequence[Mapping[str, Any]]) -> str:
    """Messages for players, in the order in which they are to be read."""
    return HTML.feed(messages)


def _pack(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values.astype(kind)).tobytes()).decode("ascii")


@dataclass(frozen=True)
class Frame:
    """What every message about one sound says.

    Attributes:
        player: address of the player.
        id: of the run, so that a player knows a new one.
        frames: of the whole sound, those of a clip included.
        sample_rate, frame_rate: Hz.
        vocabulary: codes in a codebook.
        given: `[codebook, frame]` codes of the clip that it goes on from.
        rows: name of each row of the grid.
        hints: what stands beneath it.
        delay: whether each row is a step behind the one before.
        play: whether the visitor has asked to hear it.
    """

    player: str
    id: str
    frames: int
    sample_rate: int
    frame_rate: int
    vocabulary: int
    given: np.ndarray
    rows: tuple[str, ...]
    hints: tuple[str, ...]
    delay: bool = True
    play: bool = False

    def facts(self) -> dict[str, Any]:
        """The same for the browser."""
        return {
            "player": self.player, "id": self.id, "frames": self.frames, "sampleRate": self.sample_rate,
            "rate": self.frame_rate, "hop": self.sample_rate // self.frame_rate, "bands": BANDS,
            "vocabulary": self.vocabulary, "given": int(self.given.shape[1]), "loudest": LOUDEST,
            "givenCodes": _pack(self.given, "<i2"), "rows": self.rows, "hints": self.hints,
            "delay": self.delay, "play": self.play,
        }  # fmt: skip


def code_colours(codes: np.ndarray) -> np.ndarray:
    """The colours that `player.js` gives to codes: OKLCH 0.7 0.13, hues a golden angle apart.

    Args:
        codes: int, any shape.

    Returns:
        uint8, the same shape and RGB.

    Source: Ottosson 2020, https://bottosson.github.io/posts/oklab/, sRGB of OKLab.
    """
    hue = np.deg2rad(codes * 137.508 % 360)
    lab = np.stack([np.full(codes.shape, 0.7), 0.13 * np.cos(hue), 0.13 * np.sin(hue)], -1)
    cone = (lab @ np.array([[1, 1, 1], [0.3963377774, -0.1055613458, -0.0894841775],
                            [0.2158037573, -0.0638541728, -1.2914855480]])) ** 3  # fmt: skip
    linear = cone @ np.array([[4.0767416621, -1.2684380046, -0.0041960863],
                              [-3.3077115913, 2.6097574011, -0.7034186147],
                              [0.2309699292, -0.3413193965, 1.7076147010]])  # fmt: skip
    linear = linear.clip(0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255 * srgb).round().astype(np.uint8)


def codebook_rows(count: int, t: Texts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the codebooks, and what the first and the last are for."""
    names = tuple(t("audio.player.book", number=k + 1) for k in range(count))
    hints = [""] * count
    hints[0] = t("audio.player.coarse")
    if count > 1:
        hints[-1] = t("audio.player.fine")
    return names, tuple(hints)


def guesses_part(step: int, guesses: Sequence[Guess]) -> dict[str, Any]:
    """The codes drawn from a step on, and what else was likely."""
    if not guesses:
        return {"step": step, "steps": 0, "ranks": 1}
    shares = np.stack([g.shares for g in guesses])  # [step, branch, codebook, rank]
    return {
        "step": step, "steps": len(guesses), "ranks": shares.shape[-1],
        "chosen": _pack(np.stack([g.chosen for g in guesses]), "<i2"),
        "ranked": _pack(np.stack([g.codes for g in guesses]), "<i2"),
        "shares": _pack((shares * 65535).round(), "<u2"),
    }  # fmt: skip


def audio_part(sample_rate: int, frame_rate: int, samples: np.ndarray, begin: int = 0) -> dict[str, Any]:
    """The sound from a sample on, loud parts limited, and its pitches.

    Args:
        sample_rate: Hz.
        frame_rate: frames a second.
        samples: `[sample]` the sound so far, from its beginning.
        begin: first sample that is sent; a multiple of a frame's.
    """
    hop = sample_rate // frame_rate
    start = max(0, begin - hop)  # a column of the spectrogram looks at the frame before its own, too
    levels = spectrogram(samples[start:], sample_rate, frame_rate)[(begin - start) // hop :]
    return {"sample": begin, "pcm": _pack(pcm(samples[begin:]), "<i2"), "levels": _pack(levels, "u1")}


def looks_part(found: WordLooks | None, t: Texts) -> dict[str, Any]:
    """Which words were looked at; nothing where the model does not tell."""
    if found is None:
        return {}
    colours = token_colours([word or "</s>" for word in found.words])
    names = [word or t("audio.player.end") for word in found.words]
    share = found.looks / max(float(found.looks.max()), 1e-6)
    words = [{"text": name, "colour": colour} for name, colour in zip(names, colours, strict=True)]
    return {"words": words, "looks": _pack((255 * share).round(), "u1")}


def seconds_text(sound: Sound, t: Texts) -> str:
    """The length of a sound, as the language writes it."""
    return fixed(len(sound.samples) / sound.sample_rate, t, 1)
