"""Classes, their questions and votes, in one SQLite file.

Nothing personal is in it: a phone is a random token, of which a hash is kept. What is written is on the disk
before the phone is told, so that a restart in the middle of a vote loses nothing.
"""

import hashlib
import json
import logging
import math
import os
import secrets
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lesson.items import Question, question_from_json
from pipelines.serving.temporary import own_folder

log = logging.getLogger(__name__)
CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ23456789"  # no vowels, so no words, and no 0, 1, I or O to mix up
CODE_LENGTH = 5  # 28 ** 5 = 17 million codes
DAY = 24 * 3600  # s
KEPT_DAYS = 30
MOST_WISHES = 20  # texts of one phone
MOST_WISHES_OF_CLASS = 2000
MOST_PHONES = 5000  # that vote in one round: a course of 3,000, and more than one
_SCHEMA = """
CREATE TABLE IF NOT EXISTS class (
  id INTEGER PRIMARY KEY, code TEXT UNIQUE, secret TEXT UNIQUE NOT NULL, used REAL NOT NULL,
  version INTEGER NOT NULL DEFAULT 1, poll INTEGER, lead TEXT NOT NULL DEFAULT '{}');
CREATE TABLE IF NOT EXISTS poll (
  id INTEGER PRIMARY KEY, class INTEGER NOT NULL REFERENCES class ON DELETE CASCADE, scene TEXT NOT NULL,
  question TEXT NOT NULL, round INTEGER NOT NULL DEFAULT 1, open INTEGER NOT NULL DEFAULT 1,
  revealed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS vote (
  poll INTEGER NOT NULL REFERENCES poll ON DELETE CASCADE, round INTEGER NOT NULL, pupil TEXT NOT NULL,
  choice REAL NOT NULL, PRIMARY KEY (poll, round, pupil)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hands (
  poll INTEGER NOT NULL REFERENCES poll ON DELETE CASCADE, round INTEGER NOT NULL, choice INTEGER NOT NULL,
  number INTEGER NOT NULL, PRIMARY KEY (poll, round, choice)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wish (
  id INTEGER PRIMARY KEY, class INTEGER NOT NULL REFERENCES class ON DELETE CASCADE, pupil TEXT NOT NULL,
  kind TEXT NOT NULL, text TEXT NOT NULL, picked INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS polls ON poll (class);
CREATE INDEX IF NOT EXISTS wishes ON wish (class);
"""


def classes_file() -> Path:
    """Where classes are kept: `STEUERVEKTOR_DATA`, or beside the app, or `sv-classes` among temporary files.

    Where none of these can be written, in a folder that ends with the app, and a restart forgets them.
    """
    beside = Path(__file__).parents[2] / "data"
    wanted = os.environ.get("STEUERVEKTOR_DATA")
    for folder in [Path(wanted)] if wanted else [beside, Path(tempfile.gettempdir()) / "sv-classes"]:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / ".writable").touch()
            (folder / ".writable").unlink()
        except OSError as error:
            log.warning("classes cannot be kept in %s (%s)", folder, error.strerror)
            continue
        return folder / "classes.sqlite"
    return Path(own_folder(swept=False)) / "classes.sqlite"  # not where Gradio serves what lies there


class ClassError(Exception):
    """What a class cannot do; `key` names its sentence in the texts, `status` is that of HTTP."""

    def __init__(self, key: str, status: int, **values: object) -> None:
        super().__init__(key)
        self.key, self.status, self.values = key, status, values


@dataclass(frozen=True)
class Poll:
    """A question as it stands before a class.

    Attributes:
        round: 1, or 2 when the class votes again.
        open: whether votes are taken.
        revealed: whether answer and explanation are shown.
    """

    id: int
    scene: str
    question: Question
    round: int
    open: bool
    revealed: bool


@dataclass(frozen=True)
class Wish:
    """A pupil's question or prompt.

    Attributes:
        kind: "question" or "prompt".
        picked: whether the lecturer shows it.
    """

    id: int
    kind: str
    text: str
    picked: bool


@dataclass(frozen=True)
class ClassState:
    """All that a class is at one moment.

    Attributes:
        version: grows with each change that phones must hear of.
        lead: what windows of the lecturer tell each other, such as the scene that is shown.
    """

    id: int
    code: str
    version: int
    poll: Poll | None
    lead: dict[str, Any]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Store:
    """One file of classes; may be used from several threads.

    Args:
        path: of the file, which is made where it is missing; ":memory:" keeps nothing.
        clock: s since 1970.
        passing: s that pass, whatever the clock of the machine is set to.

    Raises:
        sqlite3.Error: the file cannot be written, or is none of ours.
    """

    def __init__(
        self,
        path: Path | str,
        clock: Callable[[], float] = time.time,
        passing: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._passing, self._lock = clock, passing, threading.RLock()
        self._used: dict[int, float] = {}  # when, by `passing`: these are in use, whatever the clock says
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=2)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)
        self.remove_old()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _row(self, query: str, *values: Any) -> Any:
        with self._lock:
            return self._db.execute(query, values).fetchone()

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    # Classes -----------------------------------------------------------------------------------------

    def open_class(self) -> tuple[str, str]:
        """Begin a class.

        Returns:
            Its join code, and the secret by which it is led.
        """
        secret = secrets.token_urlsafe(24)
        with self._writing() as db:
            for _ in range(100):
                code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
                if not db.execute("SELECT 1 FROM class WHERE code = ?", (code,)).fetchone():
                    break
            row = (code, _hash(secret), self._clock())
            made = db.execute("INSERT INTO class (code, secret, used) VALUES (?, ?, ?)", row)
            self._used[int(made.lastrowid or 0)] = self._passing()
        return code, secret

    def joined(self, code: str) -> ClassState:
        """The class of a join code, however it is typed.

        Raises:
            ClassError: there is none.
        """
        typed = "".join(letter for letter in code.upper() if letter.isalnum())[:20]
        row = self._row("SELECT id FROM class WHERE code = ?", typed)
        if row is None:
            raise ClassError("class_unknown", 404)
        return self._state(row[0])

    def led(self, secret: str) -> ClassState:
        """The class of a secret.

        Raises:
            ClassError: there is none.
        """
        row = self._row("SELECT id FROM class WHERE secret = ?", _hash(secret))
        if row is None:
            raise ClassError("class_secret", 403)
        return self._state(row[0])

    def _state(self, class_id: int) -> ClassState:
        self._used[class_id] = self._passing()
        row = self._row("SELECT id, code, version, poll, lead FROM class WHERE id = ?", class_id)
        if row is None:
            raise ClassError("class_unknown", 404)
        poll = self._poll(row[3]) if row[3] is not None else None
        return ClassState(row[0], row[1], row[2], poll, json.loads(row[4]))

    def _poll(self, poll_id: int) -> Poll:
        columns = "id, scene, question, round, open, revealed"
        row = self._row(f"SELECT {columns} FROM poll WHERE id = ?", poll_id)
        question = question_from_json(json.loads(row[2]))
        return Poll(row[0], row[1], question, row[3], bool(row[4]), bool(row[5]))

    def _changed(self, db: sqlite3.Connection, class_id: int) -> None:
        now = self._clock()
        db.execute("UPDATE class SET version = version + 1, used = ? WHERE id = ?", (now, class_id))

    def tell(self, class_id: int, lead: dict[str, Any]) -> None:
        """Note what the lecturer's windows tell each other."""
        with self._writing() as db:
            db.execute("UPDATE class SET lead = ? WHERE id = ?", (json.dumps(lead), class_id))
            self._changed(db, class_id)

    def remove(self, class_id: int) -> None:
        """Forget a class with all that belongs to it."""
        with self._writing() as db:
            db.execute("DELETE FROM class WHERE id = ?", (class_id,))
            self._used.pop(class_id, None)

    def remove_old(self) -> int:
        """Forget the classes of more than `KEPT_DAYS` ago; those in use stay, see `_used`.

        Returns:
            How many were removed.
        """
        before, since = self._clock() - KEPT_DAYS * DAY, self._passing() - KEPT_DAYS * DAY
        with self._writing() as db:
            self._used = {number: used for number, used in self._used.items() if used >= since}
            old = {
                row[0] for row in db.execute("SELECT id FROM class WHERE used < ?", (before,))
            } - self._used.keys()
            db.executemany("DELETE FROM class WHERE id = ?", [(number,) for number in old])
        return len(old)

    # Questions ---------------------------------------------------------------------------------------

    def ask(self, class_id: int, scene: str, question: Question) -> Poll:
        """Put a question before a class; the one before stays in its record, closed."""
        with self._writing() as db:
            db.execute("UPDATE poll SET open = 0 WHERE class = ?", (class_id,))
            row = (class_id, scene, json.dumps(question.to_json()))
            made = db.execute("INSERT INTO poll (class, scene, question) VALUES (?, ?, ?)", row)
            db.execute("UPDATE class SET poll = ? WHERE id = ?", (made.lastrowid, class_id))
            self._changed(db, class_id)
        return self._poll(int(made.lastrowid or 0))

    def set_phase(self, class_id: int, poll_id: int, round: int, open: bool, revealed: bool) -> None:
        """Open or close the vote, begin its second round, or reveal the answer.

        Raises:
            ClassError: this question is not the one before the class, as when two windows lead it.
        """
        with self._writing() as db:
            current = db.execute("SELECT poll FROM class WHERE id = ?", (class_id,)).fetchone()
            if current is None or current[0] != poll_id:
                raise ClassError("class_moved_on", 409)
            values = (round, open, revealed, poll_id)
            db.execute("UPDATE poll SET round = ?, open = ?, revealed = ? WHERE id = ?", values)
            self._changed(db, class_id)

    def put_away(self, class_id: int) -> None:
        """Take the question from the class; its votes stay in the record."""
        with self._writing() as db:
            db.execute("UPDATE poll SET open = 0 WHERE class = ?", (class_id,))
            db.execute("UPDATE class SET poll = NULL WHERE id = ?", (class_id,))
            self._changed(db, class_id)

    def vote(self, class_id: int, poll_id: int, round: int, pupil: str, choice: float) -> None:
        """Take a phone's vote, or its change of mind.

        Args:
            choice: number of the option from 0, or the number on the scale.

        Raises:
            ClassError: voting is over, there is no such option, or more phones have voted than a class has.
        """
        with self._writing() as db:
            row = db.execute(
                "SELECT question, round, open FROM poll JOIN class ON class.poll = poll.id"
                " WHERE class.id = ? AND poll.id = ?",
                (class_id, poll_id),
            ).fetchone()
            if row is None or not row[2] or row[1] != round:
                raise ClassError("class_vote_closed", 409)
            question = question_from_json(json.loads(row[0]))
            if not question.allows(choice):
                raise ClassError("class_no_option", 422)
            query = "SELECT count(*) FROM vote WHERE poll = ? AND round = ? AND pupil != ?"
            others = db.execute(query, (poll_id, round, _hash(pupil))).fetchone()[0]
            if others >= MOST_PHONES:  # one phone may call itself many
                raise ClassError("class_votes", 409, most=MOST_PHONES)  # 429 a phone would repeat
            db.execute(
                "INSERT INTO vote VALUES (?, ?, ?, ?)"
                " ON CONFLICT (poll, round, pupil) DO UPDATE SET choice = excluded.choice",
                (poll_id, round, _hash(pupil), choice),
            )

    def voted(self, poll: Poll, pupil: str) -> float | None:
        """What a phone has voted in the present round."""
        query = "SELECT choice FROM vote WHERE poll = ? AND round = ? AND pupil = ?"
        row = self._row(query, poll.id, poll.round, _hash(pupil))
        return None if row is None else float(row[0])

    def count_hands(self, class_id: int, poll: Poll, choice: int, by: int) -> None:
        """Add raised hands to an option, or take them back.

        Raises:
            ClassError: there is no such option.
        """
        if poll.question.scale or not poll.question.allows(choice):
            raise ClassError("class_no_option", 422)
        with self._writing() as db:
            db.execute(
                "INSERT INTO hands VALUES (?, ?, ?, max(0, ?))"
                " ON CONFLICT (poll, round, choice) DO UPDATE SET number = max(0, min(999, number + ?))",
                (poll.id, poll.round, choice, by, by),
            )
            self._changed(db, class_id)

    def votes(self, poll: Poll) -> dict[int, list[float]]:
        """What phones voted, by round; hands are not among them."""
        found: dict[int, list[float]] = {1: [], 2: []}
        for round, choice in self._rows("SELECT round, choice FROM vote WHERE poll = ?", poll.id):
            found[round].append(choice)
        return found

    def hands(self, poll: Poll) -> dict[int, list[int]]:
        """Hands counted in, by round and option."""
        found = {number: [0] * len(poll.question.options) for number in (1, 2)}
        for round, choice, number in self._rows(
            "SELECT round, choice, number FROM hands WHERE poll = ?", poll.id
        ):
            found[round][choice] = number
        return found

    def moves(self, poll: Poll) -> list[list[int]]:
        """How votes went from the first round to the second: [first option, second option]."""
        size = len(poll.question.options)
        table = [[0] * size for _ in range(size)]
        pairs = self._rows(
            "SELECT a.choice, b.choice FROM vote a JOIN vote b ON a.poll = b.poll AND a.pupil = b.pupil"
            " WHERE a.poll = ? AND a.round = 1 AND b.round = 2",
            poll.id,
        )
        for first, second in pairs if not poll.question.scale else ():
            table[int(first)][int(second)] += 1
        return table

    def polls(self, class_id: int) -> Sequence[Poll]:
        """All questions that a class was asked, in their order."""
        return [
            self._poll(row[0])
            for row in self._rows("SELECT id FROM poll WHERE class = ? ORDER BY id", class_id)
        ]

    # Wishes ------------------------------------------------------------------------------------------

    def wish(self, class_id: int, pupil: str, kind: str, text: str) -> None:
        """Keep a pupil's question or prompt.

        Raises:
            ClassError: this phone has sent enough.
        """
        with self._writing() as db:
            query = "SELECT count(*) FROM wish WHERE class = ? AND pupil = ?"
            if db.execute(query, (class_id, _hash(pupil))).fetchone()[0] >= MOST_WISHES:
                raise ClassError("class_wishes", 429, most=MOST_WISHES)
            whole = db.execute("SELECT count(*) FROM wish WHERE class = ?", (class_id,)).fetchone()[0]
            if whole >= MOST_WISHES_OF_CLASS:  # one phone may call itself many
                raise ClassError("class_wishes_of_class", 429, most=MOST_WISHES_OF_CLASS)
            row = (class_id, _hash(pupil), kind, text)
            db.execute("INSERT INTO wish (class, pupil, kind, text) VALUES (?, ?, ?, ?)", row)

    def wishes(self, class_id: int) -> list[Wish]:
        """What the pupils of a class sent, the latest first."""
        rows = self._rows(
            "SELECT id, kind, text, picked FROM wish WHERE class = ? ORDER BY id DESC LIMIT 200", class_id
        )
        return [Wish(row[0], row[1], row[2], bool(row[3])) for row in rows]

    def pick(self, class_id: int, wish_id: int, picked: bool) -> None:
        """Show a wish, or put it back."""
        with self._writing() as db:
            values = (picked, wish_id, class_id)
            db.execute("UPDATE wish SET picked = ? WHERE id = ? AND class = ?", values)
            self._changed(db, class_id)


def tally(question: Question, votes: Sequence[float], hands: Sequence[int]) -> list[int]:
    """Votes and hands by option; of a scale, by tenth of its range."""
    counts = list(hands) if not question.scale else [0] * 10
    for choice in votes:
        if question.scale:
            low, high = question.scale
            place = min(9, max(0, math.floor(10 * (choice - low) / (high - low))))
        else:
            place = int(choice)
        counts[place] += 1
    return counts
