"""Where a class is kept: its questions, votes and texts."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from components.lesson.items import Question, question_from_json
from components.lesson.store import KEPT_DAYS, ClassError, Store, tally
from tests.components.test_class import ANNA, BEN, CARA, DAY, SHARE, WHEN


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "classes.sqlite")


def test_nothing_is_lost_when_the_server_dies_in_the_middle_of_a_vote(tmp_path: Path) -> None:
    path = tmp_path / "classes.sqlite"
    before = Store(path)
    code, secret = before.open_class()
    class_id = before.led(secret).id
    poll = before.ask(class_id, "image.steps", WHEN)
    before.vote(class_id, poll.id, 1, ANNA, 1)
    before.count_hands(class_id, poll, 0, 1)
    after = Store(path)  # the first was never closed, as after a crash
    state = after.joined(code.lower())
    assert state.poll == poll and state == after.led(secret)
    after.vote(class_id, poll.id, 1, BEN, 0)
    assert sorted(after.votes(poll)[1]) == [0, 1] and after.hands(poll)[1] == [1, 0]
    assert (after.voted(poll, ANNA), after.voted(poll, CARA)) == (1, None)


def test_a_phone_votes_once_a_round_and_may_change_its_mind_until_the_end(store: Store) -> None:
    _, secret = store.open_class()
    class_id = store.led(secret).id
    poll = store.ask(class_id, "s", WHEN)
    for pupil, choice in ((ANNA, 0), (BEN, 0), (ANNA, 1), (ANNA, 0)):
        store.vote(class_id, poll.id, 1, pupil, choice)
    assert store.votes(poll)[1] == [0, 0]
    store.set_phase(class_id, poll.id, 1, open=False, revealed=False)
    with pytest.raises(ClassError, match="vote_closed"):
        store.vote(class_id, poll.id, 1, CARA, 0)
    store.set_phase(class_id, poll.id, 2, open=True, revealed=False)
    with pytest.raises(ClassError, match="vote_closed"):  # it answers the first round, late
        store.vote(class_id, poll.id, 1, CARA, 0)
    store.vote(class_id, poll.id, 2, ANNA, 1)
    store.vote(class_id, poll.id, 2, CARA, 1)
    assert store.votes(poll) == {1: [0, 0], 2: [1, 1]}
    assert store.moves(poll) == [[0, 1], [0, 0]]  # of those who voted twice


def test_only_what_a_question_offers_can_be_voted(store: Store) -> None:
    _, secret = store.open_class()
    class_id = store.led(secret).id
    for question, wrong in ((WHEN, (2, -1, 0.5, float("nan"))), (SHARE, (-1, 100.5, float("inf")))):
        poll = store.ask(class_id, "s", question)
        for choice in wrong:
            with pytest.raises(ClassError, match="no_option"):
                store.vote(class_id, poll.id, 1, ANNA, choice)
        assert store.votes(poll)[1] == []
    store.vote(class_id, poll.id, 1, ANNA, 99.9)
    assert tally(SHARE, store.votes(poll)[1], []) == [0] * 9 + [1]


def test_two_classes_know_nothing_of_each_other(store: Store) -> None:
    (code, secret), (other_code, other_secret) = store.open_class(), store.open_class()
    one, other = store.led(secret), store.led(other_secret)
    assert code != other_code and secret != other_secret
    poll = store.ask(one.id, "s", WHEN)
    assert store.joined(other_code).poll is None
    with pytest.raises(ClassError):
        store.vote(other.id, poll.id, 1, ANNA, 0)
    with pytest.raises(ClassError, match="moved_on"):
        store.set_phase(other.id, poll.id, 1, open=False, revealed=True)
    store.wish(one.id, ANNA, "question", "Why?")
    store.pick(other.id, store.wishes(one.id)[0].id, True)
    assert not store.wishes(one.id)[0].picked and store.wishes(other.id) == []
    store.remove(one.id)
    with pytest.raises(ClassError, match="unknown"):
        store.joined(code)
    assert store.joined(other_code).id == other.id


def test_what_is_removed_leaves_nothing_and_nothing_personal_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "c.sqlite")
    _, secret = store.open_class()
    class_id = store.led(secret).id
    poll = store.ask(class_id, "s", WHEN)
    store.vote(class_id, poll.id, 1, ANNA, 0)
    store.count_hands(class_id, poll, 1, 1)
    store.wish(class_id, ANNA, "prompt", "a red cat")
    db = sqlite3.connect(tmp_path / "c.sqlite")
    written = "\n".join(db.iterdump())
    assert ANNA not in written and secret not in written
    store.remove(class_id)
    for table in ("class", "poll", "vote", "hands", "wish"):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_classes_end_after_thirty_days_but_none_that_is_in_use(tmp_path: Path) -> None:
    now = 1e9
    path = tmp_path / "c.sqlite"
    store = Store(path, clock=lambda: now)
    code, secret = store.open_class()
    now += 400 * DAY  # the clock of the machine was set, in the middle of a lesson
    assert store.remove_old() == 0 and store.joined(code)
    store.ask(store.led(secret).id, "s", WHEN)
    now += (KEPT_DAYS - 1) * DAY
    assert Store(path, clock=lambda: now).joined(code)
    now += 2 * DAY
    with pytest.raises(ClassError, match="unknown"):
        Store(path, clock=lambda: now).joined(code)


def test_a_class_that_nobody_used_for_thirty_days_ends_also_while_the_app_runs(tmp_path: Path) -> None:
    now, passed = 1e9, 0.0
    store = Store(tmp_path / "c.sqlite", clock=lambda: now, passing=lambda: passed)
    (idle, _), (used, _) = store.open_class(), store.open_class()
    now, passed = now + (KEPT_DAYS - 1) * DAY, passed + (KEPT_DAYS - 1) * DAY
    assert store.remove_old() == 0 and store.joined(used)
    now, passed = now + 2 * DAY, passed + 2 * DAY
    assert store.remove_old() == 1 and store.joined(used)
    with pytest.raises(ClassError, match="unknown"):
        store.joined(idle)


@pytest.mark.parametrize(
    "wrong",
    [
        None, [], {}, {"text": 5}, {"text": "?", "options": ["one"]}, {"text": "?", "options": ["a"] * 6},
        {"text": "?", "options": ["a", 5]}, {"text": "?", "options": ["a", "b"], "answer": 2},
        {"text": "?", "scale": [5, 5]}, {"text": "?", "scale": [0, 1], "answer": 2},
        {"text": "?", "options": ["a", "b"], "pictures": ["data:image/webp;base64,AA"]},
        {"text": "?", "options": ["a", "b"], "pictures": ["https://elsewhere/a.png"] * 2},
        {"text": "?" * 2000, "options": ["a", "b"]}, {"text": "?", "options": ["a", "b"], "other": 1},
        {"text": "?", "scale": [0, float("inf")]},
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="not a question"):
        question_from_json(wrong)


def test_a_question_stays_what_it_is_on_its_way() -> None:
    pictured = Question("Which?", ("a", "b"), ("data:image/webp;base64,AA==", "data:image/png;base64,AA=="))
    for question in (WHEN, SHARE, pictured):
        assert question_from_json(json.loads(json.dumps(question.to_json()))) == question
