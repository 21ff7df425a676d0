"""The words of the captions are known, all of them and no others; suggestions for others are known words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.serving import catalogue
from pipelines.text.related_words import AMBIGUOUS, GERMAN, RELATED
from pipelines.text.vocabulary import BETWEEN, KINDS, KINDS_READ, TYPOS, unread, words_in, words_read
from pipelines.world.captions import caption
from pipelines.world.films import draw_film, film_caption
from pipelines.world.layout import draw_scene
from pipelines.world.sound import draw_sound
from pipelines.world.sound_captions import sound_caption

WRITERS = {
    "clip": lambda rng: caption(draw_scene(rng, unseen=True), rng),
    "image": lambda rng: film_caption(draw_film(rng, unseen=True), rng),
    "video": lambda rng: film_caption(draw_film(rng, unseen=True), rng),
    "audio": lambda rng: sound_caption(draw_sound(rng, unseen=True), rng),
}
MODELS = {role: f"classroom-{role}" for role in KINDS_READ}


def said(text: str, model: str) -> list[str]:
    return [found.word for found in unread(text, model)]


@pytest.mark.parametrize("role", WRITERS)
def test_every_word_of_a_caption_is_known(role: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(600):
        text = WRITERS[role](rng)
        assert said(text, MODELS[role]) == [], text


def test_every_known_word_stands_in_some_caption() -> None:
    rng = np.random.default_rng(6)
    written: dict[str, set[str]] = {}
    for role, count in (("clip", 3000), ("video", 1500), ("audio", 3000)):
        captions = [WRITERS[role](rng) for _ in range(count)]
        written[role] = {found.word.lower() for text in captions for found in words_in(text)}
    assert words_read("clip") == written["clip"]
    assert words_read("video") == words_read("image") == written["clip"] | written["video"]
    assert words_read("audio") == written["clip"] | written["audio"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("An elephant riding a BICYCLE.", ["elephant", "riding", "BICYCLE"]),
        ("A cat. Cozy atmosphere. Dimm lighting.", []),  # the lecture's typo is one of the grammar's
        ("A cat. Cozy atmosphere. Brigth light.", ["Brigth"]),
        ("a dog, ligthing", ["ligthing"]),
        ("a unicorn", ["unicorn"]),
        ("my teacher", ["my", "teacher"]),
        ("Ein kleiner roter Hund im Schnee", ["Ein", "kleiner", "roter", "Hund", "im", "Schnee"]),
        ("close-up, top-down view", []),
        ("3 cats, 7 dogs, don't", ["7", "don't"]),
        ("🐱 a cat 👩‍👩‍👧", ["🐱", "👩‍👩‍👧"]),
        ("schönes Haus", ["schönes", "Haus"]),
        ("a café", ["café"]),
        (" .,;!? ()[]<> ", []),
        ("", []),
    ],
)
def test_what_was_never_read_is_named_as_typed(text: str, words: list[str]) -> None:
    assert said(text, MODELS["clip"]) == words


def test_each_kind_of_model_has_its_own_words() -> None:
    assert said("A cat walks left", MODELS["clip"]) == ["walks"]
    assert said("A cat walks left", MODELS["image"]) == said("A cat walks left", MODELS["video"]) == []
    assert said("a sad piano melody", MODELS["image"]) == ["sad", "piano", "melody"]
    assert said("a sad piano melody", MODELS["audio"]) == []


@pytest.mark.parametrize(
    "model", ["sd-turbo", "clip-vit-b-32", "musicgen-small", "wan-2.1-1.3b", "classroom-dino"]
)
def test_nothing_is_marked_for_models_whose_captions_nobody_knows(model: str) -> None:
    assert unread("an elephant riding a bicycle", model) == ()


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.text(), st.sampled_from(sorted(MODELS.values())))
def test_any_text_has_its_unread_words_where_they_are_said_to_be(text: str, model: str) -> None:
    known = words_read(catalogue.entry(model).role)
    end = 0
    for found in unread(text, model):
        assert text[found.start : found.end] == found.word != ""
        assert found.start >= end
        assert found.word.lower() not in known
        end = found.end


@pytest.mark.parametrize("text", ["'" * 20_000, "a" * 20_000, "a'" * 10_000, "🐱" * 10_000, "\u200d" * 9999])
def test_a_long_text_is_read_at_once(text: str) -> None:
    assert sum(len(found.word) for found in words_in(text)) <= len(text)


def all_known(phrase: str) -> bool:
    """Whether some model has read every word of a phrase."""
    words = {found.word for found in words_in(phrase)}
    return any(words <= words_read(role) for role in KINDS_READ)


def test_what_is_suggested_is_known_and_what_it_replaces_is_not() -> None:
    for word, suggestions in RELATED.items():
        assert any(word not in words_read(role) for role in KINDS_READ), word
        assert words_in(word)[0].word == word
        assert all(map(all_known, suggestions)), word
    assert RELATED["elephant"][0] == "horse" and RELATED["bicycle"][0] == "car"


def test_german_words_become_known_english_ones() -> None:
    text = "ein kleiner roter hund im schnee"
    assert " ".join(GERMAN[word] for word in text.split()) == "a small red dog in the snow"
    assert len({english for english in GERMAN.values() if english}) >= 100
    for german, english in GERMAN.items():
        assert all_known(english), german
        first = words_in(german)[0].word
        assert any(first not in words_read(role) for role in KINDS_READ) or " " in german or first in english
    assert set(AMBIGUOUS) <= set(GERMAN)


def test_a_known_typo_is_known_and_its_counterpart_is_not() -> None:
    for typo, other in TYPOS.items():
        assert typo in words_read("clip")
        assert said(other, MODELS["clip"])


def test_phrases_are_lists_of_the_grammar() -> None:
    assert {"object", "place", "colour", "style", "light", "composition", "motion", "sound"} <= KINDS.keys()
    assert KINDS["object"]["cat"] == ("cat", "kitten", "cats", "kittens")
    assert "a photo of" in BETWEEN["clip"] and "melody" in BETWEEN["audio"]
