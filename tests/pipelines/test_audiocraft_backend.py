"""audiocraft and transformers, from the same weights: the same codes, for prompts one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.audio.audio import audio_model, audiocraft_twin, generate, run
from pipelines.audio.request import AudioRequest

pytest.importorskip("audiocraft", reason="make setup installs it; a Space goes without")


PROMPTS = (
    "a slow, sad piano melody",
    "happy guitar",
    "Fast violin, rising. Dramatic.",
    "a calm flute piece",
    "bass with drums",
    "drums",
    "a cat",
    "A small cat on a bed.",
    "A  cat in front of a House.",
    "A cat. Cozy atmosphere. Dimm lighting.",
    "A DOG BARKING, RAIN",
    "birdsong",
    "the sound of the sea",
    "howling wind, at night",
    "an engine and a happy fiddle tune",
    "a photo of a red car on the street, bright light",
    "falling, repeated, solo",
    "eine traurige Geige",
    "🙂",
    "a",
)
GREEDY = AudioRequest("", temperature=0, top_k=0, seconds=0.6, model="classroom-audio")


@pytest.mark.parametrize("scale", [1.0, 3.0], ids=["greedy", "guided"])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_both_libraries_choose_the_same_codes(prompt: str, scale: float) -> None:
    request = replace(GREEDY, prompt=prompt, guidance_scale=scale)
    ours, theirs = (run(replace(request, backend=b)).codes for b in ("transformers", "audiocraft"))
    assert np.array_equal(ours, theirs)


def test_the_loop_is_audiocrafts_own() -> None:
    """Codes of the unchanged `MusicGen.generate`, greedy and guided."""
    music_gen = audiocraft_twin("classroom-audio").whole
    music_gen.set_generation_params(use_sampling=False, duration=0.6, cfg_coef=3.0)
    for prompt in PROMPTS[:4]:
        with torch.inference_mode():
            sound, codes = music_gen.generate([prompt], return_tokens=True)
        made = run(replace(GREEDY, prompt=prompt, guidance_scale=3.0, backend="audiocraft"))
        assert np.array_equal(made.codes, codes[0].numpy())
        np.testing.assert_allclose(made.samples, sound[0, 0].numpy(), atol=1e-5)


def test_sampling_is_the_same_in_both_libraries() -> None:
    request = AudioRequest("a cat", seed=8, seconds=0.6, model="classroom-audio")
    ours, theirs = (run(replace(request, backend=b)) for b in ("transformers", "audiocraft"))
    assert np.array_equal(ours.codes, theirs.codes)


def test_two_visitors_do_not_hear_each_other() -> None:
    """audiocraft keeps what it remembers inside the model; runs that take turns must not share it."""
    requests = [
        replace(GREEDY, prompt=p, seconds=0.4, guidance_scale=3.0, backend="audiocraft") for p in PROMPTS[:2]
    ]
    alone = [run(r).codes for r in requests]
    assert not np.array_equal(*alone)
    taking_turns = list(zip(*(generate(r) for r in requests), strict=True))[-1]
    for codes, frame in zip(alone, taking_turns, strict=True):
        assert np.array_equal(codes, frame.codes)


def test_logits_agree_and_not_just_their_largest() -> None:
    loaded = audio_model("classroom-audio")
    ours, theirs = loaded.begin("a cat"), audiocraft_twin("classroom-audio").begin("a cat")
    codes = torch.full((4,), loaded.pad)
    for step in range(6):
        a, b = ours.step(codes[:, None]), theirs.step(codes[:, None])
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
        codes = torch.where(torch.arange(4) <= step, a[0].argmax(1), loaded.pad)
