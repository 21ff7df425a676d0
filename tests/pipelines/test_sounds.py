"""Clips from outside, loudness, files, pitches."""

import io
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import av
import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from pipelines.audio import files as sounds
from pipelines.audio.request import AudioRequest, Sound
from pipelines.serving.errors import InputError

RATE = 16_000


def tone(seconds: float, rate: int = RATE, hertz: float = 440, peak: float = 0.5) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def file_of(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def loudest_pitch(samples: np.ndarray, rate: int = RATE) -> float:
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(power.argmax() * rate / len(samples))


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_usual_recording_becomes_the_models(rate: int, channels: int) -> None:
    given = np.stack([tone(1, rate)] * channels, 1)
    opened = sounds.open_sound(file_of(given, rate), RATE)
    assert opened.dtype == np.float32 and len(opened) == RATE
    assert loudest_pitch(opened) == pytest.approx(440, abs=2)
    assert np.abs(opened[1000:-1000]).max() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_every_known_format_is_read(kind: str) -> None:
    assert loudest_pitch(sounds.open_sound(file_of(tone(1), kind=kind), RATE)) == pytest.approx(440, abs=2)


def test_the_end_of_a_long_clip_counts() -> None:
    both = np.concatenate([tone(5, hertz=300), tone(5, hertz=900)])
    opened = sounds.open_sound(file_of(both), RATE)
    assert len(opened) == sounds.KEPT_SECONDS * RATE
    assert loudest_pitch(opened) == pytest.approx(900, abs=2)


def test_stereo_is_mixed_not_halved() -> None:
    opened = sounds.open_sound(file_of(np.stack([tone(1), tone(1, hertz=660)], 1)), RATE)
    spectrum = np.abs(np.fft.rfft(opened))
    assert spectrum[440] > 1000 and spectrum[660] > 1000


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b"", "clip_not_supported"),
        (b"only words", "clip_not_supported"),
        (b"\0\0\0\x20ftypisom" + bytes(5000), "clip_broken"),  # it begins as an MP4
        (b"\x1a\x45\xdf\xa3" + bytes(5000), "clip_broken"),
        (b"\xff\xf1" + bytes(5000), "clip_broken"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "clip_not_supported"),
        (file_of(np.zeros(RATE, np.float32)), "clip_silent"),
        (file_of(np.full(RATE, 0.5, np.float32), subtype="FLOAT"), "clip_silent"),  # a constant is no sound
        (file_of(tone(0.1)), "clip_too_short"),
        (file_of(np.zeros(0, np.float32)), "clip_too_short"),
        (file_of(tone(61)), "clip_too_long"),
        (file_of(tone(1, 2_000), 2_000), "clip_rate_unknown"),
        (file_of(np.stack([tone(0.3)] * 9, 1)), "clip_rate_unknown"),
        (file_of(np.full(RATE, np.nan, np.float32), subtype="FLOAT"), "clip_broken"),
        (file_of(np.r_[tone(1), np.inf].astype(np.float32), subtype="FLOAT"), "clip_broken"),
        (bytes(sounds.MAX_BYTES + 1), "clip_too_large"),
        (file_of(tone(1), kind="CAF"), "clip_not_supported"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_cannot_be_used_is_named(data: bytes, key: str) -> None:
    with pytest.raises(InputError) as caught:
        sounds.open_sound(data, RATE)
    assert caught.value.key == key


def packed(samples: np.ndarray, container: str, codec: str, rate: int = 48_000, **options: str) -> bytes:
    """`[sample, channel]` as phones and browsers pack it."""
    path = Path(mkdtemp()) / "clip"  # not a buffer: with the index first, a file is read once more
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(path, "w", format=container, options=options) as file:
        track = file.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(track.format.name, layout, rate, frame_size=track.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            file.mux(track.encode(part))
    return path.read_bytes()


PACKED = [
    ("ipod", "aac"),
    ("mp4", "aac"),
    ("webm", "libopus"),
    ("adts", "aac"),
    ("mp4", "libopus"),
    ("mov", "alac"),
]


@pytest.mark.parametrize(("container", "codec"), PACKED)
def test_what_phones_and_browsers_record_is_read_by_content(tmp_path, container: str, codec: str) -> None:
    both = np.concatenate([tone(3, 48_000, 300), tone(4, 48_000, 900)])[:, None]
    (tmp_path / "Größe🎵.wav").write_bytes(packed(both, container, codec))
    opened = sounds.open_sound(tmp_path / "Größe🎵.wav", RATE)
    assert len(opened) == sounds.KEPT_SECONDS * RATE
    assert loudest_pitch(opened) == pytest.approx(900, abs=2)


@pytest.mark.parametrize(("container", "codec"), PACKED)
def test_packed_recordings_have_the_same_limits(container: str, codec: str) -> None:
    for seconds, key in ((61, "clip_too_long"), (0.1, "clip_too_short")):
        with pytest.raises(InputError, match=key):
            sounds.open_sound(packed(tone(seconds, 48_000)[:, None], container, codec), RATE)
    with pytest.raises(InputError, match="clip_silent"):
        sounds.open_sound(packed(np.zeros((48_000, 2), np.float32), container, codec), RATE)


@pytest.mark.parametrize(("container", "codec", "options"), [
    ("mp4", "aac", {"movflags": "faststart"}), ("mp4", "aac", {}), ("webm", "libopus", {}),
])  # fmt: skip
def test_packed_recordings_that_are_cut_are_broken(
    container: str, codec: str, options: dict[str, str]
) -> None:
    data = packed(tone(3, 48_000)[:, None], container, codec, **options)
    for share in (0.1, 0.5, 0.8):
        with pytest.raises(InputError, match="clip_broken"):
            sounds.open_sound(data[: int(share * len(data))], RATE)


def test_a_film_without_sound_says_so() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        track = file.add_stream("mpeg4", rate=8)
        track.width = track.height = 32
        for part in [av.VideoFrame(32, 32, "yuv420p"), None]:
            file.mux(track.encode(part))
    with pytest.raises(InputError, match="clip_without_sound"):
        sounds.open_sound(buffer.getvalue(), RATE)


@pytest.mark.parametrize(
    "signs", [(1, -1), (-1, 1), (1, -1) * 4, (0.001, 1), (0, 0, 0, 0, 0, 0, 0, 1)], ids=str
)
def test_channels_that_cancel_one_another_are_heard(signs: tuple[float, ...]) -> None:
    opened = sounds.open_sound(file_of(np.stack([sign * tone(1) for sign in signs], 1)), RATE)
    assert loudest_pitch(opened) == pytest.approx(440, abs=2)
    assert np.abs(opened).max() >= 0.24


def test_an_hour_is_refused_by_its_header_without_being_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(3600 * 4_000, np.float32), 4_000, format="FLAC")
    assert len(buffer.getvalue()) < sounds.MAX_BYTES

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(soundfile.SoundFile, "read", refuse)
    with pytest.raises(InputError, match="clip_too_long"):
        sounds.open_sound(buffer.getvalue(), RATE)


def test_a_file_that_is_gone_or_a_folder_is_broken(tmp_path) -> None:
    for path in (tmp_path / "none.wav", tmp_path):
        with pytest.raises(InputError, match="clip_broken"):
            sounds.open_sound(path, RATE)
    (tmp_path / "a.wav").write_bytes(file_of(tone(1)))
    assert len(sounds.open_sound(tmp_path / "a.wav", RATE)) == RATE


def test_a_file_cut_off_is_used_as_far_as_it_goes_or_named() -> None:
    cut = file_of(tone(2))[: 44 + 2 * RATE]
    assert loudest_pitch(sounds.open_sound(cut, RATE)) == pytest.approx(440, abs=2)
    with pytest.raises(InputError, match=r"clip_(broken|not_supported|too_short)"):
        sounds.open_sound(file_of(tone(2), kind="FLAC")[:900], RATE)


def test_nothing_leaves_louder_than_the_limit_and_quiet_sounds_stay() -> None:
    wild = np.array([0, 0.1, -0.4, 0.5, -0.9, 3, 1e9, -np.inf, np.inf, np.nan])
    out = sounds.limited(wild)
    assert np.isfinite(out).all() and np.abs(out).max() <= sounds.LOUDEST
    np.testing.assert_array_equal(out[:3], wild[:3].astype(np.float32))
    rising = sounds.limited(np.linspace(-5, 5, 1001))
    assert (np.diff(rising) >= 0).all()
    assert np.array_equal(sounds.limited(wild)[:4], sounds.limited(wild[:4])), "no memory"
    assert np.abs(sounds.pcm(wild)).max() <= 0.7 * 32768


@pytest.mark.parametrize("prompt", ["a", "ab", "ä" * 2000, "🙂" * 2000, 'LIST "x" \\ \n data'])
def test_a_wav_carries_what_made_it(prompt: str) -> None:
    request = AudioRequest(prompt, 2**32 - 1, 2.5, 0.7, 10, 1.0, "classroom-audio", "transformers")
    sound = Sound(request, np.zeros((4, 75), int), tone(1.5), RATE, 50, given=25)
    data = sounds.wav_with_parameters(sound)
    assert sounds.read_parameters(data) == (request, 0.5)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples, sounds.limited(sound.samples), atol=1e-4)


def test_other_files_carry_nothing() -> None:
    with pytest.raises(InputError, match="sound_parameters_missing"):
        sounds.read_parameters(file_of(tone(1)))
    with pytest.raises(InputError, match="clip_not_supported"):
        sounds.read_parameters(b"only words")
    request = AudioRequest("a")
    good = sounds.wav_with_parameters(Sound(request, np.zeros((4, 5), int), tone(0.1), RATE, 50))
    with pytest.raises(InputError, match="sound_parameters_missing"):
        sounds.read_parameters(good.replace(b'"seed"', b'"sood"'))


def test_the_spectrogram_is_torchaudios() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    mel = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=640, hop_length=320, n_mels=64, center=False,
        window_fn=lambda n: torch.hann_window(n, periodic=False),
    )  # fmt: skip
    power = mel(torch.from_numpy(np.r_[np.zeros(320, np.float32), noise])).numpy().T / 160**2
    expected = 255 * (10 * np.log10(np.maximum(power, 1e-12)) + 80) / 80
    np.testing.assert_allclose(sounds.spectrogram(noise, RATE, 50), expected.clip(0, 255), atol=0.6)


def test_a_column_never_changes_when_more_follows() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32)
    whole = sounds.spectrogram(noise, RATE, 50)
    assert whole.shape == (50, sounds.BANDS)
    assert np.array_equal(sounds.spectrogram(noise[:6400], RATE, 50), whole[:20])
    assert sounds.spectrogram(noise[:100], RATE, 50).shape == (0, sounds.BANDS)


def test_a_louder_tone_is_brighter_and_a_higher_one_higher() -> None:
    quiet, loud, high = (
        sounds.spectrogram(tone(1, hertz=h, peak=p), RATE, 50)[20]
        for h, p in ((440, 0.01), (440, 1), (1760, 1))
    )
    assert loud.max() > quiet.max() + 100 and high.argmax() > loud.argmax()
    assert 245 <= loud.max() <= 255


def test_a_clip_of_the_world_is_the_worlds() -> None:
    samples, caption = sounds.world_clip(3, RATE)
    again, other = sounds.world_clip(3, RATE)[0], sounds.world_clip(4, RATE)[0]
    assert np.array_equal(samples, again) and not np.array_equal(samples, other)
    assert len(samples) == 3 * RATE and caption.strip()
    assert len(sounds.world_clip(3, 32_000)[0]) == 3 * 32_000


def test_the_parameters_are_the_requests() -> None:
    sound = Sound(AudioRequest("a"), np.zeros((4, 5), int), tone(0.1), RATE, 50)
    assert sounds.parameters(sound)["clip_seconds"] == 0
    assert sounds.parameters(replace(sound, given=5))["clip_seconds"] == 0.1
