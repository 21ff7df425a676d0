"""Both languages say the same things, and every message has its text."""

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

from components.ui.language import LANGUAGES, Texts, load_texts

ROOT = Path(__file__).parents[2]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def disagreements(first: Texts, second: Texts) -> list[str]:
    """What one language has and the other lacks: addresses, and placeholders within a text."""
    missing = [f"only one has {key}" for key in first.entries.keys() ^ second.entries.keys()]
    shared = first.entries.keys() & second.entries.keys()
    return missing + [
        f"placeholders of {key} differ"
        for key in shared
        if placeholders(first.entries[key]) != placeholders(second.entries[key])
    ]


def test_german_and_english_have_the_same_texts_with_the_same_placeholders() -> None:
    assert disagreements(load_texts("de"), load_texts("en")) == []


def test_the_comparison_sees_a_missing_key_and_a_missing_placeholder() -> None:
    german = Texts("de", {"a.x": "{n} Schritte", "a.y": "ja"})
    english = Texts("en", {"a.x": "steps"})
    assert len(disagreements(german, english)) == 2


def test_no_text_is_empty_or_the_same_long_sentence_in_both_languages() -> None:
    german, english = load_texts("de"), load_texts("en")
    assert [key for key, text in german.entries.items() if not text.strip()] == []
    same = [k for k, v in german.entries.items() if len(v.split()) > 6 and v == english.entries.get(k)]
    assert same == [], "left untranslated"


def test_every_input_error_that_a_pipeline_raises_has_a_message() -> None:
    keys = {
        str(node.args[0].value)
        for path in [*(ROOT / "pipelines").rglob("*.py"), *(ROOT / "components").rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "InputError"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert keys, "found no InputError at all: the search is broken"
    for language in LANGUAGES:
        t = load_texts(language)
        assert sorted(key for key in keys if f"errors.{key}" not in t.entries) == []


def test_an_unknown_key_or_language_is_an_error_not_an_empty_text() -> None:
    with pytest.raises(KeyError):
        load_texts("en")("common.no_such_text")
    with pytest.raises(ValueError, match="klingon"):
        load_texts("klingon")


def test_placeholders_are_filled_and_arrays_are_read_in_order() -> None:
    t = Texts("en", {"a.n": "{n} steps", "a.list.0": "one", "a.list.1": "two"})
    assert t("a.n", n=3) == "3 steps"
    assert t.many("a.list") == ("one", "two")
    with pytest.raises(KeyError):
        t.many("a.nothing")


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_page_does_not_speak_of_the_projects_aims(language: str) -> None:
    """They stand in docs/evaluation.md; a visitor reads how often a model is right."""
    inside = re.compile(
        r"\{must\}|the aim|to be reached|falls short|counts as (moving|still)|in a share of"
        r"|am Ziel|Ziel \{|zu erreichen war|gilt als|gelten\)|in einem Anteil von"
    )
    assert [key for key, text in load_texts(language).entries.items() if inside.search(text)] == []
