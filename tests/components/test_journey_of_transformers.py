"""The journey with a transformer, and what is refused of one before it is loaded."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from components.journey.tab import follow_prompt
from components.journey.view import reading_view, steering_view
from components.runs.frames import Frames
from components.ui.language import load_texts
from pipelines import journey
from pipelines.image import image
from pipelines.image.control_vector import (
    check_pair,
    control_vector,
    pooled_requests,
    strip_requests,
    weight_requests,
)
from pipelines.image.cross_attention_of_picture import picture_maps
from pipelines.image.handed_over import handed_over
from pipelines.image.joint_attention import word_maps
from pipelines.image.request import ImageRequest
from pipelines.image.steering import Steering
from pipelines.serving import catalogue, loading
from pipelines.serving.errors import InputError

pytestmark = pytest.mark.usefixtures("transformers_of_today")
LANGUAGES = [load_texts("en"), load_texts("de")]
PICTURE = Image.new("RGB", (64, 64), "red")
REQUEST = ImageRequest("a cat on a bed", guidance_scale=1, num_inference_steps=2, height=64, width=64)


@pytest.mark.parametrize("model", ["tiny-sd3", "tiny-klein", "tiny-prx"])
@pytest.mark.parametrize("t", LANGUAGES, ids=["en", "de"])
def test_its_stations_show_what_the_transformer_is_handed_and_where_it_looks(model: str, t) -> None:
    reading = journey.read(REQUEST.prompt, "classroom-clip", model)
    expected = handed_over(REQUEST.prompt, model).sequence
    assert np.array_equal(reading.vector.sequence, expected)
    places, width = expected.shape
    page = reading_view(reading, t)
    assert t("journey.say_vector_own", places=places, width=width) in page and "marked" not in page
    trace = image.run(replace(REQUEST, model=model, look_inside=True))
    shown = steering_view(trace.request, Frames.of(trace), trace, journey.Verdict(0.1, 0.0), t)
    assert t("journey.say_guidance_none") in shown
    assert t("journey.say_attention_none") not in shown
    rows = [row for row in word_maps(trace).rows if row.kind == "word"]
    assert rows[-1].text in shown


def test_a_program_follows_a_prompt_through_a_transformer() -> None:
    answer = follow_prompt("a cat", 0, 1.0, 2, "classroom-clip", "tiny-klein")
    assert answer["sequence"] == list(handed_over("a cat", "tiny-klein").sequence.shape)


def test_it_is_asked_with_a_word() -> None:
    with pytest.raises(InputError, match="prompt_empty"):
        journey.read(" ", "classroom-clip", "tiny-sd3")


def test_one_that_is_not_on_disk_is_not_fetched_for_it() -> None:
    with pytest.raises(InputError, match="model_not_on_disk"):
        journey.read("a cat", "classroom-clip", "flux-2-klein-4b")


CLOSED = {
    "token_weights_closed": lambda model: weight_requests(replace(REQUEST, model=model), [2]),
    "pooled_only_closed": lambda model: pooled_requests(replace(REQUEST, model=model)),
    "blocks_off_closed": lambda model: replace(
        REQUEST, model=model, steering=Steering(blocks_off=("mid_block",))
    ).validated(),
    "control_vector_closed": lambda model: control_vector("a cat", model),
    "picture_maps_closed": lambda model: picture_maps(PICTURE, "a cat", model),
}


@pytest.mark.parametrize("key", CLOSED)
@pytest.mark.parametrize("model", ["stable-diffusion-3.5-medium", "sana-sprint-0.6b"])
def test_what_a_transformer_cannot_do_is_refused_before_it_is_fetched(
    key: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = loading.load

    def load(e: catalogue.ModelEntry, *rest: object, **more: object) -> object:
        assert e.id != model, "fetched and loaded, only to be refused"
        return loaded(e, *rest, **more)

    for module in ("pipelines.image.load", "pipelines.clip.model"):
        monkeypatch.setattr(f"{module}.load", load)
    with pytest.raises(InputError, match=key):
        CLOSED[key](model)


def test_a_way_between_prompts_is_refused_where_places_are_masked_before_loading() -> None:
    with pytest.raises(InputError, match="blend_closed"):
        strip_requests(replace(REQUEST, model="prx-256"), "a dog")


def test_two_texts_are_alike_only_if_all_tokenizers_read_them_alike() -> None:
    """CLIP's reads both as lower case; T5's does not."""
    check_pair("a cat", "A CAT", "tiny-sd3")
    assert len(strip_requests(replace(REQUEST, model="tiny-sd3"), "A CAT ON A BED")) == 7
    with pytest.raises(InputError, match="prompts_equal"):
        check_pair("a cat", "a cat ", "tiny-sd3")
    with pytest.raises(InputError, match="prompts_equal"):
        check_pair("a cat", "A  CAT", "classroom-image")
