"""Syntax of other programs is told from what people write."""

import pytest

from pipelines.text.foreign import MAX_FOUND, foreign_syntax


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("a (cat:1.4) on a bed", ("(cat:1.4)",)),
        ("a ((small)) cat", ("((small))",)),
        ("a [cat|dog]", ("[cat|dog]",)),
        ("[cat:dog:0.5]", ("[cat:dog:0.5]",)),
        ("a cat BREAK a dog", ("BREAK",)),
        ("a cat <lora:watercolour:0.8>", ("<lora:watercolour:0.8>",)),
        ("cat:0 dog:-1", ("cat:0", "dog:-1")),
        ("(a:1) (a:1) (b:2)", ("(a:1)", "(b:2)")),
        ("x:1 y:2 z:3 w:4", ("x:1", "y:2", "z:3")),
        ("A cat (small, grey) on a bed.", ()),
        ("Take a break at 12:30, ratio 4:3", ()),
        ("Three things: 2 cats [and] a dog | house", ()),
        ("", ()),
        ("(" * 20_000, ()),
        ("[" + ":" * 19_999, ()),
        ("a:" * 10_000, ()),
        ("[" * 10_000 + "a|" * 5_000, ()),
    ],
)
def test_syntax_is_found_as_typed(prompt, found):
    assert foreign_syntax(prompt) == found[:MAX_FOUND]
