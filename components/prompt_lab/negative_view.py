"""Negative prompts as pictures: two pairs from one seed, and what was measured over many."""

from collections.abc import Sequence

from components.prompt_lab.seeds_view import interval
from components.prompt_lab.view import facts_html, running_bar
from components.runs.frames import encode
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, percent
from pipelines.image.prompt_lab import Batch, NegativePairs
from pipelines.serving.measured import figure


def negative_running(batch: Batch, sources: Sequence[str], done: int, t: Texts) -> str:
    """The four pictures while they draw."""
    bar = running_bar(done, batch.requests[0].num_inference_steps, t)
    return bar + _pairs(batch, sources, ("",) * 4, t)


def negative_view(batch: Batch, pairs: NegativePairs, t: Texts) -> str:
    """The four pictures when they are done, with CLIP's word on each."""
    defect = batch.requests[1].negative_prompt
    below = [t("prompt_lab.sees", word=defect, score=fixed(float(s), t)) for s in pairs.defect_scores]
    below += [t("prompt_lab.sees", word="a dog", score=fixed(float(s), t)) for s in pairs.dog_scores]
    early = "" if pairs.done == pairs.total else t("prompt_lab.stopped", step=pairs.done, total=pairs.total)
    note = f'<p class="pl-result">{html_escape(early)}</p>' if early else ""
    sources = [encode(image) for image in pairs.images]
    return note + _pairs(batch, sources, below, t) + facts_html(batch.requests[0], t, "facts_short")


def _pairs(batch: Batch, sources: Sequence[str], below: Sequence[str], t: Texts) -> str:
    cells = []
    for i, request in enumerate(batch.requests):
        away = t("prompt_lab.minus", text=request.negative_prompt) if request.negative_prompt else ""
        alt = html_escape(f"{request.prompt} {away}")
        picture = f'<img src="{sources[i]}" alt="{alt}">' if sources else '<span class="pl-hole"></span>'
        label = html_escape(request.prompt) + (f" <i>{html_escape(away)}</i>" if away else "")
        small = f"<small>{html_escape(below[i])}</small>" if below[i] else ""
        cells.append(f'<div class="pl-card">{picture}<b>{label}</b>{small}</div>')
    return (
        '<div class="pl-pairs">'
        f'<div class="pl-pair"><h4>{html_escape(t("prompt_lab.pair_defect"))}</h4>'
        f'<div class="pl-grid">{cells[0]}{cells[1]}</div></div>'
        f'<div class="pl-pair"><h4>{html_escape(t("prompt_lab.pair_no"))}</h4>'
        f'<div class="pl-grid">{cells[2]}{cells[3]}</div></div></div>'
    )


def measured_html(t: Texts) -> str:
    """What `make evaluate` found about negative prompts, with sample size and interval."""
    invited, ratio = figure("image.defects_invited"), figure("image.negative_ratio")
    if invited is None or ratio is None:
        return f'<p class="pl-result">{html_escape(t("prompt_lab.negative_missing"))}</p>'
    low, high = (fixed(bound, t) for bound in ratio.ci95)
    text = t(
        "prompt_lab.negative_measured",
        share=percent(invited.value, t), interval=interval(invited, t), n=invited.n,
        ratio=fixed(ratio.value, t), low=low, high=high,
    )  # fmt: skip
    return f'<p class="pl-result">{html_escape(text)}</p>'
