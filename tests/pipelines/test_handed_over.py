"""What a model is handed of a text, against the library's own encoders."""

from typing import Any

import numpy as np
import pytest
import torch

from pipelines.image.handed_over import HandedOver, handed_over, segments_of
from pipelines.image.load import image_pipeline, tokenizers_of
from pipelines.serving import loading
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.errors import InputError
from pipelines.text.tokens import token_view

PROMPT = "a small cat"
pytestmark = pytest.mark.usefixtures("transformers_of_today")


def written(found: HandedOver, index: int) -> np.ndarray:
    """The part of the sequence that a band wrote."""
    band = found.bands[index]
    return found.sequence[slice(*band.places), slice(*band.columns)]


@on_compute_thread
@torch.inference_mode()
def hidden(encoder: Any, tokenizer: Any, text: str, places: int) -> tuple[np.ndarray, ...]:
    """All hidden layers of an encoder, `[place, width]` each."""
    ids = tokenizer(text, padding="max_length", max_length=places, truncation=True, return_tensors="pt")
    out = encoder(ids.input_ids, attention_mask=ids.attention_mask, output_hidden_states=True)
    return tuple(layer[0].numpy() for layer in out.hidden_states)


def test_sd3_gets_two_clip_towers_side_by_side_and_then_t5() -> None:
    found, pipe = handed_over(PROMPT, "tiny-sd3"), image_pipeline("tiny-sd3")
    assert found.sequence.shape == (77 + 256, 64) and found.seen.all()
    first, second, third = (written(found, i) for i in range(3))
    with torch.inference_mode():
        ids = pipe.tokenizer(PROMPT, padding="max_length", max_length=77, return_tensors="pt").input_ids
        towers = [e(ids, output_hidden_states=True) for e in (pipe.text_encoder, pipe.text_encoder_2)]
        t5 = pipe.tokenizer_3(PROMPT, padding="max_length", max_length=256, return_tensors="pt").input_ids
        np.testing.assert_allclose(third, pipe.text_encoder_3(t5)[0][0].numpy(), atol=1e-5)
    for part, tower in zip((first, second), towers, strict=True):
        np.testing.assert_allclose(part, tower.hidden_states[-2][0].numpy(), atol=1e-5)
    pooled = torch.cat([tower.text_embeds[0] for tower in towers]).numpy()
    np.testing.assert_allclose(found.pooled, pooled, atol=1e-5)
    assert [row.kind for row in found.rows[:6]] == ["mark", "word", "word", "word", "mark", "padding"]
    assert len(found.rows) == len(found.sequence) and found.rows[77].tokenizer == "tokenizer_3"


def test_klein_gets_three_layers_of_a_language_model_that_was_told_the_prompt() -> None:
    found, pipe = handed_over(PROMPT, "tiny-klein"), image_pipeline("tiny-klein")
    assert [band.layer for band in found.bands] == [9, 18, 27] and found.pooled is None
    chat = pipe.tokenizer.apply_chat_template(
        [{"role": "user", "content": PROMPT}], tokenize=False, add_generation_prompt=True
    )
    layers = hidden(pipe.text_encoder, pipe.tokenizer, chat, 512)
    for index, band in enumerate(found.bands):
        np.testing.assert_allclose(written(found, index), layers[band.layer], atol=1e-4)
    assert {row.kind for row in found.rows} == {"mark", "template", "word", "padding"}


@pytest.mark.parametrize(("model", "places"), [("tiny-sana", 300), ("tiny-sprint", 300), ("tiny-prx", 64)])
def test_padding_is_not_looked_at_where_the_model_masks_it(model: str, places: int) -> None:
    found = handed_over(PROMPT, model)
    assert found.sequence.shape == (places, 16) and found.bands[0].layer == -1
    assert [row.kind != "padding" for row in found.rows] == found.seen.tolist()
    assert "".join(row.text for row in found.rows if row.kind == "word") == "asmallcat"
    np.testing.assert_allclose(found.lengths, np.sqrt((found.sequence**2).sum(1)), rtol=1e-5)


def test_a_u_net_gets_the_last_layer_of_clip() -> None:
    found = handed_over(PROMPT, "classroom-image")
    assert found.sequence.shape[0] == 77 == len(found.rows) and found.seen.all() and found.pooled is None
    assert [(band.encoder, band.layer) for band in found.bands] == [("text_encoder", -1)]
    assert found.bands[0].columns == (0, found.sequence.shape[1])


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(InputError, match="prompt_empty"):
        handed_over(" ", "tiny-sd3")


@pytest.mark.parametrize("model", ["tiny-sd3", "tiny-klein", "tiny-sana", "tiny-sprint", "tiny-prx"])
def test_texts_are_split_without_any_weights_as_the_model_reads_them(model: str) -> None:
    loading.unload(model)
    segments = segments_of(PROMPT, model)
    assert not loading.is_loaded(model) and loading.is_loaded(f"{model}+tokenizers")
    assert loading.weight_bytes(tokenizers_of(model)) == 0
    rows = [row for segment in segments for row in segment.tokens]
    assert rows == [row for row in handed_over(PROMPT, model).rows if row.kind != "padding"]


def test_each_encoder_cuts_a_long_text_where_it_ends() -> None:
    clip, t5 = segments_of("cat " * 100, "tiny-sd3")
    assert clip.cut == 102 - 77 and len(clip.tokens) == 77 and clip.tokens[-1].kind == "mark"
    assert t5.cut == len(image_pipeline("tiny-sd3").tokenizer_3("cat " * 100).input_ids) - 256
    (chat,) = segments_of("x" * 600, "tiny-klein")
    assert chat.cut > 88 and len(chat.tokens) == 512
    with pytest.raises(InputError, match="prompt_too_long"):
        segments_of("x" * 2001, "tiny-sd3")


def test_a_tokenizer_without_a_limit_is_read_to_its_end() -> None:
    """As that of a model which somebody adds without saying how much it reads."""
    view = token_view("a small cat " * 200, "tiny-klein")
    assert view.cut == 0 and view.places == 0
    assert view.needed == len(view.ids) > 600
