"""Tokens against the libraries' own calls, and against what the models are really fed."""

import html
import random
import string
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import ftfy
import numpy as np
import open_clip
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from pipelines.clip import model as clip
from pipelines.clip.convert import clip_tokenizer
from pipelines.clip.model import clip_model
from pipelines.image.load import image_pipeline
from pipelines.serving.errors import InputError
from pipelines.text import readers as token_readers
from pipelines.text import tokens
from pipelines.text.bpe import merge_steps
from pipelines.text.tokens import compare, token_view

CLIP, IMAGE = "classroom-clip", "classroom-image"


def _letters(count: int, alphabet: str) -> str:
    rng = random.Random(5)
    return "".join(rng.choice(alphabet) for _ in range(count))


HOSTILE = {
    "lecture": "A cat. Cozy atmosphere. Dimm lighting.",
    "double blank": "A  cat in front of a House.",
    "empty": "",
    "blank": "   \t\n ",
    "curly quotes": "don’t “go” ‘there’ … – —",
    "apostrophes": "it's we'll I'd they've 'tis ''s '''",
    "umlauts": "Schöne Füße, größer als die Straße: ÄÖÜẞ",
    "composed": "cafe\u0301 u\u0308ber ﬁn ① Ａ ½",
    "emoji": "👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ☃️ 😀😀",
    "only emoji": "🐈",
    "right to left": "شخص مع قطة שלום\u200f\u202eabc\u202c",
    "control": "a\x00b\x01\x1c\x85c\x7f\u200b\ufeff\u2028d\x1b[31m",
    "html": "<b onclick='x'>cat</b> &lt;i&gt; &amp;amp; <script>alert(1)</script>",
    "templates": "{{value}} ${value} `x` \\n %s {prompt}",
    "open_clip marks": "a <start_of_text> cat <END_OF_TEXT> dog",
    "transformers marks": "a <|startoftext|> cat <|endoftext|> dog<|endoftext|>",
    "replacement": "a \ufffd cat",
    "mojibake": "schÃ¶n â€œcatâ€\x9d",
    "case": "ΑΣ İstanbul ǅ STRASSE",
    "digits": "2024 ٣ Ⅷ ² 1,000.5",
    "no spaces": "漢字かな한국어ไทย",
    "astral": "𝔠𝔞𝔱 \U0010ffff \U000e0041",
    "just fits": "cat " * 75,
    "one too many": "cat " * 76,
    "letter cut in two": "cat " * 74 + "ß",
    "10,000 words": "a small cat " * 833,
    "10,000 blanks": " " * 10_000,
    "10,000 in a row": "a" * 10_000,
    "10,000 signs": _letters(10_000, "!?.,-_#*+&;<>'\""),
    "10,000 Chinese": _letters(10_000, "漢字書道猫犬家"),
}


@pytest.fixture(scope="module")
def library() -> open_clip.tokenizer.SimpleTokenizer:
    return open_clip.tokenizer.SimpleTokenizer()


@pytest.fixture(scope="module")
def transformers_tokenizer() -> CLIPTokenizer:
    return clip_tokenizer()


@pytest.fixture(scope="module")
def fed_to_clip() -> Iterator[list[torch.Tensor]]:
    """The ids that arrive in the classroom CLIP's token table."""
    seen: list[torch.Tensor] = []
    loaded = clip_model(CLIP)
    hook = loaded.model.token_embedding.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    yield seen
    hook.remove()


@pytest.mark.parametrize("prompt", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.in_process
def test_the_ids_are_those_that_the_clip_model_is_fed(prompt, fed_to_clip):
    fed_to_clip.clear()
    clip.encode_texts([prompt], CLIP)
    np.testing.assert_array_equal(token_view(prompt, CLIP).ids, fed_to_clip[0][0].cpu().numpy())


@pytest.mark.parametrize("prompt", HOSTILE.values(), ids=HOSTILE.keys())
def test_the_ids_are_those_that_diffusers_gives_to_the_text_encoder(prompt, transformers_tokenizer):
    # The call of `StableDiffusionPipeline.encode_prompt`, 0.42.
    fed = transformers_tokenizer(
        prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids
    np.testing.assert_array_equal(token_view(prompt, IMAGE).ids, fed[0].numpy())


@pytest.mark.parametrize("model", [IMAGE, "tiny-sd"])
def test_a_diffusers_pipeline_itself_feeds_these_ids(model, tiny_models):
    pipe = image_pipeline(model)
    seen: list[torch.Tensor] = []
    hook = pipe.text_encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        for prompt in list(HOSTILE.values())[:20]:
            pipe.encode_prompt(prompt, "cpu", 1, False)
            np.testing.assert_array_equal(token_view(prompt, model).ids, seen[-1][0].cpu().numpy())
    finally:
        hook.remove()


def test_a_folder_with_two_tokenizers_shows_the_first(tiny_models):
    assert token_view("don’t", "tiny-turbo").ids[1:5].tolist() == [847, 728, 503, 339]


@pytest.mark.parametrize("prompt", HOSTILE.values(), ids=HOSTILE.keys())
def test_uncut_tokens_are_those_of_open_clip(prompt, library):
    view = token_view(prompt, CLIP)
    whole = library.encode(prompt)
    assert view.needed == len(whole) + 2
    shown = [p.id for p in view.pieces if p.word >= 0]
    assert shown == whole[: 75 + tokens.MAX_CUT_SHOWN]
    assert [p.symbol for p in view.pieces if p.word >= 0] == [library.decoder[i] for i in shown]
    assert view.cut == max(0, len(whole) - 75)
    assert view.used + view.cut == view.needed


@pytest.mark.parametrize("model", [CLIP, IMAGE])
@pytest.mark.parametrize("prompt", HOSTILE.values(), ids=HOSTILE.keys())
def test_step_by_step_merges_end_in_exactly_the_tokens(prompt, model):
    view = token_view(prompt, model)
    for word in view.words:
        pieces = view.pieces[word.first : word.first + word.count]
        if not word.symbols:
            assert pieces[0].special == "typed" or sum(len(p.data) for p in pieces) > 64 or word.count > 60
            continue
        final = word.merges[-1].symbols if word.merges else word.symbols
        assert list(final) == [p.symbol for p in pieces]


def test_every_step_applies_the_rule_learned_first(library):
    ranks = library.bpe_ranks
    for word in ("dimm", "lighting", "banana", "mississippi", "schön", "atmosphäre"):
        letters = "".join(library.byte_encoder[b] for b in word.encode())
        before = (*letters[:-1], letters[-1] + "</w>")
        for step in merge_steps(letters, ranks):
            pairs = list(pairwise(before))
            assert step.rank == min(ranks[p] for p in pairs if p in ranks)
            assert [ranks.get(p) for p in pairs] == list(step.candidates)
            assert "".join(step.symbols) == "".join(before)
            assert len(step.symbols) == len(before) - len(step.at)
            assert all(before[i : i + 2] == (step.left, step.right) for i in step.at)
            before = step.symbols
        assert " ".join(before) == library.bpe(letters)


def test_a_rule_is_applied_to_all_its_places_at_once():
    ranks = {("a", "b"): 0, ("ab", "ab"): 1, ("ab", "ab</w>"): 2, ("a", "b</w>"): 3}
    steps = merge_steps("ababab", ranks)
    assert [s.at for s in steps] == [(0, 2), (0,), (1,)]
    assert steps[-1].symbols == ("abab", "ab</w>")
    assert merge_steps("x", ranks) == ()


def test_clip_has_one_rule_per_token(library):
    """What makes the fast BPE and the library's slow one agree on every word."""
    made = ["".join(pair) for pair in library.bpe_ranks]
    assert len(set(made)) == len(made) == 48_894


def test_random_words_agree_with_the_slow_library(library):
    rng = random.Random(3)
    alphabet = string.ascii_letters + "äöüßéñ🐈’"
    text = " ".join("".join(rng.choices(alphabet, k=rng.randint(1, 30))) for _ in range(400))
    reader = token_readers.reader(CLIP)
    assert list(reader.read(text).ids) == library.encode(text)


def test_dimm_is_split_in_two():
    view = token_view("Dimm lighting.", CLIP)
    assert [(p.text, p.id) for p in view.fed[1:-1]] == [
        ("di", 570),
        ("mm", 2848),
        ("lighting", 5799),
        (".", 269),
    ]
    assert [p.ends_word for p in view.fed[1:-1]] == [False, True, True, True]
    word = view.words[0]
    assert word.text == "dimm"
    assert [step.symbols[-1] for step in word.merges][-1] == "mm</w>"


def test_cleaning_is_told_step_by_step():
    view = token_view("A  cat &amp; don’t", CLIP)
    assert [(c.name, c.text) for c in view.cleaning] == [
        ("repair", "A  cat & don't"),
        ("html", "A  cat & don't"),
        ("space", "A cat & don't"),
        ("lower", "a cat & don't"),
    ]
    view = token_view("A  cat &amp; don’t", IMAGE)
    assert view.cleaning[-1].text == "a cat &amp; don’t"


@pytest.mark.parametrize("prompt", HOSTILE.values(), ids=HOSTILE.keys())
def test_the_last_step_of_cleaning_is_what_the_library_splits(prompt, library, transformers_tokenizer):
    assert token_view(prompt, CLIP).cleaning[-1].text == library.clean_fn(prompt)
    backend = transformers_tokenizer.backend_tokenizer
    assert token_view(prompt, IMAGE).cleaning[-1].text == backend.normalizer.normalize_str(prompt)


def test_the_curly_apostrophe_is_read_differently_by_the_two_libraries():
    assert token_view("don’t", CLIP).ids[1:3].tolist() == [847, 713]
    assert token_view("don’t", IMAGE).ids[1:5].tolist() == [847, 728, 503, 339]


@pytest.mark.parametrize("model", [CLIP, IMAGE])
@pytest.mark.parametrize("prompt", HOSTILE.values(), ids=HOSTILE.keys())
def test_letters_are_shown_with_their_bytes_and_never_as_a_replacement(prompt, model):
    view = token_view(prompt, model)
    for word in view.words:
        pieces = view.pieces[word.first : word.first + word.count]
        if word.symbols:
            spelled = b"".join(p.data for p in pieces)
            assert spelled == "".join(x.char for x in word.letters).encode()
    for piece in view.pieces:
        assert "\ufffd" not in piece.text
        for letter in piece.letters:
            assert letter.char.encode()[letter.first : letter.first + len(letter.data)] == letter.data
            assert letter.size == len(letter.char.encode())
            assert letter.label.strip(), "something that can be seen"


def test_a_letter_split_between_tokens_keeps_its_name():
    view = token_view("ß", CLIP)
    halves = [p.letters[0] for p in view.fed[1:-1]]
    assert [(x.char, x.data, x.first, x.whole) for x in halves] == [
        ("ß", b"\xc3", 0, False),
        ("ß", b"\x9f", 1, False),
    ]
    thumb = token_view("👍🏽", CLIP).fed[1]
    assert [x.char for x in thumb.letters] == ["👍", "🏽"]


def test_the_empty_prompt_is_start_and_end_and_each_library_pads_its_own_way():
    a, b = token_view("", CLIP), token_view("", IMAGE)
    assert [p.special for p in a.fed] == ["start", "end"]
    assert a.ids.tolist() == [49406, 49407] + [0] * 75
    assert b.ids.tolist() == [49406] + [49407] * 76


def test_what_does_not_fit_is_cut_and_the_end_keeps_its_place():
    view = token_view("cat " * 90, CLIP)
    assert (view.needed, view.places, view.cut) == (92, 77, 15)
    assert len(view.fed) == 77
    assert view.fed[-1].special == "end"
    assert view.ids[-1] == 49407
    assert len(view.dropped) == 15
    assert token_view("cat " * 75, CLIP).cut == 0


def test_marks_that_a_visitor_types_are_told_apart():
    assert [p.special for p in token_view("<|endoftext|> cat", IMAGE).fed] == ["start", "typed", "", "end"]
    assert [p.special for p in token_view("<end_of_text> cat", CLIP).fed] == ["start", "typed", "", "end"]


def test_comparing_says_what_changed():
    a, b = token_view("A small cat on a bed.", CLIP), token_view("A large cat on the big bed.", CLIP)
    changes = compare(a, b)
    assert [(c.kind, [p.text for p in c.a], [p.text for p in c.b]) for c in changes] == [
        ("equal", ["a"], ["a"]),
        ("replace", ["small"], ["large"]),
        ("equal", ["cat", "on"], ["cat", "on"]),
        ("replace", ["a"], ["the", "big"]),
        ("equal", ["bed", "."], ["bed", "."]),
    ]
    assert [(c.a_place, c.b_place) for c in changes] == [(1, 1), (2, 2), (3, 3), (5, 5), (6, 7)]
    assert [c.kind for c in compare(a, a)] == ["equal"]
    assert compare(token_view("", CLIP), token_view("", CLIP)) == ()


def test_many_visitors_type_at_once():
    prompts = [f"{name} {text[:200]}" for name, text in HOSTILE.items()] * 4
    alone = {(p, m): token_view(p, m).ids for p in set(prompts) for m in (CLIP, IMAGE)}
    jobs = [(p, m) for p in prompts for m in (CLIP, IMAGE)]
    with ThreadPoolExecutor(16) as pool:
        for job, view in zip(jobs, pool.map(lambda job: token_view(*job), jobs), strict=True):
            np.testing.assert_array_equal(view.ids, alone[job])


def test_bad_input_is_refused_with_a_reason():
    with pytest.raises(InputError, match="prompt_too_long") as long:
        token_view("a" * (tokens.MAX_CHARACTERS + 1), CLIP)
    assert long.value.values == {"limit": 20_000, "received": 20_001}
    with pytest.raises(InputError, match="text_broken"):
        token_view("a\ud83d", CLIP)
    with pytest.raises(InputError, match="model_unknown"):
        token_view("a", "gpt-7")


FRAGMENTS = (
    "<start_of_text>", "<END_of_text>", "<|startoftext|>", "<|endoftext|>", "<|ENDOFTEXT|>",
    "<ſtart_of_text>", "\u0345", "\u0338", "ſ", "K", "İ", "ᾳ", "e\u0301", "é", "&amp;amp;",
    "schÃ¶n", "’ll", "'S", "ﬁ", "Ａ",
    " ", "\n", "\x1c", "\x85", "\ufeff",
)  # fmt: skip
TYPED = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=6), max_size=12).map("".join)
STANDING = (
    "You should've done this",
    "r\u00e9sum\u00e9",
    "re\u0301sume\u0301",
    "A\n'll 11p223RF☆ho!!to?",
    "“cat” ‘dog’",
    "ﬁre ﬂower",
    "ＣＡＴ １",
    "&amp; &amp;amp;",
    "schÃ¶n",
    "(cat:1.4)",
    "[cat|dog]",
    "cat BREAK dog",
    "cat <start_of_text> dog<end_of_text>",
    "cat <|startoftext|> dog<|endoftext|>",
    "\u0345<start_of_text>a",
)


def _solid(text: str) -> str:
    """A text without what Unicode calls white space; Python alone counts U+001C to U+001F among it."""
    return "".join(c for c in text if not c.isspace() or "\x1c" <= c <= "\x1f")


def _bytes_agree(view: tokens.TokenView) -> bool:
    """Whether the pieces say exactly the cleaned text, blanks aside; of a long prompt its beginning."""
    said = b"".join(piece.data for piece in view.pieces)
    cleaned = _solid(view.cleaning[-1].text).encode()
    return said == cleaned if not view.cut else cleaned.startswith(said)


def _standing(test):
    for text in STANDING:
        test = example(text=text)(test)
    return test


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=TYPED)
@_standing
def test_open_clip_is_shown_as_it_cleans_and_reads_any_script(text, library):
    view = token_view(text, CLIP)
    steps = {step.name: step.text for step in view.cleaning}
    repaired = ftfy.fix_text(text)
    unescaped = html.unescape(html.unescape(repaired))
    assert (steps["repair"], steps["html"]) == (repaired, unescaped)
    cleaned = [step.text for step in view.cleaning if step.name != "unread"][-1]
    assert cleaned == " ".join(unescaped.split()).lower().strip()
    np.testing.assert_array_equal(view.ids, library([text])[0].numpy())
    assert _bytes_agree(view)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=TYPED)
@_standing
def test_transformers_is_shown_as_it_cleans_and_reads_any_script(text, transformers_tokenizer):
    view = token_view(text, IMAGE)
    assert {step.name for step in view.cleaning} <= {"unicode", "space", "lower"}
    fed = transformers_tokenizer(text, padding="max_length", max_length=77, truncation=True)
    assert view.ids.tolist() == fed.input_ids
    assert _bytes_agree(view)


def test_what_open_clip_passes_over_is_a_step_of_its_cleaning():
    step = token_view("a\u0345 cat", CLIP).cleaning[-1]
    assert (step.name, step.text) == ("unread", "a cat")
    assert [step.name for step in token_view("a cat", CLIP).cleaning] == ["repair", "html", "space"]


def test_the_two_cleanings_differ_where_the_libraries_do():
    for text, first, second in (
        ("&amp;", "&", "&amp;"),
        ("schÃ¶n", "schön", "schã¶n"),
        ("“cat”", '"cat"', "“cat”"),
        ("ＣＡＴ", "cat", "ｃａｔ"),
        ("ﬁre", "fire", "ﬁre"),
        ("re\u0301sume\u0301", "résumé", "résumé"),
    ):
        cleaned = [token_view(text, model).cleaning[-1].text for model in (CLIP, IMAGE)]
        assert cleaned == [first, second]


def test_a_standing_case_has_the_ids_of_openais_vocabulary():
    # As published: https://github.com/openai/CLIP, the list that open_clip ships.
    for model in (CLIP, IMAGE):
        assert token_view("You should've done this", model).ids[1:6].tolist() == [592, 1535, 1200, 1700, 589]
