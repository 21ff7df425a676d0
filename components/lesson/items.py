"""Questions and lessons as data: TOML files, read with a line and a reason for whatever is wrong."""

import math
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from components.ui.language import LANGUAGES

FOLDER = Path(__file__).parents[2] / "assets" / "lessons"
MOST_TEXT = 1200  # characters of one text
MOST_PARTS = 200  # items of a file, steps of a lesson
MOST_CHARACTERS = 200_000  # of a file; the shipped questions are a quarter of that
MOST_DOTS = 200  # in a line: a key of thousands of parts takes tomllib minutes
MOST_MINUTES = 600
MOST_OPTIONS = 5
LESSON_WORDS = ("title", "aim", "before", "homework")
STEP_WORDS = ("predict", "reveal", "talk")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True)
class Question:
    """What a class is asked: options, pictures to choose from, or a number on a scale.

    Attributes:
        options: two to five; empty where there is a scale.
        pictures: an address of each option's picture, or none.
        scale: lowest and highest number.
        unit: of the scale.
        answer: number of the right option from 0, or the right number; none where opinions are asked.
        door: query of the address that settles it.
    """

    text: str
    options: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None
    unit: str = ""
    answer: float | None = None
    explanation: str = ""
    door: str = ""

    def allows(self, choice: float) -> bool:
        """Whether it can be voted."""
        if not math.isfinite(choice):
            return False
        if self.scale:
            return self.scale[0] <= choice <= self.scale[1]
        return choice == int(choice) and 0 <= choice < len(self.options)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def question_from_json(value: Any) -> Question:
    """A question that a page sends or the store kept.

    Raises:
        ValueError: it is none.
    """
    known = {field.name for field in fields(Question)}
    if not isinstance(value, dict) or not isinstance(value.get("text"), str) or value.keys() - known:
        raise ValueError("not a question")
    texts = [value["text"], *value.get("options", ()), value.get("explanation", ""), value.get("unit", "")]
    pictures, scale, answer = value.get("pictures", ()), value.get("scale"), value.get("answer")
    numbers = [*(scale or ()), *([] if answer is None else [answer])]
    if not all(isinstance(text, str) and len(text) <= MOST_TEXT for text in texts):
        raise ValueError("not a question")
    if not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        raise ValueError("not a question")
    if not all(
        isinstance(p, str) and re.fullmatch(r"data:image/(webp|png);base64,[\w+/=]+", p) for p in pictures
    ):
        raise ValueError("not a question")
    question = Question(
        value["text"], tuple(value.get("options", ())), tuple(pictures), tuple(scale) if scale else None,
        value.get("unit", ""), answer, value.get("explanation", ""), str(value.get("door", ""))[:2000],
    )  # fmt: skip
    fits = len(scale) == 2 and scale[0] < scale[1] if scale else 2 <= len(question.options) <= MOST_OPTIONS
    if not fits or (pictures and len(pictures) != len(question.options)):
        raise ValueError("not a question")
    if answer is not None and not question.allows(answer):
        raise ValueError("not a question")
    return question


@dataclass(frozen=True)
class Item:
    """A question of the quiz, with what settles it.

    Attributes:
        scene: where it is asked.
        misconception: what a wrong answer shows, in English, for reports.
        question: by language.
        do: what to do on the page that settles it, by language.
    """

    id: str
    scene: str
    misconception: str
    question: Mapping[str, Question]
    do: Mapping[str, str]

    @property
    def tab(self) -> str:
        return self.scene.partition(".")[0]


@dataclass(frozen=True)
class Step:
    """A step of a lesson.

    Attributes:
        minutes: that it takes.
        slide: of the lecture that it belongs to.
        items: ids of the questions that can be asked.
        door: query of the address that shows its scene in its state.
        run: whether the scene's own button is pressed, so that it computes while the class predicts.
        texts: by language: `predict`, `reveal`, `talk`.
    """

    scene: str
    minutes: float
    slide: str
    items: tuple[str, ...]
    door: str
    run: bool
    texts: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Lesson:
    """A lesson.

    Attributes:
        texts: by language: `title`, `aim`, `before`, `homework`.
    """

    minutes: float
    texts: Mapping[str, Mapping[str, str]]
    steps: tuple[Step, ...]


class FileError(Exception):
    """What is wrong with a file of questions or lessons.

    Attributes:
        line: where, from 1.
        key: of its sentence in the texts, which `values` complete.
    """

    def __init__(self, line: int, key: str, **values: object) -> None:
        super().__init__(f"line {line}: {key} {values}")
        self.line, self.key, self.values = line, key, values


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > MOST_CHARACTERS:
        raise FileError(1, "file_size", most=MOST_CHARACTERS, length=len(text))
    lines = text.splitlines()
    for number, written in enumerate(lines, 1):
        if written.count(".") > MOST_DOTS:
            raise FileError(number, "file_dots", most=MOST_DOTS)
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise FileError(1, "file_deep") from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise FileError(line, "file_syntax", reason=str(error).partition(" (at ")[0]) from error
    except ValueError as error:  # an integer of more digits than Python reads: it does not say where
        digits = [sum(map(str.isdecimal, written)) for written in lines]
        line, reason = digits.index(max(digits)) + 1, str(error).partition(";")[0]
        raise FileError(line, "file_syntax", reason=reason) from error


_KINDS: Mapping[Any, str] = {
    str: "text",
    list: "list",
    dict: "table",
    int: "number",
    (int, float): "number",
}


class _Part:
    """One table of a file: its values, checked as they are taken, and the lines where they stand."""

    def __init__(
        self, values: Any, name: str, number: int, lines: Sequence[str], heads: Sequence[int]
    ) -> None:
        self.first = heads[number] if number < len(heads) else 0
        self.lines = lines[self.first : heads[number + 1] if number + 1 < len(heads) else len(lines)]
        self.name, self.values = name, values
        if not isinstance(values, dict):
            raise self.error("file_kind", name, kind="table")

    def error(self, key: str, field: str, **values: object) -> FileError:
        # a value within a line is found by the name that the line begins with
        for word in reversed(field.split(".")):
            begins = re.compile(rf'\s*(\w+\.)*"?{re.escape(word)}"?\s*=')
            there = [i for i, line in enumerate(self.lines) if begins.match(line)]
            if there:
                return FileError(self.first + there[0] + 1, key, field=field, **values)
        return FileError(self.first + 1, key, field=field, **values)

    def take(self, field: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """The value of a field, whose name may go through tables: "en.question"."""
        value: Any = self.values
        for part in field.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            if default is None:
                raise self.error("file_missing", field)
            return default
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error("file_kind", field, kind=_KINDS[kind])
        return value

    def text(self, field: str, default: str | None = None) -> str:
        value = str(self.take(field, str, default))
        if len(value) > MOST_TEXT or (default is None and not value.strip()):
            raise self.error("file_length", field, most=MOST_TEXT)
        return value

    def number(self, field: str, low: float, high: float) -> float:
        value = self.take(field, (int, float))
        if not low <= value <= high:  # compared as it is: an integer of 400 digits is no float
            raise self.error("file_range", field, low=low, high=high)
        return float(value)

    def languages(self) -> list[str]:
        found = [language for language in LANGUAGES if language in self.values]
        if not found:
            raise self.error("file_language", self.name)
        return found

    def scene(self, field: str, known: Collection[str]) -> str:
        key = self.text(field)
        if key not in known:
            tab = key.partition(".")[0]
            near = [k for k in known if k.partition(".")[0] == tab] or sorted(known)
            raise self.error("file_scene", field, scene=key[:60], known=", ".join(near[:8]))
        return key

    def door(self, scene: str, field: str) -> str:
        """The query of an address that shows a scene with these values."""
        values = self.take(field, dict, {})
        for name, value in values.items():
            if not isinstance(value, str | int | float) or isinstance(value, bool):
                raise self.error("file_kind", f"{field}.{name}", kind="number")
        try:
            return urlencode({"scene": scene, **{name: str(value) for name, value in values.items()}})
        except ValueError as error:  # a hexadecimal integer may have more digits than Python writes
            raise self.error("file_kind", field, kind="number") from error


def _parts(text: str, name: str) -> list[_Part]:
    found = _parsed(text).get(name)
    if not isinstance(found, list) or not found:
        raise FileError(1, "file_none", name=name)
    if len(found) > MOST_PARTS:
        raise FileError(1, "file_many", most=MOST_PARTS)
    lines = text.splitlines()
    heads = [i for i, line in enumerate(lines) if line.strip() == f"[[{name}]]"]
    return [_Part(values, name, number, lines, heads) for number, values in enumerate(found)]


def _question(part: _Part, language: str, door: str) -> Question:
    options = part.take(f"{language}.options", list)
    if not 2 <= len(options) <= MOST_OPTIONS:
        raise part.error("file_options", f"{language}.options", most=MOST_OPTIONS)
    if not all(isinstance(option, str) and 0 < len(option) <= MOST_TEXT for option in options):
        raise part.error("file_kind", f"{language}.options", kind="text")
    answer = part.take("answer", int)
    if not 0 <= answer < len(options):
        raise part.error("file_answer", "answer", most=len(options) - 1)
    return Question(
        part.text(f"{language}.question"), tuple(options), answer=answer,
        explanation=part.text(f"{language}.explanation"), door=door,
    )  # fmt: skip


def read_items(text: str, scenes: Collection[str]) -> tuple[Item, ...]:
    """The questions of a quiz file.

    Args:
        text: TOML.
        scenes: keys of all scenes.

    Raises:
        FileError: something is wrong with it.
    """
    items: list[Item] = []
    for part in _parts(text, "item"):
        name = part.text("id")
        if not _NAME.fullmatch(name):
            raise part.error("file_name", "id", received=name[:60])
        if name in {item.id for item in items}:
            raise part.error("file_twice", "id", received=name)
        scene = part.scene("scene", scenes)
        shown = part.scene("evidence.scene", scenes) if "evidence" in part.values else scene
        door = part.door(shown, "evidence.set")
        languages = part.languages()
        question = {language: _question(part, language, door) for language in languages}
        do = {language: part.text(f"evidence.{language}", "") for language in languages}
        items.append(Item(name, scene, part.text("misconception", ""), question, do))
    return tuple(items)


def _words(part: _Part, language: str, names: Sequence[str]) -> dict[str, str]:
    return {name: part.text(f"{language}.{name}", "") for name in names}


def read_lesson(text: str, scenes: Collection[str], items: Collection[str]) -> Lesson:
    """The lesson of a file.

    Args:
        text: TOML.
        scenes: keys of all scenes.
        items: ids of all questions.

    Raises:
        FileError: something is wrong with it.
    """
    whole = _Part(_parsed(text), "", 0, text.splitlines(), ())
    languages = whole.languages()
    texts = {language: _words(whole, language, LESSON_WORDS) for language in languages}
    for language in languages:
        whole.text(f"{language}.title")
    steps = []
    for part in _parts(text, "step"):
        scene = part.scene("scene", scenes)
        asked = [name.strip() for name in part.text("quiz", "").split(",") if name.strip()]
        for name in asked:
            if name not in items:
                raise part.error("file_item", "quiz", received=name[:60])
        minutes, slide = part.number("minutes", 0, MOST_MINUTES), part.text("slide", "")
        said = {language: _words(part, language, STEP_WORDS) for language in languages}
        run = part.values.get("run", False)
        if not isinstance(run, bool):
            raise part.error("file_kind", "run", kind="switch")
        steps.append(Step(scene, minutes, slide, tuple(asked), part.door(scene, "set"), run, said))
    return Lesson(whole.number("minutes", 1, MOST_MINUTES), texts, tuple(steps))


@cache
def shipped_items(scenes: tuple[str, ...]) -> tuple[Item, ...]:
    """The questions that come with the app."""
    return read_items((FOLDER / "quiz.toml").read_text("utf-8"), scenes)


@cache
def shipped_lessons(scenes: tuple[str, ...]) -> Mapping[str, Lesson]:
    """The lessons that come with the app, by the names of their files."""
    ids = [item.id for item in shipped_items(scenes)]
    paths = sorted(FOLDER.glob("lesson*.toml"))
    return {path.stem: read_lesson(path.read_text("utf-8"), scenes, ids) for path in paths}
