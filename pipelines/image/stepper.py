"""One engine, many visitors: a worker thread that moves all runs on together.

At each tick the runs of the same model and shape go through one call of the denoiser, each at its own
timestep and guidance scale; then each run's own scheduler object takes its step. Scheduler
objects remember steps, so a shared one would mix visitors' pictures (diffusers #1606, #2916).
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from pipelines.image import denoise
from pipelines.image.denoise import SchedulerFactory
from pipelines.image.encoding import PromptCache
from pipelines.image.families.choice import check
from pipelines.image.families.family import DenoiseRun
from pipelines.image.load import image_pipeline
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.image.schedulers import make_scheduler
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.engine import starts_runs
from pipelines.serving.errors import InputError
from pipelines.serving.steps import Outbox, Steps

log = logging.getLogger(__name__)

MAX_BATCH = 16  # runs in one call of the denoiser
MAX_RUNS = 256  # runs accepted and not yet finished


class _Ticket:
    """What a visitor's iterator and the worker share, and nobody else."""

    def __init__(self, request: ImageRequest, pipe: Any) -> None:
        self.request = request
        self.pipe = pipe
        self.ended = False
        self.outbox: Outbox[DenoiseStep] = Outbox()

    @property
    def closed(self) -> bool:
        return self.outbox.closed.is_set()


class Stepper:
    """Runs under way and the thread that moves them on.

    Args:
        max_batch: runs in one call of the denoiser; more take turns.
        max_runs: runs accepted at once; further ones are refused with `queue_full`.
        make_scheduler: `(name, pipeline) -> new scheduler object`, called once per run.
    """

    def __init__(
        self,
        max_batch: int = MAX_BATCH,
        max_runs: int = MAX_RUNS,
        make_scheduler: SchedulerFactory = make_scheduler,
    ) -> None:
        self._max_batch = max_batch
        self._max_runs = max_runs
        self._make_scheduler = make_scheduler
        self._changed = threading.Condition()  # guards the next three
        self._inbox: deque[_Ticket] = deque()
        self._unfinished = 0
        self._thread: threading.Thread | None = None
        # the worker's own: what goes in, what stands in line, what takes its step
        self._admitting: list[_Ticket] = []
        self._active: deque[tuple[_Ticket, DenoiseRun]] = deque()
        self._group: list[tuple[_Ticket, DenoiseRun]] = []

    def submit(self, requests: Sequence[ImageRequest]) -> list[Steps[DenoiseStep]]:
        """Queue runs that start together at the next tick.

        Args:
            requests: at least one; checked here, in the caller's thread, where models load, too.

        Raises:
            InputError: what `ImageRequest.validated`, `image_pipeline` and `check` raise, and `queue_full`.
        """
        checked = [request.validated() for request in requests]
        tickets = [_Ticket(request, image_pipeline(request.model)) for request in checked]
        for ticket in tickets:
            check(ticket.pipe, ticket.request)
        with self._changed:
            if self._unfinished + len(tickets) > self._max_runs:
                raise InputError("queue_full", waiting=self._unfinished, limit=self._max_runs)
            self._inbox.extend(tickets)
            self._unfinished += len(tickets)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="stepper", daemon=True)
                self._thread.start()
            self._changed.notify()
        return [Steps(ticket.outbox) for ticket in tickets]

    def queue_length(self) -> int:
        """Runs accepted and not yet finished."""
        return self._unfinished

    def _work(self) -> None:
        while True:
            try:
                self._turn()
            except InputError as error:  # the compute thread died, which is in the log, or the process ends
                self._give_up(error)
            except BaseException as error:  # a fault of the engine itself: those under way fail, it goes on
                log.exception("the stepper failed; runs under way are given up")  # whoever is told can look
                self._give_up(error)

    def _turn(self) -> None:
        """Let runs in, leave stopped ones out, and move one group on by a step."""
        self._admit()
        self._drop_closed()
        self._group = self._next_group()
        if self._group:
            self._tick(self._group)
        self._group = []  # an idle worker holds nobody's pictures

    def _give_up(self, error: BaseException) -> None:
        """Tell whoever waits for a run under way that it failed, each once."""
        told = error if isinstance(error, InputError) else InputError("engine_stopped")
        failed = {id(ticket): ticket for ticket in self._admitting}
        failed |= {id(ticket): ticket for ticket, _ in (*self._group, *self._active)}
        self._admitting, self._group = [], []
        self._active.clear()
        for ticket in failed.values():
            if not ticket.ended:
                self._retire(ticket, told)

    def _admit(self) -> None:
        """Start waiting runs, as many as fit a batch, so that those under way go on; or wait.

        New runs come first, once: a visitor sees something soon, and then takes turns.
        """
        with self._changed:
            while not self._inbox and not self._active:
                self._changed.wait()
            count = min(self._max_batch, len(self._inbox))
            self._admitting = [self._inbox.popleft() for _ in range(count)]
        readings = PromptCache()
        started = []
        for ticket in self._admitting:
            if ticket.closed:
                self._retire(ticket, None)
                continue
            try:
                started.append((ticket, self._start(ticket, readings)))
            except Exception as error:
                self._retire(ticket, error)
        self._active.extendleft(reversed(started))
        self._admitting = []

    @on_compute_thread
    def _start(self, ticket: _Ticket, readings: PromptCache) -> DenoiseRun:
        conditionings = readings.of(ticket.pipe, ticket.request)
        return denoise.start(ticket.pipe, ticket.request, conditionings, self._make_scheduler)

    def _drop_closed(self) -> None:
        for ticket, run in list(self._active):
            if ticket.closed:
                self._active.remove((ticket, run))
                self._retire(ticket, None)

    def _next_group(self) -> list[tuple[_Ticket, DenoiseRun]]:
        """The run that has waited longest, and others of its kind in order, taken off the queue."""
        if not self._active:
            return []
        kind = self._active[0][1].kind
        group = [pair for pair in self._active if pair[1].kind == kind][: self._max_batch]
        chosen = {id(run) for _, run in group}
        self._active = deque(pair for pair in self._active if id(pair[1]) not in chosen)
        return group

    @on_compute_thread
    def _tick(self, group: list[tuple[_Ticket, DenoiseRun]]) -> None:
        """One step for a group; whoever goes on stands in line again behind the others."""
        try:
            predictions, insides = denoise.predict([run for _, run in group])
        except Exception as error:
            if len(group) == 1:
                self._retire(group[0][0], error)
            for pair in group if len(group) > 1 else ():  # alone, so that only the guilty one fails
                self._tick([pair])
            return
        for (ticket, run), prediction, inside in zip(group, predictions, insides, strict=True):
            try:
                step = denoise.advance(run, prediction, inside)
            except Exception as error:
                self._retire(ticket, error)
                continue
            ticket.outbox.put(step)
            if run.finished:
                self._retire(ticket, None)
            else:
                self._active.append((ticket, run))

    def _retire(self, ticket: _Ticket, ending: Exception | None) -> None:
        with self._changed:
            self._unfinished -= 1
        ticket.ended = True
        ticket.outbox.put(ending)


_stepper = Stepper()


def _in_forked_process() -> None:
    """The thread of the stepper, and the runs under way, stay behind."""
    global _stepper
    _stepper = Stepper()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_process)


@starts_runs("image", image_pipeline)
def submit_all(requests: Sequence[ImageRequest]) -> list[Steps[DenoiseStep]]:
    """Run several requests of one visitor as one batch; see `Stepper.submit`."""
    return _stepper.submit(requests)


def submit(request: ImageRequest) -> Steps[DenoiseStep]:
    """Run one request beside all others; see `Stepper.submit`.

    Returns:
        Iterator of steps, as they happen; `close()` stops the run at the next tick.
    """
    return submit_all([request.validated()])[0]


def queue_length() -> int:
    """Runs accepted and not yet finished in this process."""
    return _stepper.queue_length()
