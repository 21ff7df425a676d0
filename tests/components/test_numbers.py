"""Numbers as people of the page's language write them."""

import pytest

from components.ui.language import load_texts
from components.ui.numbers import fixed, grouped, percent, short

EN, DE = load_texts("en"), load_texts("de")


@pytest.mark.parametrize(
    ("written", "english", "german"),
    [
        (lambda t: fixed(-0.256, t), "−0.26", "−0,26"),
        (lambda t: fixed(0.6, t), "0.60", "0,60"),
        (lambda t: fixed(-0.001, t), "0.00", "0,00"),
        (lambda t: fixed(5, t, 1), "5.0", "5,0"),
        (lambda t: short(7.5, t), "7.5", "7,5"),
        (lambda t: short(20.0, t), "20", "20"),
        (lambda t: short(20.0, t, 0), "20", "20"),
        (lambda t: short(-0.04, t), "0", "0"),
        (lambda t: short(-2.7, t), "−2.7", "−2,7"),
        (lambda t: grouped(49408, t), "49,408", "49.408"),
        (lambda t: grouped(77, t), "77", "77"),
        (lambda t: percent(0.0, t), "0%", "0\u202f%"),
        (lambda t: percent(0.003, t), "<1%", "<1\u202f%"),
        (lambda t: percent(0.5, t), "50%", "50\u202f%"),
        (lambda t: percent(0.996, t), ">99%", ">99\u202f%"),
        (lambda t: percent(1.0, t), "100%", "100\u202f%"),
    ],
)
def test_numbers_follow_the_language_and_do_not_pretend(written, english, german):
    assert (written(EN), written(DE)) == (english, german)
