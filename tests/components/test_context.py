"""The context tab as a visitor or a program gets it."""

import base64
import html
import json
import re
from typing import Any

import numpy as np
import pytest

from components.context import tab
from components.context.figures import moves_figure, pair_figure, spread
from components.context.tab import API, TRIALS, context
from components.context.view import packed, view_html
from components.ui.language import load_texts
from pipelines.serving.errors import InputError
from pipelines.text.context import read_contexts, shared_words
from tests.oracles import read

MODEL = "classroom-clip"
PROMPT = "A small cat on a bed."
LANGUAGES = ("en", "de")
EN = load_texts("en")


def _show(prompt: str, prompt_b: str = "", key: str = "", language: str = "en") -> list[Any]:
    t = load_texts(language)
    pair = tab._compare(t, prompt, prompt_b, MODEL, key)
    return [*tab._look(t, prompt, MODEL)[1:], *tab._move(t, prompt, MODEL), *pair]


def _data(drawn: str) -> dict[str, Any]:
    return json.loads(html.unescape(re.search(r'data-context="([^"]*)"', drawn)[1]))


def _unpacked(data: dict[str, Any]) -> np.ndarray:
    """The weights as the script reads them: row by row, a causal row ends at its own token."""
    flat = iter(base64.b64decode(data["weights"]))
    n = len(data["tokens"])
    out = np.zeros((data["layers"], data["heads"], n, n))
    for layer in out:
        for head in layer:
            for i in range(n):
                for j in range(i + 1 if data["causal"] else n):
                    head[i, j] = next(flat) / 255
    assert next(flat, None) is None
    return out


@pytest.mark.parametrize("prompt", [PROMPT, "", "cat " * 90])
def test_the_script_gets_all_of_the_attention(prompt):
    (found,) = read_contexts([prompt], MODEL)
    data = _data(view_html(found, EN))
    np.testing.assert_allclose(_unpacked(data), found.attention, atol=0.5 / 255 + 1e-6)
    assert len(data["tokens"]) == found.view.used
    assert 0 <= data["start"] < len(data["tokens"])


def test_a_model_that_reads_both_ways_sends_the_upper_triangle_too():
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 2, 3))
    data = {"weights": packed(weights, False), "tokens": "abc", "layers": 2, "heads": 2, "causal": False}
    np.testing.assert_allclose(_unpacked(data), weights, atol=0.5 / 255 + 1e-6)


def test_the_first_look_is_that_of_a_thing_and_equal_tokens_can_be_told_apart():
    data = _data(_show(PROMPT)[1])
    names = [name for _, name, *_ in data["tokens"]]
    assert names == ["start", "a", "small", "cat", "on", "a (2.)", "bed", ".", "end"]
    assert names[data["start"]] == "cat"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "prompt",
    ["<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "\"><b>'x'</b>", "{word} {0} %{y} ${a} %s"],
)
def test_what_is_typed_never_becomes_html(prompt, language):
    shown = _show(prompt, prompt + " a cat", "<i>x</i>·1", language)
    for drawn in (shown[0], shown[1], shown[3], shown[4], shown[7]):
        tags = set(re.findall(r"<\s*/?\s*([a-zA-Z]+)", drawn))
        assert tags <= {"div", "span", "p", "b", "bdi", "h"}
        assert not re.search(r"<b>(?!A</b>|B</b>)", drawn)
    for figure in (shown[2], shown[6]):
        texts = [trace.name for trace in figure.data] + [a.text for a in figure.layout.annotations]
        for text in texts:
            bare = re.sub(r'<span style="color:#[0-9a-f]{6}">●</span>|</?b>', "", text)
            assert "<" not in bare


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "The second prompt is still empty, so this is an example: “A large cat on a bed.”"),
        ("de", "Der zweite Prompt ist noch leer, darum ein Beispiel: „A large cat on a bed.“"),
    ],
)
def test_without_a_second_prompt_there_is_an_example(language, sentence):
    shown = _show(PROMPT, language=language)
    assert sentence in read(shown[4])
    assert shown[5].value == "cat·1"
    assert "still empty" not in read(_show(PROMPT, "a cat")[4])


def test_what_stands_behind_a_word_cannot_change_it_and_the_tab_says_so():
    a, b, key = TRIALS["after"]
    verdict = read(_show(a, b, key)[7])
    assert "“cat” cannot change at all" in verdict and "The end token has seen both sentences" in verdict
    a, b, key = TRIALS["before"]
    verdict = read(_show(a, b, key)[7])
    assert "same token, same position (7)" in verdict and "Only what stands before it" in verdict


def test_another_place_is_named_as_a_possible_cause():
    verdict = read(_show("a black cat", "a cat", "cat·1")[7])
    assert "differ by their position alone (4 in A, 3 in B)" in verdict
    assert "here they cannot be told apart" in verdict


@pytest.mark.parametrize("name", TRIALS)
def test_every_trial_has_its_word_in_both_sentences(name):
    a, b, key = TRIALS[name]
    assert key in [word.key for word in shared_words(*read_contexts([a, b], MODEL))]


def test_equal_prompts_part_nowhere():
    assert "same tokens to the model" in read(_show("a cat", "A  cat")[7])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_second_prompt_that_is_too_long_is_cut_and_told(language):
    shown = _show(PROMPT, "cat " * 90, language=language)
    assert load_texts(language)("context.cut_many", name="B", needed=92, places=77, cut=15) in read(shown[4])
    assert shown[5].value == "cat·1"
    assert "Prompt B" not in read(_show(PROMPT, "cat " * 75)[4])
    one = load_texts(language)("context.cut_one", name="A", needed=78, places=77, cut=1)
    assert one in read(_show("cat " * 76, language=language)[1])


def test_the_chosen_word_survives_editing_while_both_have_it():
    shown = _show("A small cat on a red bed.", "A large cat on a bed.", "bed·1")
    assert shown[5].value == "bed·1"
    assert "no longer" not in read(shown[4])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_chosen_word_that_is_gone_is_told_and_another_shown(language):
    shown = _show("A small cat.", "A large cat.", "bed·1", language)
    t = load_texts(language)
    assert t("context.word_gone", word="bed", shown="cat") in read(shown[4])
    assert shown[5].value == "cat·1"
    assert [key for _, key in shown[5].choices] == ["a·1", "cat·1", ".·1", "·1"]


def test_prompts_without_a_common_word_compare_their_end_marks():
    shown = _show("cat", "dog", "bed·1")
    assert shown[5].choices == [("end", "·1")]
    assert "shown is “end”" in read(shown[4])


@pytest.mark.parametrize("prompt", ["", "   ", "\n"])
def test_an_empty_prompt_is_read_nevertheless(prompt):
    shown = _show(prompt)
    assert [entry[0] for entry in _data(shown[1])["tokens"]] == ["start", "end"]
    assert len(shown[2].data) == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_bad_input_is_told_where_its_view_would_stand(language):
    refused = _show("a" * 20_001, language=language)
    assert "20000" in read(refused[1])
    assert load_texts(language)("errors.text_broken") in read(_show("\ud83d", language=language)[1])
    shown = _show(PROMPT, "\ud83d", language=language)  # the first prompt's views are not lost
    assert "data-context" in shown[1] and load_texts(language)("errors.text_broken") in read(shown[4])


def test_the_choice_of_a_word_is_remembered():
    assert tab._compare(EN, PROMPT, "a cat on a bed", MODEL, "on·1")[1].value == "on·1"
    assert tab._compare(EN, PROMPT, "a cat", MODEL, "on·1")[1].value == "cat·1"  # for as long as it must


def test_lines_are_the_distances_and_similarities_in_the_tokens_colours():
    a, b = read_contexts([PROMPT, "A large cat on a bed."], MODEL)
    figure = moves_figure(a, EN)
    colours = [entry[2] for entry in _data(view_html(a, EN))["tokens"]]
    assert [trace.line.color for trace in figure.data] == colours
    np.testing.assert_allclose([trace.y for trace in figure.data], a.distances.T, atol=1e-4)
    words = shared_words(a, b)
    parted = pair_figure(a, words, words[1], EN)
    np.testing.assert_allclose([trace.y for trace in parted.data], [w.similarity for w in words], atol=1e-4)
    assert max(parted.data, key=lambda trace: trace.line.width).name == "cat"
    assert [trace.line.color for trace in parted.data] == [colours[w.a_place] for w in words]
    assert parted.layout.yaxis.range[1] > 1 > figure.layout.yaxis.range[0]


def test_long_prompts_have_no_names_in_each_others_way():
    (found,) = read_contexts(["cat dog " * 30], MODEL)
    assert moves_figure(found, EN).layout.annotations == ()
    words = shared_words(found, found)
    assert len(pair_figure(found, words, words[3], EN).layout.annotations) == 1


def test_names_are_spread_without_changing_their_order():
    values = [1.0, 1.0, 0.2, 0.99, 1.0]
    heights = spread(values, 0.1, 0, 1.05)
    assert max(heights) <= 1.05
    ordered = [heights[i] for i in np.argsort(values, kind="stable")]
    assert np.diff(ordered).min() >= 0.1 - 1e-9
    assert heights[2] == 0.2
    assert spread([0.5], 0.1, 0, 1) == [0.5]


def test_the_api_returns_plain_data():
    answer = API["context"](PROMPT, "a cat on a bed", MODEL)
    assert json.loads(json.dumps(answer)) == answer
    assert [token["text"] for token in answer["tokens"]][1:4] == ["a", "small", "cat"]
    assert np.array(answer["attention"]).shape == (4, 9, 9)
    np.testing.assert_allclose(np.sum(answer["attention"], -1), 1, atol=1e-3)
    assert np.array(answer["distances"]).shape == (5, 9)
    word = next(w for w in answer["words"] if w["text"] == "cat")
    assert (word["place"], word["place_b"], len(word["similarity"])) == (3, 2, 5)
    assert np.array(answer["b"]["attention"]).shape == (4, 7, 7)


def test_the_api_has_defaults_and_refuses_bad_input():
    assert "words" not in context()
    assert context("cat " * 100)["cut"] == 25
    assert context("", "  ")["tokens"][0]["mark"] == "start"
    for values, key in (
        (("a" * 20_001,), "prompt_too_long"),
        (("a", "a" * 20_001), "prompt_too_long"),
        (("a", "b", "nothing"), "model_unknown"),
    ):
        with pytest.raises(InputError, match=key):
            context(*values)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_look_up_shows_a_row_a_token_and_says_which_are_the_same(language):
    t = load_texts(language)
    shown = tab._look(t, "a cat on a bed", MODEL)[0]
    assert len(re.findall("<tr>", shown)) == 1 + 7  # start and end included
    rows = re.findall(r'<img src="([^"]+)"', shown)
    assert rows[1] == rows[4] and len(set(rows)) == len(rows) - 1  # "a" is the same row twice
    assert t("context.lookup_same", word="a") in read(shown)
    assert tab._look(t, "x" * 20_001, MODEL)[0] == ""
