"""Sound models of the hub: checkpoints of their architecture and file format, tiny, with random weights."""

import base64
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from components.audio import _shown, books_message
from components.audio_levels import show_speech
from components.language import load_texts
from components.runs import RunSlot
from pipelines import audio, bark, models
from pipelines.audio import AudioRequest, encode_clip, generate, run
from pipelines.audio_inside import look_inside
from pipelines.bark import speak
from pipelines.errors import InputError

CLASSROOM = Path(models.ASSETS) / "audio"
needs_audiocraft = pytest.mark.skipif(
    find_spec("audiocraft") is None, reason="make setup installs it; a Space goes without"
)


def t5_config():
    from transformers import T5Config

    return T5Config(
        vocab_size=384, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0,
        is_encoder_decoder=False, use_cache=False,
    )  # fmt: skip


def copy_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(CLASSROOM / name, folder / name)


def build_musicgen(folder: Path) -> Path:
    """Laid out as musicgen-small: 32 kHz, a codec that looks ahead and mirrors its edges, 4 books of 2048."""
    from transformers import EncodecConfig, MusicgenConfig, MusicgenForConditionalGeneration
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

    torch.manual_seed(3)
    codec = EncodecConfig(
        sampling_rate=32_000, audio_channels=1, normalize=False, num_filters=4, num_lstm_layers=2,
        upsampling_ratios=[8, 5, 4, 4], hidden_size=16, codebook_dim=16, codebook_size=2048,
        target_bandwidths=[2.2], use_causal_conv=False, pad_mode="reflect", norm_type="weight_norm",
    )  # fmt: skip
    decoder = MusicgenDecoderConfig(
        vocab_size=2048, hidden_size=24, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
        num_codebooks=4, pad_token_id=2048, bos_token_id=2048, dropout=0.0, attention_dropout=0.0,
        activation_dropout=0.0,
    )  # fmt: skip
    parts = {"text_encoder": t5_config(), "audio_encoder": codec, "decoder": decoder}
    model = MusicgenForConditionalGeneration(
        MusicgenConfig(**{name: part.to_dict() for name, part in parts.items()})
    ).eval()
    with torch.no_grad():
        for layer in model.audio_encoder.quantizer.layers:
            layer.codebook.embed.normal_()
        for weights in model.decoder.parameters():  # the initial ones hardly look at anything
            weights.mul_(4)
    model.generation_config.decoder_start_token_id = model.generation_config.pad_token_id = 2048
    model.generation_config.bos_token_id = 2048
    model.save_pretrained(folder)
    copy_tokenizer(folder)
    return folder


def build_bark(folder: Path) -> Path:
    """Laid out as bark-small: three transformers, EnCodec at 24 kHz, a BERT tokenizer."""
    from transformers import (
        BarkCoarseConfig,
        BarkConfig,
        BarkFineConfig,
        BarkModel,
        BarkSemanticConfig,
        BertTokenizerFast,
        EncodecConfig,
    )
    from transformers.models.bark import generation_configuration_bark as settings

    torch.manual_seed(4)
    size = {"block_size": 1024, "num_layers": 1, "num_heads": 2, "hidden_size": 16, "dropout": 0.0}
    codec = EncodecConfig(
        num_filters=4, hidden_size=16, codebook_dim=16, codebook_size=1024, sampling_rate=24_000,
        num_lstm_layers=1,
    )  # fmt: skip
    parts = {
        "semantic_config": BarkSemanticConfig(input_vocab_size=129_600, output_vocab_size=10_048, **size),
        "coarse_acoustics_config": BarkCoarseConfig(
            input_vocab_size=12_096, output_vocab_size=12_096, **size
        ),
        "fine_acoustics_config": BarkFineConfig(
            input_vocab_size=1056, output_vocab_size=1056, n_codes_total=8, n_codes_given=1, **size
        ),
        "codec_config": codec,
    }
    model = BarkModel(BarkConfig(**{name: part.to_dict() for name, part in parts.items()})).eval()
    with torch.no_grad():
        for layer in model.codec_model.quantizer.layers:
            layer.codebook.embed.normal_()
    model.save_pretrained(folder)
    given = {
        "semantic_config": settings.BarkSemanticGenerationConfig(),
        "coarse_acoustics_config": settings.BarkCoarseGenerationConfig(),
        "fine_acoustics_config": settings.BarkFineGenerationConfig(),
    }
    published = {name: part.to_dict() | {"model_type": part.model_type} for name, part in given.items()}
    published |= {"model_type": "bark", "sample_rate": 24_000, "codebook_size": 1024}
    (folder / "generation_config.json").write_text(json.dumps(published))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "says", "hello", "dog"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


LM = """
lm_model: transformer_lm
dtype: float32
device: cpu
dataset: {segment_duration: 10}
transformer_lm: {dim: 24, num_heads: 4, num_layers: 2, hidden_scale: 2, n_q: 4, card: 64, dropout: 0.0,
  emb_lr: null, activation: gelu, norm_first: true, bias_ff: false, bias_attn: false, bias_proj: false,
  past_context: null, causal: true, custom: false, memory_efficient: true, attention_as_float32: false,
  positional_embedding: sin, xpos: false, checkpointing: none, weight_init: gaussian,
  depthwise_init: current, zero_bias_init: true, norm: layer_norm, cross_attention: false,
  qk_layer_norm: false, qk_layer_norm_cross: false, attention_dropout: null, kv_repeat: 1,
  two_step_cfg: false}
codebooks_pattern: {modeling: delay, delay: {delays: [0, 1, 2, 3], flatten_first: 0, empty_initial: 0}}
classifier_free_guidance: {training_dropout: 0.1, inference_coef: 3.0}
attribute_dropout: {text: {}, wav: {}}
fuser: {cross_attention_pos_emb: false, cross_attention_pos_emb_scale: 1, sum: [], prepend: [],
  cross: [description], input_interpolate: []}
conditioners: {args: {merge_text_conditions_p: 0.25, drop_desc_p: 0.5},
  description: {model: t5, t5: {name: TINY, finetune: false, word_dropout: 0.0, normalize_text: false}}}
"""
CODEC = """
compression_model: encodec
device: cpu
sample_rate: 16000
encodec: {autoencoder: seanet, quantizer: rvq, sample_rate: 16000, channels: 1, causal: false,
  renormalize: false}
seanet: {dimension: 16, channels: 1, causal: false, n_filters: 4, n_residual_layers: 1, ratios: [8, 5, 4, 2],
  activation: ELU, activation_params: {alpha: 1.0}, norm: weight_norm, norm_params: {}, kernel_size: 7,
  residual_kernel_size: 3, last_kernel_size: 7, dilation_base: 2, pad_mode: constant, true_skip: true,
  compress: 2, lstm: 2, disable_norm_outer_blocks: 0, encoder: {},
  decoder: {trim_right_ratio: 1.0, final_activation: null, final_activation_params: null}}
rvq: {n_q: 4, q_dropout: false, bins: 64, decay: 0.99, kmeans_init: false, kmeans_iters: 5,
  threshold_ema_dead_code: 2, orthogonal_reg_weight: 0.0, orthogonal_reg_active_codes_only: false}
"""


def build_audiogen(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Laid out as audiogen-medium: audiocraft's two `state_dict.bin`, settings as YAML inside."""
    from audiocraft.models import builders
    from audiocraft.modules import conditioners
    from omegaconf import OmegaConf
    from transformers import T5EncoderModel

    from pipelines.audiocraft_backend import _import

    _import()
    folder.mkdir(parents=True)
    text = folder / "t5"
    torch.manual_seed(5)
    T5EncoderModel(t5_config()).save_pretrained(text)
    copy_tokenizer(text)
    # audiocraft reads a T5 by its published name, from a list; the tiny one has to stand on it, too.
    patch.setitem(conditioners.T5Conditioner.MODELS_DIMS, str(text), 32)
    patch.setattr(conditioners.T5Conditioner, "MODELS", [*conditioners.T5Conditioner.MODELS, str(text)])
    patch.setattr(conditioners, "T5Tokenizer", __import__("transformers").AutoTokenizer)
    for name, settings, build in (
        ("state_dict.bin", LM.replace("TINY", str(text)), builders.get_lm_model),
        ("compression_state_dict.bin", CODEC, builders.get_compression_model),
    ):
        made = build(OmegaConf.create(settings))
        torch.save({"xp.cfg": settings, "best_state": made.state_dict()}, folder / name)
    return folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The catalogue with tiny kin of the three models."""
    folder = tmp_path_factory.mktemp("sounds")
    with pytest.MonkeyPatch.context() as patch:
        rows = [
            ("tiny-musicgen", build_musicgen(folder / "musicgen"), ["transformers", "audiocraft"]),
            ("tiny-bark", build_bark(folder / "bark"), ["bark"]),
        ]
        if find_spec("audiocraft"):
            rows.append(("tiny-audiogen", build_audiogen(folder / "audiogen", patch), ["audiocraft"]))
        text = "\n".join(
            f'[[model]]\nid = "{name}"\nrole = "audio"\nsource = "{source}"\nlicence = "none"\n'
            f"backends = {json.dumps(backends)}\n"
            for name, source, backends in rows
        )
        (folder / "models.toml").write_text(text)
        patch.setenv("STEUERVEKTOR_MODELS", str(folder / "models.toml"))
        models._added.cache_clear()
        yield folder
    for name, *_ in rows:
        models.unload(name)
    models._added.cache_clear()


MUSIC = AudioRequest("a slow, sad piano", seed=3, seconds=2.0, model="tiny-musicgen")


def test_musicgen_is_the_librarys_although_its_codec_looks_ahead(hub: Path) -> None:
    made = run(MUSIC)
    loaded = models.load("tiny-musicgen")
    assert loaded.lookahead > 0 and loaded.sample_rate == 32_000 and loaded.vocabulary == 2048
    words = loaded.tokenizer([MUSIC.prompt], return_tensors="pt")
    torch.manual_seed(3)
    with torch.inference_mode():
        theirs = loaded.model.generate(
            **words, do_sample=True, top_k=64, temperature=1.0, guidance_scale=3.0, max_new_tokens=103
        )[0, 0].numpy()
    np.testing.assert_allclose(made.samples, theirs, atol=1e-5)
    chunks = [f.sound for f in generate(MUSIC) if len(f.sound)]
    assert len(chunks) == 4, "heard while it is made"


def test_the_lookahead_is_needed_and_enough(hub: Path) -> None:
    loaded = models.load("tiny-musicgen")
    codes = torch.randint(0, 2048, (4, 60), generator=torch.Generator().manual_seed(0))
    whole, part = loaded.decode(codes), loaded.decode(codes[:, :40])
    sure = (40 - loaded.lookahead) * 640
    torch.testing.assert_close(part[:sure], whole[:sure], atol=1e-5, rtol=0)
    assert (part[: 40 * 640] - whole[: 40 * 640]).abs().max() > 1e-3


@needs_audiocraft
def test_musicgen_is_the_same_in_audiocraft(hub: Path) -> None:
    for changes in ({"temperature": 0}, {"temperature": 1}):
        ours, theirs = (
            run(replace(MUSIC, seconds=0.6, backend=b, **changes)).codes
            for b in ("transformers", "audiocraft")
        )
        assert np.array_equal(ours, theirs)


def test_musicgen_looks_at_words_and_goes_on_from_a_clip(hub: Path) -> None:
    looks = look_inside(run(replace(MUSIC, seconds=0.4)))
    assert looks is not None and looks.words[:2] == ("a", "slow")
    given = encode_clip(np.sin(np.arange(16_000) * 0.1).astype(np.float32), "tiny-musicgen")
    made = run(replace(MUSIC, seconds=0.4), given)
    assert made.given == 25 and np.array_equal(made.codes[:, :25], given)


@needs_audiocraft
def test_audiogen_runs_from_audiocrafts_own_files(hub: Path) -> None:
    request = AudioRequest("a dog barks", seconds=0.6, temperature=0, top_k=0, model="tiny-audiogen")
    made = run(request)
    assert made.request.backend == "audiocraft" and made.codes.shape == (4, 30)
    whole = models.load("tiny-audiogen").whole
    whole.set_generation_params(use_sampling=False, duration=0.6, cfg_coef=3.0)
    with torch.inference_mode():
        sound, codes = whole.generate(["a dog barks"], return_tokens=True)
    assert np.array_equal(made.codes, codes[0].numpy())
    np.testing.assert_allclose(made.samples, sound[0, 0].numpy(), atol=1e-5)
    assert look_inside(made) is None
    clip = encode_clip(np.sin(np.arange(4800) * 0.1).astype(np.float32), "tiny-audiogen")
    assert run(request, clip).given == 15
    assert len(audio.hear(made.codes[:1], "tiny-audiogen")) == len(made.samples)


SPEECH = AudioRequest("a cat says hello", seed=6, seconds=1.0, temperature=0.7, model="tiny-bark")


def bark_by_the_library(voice: bark.BarkVoice, request: AudioRequest) -> np.ndarray:
    """`BarkModel.generate`, greedy."""
    words = voice.tokens(
        [request.prompt], return_tensors="pt", padding="max_length", max_length=256, truncation=True,
        add_special_tokens=False, return_token_type_ids=False,
    )  # fmt: skip
    return voice.model.generate(**words, do_sample=False, semantic_max_new_tokens=50)[0].numpy()


def test_bark_speaks_in_three_levels(hub: Path) -> None:
    levels = list(speak(SPEECH.validated()))
    assert [level.name for level in levels] == list(bark.LEVELS)
    semantic, coarse, fine = levels
    assert 0 < len(semantic.semantic) <= 50 and semantic.codes.shape == (0, semantic.frames)
    assert coarse.codes.shape == (2, semantic.frames) and fine.codes.shape == (8, semantic.frames)
    assert np.array_equal(coarse.codes, fine.codes[:2]), "fine goes on from coarse"
    assert 0 <= fine.codes.min() <= fine.codes.max() < 1024
    assert len(fine.sound) == semantic.frames * 320 and not len(coarse.sound)
    by_frame = semantic.semantic_by_frame()
    assert by_frame[0] == semantic.semantic[0] and by_frame[-1] == semantic.semantic[-1]


def test_bark_is_the_librarys(hub: Path) -> None:
    greedy = replace(SPEECH, temperature=0).validated()
    made = bark.run(greedy)
    voice = models.load("tiny-bark")
    np.testing.assert_allclose(made.samples, bark_by_the_library(voice, greedy), atol=1e-5)
    assert (made.sample_rate, made.frame_rate) == (24_000, 75)
    np.testing.assert_allclose(audio.hear(made.codes, "tiny-bark"), made.samples, atol=1e-5)


def test_barks_seed_decides(hub: Path) -> None:
    one, same, other = (bark.run(replace(SPEECH, seed=s).validated()).codes for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert one.shape != other.shape or (one != other).any()


def test_bark_says_what_it_cannot(hub: Path) -> None:
    with pytest.raises(InputError, match="audio_kind_closed"):
        generate(SPEECH)
    with pytest.raises(InputError, match="clip_not_continued"):
        encode_clip(np.zeros(24_000, np.float32), "tiny-bark")
    with pytest.raises(InputError, match="backend_unknown"):
        replace(SPEECH, backend="transformers").validated()


def told(feed: str) -> dict:
    return json.loads(unescape(re.search(r'data-sounds="([^"]*)"', feed)[1]))[0]


def test_the_page_fills_barks_levels_from_top_to_bottom(hub: Path) -> None:
    request, t = SPEECH.validated(), load_texts("en")
    shown = list(show_speech(request, None, RunSlot(), "p", t))
    messages = [told(feed) for feed, _, _ in shown]
    assert [m["kind"] for m in messages] == ["wait", "live", "live", "live", "done"]
    grids = [np.frombuffer(base64.b64decode(m["chosen"]), "<i2").reshape(m["steps"], 9) for m in messages[1:]]
    assert [(grid >= 0).all(0).sum() for grid in grids] == [1, 3, 9, 9]
    assert messages[1]["rows"][0] == t("audio.player.semantic") and not messages[1]["delay"]
    made = shown[-1][1]
    assert np.array_equal(grids[-1][:, 1:].T, made.sound.codes)
    assert "pcm" not in messages[2] and len(base64.b64decode(messages[-1]["pcm"])) == 2 * len(
        made.sound.samples
    )
    part = books_message(made, 2, t)
    assert part["books"] == 3, "the row of meaning comes before the codebooks"
    assert told(_shown(made, t)[0])["kind"] == "done"


def test_a_stop_between_two_levels_leaves_what_was_there(hub: Path) -> None:
    slot = RunSlot()
    run = show_speech(SPEECH.validated(), None, slot, "p", load_texts("de"))
    next(run), next(run)
    slot.stop()
    feed, made, _ = list(run)[-1]
    assert made is None and told(feed)["kind"] == "wait"
