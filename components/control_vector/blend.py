"""Three ways to steer with the control vector: towards another text, by one word, by one vector alone."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import gradio as gr

from components.control_vector.figures import pooled_view
from components.control_vector.lever import ALSO, STEM, Asked, Lever, build_lever, strip_values, wire_lever
from components.page.picture_tabs import example_request, request_like
from components.page.prompt_bar import DEFAULT_PROMPT, PromptBar
from components.runs.batch import BatchViews, show_batch
from components.runs.frames import encode
from components.runs.queues import STEPPER
from components.runs.slot import RunSlot
from components.ui.colors import token_colours
from components.ui.errors import explained
from components.ui.language import Texts
from components.ui.layout import html_escape, live_html, section
from components.ui.token_text import limit_sentence, style_of
from pipelines.image.control_vector import (
    SEEDS,
    Choice,
    Drawn,
    choices,
    draw,
    finish,
    keep_choice,
    places_from,
    pooled_requests,
    same_tokens,
    strip_requests,
    weight_requests,
)
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.text.tokens import TokenView, colour_keys, token_view

PARTNER = "A red car in the snow."  # to steer towards until a second prompt is typed


def partner_of(prompt: str) -> str:
    """A text to steer towards where none was typed: an example that is not the prompt itself."""
    return PARTNER if prompt.strip().casefold() != PARTNER.casefold() else DEFAULT_PROMPT


def bar_inputs(bar: PromptBar) -> list[Any]:
    """What `request_like` reads after the trace, and then the trace."""
    return [
        bar.prompt, bar.negative_prompt, bar.seed, bar.guidance_scale, bar.num_inference_steps,
        bar.image_model, bar.trace,
    ]  # fmt: skip


def _request(values: Sequence[Any]) -> ImageRequest:
    *own, trace = values
    return request_like(trace, *own)


# From A to B -----------------------------------------------------------------------------------


def asked_blend(request: ImageRequest, prompt_b: str, t: Texts) -> Asked:
    """The strip from a request's prompt to another; an empty one is replaced by an example.

    Raises:
        InputError: `prompts_equal`, and what `ImageRequest.validated` raises.
    """
    is_example = not prompt_b.strip()
    second = partner_of(request.prompt) if is_example else prompt_b
    requests = strip_requests(request, second)
    remarks = [t("control_vector.blend_pair", a=request.prompt, b=second)]
    if is_example:
        remarks.append(t("control_vector.blend_example"))
    for letter, text in (("A", request.prompt), ("B", second)):
        tokens = token_view(text, request.model)
        if tokens.cut:
            remarks.append(f"{letter}: {limit_sentence(tokens, t)}")
    names = (t("control_vector.name_a"), t("control_vector.name_b"))
    return Asked(requests, (request.prompt, second), names, " ".join(remarks))


@lru_cache(maxsize=1)
def compute_example_strip() -> Drawn:
    """From the first example to its partner; the app draws it once after start."""
    request = example_request()
    second = partner_of(request.prompt)
    return draw(strip_requests(request, second), (request.prompt, second))


def pair_html(prompt: str, prompt_b: str, model: str, t: Texts) -> str:
    """From which text to which the lever leads, and what stands in its way.

    Args:
        prompt: as typed.
        prompt_b: as typed; empty stands for an example.
        model: catalogue id.
        t: texts.

    Raises:
        InputError: what `token_view` raises.
    """
    second = prompt_b if prompt_b.strip() else partner_of(prompt)
    notes = [] if prompt_b.strip() else [t("control_vector.blend_where", where=t("prompt_bar.more"))]
    views = [token_view(text, model) for text in (prompt, second)]
    notes += [f"{a}: {limit_sentence(view, t)}" for a, view in zip("AB", views, strict=True) if view.cut]
    if same_tokens(*views):
        notes.append(t("errors.prompts_equal"))
    lines = "".join(
        f'<p class="cv-{letter}"><b>{letter}</b><span>{html_escape(text)}</span></p>'
        for letter, text in zip("AB", (prompt, second), strict=True)
    )
    return f'<div class="cv-pair">{lines}<p><small>{html_escape(" ".join(notes))}</small></p></div>'


def build_blend(bar: PromptBar, tab: gr.Tab, t: Texts) -> gr.HTML:
    """The slider from A to B: layout and wiring.

    Returns:
        The place that names both texts, which follows the prompts.
    """
    section(t("control_vector.blend_title"), t("control_vector.blend_hint"))
    pair = live_html(STEM, "cv-pair", also=ALSO, script=False, render=False)
    lever = build_lever("blend", pair, t)
    gr.Markdown(t("control_vector.blend_honest"), elem_classes="sv-hint")

    def asked(*values: Any) -> Asked:
        *given, prompt_b = values
        return asked_blend(_request(given), prompt_b or "", t)

    wire_lever(lever, asked, [*bar_inputs(bar), bar.prompt_b], bar.run, t)
    tab.select(_example_strip(lever, t), [*bar_inputs(bar), bar.prompt_b, lever.slider, lever.strip],
               [lever.view, lever.figure, lever.strip], **STEPPER)  # fmt: skip
    return pair


def _example_strip(lever: Lever, t: Texts) -> Any:
    """What opening the tab does: the first example's strip is there, if that is what the bar says."""

    @explained(t)
    def enter(*values: Any) -> Any:
        *given, prompt_b, at, strip = values
        ready = strip is None and not (prompt_b or "").strip() and compute_example_strip.cache_info().currsize
        if not ready or not given[0] or _request(given) != example_request():
            return (gr.skip(),) * 3
        strip = asked_blend(example_request(), "", t).strip(compute_example_strip())
        return *strip_values(lever.name, strip, at, t), strip

    return enter


# One word -----------------------------------------------------------------------------------------


def tokens_html(tokens: TokenView, chosen: Choice | None, note: str, t: Texts) -> str:
    """The prompt's tokens as buttons in their colours, the chosen one marked.

    Args:
        tokens: of the prompt.
        chosen: one of them.
        note: a sentence about the choice; may be empty.
        t: texts.
    """
    colours = token_colours(colour_keys(tokens.fed))
    buttons = "".join(
        f'<button type="button" data-place="{c.place}" style="{style_of(colours[c.place])}" dir="auto" '
        f'aria-pressed="{"true" if chosen and c.place == chosen.place else "false"}">'
        f"{html_escape(c.text)}</button>"
        for c in choices(tokens)
    )
    label = html_escape(t("control_vector.choose"))
    buttons = buttons or f"<span>{html_escape(t('control_vector.no_tokens'))}</span>"
    return (
        f'<div class="cv-pick" role="group" aria-label="{label}"><b>{label}</b>{buttons}</div>'
        f'<p class="cv-note" role="status">{html_escape(note)}</p>'
    )


def followed_choice(tokens: TokenView, before: Choice | None, t: Texts) -> tuple[Choice | None, str]:
    """The choice in an edited prompt, and a sentence if the token is gone."""
    kept = keep_choice(tokens, before)
    if before is None or kept is None or kept.text == before.text:
        return kept, ""
    return kept, t("control_vector.choice_gone", gone=before.text, now=kept.text)


def asked_weight(request: ImageRequest, chosen: Choice | None, onwards: bool, t: Texts) -> Asked:
    """The strip of one token's weights.

    Args:
        request: checked.
        chosen: the token; another is taken if the prompt no longer has it.
        onwards: whether all places behind it are weighed, too.
        t: texts.
    """
    tokens = token_view(request.prompt, request.model)
    kept, note = followed_choice(tokens, chosen, t)
    place, text, word = (kept.place, kept.text, kept.word) if kept else (1, "", request.prompt)
    requests = weight_requests(request, places_from(tokens, place, onwards))
    said = t("control_vector.weight_onwards" if onwards else "control_vector.weight_one", text=text)
    names = (t("control_vector.name_prompt"), t("control_vector.name_word", word=word))
    return Asked(requests, (request.prompt, word), names, f"{note} {said}".strip())


def build_weight(bar: PromptBar, t: Texts) -> tuple[gr.HTML, gr.State]:
    """The weight of one token: layout and wiring.

    Returns:
        The tokens' buttons and the state that holds the choice, which follow the prompt.
    """
    section(t("control_vector.weight_title"), t("control_vector.weight_hint"))
    choose = t("control_vector.choose")
    picker = live_html("control_vector/tokens", "cv-tokens", choose, also=(STEM, *ALSO))
    onwards = gr.Checkbox(
        label=t("control_vector.onwards"), info=t("control_vector.onwards_info"), elem_id="cv-onwards",
        render=False,
    )  # fmt: skip
    lever = build_lever("weight", onwards, t)
    chosen = gr.State(None)

    def asked(*values: Any) -> Asked:
        *given, choice, all_behind = values
        return asked_weight(_request(given), choice, bool(all_behind), t)

    wire_lever(lever, asked, [*bar_inputs(bar), chosen, onwards], bar.run, t)

    @explained(t)
    def pick(event: gr.EventData, prompt: str, model: str, before: Choice | None) -> Any:
        tokens = token_view(prompt or "", model)
        found = next((c for c in choices(tokens) if c.place == event.place), None)
        kept, note = (found, "") if found else followed_choice(tokens, before, t)
        return tokens_html(tokens, kept, note, t), kept

    picker.select(pick, [bar.prompt, bar.image_model, chosen], [picker, chosen], show_progress="hidden",
                  concurrency_limit=None, api_visibility="private")  # fmt: skip
    return picker, chosen


# One vector alone -----------------------------------------------------------------------------------


def build_pooled(bar: PromptBar, t: Texts) -> None:
    """The end token's vector at every place: layout and wiring."""
    section(t("control_vector.ablation_title"), t("control_vector.ablation_hint", count=SEEDS))
    with gr.Row():
        start = gr.Button(t("control_vector.ablation_start", count=2 * SEEDS), variant="primary",
                          elem_id="cv-pooled-start", scale=0, min_width=340)  # fmt: skip
        stop = gr.Button(t("control_vector.stop"), variant="stop", elem_id="cv-pooled-stop",
                         interactive=False, scale=0)  # fmt: skip
    idle = pooled_view(None, (), t("control_vector.ablation_idle"), None, t)
    view = live_html(STEM, "cv-pooled-view", value=idle, also=ALSO, script=False)

    @explained(t)
    def on_click(*values: Any) -> Iterator[Any]:
        *given, before, slot = values
        yield from draw_pooled(_request(given), before, slot, t)

    kept = gr.State(None)
    start.click(on_click, [*bar_inputs(bar), kept, bar.run], [view, stop, kept], trigger_mode="multiple",
                **STEPPER)  # fmt: skip
    stop.click(lambda slot: slot.stop(), bar.run, queue=False, api_visibility="private")


def draw_pooled(
    request: ImageRequest, before: str | None, slot: RunSlot, t: Texts
) -> Iterator[tuple[Any, ...]]:
    """Draw a few seeds with the sequence and with one vector at every place, side by side.

    Args:
        request: checked.
        before: the view so far, which comes back should the run draw nothing.
        slot: this visitor's; a run in it ends.
        t: texts.

    Yields:
        Values for view, stop button and the view to keep.
    """
    requests = pooled_requests(request)

    def running(sources: Sequence[str], done: int) -> tuple[Any, ...]:
        status = t("image.step", step=done, total=request.num_inference_steps) if done else t("image.waiting")
        page = pooled_view(request, sources, status, None, t)
        return page, gr.skip() if done else gr.update(interactive=True), gr.skip()

    def finished(steps: Sequence[DenoiseStep]) -> tuple[Any, ...]:
        drawn = finish(requests, steps, [request.prompt])
        means, status = None, t("control_vector.stopped", step=steps[0].index + 1, total=steps[0].total)
        if steps[0].index + 1 == steps[0].total:
            first, second = drawn.clip_scores[:SEEDS, 0], drawn.clip_scores[SEEDS:, 0]
            means = (float(first.mean()), float(second.mean()))
            better = int((first > second).sum())
            status = t("control_vector.ablation_result", better=better, count=SEEDS)
        page = pooled_view(request, [encode(p) for p in drawn.images], status, means, t)
        return page, gr.update(interactive=False), page

    def restored() -> tuple[Any, ...]:
        idle = pooled_view(None, (), t("control_vector.ablation_idle"), None, t)
        return before or idle, gr.update(interactive=False), gr.skip()

    yield from show_batch(requests, slot, "pooled", BatchViews(running, finished, restored))
