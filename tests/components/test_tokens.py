"""The token view as a visitor or a program gets it."""

import html
import json
import re

import pytest

from components.tokens.tab import API, PIECES, example_second, render, tokens
from components.ui.language import load_texts
from pipelines.serving.errors import InputError
from pipelines.text.tokens import token_view
from tests.oracles import read

CLIP, IMAGE = "classroom-clip", "classroom-image"
LANGUAGES = ("en", "de")


def _draw(prompt: str, prompt_b: str = "", model: str = CLIP, language: str = "en") -> str:
    return "".join(render(prompt, prompt_b, model, load_texts(language)))


def _merges(drawn: str) -> dict:
    return json.loads(html.unescape(re.search(r'data-merges="([^"]*)"', drawn)[1]))


def _strip(drawn: str) -> str:
    return re.search(r'<div class="tk-strip".*?</div>', drawn, re.DOTALL)[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_ids_stand_in_the_strip(language):
    ids = re.findall(r'<span class="tk-id">(\d+)</span>', _strip(_draw("Dimm lighting.", language=language)))
    assert ids == ["49406", "570", "2848", "5799", "269", "49407"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("prompt_b", ["", "{prompt} {0} {b}"])
@pytest.mark.parametrize(
    "prompt",
    [
        "<img src=x onerror=alert(1)>",
        "<script>alert(1)</script>",
        "\"><b>'x'</b>",
        "&lt;i&gt;",
        "{text} {0} {{x}} ${y} %s",
        "cat " * 74 + "<b>cut</b> <i>",
    ],
)
def test_what_is_typed_never_becomes_html(prompt, prompt_b, language):
    drawn = _draw(prompt, prompt_b or prompt, language=language)
    tags = set(re.findall(r"<\s*/?\s*([a-zA-Z]+)", drawn))
    known = {"div", "span", "button", "p", "h", "i", "b", "em", "ul", "li", "table", "thead", "tbody"}
    known |= {"tr", "th", "td", "del", "ins", "wbr", "bdi"}
    assert tags <= known
    for name in ("onerror", "src"):
        assert f" {name}=" not in re.sub(r'"[^"]*"', '""', drawn)
    # Bare <i> and <b> are the view's own only with a class, a style, or as counted marks.
    assert "<b>cut" not in drawn
    assert "<b>'x'" not in drawn


@pytest.mark.parametrize("model", [CLIP, IMAGE])
@pytest.mark.parametrize(
    "prompt", ["ä ö ü ß", "👍🏽 👩‍👩‍👧 🇩🇪", "a \ufffd b", "\x00\u202e\u200b", "漢字" * 60]
)
def test_there_is_never_a_replacement_character(prompt, model):
    assert "\ufffd" not in _draw(prompt, prompt, model)


def test_letters_of_several_bytes_stand_above_them():
    drawn = _strip(_draw("schön ß"))
    assert "<b>ö</b><i>C3 B6</i>" in drawn
    assert "<b>ß</b><i>C3</i><em>byte 1 of 2</em>" in drawn
    assert "<b>ß</b><i>9F</i><em>byte 2 of 2</em>" in drawn
    assert "tk-bytes" not in _strip(_draw("cat"))


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "has 92 tokens, special tokens included; this encoder reads 77. The last 15 are cut off"),
        ("de", "92 Tokens, besondere mitgezählt; dieser Encoder liest 77. Die letzten 15 werden"),
    ],
)  # fmt: skip
def test_a_sentence_says_how_many_are_cut(language, sentence):
    drawn = _draw("cat " * 90, language=language)
    assert sentence in read(drawn)
    assert len(re.findall(r'class="tk-chip tk-cut"', _strip(drawn))) == 15
    assert 'aria-valuenow="77"' in drawn


def test_one_token_too_many_is_told_in_the_singular():
    assert "The last one is cut off" in read(_draw("cat " * 76))
    fits = _draw("cat " * 75)
    assert "Everything fits" in read(fits)
    assert "tk-cut" not in _strip(fits)


def test_thousands_of_cut_tokens_are_counted_not_drawn():
    drawn = _draw("cat " * 5000, language="de")
    assert "Die letzten 4.925 werden abgeschnitten" in read(drawn)
    assert "… und 4.865 weitere" in read(drawn)
    assert len(drawn) < 250_000


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t", "\x00\x01"])
def test_an_empty_prompt_shows_what_the_model_gets_nevertheless(prompt):
    drawn = _draw(prompt)
    assert "The prompt is empty" in read(drawn)
    assert re.findall(r'<span class="tk-id">(\d+)</span>', _strip(drawn)) == ["49406", "49407"]


def test_the_steps_of_cleaning_that_changed_something_are_told():
    drawn = _draw("A  cat &amp; don’t")
    assert "HTML decoded" not in read(drawn)  # open_clip's repair does it in its first step
    for label in ("Typed", "Cleaned up", "Spaces cleaned up", "Lower case"):
        assert label in read(drawn)
    assert "<del>" in drawn
    assert "Spaces cleaned up" not in read(_draw("a cat", "a dog"))


def test_the_data_for_the_script_build_every_word():
    data = _merges(_draw("A cat. Cozy atmosphere. Dimm lighting."))
    assert data["words"][data["start"]]["text"] == "dimm"
    for word in data["words"]:
        size = len(word["bytes"]) // 2
        assert size == sum(count for _, count in word["letters"]) == sum(p[1] for p in word["pieces"])
        joined = sum(len(at) for _, at, _ in word["merges"])
        assert size - joined == len(word["pieces"])
        for rank, _, ranks in word["merges"]:
            assert rank == min(r for r in ranks if r is not None)


def test_a_word_too_long_to_draw_says_so():
    word = _merges(_draw("a" * 65))["words"][0]
    assert not word["drawn"]
    assert _merges(_draw("a" * 64))["words"][0]["drawn"]


def test_the_two_libraries_differ_where_they_clean_differently():
    drawn = _draw("don’t")
    assert "same ids" not in read(drawn)
    assert "same ids" in read(_draw("a cat"))
    assert "Not on this machine" in read(drawn)
    assert "SD-Turbo" in read(drawn)


def test_the_second_prompt_is_compared():
    assert "replaced: small → large" in read(_draw("A small cat.", "A large cat."))
    assert "left out: small" in read(_draw("A small cat.", "A cat."))
    assert "added: big ß" in read(_draw("A cat.", "A big ß cat."))
    assert "the model cannot tell them apart" in read(_draw("A  CAT.", "a cat."))
    assert "Both prompts give the model the same tokens" in read(_draw("a cat", "a cat"))


@pytest.mark.parametrize(
    "prompt", ["A small cat on a bed.", "x" * 20_000, "", "A  House.", "Dimm light", "Haus."]
)
def test_without_a_second_prompt_there_is_an_example(prompt):
    assert example_second(prompt) != prompt
    assert "so this is an example" in read(_draw(prompt))


@pytest.mark.parametrize("language", LANGUAGES)
def test_bad_input_is_told_where_the_tokens_would_stand(language):
    t = load_texts(language)
    assert t("errors.text_broken") in read(_draw("\ud83d", language=language))
    assert "20000" in read(_draw("a" * 20_001, language=language))
    assert t("errors.model_unknown", received="<b>", known="") != ""
    assert "<b>" not in _draw("a", model="<b>", language=language)


def test_the_api_returns_plain_data():
    answer = API["tokens"]("Dimm cat", "Dim cat", CLIP)
    assert json.loads(json.dumps(answer)) == answer
    assert answer["ids"][:5] == [49406, 570, 2848, 2368, 49407]
    assert len(answer["ids"]) == answer["places"] == 77
    assert [t["text"] for t in answer["tokens"]] == ["<start_of_text>", "di", "mm", "cat", "<end_of_text>"]
    assert answer["words"][0]["merges"][-1]["symbols"] == ["di", "mm</w>"]
    assert [c["kind"] for c in answer["changes"]] == ["replace", "equal"]
    assert answer["message"].startswith("The prompt has 5 tokens")
    assert answer["tokenizers"][1]["ids"][:5] == [49406, 570, 2848, 2368, 49407]


def test_the_api_has_defaults_and_refuses_bad_input():
    assert tokens()["cleaned"] == "a small cat on a bed."
    assert tokens("cat " * 2500)["cut"] == 2425
    assert tokens("")["ids"][:2] == [49406, 49407]
    with pytest.raises(InputError, match="prompt_too_long"):
        tokens("a" * 20_001)
    with pytest.raises(InputError, match="prompt_too_long"):
        tokens("a", "a" * 20_001)
    with pytest.raises(InputError, match="model_unknown"):
        tokens("a", model="nothing")


@pytest.mark.parametrize("language", LANGUAGES)
def test_syntax_of_other_programs_and_a_typed_end_are_named(language):
    t = load_texts(language)
    drawn = read(_draw("a (cat:1.4) [dog|cat] BREAK", language=language))
    assert t("tokens.foreign", parts="(cat:1.4), [dog|cat], BREAK") in drawn
    assert t("tokens.typed_end", place=3) in read(_draw("cat <end_of_text> dog", language=language))
    assert "tk-foreign" not in _draw("A cat (small).", language=language)


def test_a_program_gets_the_same_hints():
    assert tokens("(cat:1.4)")["hints"] == [load_texts("en")("tokens.foreign", parts="(cat:1.4)")]
    answer = tokens("cat <end_of_text> dog")
    assert (answer["pooled_place"], len(answer["hints"])) == (2, 1)
    assert tokens("a cat")["hints"] == []


def test_the_preset_has_words_of_one_two_and_four_pieces():
    pieces = [p for p in token_view(PIECES, "classroom-clip").pieces if not p.special]
    counts = [sum(p.word == word for p in pieces) for word in sorted({p.word for p in pieces})]
    assert counts == [1, 2, 2, 4]
