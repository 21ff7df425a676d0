"""Unread words are marked wherever a prompt is shown, in both languages, and what is typed stays text."""

import json
import re

import gradio as gr
import pytest
from markupsafe import Markup

from components.context.view import view_html
from components.page.document import dress
from components.page.prompt_bar import EXAMPLES
from components.page.vocabulary import PALETTE, TAB_ROLES, build_palette, reads, script_data
from components.prompt_lab.builder import builder_html
from components.tokens.tab import render
from components.ui.language import load_texts
from components.ui.token_text import MAX_NAMED, are_unread, typo_sentence, unread_sentence, unread_words
from pipelines.serving import catalogue
from pipelines.text.context import read_contexts
from pipelines.text.tokens import token_view
from pipelines.text.vocabulary import KINDS, KINDS_READ, unread

CLIP = "classroom-clip"
ELEPHANT = "an elephant riding a bicycle"
DIMM = EXAMPLES[-1].prompt
HOSTILE = '<img src=x onerror="alert(1)">'


def _plain(page: str) -> str:
    """What a person reads: without tags."""
    return Markup(page).striptags()


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_token_view_marks_unread_words_and_says_what_that_means(language: str) -> None:
    t = load_texts(language)
    page = "".join(render(ELEPHANT, "", CLIP, t))
    assert t("vocabulary.unread", words="elephant, riding, bicycle") in _plain(page)
    assert page.count("tk-unread") == 3
    assert page.count(f': {t("vocabulary.never")}"') >= 3
    assert "tk-unread" not in "".join(render("A small cat on a bed.", "", CLIP, t))


def test_the_lectures_typo_is_said_to_be_known_beside_one_that_is_not() -> None:
    t = load_texts("en")
    page = "".join(render(DIMM, "", CLIP, t))
    assert "tk-unread" not in page
    assert typo_sentence(DIMM, CLIP, t).endswith("brigth light") and "brigth light" in page
    assert typo_sentence(DIMM, "clip-vit-b-32", t) == typo_sentence("a cat", CLIP, t) == ""


def test_tokens_of_unread_words_are_told_piece_by_piece() -> None:
    view = token_view("A cat, asdfgh 🐱 schönes", CLIP)
    new = "".join(p.text for p, is_new in zip(view.fed, are_unread(view.fed, CLIP), strict=True) if is_new)
    assert new.startswith("asdfgh") and "🐱" in new and new.endswith("nes") and "cat" not in new
    assert not any(are_unread(token_view("A cat.", CLIP).fed, CLIP))


def test_the_context_view_marks_them() -> None:
    t = load_texts("de")
    (found,) = read_contexts([ELEPHANT], CLIP)
    page = view_html(found, t)
    assert t("vocabulary.unread", words="elephant, riding, bicycle") in _plain(page)
    data = json.loads(re.search(r'data-context="([^"]*)"', page)[1].replace("&#34;", '"'))  # type: ignore[index]
    assert [row[0] for row in data["tokens"] if row[5]] == ["elephant", "riding", "bicycle"]


def test_the_prompt_lab_names_them_for_the_model_that_draws() -> None:
    t = load_texts("en")
    said = t("vocabulary.unread_short", words="elephant, riding, bicycle")
    assert said in _plain(builder_html(ELEPHANT, "", "size", None, t))
    assert "pl-unread" not in builder_html(ELEPHANT, "", "size", None, t, "sd-turbo")
    assert "pl-unread" not in builder_html("a cat", "", "size", None, t)


def test_many_and_long_words_are_cut_and_what_was_typed_stays_text() -> None:
    t = load_texts("en")
    words = unread_words("aa bb cc dd ee ff gg hh " + "x" * 5000, CLIP, t)
    assert words.striptags() == "aa, bb, cc, dd, ee, ff and 3 more" and MAX_NAMED == 6
    assert len(unread_words("x" * 5000, CLIP, t).striptags()) < 100
    assert unread_sentence("Elephant elephant", CLIP, t).count("lephant") == 1
    for page in ("".join(render(HOSTILE, "", CLIP, t)), builder_html(HOSTILE, "", "size", None, t)):
        assert "<img" not in page


def test_hub_models_have_no_list_and_nothing_is_marked() -> None:
    assert unread_sentence(ELEPHANT, "clip-vit-b-32", load_texts("en")) == ""


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_panel_has_a_button_for_every_value_of_every_kind(language: str) -> None:
    with gr.Blocks() as page:
        build_palette(load_texts(language))
    html = next(b.value for b in page.blocks.values() if b.elem_id == "words-palette")
    shown = set(re.findall(r'data-phrase="([^"]*)"', html))
    assert shown == {words[0] for kind in PALETTE for words in KINDS[kind].values()}
    assert len(shown) >= 70
    assert ("<small>Katze</small>" in html) == (language == "de")
    assert re.findall(r'data-kind="(\w+)"', html) == list(PALETTE)


def test_the_browser_is_told_all_of_it_once_and_it_ends_no_script() -> None:
    for language in ("en", "de"):
        told = script_data(language)
        assert "<" not in told and json.loads(told)["listed"] == [f"classroom-{role}" for role in KINDS_READ]
        html = dress('<html lang="en"><head></head><body></body></html>', language)
        assert html.count(f"window.svVocabulary={told};") == 1
        assert len(told.encode()) < 20_000


def test_every_field_for_prompts_says_who_reads_it(demo: gr.Blocks) -> None:
    fields = [b for b in demo.blocks.values() if isinstance(b, gr.Textbox)]
    said = {b.elem_id: c for b in fields for c in b.elem_classes or () if c.startswith("sv-reads-")}
    assert {said[name] for name in ("prompt", "prompt-b", "negative-prompt")} == {reads()}
    assert said["video-prompt"] == said["video-later"] == reads("video")
    assert said["attention-text"] == said["away-text"] == reads("image")
    assert said["sum-start"] == said["clip-texts"] == reads("clip")
    assert {*TAB_ROLES.values()} <= KINDS_READ.keys()


def test_what_the_page_itself_writes_is_known(demo: gr.Blocks) -> None:
    for component in demo.blocks.values():
        if not isinstance(component, gr.Textbox) or component.elem_id == "away-text":
            continue
        for mark in component.elem_classes or ():
            role = mark.removeprefix("sv-reads-")
            if role in KINDS_READ and component.value:
                assert unread(component.value, catalogue.default_id(role)) == (), component.elem_id
    for example in EXAMPLES:
        assert unread(example.prompt, CLIP) == ()
