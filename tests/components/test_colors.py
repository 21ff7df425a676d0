"""Token colours: steady, distinct, and told apart by everybody."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from components.ui.colors import INK, NEUTRAL, PALETTE, PAPER, READABLE, contrast, text_on, token_colours
from components.ui.plots import cell_colour

PAGE = Path(__file__).parents[2] / "components" / "page"

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


@pytest.mark.parametrize("view", ["cosine", "texts"])
def test_numbers_in_a_matrix_read_on_every_colour_of_its_scale(view: str) -> None:
    for step in range(201):
        assert contrast(*cell_colour(view, step)) >= READABLE, step


def declared(theme: str) -> dict[str, str]:
    """The page's colours by the names of their custom properties; the last declaration wins."""
    rules = re.findall(
        rf"^{theme} \{{(.*?)\}}", (PAGE / "style.css").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return dict(re.findall(r"(--sv-[\w-]+): (#[0-9a-f]{6})", "".join(rules)))


@pytest.mark.parametrize(("theme", "body"), [(":root", "#fbfbf9"), (r"\.dark", "#121419")])
@pytest.mark.parametrize("text", ["soft", "good", "bad", "first", "accent"])
def test_coloured_text_reads_on_paper_card_and_tint(theme: str, body: str, text: str) -> None:
    colours = declared(theme)
    for ground in (body, colours["--sv-card"], colours["--sv-tint"]):
        assert contrast(colours[f"--sv-{text}"], ground) >= READABLE, ground


def test_no_rule_makes_text_pale() -> None:
    """Opacity takes contrast that no test of colours sees; it is for pictures and for what cannot be used."""
    may = re.compile(
        r":disabled|img|canvas|\.later|\.change|input|button|\.cm-remove|::after|data-state|\.cv-padding"
    )
    pale = [
        (path.name, selector.strip())
        for path in PAGE.parent.rglob("*.css")
        for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", path.read_text("utf-8"))
        if re.search(r"(?<!-)\bopacity: ?0?\.\d", body) and not may.search(selector)
    ]
    assert pale == []
