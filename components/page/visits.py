"""When a visit ends, and that nothing of it stays in memory.

Gradio keeps a session for each page and each call of a program: the last value of every part of the page
(2 MB and more), and the visitor's states, pictures among them. It empties the states of a closed page an hour
later, and lets go of sessions only when there are too many of them.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from gradio import state_holder
from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.serving.memory import give_back

KEPT_S = 600.0  # s for which a page can come back after its connection broke, as a laptop that slept
LOOK_S = 60.0  # s between two looks for visits that ended
MANY = 250  # sessions; half of what Gradio keeps before it drops those unused for longest, open or not
_HEARTBEAT = re.compile(r"/gradio_api/heartbeat/([^/]+)$")


class LightSession(state_holder.SessionState):
    """A session without its own description of the parts of the page, which only links to a state need.

    That took a fifth of a second of the event loop for each page and each call of a program, and kept what
    a page shows a second time.
    """

    def __init__(self, blocks: Any) -> None:
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]
        self.blocks_config.config_for_block = lambda *_: {}  # type: ignore[method-assign]


def open_light_sessions() -> None:
    """Let Gradio open light sessions from now on."""
    state_holder.SessionState = LightSession  # type: ignore[misc]


class Visits:
    """ASGI middleware that sees which pages are open, and lets go of the sessions of all others.

    A session ends `kept_s` after its page was closed; that of a program `kept_s` after its last call; both at
    once while there are more than `many`. Runs under way are waited for.

    Args:
        app: Gradio's, or what stands before it.
        kept_s, look_s, many: see `KEPT_S`, `LOOK_S`, `MANY`.
        clock: s that pass.
    """

    def __init__(
        self,
        app: ASGIApp,
        kept_s: float = KEPT_S,
        look_s: float = LOOK_S,
        many: int = MANY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app, self.kept_s, self.look_s, self.many, self.clock = app, kept_s, look_s, many, clock
        self._open: Counter[str] = Counter()  # connections that a page holds as long as it is open
        self._last: dict[str, tuple[float, object]] = {}  # last use of a session: by our clock, by Gradio's
        self._caretaker: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        gradio = scope["app"]
        if self._caretaker is None or self._caretaker.done():
            self._caretaker = asyncio.create_task(self._care(gradio))
        if len(gradio.state_holder.session_data) > self.many:
            self.sweep(gradio)
        if (beat := _HEARTBEAT.search(scope["path"])) is None:
            await self.app(scope, receive, send)
            return
        session = beat[1]
        if (held := gradio.state_holder.session_data.get(session)) is not None:
            held.is_closed = False  # it came back; Gradio would empty it an hour after it left
        self._open[session] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._open[session] -= 1
            self._open += Counter()  # without those that are closed

    async def _care(self, gradio: Any) -> None:
        while True:
            await asyncio.sleep(self.look_s)
            if self.sweep(gradio):
                await asyncio.to_thread(give_back)

    def sweep(self, gradio: Any) -> int:
        """Let go of the sessions of visits that ended; on the event loop's thread, as all that Gradio does.

        Args:
            gradio: the running `gradio.routes.App`.

        Returns:
            How many ended.
        """
        holder, queue, now = gradio.state_holder, gradio.get_blocks()._queue, self.clock()
        at_work = {event.session_hash for event in queue.event_ids_to_events.values()}
        sessions = {*holder.session_data, *queue.pending_messages_per_session}
        few = len(holder.session_data) <= self.many
        last, self._last = self._last, {}
        for session in sessions:
            used = holder.time_last_used.get(session)
            when, before = last.get(session, (now, used))
            in_use = session in self._open or session in at_work
            unread = queue.pending_event_ids_session.get(session)
            kept_s = self.kept_s if few or unread else 0.0
            if not in_use and used == before and now - when >= kept_s:
                _forget(session, holder, queue)
            else:
                self._last[session] = (now if in_use or used != before else when, used)
        return len(sessions) - len(self._last)


def _forget(session: str, holder: Any, queue: Any) -> None:
    with holder.lock:
        holder.session_data.pop(session, None)
        holder.time_last_used.pop(session, None)
    queue.pending_messages_per_session.pop(session, None)
    queue.pending_event_ids_session.pop(session, None)
