"""A class: its store, what phones and lecturers may do, and what is refused."""

import asyncio
import base64
import json
import sqlite3
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.responses import PlainTextResponse

from components.lesson import server
from components.lesson.asked import Rate
from components.lesson.items import Question, question_from_json
from components.lesson.server import Lessons
from components.lesson.store import KEPT_DAYS, ClassError, Store, tally
from components.lesson.view import light_page
from components.ui.language import LANGUAGES
from tests import loops

DAY = 24 * 3600
WHEN = Question(
    "When is the text used?", ("Once.", "At each step."), answer=1, explanation="See it.", door="tab=image"
)
SHARE = Question("How many per cent?", scale=(0, 100), unit="%", answer=94)
ANNA, BEN, CARA = "a" * 32, "b" * 32, "c" * 32


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


def test_old_classes_are_looked_for_though_nobody_opens_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, days = tmp_path / "c.sqlite", 0
    clocks = {"clock": lambda: 1e9 + days * DAY, "passing": lambda: float(days * DAY)}
    monkeypatch.setattr(server, "Store", partial(Store, **clocks))
    monkeypatch.setattr(server, "LOOK_S", 0.0)
    rows = sqlite3.connect(path, check_same_thread=False)

    def kept() -> int:
        return int(rows.execute("SELECT count(*) FROM class").fetchone()[0])

    async def lesson(_: Room) -> None:
        nonlocal days
        assert kept() == 1
        days = KEPT_DAYS + 1
        async with asyncio.timeout(60):
            while kept():
                await asyncio.sleep(0)

    in_a_room(path, lesson)


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


# Over the wire -----------------------------------------------------------------------------------------


async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("the page")(scope, receive, send)


class Room:
    """A class over HTTP, in this process."""

    def __init__(self, http: httpx.AsyncClient, app: Lessons) -> None:
        self.http, self.app = http, app
        self.code = self.secret = ""

    async def post(self, path: str, body: Any, secret: str = "", **headers: str) -> httpx.Response:
        authorization = {"authorization": f"Bearer {secret}"} if secret else {}
        return await self.http.post(f"/class/{path}", json=body, headers={**authorization, **headers})

    async def open(self) -> None:
        self.__dict__ |= {
            k: v for k, v in (await self.post("open", {})).json().items() if k in ("code", "secret")
        }

    async def lead(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.post(path, body, self.secret)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def led(self, since: str = "") -> dict[str, Any]:
        asked = await self.http.get(
            "/class/lead", params={"since": since}, headers={"authorization": f"Bearer {self.secret}"}
        )
        return asked.json()

    async def phone(self, pupil: str = ANNA, since: str = "", code: str = "") -> httpx.Response:
        return await self.http.get(
            "/class/state", params={"code": code or self.code, "pupil": pupil, "since": since}
        )

    async def vote(self, pupil: str, choice: Any, round: int = 1, poll: int = 1) -> httpx.Response:
        return await self.post(
            "vote", {"code": self.code, "pupil": pupil, "poll": poll, "round": round, "choice": choice}
        )


@asynccontextmanager
async def a_room(path: Path | str) -> AsyncIterator[Room]:
    app = Lessons(elsewhere, path, lambda: SCENES)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://room") as http:
        room = Room(http, app)
        await room.open()
        yield room


SCENES: tuple[str, ...] = ()


def in_a_room(path: Path | str, act: Callable[[Room], Awaitable[None]]) -> None:
    async def run() -> None:
        async with a_room(path) as room:
            await act(room)

    loops.run(run())


def test_a_vote_from_question_to_answer(tmp_path: Path) -> None:
    async def lesson(room: Room) -> None:
        assert (await room.phone()).json()["poll"] is None
        waits = asyncio.create_task(room.phone(BEN, since="1"))
        await room.lead("ask", scene="image.steps", question=WHEN.to_json())
        told = (await waits).json()  # the phone was told, and did not have to ask
        assert told["poll"]["question"] == {
            "text": WHEN.text, "options": list(WHEN.options), "pictures": [], "scale": None, "unit": "",
        }  # fmt: skip
        poll = told["poll"]["id"]
        assert (await room.vote(ANNA, 0, poll=poll)).status_code == 200
        assert (await room.vote(ANNA, 1, poll=poll)).status_code == 200
        assert (await room.vote(BEN, 0, poll=poll)).status_code == 200
        open_yet = (await room.phone()).json()["poll"]
        assert open_yet["mine"] == 1 and "counts" not in open_yet
        led = await room.led()
        assert led["poll"]["counts"] == [[1, 1]] and led["poll"]["phones"] == 2
        await room.lead("hands", poll=poll, choice=1, by=1)
        await room.lead("phase", poll=poll, round=1, open=False)
        closed = (await room.phone()).json()["poll"]
        assert closed["counts"] == [[1, 2]] and "answer" not in closed["question"]
        late = await room.vote(CARA, 1, poll=poll)
        assert late.status_code == 409 and "does not count" in late.json()["message"]
        await room.lead("phase", poll=poll, round=2, open=True)
        await room.vote(BEN, 1, round=2, poll=poll)
        await room.lead("phase", poll=poll, round=2, open=False, revealed=True)
        end = (await room.phone(BEN)).json()["poll"]
        assert end["counts"] == [[1, 2], [0, 1]] and end["moves"] == [[0, 1], [0, 0]]
        assert (end["question"]["answer"], end["question"]["door"]) == (1, "tab=image")
        await room.lead("away")
        assert (await room.phone()).json()["poll"] is None

    in_a_room(tmp_path / "c.sqlite", lesson)


def test_the_lecturer_hears_of_a_vote_at_once(tmp_path: Path) -> None:
    async def lesson(room: Room) -> None:
        await room.lead("ask", scene="s", question=WHEN.to_json())
        since = (await room.led())["since"]
        waits = asyncio.create_task(room.led(since))
        await asyncio.sleep(0)
        await room.vote(ANNA, 0)
        told = await asyncio.wait_for(waits, 5)
        assert told["poll"]["counts"] == [[1, 0]] and told["since"] != since

    in_a_room(tmp_path / "c.sqlite", lesson)


@pytest.mark.parametrize("secret", ["", "guessed", "ü"])
def test_whoever_has_no_secret_leads_nothing(tmp_path: Path, secret: str) -> None:
    async def lesson(room: Room) -> None:
        await room.lead("ask", scene="s", question=WHEN.to_json())
        authorization = f"Bearer {secret}".encode()
        for path in ("ask", "battle", "qr", "phase", "away", "hands", "tell", "pick", "remove"):
            answer = await room.http.post(
                f"/class/{path}", json={}, headers={b"authorization": authorization}
            )
            assert answer.status_code == 403, path
        for path in ("lead", "record.csv", "record.zip"):
            answer = await room.http.get(f"/class/{path}", headers={b"authorization": authorization})
            assert answer.status_code == 403, path
        assert (await room.phone()).json()["poll"]["open"]

    in_a_room(tmp_path / "c.sqlite", lesson)


def test_codes_cannot_be_guessed_at_speed_and_the_class_goes_on(tmp_path: Path) -> None:
    async def lesson(room: Room) -> None:
        assert (await room.phone(ANNA)).status_code == 200
        answers = [
            (await room.phone(CARA, code=f"QQQ{n:02}")).status_code for n in range(server.MOST_WRONG + 5)
        ]
        assert answers == [404] * server.MOST_WRONG + [429] * 5
        assert (await room.phone(CARA)).status_code == 429  # even the right one
        assert (await room.phone(ANNA)).status_code == 200  # who is in stays in

    in_a_room(tmp_path / "c.sqlite", lesson)


def test_a_room_behind_one_address_that_guessed_too_often_is_let_in_again_after_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(server, "Rate", partial(Rate, clock=lambda: now))

    async def lesson(room: Room) -> None:
        nonlocal now
        for number in range(server.MOST_WRONG):
            await room.phone(CARA, code=f"QQQ{number:02}")
        now = 59.9
        assert (await room.phone(CARA)).status_code == 429
        now = 60.0
        assert (await room.phone(CARA)).status_code == 200
        assert (await room.phone(CARA, code="QQQ00")).status_code == 404

    in_a_room(tmp_path / "c.sqlite", lesson)


def test_what_happened_is_counted_anew_when_its_span_is_over() -> None:
    now = 0.0
    rate = Rate(60, clock=lambda: now)
    for passed, counted in ((0.0, 1), (59.0, 2), (60.0, 1), (119.9, 2), (500.0, 1)):
        now = passed
        rate.add("a")
        assert (rate.count("a"), rate.count("b")) == (counted, 0)


def test_texts_of_pupils_are_limited_plain_and_shown_only_when_picked(tmp_path: Path) -> None:
    async def lesson(room: Room) -> None:
        async def wish(text: str, **other: Any) -> httpx.Response:
            return await room.post(
                "wish", {"code": room.code, "pupil": ANNA, "kind": "prompt", "text": text} | other
            )

        long = await wish("x" * 10_000)
        assert (
            long.status_code == 413 and "300" in long.json()["message"] and "10000" in long.json()["message"]
        )
        assert (await wish("  ")).status_code == 400 and (await wish("a", kind="order")).status_code == 400
        assert (await wish("<script>alert(1)</script>\x00\n two  lines")).status_code == 200
        assert (await room.phone()).json()["picked"] == []
        (found,) = (await room.led())["wishes"]
        assert found["text"] == "<script>alert(1)</script> two lines"  # text, which pages write as text
        await room.lead("pick", wish=found["id"], picked=True)
        assert (await room.phone(BEN)).json()["picked"] == [found["text"]]
        assert [(await wish("again")).status_code for _ in range(20)] == [200] * 19 + [429]

    in_a_room(tmp_path / "c.sqlite", lesson)


def test_two_prompts_of_pupils_are_drawn_from_one_noise_and_judged(tmp_path: Path) -> None:
    async def lesson(room: Room) -> None:
        for text in ("a red car", "a blue boat"):
            body = {"code": room.code, "pupil": ANNA, "kind": "prompt", "text": text}
            assert (await room.post("wish", body)).status_code == 200
        await room.lead("battle", wishes=[1, 2], seed=3, scene="image.steps")
        asked = (await room.phone()).json()["poll"]["question"]
        assert asked["options"] == ["a red car", "a blue boat"] and "answer" not in asked
        pictures = [Image.open(BytesIO(base64.b64decode(p.partition(",")[2]))) for p in asked["pictures"]]
        red, blue = (
            np.asarray(picture.convert("RGB"), float)[80:160, 60:160].mean((0, 1)) for picture in pictures
        )
        assert pictures[0].format == "WEBP" and red[0] - red[2] > blue[0] - blue[2] + 20
        assert max(map(len, asked["pictures"])) < 20_000  # 300 phones share one access point
        assert "0." in (await room.led())["poll"]["question"]["explanation"]
        for wrong in ([1], [1, 1, 2], [1, 1], [1, 99], [[1], [2]], "12", None):
            answer = await room.post("battle", {"wishes": wrong, "seed": 3, "scene": "s"}, room.secret)
            assert answer.status_code == 400

    in_a_room(tmp_path / "c.sqlite", lesson)


@pytest.mark.parametrize("value", [None, [], {}, "", "1", -1, 1.5, 2**63, 10**400, 1e300, True, "x" * 5000])
@pytest.mark.parametrize("name", ["code", "pupil", "poll", "round", "choice"])
def test_a_vote_of_whatever_kind_is_taken_or_refused_in_a_sentence(
    tmp_path: Path, name: str, value: Any
) -> None:
    async def lesson(room: Room) -> None:
        await room.lead("ask", scene="s", question=WHEN.to_json())
        body = {"code": room.code, "pupil": ANNA, "poll": 1, "round": 1, "choice": 0} | {name: value}
        answer = await room.post("vote", body)
        assert answer.status_code in (400, 404, 409, 413, 422), (answer.status_code, answer.text)
        assert len(answer.json()["message"]) > 20

    in_a_room(tmp_path / "c.sqlite", lesson)


def test_other_sites_cannot_lead_or_vote(tmp_path: Path) -> None:
    """A form of another site can send text, but JSON only once it was allowed, which it is not."""

    async def lesson(room: Room) -> None:
        sent = await room.http.post("/class/open", content="{}", headers={"content-type": "text/plain"})
        assert sent.status_code == 400
        asked = await room.http.options(
            "/class/vote", headers={"origin": "https://other", "access-control-request-method": "POST"}
        )
        assert "access-control-allow-origin" not in asked.headers
        assert (await room.http.get("/")).text == "the page"

    in_a_room(tmp_path / "c.sqlite", lesson)


def test_a_disk_that_is_full_or_locked_is_said_and_the_vote_comes_through_later(
    tmp_path: Path, caplog
) -> None:
    path = tmp_path / "c.sqlite"

    async def lesson(room: Room) -> None:
        await room.lead("ask", scene="s", question=WHEN.to_json())
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN EXCLUSIVE")
        refused = await room.vote(ANNA, 0)
        assert refused.status_code == 503 and "kept" in refused.json()["message"]  # phones try again on this
        blocker.execute("ROLLBACK")
        assert (await room.vote(ANNA, 0)).status_code == 200
        db = room.app._store._db
        db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")
        refused = [await room.vote(f"{n:032}", 1) for n in range(200)]  # until the disk is full
        assert refused[-1].status_code == 503 and "kept" in refused[-1].json()["message"]
        db.execute("PRAGMA max_page_count = 100000")
        assert (await room.vote(f"{199:032}", 1)).status_code == 200
        counted = sum(answer.status_code == 200 for answer in refused)
        assert (await room.led())["poll"]["counts"] == [[1, counted + 1]]

    in_a_room(path, lesson)
    assert "locked" in caplog.text and "full" in caplog.text


def test_a_record_is_a_table_and_a_package_for_learning_platforms(tmp_path: Path) -> None:
    async def lesson(room: Room) -> None:
        formula = Question("=1+1", ("-2", "@b"), answer=0)
        for question, vote in ((WHEN, 1), (SHARE, 12), (formula, 0)):
            await room.lead("ask", scene="s", question=question.to_json())
            poll = (await room.led())["poll"]["id"]
            assert (await room.vote(ANNA, vote, poll=poll)).status_code == 200
        headers = {"authorization": f"Bearer {room.secret}"}
        table = (
            (await room.http.get("/class/record.csv", headers=headers))
            .content.decode("utf-8-sig")
            .splitlines()
        )
        assert table[1] == "When is the text used?,s,1,Once.,,0,0"
        assert table[2] == "When is the text used?,s,1,At each step.,yes,1,0"
        assert table[4] == "How many per cent?,s,1,10 to 20 %,,1,0"
        assert table[-2] == "'=1+1,s,1,'-2,yes,1,0"
        package = zipfile.ZipFile(
            BytesIO((await room.http.get("/class/record.zip", headers=headers)).content)
        )
        space = {"q": "http://www.imsglobal.org/xsd/imsqti_v2p1"}
        item = ElementTree.fromstring(package.read("item1.xml"))
        assert item.findtext(".//q:correctResponse/q:value", namespaces=space) == "option1"
        assert [c.text for c in item.findall(".//q:simpleChoice", space)] == list(WHEN.options)
        assert package.read("imsmanifest.xml").count(b"<resource ") == 2  # a scale is no choice

    in_a_room(tmp_path / "c.sqlite", lesson)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["phone", "remote"])
def test_the_light_pages_are_light(name: str, language: str) -> None:
    page = light_page(name, language)
    assert len(page.encode()) < 40_000 and f'lang="{language}"' in page
    assert "http://" not in page and "https://" not in page


@pytest.mark.parametrize(
    ("accepts", "query", "language"),
    [
        ("de-DE,de;q=0.9", "", "de"),
        ("fr, en;q=0.5", "", "en"),
        ("de", "?lang=en", "en"),
        ("fr", "?lang=xx", "en"),
        ("", "", "en"),
    ],
)
def test_a_phone_gets_its_language(tmp_path: Path, accepts: str, query: str, language: str) -> None:
    async def lesson(room: Room) -> None:
        page = await room.http.get(f"/join{query}", headers={"accept-language": accepts})
        assert f'<html lang="{language}"' in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]

    in_a_room(tmp_path / "c.sqlite", lesson)
