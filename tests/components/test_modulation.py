"""What the conditioning tab shows of transformers: shift, scale and gate, and what cannot be cut."""

import html

import numpy as np
import pytest

from components.conditioning.tab import _effects, _first, _handlers, _looked_inside, effects_run
from components.conditioning.view import modulation_figures, modulation_sentences
from components.runs.slot import RunSlot
from components.ui.language import load_texts
from components.ui.token_text import block_name
from pipelines.image import conditioning as pipeline
from pipelines.image import image
from pipelines.image.request import ImageRequest, Trace
from pipelines.serving import catalogue, loading
from pipelines.serving.errors import InputError

T, DE = load_texts("en"), load_texts("de")
ASKED = ImageRequest("a small cat", "", 5, 4.5, 2, "ddim", "tiny-sd3", 64, 64, look_inside=True)
SCALES = {"tiny-sd3": 4.5, "tiny-prx": 4.5, "tiny-klein": 1.0}
pytestmark = pytest.mark.usefixtures("transformers_of_today")


@pytest.fixture(scope="module")
def traces(transformers_of_today: None) -> dict[str, Trace]:
    return {
        model: image.run(
            ImageRequest("a small cat", "", 5, scale, 2, "ddim", model, 64, 64, look_inside=True)
        )
        for model, scale in SCALES.items()
    }


def figures_of(trace: Trace, t=T):
    hears = pipeline.hears_text(trace.request.model)
    return modulation_figures(pipeline.block_effects(trace), pipeline.modulation(trace), hears, t)


@pytest.mark.parametrize("model", list(SCALES))
def test_shift_scale_and_gate_stand_side_by_side_on_one_scale(model: str, traces) -> None:
    found = pipeline.modulation(traces[model])
    *_, strength, by_text = figures_of(traces[model])
    assert [note.text for note in strength.layout.annotations] == ["shift", "scale", "gate"]
    for figure, values in ((strength, found.strength), (by_text, found.by_text)):
        assert len(figure.data) == 3 and len({heat.zmax for heat in figure.data}) == 1
        for part, heat in enumerate(figure.data):
            np.testing.assert_array_equal(np.asarray(heat.z, float), values[..., part])
            assert list(heat.y) == [block_name(block, T) for block in found.blocks]
            assert list(heat.x) == [1, 2]
    assert strength.data[0].zmax == pytest.approx(found.strength.max())


def test_what_the_prompt_changes_is_shown_where_the_model_hears_it(traces) -> None:
    titles = {model: figures_of(trace)[3].layout.title.text for model, trace in traces.items()}
    assert titles == {
        "tiny-sd3": T("conditioning.text_in_time"),
        "tiny-prx": T("conditioning.text_in_time_none"),
        "tiny-klein": T("conditioning.text_in_time_unasked"),
    }
    assert np.asarray(figures_of(traces["tiny-sd3"])[3].data[0].z).min() > 0
    assert np.asarray(figures_of(traces["tiny-prx"])[3].data[0].z).max() == 0


def test_the_sentences_say_where_the_text_is(traces) -> None:
    said = {
        model: modulation_sentences(pipeline.modulation(trace), pipeline.hears_text(model), DE)
        for model, trace in traces.items()
    }
    hears = [model for model, text in said.items() if DE("conditioning.modulation_hears") in text]
    unasked = [model for model, text in said.items() if DE("conditioning.modulation_unasked") in text]
    assert (hears, unasked) == (["tiny-sd3"], ["tiny-klein"])


def test_blocks_of_two_kinds_have_names_of_their_own(traces) -> None:
    names = [block_name(block, DE) for block in pipeline.modulation(traces["tiny-klein"]).blocks]
    assert names == ["Block 1", "Block 2", "Einzelstrom-Block 1", "Einzelstrom-Block 2"]


def test_a_run_fills_the_four_figures_and_is_not_drawn_again_when_the_tab_is_opened() -> None:
    *figures, status, _, trace = list(effects_run(ASKED, RunSlot(), T))[-1]
    assert [len(figure.data) for figure in figures] == [1, 1, 3, 3]
    assert T("conditioning.modulation_hint") in html.unescape(status)
    assert _looked_inside(trace)


def test_a_u_net_keeps_its_four_maps() -> None:
    net = image.run(ImageRequest("a cat", num_inference_steps=1, model="classroom-image", look_inside=True))
    *figures, status, _, _ = _effects(net, T)
    assert [len(figure.data) for figure in figures] == [1] * 4
    assert T("conditioning.modulation_hint") not in html.unescape(status)
    assert figures[1].layout.title.text == T("conditioning.attention_effect")


@pytest.mark.parametrize("model", ["tiny-sd3", "flux-2-klein-4b"])
def test_cutting_blocks_is_refused_in_a_sentence_before_anything_is_loaded(model: str) -> None:
    loading.unload(model)
    _, _, cut, *_ = _handlers(T)
    ((page, kept, _),) = list(cut("a cat", "", 5, 1.0, 2, model, None, RunSlot(), None))
    said = T("errors.blocks_off_closed", title=catalogue.entry(model).title)
    assert said in html.unescape(page) and kept is None
    with pytest.raises(InputError, match="blocks_off_closed"):
        pipeline.cut_requests(ImageRequest("a cat", model=model))
    assert not loading.is_loaded(model)


def test_opening_the_tab_swaps_no_prompts_with_a_model_that_waits_for_a_click() -> None:
    ran: list[str] = []
    first = _first(lambda *inputs: iter([ran.append(inputs[5]) or "page"]))
    for model in ("flux-2-klein-4b", "classroom-image"):
        values = ("a cat", "", 5, 1.0, 2, model, None, RunSlot(), "a dog", 1)
        assert len(list(first(True, False, *values))) == 1
    assert ran == ["classroom-image"]
