"""Tokens in words: their colours, how full a model's places are, and which word to begin with."""

from collections.abc import Sequence

from markupsafe import Markup

from components.ui.colors import text_on
from components.ui.language import Texts
from components.ui.numbers import grouped
from components.ui.templates import quote
from pipelines.text.foreign import foreign_syntax
from pipelines.text.pieces import Piece
from pipelines.text.tokens import TokenView

MAX_QUOTE = 60  # characters that are repeated in a sentence


def style_of(colour: str) -> str:
    """A colour and the ink that reads on it, as custom properties for the style sheet."""
    return f"--c:{colour};--ink:{text_on(colour)}"


def limit_sentence(view: TokenView, t: Texts) -> str:
    """How full the model's places are, and how many tokens are cut off, in one sentence."""
    if view.needed <= 2:
        return t("tokens.meter.empty")
    key = "fits" if not view.cut else "cut_one" if view.cut == 1 else "cut_many"
    counts = {name: grouped(getattr(view, name), t) for name in ("needed", "places", "cut")}
    return t(f"tokens.meter.{key}", **counts)


def foreign_sentence(prompt: str, t: Texts) -> Markup:
    """That weights and commands of other programs are text like any other here; "" where there are none."""
    found = [part if len(part) <= MAX_QUOTE else part[:MAX_QUOTE] + "…" for part in foreign_syntax(prompt)]
    return t.html("tokens.foreign", parts=quote(", ".join(found))) if found else Markup()


def typed_end_sentence(view: TokenView, t: Texts) -> str:
    """That an end mark was typed, at which CLIP pools; "" where there is none."""
    if view.pooled_at == view.used - 1:
        return ""
    return t("tokens.typed_end", place=view.pooled_at + 1)


def first_word(pieces: Sequence[Piece]) -> int:
    """The row to begin with: the last word with letters, which most often is a noun, else the last token."""
    wordy = [i for i, p in enumerate(pieces) if not p.special and any(c.isalpha() for c in p.text)]
    named = [i for i in wordy if len(pieces[i].text) > 2]
    content = [i for i, p in enumerate(pieces) if p.word >= 0]
    return (named or wordy or content or [0])[-1]


def block_name(block: str, t: Texts) -> str:
    """A block of the U-Net in words: on the way down, at the bottom, on the way up."""
    part, _, place = block.partition(".")
    key = part.removesuffix("_block").removesuffix("_blocks")
    return t(f"cross_attention.block_{key}", number=int(place) + 1 if place else 1)
