"""Files of questions and lessons: those that are shipped, and what is said of those that are wrong."""

import re
from urllib.parse import parse_qs

import gradio as gr
import pytest

import app
from components.lesson.items import FOLDER, FileError, read_items, read_lesson, shipped_items, shipped_lessons
from components.quiz.tab import SUMMARY, taught
from components.ui.language import LANGUAGES, load_texts
from components.ui.scene import scene_keys

SCENES = ("image.steps", "guidance.live", "guidance.sweep")
QUIZ = """
[[item]]
id = "one"
scene = "image.steps"
answer = 1
[item.evidence]
scene = "guidance.sweep"
set = { prompt = "a & b", "conditioning.at" = 8 }
en = "Look."
[item.en]
question = "What?"
options = ["this", "that"]
explanation = "So."
"""
LESSON = """
minutes = 45

[en]
title = "A lesson"

[[step]]
scene = "image.steps"
minutes = 3
quiz = "one"

[step.en]
talk = "Say."

[[step]]
scene = "guidance.live"
minutes = 2.5
set = { prompt = "a cat" }
"""


def test_a_question_becomes_a_door_to_its_evidence() -> None:
    (item,) = read_items(QUIZ, SCENES)
    assert (item.id, item.tab, item.question["en"].answer, item.do["en"]) == ("one", "image", 1, "Look.")
    asked = parse_qs(item.question["en"].door)
    assert asked == {"scene": ["guidance.sweep"], "prompt": ["a & b"], "conditioning.at": ["8"]}


def test_a_lesson_is_read_in_the_languages_that_it_has() -> None:
    lesson = read_lesson(LESSON, SCENES, ["one"])
    assert lesson.texts["en"]["title"] == "A lesson" and set(lesson.texts) == {"en"}
    assert [(s.scene, s.minutes, s.items) for s in lesson.steps] == [
        ("image.steps", 3, ("one",)), ("guidance.live", 2.5, ()),
    ]  # fmt: skip
    assert lesson.steps[0].texts["en"]["talk"] == "Say."
    assert lesson.steps[1].door == "scene=guidance.live&prompt=a+cat"


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("answer = 1", "answer = ", 5, "file_syntax"),
        ("answer = 1\n", "", 2, "file_missing"),
        ("answer = 1", "answer = 2", 5, "file_answer"),
        ("answer = 1", 'answer = "one"', 5, "file_kind"),
        ("answer = 1", "answer = true", 5, "file_kind"),
        ('scene = "image.steps"', 'scene = "image.nothing"', 4, "file_scene"),
        ('id = "one"', 'id = "one two"', 3, "file_name"),
        ('["this", "that"]', '["this"]', 12, "file_options"),
        ('["this", "that"]', '["this", 5]', 12, "file_kind"),
        ('["this", "that"]', '"this"', 12, "file_kind"),
        ('"So."', f'"{"x" * 5000}"', 13, "file_length"),
        ('"a & b"', "[1, 2]", 8, "file_kind"),
        ("[item.en]", "[item.fr]", 2, "file_language"),
        ("[[item]]", "[[thing]]", 1, "file_none"),
    ],
)
def test_what_is_wrong_with_questions_is_said_with_its_line(old: str, new: str, line: int, key: str) -> None:
    text = QUIZ.replace(old, new).replace("[item.", "[thing.") if "thing" in new else QUIZ.replace(old, new)
    with pytest.raises(FileError) as found:
        read_items(text, SCENES)
    assert (found.value.line, found.value.key) == (line, key)
    for language in LANGUAGES:
        values = dict(found.value.values)
        if "kind" in values:
            values["kind"] = load_texts(language)(f"lesson.file.kinds.{values['kind']}")
        said = load_texts(language)(f"lesson.file.{key.removeprefix('file_')}", **values)
        assert "{" not in said


def test_an_id_stands_once() -> None:
    with pytest.raises(FileError) as found:
        read_items(QUIZ + QUIZ, SCENES)
    assert found.value.key == "file_twice" and found.value.line == 3 + QUIZ.count("\n")


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("minutes = 3", "minutes = 1000", 9, "file_range"),
        ("minutes = 2.5", "minutes = nan", 17, "file_range"),
        ('"guidance.live"', '"quiz"', 16, "file_scene"),
        ('quiz = "one"', 'quiz = "one, two"', 10, "file_item"),
        ('title = "A lesson"', 'title = ""', 5, "file_length"),
        ("[en]", "[english]", 1, "file_language"),
    ],
)
def test_what_is_wrong_with_a_lesson_is_said_with_its_line(old: str, new: str, line: int, key: str) -> None:
    with pytest.raises(FileError) as found:
        read_lesson(LESSON.replace(old, new), SCENES, ["one"])
    assert (found.value.line, found.value.key) == (line, key)


@pytest.fixture(scope="module")
def scenes() -> tuple[str, ...]:
    app.build()  # anew: tests of scenes leave theirs behind
    return scene_keys()


def test_the_shipped_questions_are_two_a_tab_in_both_languages(scenes: tuple[str, ...]) -> None:
    items = shipped_items(scenes)
    assert len(items) == 30
    tabs = {item.id.rpartition("-")[0] for item in items}
    assert len(tabs) == 15 and all(f"{tab}-{n}" in {i.id for i in items} for tab in tabs for n in (1, 2))
    for item in items:
        assert set(item.question) == set(LANGUAGES) and all(item.do.values())
        assert len({len(question.options) for question in item.question.values()}) == 1


def test_right_answers_do_not_give_themselves_away(scenes: tuple[str, ...]) -> None:
    """Neither by their place nor by being the longest: whoever always takes that one is right by chance."""
    items = shipped_items(scenes)
    for language in LANGUAGES:
        asked = [item.question[language] for item in items]
        places = [int(question.answer or 0) for question in asked]
        assert max(places.count(place) for place in range(4)) <= 12
        longest = sum(max(q.options, key=len) == q.options[int(q.answer or 0)] for q in asked)
        assert longest <= 9


def test_the_shipped_lessons_take_the_time_that_they_name(scenes: tuple[str, ...]) -> None:
    lessons = shipped_lessons(scenes)
    assert set(lessons) == {"lesson45", "lesson90"}
    for lesson in lessons.values():
        assert sum(step.minutes for step in lesson.steps) <= lesson.minutes
        for step in lesson.steps:
            assert set(step.texts) == set(LANGUAGES) and all(text["talk"] for text in step.texts.values())


def test_files_name_only_controls_that_addresses_hold(scenes: tuple[str, ...], demo: gr.Blocks) -> None:
    """What an address does not know, a lesson would set in vain."""
    kept = {"prompt", "prompt_b", "negative_prompt", "seed", "guidance_scale", "num_inference_steps", "scene"}
    told = next(str(f.js) for f in demo.fns.values() if f.js and "rememberControls" in str(f.js))
    kept |= set(re.findall(r'\["([a-z_]+\.[a-z_]+)"', told))
    doors = [q.door for item in shipped_items(scenes) for q in item.question.values()]
    doors += [step.door for lesson in shipped_lessons(scenes).values() for step in lesson.steps]
    for door in doors:
        assert set(parse_qs(door)) <= kept, door
    assert len(list(FOLDER.glob("*.toml"))) == 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_glossary_summary_and_teachers_page_lead_to_what_there_is(
    language: str, scenes: tuple[str, ...]
) -> None:
    t = load_texts(language)
    doors = {key: text for key, text in t.table("quiz.glossary").items() if key.endswith(".door")}
    assert len(doors) > 15 and {parse_qs(door)["scene"][0] for door in doors.values()} <= set(scenes)
    assert doors == {key: load_texts("en")(f"quiz.glossary.{key}") for key in doors}
    assert set(SUMMARY) <= set(scenes) and len(t.many("quiz.sentences")) == len(SUMMARY)
    tabs = {key.partition(".")[0] for key in scenes} - {"quiz"}
    assert set(taught(t)) == tabs and len(tabs) == 15
