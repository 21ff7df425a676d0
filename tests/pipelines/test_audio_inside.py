"""What a run tells of itself: likely codes, and the words that were looked at."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.audio.audio import audio_model, delayed, finish, generate
from pipelines.audio.inside import MAX_WORDS, SHOWN, guess_of, look_inside
from pipelines.audio.request import AudioFrame, AudioRequest, Sound

REQUEST = AudioRequest("A small cat, sad.", seed=2, seconds=0.6, model="classroom-audio").validated()


@pytest.fixture(scope="module")
def frames() -> list[AudioFrame]:
    return list(generate(REQUEST))


@pytest.fixture(scope="module")
def sound(frames: list[AudioFrame]) -> Sound:
    return finish(REQUEST, frames)


def test_the_likeliest_codes_are_kept_and_the_drawn_one_always(frames: list[AudioFrame]) -> None:
    unlikely = 0
    for frame in frames:
        guess = guess_of(frame)
        assert guess.codes.shape == (4, SHOWN) and guess.shares.shape == (3, 4, SHOWN)
        for book in range(4):
            if frame.chosen[book] < 0:
                assert (guess.codes[book] == -1).all() and not guess.shares[:, book].any()
                continue
            codes = guess.codes[book]
            assert frame.chosen[book] in codes and len(set(codes)) == SHOWN
            best = np.sort(frame.guided[book])[::-1][: SHOWN - 1]
            np.testing.assert_allclose(guess.shares[2, book, :-1], best)
            unlikely += frame.chosen[book] not in np.argsort(-frame.guided[book])[:SHOWN]
            for branch, of in enumerate((frame.prompt, frame.empty, frame.guided)):
                np.testing.assert_allclose(guess.shares[branch, book], of[book, codes])
    assert unlikely, "the seed never drew an unlikely code: the test tests nothing"


def slow_looks(sound: Sound) -> np.ndarray:
    """`[step, token]` by the decoder with its memory, one step at a time, as the run itself went."""
    loaded = audio_model(sound.request.model)
    run = loaded.begin(sound.request.prompt)
    decoder, codes = loaded.model.decoder, torch.from_numpy(sound.codes)
    before = decoder.config._attn_implementation
    decoder.set_attn_implementation("eager")
    rows = []
    try:
        for step in range(codes.shape[1]):
            column = [codes[k, step - 1 - k] if step > k else torch.tensor(loaded.pad) for k in range(4)]
            with torch.inference_mode():
                out = decoder(
                    input_ids=torch.stack(column)[:, None], encoder_hidden_states=run.states[:1],
                    encoder_attention_mask=run.mask[:1], past_key_values=run.cache, use_cache=True,
                    output_attentions=True,
                )  # fmt: skip
            rows.append(torch.stack([a[0, :, 0] for a in out.cross_attentions]).mean((0, 1)))
    finally:
        decoder.set_attn_implementation(before)
    return torch.stack(rows).numpy()


def test_the_words_looked_at_are_those_of_the_run_step_by_step(sound: Sound) -> None:
    found = look_inside(sound)
    assert found is not None
    assert found.words == ("A", "small", "cat", ",", "sad", ".", "")
    loaded = audio_model(REQUEST.model)
    pieces = loaded.tokenizer.convert_ids_to_tokens(loaded.tokenizer(REQUEST.prompt).input_ids)
    tokens = slow_looks(sound)
    assert found.looks.shape == (30, 7)
    np.testing.assert_allclose(found.looks.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(found.looks[:, 6], tokens[:, -1], atol=1e-5)
    cat = pieces.index("▁cat")
    np.testing.assert_allclose(found.looks[:, 2], tokens[:, cat], atol=1e-5)
    np.testing.assert_allclose(found.looks[:, :2].sum(1), tokens[:, :cat].sum(1), atol=1e-5)


def test_looking_leaves_no_trace(sound: Sound) -> None:
    decoder = audio_model(REQUEST.model).model.decoder
    before = decoder.config._attn_implementation
    look_inside(sound)
    assert decoder.config._attn_implementation == before
    again = list(generate(REQUEST))[-1]
    assert np.array_equal(again.codes, sound.codes)


@pytest.mark.parametrize("prompt", ["🙂", "word " * 30, "eine traurige Geige", "... , !", "a\n\nb"])
def test_every_prompt_has_its_words(prompt: str) -> None:
    request = replace(REQUEST, prompt=prompt, seconds=0.2)
    found = look_inside(finish(request, list(generate(request))))
    assert found is not None
    np.testing.assert_allclose(found.looks.sum(1), 1, atol=1e-5)
    assert len(found.words) <= MAX_WORDS + 2 and found.words[-1] == ""
    assert ("…" in found.words) == (prompt.count("word") > MAX_WORDS)
    assert all(share > 0 for word, share in zip(found.words, found.looks[0], strict=True) if word.isalpha())


def test_nothing_written_is_nothing_looked_at(sound: Sound) -> None:
    assert look_inside(replace(sound, codes=np.zeros((4, 0), int))) is None


def test_the_delay_by_hand() -> None:
    codes = torch.tensor([[1, 2, 3], [4, 5, 6]])
    assert delayed(codes, 9).tolist() == [[9, 1, 2, 3, 9], [9, 9, 4, 5, 6]]
    assert delayed(codes[None, :, :0], 9).tolist() == [[[9, 9], [9, 9]]]
