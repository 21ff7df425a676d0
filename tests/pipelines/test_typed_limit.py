"""Only what was typed counts against the longest prompt, not the words that the app puts into it."""

import pytest
from PIL import Image

from components.journey.video_row import video_request
from components.video.pair import other_request
from pipelines.clip.clip_matrix import classify
from pipelines.clip.embeddings import counterpart, embed
from pipelines.image.image import draw_together
from pipelines.image.prompt_lab import left_out_batch, seeds_batch, variants_batch
from pipelines.image.prompt_words import DIMENSIONS, with_value
from pipelines.image.request import ImageRequest
from pipelines.serving.checks import MAX_CHARACTERS
from pipelines.serving.errors import InputError
from pipelines.video.request import VideoRequest

CLIP = "classroom-clip"


def longest(start: str) -> str:
    """A prompt as long as one may be."""
    return start + "x" * (MAX_CHARACTERS - len(start))


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_variants_of_the_longest_prompt_are_drawn(dimension: str) -> None:
    batch = variants_batch(ImageRequest(longest("a cat "), num_inference_steps=1), dimension)
    assert max(len(request.prompt) for request in batch.requests) > MAX_CHARACTERS
    assert all(request.validated() == request for request in batch.requests)


def test_the_engine_draws_a_prompt_that_the_app_has_lengthened() -> None:
    batch = variants_batch(ImageRequest(longest("a cat "), num_inference_steps=1), "atmosphere")
    (steps,) = draw_together(batch.requests[-1:])
    assert steps.index == 0


def test_the_other_texts_made_of_the_longest_prompt_are_taken() -> None:
    prompt = longest("A cat an apple ")
    request = ImageRequest(prompt, num_inference_steps=1)
    assert len(left_out_batch(request).requests) > 2
    assert seeds_batch(request, with_value(prompt, "atmosphere", "cozy"), seeds=1).requests
    assert len(video_request(prompt, 0).prompt) > MAX_CHARACTERS
    assert len(other_request(VideoRequest(prompt), "word", "walks right", "", 1).prompt) > MAX_CHARACTERS


def test_a_label_of_the_greatest_length_fits_the_template() -> None:
    picture = Image.new("RGB", (64, 64))
    found = classify([picture], [longest("cat")], "a photo of a {label}", CLIP)
    assert len(found.texts[0]) > MAX_CHARACTERS


@pytest.mark.parametrize("start", ["a red cat ", "something "])
def test_the_example_beside_the_longest_prompt_is_read(start: str) -> None:
    prompt = longest(start)
    first, second = embed([prompt, counterpart(prompt)], CLIP)
    assert first.prompt != second.prompt


def test_what_was_typed_still_counts() -> None:
    received = []
    for typed in (ImageRequest, VideoRequest):
        request = typed("a cat").varied(longest("a cat") + "yy")
        assert request.added == MAX_CHARACTERS + 2 - len("a cat")
        with pytest.raises(InputError) as refused:
            typed(longest("a cat") + "y").validated()
        received.append(refused.value.values["received"])
    assert received == [MAX_CHARACTERS + 1] * 2
    with pytest.raises(InputError, match="prompt_too_long"):
        classify([Image.new("RGB", (64, 64))], ["cat"], longest("a {label}") + "y", CLIP)
    assert "added" not in ImageRequest("a cat").parameters()
