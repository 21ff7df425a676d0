"""The stations show what their own tabs compute."""

import numpy as np
import pytest

from pipelines import journey
from pipelines.clip.embeddings import embed
from pipelines.clip.model import clip_scores
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


def test_the_score_is_clips_of_picture_and_prompt():
    trace = image.run(ImageRequest(PROMPT, num_inference_steps=2, model="classroom-image"))
    expected = clip_scores([trace.image], [PROMPT], "classroom-clip")[0, 0]
    assert journey.score(trace) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("prompt", ["", "   "])
def test_an_empty_prompt_is_refused(prompt):
    with pytest.raises(InputError, match="embedding_empty"):
        journey.read(prompt, "classroom-clip", "classroom-image")
