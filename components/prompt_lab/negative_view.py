"""Negative prompts as pictures: two pairs from one seed, and what was measured over many."""

from collections.abc import Sequence

from markupsafe import Markup

from components.prompt_lab.seeds_view import interval
from components.prompt_lab.view import facts_html, running_bar, stopped_note
from components.runs.frames import encode
from components.ui.language import Texts
from components.ui.numbers import fixed, percent
from components.ui.templates import quote, templates
from pipelines.image.prompt_lab import Batch, NegativePairs
from pipelines.serving.measured import figure

_html = templates("prompt_lab/view.html")


def negative_running(batch: Batch, sources: Sequence[str], done: int, t: Texts) -> Markup:
    """The four pictures while they draw."""
    bar = running_bar(done, batch.requests[0].num_inference_steps, t)
    return bar + _pairs(batch, sources, ("",) * 4, t)


def negative_view(batch: Batch, pairs: NegativePairs, t: Texts) -> Markup:
    """The four pictures when they are done, with CLIP's word on each."""
    defect = batch.requests[1].negative_prompt
    below = [
        t.html("prompt_lab.sees", word=quote(defect), score=fixed(float(s), t)) for s in pairs.defect_scores
    ]
    below += [
        t.html("prompt_lab.sees", word=quote("a dog"), score=fixed(float(s), t)) for s in pairs.dog_scores
    ]
    sources = [encode(image) for image in pairs.images]
    return (
        stopped_note(pairs.done, pairs.total, t)
        + _pairs(batch, sources, below, t)
        + facts_html(batch.requests[0], t, "facts_short")
    )


def _pairs(batch: Batch, sources: Sequence[str], below: Sequence[str], t: Texts) -> Markup:
    cards = []
    for i, request in enumerate(batch.requests):
        away = t("prompt_lab.minus", text=request.negative_prompt) if request.negative_prompt else ""
        cards.append((sources[i] if sources else "", request.prompt, away, below[i]))
    return _html.pairs([(t("prompt_lab.pair_defect"), cards[:2]), (t("prompt_lab.pair_no"), cards[2:])])


def measured_html(t: Texts) -> Markup:
    """What `make evaluate` found about negative prompts, with sample size and interval."""
    invited, ratio = figure("image.defects_invited"), figure("image.negative_ratio")
    if invited is None or ratio is None:
        return _html.result(t("prompt_lab.negative_missing"))
    low, high = (fixed(bound, t) for bound in ratio.ci95)
    return _html.result(t(
        "prompt_lab.negative_measured",
        share=percent(invited.value, t), interval=interval(invited, t), n=invited.n,
        share2=percent(invited.value * ratio.value, t), ratio=fixed(ratio.value, t), low=low, high=high,
    ))  # fmt: skip
