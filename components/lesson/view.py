"""What the pages of a class are made of: the light pages, and what they are told."""

from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from components.lesson.items import Item, Lesson
from components.lesson.store import ClassState, Poll, Store, tally
from components.ui.language import load_texts
from components.ui.templates import templates

HERE = Path(__file__).parent
SCRIPTS = {"phone": ("wire", "phone"), "remote": ("wire", "lead", "remote"), "check": ("wire", "check")}


@cache
def light_page(name: str, language: str) -> str:
    """A page of a few kilobytes that is one answer: script, rules and words are in it.

    Args:
        name: "phone", "remote" or "check".
    """
    script = "".join((HERE / f"{part}.js").read_text("utf-8") for part in SCRIPTS[name])
    style = (HERE / "phone.css").read_text("utf-8")
    t = load_texts(language)
    html = templates("lesson/phone.html").page(t, t.table(f"lesson.{name}"), Markup(style), Markup(script))
    return str(html).strip()


def _poll_json(poll: Poll, answered: bool) -> dict[str, Any]:
    """A question as a page shows it; the answer is only sent when it is shown."""
    question = poll.question.to_json()
    if not answered:
        for name in ("answer", "explanation", "door"):
            del question[name]
    return {
        "id": poll.id, "scene": poll.scene, "round": poll.round, "open": poll.open,
        "revealed": poll.revealed, "question": question,
    }  # fmt: skip


def _counted(store: Store, poll: Poll) -> dict[str, Any]:
    votes, hands = store.votes(poll), store.hands(poll)
    rounds = (1, 2) if poll.round == 2 else (1,)
    return {
        "counts": [tally(poll.question, votes[number], hands[number]) for number in rounds],
        "phones": len(votes[poll.round]),
        "hands": hands[poll.round],
        "moves": store.moves(poll) if poll.round == 2 else None,
    }


def for_phone(store: Store, state: ClassState, pupil: str) -> dict[str, Any]:
    """What a phone is told of its class; the votes of others only once voting is closed."""
    poll = state.poll
    told: dict[str, Any] = {"code": state.code, "version": state.version, "poll": None}
    told["picked"] = [wish.text for wish in store.wishes(state.id) if wish.picked][:3]
    if poll is not None:
        told["poll"] = _poll_json(poll, poll.revealed) | {"mine": store.voted(poll, pupil)}
        if not poll.open:  # nobody follows the others while votes are taken
            told["poll"] |= _counted(store, poll)
    return told


def for_lead(store: Store, state: ClassState) -> dict[str, Any]:
    """What a lecturer's window is told."""
    poll = state.poll
    return {
        "code": state.code, "version": state.version, "lead": state.lead,
        "poll": None if poll is None else _poll_json(poll, True) | _counted(store, poll),
        "wishes": [
            {"id": wish.id, "kind": wish.kind, "text": wish.text, "picked": wish.picked}
            for wish in store.wishes(state.id)
        ],
    }  # fmt: skip


def item_json(item: Item, language: str) -> dict[str, Any]:
    """A question of the quiz in a language, or in the one that it has."""
    language = language if language in item.question else next(iter(item.question))
    return {
        "id": item.id, "scene": item.scene, "do": item.do.get(language, ""),
        "question": item.question[language].to_json(),
    }  # fmt: skip


def lesson_json(lesson: Lesson, language: str) -> dict[str, Any]:
    """A lesson in a language, or in the one that it has."""
    language = language if language in lesson.texts else next(iter(lesson.texts))
    steps = [
        {
            "scene": step.scene, "minutes": step.minutes, "slide": step.slide, "items": step.items,
            "door": step.door, "run": step.run, **step.texts[language],
        }
        for step in lesson.steps
    ]  # fmt: skip
    return {"minutes": lesson.minutes, **lesson.texts[language], "steps": steps}
