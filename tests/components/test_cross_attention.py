"""The cross-attention tab: heat maps in the page, the trial of hiding, pictures whose truth is known."""

import base64
import io
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
from markupsafe import escape
from PIL import Image

from components.cross_attention.hide_tokens import PRESETS, hidden_figure, hidden_pictures, hidden_run
from components.cross_attention.known_pictures import picture_page
from components.cross_attention.tab import cross_attention, look_run
from components.cross_attention.view import atlas, token_rows, trace_view
from components.runs.frames import Frames
from components.runs.slot import RunSlot
from components.ui.language import load_texts
from components.ui.templates import quote
from components.ui.token_text import block_name
from pipelines.image import cross_attention as pipeline
from pipelines.image import image
from pipelines.image.cross_attention_of_picture import KnownPicture, world_picture
from pipelines.image.image import steps_together
from pipelines.image.request import ImageRequest, Trace
from pipelines.serving.errors import InputError
from pipelines.text.pieces import first_word
from tests.oracles import data_of

T, DE = load_texts("en"), load_texts("de")


def request(**changes) -> ImageRequest:
    values = {"prompt": "A small <b>cat</b>", "num_inference_steps": 2, "model": "classroom-image"}
    return ImageRequest(**(values | changes)).validated()


@pytest.fixture(scope="module")
def trace() -> Trace:
    return image.run(replace(request(), look_inside=True))


def test_the_atlas_holds_every_map(trace):
    maps = pipeline.trace_maps(trace).finest
    source, peaks = atlas(maps.maps)
    tiles = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))), float) / 255
    steps, rows, height, width = maps.maps.shape
    assert tiles.shape == (rows * height, steps * width)
    for step in range(steps):
        for row in range(rows):
            tile = tiles[row * height : (row + 1) * height, step * width : (step + 1) * width]
            assert np.allclose(
                tile * peaks[row], maps.maps[step, row], atol=peaks[row] / 255 + 1e-4
            )  # peaks are rounded


@pytest.mark.parametrize("texts", [T, DE])
def test_the_view_holds_both_branches_and_escapes_the_prompt(trace, texts):
    both = [pipeline.trace_maps(trace, negative) for negative in (False, True)]
    page = trace_view(trace, Frames.of(trace), *both, texts)
    assert "<b>cat</b>" not in page
    data = data_of(page, "maps")
    assert set(data["branches"]) == {"prompt", "empty"}
    assert len(data["pictures"]) == len(data["labels"]) == 2
    names = [row["name"] for row in data["branches"]["prompt"]["rows"]]
    assert names[0] == texts("cross_attention.start")
    assert names[-2:] == [texts("cross_attention.end"), texts("cross_attention.padding")]
    assert "cat" in names
    assert [row["name"] for row in data["branches"]["empty"]["rows"]] == [names[0], *names[-2:]]
    assert data["layers"] == "16×16"
    assert page.count('name="layers"') == len(both[0].groups)


def test_it_begins_with_the_last_word(trace):
    pieces = pipeline.read_pieces("A small cat on a bed.", "classroom-image")
    assert pieces[first_word(pieces)].text == "bed"
    assert pieces[pipeline.first_thing(pieces)].text == "cat"
    emoji = pipeline.read_pieces("🐈", "classroom-image")
    assert emoji[first_word(emoji)].word >= 0
    assert pipeline.first_thing(emoji) == first_word(emoji)
    assert first_word(pipeline.read_pieces("", "classroom-image")) == 0
    rows = token_rows(pieces, T)
    assert rows[2]["colour"] != rows[3]["colour"]
    assert rows[1]["colour"] == rows[5]["colour"], "the same word keeps its colour"


def test_blocks_have_names_in_both_languages():
    assert block_name("down_blocks.1", T) == "down 2"
    assert block_name("mid_block", DE) == "Mitte"
    assert block_name("up_blocks.0", DE) == "aufwärts 1"


def test_a_run_shows_its_steps_and_leaves_a_trace_with_maps():
    slot = RunSlot()
    shown = list(look_run(request(), None, slot, T))
    assert 'data-state="running"' in shown[0][0]
    page, stop, trace, looks = shown[-1]
    assert looks["visible"] is False, "a U-Net's text looks at nothing"
    assert 'data-state="done"' in page
    assert stop["interactive"] is False
    assert pipeline.has_maps(trace)
    assert trace.image.tobytes() == image.run(request()).image.tobytes()


def test_a_run_that_fails_leaves_what_was_there(trace):
    slot = RunSlot()
    shown: list[tuple] = []

    def collect() -> None:
        for each in look_run(replace(request(), scheduler="none"), trace, slot, T):
            shown.append(each)

    with pytest.raises(InputError, match="scheduler_unknown"):
        collect()
    assert 'data-state="done"' in shown[-1][0]
    assert not slot.busy


def test_hiding_names_the_tokens_that_mislead():
    found = pipeline.HiddenTokens(
        np.arange(3),
        pipeline.read_pieces("cat", "classroom-image"),
        np.array([0.6, 0.05, 0.1]),
        np.array([1.0, 20.0, 2.0]),
        (Image.new("RGB", (4, 4)),) * 3,
        Image.new("RGB", (4, 4)),
    )
    page = hidden_pictures(found, T)
    assert T.html("cross_attention.idle", token=quote("start"), share="60", change="1") in page
    assert T.html("cross_attention.quiet", token=quote("cat"), share="5", change="20") in page
    assert escape(T("cross_attention.rank", rho="−1.00", count=3)) in page
    assert page.count("<img") == 4
    shares, changes = hidden_figure(found, T).data
    assert list(shares.x) == [60.0, 5.0, 10.0]
    assert list(changes.x) == [1.0, 20.0, 2.0]
    fair = replace(found, changes=np.array([20.0, 1.0, 2.0]))
    assert "misleads" not in hidden_pictures(fair, T)


def test_hiding_shows_its_pictures_while_they_are_drawn_and_stops():
    first, *between, last = hidden_run(request(), None, RunSlot(), T)
    assert first[-1]["interactive"] is True and "<img" not in first[1]
    figure, pictures, kept, stop = last
    assert between and all(page.count("<img") == pictures.count("<img") for _, page, *_ in between)
    assert "gallery" in pictures and kept == (figure, pictures) and stop["interactive"] is False
    slot = RunSlot()
    overtaken = hidden_run(replace(request(), num_inference_steps=60), None, slot, T)
    next(overtaken), next(overtaken)
    run = hidden_run(replace(request(), num_inference_steps=60), None, slot, T)
    next(run), next(run)
    assert list(overtaken) == [], "it would switch off the stop button of the next"
    slot.stop()
    *_, (figure, pictures, _, stop) = run
    assert figure == gr.update(visible=False) and "of 60" in pictures and stop["interactive"] is False


def test_pictures_show_the_truth_where_it_is_known():
    known, text = world_picture(13)
    page = picture_page(known, text, "classroom-image", T)
    assert T("cross_attention.truth", noun="drum") in page
    assert page.count("<figure>") == 2
    unknown = picture_page(KnownPicture(known.picture), "a <drum>", "classroom-image", T)
    assert "<figure>" not in unknown
    assert "<drum>" not in unknown
    with pytest.raises(InputError, match="prompt_empty"):
        picture_page(known, "", "classroom-image", T)


def test_the_endpoint_returns_maps_that_sum_to_one():
    found = cross_attention("a red cat", num_inference_steps=2)
    assert found["tokens"][1:4] == ["a", "red", "cat"]
    assert np.allclose(np.sum(found["maps"], axis=0), 1, atol=2e-3)
    assert sum(found["shares"]) == pytest.approx(1, abs=1e-3)
    assert found["layers"] == 3


@pytest.mark.slow
def test_the_presets_show_a_map_that_misleads_and_one_that_does_not() -> None:
    def hidden(prompt: str, seed: int) -> pipeline.HiddenTokens:
        batch = pipeline.HiddenBatch(ImageRequest(prompt, seed=seed).validated())
        for steps in steps_together(batch.requests):
            batch.add(steps)
        return batch.finish(steps)

    apart, together = (hidden(*PRESETS[name]) for name in ("apart", "together"))
    assert apart.rank_correlation < 0.6 < 0.75 < together.rank_correlation
    assert apart.shares.argmax() != apart.changes.argmax(), (
        "looked at most, yet others change the picture more"
    )
