"""The token view of transformers: their own tokenizers, with all that is wrapped around a prompt."""

import html
import re

import pytest

from components.tokens.segments_view import compared_html, rows_of, segments_html
from components.tokens.tab import render, tokens
from components.ui.language import load_texts
from pipelines.image.handed_over import segments_of, tokens_cut
from pipelines.serving import catalogue, loading
from pipelines.serving.errors import InputError
from pipelines.text.pieces import visible
from pipelines.text.tokens import cut_of, other_readers, token_view

T, DE = load_texts("en"), load_texts("de")
PROMPT = "a small cat"
TEMPLATED = ("tiny-klein", "tiny-sana", "tiny-sprint")
pytestmark = pytest.mark.usefixtures("transformers_of_today")


def chips(page: str) -> list[tuple[str, str, int]]:
    """Kind, letters and position of every token that is drawn, 0 for none."""
    found = re.findall(
        r'data-kind="(\w+)">\s*<span class="tk-face"[^>]*>(.*?)</span> (?:<span class="tk-id">(\d+)<)?', page
    )
    return [(kind, html.unescape(face), int(place or 0)) for kind, face, place in found]


def drawn(model: str, prompt: str = PROMPT) -> str:
    return segments_html(segments_of(prompt, model), catalogue.entry(model), T)


@pytest.mark.parametrize("model", ["tiny-sd3", "tiny-klein", "tiny-sana", "tiny-sprint", "tiny-prx"])
def test_every_token_of_every_encoder_stands_at_its_place(model: str) -> None:
    segments = segments_of(PROMPT, model)
    asked = [
        (row.kind, "".join(map(visible, row.text)) or visible(" "), place)
        for segment in segments
        for place, row in enumerate(segment.tokens, segment.first + 1)
    ]
    handed = [chip for chip in chips(drawn(model)) if chip[2]]
    assert handed == asked
    assert "".join(face for kind, face, _ in asked if kind == "word").replace("␣", "").startswith("asmallcat")


def test_two_encoders_stand_one_below_the_other_and_a_word_keeps_its_colour() -> None:
    page = drawn("tiny-sd3", "a a")
    headings = re.findall(r'<p class="tk-label">(.*?)</p>', page)
    assert len(headings) == 2 and "in 77 positions (1 to 77)" in headings[0]
    assert "in 256 positions (78 to 333)" in headings[1]
    colours = set(re.findall(r'style="--c:(#\w+);[^"]*" title="a: token', page))
    assert len(re.findall('title="a: token', page)) == 4 and len(colours) == 1


def test_an_instruction_that_hands_over_no_rows_stands_where_it_is_read() -> None:
    page = html.unescape(drawn("tiny-sana"))
    instruction = segments_of(PROMPT, "tiny-sana")[0].unhanded
    found = chips(page)
    assert len(instruction) > 100 and {row.kind for row in instruction} == {"template"}
    assert [place for *_, place in found[: len(instruction) + 1]] == [1] + [0] * len(instruction)
    letters = "".join(face for kind, face, _ in found if kind == "unhanded").replace("␣", "")
    assert letters.startswith("Givenauserprompt") and T("tokens.segments.why_unhanded") in page
    assert "tk-given-unhanded" not in drawn("tiny-klein")


@pytest.mark.parametrize("model", TEMPLATED)
def test_what_is_wrapped_around_a_prompt_is_marked_and_explained(model: str) -> None:
    page = html.unescape(drawn(model))
    assert page.count("tk-given-template") > 1 and T("tokens.segments.why_template") in page
    assert T("tokens.segments.why_mark") in page


@pytest.mark.parametrize("model", ["tiny-sd3", "tiny-prx"])
def test_where_nothing_is_wrapped_nothing_is_said_of_it(model: str) -> None:
    page = html.unescape(drawn(model))
    assert "tk-given-template" not in page and T("tokens.segments.why_template") not in page
    assert T("tokens.segments.why_mark") in page


def test_each_encoder_says_how_many_tokens_it_cuts() -> None:
    prompt = "cat " * 100
    clip, t5 = segments_of(prompt, "tiny-sd3")
    page = drawn("tiny-sd3", prompt)
    assert re.findall(r'tk-warn">(.*?)</p>', page) == [
        T("tokens.segments.cut_many", cut=str(clip.cut)), T("tokens.segments.cut_many", cut=str(t5.cut)),
    ]  # fmt: skip
    assert "tk-warn" not in drawn("tiny-sd3")


def test_tokens_that_the_second_prompt_adds_are_marked() -> None:
    first, second = (segments_of(text, "tiny-klein") for text in (PROMPT, f"{PROMPT}xyz"))
    page = compared_html(first, second, f"{PROMPT}xyz", DE)
    new = re.findall(r'tk-new"\s+style="[^"]*" title="(\w)', page)
    assert new == ["x", "y", "z"]
    same = compared_html(first, first, PROMPT, T)
    count = len(rows_of(first))
    assert "tk-new" not in same and f"{count} of {count} tokens" in same


def test_the_tab_shows_a_transformers_own_tokens_and_no_others() -> None:
    reading, merges, compared, table = render(PROMPT, "a dog", "tiny-klein", T)
    assert reading == drawn("tiny-klein") and "a dog" in compared
    assert "data-merges" not in merges and "tk-table" not in table
    assert not loading.is_loaded("tiny-klein"), "splitting a text needs no weights"


@pytest.mark.parametrize("t", [T, DE])
def test_a_model_that_is_not_on_disk_is_not_fetched(t, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("load_config", "from_pretrained"):
        monkeypatch.setattr(f"diffusers.DiffusionPipeline.{name}", lambda *_, **__: pytest.fail("fetched"))
    reading, *others = render(PROMPT, "", "flux-2-klein-4b", t)
    said = t("errors.model_not_on_disk", title="FLUX.2 klein 4B", download_gb=16.0)
    assert said in html.unescape(reading) and "alert" not in reading and others == ["", "", ""]
    with pytest.raises(InputError, match="model_not_on_disk"):
        tokens(PROMPT, "", "flux-2-klein-4b")


def test_letters_that_look_like_html_stay_letters() -> None:
    page = drawn("tiny-klein", "<b>x</b>")
    assert "<b>" not in page and [face for kind, face, _ in chips(page) if kind == "word"] == list("<b>x</b>")


def test_a_program_gets_the_same_tokens() -> None:
    found = tokens(PROMPT, "a dog", "tiny-sd3")
    clip, t5 = found["segments"]
    assert [token["kind"] for token in clip["tokens"]] == ["mark", "word", "word", "word", "mark"]
    assert t5["places"] == [77, 333] and t5["tokens"][0]["place"] == 77
    assert len(found["segments_b"][0]["tokens"]) == 4


def test_the_table_of_bare_prompts_leaves_transformers_out() -> None:
    rows, missing = other_readers(token_view(PROMPT, "classroom-clip"))
    named = {model for row in rows for model in row.models} | set(missing)
    assert "flux-2-klein-4b" in named and not any(name.startswith("tiny-") for name in named)


def test_tokens_that_no_encoder_reads_are_counted() -> None:
    long = "cat " * 100
    clip, t5 = segments_of(long, "tiny-sd3")
    assert tokens_cut(long, "tiny-sd3") == min(clip.cut, t5.cut) > 0
    assert tokens_cut(PROMPT, "tiny-sd3") == 0 == tokens_cut(long, "flux-2-klein-4b")
    assert tokens_cut(long, "classroom-image") == cut_of(long, "classroom-image") > 0
