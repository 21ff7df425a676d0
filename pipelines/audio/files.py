"""Sounds from outside are checked before they are decoded; those that leave are limited and say how made."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from pipelines.audio.request import AudioRequest, Sound
from pipelines.serving.errors import InputError
from pipelines.world.sound import SAMPLE_RATE, draw_sound
from pipelines.world.sound_captions import sound_caption
from pipelines.world.sound_render import render_sound

KNOWN = ("WAV", "FLAC", "OGG", "MP3", "AIFF")
MAX_BYTES = 20 * 2**20
MAX_CLIP_SECONDS = 60.0
KEPT_SECONDS = 3.0  # what a sound goes on from: the end of the clip
MIN_CLIP_SECONDS = 0.2
LOWEST_RATE, HIGHEST_RATE, MOST_CHANNELS = 4_000, 384_000, 8
SILENCE = 1e-3  # peak, of 1: -60 dB
LOUDEST = 0.7  # peak of everything that leaves: -3 dB
_KNEE = 0.4  # below this, a sound stays as it is
BANDS = 64  # of the spectrogram
_FLOOR_DB, _TOP_DB = -80.0, 0.0


def open_sound(source: str | Path | bytes, sample_rate: int) -> np.ndarray:
    """Open a recording that a visitor sent.

    Size, format, length, sample rate and channels are read from the header; only then the end of the clip is
    decoded, mixed to one channel and brought to the model's sample rate.

    Args:
        source: path of a file, or its bytes.
        sample_rate: Hz of the model.

    Returns:
        `[sample]` float32, at most `KEPT_SECONDS` long, its peak at most 1.

    Raises:
        InputError: `clip_too_large`, `clip_not_supported`, `clip_too_long`, `clip_too_short`,
            `clip_rate_unknown`, `clip_broken` or `clip_silent`.
    """
    import soundfile

    data = source if isinstance(source, bytes) else _read(Path(source))
    if len(data) > MAX_BYTES:
        raise InputError("clip_too_large", limit_mb=MAX_BYTES // 2**20, received=round(len(data) / 2**20))
    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except Exception as error:  # text, a film, damage at the very beginning
        raise InputError("clip_not_supported", known=", ".join(KNOWN)) from error
    with file:
        _check_header(file)
        kept = min(file.frames, int((KEPT_SECONDS + 0.1) * file.samplerate))
        try:
            file.seek(file.frames - kept)
            samples = file.read(kept, dtype="float32", always_2d=True).mean(1)
        except Exception as error:
            raise InputError("clip_broken") from error
        return _clean(samples, file.samplerate, sample_rate)


def _read(path: Path) -> bytes:
    """The file's bytes; a huge one is never read whole."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError("clip_broken") from error


def _check_header(file: Any) -> None:
    if file.format not in KNOWN and file.format not in ("WAVEX", "RF64"):
        raise InputError("clip_not_supported", known=", ".join(KNOWN))
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE or file.channels > MOST_CHANNELS:
        raise InputError(
            "clip_rate_unknown", low=LOWEST_RATE, high=HIGHEST_RATE, rate=file.samplerate,
            most=MOST_CHANNELS, channels=file.channels,
        )  # fmt: skip
    seconds = file.frames / file.samplerate
    if seconds > MAX_CLIP_SECONDS:
        raise InputError("clip_too_long", limit=round(MAX_CLIP_SECONDS), received=round(seconds))
    if seconds < MIN_CLIP_SECONDS:
        raise InputError("clip_too_short", limit=MIN_CLIP_SECONDS, received=round(seconds, 2))


def _clean(samples: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """Samples at the model's rate, if they can be heard."""
    if not np.isfinite(samples).all() or len(samples) < MIN_CLIP_SECONDS * rate:
        raise InputError("clip_broken")
    if float(np.abs(samples - samples.mean()).max()) < SILENCE:
        raise InputError("clip_silent")
    samples = resampled(samples, rate, sample_rate)
    samples = samples[-int(KEPT_SECONDS * sample_rate) :]
    return samples / max(1.0, float(np.abs(samples).max()))


def resampled(samples: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """`[sample]` float32 of another sample rate, both in Hz."""
    common = int(np.gcd(rate, sample_rate))
    return resample_poly(samples, sample_rate // common, rate // common).astype(np.float32)


def world_clip(seed: int, sample_rate: int) -> tuple[np.ndarray, str]:
    """A sound of the classroom world that no model made, and its caption.

    Args:
        seed: decides what is played.
        sample_rate: Hz.

    Returns:
        `[sample]` float32, `KEPT_SECONDS` long, and the caption.
    """
    rng = np.random.default_rng(seed)
    scene = draw_sound(rng)
    samples = render_sound(scene, rng)[: int(KEPT_SECONDS * SAMPLE_RATE)]
    return resampled(samples.astype(np.float32), SAMPLE_RATE, sample_rate), sound_caption(scene, rng)


def limited(samples: np.ndarray) -> np.ndarray:
    """A sound that no loudspeaker of a lecture hall is hurt by.

    What is quiet stays as it is; what is loud is bent towards `LOUDEST`, sample by sample, so that a chunk
    sounds the same whatever follows. A number that is none becomes silence.

    Args:
        samples: `[sample]`, any values.

    Returns:
        `[sample]` float32, within ±`LOUDEST`.
    """
    samples = np.nan_to_num(np.asarray(samples, float), nan=0.0, posinf=1.0, neginf=-1.0)
    over = np.maximum(np.abs(samples) - _KNEE, 0)
    room = LOUDEST - _KNEE
    bent = _KNEE + room * np.tanh(over / room)
    return np.where(over > 0, np.sign(samples) * bent, samples).astype(np.float32)


def pcm(samples: np.ndarray) -> np.ndarray:
    """`[sample]` int16 of a limited sound."""
    return (limited(samples) * 32767).round().astype("<i2")


def wav_with_parameters(sound: Sound) -> bytes:
    """A WAV file (16 bits, one channel) that carries what it was made with, as JSON in its comment."""
    import soundfile

    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", samplerate=sound.sample_rate, channels=1, subtype="PCM_16", format="WAV"
    ) as file:
        file.comment = json.dumps(parameters(sound), ensure_ascii=False)
        file.software = "Steuervektor"
        file.write(pcm(sound.samples))
    return buffer.getvalue()


def parameters(sound: Sound) -> dict[str, Any]:
    """What a sound was made with; `clip_seconds` is what it went on from."""
    return {**asdict(sound.request), "clip_seconds": round(sound.given / sound.frame_rate, 3)}


def read_parameters(data: bytes) -> tuple[AudioRequest, float]:
    """The request that a downloaded WAV carries, and the seconds of the clip it went on from.

    Raises:
        InputError: `sound_parameters_missing` if it carries none, `clip_not_supported` if it is no sound.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise InputError("clip_not_supported", known="WAV")
    try:
        values = json.loads(_chunks(_chunks(data[12:])[b"LIST"][4:])[b"ICMT"].rstrip(b"\0"))
        clip_seconds = float(values.pop("clip_seconds"))
        return AudioRequest(**values), clip_seconds
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError("sound_parameters_missing") from error


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The parts of a RIFF file by name; libsndfile reads no comment of much more than 2,000 letters."""
    found, at = {}, 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found[data[at : at + 4]] = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return found


def spectrogram(samples: np.ndarray, sample_rate: int, frame_rate: int) -> np.ndarray:
    """How much there is of each pitch in each frame, on the mel scale, in 80 dB.

    A column looks at its frame and the one before, so that it never changes when more sound follows.

    Args:
        samples: `[sample]`.
        sample_rate: Hz.
        frame_rate: frames a second.

    Returns:
        `[frame, band]` uint8, low pitches first; 255 is 0 dB, that of a full-scale tone.
    """
    hop = sample_rate // frame_rate
    frames = len(samples) // hop
    if not frames:
        return np.zeros((0, BANDS), np.uint8)
    padded = np.concatenate([np.zeros(hop, np.float32), samples[: frames * hop]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop] * np.hanning(2 * hop)
    power = np.abs(np.fft.rfft(windows)) ** 2 / (hop / 2) ** 2
    bands = power @ _mel_bands(hop + 1, sample_rate)
    level = 10 * np.log10(np.maximum(bands, 1e-12))
    return (255 * (level - _FLOOR_DB) / (_TOP_DB - _FLOOR_DB)).clip(0, 255).round().astype(np.uint8)


def _mel_bands(bins: int, sample_rate: int) -> np.ndarray:
    """`[bin, band]` triangular filters."""
    from torchaudio.functional import melscale_fbanks

    return melscale_fbanks(bins, 0.0, sample_rate / 2, BANDS, sample_rate).numpy()
