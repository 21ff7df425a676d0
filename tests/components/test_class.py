"""A class over the wire: what phones and lecturers may do, and what is refused."""

import asyncio
import base64
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
from components.lesson.items import Question
from components.lesson.server import Lessons
from components.lesson.store import KEPT_DAYS, Store
from components.lesson.view import light_page
from components.ui.language import LANGUAGES
from tests import loops

DAY = 24 * 3600
WHEN = Question(
    "When is the text used?", ("Once.", "At each step."), answer=1, explanation="See it.", door="tab=image"
)
SHARE = Question("How many per cent?", scale=(0, 100), unit="%", answer=94)
ANNA, BEN, CARA = "a" * 32, "b" * 32, "c" * 32


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
