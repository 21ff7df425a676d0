"""Sound, step by step: the same as the library's own call, and what each step says of itself."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.audio.audio import (
    audio_model,
    classifier_free_guidance,
    encode_clip,
    finish,
    generate,
    hear,
    run,
)
from pipelines.audio.request import AudioFrame, AudioRequest
from pipelines.serving import catalogue
from pipelines.serving.catalogue import backends_of
from pipelines.serving.errors import InputError

SHORT = AudioRequest("a slow, sad piano melody", seed=3, seconds=0.8, model="classroom-audio")
FRAMES, BOOKS, CODES = 40, 4, 256


@pytest.fixture(scope="module")
def frames() -> list[AudioFrame]:
    return list(generate(SHORT))


def library_sound(request: AudioRequest) -> np.ndarray:
    """What the unchanged `MusicgenForConditionalGeneration.generate` makes of a request, `[sample]`."""
    loaded = audio_model("classroom-audio")
    words = loaded.tokenizer([request.prompt], return_tensors="pt")
    how = {"do_sample": False, "top_k": None, "temperature": None}
    if request.temperature:
        how = {"do_sample": True, "top_k": request.top_k, "temperature": request.temperature}
    torch.manual_seed(request.seed)
    with torch.inference_mode():
        made = loaded.model.generate(
            **words,
            guidance_scale=request.guidance_scale,
            max_new_tokens=round(request.seconds * loaded.frame_rate) + BOOKS - 1,
            **how,
        )
    return made[0, 0].numpy()


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0, "guidance_scale": 1},
        {"temperature": 0, "guidance_scale": 3},
        {"temperature": 1, "guidance_scale": 1, "top_k": 0},
        {"temperature": 1, "guidance_scale": 3, "top_k": 64},
        {"temperature": 0.7, "guidance_scale": 5, "top_k": 10},
        {"seed": 4, "prompt": "A cat. Cozy atmosphere. Dimm lighting."},
    ],
    ids=str,
)
def test_the_sound_is_the_librarys(changes: dict) -> None:
    request = replace(SHORT, **changes)
    np.testing.assert_allclose(run(request).samples, library_sound(request), atol=1e-5)


def test_there_is_a_step_for_each_frame_and_for_the_delay(frames: list[AudioFrame]) -> None:
    assert len(frames) == frames[0].total == FRAMES + BOOKS - 1
    assert [f.index for f in frames] == list(range(len(frames)))


def test_each_codebook_is_one_step_behind_the_one_before(frames: list[AudioFrame]) -> None:
    codes = frames[-1].codes
    assert codes.shape == (BOOKS, FRAMES)
    for frame in frames:
        for book in range(BOOKS):
            place = frame.index - book
            expected = codes[book, place] if 0 <= place < FRAMES else -1
            assert frame.chosen[book] == expected
        complete = frame.index - BOOKS + 2
        assert np.array_equal(frame.codes, codes[:, : max(0, complete)])


def test_probabilities_are_probabilities_of_those_that_take_part(frames: list[AudioFrame]) -> None:
    for frame in frames:
        idle = frame.chosen < 0
        for p in (frame.prompt, frame.empty, frame.guided, frame.drawn_from):
            assert p.shape == (BOOKS, CODES)
            assert np.isnan(p[idle]).all()
            np.testing.assert_allclose(p[~idle].sum(1), 1, atol=1e-5)
        chosen = frame.drawn_from[np.flatnonzero(~idle), frame.chosen[~idle]]
        assert (chosen > 0).all(), "what is drawn was possible"
        assert ((frame.drawn_from[~idle] > 0).sum(1) <= SHORT.top_k).all()


def test_guidance_is_the_difference_that_the_prompt_makes(frames: list[AudioFrame]) -> None:
    frame = frames[10]
    logits = np.log(frame.empty) + SHORT.guidance_scale * (np.log(frame.prompt) - np.log(frame.empty))
    expected = np.exp(logits - logits.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(frame.guided, expected, atol=1e-4)
    prompt, empty = torch.randn(2, 4, 8)
    assert torch.equal(classifier_free_guidance(prompt, empty, 1), prompt)
    torch.testing.assert_close(classifier_free_guidance(prompt, empty, 0), empty)


def test_the_first_step_differs_with_and_without_the_prompt(frames: list[AudioFrame]) -> None:
    assert np.abs(frames[0].prompt[0] - frames[0].empty[0]).max() > 1e-4


def test_sound_heard_early_is_the_sound_heard_at_the_end(frames: list[AudioFrame]) -> None:
    chunks = [(f.index, f.sound) for f in frames if len(f.sound)]
    assert len(chunks) == 2, "every half second and at the end"
    whole = np.concatenate([sound for _, sound in chunks])
    assert whole.dtype == np.float32
    loaded = audio_model("classroom-audio")
    at_once = loaded.decode(torch.from_numpy(frames[-1].codes)).numpy()
    np.testing.assert_allclose(whole, at_once, atol=1e-5)
    assert len(whole) == FRAMES / loaded.frame_rate * loaded.sample_rate


def test_the_seed_decides_the_sound() -> None:
    one, same, other = (run(replace(SHORT, seed=s)).codes for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert (one != other).mean() > 0.1


def test_without_guidance_the_prompt_changes_nothing() -> None:
    one, other = (
        run(replace(SHORT, guidance_scale=0, prompt=p, seconds=0.4)).codes for p in ("a cat", "fast drums")
    )
    assert np.array_equal(one, other)


def test_a_run_can_be_left_and_others_go_on() -> None:
    left = generate(SHORT)
    next(left)
    beside: Iterator[AudioFrame] = generate(replace(SHORT, seed=9))
    first = [next(beside) for _ in range(5)]
    left.close()
    rest = list(beside)
    assert np.array_equal(rest[-1].codes, run(replace(SHORT, seed=9)).codes)
    assert first[-1].index == 4


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"prompt": " "}, "prompt_empty"),
        ({"prompt": "a" * 2001}, "prompt_too_long"),
        ({"prompt": "\ud800"}, "text_broken"),
        ({"seed": -1}, "seed_range"),
        ({"seed": 1.5}, "seed_range"),
        ({"guidance_scale": 11}, "guidance_scale_range"),
        ({"guidance_scale": float("nan")}, "guidance_scale_range"),
        ({"temperature": -0.1}, "sampling_temperature_range"),
        ({"temperature": True}, "sampling_temperature_range"),
        ({"top_k": 0.5}, "top_k_range"),
        ({"seconds": 0}, "seconds_range"),
        ({"seconds": 60}, "seconds_range"),
        ({"model": "classroom-clip"}, "model_unknown"),
        ({"model": "bark-small"}, "audio_kind_closed"),
        ({"backend": "jax"}, "backend_unknown"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_named_before_the_first_step(changes: dict, key: str) -> None:
    with pytest.raises(InputError, match=key):
        generate(replace(SHORT, **changes))


def test_without_audiocraft_its_name_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "find_spec", lambda name: None)
    assert backends_of(catalogue.entry("classroom-audio")) == ("transformers",)
    for changes in ({"backend": "audiocraft"}, {"model": "audiogen-medium"}):
        with pytest.raises(InputError, match="audiocraft_missing"):
            generate(replace(SHORT, **changes))


def test_whole_numbers_may_come_as_floats_and_the_rest_is_filled_in() -> None:
    checked = replace(SHORT, seed=3.0, model="").validated()
    assert checked.seed == 3 and isinstance(checked.seed, int)
    assert checked.backend == "transformers"
    assert catalogue.entry(checked.model).role == "audio"


def test_the_catalogue_knows_the_weights_number() -> None:
    loaded = audio_model("classroom-audio")
    counted = sum(p.numel() for p in loaded.model.parameters())
    assert catalogue.entry("classroom-audio").parameters == counted


def clip(seconds: float = 0.5) -> np.ndarray:
    return (0.3 * np.sin(np.arange(round(seconds * 16_000)) * 0.2)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0, 1])
def test_a_clip_is_gone_on_from_as_the_library_does(temperature: float) -> None:
    request = replace(SHORT, temperature=temperature, seconds=0.6)
    given = encode_clip(clip(), request.model)
    assert given.shape == (BOOKS, 25)
    made = run(request, given)
    assert made.given == 25 and made.codes.shape == (BOOKS, 55)
    assert np.array_equal(made.codes[:, :25], given)
    loaded = audio_model(request.model)
    words = loaded.tokenizer([request.prompt], return_tensors="pt")
    how = {"do_sample": True, "top_k": 64} if temperature else {"do_sample": False, "top_k": None}
    torch.manual_seed(request.seed)
    with torch.inference_mode():
        theirs = loaded.model.generate(
            **words, input_values=torch.from_numpy(clip())[None, None], guidance_scale=3.0,
            max_new_tokens=30 + BOOKS - 1, temperature=temperature or None, **how,
        )  # fmt: skip
    np.testing.assert_allclose(made.samples, theirs[0, 0].numpy(), atol=1e-5)


def test_going_on_from_ones_own_beginning_gives_the_same_end() -> None:
    """Greedily, since otherwise other random numbers are used up."""
    request = replace(SHORT, temperature=0)
    whole = run(request)
    rest = run(replace(request, seconds=0.4), whole.codes[:, :20])
    assert np.array_equal(rest.codes, whole.codes)
    steps = list(generate(replace(request, seconds=0.4), whole.codes[:, :20]))
    assert steps[0].index == 20 and steps[0].chosen.tolist()[1:] == [-1, -1, -1]
    assert steps[0].total == FRAMES + BOOKS - 1 and len(steps) == 20 + BOOKS - 1


@pytest.mark.parametrize(
    "codes", [np.zeros((3, 5), int), np.zeros(5, int), np.full((4, 5), 256), np.full((4, 5), -1)], ids=str
)
def test_codes_of_another_codec_are_refused(codes: np.ndarray) -> None:
    with pytest.raises(InputError, match="clip_codes_foreign"):
        generate(SHORT, codes)


def test_the_first_codebooks_alone_are_the_codecs_sum_cut_short(frames: list[AudioFrame]) -> None:
    codes, codec = frames[-1].codes, audio_model(SHORT.model).model.audio_encoder
    for count in range(1, BOOKS + 1):
        with torch.inference_mode():
            hidden = sum(
                layer.codebook.embed[torch.from_numpy(codes[k])]
                for k, layer in enumerate(codec.quantizer.layers[:count])
            )
            expected = codec.decoder(hidden.T[None])[0, 0].numpy()
        np.testing.assert_allclose(hear(codes[:count], SHORT.model), expected, atol=1e-5)
    assert hear(codes[:, :0], SHORT.model).shape == (0,)


def test_a_stopped_run_leaves_what_was_made(frames: list[AudioFrame]) -> None:
    sound = finish(SHORT.validated(), frames[:20])
    assert sound.codes.shape == (BOOKS, 17)
    np.testing.assert_allclose(sound.samples, hear(frames[-1].codes[:, :17], SHORT.model), atol=1e-6)
    whole = finish(SHORT.validated(), frames)
    np.testing.assert_allclose(sound.samples, whole.samples[: len(sound.samples)], atol=1e-5)


def test_a_clip_longer_than_a_frame_is_cut_to_frames() -> None:
    assert encode_clip(np.r_[clip(), np.zeros(319, np.float32)], SHORT.model).shape == (BOOKS, 25)
    assert encode_clip(clip()[:100], SHORT.model).shape == (BOOKS, 0)
