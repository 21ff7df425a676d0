"""Token colours: steady, distinct, and told apart by everybody."""

from itertools import combinations

import numpy as np
import pytest

from components.ui.colors import INK, NEUTRAL, PALETTE, PAPER, contrast, text_on, token_colours

# Source: Machado, Oliveira & Fernandes 2009, IEEE TVCG 15(6), table 1 at severity 1; linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def as_seen(colour: str, sight: str) -> np.ndarray:
    """A hex colour in CIELAB, `[3]`, after the loss of a kind of colour blindness."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1)
    x = TO_XYZ @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_colours_differ_for_every_kind_of_sight(sight: str) -> None:
    for first, second in combinations(PALETTE, 2):
        distance = np.linalg.norm(as_seen(first, sight) - as_seen(second, sight))
        assert distance > 15, f"{first} and {second} look alike: {distance:.1f}"


@pytest.mark.parametrize("colour", [*PALETTE, NEUTRAL])
def test_text_on_a_colour_reaches_wcag_aa(colour: str) -> None:
    assert text_on(colour) in (INK, PAPER)
    assert contrast(colour, text_on(colour)) >= 4.5


def test_contrast_of_black_and_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # WebAIM's figure


def test_a_piece_keeps_its_colour_however_it_is_written_and_wherever_it_stands() -> None:
    small, cat = token_colours(["small</w>", "cat</w>"])
    assert token_colours(["Cat", "cat</w>", "▁cat"]) == [cat] * 3
    assert token_colours(["<|startoftext|>", "cat", "<|endoftext|>"]) == [NEUTRAL, cat, NEUTRAL]
    assert small != cat


def test_pieces_of_one_prompt_differ_until_the_palette_is_used_up() -> None:
    pieces = [f"piece{i}" for i in range(len(PALETTE))]
    assert len(set(token_colours(pieces))) == len(PALETTE)
    assert len(token_colours([f"p{i}" for i in range(100)])) == 100
