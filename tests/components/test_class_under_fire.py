"""A class while somebody sends what no phone sends, and while its lecturer does two things at once."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio.utils import get_upload_folder

from components.lesson import items, network, server
from components.lesson.items import FileError, read_items, read_lesson
from components.lesson.server import Lessons
from components.lesson.store import MOST_PHONES, MOST_WISHES_OF_CLASS, ClassError, Store, classes_file
from components.page.qr import MAX_LINK, QrCodes, qr_svg
from tests import loops
from tests.components.test_class import ANNA, CARA, SHARE, WHEN, Room, elsewhere, in_a_room

DEEP = "[" * 5000
LONG = "1" * 5000  # digits of an integer; Python reads no more than 4300 and writes no more
A_LESSON = """minutes = 45
[en]
title = "A lesson"
[[step]]
scene = "image.steps"
minutes = 3
"""


def test_a_file_that_would_take_minutes_to_read_is_refused_at_once() -> None:
    for text, key in (
        ("a." * 8000 + "a = 1", "file_dots"),
        ("# " + "x" * items.MOST_CHARACTERS, "file_size"),
        ("x = " + DEEP, "file_deep"),
    ):
        for read in (lambda text: read_items(text, ()), lambda text: read_lesson(text, (), ())):
            with pytest.raises(FileError) as found:
                read(text)
            assert found.value.key == key


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("minutes = 3", f"minutes = {LONG}", 6, "file_syntax"),
        ("minutes = 45", f"minutes = {LONG}", 1, "file_syntax"),
        ("minutes = 3", "minutes = 1" + "0" * 400, 6, "file_range"),
        ("minutes = 45", "minutes = 1" + "0" * 400, 1, "file_range"),
        ("minutes = 3", f"minutes = 3\nset = {{ seed = 0x{LONG} }}", 7, "file_kind"),
    ],
)
def test_a_number_of_too_many_digits_is_said_with_its_line(old: str, new: str, line: int, key: str) -> None:
    with pytest.raises(FileError) as found:
        read_lesson(A_LESSON.replace(old, new), ("image.steps",), ())
    assert (found.value.line, found.value.key) == (line, key)


def test_the_lines_of_a_file_are_split_once() -> None:
    class Counting(str):
        splits = 0

        def splitlines(self, keepends: bool = False) -> list[str]:
            Counting.splits += 1
            return super().splitlines(keepends)

    with pytest.raises(FileError):
        read_items(Counting("[[item]]\nid = 'a'\n" * 20), ())
    assert Counting.splits <= 2


def test_the_event_loop_goes_on_while_a_file_is_read_and_codes_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever takes long, phones are answered meanwhile."""
    go_on, threads = threading.Event(), list[str]()

    def slow(*_: Any) -> Any:
        threads.append(threading.current_thread().name)
        assert go_on.wait(30)
        return ()

    monkeypatch.setattr(server, "read_items", slow)
    monkeypatch.setattr("components.page.qr.qr_svg", slow)

    async def lesson(room: Room) -> None:
        reads = asyncio.create_task(room.http.post("/lesson/check", json={"kind": "quiz", "text": ""}))
        draws = asyncio.create_task(room.post("qr", {"text": "http://a"}, room.secret))
        while len(threads) < 2:
            assert (await room.phone()).status_code == 200
        busy = await room.http.post("/lesson/check", json={"kind": "quiz", "text": ""})
        assert busy.status_code == 429
        go_on.set()
        assert (await reads).json() == {"items": []}
        await draws

    in_a_room(tmp_path / "c.sqlite", lesson)


def test_the_event_loop_goes_on_while_the_addresses_of_the_machine_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name server that takes seconds."""
    go_on, asked = threading.Event(), list[str]()

    def slow(name: str) -> tuple[str, list[str], list[str]]:
        asked.append(name)
        assert go_on.wait(30)
        return name, [], ["192.0.2.7"]

    monkeypatch.setattr(network.socket, "gethostbyname_ex", slow)
    here = {"host": "localhost:7860"}

    async def lesson(room: Room) -> None:
        opens = asyncio.create_task(room.post("open", {}, **here))
        looks = asyncio.create_task(room.http.get("/lesson/health", headers=here))
        while len(asked) < 2:
            assert (await room.phone()).status_code == 200
        go_on.set()
        for answer in (await opens, await looks):
            assert any("192.0.2.7" in address for address in answer.json()["addresses"])

    in_a_room(tmp_path / "c.sqlite", lesson)


def test_a_link_is_drawn_for_the_page_too_beside_the_loop() -> None:
    async def ask(address: str) -> httpx.Response:
        transport = httpx.ASGITransport(QrCodes(elsewhere))
        async with httpx.AsyncClient(transport=transport, base_url="http://room") as http:
            return await http.get("/qr", params={"text": address})

    longest = "http://" + "a" * (MAX_LINK - 7)
    assert loops.run(ask(longest)).content == qr_svg(longest)
    assert loops.run(ask("javascript:1")).status_code == 422


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/class/open", DEEP),
        ("/lesson/check", '{"kind": "quiz", "text": "x = ' + DEEP + '"}'),
        ("/lesson/check", '{"kind": "quiz", "text": "[[item]]\\nid = \\"\\ud800\\""}'),
        ("/class/open", '{"a": "\\ud800"}'),
        ("/lesson/check", json.dumps({"kind": "quiz", "text": f"x = {LONG}"})),
        ("/lesson/check", json.dumps({"kind": "lesson", "text": A_LESSON.replace("45", LONG)})),
        ("/lesson/check", json.dumps({"kind": "lesson", "text": A_LESSON.replace("45", "1" + "0" * 400)})),
    ],
)
def test_no_request_ends_as_unexpected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, body: str
) -> None:
    monkeypatch.setattr("tests.components.test_class.SCENES", ("image.steps",))
    monkeypatch.setattr(server, "shipped_items", lambda scenes: ())  # they are in other scenes, too

    async def lesson(room: Room) -> None:
        answer = await room.http.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (200, 400) and answer.json()

    in_a_room(tmp_path / "c.sqlite", lesson)


@pytest.fixture
def two_addresses(tmp_path: Path) -> tuple[Room, Room]:
    app = Lessons(elsewhere, tmp_path / "c.sqlite", lambda: ())

    def room(address: str) -> Room:
        transport = httpx.ASGITransport(app, client=(address, 123))
        return Room(httpx.AsyncClient(transport=transport, base_url="http://room"), app)

    return room("192.0.2.1"), room("192.0.2.2")


def test_who_guesses_codes_or_opens_classes_takes_them_from_nobody_else(
    two_addresses: tuple[Room, Room],
) -> None:
    one, other = two_addresses

    async def lesson() -> None:
        await other.open()
        for number in range(server.MOST_WRONG_ALL + 1):
            await one.phone(CARA, code=f"Q{number:04}")
        assert (await other.phone(ANNA)).status_code == 200
        opened = [(await one.post("open", {})).status_code for _ in range(server.MOST_CLASSES)]
        assert opened.count(200) == server.MOST_CLASSES_OF_ONE
        assert (await other.post("open", {})).status_code == 200

    loops.run(lesson())


def test_a_battle_that_took_long_replaces_no_other_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, drawn = threading.Event(), threading.Event()

    def slow(*_: Any) -> Any:
        begun.set()
        assert drawn.wait(30)
        return SHARE

    monkeypatch.setattr(server, "battle", slow)

    async def lesson(room: Room) -> None:
        for text in ("a red cat", "a blue dog"):
            sent = {"code": room.code, "pupil": ANNA, "kind": "prompt", "text": text}
            assert (await room.post("wish", sent)).status_code == 200
        fight = {"wishes": [1, 2], "seed": 1, "scene": "image.steps"}
        fights = asyncio.create_task(room.post("battle", fight, room.secret))
        await asyncio.to_thread(begun.wait, 30)
        await room.lead("ask", scene="s", question=WHEN.to_json())
        drawn.set()
        assert (await fights).status_code == 409
        assert (await room.led())["poll"]["question"]["text"] == WHEN.text
        await room.lead("away")
        assert (await room.post("battle", fight, room.secret)).status_code == 200
        assert (await room.led())["poll"]["question"]["text"] == SHARE.text

    in_a_room(tmp_path / "c.sqlite", lesson)


def test_two_windows_of_a_lecturer_lose_nothing_of_what_they_tell(tmp_path: Path) -> None:
    async def lesson(room: Room) -> None:
        for number in range(10):
            told = {"scene": f"s{number}"}, {"go": f"next {number}"}
            await asyncio.gather(*(room.lead("tell", **each) for each in told))
            assert (await room.led())["lead"] == {"scene": f"s{number}", "go": f"next {number}"}

    in_a_room(tmp_path / "c.sqlite", lesson)


def test_a_phone_that_calls_itself_many_fills_no_class(tmp_path: Path) -> None:
    store = Store(tmp_path / "c.sqlite")
    _, secret = store.open_class()
    class_id = store.led(secret).id
    with store._writing() as db:
        rows = [(class_id, f"p{n}", "question", "Why?") for n in range(MOST_WISHES_OF_CLASS)]
        db.executemany("INSERT INTO wish (class, pupil, kind, text) VALUES (?, ?, ?, ?)", rows)
    with pytest.raises(ClassError, match="wishes_of_class"):
        store.wish(class_id, ANNA, "question", "Why?")
    poll = store.ask(class_id, "s", WHEN)
    store.vote(class_id, poll.id, 1, CARA, 0)
    with store._writing() as db:
        votes = [(poll.id, 1, f"p{n}", 1) for n in range(MOST_PHONES - 1)]
        db.executemany("INSERT INTO vote VALUES (?, ?, ?, ?)", votes)
    with pytest.raises(ClassError, match="class_votes") as refused:
        store.vote(class_id, poll.id, 1, ANNA, 0)
    assert refused.value.status == 409  # 429 and what is above 500 a phone sends again, until it is heard
    store.vote(class_id, poll.id, 1, CARA, 1)  # who has voted may change their mind
    assert store.votes(store.led(secret).poll)[1] == [1] * MOST_PHONES


def test_classes_that_can_be_kept_nowhere_lie_where_nobody_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STEUERVEKTOR_DATA", str(tmp_path / "file" / "data"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    kept = classes_file()
    assert kept.parent.is_dir() and Path(get_upload_folder()) not in kept.parents
    assert (tmp_path / "served") not in kept.parents
