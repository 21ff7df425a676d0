"""The context tab: how tokens take on meaning from each other."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
import numpy as np

from components.context.figures import moves_figure, pair_figure
from components.context.view import (
    hint_html,
    lookup_html,
    message_html,
    moves_html,
    pair_html,
    verdict_html,
    view_html,
    word_label,
)
from components.page.prompt_bar import DEFAULT_PROMPT, PromptBar
from components.runs.arguments import ClipModel, LongText
from components.runs.queues import TEXT, endpoint
from components.ui.attention import attention_kinds
from components.ui.errors import explained, message
from components.ui.language import Texts
from components.ui.layout import live_html, tab_frame
from components.ui.plots import plot
from components.ui.scene import scene
from components.ui.templates import templates
from pipelines.clip.embeddings import counterpart
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.text.context import Context, SharedWord, first_choice, look_up, read_contexts, shared_words

# Pairs of prompts with the word to look at. The first two say the same in another order.
TRIALS = {
    "after": ("a cat on a bed", "a cat on a car", "cat·1"),
    "before": ("on a bed, a cat", "on a car, a cat", "cat·1"),
    "property": ("a small cat on a bed", "a large cat on a bed", "cat·1"),
    "swapped": ("a red car next to a blue house", "a blue car next to a red house", "·1"),  # the end token
}
# Models take turns on the compute thread; in the queue a keystroke waits for nobody's longer work.
PRIVATE: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}


@dataclass(frozen=True)
class ContextView:
    """The components of the tab.

    Attributes:
        lookup: each token's row of the table of token embeddings.
        attention: arcs, table and overview.
        hint: what its section says; it differs for models that read in both directions.
        moves, moved: how far each token moves, as a figure and in words.
        said: the two sentences.
        word: the words that both have.
        parted: how alike their vectors are.
        verdict: what became of the chosen word.
        chosen: key of the word that the visitor chose; never seen, kept while it is not to be had.
    """

    lookup: gr.HTML
    hint: gr.HTML
    attention: gr.HTML
    moves: gr.Plot
    moved: gr.HTML
    said: gr.HTML
    word: gr.Dropdown
    parted: gr.Plot
    verdict: gr.HTML
    chosen: gr.Textbox

    @property
    def look(self) -> list[gr.components.Component]:
        """What the tokens of the first prompt start from, and where they look."""
        return [self.lookup, self.hint, self.attention]

    @property
    def moving(self) -> list[gr.components.Component]:
        """How they move."""
        return [self.moves, self.moved]

    @property
    def pair(self) -> list[gr.components.Component]:
        """What both prompts decide."""
        return [self.said, self.word, self.parted, self.verdict]


def _pick(words: tuple[SharedWord, ...], key: str | None) -> tuple[SharedWord | None, str]:
    """The chosen word if both prompts still have it, else another, and the text of the missing one."""
    kept = next((word for word in words if word.key == key), None)
    return kept or first_choice(words), "" if kept else str(key or "").rpartition("·")[0]


def _pair(t: Texts, a: Context, prompt_b: str, key: str) -> list[Any]:
    """Values of `ContextView.pair`."""
    is_example = not prompt_b.strip()
    second = counterpart(a.view.prompt) if is_example else prompt_b
    try:
        b = read_contexts([second], a.view.model)[0]
    except InputError as error:
        return [message_html(message(error, t)), *[gr.skip()] * 3]
    words = shared_words(a, b)
    word, gone = _pick(words, key)
    choices = [(word_label(w, t), w.key) for w in words]
    figure = pair_figure(a, words, word, t) if word else None
    return [
        pair_html((a, b), word, is_example, gone, t),
        gr.Dropdown(choices, value=word.key if word else None, interactive=bool(words)),
        figure,
        verdict_html((a, b), word, words, t),
    ]


def _look(t: Texts, prompt: str, model: str) -> list[Any]:
    """Values of `ContextView.look`; an input that cannot be read is explained in its place."""
    try:
        a = read_contexts([prompt or ""], model)[0]
        found = look_up(prompt or "", model)
    except InputError as error:
        return ["", gr.skip(), message_html(message(error, t))]
    return [lookup_html(found, catalogue.entry(model, "clip"), t), hint_html(a.causal, t), view_html(a, t)]


def _move(t: Texts, prompt: str, model: str) -> list[Any]:
    """Values of `ContextView.moving`; `_look` explains what cannot be read."""
    try:
        a = read_contexts([prompt or ""], model)[0]
    except InputError:
        return [gr.skip()] * 2
    return [moves_figure(a, t), moves_html(a, t)]


def _compare(t: Texts, prompt: str, prompt_b: str, model: str, key: str) -> list[Any]:
    """Values of `ContextView.pair`; `_look` explains what cannot be read."""
    try:
        a = read_contexts([prompt or ""], model)[0]
    except InputError:
        return [gr.skip()] * 4
    return _pair(t, a, prompt_b or "", key)


def _trials(bar: PromptBar, chosen: gr.Textbox, t: Texts) -> None:
    """Pairs of prompts to try; a click writes both into the bar and chooses the word."""
    with gr.Row(elem_classes="sv-examples"):
        gr.HTML(templates("context/view.html").label(t("context.try_out")), apply_default_css=False)
        for name, values in TRIALS.items():
            chip = gr.Button(
                t(f"context.trial.{name}"), size="sm", elem_classes="sv-chip", elem_id=f"context-{name}"
            )
            chip.click(
                lambda values=values: values, outputs=[bar.prompt, bar.prompt_b, chosen],
                **PRIVATE,
            )  # fmt: skip


def _lay_out(bar: PromptBar, t: Texts) -> ContextView:
    """Draw the tab; it is filled when it is opened."""
    chosen = gr.Textbox(visible="hidden", show_label=False)
    with scene(t, "context.lookup", kind="open"):
        lookup = live_html("context/view", "context-lookup", script=False)
    with scene(t, "context.attention", kind="tab"):
        hint = gr.HTML(hint_html(True, t), apply_default_css=False)
        attention = live_html("context/view", "context-view")
    with scene(t, "context.moves"):
        moves = plot(t("context.moves_alt"), elem_id="context-moves")
        moved = live_html("context/view", "context-moved", script=False)
    with scene(t, "context.pair", stage="beside"):
        _trials(bar, chosen, t)
        said = live_html("context/view", "context-said", script=False)
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                word = gr.Dropdown([], label=t("context.word"), filterable=False, elem_id="context-word")
            with gr.Column(scale=5, min_width=320):
                verdict = live_html("context/view", "context-verdict", script=False)
        parted = plot(t("context.pair_alt"), elem_id="context-parted")
    return ContextView(lookup, hint, attention, moves, moved, said, word, parted, verdict, chosen)


def build_context_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and let it follow the bar while a visitor types.

    Args:
        bar: the prompt bar; this tab reads its two prompts and its CLIP model.
    """
    with tab_frame(t, "context") as tab:
        view = _lay_out(bar, t)
    attention_kinds(tab, "context", t)
    look, move, compare = (partial(explained(t)(f), t) for f in (_look, _move, _compare))
    first, asked = [bar.prompt, bar.clip_model], [bar.prompt, bar.prompt_b, bar.clip_model, view.chosen]
    # An event each: while somebody types, the arcs do not wait for the figures to be drawn. A word that is
    # chosen calls the same one as the prompts: of two, the older answer could come last, and stay.
    for handler, read, shown in (
        (look, first, view.look), (move, first, view.moving), (compare, asked, view.pair)
    ):  # fmt: skip
        bar.follow(tab, [part.change for part in read], handler, read, shown, **PRIVATE)
    view.word.input(None, view.word, view.chosen, js="(word) => word", api_visibility="private")


def _context_json(context: Context) -> dict[str, Any]:
    return {
        "tokens": [{"id": p.id, "text": p.text, "mark": p.special or None} for p in context.tokens],
        "pooled_place": context.view.pooled_at,
        "cut": context.view.cut,
        "causal": context.causal,
        "attention": np.round(context.attention.mean(1), 4).tolist(),
        "distances": np.round(context.distances, 4).tolist(),
    }


@endpoint(TEXT)
def context(
    prompt: LongText = DEFAULT_PROMPT, prompt_b: LongText = "", model: ClipModel = "classroom-clip"
) -> dict[str, Any]:
    """Show how the tokens of a prompt take on meaning: attention, moving vectors, words in two prompts.

    Args:
        prompt: the text to read; tokens beyond the model's places are cut off.
        prompt_b: a second text to compare with; empty compares with nothing.
        model: id of a CLIP model of the catalogue.

    Returns:
        `tokens` from start to end; `pooled_place`, counted from 0, of the first end mark, whose vector CLIP
        takes for the whole text (SigLIP that of its last place, which is padding); `cut`, how many tokens the
        model does not read; `causal`, whether a
        token sees only what comes before it; `attention` [layer][token][token], mean over heads, each
        row adding up to 1, less what goes to padding; `distances` [layer + 1][token], the cosine distance of
        each vector from its embedding. With a second prompt also `b`, the same of it, and `words`: those that
        both have, with their places and the cosine `similarity` [layer + 1] of their vectors; the end
        mark's `text` is empty.
    """
    found = read_contexts([prompt, prompt_b] if prompt_b.strip() else [prompt], model)
    answer = {"model": model} | _context_json(found[0])
    if len(found) == 1:
        return answer
    words = [
        {
            "text": w.text, "nth": w.nth, "place": w.a_place, "place_b": w.b_place,
            "similarity": np.round(w.similarity, 6).tolist(),
        }
        for w in shared_words(*found)
    ]  # fmt: skip
    return answer | {"b": _context_json(found[1]), "words": words}


API: dict[str, Callable[..., Any]] = {"context": context}
