"""One colour per token, the same in every view."""

from collections.abc import Sequence
from zlib import crc32

# The seven chromatic colours of Okabe and Ito, then four more: of all colours that show on the
# light and on the dark page, those that stay farthest from the others for normal sight and for
# the three kinds of colour blindness (a test simulates them).
# Source: Okabe & Ito 2008, https://jfly.uni-koeln.de/color/.
PALETTE = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7",
    "#8800ee", "#884466", "#aaaa66", "#cc0044",
)  # fmt: skip
NEUTRAL = "#8a8f98"
INK, PAPER, BLACK = "#14171c", "#ffffff", "#000000"
READABLE = 4.5  # the least contrast of text; Source: WCAG 2.2, 1.4.3


def _normalised(piece: str) -> str:
    """The part of a token that decides its colour: "Cat", "cat</w>" and " cat" are alike."""
    return piece.replace("</w>", "").replace("▁", "").replace("Ġ", "").strip().casefold()


def _is_special(piece: str) -> bool:
    """Whether a piece marks start, end or padding rather than text."""
    return piece.startswith(("<|", "<s>", "</s>", "<pad>", "<unk>"))


def token_colours(pieces: Sequence[str]) -> list[str]:
    """Colours for the tokens of one prompt.

    A piece's text picks its colour, so it keeps it when the prompt changes around it and in every
    tab. Where two pieces of one prompt pick the same colour, the later one takes the next free
    one; only prompts with more different pieces than colours repeat.

    Args:
        pieces: the tokens' texts in reading order, with or without word-end marks.

    Returns:
        One hex colour per piece; start, end and padding marks are grey.
    """
    taken: dict[str, str] = {}
    for piece in pieces:
        name = _normalised(piece)
        if name in taken or _is_special(piece):
            continue
        start = crc32(name.encode("utf-8"))
        ring = [PALETTE[(start + i) % len(PALETTE)] for i in range(len(PALETTE))]
        free = (colour for colour in ring if colour not in taken.values())
        taken[name] = next(free, ring[0])
    return [NEUTRAL if _is_special(piece) else taken[_normalised(piece)] for piece in pieces]


def _luminance(colour: str) -> float:
    """Relative luminance of a hex colour, 0..1. Source: WCAG 2.2, definition."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two hex colours, 1..21. Source: WCAG 2.2, definition."""
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def text_on(colour: str) -> str:
    """Ink or paper, whichever reads better on a colour.

    On colours between the two neither reaches `READABLE`; black or white always does.
    """
    best = max((INK, PAPER), key=lambda text: contrast(text, colour))
    return (
        best
        if contrast(best, colour) >= READABLE
        else max((BLACK, PAPER), key=lambda text: contrast(text, colour))
    )


COLOUR_A, COLOUR_B = "#d55e00", "#0072b2"
