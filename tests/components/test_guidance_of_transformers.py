"""The guidance tab with models that are told the scale, or have none: said first, refused before a run."""

import html
from typing import Any

import pytest

from components.guidance import sweep, tab
from components.guidance.view import dial_sentence, dial_view, formula, refusal, sweep_figure
from components.runs.slot import RunSlot
from components.ui.language import load_texts
from pipelines.image import image
from pipelines.image.guidance import guidance_sweep, sweep_requests
from pipelines.image.request import ImageRequest
from pipelines.serving import catalogue, loading
from pipelines.serving.errors import InputError
from tests.components.test_guidance import SCALES, sweep_of

T, DE = load_texts("en"), load_texts("de")
NONE, INPUT = ("flux-2-klein-4b", "FLUX.2 klein 4B"), ("sana-sprint-0.6b", "SANA-Sprint 0.6B")
pytestmark = pytest.mark.usefixtures("transformers_of_today")


def inputs(model: str, scale: float, negative: str = "") -> tuple[Any, ...]:
    """What a handler gets: the bar's values, trace and slot."""
    return "a cat", negative, 5, scale, 2, model, None, RunSlot()


@pytest.mark.parametrize("t", [T, DE])
def test_the_dial_says_what_the_number_does(t) -> None:
    assert dial_sentence(NONE[0], t) == t("guidance.dial_none", title=NONE[1])
    assert dial_sentence(INPUT[0], t) == t("guidance.dial_input", title=INPUT[1])
    assert dial_sentence("classroom-image", t) == "" == dial_sentence("stable-diffusion-3.5-medium", t)
    assert tab._told("classroom-image", t) == "" and NONE[1] in tab._told(NONE[0], t)


def test_the_formula_of_a_model_that_is_told_the_scale_has_no_difference() -> None:
    said = html.unescape(formula(ImageRequest("a cat", guidance_scale=4.5, model=INPUT[0]), T))
    assert "model(prompt, <b>4.5</b>)" in said and "without" not in said
    assert T("guidance.scale_told") in said
    page = dial_view(ImageRequest("a cat", model=NONE[0], guidance_scale=1.0), "", "", None, T)
    assert "turbo" not in page.casefold(), "what FLUX.2 klein lacks is not what a turbo model lacks"
    assert sweep_figure(sweep_of(SCALES), INPUT[0], T).layout.annotations == ()


@pytest.mark.parametrize("model", ["tiny-klein", NONE[0]])
def test_turning_the_dial_too_far_is_refused_before_anything_is_loaded(model: str) -> None:
    loading.unload(model)
    rerun, _ = tab._dial_handlers(T)
    (page, *others), _ = list(rerun(*inputs(model, 5.0)))
    title = catalogue.entry(model).title
    assert T("errors.guidance_closed", title=title, received="5") in html.unescape(page)
    assert all("value" not in other for other in others) and not loading.is_loaded(model)


def test_at_its_own_scale_the_dial_draws() -> None:
    rerun, _ = tab._dial_handlers(T)
    *_, last, _ = list(rerun(*inputs("tiny-klein", 1.0)))
    assert last[3].request.model == "tiny-klein" and last[3].image.size
    assert refusal(last[3].request, T) == ""


@pytest.mark.parametrize("model", ["tiny-klein", NONE[0]])
def test_a_sweep_without_guidance_is_refused_in_a_sentence(model: str) -> None:
    loading.unload(model)
    on_click, _ = sweep._handlers(DE)
    ((row, figure, said, kept, stop),) = list(on_click(*inputs(model, 1.0), None))
    assert stop["interactive"] is False, "what ran there before is silenced, and would not say so itself"
    assert DE("guidance.sweep_none", title=catalogue.entry(model).title) in html.unescape(said)
    assert (row, kept, figure["visible"]) == ("", None, False)
    with pytest.raises(InputError, match="guidance_closed"):
        sweep_requests(ImageRequest("a cat", model=model, guidance_scale=1.0), SCALES)
    assert not loading.is_loaded(model)
    assert len(sweep_requests(ImageRequest("a cat", model=model), (0.0, 1.0))) == 2


def test_a_model_that_is_told_the_scale_can_be_swept() -> None:
    request = ImageRequest("a cat", "", 5, 1.0, 2, "ddim", "tiny-sprint", 64, 64)
    found = guidance_sweep(request, (1.0, 9.0))
    assert len(found.images) == 2 and image.picture_change(*found.images) > 0


@pytest.mark.parametrize("model", [NONE[0], INPUT[0], "tiny-klein", "tiny-sprint"])
def test_steering_away_is_refused_where_there_is_no_second_branch(model: str) -> None:
    loading.unload(model)
    ((view, kept, stop),) = list(tab._away_handler(T)(*inputs(model, 4.5), "blur", None))
    said = T("errors.negative_prompt_closed", title=catalogue.entry(model).title)
    assert said in html.unescape(view) and kept is None and not loading.is_loaded(model)
    assert stop["interactive"] is False


def test_no_sweep_of_a_transformer_comes_by_itself() -> None:
    trace = image.run(ImageRequest("a cat", "", 5, 4.5, 1, "ddim", "tiny-sd3", 64, 64))
    _, on_enter = sweep._handlers(T)
    values = list(on_enter(*inputs("tiny-sd3", 4.5)[:-2], trace, RunSlot(), None))
    assert len(values) == 1 and all("value" not in value for value in values[0])


def test_at_scale_one_only_a_distilled_model_is_called_distilled() -> None:
    for t in (load_texts("en"), load_texts("de")):
        for model, said, unsaid in (("tiny-sd3", "alone", "distilled"), ("tiny-klein", "distilled", "alone")):
            shown = formula(ImageRequest("a cat", guidance_scale=1, model=model), t)
            assert t(f"guidance.scale_{said}") in shown and t(f"guidance.scale_{unsaid}") not in shown
