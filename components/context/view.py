"""The context tab's views: the sentence with its arcs, the table of attention, two sentences together."""

import base64
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from plotly.colors import sequential

from components.ui.colors import text_on, token_colours
from components.ui.heat import heat_uri
from components.ui.language import Texts
from components.ui.numbers import fixed, grouped, percent
from components.ui.plots import SEQUENTIAL
from components.ui.templates import quote, templates
from components.ui.token_text import are_unread, style_of, unread_sentence
from pipelines.serving.catalogue import ModelEntry
from pipelines.text.context import Context, LookUp, SharedWord, most_telling
from pipelines.text.pieces import Piece
from pipelines.text.tokens import colour_keys

MARKS = ("start", "end")
MAX_ROWS = 12  # tokens whose rows are drawn
MAX_QUOTE = 120  # characters of a prompt that are repeated in a sentence
Chips = list[tuple[str, str, list[str]]]
_LABELS = (
    "layer", "of_layers", "head", "mean", "head_n", "tokens", "readout", "readout_mean", "weight", "self",
    "closed", "gone", "matrix", "rows", "columns", "triangle", "open_matrix", "legend", "overview",
    "overview_hint", "cell", "cell_mean",
)  # fmt: skip


def face(piece: Piece, t: Texts) -> str:
    """What to write on a token: its text, or what kind of mark it is."""
    return t(f"context.{piece.special}") if piece.special in MARKS else piece.text


def _short(text: str) -> str:
    """A text short enough to stand in a sentence."""
    return text if len(text) <= MAX_QUOTE else text[:MAX_QUOTE] + "…"


def message_html(text: str, kind: str = "cx-refused") -> str:
    """A calm sentence in the place of what cannot be shown."""
    return templates("context/view.html").message(text, kind)


def hint_html(causal: bool, t: Texts) -> str:
    """Heading of the first section: what a token sees differs for models that read in both directions."""
    hint = t("context.attention_hint" if causal else "context.attention_hint_open")
    return templates("ui/section.html").section(t("context.attention_title"), hint)


def lookup_html(found: LookUp, model: ModelEntry, t: Texts) -> str:
    """Every token with its row of the table, as a strip of colours, and what a table implies."""
    tokens = found.view.fed
    limit = float(np.abs(found.rows).max()) or 1.0
    rows = [
        {
            "text": face(piece, t), "id": piece.id, "style": style_of(colour), "mark": piece.special in MARKS,
            "heat": heat_uri(row[None], limit), "length": fixed(float(length), t),
        }
        for piece, colour, row, length in zip(
            tokens, token_colours(colour_keys(tokens)), found.rows, found.lengths, strict=True
        )
    ][:MAX_ROWS]  # fmt: skip
    texts = [face(piece, t) for piece in tokens if piece.word >= 0]
    twice = next((text for text in texts if texts.count(text) > 1), "")
    said = [t("context.lookup_same", word=twice)] if twice else []
    if model.family == "classroom":
        said.append(t("context.lookup_untouched", length=fixed(found.usual_length, t)))
    size = {"entries": grouped(found.entries, t), "width": found.rows.shape[1]}
    return templates("context/view.html").lookup(rows, len(tokens) - len(rows), size, said, t)


def packed(attention: np.ndarray, causal: bool) -> str:
    """Attention as base64 of one byte per weight, 255 for all of it.

    Args:
        attention: `[layer, head, token, token]`, 0..1.
        causal: leave out what lies above the diagonal, which is closed.

    Returns:
        Layer by layer, head by head, row by row; a causal row ends at its own token.
    """
    weights = np.rint(attention * 255).astype(np.uint8)
    if causal:
        weights = weights[..., *np.tril_indices(weights.shape[-1])]
    return base64.b64encode(weights.tobytes()).decode("ascii")


def names_of(tokens: Sequence[Piece], t: Texts) -> list[str]:
    """A name for every token by which it is found again after editing: its text and which of its like."""
    seen: dict[str, int] = {}
    names = []
    for piece in tokens:
        text = face(piece, t)
        seen[text] = seen.get(text, 0) + 1
        names.append(text if seen[text] == 1 else t("context.nth", word=text, nth=seen[text]))
    return names


def view_html(context: Context, t: Texts) -> str:
    """The data of the arcs, the table and the overview, drawn by `view.js`, with what explains them.

    The data: `tokens` [[text, name, colour, ink, is mark, was never read]], `layers`, `heads`, `causal`,
    `weights` (see `packed`), `start` (the token to begin with), `scale` (colours from 0 to 1), `labels`.
    """
    tokens = context.tokens
    colours = token_colours(colour_keys(tokens))
    spoken = [i for i, piece in enumerate(tokens) if piece.word >= 0 and any(map(str.isalpha, piece.text))]
    start = spoken[most_telling([tokens[i].text for i in spoken])] if spoken else len(tokens) - 1
    new = are_unread(tokens, context.view.model)
    data = {
        "tokens": [
            [face(p, t), name, c, text_on(c), p.special in MARKS, is_unread]
            for p, name, c, is_unread in zip(tokens, names_of(tokens, t), colours, new, strict=True)
        ],
        "layers": context.attention.shape[0],
        "heads": context.attention.shape[1],
        "causal": context.causal,
        "weights": packed(context.attention, context.causal),
        "start": start,
        "scale": getattr(sequential, SEQUENTIAL),
        "language": t.language,
        "labels": {key: t.entries[f"context.{key}"] for key in _LABELS},
    }
    never_read = unread_sentence(context.view.prompt, context.view.model, t)
    return templates("context/view.html").look(data, _cut("A", context, t), never_read, _sink(context, t))


def _cut(name: str, context: Context, t: Texts) -> str:
    """What the model does not read of a prompt that is too long, in words."""
    view = context.view
    if not view.cut:
        return ""
    counts = {key: grouped(getattr(view, key), t) for key in ("needed", "places", "cut")}
    key = "cut_one" if view.cut == 1 else "cut_many"
    return t(f"context.{key}", name=name, **counts)


def _sink(context: Context, t: Texts) -> str:
    """Whether the start mark draws attention for want of something better, or padding, in numbers."""
    if context.tokens and context.tokens[0].special != "start":
        read = {"places": context.view.places, "share": percent(context.padding_share, t)}
        return t(f"context.padding_{'read' if context.view.used < context.view.places else 'full'}", **read)
    share, even = context.start_share
    key = "sink" if share > 1.25 * even else "no_sink"
    return t(f"context.{key}", share=percent(share, t), even=percent(even, t))


def moves_html(context: Context, t: Texts) -> str:
    """How far the tokens have moved, in one sentence."""
    means = [fixed(float(row.mean()), t) for row in context.distances]
    return message_html(t("context.moves_read", first=means[1], last=means[-1]), "cx-sentence")


# Two sentences -----------------------------------------------------------------------------------


def word_label(word: SharedWord, t: Texts) -> str:
    """A shared word for the list that one chooses from."""
    if not word.text:
        return t("context.end")
    return word.text if word.nth == 1 else t("context.nth", word=word.text, nth=word.nth)


def _chips(context: Context, colours: Sequence[str], place: int | None, t: Texts) -> Chips:
    """A prompt's tokens as text, style and classes; the one at `place` framed, what it cannot see faded."""
    chips = []
    new = are_unread(context.tokens, context.view.model)
    for i, (piece, colour) in enumerate(zip(context.tokens, colours, strict=True)):
        kinds = {
            "cx-unread": new[i],
            "cx-mark": piece.special in MARKS,
            "cx-here": i == place,
            "cx-unseen": place is not None and context.causal and i > place,
        }
        chips.append((face(piece, t), style_of(colour), [kind for kind, is_so in kinds.items() if is_so]))
    return chips


def pair_html(
    pair: tuple[Context, Context], word: SharedWord | None, is_example: bool, gone: str, t: Texts
) -> str:
    """Both sentences, with remarks on what was typed.

    Args:
        pair: A and B.
        word: the word that is compared; None where they share none.
        is_example: B was made up, since nobody has typed a second prompt.
        gone: a chosen word that no longer stands in both, or "".
    """
    a, b = pair
    example = missing = ""
    if is_example:
        example = t.html("context.example", text=quote(_short(b.view.prompt)), where=t("prompt_bar.more"))
    if gone and word:
        missing = t.html("context.word_gone", word=quote(gone), shown=quote(word_label(word, t)))
    elif gone:
        missing = t.html("context.word_gone_none", word=quote(gone), shown="")
    colours = token_colours(colour_keys([*a.tokens, *b.tokens]))
    split = len(a.tokens)
    rows = (
        ("A", _chips(a, colours[:split], word.a_place if word else None, t)),
        ("B", _chips(b, colours[split:], word.b_place if word else None, t)),
    )
    return templates("context/view.html").pair(example, missing, _cut("B", b, t), rows)


def _start_sentence(word: SharedWord, t: Texts) -> str:
    """How alike the two are before the first layer, and why."""
    if word.a_place == word.b_place:
        return t("context.same_place", place=word.a_place + 1)
    places = {"a": word.a_place + 1, "b": word.b_place + 1}
    return t("context.other_place", similarity=fixed(float(word.similarity[0]), t), **places)


def verdict_html(
    pair: tuple[Context, Context], word: SharedWord | None, words: Sequence[SharedWord], t: Texts
) -> str:
    """What became of the word, in plain words."""
    a, b = pair
    if list(a.view.ids) == list(b.view.ids):
        return message_html(t("context.same_prompts"), "cx-sentence")
    if word is None:
        return message_html(t("context.no_words"), "cx-sentence")
    name = word_label(word, t)
    values = {
        "word": quote(name),
        "similarity": fixed(float(word.similarity[-1]), t),
        "layers": len(word.similarity) - 1,
    }
    if not word.is_open:
        parts: list[str] = [t.html("context.verdict_closed", **values)]
        parts += [
            t("context.verdict_end", similarity=fixed(float(w.similarity[-1]), t))
            for w in words
            if not w.text
        ]
    else:
        key = "verdict_causal" if a.causal else "verdict_both_ways"
        key += "" if word.a_place == word.b_place else "_moved"
        parts = [_start_sentence(word, t), t.html(f"context.{key}", **values)]
    return message_html(Markup(" ").join(parts), "cx-sentence cx-verdict")
