"""The stations show what their own tabs compute."""

import numpy as np
import pytest

from pipelines import journey
from pipelines.clip.embeddings import embed
from pipelines.clip.model import clip_scores
from pipelines.clip.world_texts import map_texts
from pipelines.image import image
from pipelines.image.control_vector import control_vector
from pipelines.image.request import ImageRequest
from pipelines.serving.errors import InputError
from pipelines.text.context import read_contexts

pytestmark = pytest.mark.usefixtures("tiny_models")
PROMPT = "A red car in the snow."


@pytest.mark.parametrize(
    ("clip", "model"),
    [("classroom-clip", "classroom-image"), ("tiny-clip", "tiny-sd"), ("tiny-clip", "tiny-turbo")],
)
def test_a_reading_is_what_the_tabs_compute(clip, model):
    reading = journey.read(PROMPT, clip, model)
    (context,) = read_contexts([PROMPT], clip)
    assert np.array_equal(reading.context.attention, context.attention)
    assert np.array_equal(reading.vector.sequence, control_vector(PROMPT, model).sequence)
    assert [n.index for n in reading.neighbours] == [
        n.index for n in embed([PROMPT], clip, count=3)[0].phrases
    ]


def test_the_verdict_is_clips_on_picture_and_prompt_beside_other_texts():
    trace = image.run(ImageRequest(PROMPT, num_inference_steps=2, model="classroom-image"))
    scores = clip_scores([trace.image], [PROMPT, *(world.text for world in map_texts())], "classroom-clip")[0]
    verdict = journey.judge(trace)
    assert verdict.score == pytest.approx(scores[0], abs=1e-6)
    assert verdict.usual == pytest.approx(scores[1:].mean(), abs=1e-6)


@pytest.mark.parametrize("prompt", ["", "   "])
def test_without_a_word_all_is_read_but_no_text_is_near(prompt):
    reading = journey.read(prompt, "classroom-clip", "classroom-image")
    assert reading.neighbours == ()
    assert [piece.special for piece in reading.context.tokens] == ["start", "end"]
    assert np.array_equal(reading.vector.sequence, control_vector("", "classroom-image").sequence)


def test_what_no_tokenizer_reads_is_refused():
    with pytest.raises(InputError, match="text_broken"):
        journey.read("\ud800", "classroom-clip", "classroom-image")
