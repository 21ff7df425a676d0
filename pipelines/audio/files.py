"""Sounds from outside are checked before they are decoded; those that leave are limited and say how made."""

import io
import json
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from pipelines.audio.request import AudioRequest, Sound
from pipelines.serving.errors import InputError
from pipelines.serving.uploads import content_kind
from pipelines.world.sound import SAMPLE_RATE, draw_sound
from pipelines.world.sound_captions import sound_caption
from pipelines.world.sound_render import render_sound

KNOWN = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "M4A", "MP4", "WebM", "AAC")
_BY_SNDFILE = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF")
MAX_BYTES = 20 * 2**20
MAX_CLIP_SECONDS = 60.0
KEPT_SECONDS = 3.0  # what a sound goes on from: the end of the clip
MIN_CLIP_SECONDS = 0.2
LOWEST_RATE, HIGHEST_RATE, MOST_CHANNELS = 4_000, 384_000, 8
_FRAME_SECONDS = 0.15  # a codec's frame and its padding at both ends
SILENCE = 1e-3  # peak, of 1: -60 dB
LOUDEST = 0.7  # peak of everything that leaves: -3 dB
_CANCELLED = 0.4  # of the loudest channel; a sound on one of two channels has 0.5
_KNEE = 0.4  # below this, a sound stays as it is
BANDS = 64  # of the spectrogram
_FLOOR_DB, _TOP_DB = -80.0, 0.0


def open_sound(source: str | Path | bytes, sample_rate: int) -> np.ndarray:
    """Open a recording that a visitor sent.

    Size, format, length, sample rate and channels are read before anything is decoded; only then the end
    of the clip is decoded, mixed to one channel and brought to the model's sample rate. What phones and
    browsers record (MP4, WebM, AAC) is known by its content and read by PyAV.

    Args:
        source: path of a file, or its bytes.
        sample_rate: Hz of the model.

    Returns:
        `[sample]` float32, at most `KEPT_SECONDS` long, its peak at most 1.

    Raises:
        InputError: `clip_too_large`, `clip_not_supported`, `clip_too_long`, `clip_too_short`,
            `clip_rate_unknown`, `clip_broken`, `clip_silent` or `clip_without_sound` (a film).
    """
    data = source if isinstance(source, bytes) else _read(Path(source))
    if len(data) > MAX_BYTES:
        raise InputError("clip_too_large", limit_mb=MAX_BYTES // 2**20, received=round(len(data) / 2**20))
    demuxer = _demuxer(data)
    samples, rate = _decode_container(data, demuxer) if demuxer else _decode(data)
    return _clean(_mixed(samples), rate, sample_rate)


def _decode(data: bytes) -> tuple[np.ndarray, int]:
    """`[sample, channel]` of a clip's end, and its rate in Hz."""
    import soundfile

    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except Exception as error:  # text, a film, damage at the very beginning
        raise InputError("clip_not_supported", known=", ".join(KNOWN)) from error
    with file:
        _check_header(file)
        kept = min(file.frames, int((KEPT_SECONDS + 0.1) * file.samplerate))
        try:
            file.seek(file.frames - kept)
            return file.read(kept, dtype="float32", always_2d=True), file.samplerate
        except Exception as error:
            raise InputError("clip_broken") from error


def _demuxer(data: bytes) -> str:
    """FFmpeg's name for the container that a file's first bytes announce; "" if libsndfile reads it."""
    if data[:1] == b"\xff" and data[1:2] in (b"\xf0", b"\xf1", b"\xf8", b"\xf9"):  # ADTS, not MP3
        return "aac"
    return {"M4A": "mov", "MP4": "mov", "WebM": "matroska"}.get(content_kind(data), "")


def _decode_container(data: bytes, demuxer: str) -> tuple[np.ndarray, int]:
    """`[sample, channel]` of the end of an MP4, WebM or AAC clip, and its rate in Hz.

    The demuxer is given: one that FFmpeg chose might be a playlist, which names other files.
    """
    import av

    try:
        with av.open(io.BytesIO(data), format=demuxer) as file:
            _check_track(file)
        with av.open(io.BytesIO(data), format=demuxer) as file:
            return _last_samples(file)
    except (av.FFmpegError, ValueError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("clip_broken") from error


def _check_track(file: Any) -> None:
    """Check what the header and the packets' times say; nothing is decoded."""
    if not file.streams.audio:
        raise InputError("clip_without_sound")
    track = file.streams.audio[0]
    if not track.rate:
        raise InputError("clip_broken")
    _check_rate(track.rate, track.channels)
    promised = float(track.duration * track.time_base) if track.duration else 0.0
    if not promised and len(file.streams) == 1 and file.duration:
        promised = file.duration / 1e6
    _check_longest(promised)
    packets = [packet for packet in file.demux(track) if packet.pts is not None]
    seconds = max((float((p.pts + (p.duration or 0)) * p.time_base) for p in packets), default=0.0)
    if seconds < promised - _FRAME_SECONDS and file.format.name != "aac":  # for which the length is a guess
        raise InputError("clip_broken")
    _check_seconds(seconds)


def _last_samples(file: Any) -> tuple[np.ndarray, int]:
    """`[sample, channel]` and the rate of what counts; older frames are forgotten while it is decoded."""
    import av

    planes, rate = av.AudioResampler(format="fltp"), 0
    parts: deque[np.ndarray] = deque()
    held = decoded = 0
    for frame in file.decode(file.streams.audio[0]):
        rate = frame.sample_rate
        _check_rate(rate, frame.layout.nb_channels)
        for plane in planes.resample(frame):
            parts.append(plane.to_ndarray())
            held += plane.samples
            decoded += plane.samples
        _check_longest(decoded / rate)
        while held - parts[0].shape[1] >= (KEPT_SECONDS + 0.1) * rate:
            held -= parts.popleft().shape[1]
    if not parts:
        raise InputError("clip_broken")
    return np.concatenate(parts, 1).T, rate


def _read(path: Path) -> bytes:
    """The file's bytes; a huge one is never read whole."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError("clip_broken") from error


def _check_header(file: Any) -> None:
    if file.format not in _BY_SNDFILE:
        raise InputError("clip_not_supported", known=", ".join(KNOWN))
    _check_rate(file.samplerate, file.channels)
    _check_seconds(file.frames / file.samplerate)


def _check_rate(rate: int, channels: int) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE or channels > MOST_CHANNELS:
        raise InputError(
            "clip_rate_unknown", low=LOWEST_RATE, high=HIGHEST_RATE, rate=rate,
            most=MOST_CHANNELS, channels=channels,
        )  # fmt: skip


def _check_longest(seconds: float) -> None:
    if seconds > MAX_CLIP_SECONDS + _FRAME_SECONDS:
        raise InputError("clip_too_long", limit=round(MAX_CLIP_SECONDS), received=round(seconds))


def _check_seconds(seconds: float) -> None:
    _check_longest(seconds)
    if seconds < MIN_CLIP_SECONDS:
        raise InputError("clip_too_short", limit=MIN_CLIP_SECONDS, received=round(seconds, 2))


def _mixed(samples: np.ndarray) -> np.ndarray:
    """`[sample]`, the mean of `[sample, channel]`; where channels cancel one another, the loudest of them."""
    if not len(samples):
        return samples[:, 0]
    mean = samples.mean(1)
    loudness = samples.std(0)
    return samples[:, loudness.argmax()] if mean.std() < _CANCELLED * loudness.max() else mean


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
