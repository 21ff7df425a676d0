"""What the quiz says is so on the shipped weights."""

import tomllib
from pathlib import Path

import pytest

from training.lesson_facts import FACTS

QUIZ = Path(__file__).parents[2] / "assets" / "lessons" / "quiz.toml"
IDS = [item["id"] for item in tomllib.loads(QUIZ.read_text("utf-8"))["item"]]


def test_every_question_has_its_fact() -> None:
    assert sorted(IDS) == sorted(FACTS)


@pytest.mark.parametrize("name", IDS)
def test_the_fact_of_a_question_holds(name: str) -> None:
    fact = FACTS[name]()
    assert fact.holds, fact.measured
