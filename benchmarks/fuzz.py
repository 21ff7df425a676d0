"""The app under payloads that no program should send: `make fuzz`. Ends with one JSON object a line.

All requests go to an app that is started for them on this machine, and end by themselves.
"""

import argparse
import json
import queue
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import httpx
import numpy as np
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import given as drawn_from

from benchmarks.load import App
from benchmarks.page import served_process
from benchmarks.payloads import PATIENCE_S, Outcome, Payload, forbidden_host, payloads, send
from benchmarks.rows import BenchmarkRow, row

PAYLOADS, MINUTES, CLIENTS = 10_000, 60.0, 4
SHOWN = 5  # of each kind of fault


class Fuzz:
    """Clients that send what is drawn for them, and note what came of it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.line: queue.Queue[Payload | None] = queue.Queue(2 * CLIENTS)
        self.outcomes: list[Outcome] = []
        self.faults: dict[str, list[str]] = {"500": [], "hung": [], "leaked": [], "lost": []}
        self.memory: list[float] = []  # GiB after each payload

    def work(self) -> None:
        """Send, until there is nothing more."""
        with httpx.Client(base_url=self.app.address, timeout=PATIENCE_S) as http:
            while (payload := self.line.get()) is not None:
                try:
                    outcome = send(http, payload)
                except httpx.HTTPError as error:
                    self.note("lost", payload, type(error).__name__)
                    continue
                self.outcomes.append(outcome)
                self.memory.append(self.app.memory_gib())
                if outcome.status >= 500:
                    self.note("500", payload, outcome.text)
                if outcome.hung:
                    self.note("hung", payload, f"{outcome.seconds:.0f} s")
                if outcome.leaked:
                    self.note("leaked", payload, outcome.text)

    def note(self, kind: str, payload: Payload, said: str) -> None:
        """Keep a fault, to be printed with the figures."""
        self.faults[kind].append(f"{payload.route} {payload.body[:300]!r}: {said[:300]}")

    def run(self, count: int, minutes: float, forbidden: str) -> None:
        """Send so many payloads, and no more once the time is over."""
        end = time.monotonic() + 60 * minutes
        with httpx.Client(base_url=self.app.address, timeout=PATIENCE_S) as http:
            drawn = payloads(http, forbidden)
        clients = [threading.Thread(target=self.work) for _ in range(CLIENTS)]
        for client in clients:
            client.start()

        @seed(0)
        @settings(
            max_examples=count, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @drawn_from(drawn)
        def feed(payload: Payload) -> None:
            if time.monotonic() < end:
                self.line.put(payload)

        try:
            feed()
        finally:
            for _ in clients:
                self.line.put(None)
            for client in clients:
                client.join()


def measure(count: int, minutes: float) -> Iterator[BenchmarkRow]:
    """All figures, on an app started for them."""
    with tempfile.TemporaryDirectory() as folder, forbidden_host() as (forbidden, asked):
        log = Path(folder) / "log"
        with log.open("w") as written, served_process([sys.executable, "app.py"], written) as (address, pid):
            app = App(address.rstrip("/"), pid)
            httpx.get(app.address, timeout=60)
            app.rest()
            fuzz = Fuzz(app)
            fuzz.run(count, minutes, forbidden)
            threads, files = app.threads(), app.open_files()
        n = len(fuzz.outcomes)
        kinds = Counter(outcome.status for outcome in fuzz.outcomes)
        left = sum(outcome.left for outcome in fuzz.outcomes)
        print(f"{n} answers by status: {dict(kinds)}; {left} left; {threads} threads, {files} open files")
        print("memory in GiB:", [round(float(np.median(q)), 2) for q in np.array_split(fuzz.memory, 4)])
        for kind, faults in fuzz.faults.items():
            for fault in faults[:SHOWN]:
                print(f"{kind}: {fault}")
        told = log.read_text()
        print("unexpected:", dict(Counter(re.findall(r"^ERROR .*", told, re.MULTILINE))))
        if "Traceback" in told:
            print(told[told.index("Traceback") :][:3000])
        second, last = (float(np.median(np.array_split(fuzz.memory, 4)[i])) for i in (1, 3))
        yield row("fuzz.http_500", len(fuzz.faults["500"]), n)
        yield row("fuzz.hung", len(fuzz.faults["hung"]) + len(fuzz.faults["lost"]), n)
        yield row("fuzz.leaked", len(fuzz.faults["leaked"]) + len(asked), n)
        yield row("fuzz.tracebacks", told.count("Traceback"), n)
        yield row("fuzz.memory_growth", last / second, n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payloads", type=int, default=PAYLOADS)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="at most")
    given = parser.parse_args()
    rows = list(measure(given.payloads, given.minutes))
    for line in rows:
        print(json.dumps(asdict(line)), flush=True)


if __name__ == "__main__":
    main()
