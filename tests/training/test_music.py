"""The music model's training: the delay pattern, the loss, dropped captions, and the folder it writes."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoProcessor,
    EncodecConfig,
    EncodecModel,
    MusicgenForConditionalGeneration,
    T5Tokenizer,
)

from pipelines.audio.audio import delayed
from pipelines.world.sound import draw_sound
from pipelines.world.sound_captions import sound_caption
from training import train_music
from training.muon import Muon
from training.train_codec import CONFIG as CODEC
from training.train_codec import PREFIX
from training.train_music import (
    CODES,
    EDGES,
    MAX_PIECES,
    PAD,
    build_config,
    build_tokenizer,
    code_losses,
    text_states,
    words_in,
)


@pytest.fixture(scope="module")
def tokenizer() -> T5Tokenizer:
    return build_tokenizer(4000)


@pytest.fixture(scope="module")
def model(tokenizer: T5Tokenizer) -> Any:
    torch.manual_seed(0)
    return MusicgenForConditionalGeneration(build_config(len(tokenizer))).eval()


def test_codebooks_are_delayed_as_the_library_delays_them(model: Any) -> None:
    codes = torch.randint(CODES, (2, 4, 12), generator=torch.Generator().manual_seed(0))
    ours = delayed(codes, PAD)
    begin = torch.full((2, 4, 1), PAD)
    _, pattern = model.decoder.build_delay_pattern_mask(
        torch.cat([begin, codes], 2).flatten(0, 1), pad_token_id=PAD, max_length=1 + 12 + 3
    )
    assert torch.equal(pattern.view(2, 4, -1), ours)
    assert (ours == PAD).sum() == 2 * 4 * 4


def test_the_loss_is_the_librarys(model: Any, tokenizer: T5Tokenizer) -> None:
    codes = torch.randint(CODES, (3, 4, 20), generator=torch.Generator().manual_seed(0))
    ids, mask = words_in(tokenizer, ["a sad piano", "rain", "fast drums with a cat"], "cpu")
    with torch.no_grad():
        losses = code_losses(model, codes, text_states(model, ids, mask), mask)
        theirs = model(
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=delayed(codes, PAD)[..., :-1].flatten(0, 1),
            labels=delayed(codes, PAD)[..., 1:].transpose(1, 2),
        ).loss
    assert losses.shape == (4,)
    torch.testing.assert_close(losses.mean(), theirs, atol=1e-5, rtol=1e-5)


def test_no_text_in_training_is_no_text_in_generation(model: Any, tokenizer: T5Tokenizer) -> None:
    """A dropped caption gives the decoder what the library's guidance gives it without a prompt."""
    codes = torch.randint(CODES, (1, 4, 10), generator=torch.Generator().manual_seed(0))
    ids, mask = words_in(tokenizer, ["a sad piano melody"], "cpu")
    with torch.no_grad():
        dropped = code_losses(model, codes, text_states(model, ids, mask, torch.zeros(1)), mask)
        null = model.get_unconditional_inputs(1)
        states = torch.zeros(1, 1, model.config.decoder.hidden_size)
        theirs = code_losses(model, codes, states, null.attention_mask)
        given = code_losses(model, codes, text_states(model, ids, mask, torch.ones(1)), mask)
    torch.testing.assert_close(dropped, theirs, atol=1e-5, rtol=1e-5)
    assert (dropped - given).abs().max() > 1e-4


def test_padding_of_longer_captions_changes_nothing(model: Any, tokenizer: T5Tokenizer) -> None:
    codes = torch.randint(CODES, (2, 4, 10), generator=torch.Generator().manual_seed(0))
    long = "a slow, sad piano melody with drums, rising, cozy atmosphere, a cat"
    with torch.no_grad():
        ids, mask = words_in(tokenizer, ["rain", long], "cpu")
        both = text_states(model, ids, mask)[0, :2]
        ids, mask = words_in(tokenizer, ["rain"], "cpu")
        alone = text_states(model, ids, mask)[0, :2]
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=1e-5)
    assert codes.shape == (2, 4, 10)


def test_the_log_says_how_much_the_text_says(model: Any, tokenizer: T5Tokenizer) -> None:
    """And under names of its own: the training's own metrics stand in the same line."""

    class TwoSounds:
        args = Namespace(device="cpu")

        def sample(self) -> dict[str, Any]:
            rng = np.random.default_rng(0)
            scenes = [draw_sound(rng) for _ in range(2)]
            return {"sounds": torch.randint(CODES, (2, 4, 6)), "scenes": scenes}

        def captions(self, scenes: list) -> list[str]:
            return ["a sad piano", "rain"]

    torch.manual_seed(0)
    found = train_music.text_use(model, tokenizer, TwoSounds())  # type: ignore[arg-type]
    assert found["right"] == pytest.approx(np.mean([found[f"right_{k}"] for k in range(4)]), rel=1e-4)
    assert len({found[k] for k in ("right", "shuffled", "empty")}) == 3
    assert not {f"book_{k}" for k in range(4)} & set(found)


def test_the_tokenizer_knows_the_grammars_words(tokenizer: T5Tokenizer) -> None:
    assert tokenizer.convert_ids_to_tokens(tokenizer("a piano").input_ids)[-2:] == ["▁piano", "</s>"]
    assert tokenizer.unk_token_id not in tokenizer("a xylophone @ 3 o'clock!").input_ids
    rng = np.random.default_rng(9)
    texts = [sound_caption(draw_sound(rng), rng) for _ in range(2000)]
    lengths = [len(ids) for ids in tokenizer(texts).input_ids]
    assert max(lengths) < MAX_PIECES
    assert np.mean(lengths) < 14


def test_training_goes_on_with_the_tokenizer_of_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_music, "FOLDER", tmp_path)
    monkeypatch.setattr(train_music, "build_tokenizer", lambda: build_tokenizer(1500))
    first = train_music.tokenizer_of(restart=False)
    written = (tmp_path / "tokenizer.json").read_bytes()
    assert train_music.tokenizer_of(restart=False).get_vocab() == first.get_vocab()
    assert (tmp_path / "tokenizer.json").read_bytes() == written


@pytest.mark.slow
def test_the_model_learns_what_the_text_says(tokenizer: T5Tokenizer) -> None:
    """Two captions, two melodies of codes: soon the right caption explains more than the wrong one."""
    torch.manual_seed(0)
    learner: Any = MusicgenForConditionalGeneration(build_config(len(tokenizer)))
    del learner.audio_encoder
    codes = torch.randint(CODES, (2, 4, 2))
    ids, mask = words_in(tokenizer, ["a sad piano", "happy drums"], "cpu")
    optimizer = Muon(learner, outer=EDGES)
    for group in optimizer.param_groups:
        group["lr"] = 3e-3
    for _ in range(40):
        loss = code_losses(learner, codes, text_states(learner, ids, mask), mask).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        states = text_states(learner, ids, mask)
        right = code_losses(learner, codes, states, mask).mean()
        wrong = code_losses(learner, codes, states.flip(0), mask.flip(0)).mean()
    assert right < 0.5 * np.log(CODES)
    assert wrong > right + 0.5


def test_the_folder_is_what_transformers_loads(
    model: Any, tokenizer: T5Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_music, "FOLDER", tmp_path)
    monkeypatch.setattr(train_music, "WEIGHTS", tmp_path / "model.safetensors")
    codec = EncodecModel(EncodecConfig(**CODEC))
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith(PREFIX)}
    train_music.export(weights, codec, tokenizer)
    loaded = MusicgenForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32)
    for name, value in loaded.state_dict().items():
        source = codec.state_dict()[name.removeprefix(PREFIX)] if name.startswith(PREFIX) else weights[name]
        torch.testing.assert_close(value, source.half().float() if source.is_floating_point() else source)
    processor = AutoProcessor.from_pretrained(tmp_path)
    words = processor(text=["A cat. Dimm lighting."], return_tensors="pt")
    assert words.input_ids.tolist() == tokenizer(["A cat. Dimm lighting."]).input_ids
    sound = loaded.generate(**words, max_new_tokens=13, do_sample=False)
    assert sound.shape == (1, 1, 10 * 320)
    assert set(train_music.shipped_weights() or {}) == set(weights)
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 7.5 * 2**20
