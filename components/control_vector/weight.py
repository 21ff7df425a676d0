"""Steering by one word: pictures along the weight of one token."""

from typing import Any

import gradio as gr
from markupsafe import Markup

from components.control_vector.lever import ALSO, STEM, Asked, bar_inputs, build_lever, request_of, wire_lever
from components.page.prompt_bar import PromptBar
from components.ui.colors import token_colours
from components.ui.errors import explained
from components.ui.fields import told
from components.ui.language import Texts
from components.ui.layout import live_html
from components.ui.scene import scene
from components.ui.templates import isolated, quote, templates
from components.ui.token_text import style_of
from pipelines.image.control_vector import Choice, choices, keep_choice, places_from, weight_requests
from pipelines.image.request import ImageRequest
from pipelines.text.tokens import TokenView, colour_keys, token_view


def tokens_html(tokens: TokenView, chosen: Choice | None, note: str, t: Texts) -> str:
    """The prompt's tokens as buttons in their colours, the chosen one marked.

    Args:
        tokens: of the prompt.
        chosen: one of them.
        note: a sentence about the choice; may be empty.
    """
    colours = token_colours(colour_keys(tokens.fed))
    buttons = [(c.text, c.place, style_of(colours[c.place])) for c in choices(tokens)]
    return templates("control_vector/lever.html").tokens(buttons, chosen.place if chosen else None, note, t)


def followed_choice(tokens: TokenView, before: Choice | None, t: Texts) -> tuple[Choice | None, str]:
    """The choice in an edited prompt, and a sentence if the token is gone."""
    kept = keep_choice(tokens, before)
    if before is None or kept is None or kept.text == before.text:
        return kept, ""
    return kept, t.html("control_vector.choice_gone", gone=quote(before.text), now=quote(kept.text))


def asked_weight(request: ImageRequest, chosen: Choice | None, onwards: bool, t: Texts) -> Asked:
    """The strip of one token's weights.

    Args:
        request: checked.
        chosen: the token; another is taken if the prompt no longer has it.
        onwards: whether all places behind it are weighed, too.
    """
    tokens = token_view(request.prompt, request.model)
    kept, note = followed_choice(tokens, chosen, t)
    place, text, word = (kept.place, kept.text, kept.word) if kept else (1, "", request.prompt)
    requests = weight_requests(request, places_from(tokens, place, onwards))
    said = t.html(
        "control_vector.weight_onwards" if onwards else "control_vector.weight_one", text=quote(text)
    )
    names = (t("control_vector.name_prompt"), t("control_vector.name_word", word=isolated(word)))
    return Asked(requests, (request.prompt, word), names, Markup(" ").join(filter(None, (note, said))))


def build_weight(bar: PromptBar, t: Texts) -> tuple[gr.HTML, gr.State]:
    """The weight of one token: layout and wiring.

    Returns:
        The tokens' buttons and the state that holds the choice, which follow the prompt.
    """
    with scene(t, "control_vector.weight", stage="beside", filled_by="cv-weight-start"):
        choose = t("control_vector.choose")
        picker = live_html("control_vector/tokens", "cv-tokens", choose, also=(STEM, *ALSO))
        onwards = gr.Checkbox(
            label=t("control_vector.onwards"), info=t("control_vector.onwards_info"), elem_id="cv-onwards",
            render=False,
        )  # fmt: skip
        lever = build_lever("weight", onwards, t)
    bar.keep("control_vector", onwards=onwards, weight=lever.slider)
    chosen = gr.State(None)

    def asked(*values: Any) -> Asked:
        *given, choice, all_behind = values
        return asked_weight(request_of(given), choice, bool(all_behind), t)

    wire_lever(lever, asked, [*bar_inputs(bar), chosen, onwards], bar.run, t)

    @explained(t)
    def pick(event: gr.EventData, prompt: str, model: str, before: Choice | None) -> Any:
        tokens = token_view(prompt or "", model)
        place = told(event, "place", int)
        found = next((c for c in choices(tokens) if c.place == place), None)
        kept, note = (found, "") if found else followed_choice(tokens, before, t)
        return tokens_html(tokens, kept, note, t), kept

    picker.select(pick, [bar.prompt, bar.image_model, chosen], [picker, chosen], show_progress="hidden",
                  concurrency_limit=None, api_visibility="private")  # fmt: skip
    return picker, chosen
