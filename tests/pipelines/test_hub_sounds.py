"""Sound models of the hub, on checkpoints of their architecture and file format."""

import base64
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html import unescape
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from components.audio.speech import show_speech
from components.audio.tab import _shown, books_message
from components.runs.slot import RunSlot
from components.ui.language import load_texts
from pipelines.audio import audio, bark
from pipelines.audio.audio import audio_model, encode_clip, generate, run
from pipelines.audio.bark import bark_voice, speak
from pipelines.audio.inside import look_inside
from pipelines.audio.request import AudioRequest
from pipelines.serving import catalogue, loading
from pipelines.serving.errors import InputError
from tests.pipelines.tiny_sounds import build_audiogen, build_bark, build_musicgen

needs_audiocraft = pytest.mark.skipif(
    find_spec("audiocraft") is None, reason="make setup installs it; a Space goes without"
)


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
        catalogue._added.cache_clear()
        yield folder
    for name, *_ in rows:
        loading.unload(name)
    catalogue._added.cache_clear()


MUSIC = AudioRequest("a slow, sad piano", seed=3, seconds=2.0, model="tiny-musicgen")


def test_musicgen_is_the_librarys_although_its_codec_looks_ahead(hub: Path) -> None:
    made = run(MUSIC)
    loaded = audio_model("tiny-musicgen")
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
    loaded = audio_model("tiny-musicgen")
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
    whole = audio_model("tiny-audiogen").whole
    whole.set_generation_params(use_sampling=False, duration=0.6, cfg_coef=3.0)
    with torch.inference_mode():
        sound, codes = whole.generate(["a dog barks"], return_tokens=True)
    assert np.array_equal(made.codes, codes[0].numpy())
    np.testing.assert_allclose(made.samples, sound[0, 0].numpy(), atol=1e-5)
    assert look_inside(made) is None
    clip = encode_clip(np.sin(np.arange(4800) * 0.1).astype(np.float32), "tiny-audiogen")
    assert run(request, clip).given == 15
    assert len(audio.hear(made.codes[:1], "tiny-audiogen")) == len(made.samples)


@needs_audiocraft
def test_audiogen_is_called_within_its_own_autocast(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU it holds its transformer alone in half precision: outside of it the types do not fit."""
    whole = audio_model("tiny-audiogen").whole
    depth, called = [0], []

    class Autocast:
        def __enter__(self) -> None:
            depth[0] += 1

        def __exit__(self, *_: object) -> None:
            depth[0] -= 1

    monkeypatch.setattr(whole, "autocast", Autocast())
    parts = whole.lm, whole.lm.condition_provider
    hooks = [
        part.register_forward_pre_hook(lambda part, _: called.append((type(part).__name__, depth[0])))
        for part in parts
    ]
    try:
        run(AudioRequest("a dog barks", seconds=0.2, model="tiny-audiogen"))
    finally:
        for hook in hooks:
            hook.remove()
    assert {name for name, _ in called} == {type(part).__name__ for part in parts}
    assert {inside for _, inside in called} == {1} and depth == [0]


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
    voice = bark_voice("tiny-bark")
    np.testing.assert_allclose(made.samples, bark_by_the_library(voice, greedy), atol=1e-5)
    assert (made.sample_rate, made.frame_rate) == (24_000, 75)
    np.testing.assert_allclose(audio.hear(made.codes, "tiny-bark"), made.samples, atol=1e-5)


def test_bark_is_downloaded_beside_other_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not while it is built, which keeps all others from being built."""
    others_can = []

    def download(source: str) -> None:
        with ThreadPoolExecutor(1) as other:
            others_can.append(other.submit(loading._building.acquire, blocking=False).result())
            if others_can[-1]:
                other.submit(loading._building.release).result()

    monkeypatch.setattr(bark, "snapshot_download", download)
    monkeypatch.setattr(bark, "load_bark", lambda e, device: torch.nn.Linear(1, 1))
    try:
        bark_voice("bark-small")
    finally:
        loading.unload("bark-small")
    assert others_can == [True]


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
