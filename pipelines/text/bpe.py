"""How byte-pair encoding builds tokens: one merge rule at a time, each with its rank."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

Ranks = Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Merge:
    """One rule applied to a word.

    Attributes:
        rank: place of the rule in the merges list, 0-based; 0 was learned first.
        left: spelling of the left part.
        right: spelling of the right part.
        at: indices, in the symbols before this merge, where the left part stood.
        candidates: rank of every neighbouring pair before this merge, `[symbols - 1]`; None where
            no rule joins the pair. The smallest of them is `rank`.
        symbols: the word after this merge.
    """

    rank: int
    left: str
    right: str
    at: tuple[int, ...]
    candidates: tuple[int | None, ...]
    symbols: tuple[str, ...]


def first_symbols(letters: str, suffix: str) -> tuple[str, ...]:
    """The word before any merge: one symbol per byte, the last one marked as the word's end.

    Args:
        letters: the word, one printable stand-in letter per byte.
        suffix: mark of the last symbol, `</w>` for CLIP.
    """
    return (*letters[:-1], letters[-1] + suffix)


def _joined(symbols: tuple[str, ...], pair: tuple[str, str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """All non-overlapping occurrences of a pair joined from left to right, and where they stood."""
    out: list[str] = []
    at: list[int] = []
    i = 0
    while i < len(symbols):
        if symbols[i : i + 2] == pair:
            at.append(i)
            out.append("".join(pair))
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return tuple(out), tuple(at)


def merge_steps(letters: str, ranks: Ranks, suffix: str = "</w>") -> tuple[Merge, ...]:
    """Every merge of one word, in the order in which they happen.

    At each step the pair whose rule was learned first is joined everywhere in the word; when no
    rule fits any more, what is left are the tokens. Quadratic in the length of the word, because
    every step keeps the whole word for showing.

    Args:
        letters: the word, one printable stand-in letter per byte; at least one.
        ranks: rank of every merge rule, 0 = learned first.
        suffix: mark of the last symbol.

    Returns:
        The steps; empty if no rule fits, and then the word's bytes are its tokens.

    Source: Sennrich et al. 2016, arXiv:1508.07909, algorithm 1, as used by GPT-2 and CLIP.
    """
    symbols = first_symbols(letters, suffix)
    steps: list[Merge] = []
    while len(symbols) > 1:
        candidates = tuple(ranks.get(pair) for pair in pairwise(symbols))
        known = [rank for rank in candidates if rank is not None]
        if not known:
            break
        where = candidates.index(min(known))
        left, right = symbols[where], symbols[where + 1]
        symbols, at = _joined(symbols, (left, right))
        steps.append(Merge(min(known), left, right, at, candidates, symbols))
    return tuple(steps)
