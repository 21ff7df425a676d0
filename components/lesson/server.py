"""What a class asks of the server: the light page of phones, votes, and what the lecturer steers.

None of it goes through Gradio: its queue and its page would be too slow for 300 phones.
"""

import asyncio
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from components.lesson.asked import Rate, language_of, number_of, secret_of, sent_by, text_of, whole_of
from components.lesson.battle import battle
from components.lesson.export import as_csv, as_qti
from components.lesson.health import health, seconds_of_a_picture
from components.lesson.items import (
    FOLDER,
    FileError,
    question_from_json,
    read_items,
    read_lesson,
    shipped_items,
    shipped_lessons,
)
from components.lesson.network import reachable
from components.lesson.store import DAY, ClassError, ClassState, Store
from components.lesson.view import HERE, for_lead, for_phone, item_json, lesson_json, light_page
from components.page.qr import drawn_qr
from components.ui.errors import message
from components.ui.language import Texts, load_texts
from pipelines.serving.errors import InputError

log = logging.getLogger(__name__)
PAGES = {"/join": "phone", "/lead": "remote", "/check": "check"}
Result = TypeVar("Result")
LOOK_S: float = DAY  # s between two looks for classes that are too old
WAIT_S = 20.0  # that a phone's question "what is new?" stays open; proxies give up after 30 to 60
MOST_PHONE = 16_384  # bytes that a phone may send
MOST_LEAD = 524_288  # bytes that a lecturer may send: pictures to choose from are among them
MOST_WISH = 300  # characters of a pupil's text
MOST_CLASSES = 60  # that may begin within an hour
MOST_CLASSES_OF_ONE = 40  # of them from one address
MOST_WRONG = 30  # wrong codes of one address within a minute
MOST_WRONG_ALL = 600  # wrong codes of all within a minute
PUPIL = range(16, 65)  # characters of a phone's token
# A page that holds a class's answers asks nobody else for anything and is shown in nobody's frame.
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " connect-src 'self'; img-src data: 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Lessons:
    """ASGI middleware: `/join`, `/lead`, `/check`, `/class/…` and `/lesson/…`; everything else passes.

    Args:
        app: Gradio's, or what stands before it.
        path: of the file of classes, see `Store`.
        scenes: keys of all scenes of the page, see `items.read_items`.
    """

    def __init__(self, app: ASGIApp, path: Path | str, scenes: Callable[[], Sequence[str]]) -> None:
        self.app, self.scenes, self.path = app, scenes, path
        self._store: Store | None = None
        self._caretaker: asyncio.Task[None] | None = None
        # One thread: SQLite writes one thing at a time, and a busy disk must not hold the event loop.
        self._desk = ThreadPoolExecutor(1, thread_name_prefix="classes")
        self._changed: dict[tuple[str, int], asyncio.Event] = {}
        self._votes: Counter[int] = Counter()
        self._wrong, self._begun = Rate(60), Rate(3600)
        self._drawing, self._measuring, self._checking = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._known: set[tuple[str, int]] = set()  # phones that have been in a class
        lead = ("ask", "battle", "phase", "away", "hands", "tell", "pick", "remove")
        self._inner = Starlette(
            routes=[
                *(Route(path, self._page) for path in PAGES),
                Route("/lesson/health", self._answering(self._health)),
                Route("/lesson/picture", self._answering(self._picture), methods=["POST"]),
                Route("/class/state", self._answering(self._state)),
                Route("/class/vote", self._answering(self._vote), methods=["POST"]),
                Route("/class/wish", self._answering(self._wish), methods=["POST"]),
                Route("/class/open", self._answering(self._open), methods=["POST"]),
                Route("/class/lead", self._answering(self._lead)),
                *(
                    Route(f"/class/{n}", self._answering(getattr(self, f"_{n}")), methods=["POST"])
                    for n in lead
                ),
                Route("/class/qr", self._answering(self._qr), methods=["POST"]),
                Route("/class/record.csv", self._answering(self._csv)),
                Route("/class/record.zip", self._answering(self._qti)),
                Route("/lesson/quiz.toml", self._answering(self._pattern)),
                Route("/lesson/phone.css", self._answering(self._style)),
                Route("/lesson/data", self._answering(self._data)),
                Route("/lesson/check", self._answering(self._check), methods=["POST"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (self._caretaker is None or self._caretaker.done()):
            self._caretaker = asyncio.create_task(self._care())
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        ours = path in PAGES or path.startswith(("/class/", "/lesson/"))
        if scope["type"] == "http" and ours:
            await self._inner({**scope, "app": self._inner}, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _care(self) -> None:
        """Forget old classes as long as the app runs, also where nobody opens a new one."""
        while True:
            try:
                await self._at_desk(lambda store: store.remove_old())
            except sqlite3.Error as error:
                log.error("old classes were not removed: %s", error)
            await asyncio.sleep(LOOK_S)

    # How it answers ----------------------------------------------------------------------------------

    def _answering(
        self, handler: Callable[[Request], Awaitable[Any]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """A route out of a handler: its dictionary as JSON, its errors as sentences."""

        async def route(request: Request) -> Response:
            t = load_texts(language_of(request))
            try:
                answer = await handler(request)
            except ClassError as error:
                return _refused(error.key, error.status, t, **error.values)
            except InputError as error:  # the machine is full, or about to be shut down
                said = {"error": error.key, "message": message(error, t)}
                return JSONResponse(said, 503, headers=HEADERS)
            except ClientDisconnect:
                return Response(status_code=499)
            except sqlite3.Error as error:
                log.error("the file of classes failed: %s", error)
                return _refused("class_store", 503, t)
            except Exception as error:
                log.error("unexpected error at %s", request.url.path, exc_info=error)
                return _refused("class_unexpected", 500, t)
            if isinstance(answer, Response):
                answer.headers.update(HEADERS)
                return answer
            return JSONResponse(answer, headers=HEADERS)

        return route

    async def _at_desk(self, act: Callable[[Store], Result]) -> Result:
        """Something done with the store, on the store's own thread."""

        def do() -> Result:
            if self._store is None:
                self._store = Store(self.path)
            return act(self._store)

        return await asyncio.get_running_loop().run_in_executor(self._desk, do)

    async def _alone(self, lock: asyncio.Lock, work: Callable[..., Result], *values: Any) -> Result:
        """What takes its time, one of its kind at once, and not on the event loop.

        Raises:
            ClassError: another is under way.
        """
        if lock.locked():
            raise ClassError("class_busy", 429)
        async with lock:
            return await asyncio.to_thread(work, *values)

    def _ring(self, class_id: int, phones: bool = True) -> None:
        """Wake all that wait for news of a class: its lecturer, and mostly its phones."""
        for place in ("lead", "phones") if phones else ("lead",):
            if (event := self._changed.pop((place, class_id), None)) is not None:
                event.set()

    async def _news(self, place: tuple[str, int], is_new: Callable[[], Awaitable[bool]]) -> None:
        """Wait for news, but not for longer than a proxy would."""
        until = time.monotonic() + WAIT_S
        while (left := until - time.monotonic()) > 0:
            event = self._changed.setdefault(place, asyncio.Event())
            if await is_new():
                return
            try:
                await asyncio.wait_for(event.wait(), left)
            except TimeoutError:
                return

    # Phones ------------------------------------------------------------------------------------------

    async def _page(self, request: Request) -> Response:
        name = PAGES[request.url.path.removeprefix(request.scope.get("root_path", ""))]
        return HTMLResponse(light_page(name, language_of(request)), headers=HEADERS)

    async def _joined(self, request: Request, code: str, pupil: str) -> ClassState:
        """The class of a code, unless whoever asks has guessed too often."""
        if len(pupil) not in PUPIL or not pupil.isascii():
            raise ClassError("class_bad_request", 400)
        where = request.client.host if request.client else ""
        too_often = self._wrong.count(where) >= MOST_WRONG or self._wrong.count() >= MOST_WRONG_ALL
        try:
            state = await self._at_desk(lambda store: store.joined(code))
        except ClassError:
            if self._wrong.count(where) < MOST_WRONG:  # what is refused anyway uses up nobody else's
                self._wrong.add()
            self._wrong.add(where)
            raise ClassError("class_slow", 429) if too_often else ClassError("class_unknown", 404) from None
        if (pupil, state.id) not in self._known:
            if too_often:
                raise ClassError("class_slow", 429)
            if len(self._known) < 100_000:
                self._known.add((pupil, state.id))
        return state

    async def _state(self, request: Request) -> dict[str, Any]:
        query = request.query_params
        code, pupil = query.get("code", ""), query.get("pupil", "")
        state = await self._joined(request, code, pupil)
        since = query.get("since", "")

        async def is_new() -> bool:
            nonlocal state
            state = await self._at_desk(lambda store: store.joined(code))
            return str(state.version) != since

        if since:
            await self._news(("phones", state.id), is_new)
        return await self._at_desk(lambda store: for_phone(store, state, pupil))

    async def _vote(self, request: Request) -> dict[str, Any]:
        sent = await sent_by(request, MOST_PHONE)
        pupil = text_of(sent, "pupil")
        state = await self._joined(request, text_of(sent, "code"), pupil)
        poll, round, choice = whole_of(sent, "poll"), whole_of(sent, "round"), number_of(sent, "choice")
        await self._at_desk(lambda store: store.vote(state.id, poll, round, pupil, choice))
        self._votes[state.id] += 1
        self._ring(state.id, phones=False)
        return {"poll": poll, "round": round, "choice": choice}

    async def _wish(self, request: Request) -> dict[str, Any]:
        sent = await sent_by(request, MOST_PHONE)
        pupil, text, kind = text_of(sent, "pupil"), text_of(sent, "text"), text_of(sent, "kind")
        text = " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())
        if not text or kind not in ("question", "prompt"):
            raise ClassError("class_bad_request", 400)
        if len(text) > MOST_WISH:
            raise ClassError("class_wish_long", 413, most=MOST_WISH, length=len(text))
        state = await self._joined(request, text_of(sent, "code"), pupil)
        await self._at_desk(lambda store: store.wish(state.id, pupil, kind, text))
        self._votes[state.id] += 1
        self._ring(state.id, phones=False)
        return {"sent": True}

    # Lecturers ---------------------------------------------------------------------------------------

    async def _open(self, request: Request) -> dict[str, Any]:
        await sent_by(request, MOST_PHONE)
        where = request.client.host if request.client else ""
        if self._begun.count() >= MOST_CLASSES or self._begun.count(f"of {where}") >= MOST_CLASSES_OF_ONE:
            raise ClassError("class_many", 429)
        self._begun.add()
        self._begun.add(f"of {where}")
        code, secret = await self._at_desk(lambda store: (store.remove_old(), store.open_class())[1])
        return {"code": code, "secret": secret, **await asyncio.to_thread(reachable, request)}

    async def _led(self, request: Request) -> ClassState:
        secret = secret_of(request)
        return await self._at_desk(lambda store: store.led(secret))

    async def _lead(self, request: Request) -> dict[str, Any]:
        state = await self._led(request)
        since, code = request.query_params.get("since", ""), state.code

        async def is_new() -> bool:
            nonlocal state
            state = await self._at_desk(lambda store: store.joined(code))
            return f"{state.version}.{self._votes[state.id]}" != since

        if since:
            await self._news(("lead", state.id), is_new)
        told = await self._at_desk(lambda store: for_lead(store, state))
        return {**told, "since": f"{state.version}.{self._votes[state.id]}"}

    async def _steered(
        self, request: Request, act: Callable[[Store, ClassState, dict[str, Any]], Any]
    ) -> dict[str, Any]:
        sent = await sent_by(request, MOST_LEAD)
        secret = secret_of(request)

        def do(store: Store) -> int:
            state = store.led(secret)  # as it is now: two windows of a lecturer may tell something at once
            act(store, state, sent)
            return state.id

        self._ring(await self._at_desk(do))
        return {"done": True}

    async def _ask(self, request: Request) -> dict[str, Any]:
        def act(store: Store, state: ClassState, sent: dict[str, Any]) -> None:
            try:
                question = question_from_json(sent.get("question"))
            except (ValueError, TypeError, OverflowError):
                raise ClassError("class_bad_request", 400) from None
            store.ask(state.id, text_of(sent, "scene"), question)

        return await self._steered(request, act)

    async def _battle(self, request: Request) -> dict[str, Any]:
        sent = await sent_by(request, MOST_PHONE)
        state, t = await self._led(request), load_texts(language_of(request))
        wishes = {wish.id: wish.text for wish in await self._at_desk(lambda store: store.wishes(state.id))}
        chosen = sent.get("wishes")
        if not isinstance(chosen, list) or not all(type(number) is int for number in chosen):
            raise ClassError("class_bad_request", 400)
        if len(chosen) != 2 or len(set(chosen) & wishes.keys()) != 2:
            raise ClassError("class_bad_request", 400)
        prompts, seed = [wishes[number] for number in chosen], whole_of(sent, "seed")
        try:
            question = await self._alone(self._drawing, battle, prompts, seed, t)
        except InputError as error:
            raise ClassError("class_input", 422, reason=message(error, t)) from error
        scene = text_of(sent, "scene")

        def ask(store: Store) -> None:
            now = store.joined(state.code).poll
            if (now and now.id) != (state.poll and state.poll.id):
                raise ClassError("class_moved_on", 409)  # it took long, and the class is asked something else
            store.ask(state.id, scene, question)

        await self._at_desk(ask)
        self._ring(state.id)
        return {"done": True}

    async def _phase(self, request: Request) -> dict[str, Any]:
        def act(store: Store, state: ClassState, sent: dict[str, Any]) -> None:
            round = whole_of(sent, "round")
            if round not in (1, 2):
                raise ClassError("class_bad_request", 400)
            store.set_phase(
                state.id,
                whole_of(sent, "poll"),
                round,
                sent.get("open") is True,
                sent.get("revealed") is True,
            )

        return await self._steered(request, act)

    async def _away(self, request: Request) -> dict[str, Any]:
        return await self._steered(request, lambda store, state, sent: store.put_away(state.id))

    async def _hands(self, request: Request) -> dict[str, Any]:
        def act(store: Store, state: ClassState, sent: dict[str, Any]) -> None:
            if state.poll is None or state.poll.id != whole_of(sent, "poll"):
                raise ClassError("class_moved_on", 409)
            store.count_hands(
                state.id, state.poll, whole_of(sent, "choice"), 1 if whole_of(sent, "by") > 0 else -1
            )

        return await self._steered(request, act)

    async def _tell(self, request: Request) -> dict[str, Any]:
        def act(store: Store, state: ClassState, sent: dict[str, Any]) -> None:
            lead = {
                name: str(value)[:2000]
                for name, value in sent.items()
                if name in ("scene", "title", "next", "go")
            }
            store.tell(state.id, {**state.lead, **lead})

        return await self._steered(request, act)

    async def _pick(self, request: Request) -> dict[str, Any]:
        def act(store: Store, state: ClassState, sent: dict[str, Any]) -> None:
            store.pick(state.id, whole_of(sent, "wish"), sent.get("picked") is True)

        return await self._steered(request, act)

    async def _remove(self, request: Request) -> dict[str, Any]:
        return await self._steered(request, lambda store, state, sent: store.remove(state.id))

    async def _qr(self, request: Request) -> Response:
        sent = await sent_by(request, MOST_PHONE)
        await self._led(request)
        try:
            return Response(await drawn_qr(text_of(sent, "text")), media_type="image/svg+xml")
        except ValueError as error:
            raise ClassError("class_bad_request", 400) from error

    async def _csv(self, request: Request) -> Response:
        state = await self._led(request)
        text = await self._at_desk(lambda store: as_csv(store, state.id))
        name = f'attachment; filename="class-{state.code}.csv"'
        return Response(text, media_type="text/csv; charset=utf-8", headers={"content-disposition": name})

    async def _qti(self, request: Request) -> Response:
        state = await self._led(request)
        content = await self._at_desk(lambda store: as_qti([poll.question for poll in store.polls(state.id)]))
        name = f'attachment; filename="class-{state.code}-qti.zip"'
        return Response(content, media_type="application/zip", headers={"content-disposition": name})

    # Before the lesson -------------------------------------------------------------------------------

    async def _health(self, request: Request) -> dict[str, Any]:
        return {**await asyncio.to_thread(health), **await asyncio.to_thread(reachable, request)}

    async def _picture(self, request: Request) -> dict[str, Any]:
        await sent_by(request, MOST_PHONE)
        return {"seconds": round(await self._alone(self._measuring, seconds_of_a_picture), 2)}

    # Lessons and questions ---------------------------------------------------------------------------

    async def _data(self, request: Request) -> dict[str, Any]:
        scenes, language = tuple(self.scenes()), language_of(request)
        lessons = shipped_lessons(scenes)
        return {
            "items": [item_json(item, language) for item in shipped_items(scenes)],
            "lessons": {name: lesson_json(lesson, language) for name, lesson in lessons.items()},
            "teacher": load_texts(language).table("quiz.teacher"),
        }

    async def _style(self, request: Request) -> Response:
        """The look of the light pages, for the speaker's window."""
        return Response((HERE / "phone.css").read_text("utf-8"), media_type="text/css")

    async def _pattern(self, request: Request) -> Response:
        """The shipped questions as a file, as a pattern for own ones."""
        return Response(
            (FOLDER / "quiz.toml").read_text("utf-8"), media_type="application/toml; charset=utf-8"
        )

    async def _check(self, request: Request) -> dict[str, Any]:
        """A file of questions or a lesson, as data or as what is wrong with it."""
        sent = await sent_by(request, MOST_LEAD)
        text, language, scenes = text_of(sent, "text"), language_of(request), tuple(self.scenes())

        def read() -> dict[str, Any]:
            if sent.get("kind") == "quiz":
                return {"items": [item_json(item, language) for item in read_items(text, scenes)]}
            ids = [item.id for item in shipped_items(scenes)]
            return {"lesson": lesson_json(read_lesson(text, scenes, ids), language)}

        try:
            return await self._alone(self._checking, read)
        except FileError as error:
            t, values = load_texts(language), dict(error.values)
            if "kind" in values:
                values["kind"] = t(f"lesson.file.kinds.{values['kind']}")
            reason = t(f"lesson.file.{error.key.removeprefix('file_')}", **values)
            return {"line": error.line, "error": t("lesson.file.at", line=error.line, reason=reason)}


def _refused(key: str, status: int, t: Texts, **values: object) -> JSONResponse:
    answer = {"error": key, "message": t(f"lesson.errors.{key.removeprefix('class_')}", **values)}
    return JSONResponse(answer, status, headers=HEADERS)
