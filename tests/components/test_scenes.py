"""Scenes and links: their order, what an address may ask for, and QR codes."""

import re
from types import SimpleNamespace
from xml.etree import ElementTree

import gradio as gr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import CHAPTERS
from components.page.address import restored_controls, value_of
from components.page.prompt_bar import Dependent
from components.page.qr import MAX_LINK, qr_svg
from components.ui.language import load_texts
from components.ui.scene import Scene, collect_scenes, scene

SKIP = gr.skip()


@pytest.fixture(scope="module")
def columns(demo: gr.Blocks) -> list[gr.Column]:
    """All scenes of both pages, in the order in which they stand there."""
    return [b for b in demo.blocks.values() if isinstance(b, gr.Column) and "sv-scene" in b.elem_classes]


def test_every_tab_begins_with_one_open_scene_in_both_languages(columns):
    stems = ["journey", *(stem for _, tabs in CHAPTERS for stem in tabs)]
    half = len(columns) // 2
    ids = [column.elem_id for column in columns]
    assert ids[:half] == ids[half:] and len(set(ids[:half])) == half
    for stem in stems:
        own = [c for c in columns[:half] if c.elem_id.startswith(f"scene-{stem}-")]
        kinds = [re.search(r"sv-scene-(\w+)", " ".join(c.elem_classes))[1] for c in own]
        assert kinds[0] != "more", stem
        assert sum(kind in ("tab", "lead") for kind in kinds) == 1, stem


def test_scenes_are_noted_only_while_a_page_is_built():
    t = load_texts("en")
    with gr.Blocks(), collect_scenes() as found:
        with scene(t, "guidance.sweep"):
            pass
        with scene(t, "tokens.reading", kind="tab"):
            pass
    with gr.Blocks(), scene(t, "guidance.sum"):
        pass
    assert found == [
        Scene("guidance.sweep", t("guidance.sweep_title")), Scene("tokens.reading", t("tokens.title")),
    ]  # fmt: skip


CONTROLS = {
    "a.slider": gr.Slider(0, 2, value=1, step=0.1, label="Strength"),
    "a.choice": gr.Radio([("One", 1), ("Both", "both")], value=1, label="Choice"),
    "a.flag": gr.Checkbox(True, label="Flag"),
    "a.text": gr.Textbox("cat", label="Text"),
}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("a.slider", "0.5", 0.5), ("a.slider", "2", 2), ("a.choice", "1", 1), ("a.choice", "both", "both"),
        ("a.flag", "false", False), ("a.flag", "true", True), ("a.text", "<b>", "<b>"),
    ],
)  # fmt: skip
def test_a_link_sets_a_control(name, text, value):
    assert value_of(CONTROLS[name], text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.slider", "2.1"), ("a.slider", "nan"), ("a.slider", "inf"), ("a.slider", "x"), ("a.choice", "2"),
        ("a.flag", "1"), ("a.text", "x" * 2001),
    ],
)  # fmt: skip
@pytest.mark.parametrize("language", ["en", "de"])
def test_what_does_not_fit_is_named_and_the_rest_is_taken(name, text, language):
    query = {"a.slider": "1.5", "a.flag": "false", name: text}
    values, told = restored_controls(CONTROLS, query, load_texts(language))
    assert len(told) == 1 and CONTROLS[name].label in told[0] and text[:40] in told[0]
    taken = [v for v in values if v != SKIP]
    assert taken == [v for n, v in (("a.slider", 1.5), ("a.flag", False)) if n != name]


WORDS = {"size": ["small", "large"], "colour": ["red", "blue"]}
CHAINED = {
    "a.kind": gr.Dropdown(list(WORDS), value="size", label="Kind"),
    "a.word": gr.Dropdown(WORDS["size"], value="small", label="Word"),
}
ON = {"a.word": Dependent("a.kind", WORDS.__getitem__, -1)}


@pytest.mark.parametrize(
    ("query", "kind", "word", "offered", "refused"),
    [
        ({"a.kind": "colour", "a.word": "red"}, "colour", "red", "colour", 0),
        ({"a.kind": "colour", "a.word": "small"}, "colour", "blue", "colour", 1),
        ({"a.kind": "colour"}, "colour", "blue", "colour", 0),
        ({"a.word": "large"}, None, "large", None, 0),
        ({"a.kind": "weight", "a.word": "large"}, None, "large", None, 1),
    ],
)
def test_a_link_sets_a_choice_together_with_what_decides_it(query, kind, word, offered, refused):
    (first, second), told = restored_controls(CHAINED, query, load_texts("en"), ON)
    assert first == (SKIP if kind is None else kind) and len(told) == refused
    if offered is None:
        assert second == word
    else:
        assert (second["choices"], second["value"]) == (WORDS[offered], word)


@given(text=st.text(max_size=60))
def test_no_address_breaks_the_page(text):
    for control in CONTROLS.values():
        values, told = restored_controls({"n": control}, {"n": text}, load_texts("en"))
        assert (values[0] == SKIP) == bool(told)


def test_a_link_becomes_a_qr_code_that_grows_with_it():
    def modules(text: str) -> float:
        root = ElementTree.fromstring(qr_svg(text))
        return float(root.attrib["width"])

    assert modules("https://example.org/?prompt=cat") < modules("https://example.org/?prompt=" + "cat" * 200)
    for refused in ("javascript:alert(1)", "", "https://example.org/" + "x" * MAX_LINK):
        with pytest.raises(ValueError, match="web address"):
            qr_svg(refused)


def test_what_a_link_asks_in_vain_is_repeated_as_text(demo, monkeypatch):
    """Gradio shows a warning as HTML."""
    told = []
    monkeypatch.setattr(gr, "Warning", told.append)
    restore = next(event.fn for event in demo.fns.values() if event.name == "restore")
    restore(SimpleNamespace(query_params={"image.scheduler": "<a href=//elsewhere>here</a>"}))
    assert len(told) == 1 and "&lt;a href=//elsewhere&gt;here&lt;/a&gt;" in told[0] and "<" not in told[0]
