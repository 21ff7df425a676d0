"""The tab that shows what a model reads instead of words."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from components.page.prompt_bar import DEFAULT_PROMPT, FIRST, PromptBar
from components.runs.arguments import AnyModel, LongText
from components.runs.queues import TEXT, endpoint
from components.tokens.compare_view import compare_html, table_html
from components.tokens.segments_view import calm, compared_html, segments_html
from components.tokens.view import merges_html, reading_html
from components.ui.errors import explained, message
from components.ui.language import Texts, load_texts
from components.ui.layout import live_html, tab_frame
from components.ui.presets import preset_chips, wire_presets
from components.ui.scene import scene
from components.ui.templates import templates
from components.ui.token_text import foreign_sentence, limit_sentence, typed_end_sentence
from pipelines.image.families.family import Segment
from pipelines.image.handed_over import check_on_disk, segments_of
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.text.pieces import Piece, Word
from pipelines.text.tokens import READ_ROLES, TokenView, compare, other_readers, token_view

PIECES = "🐱 watermark Katze Straße"  # 1, 2, 2 and 4 pieces
MAX_EXAMPLE = 1000  # characters; more than enough for the tokens that are compared
# What the comparison changes until a second prompt is typed; the first that fits is taken. The
# lecture's typo is mended, its double blank closed (no token changes), otherwise a word swapped or left out.
_SWAPS = (
    (r"\bDimm\b", "Dim"),
    (r" {2,}", " "),
    (r"\bsmall\b", "large"),
    (r"\bcat\b", "dog"),
    (r"\bcar\b", "boat"),
    (r"\ba\b", "the"),
)


def example_second(prompt: str) -> str:
    """A prompt to compare with where none was typed: one thing changed."""
    for pattern, other in _SWAPS:
        changed = re.sub(pattern, other, prompt, count=1)
        if changed != prompt:
            return changed
    return " ".join(prompt.split()[:-1]) or DEFAULT_PROMPT


def render(prompt: str, prompt_b: str, model: str, t: Texts) -> tuple[str, str, str, str]:
    """The tab's views for two prompts and a model: reading, merges, comparison, tokenizers.

    An input error becomes its message, in the first.
    """
    try:
        if catalogue.entry(model).is_transformer:
            return _render_segments(prompt, prompt_b, model, t)
        view = token_view(prompt, model)
        is_example = not prompt_b.strip()
        second = token_view(example_second(prompt[:MAX_EXAMPLE]) if is_example else prompt_b, model)
        rows, missing = other_readers(view)
    except InputError as error:
        return templates("tokens/view.html").refused(message(error, t)), "", "", ""
    return (
        reading_html(view, catalogue.entry(model).title, t),
        merges_html(view, t),
        compare_html(view, second, is_example, t),
        table_html(rows, missing, view, t),
    )


def _render_segments(prompt: str, prompt_b: str, model: str, t: Texts) -> tuple[str, str, str, str]:
    """The same for a transformer, read by its own tokenizers, where it was downloaded before.

    Raises:
        InputError: what `segments_of` raises.
    """
    e = catalogue.entry(model)
    try:
        check_on_disk(model)
    except InputError as error:
        return calm(message(error, t)), "", "", ""
    first = segments_of(prompt, model)
    second = prompt_b if prompt_b.strip() else example_second(prompt[:MAX_EXAMPLE])
    return (
        segments_html(first, e, t),
        calm(t("tokens.segments.merges", title=e.title)),
        compared_html(first, segments_of(second, model), second, t),
        calm(t("tokens.segments.table", title=e.title, clip=t("tokens.reader_clip"))),
    )


def build_tokens_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and let it follow the bar while a visitor types.

    Args:
        bar: the prompt bar; the tab reads both prompts and both models.
    """
    with tab_frame(t, "tokens") as tab:
        reading, merges, compared, table = render(FIRST.prompt, "", catalogue.default_id("clip"), t)
        with scene(t, "tokens.reading", kind="tab"):
            chips = preset_chips(t("tokens.presets"), [PIECES], "tokens-preset")
            choices = [(t(f"tokens.reader_{role}"), role) for role in READ_ROLES]
            role = gr.Radio(
                choices, value="clip", show_label=False, label=t("tokens.reader"), elem_id="tokens-reader"
            )
            views = [live_html("tokens/view", "tokens-view", value=reading, script=False)]
        with scene(t, "tokens.merges", t("tokens.merges.title"), t("tokens.merges.hint")):
            views.append(live_html("tokens/view", "tokens-merges", value=merges))
        with scene(t, "tokens.compare", t("tokens.compare.title"), t("tokens.compare.hint")):
            views.append(live_html("tokens/view", "tokens-compare", value=compared, script=False))
        with scene(t, "tokens.tokenizers", t("tokens.table.title"), t("tokens.table.hint")):
            views.append(live_html("tokens/view", "tokens-table", value=table, script=False))

    wire_presets(chips, [(PIECES,)], [bar.prompt])
    bar.keep("tokens", reader=role)

    @explained(t)
    def show(
        prompt: str, prompt_b: str, role: str, clip_model: str, image_model: str
    ) -> tuple[str, str, str, str]:
        return render(prompt or "", prompt_b or "", clip_model if role == "clip" else image_model, t)

    inputs = [bar.prompt, bar.prompt_b, role, bar.clip_model, bar.image_model]
    bar.follow(
        tab, [part.change for part in inputs], show, inputs, views, show_progress="hidden",
        concurrency_limit=None, api_visibility="private",
    )  # fmt: skip


def _piece_json(piece: Piece, place: int | None) -> dict[str, Any]:
    return {
        "id": piece.id,
        "text": piece.text,
        "symbol": piece.symbol,
        "bytes": piece.data.hex(" ").upper(),
        "place": place,
        "word": piece.word if piece.word >= 0 else None,
        "mark": piece.special or None,
    }


def _word_json(word: Word) -> dict[str, Any]:
    merges = [
        {"rank": m.rank, "left": m.left, "right": m.right, "symbols": list(m.symbols)} for m in word.merges
    ]
    return {"word": word.text, "symbols": list(word.symbols), "merges": merges}


_HINTS = (
    lambda view: foreign_sentence(view.prompt, load_texts("en")).striptags(),
    lambda view: typed_end_sentence(view, load_texts("en")),
)


def _view_json(view: TokenView) -> dict[str, Any]:
    return {
        "model": view.model,
        "tokenizer": view.reader,
        "vocabulary": view.vocabulary,
        "prompt": view.prompt,
        "cleaned": view.cleaning[-1].text if view.cleaning else view.prompt,
        "places": view.places,
        "needed": view.needed,
        "cut": view.cut,
        "message": limit_sentence(view, load_texts("en")),
        "hints": [hint for sentence in _HINTS if (hint := sentence(view))],
        "pooled_place": view.pooled_at,
        "ids": view.ids.tolist(),
        "tokens": [_piece_json(piece, place) for place, piece in enumerate(view.fed)],
        "cut_tokens": [_piece_json(piece, None) for piece in view.dropped],
        "words": [_word_json(word) for word in view.words],
    }


def _segments_json(segments: Sequence[Segment]) -> list[dict[str, Any]]:
    return [
        {
            "tokenizer": segment.tokenizer,
            "places": [segment.start, segment.stop],
            "cut": segment.cut,
            "unhanded": [row.text for row in segment.unhanded],
            "tokens": [
                {"place": place, "text": row.text, "kind": row.kind}
                for place, row in enumerate(segment.tokens, segment.first)
            ],
        }
        for segment in segments
    ]


@endpoint(TEXT)
def tokens(
    prompt: LongText = DEFAULT_PROMPT, prompt_b: LongText = "", model: AnyModel = "classroom-clip"
) -> dict[str, Any]:
    """Show what a model reads instead of a prompt: tokens, ids, merges, and what is cut off.

    Args:
        prompt: the text; up to 20,000 characters. Empty leaves start, end and padding.
        prompt_b: a second text to compare with; empty compares with nothing.
        model: id of a model of the catalogue, such as "classroom-clip" or "classroom-image".

    Returns:
        `ids` as the model is fed them, padding included; `tokens` at their places; `cut_tokens`,
        the first of those past the limit; `words` with every merge (`rank` counts from 0 = learned
        first); `message`, which says how many are cut; `hints` at syntax of other programs and at a typed end
        mark; `pooled_place`, counted from 0, of the first end mark; `changes` against the second prompt;
        `tokenizers`, the ids of the same prompt under the other tokenizers at hand. Of a transformer that was
        downloaded before: `segments`, for each encoder its `tokenizer`, first place and one past its last
        (`places`), how many tokens are `cut`, and `tokens` with place, text and kind ("word", "mark", or
        "template" for what the pipeline wraps around the prompt), and what the encoder reads without handing
        over rows of it (`unhanded`); `segments_b` of a second text.
    """
    if catalogue.entry(model).is_transformer:
        check_on_disk(model)
        found = {"model": model, "prompt": prompt, "segments": _segments_json(segments_of(prompt, model))}
        second = _segments_json(segments_of(prompt_b, model)) if prompt_b else []
        return found | {"segments_b": second}
    view = token_view(prompt, model)
    rows, missing = other_readers(view)
    changes = compare(view, token_view(prompt_b, model)) if prompt_b else ()
    return _view_json(view) | {
        "changes": [
            {"kind": c.kind, "a": [p.text for p in c.a], "b": [p.text for p in c.b], "place": c.a_place}
            for c in changes
        ],
        "tokenizers": [
            {
                "models": list(row.models), "tokenizer": row.view.reader, "needed": row.view.needed,
                "ids": row.view.ids.tolist(),
            }
            for row in rows
        ],
        "not_at_hand": list(missing),
    }  # fmt: skip


API: dict[str, Callable[..., Any]] = {"tokens": tokens}
