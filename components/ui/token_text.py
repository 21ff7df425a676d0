"""Tokens in words: their colours, how full a model's places are, and which word to begin with."""

from collections.abc import Sequence

from markupsafe import Markup

from components.ui.colors import text_on
from components.ui.language import Texts
from components.ui.numbers import grouped
from components.ui.templates import quote
from pipelines.text.foreign import foreign_syntax
from pipelines.text.pieces import Piece, visible
from pipelines.text.tokens import TokenView
from pipelines.text.vocabulary import TYPOS, has_list, unread, words_in

MAX_QUOTE = 60  # characters that are repeated in a sentence
MAX_NAMED = 6  # words that are named in a sentence


def style_of(colour: str) -> str:
    """A colour and the ink that reads on it, as custom properties for the style sheet."""
    return f"--c:{colour};--ink:{text_on(colour)}"


def limit_sentence(view: TokenView, t: Texts) -> str:
    """How full the model's places are, and how many tokens are cut off, in one sentence."""
    if not any(piece.word >= 0 or piece.special == "typed" for piece in view.pieces):
        has_start = bool(view.pieces) and view.pieces[0].special == "start"
        return t("tokens.meter.empty" if has_start else "tokens.meter.empty_end")
    key = "fits" if not view.cut else "cut_one" if view.cut == 1 else "cut_many"
    counts = {name: grouped(getattr(view, name), t) for name in ("needed", "places", "cut")}
    return t(f"tokens.meter.{key}", **counts)


def _quoted(text: str) -> str:
    text = text.replace("\N{REPLACEMENT CHARACTER}", visible("\N{REPLACEMENT CHARACTER}"))
    return text if len(text) <= MAX_QUOTE else text[:MAX_QUOTE] + "…"


def foreign_sentence(prompt: str, t: Texts) -> Markup:
    """That weights and commands of other programs are text like any other here; "" where there are none."""
    found = [_quoted(part) for part in foreign_syntax(prompt)]
    return t.html("tokens.foreign", parts=quote(", ".join(found))) if found else Markup()


def typed_end_sentence(view: TokenView, t: Texts) -> str:
    """That an end mark was typed, at which CLIP pools; "" where there is none."""
    if view.pooled_at == view.used - 1:
        return ""
    return t("tokens.typed_end", place=view.pooled_at + 1)


def unread_words(prompt: str, model: str, t: Texts) -> Markup:
    """The words of a prompt that a model never read in training, for a sentence; "" where there are none."""
    found = list({word.word.lower(): word.word for word in unread(prompt, model)}.values())
    named = quote(", ".join(map(_quoted, found[:MAX_NAMED]))) if found else Markup()
    rest = len(found) - MAX_NAMED
    return named + (f" {t('vocabulary.more', count=rest)}" if rest > 0 else "")


def unread_sentence(prompt: str, model: str, t: Texts) -> Markup:
    """Which words of a prompt a model never read, and what follows; "" where it has read all of them."""
    words = unread_words(prompt, model, t)
    return t.html("vocabulary.unread", words=words) if words else Markup()


def typo_sentence(prompt: str, model: str, t: Texts) -> str:
    """That a misspelling of the prompt is none to a model, which has read it in training; else ""."""
    known = [w.word for w in words_in(prompt) if has_list(model) and w.word.lower() in TYPOS]
    if not known or unread(known[0], model):
        return ""
    return f"{t('vocabulary.typo', word=known[0])} {TYPOS[known[0].lower()]}"


def are_unread(pieces: Sequence[Piece], model: str) -> list[bool]:
    """Of each token, whether it belongs to a word that the model never read."""
    words: dict[int, str] = {}
    for piece in pieces:
        words[piece.word] = words.get(piece.word, "") + piece.text
    new = {word for word, text in words.items() if word >= 0 and unread(text, model)}
    return [piece.word in new and not piece.special for piece in pieces]


def block_name(block: str, t: Texts) -> str:
    """A block of the U-Net in words: on the way down, at the bottom, on the way up."""
    part, _, place = block.partition(".")
    key = part.removesuffix("_block").removesuffix("_blocks")
    return t(f"cross_attention.block_{key}", number=int(place) + 1 if place else 1)
