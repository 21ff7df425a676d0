"""What the control vector tab shows of a transformer: which encoder and layer wrote what, as measured."""

import base64
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from components.control_vector.own_view import (
    MAX_COLUMNS,
    band_lengths,
    encoder_name,
    layer_name,
    own_table,
    own_view,
)
from components.control_vector.tab import _follow, control_vector, steer
from components.ui.language import load_texts
from components.ui.numbers import short
from pipelines.image.handed_over import HandedOver, handed_over
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError

T, DE = load_texts("en"), load_texts("de")
PROMPT = "a small cat"
MODELS = ("tiny-sd3", "tiny-klein", "tiny-sana", "tiny-sprint", "tiny-prx")
pytestmark = pytest.mark.usefixtures("transformers_of_today")


def boxes(page: str) -> list[list[float]]:
    """Left, top, width and height of each band, as shares."""
    found = re.findall(r'style="left:([\d.]+)%;top:([\d.]+)%;width:([\d.]+)%;height:([\d.]+)%"', page)
    return [[float(number) / 100 for number in box] for box in found]


def cells(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr>\s*<th scope=\"row\">(.*?)</tr>", page, re.DOTALL)
    return [[html.unescape(cell) for cell in re.findall(r">([^<>]+)</t[hd]>", f">{row}")] for row in rows]


@pytest.fixture(scope="module")
def found(transformers_of_today: None) -> dict[str, HandedOver]:
    return {model: handed_over(PROMPT, model) for model in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_every_band_is_drawn_where_it_lies_in_the_sequence(model: str, found) -> None:
    own = found[model]
    total, width = own.sequence.shape
    page = own_view(own, False, T)
    for band, box in zip(own.bands, boxes(page), strict=True):
        (top, bottom), (left, right) = band.places, band.columns
        asked = [left / width, top / total, (right - left) / width, (bottom - top) / total]
        assert box == pytest.approx(asked, abs=1e-5)
    assert f"{total} positions × {width} numbers" in page


@pytest.mark.parametrize("model", ["tiny-sd3", "tiny-prx"])
def test_heat_shows_the_numbers_of_each_band(model: str, found) -> None:
    own = found[model]
    pictures = re.findall(r"background-image:url\(data:image/png;base64,([^)]*)\)", own_view(own, False, T))
    for band, data in zip(own.bands, pictures, strict=True):
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), int)
        numbers = own.sequence[slice(*band.places), slice(*band.columns)]
        assert picture.shape[:2] == numbers.shape and numbers.shape[1] <= MAX_COLUMNS
        large = np.abs(numbers) > np.median(np.abs(numbers))
        warmer = picture[..., 0] > picture[..., 2]  # orange above zero, blue below
        assert (warmer == (numbers > 0))[large].all()


def test_where_no_encoder_wrote_there_are_zeros_and_nothing_is_drawn(found) -> None:
    own = found["tiny-sd3"]
    covered = np.zeros(own.sequence.shape, bool)
    for left, top, width, height in boxes(own_view(own, False, T)):
        rows, columns = covered.shape
        at = slice(round(top * rows), round((top + height) * rows))
        covered[at, round(left * columns) : round((left + width) * columns)] = True
    assert not own.sequence[~covered].any() and own.sequence[covered].any()
    own = found["tiny-klein"]
    assert [box[2] for box in boxes(own_view(own, False, T))] == pytest.approx([1 / 3] * 3, abs=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_the_table_says_what_was_measured(model: str, found) -> None:
    own = found[model]
    for band, row in zip(own.bands, cells(own_view(own, False, T)), strict=True):
        part = own.sequence[slice(*band.places), slice(*band.columns)].astype(float)
        lengths = np.sqrt((part**2).sum(1))
        padding = [row.kind == "padding" for row in own.rows[slice(*band.places)]]
        tokens = lengths[~np.array(padding)].mean()
        assert row[1] == layer_name(band.layer, T)
        assert row[2] == f"{band.places[0] + 1} to {band.places[1]}"
        assert row[4] == short(tokens, T) and row[5] == short(lengths[padding].mean(), T)
        assert band_lengths(own, band)[0] == pytest.approx(tokens, rel=1e-5)


def test_encoders_have_the_names_of_the_catalogue() -> None:
    e = catalogue.entry("stable-diffusion-3.5-medium")
    parts = ("text_encoder", "text_encoder_2", "text_encoder_3")
    assert [encoder_name(p, e, T) for p in parts] == ["CLIP ViT-L", "CLIP ViT-G", "T5 XXL"]
    assert encoder_name("text_encoder_2", catalogue.entry("flux-2-klein-4b"), DE) == "Encoder 2"


def test_layers_are_told_apart() -> None:
    assert len({layer_name(layer, DE) for layer in (-1, -2, 9, 18, 27)}) == 5
    assert layer_name(9, T) == "hidden layer 9"


@pytest.mark.parametrize("model", MODELS)
def test_it_is_said_who_typed_what_and_whether_padding_is_read(model: str, found) -> None:
    own, page = found[model], html.unescape(own_view(found[model], False, T))
    kinds = [row.kind for row in own.rows]
    assert f"own tokens: {kinds.count('word')}." in page
    assert (f"around it: {kinds.count('template')}," in page) == ("template" in kinds)
    masked = T("control_vector.own.padding_masked", count=kinds.count("padding")) in page
    assert masked == (not own.seen.all())
    assert f"its length is {short(float(own.lengths[own.seen].max()), T)};" in page


def test_the_pooled_vector_stands_beside_it_where_there_is_one(found) -> None:
    assert f"{len(found['tiny-sd3'].pooled)} numbers that stand" in own_view(found["tiny-sd3"], False, T)
    page = own_view(found["tiny-prx"], False, T)
    assert T("control_vector.own.pooled_none") in page and "cv-pooled" not in page


def test_the_row_of_the_models_kind_says_its_numbers(found) -> None:
    rows = {model: re.findall(r'aria-current="true">\s*<th[^>]*>([^<]*)<', own_table(own, T))
            for model, own in found.items()}  # fmt: skip
    assert rows["tiny-sd3"] == [T("control_vector.table.joint")]
    assert rows["tiny-klein"] == [T("control_vector.table.language_model")]
    assert rows["tiny-prx"] == rows["tiny-sana"] == []


def test_the_tab_follows_a_transformer_and_says_what_cannot_be_weighed() -> None:
    page, table, pair, picker, _ = _follow(T)(PROMPT, "a dog", "tiny-sd3", "difference", None)
    assert "cv-own" in page and T("control_vector.own.no_difference") in page and "cv-chosen" in table
    assert "a dog" in pair and T("errors.token_weights_closed", title="tiny-sd3") in html.unescape(picker)
    *_, same, _, _ = _follow(T)(PROMPT, PROMPT, "tiny-klein", "numbers", None)
    assert T("errors.prompts_equal") in html.unescape(same)


def test_a_model_that_is_not_on_disk_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusers.DiffusionPipeline.load_config", lambda *_, **__: pytest.fail("fetched"))
    said, *others = _follow(DE)(PROMPT, "", "flux-2-klein-4b", "numbers", None)
    expected = DE("errors.model_not_on_disk", title="FLUX.2 klein 4B", download_gb=16.0)
    assert expected in html.unescape(said) and "alert" not in said
    assert all("value" not in other for other in others)


def test_levers_that_a_model_lacks_are_refused_in_their_sentence() -> None:
    for lever, change in (
        ("token_weights", {"token_weights": [[2, 0.5]]}),
        ("pooled_only", {"pooled_only": True}),
    ):
        with pytest.raises(InputError, match=f"{lever}_closed"):
            steer(PROMPT, "", 0.0, num_inference_steps=1, model="tiny-sd3", **change)


def test_a_program_gets_the_bands_and_no_millions_of_numbers() -> None:
    own = control_vector(PROMPT, "tiny-klein")
    assert [band["layer"] for band in own["bands"]] == [9, 18, 27] and "sequence" not in own
    assert len(own["tokens"]) == len(own["kinds"]) == len(own["lengths"]) == own["sequence_shape"][0]
