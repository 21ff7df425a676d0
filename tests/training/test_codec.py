"""The codec's training: what it minimises, what it measures, and that it learns."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio
from transformers import EncodecConfig, EncodecModel

from training import quantiser, train_codec
from training.common import Average, Progress
from training.sound_pool import SoundStream, to_waves
from training.train_codec import (
    CONFIG,
    CROP,
    MelDistance,
    build,
    crops,
    depths,
    even_out,
    fresh_waves,
    loss_of,
    normed,
    si_sdr,
    tonal_distance,
    wave_error,
)


@pytest.fixture(scope="module")
def waves() -> torch.Tensor:
    return to_waves(next(iter(SoundStream(seed=5, chunk=12))))


def fresh(waves: torch.Tensor) -> EncodecModel:
    torch.manual_seed(0)
    model = build()
    even_out(model, waves[:8, :, :16000])
    return model


def test_the_codec_has_the_size_it_should() -> None:
    model = EncodecModel(EncodecConfig(**CONFIG))
    assert (model.config.frame_rate, model.config.num_quantizers) == (50, 4)
    assert sum(p.numel() for p in model.parameters()) <= 1_500_000


def test_si_sdr_is_the_librarys() -> None:
    torch.manual_seed(0)
    target = torch.randn(5, 4000)
    estimate = 0.3 * target + 0.1 * torch.randn(5, 4000)
    theirs = scale_invariant_signal_distortion_ratio(estimate, target)
    torch.testing.assert_close(si_sdr(estimate, target), theirs, atol=1e-3, rtol=1e-4)


def test_the_mel_distance_hears_pitch_and_loudness_and_not_phase() -> None:
    time = torch.arange(16000) / 16000
    distance = MelDistance()

    def tone(hz: float, level: float = 0.3, phase: float = 0.0) -> torch.Tensor:
        return (level * torch.sin(2 * torch.pi * hz * time + phase))[None, None]

    same = distance(tone(440), tone(440, phase=1.5))
    assert distance(tone(440), tone(440)) == 0
    assert same < 0.2 * distance(tone(440), tone(660))
    assert same < 0.6 * distance(tone(440), tone(440, 0.1))


def test_the_tonal_distance_is_one_for_silence_and_counts_the_strong() -> None:
    time = torch.arange(16000) / 16000
    strong, weak = (
        level * torch.sin(2 * torch.pi * hz * time)[None, None] for hz, level in ((440, 0.5), (900, 0.05))
    )
    both = strong + weak
    assert tonal_distance(both, both) < 1e-6
    assert 0.94 < tonal_distance(torch.zeros_like(both), both) <= 1
    assert tonal_distance(strong, both) < 0.2 < 0.8 < tonal_distance(weak, both)


def test_the_trained_form_computes_what_the_librarys_form_does(waves: torch.Tensor) -> None:
    model = fresh(waves).eval()
    library = normed(model.state_dict())
    again = build(library.state_dict()).eval()
    with torch.no_grad():
        vectors = model.encoder(waves[:2])
        for other in (library, again):
            torch.testing.assert_close(other.encoder(waves[:2]), vectors, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(other.decoder(vectors), model.decoder(vectors), atol=1e-4, rtol=1e-4)


def test_crops_are_pieces_of_their_waves(waves: torch.Tensor) -> None:
    torch.manual_seed(0)
    for piece, wave in zip(crops(waves), waves, strict=True):
        windows = wave[0].unfold(0, CROP, 1)
        assert (windows[:, :50] == piece[0, :50]).all(1).any()
        assert piece.shape == (1, CROP)


def test_some_examples_use_fewer_codebooks() -> None:
    torch.manual_seed(0)
    drawn = depths(4000, "cpu")
    assert set(drawn.tolist()) == {1, 2, 3, 4}
    assert 0.2 < float((drawn < 4).float().mean()) < 0.3


def test_fresh_weights_let_the_input_through(waves: torch.Tensor) -> None:
    model = fresh(waves)
    with torch.no_grad():
        vectors = model.encoder(waves[:8, :, :16000])
        decoded = model.decoder(vectors)
    torch.testing.assert_close(vectors.std((0, 2)), torch.ones(CONFIG["hidden_size"]), atol=1e-3, rtol=0)
    assert decoded.std() == pytest.approx(float(waves[:8, :, :16000].std()), rel=0.05)


def test_what_is_decoded_never_changes_afterwards(waves: torch.Tensor) -> None:
    """The beginning of a sound is the same whether more follows or not: sound can be streamed."""
    model = fresh(waves).eval()
    with torch.no_grad():
        quantiser.start(model, model.encoder(waves).transpose(1, 2).flatten(0, 1))
        codes = model.encode(waves[:2]).audio_codes
        whole = model.decode(codes, [None]).audio_values
        for frames in (1, 3, 60):
            part = model.decode(codes[..., :frames], [None]).audio_values
            torch.testing.assert_close(part, whole[..., : part.shape[-1]], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_codec_learns(waves: torch.Tensor) -> None:
    """Some steps on a few sounds: the errors fall, with vectors and then with codes."""
    model, distance = fresh(waves), MelDistance()
    optimizer = train_codec.optimizer_of(model)
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
    model.train()
    pieces = waves[:2, :, 16000 : 16000 + CROP]
    history = []
    for step in range(35):
        if step == 20:
            model.encoder.requires_grad_(False)
            with torch.no_grad():
                quantiser.start(model, model.encoder(waves).transpose(1, 2).flatten(0, 1))
        loss, metrics = loss_of(model, pieces, distance)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        history.append(metrics)
    for name in ("wave", "mel"):
        assert np.mean([m[name] for m in history[15:20]]) < 0.8 * history[0][name], name
        assert np.mean([m[name] for m in history[-5:]]) < 0.8 * history[0][name], name
    assert history[-1]["used_0"] > 0.05
    assert "used_0" not in history[0]


def test_codes_begin_where_the_averaged_encoder_is_and_it_stays(waves: torch.Tensor) -> None:
    model = fresh(waves)
    run = Progress("codec", model, train_codec.optimizer_of(model), Average(model))
    averaged = {k: v.clone() for k, v in run.average.weights.items()}
    with torch.no_grad():
        model.encoder.layers[0].conv.weight += 1  # further than its average
    train_codec.begin_codes(run, SimpleNamespace(column=lambda name: waves), "cpu")
    assert torch.equal(model.encoder.layers[0].conv.weight, averaged["encoder.layers.0.conv.weight"])
    assert not any(p.requires_grad for p in model.encoder.parameters())
    assert all(p.requires_grad for p in model.decoder.parameters())
    assert train_codec.has_codes(model)


def test_the_error_of_samples_is_a_share_of_the_sound() -> None:
    torch.manual_seed(0)
    waves = torch.randn(3, 1, 8000)
    assert float(wave_error(torch.zeros_like(waves), waves)) == pytest.approx(1, abs=1e-3)
    assert float(wave_error(0.5 * waves, waves)) == pytest.approx(0.25, abs=1e-3)
    silence = torch.zeros_like(waves)
    assert float(wave_error(silence + 0.001, silence)) == pytest.approx(0.008)  # eight thousand of 1e-6


@pytest.mark.slow
def test_what_is_written_is_what_transformers_loads(
    waves: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fresh(waves)
    with torch.no_grad():
        quantiser.start(model, model.encoder(waves).transpose(1, 2).flatten(0, 1))
    monkeypatch.setattr(train_codec, "FOLDER", tmp_path)
    monkeypatch.setattr(train_codec, "fresh_waves", lambda seed, _: fresh_waves(seed, 3))
    metrics = train_codec.export(model.state_dict(), into_shipped=False)
    loaded = EncodecModel.from_pretrained(tmp_path, dtype=torch.float32).eval()
    again = train_codec.load_codec("cpu")
    with torch.no_grad():
        codes = loaded.encode(waves[:2]).audio_codes
        assert torch.equal(codes, again.encode(waves[:2]).audio_codes)
    assert len(codes.unique()) > 50
    for name in ("log_mel", "si_sdr", "usage_0", "perplexity_3"):
        assert np.isfinite(metrics[name])
    assert 0 < metrics["usage_0"] <= 1
