"""A class of 300 phones on the app, while it draws eight pictures: quick votes, none lost or doubled."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
from gradio_client import Client

from benchmarks.page import ROOT, served
from benchmarks.rows import BenchmarkRow, row

PHONES = 300
PICTURES = 8  # drawn at once, again and again, meanwhile
QUESTION = {"text": "When is the text used?", "options": ["Once.", "At each step.", "Never."], "answer": 1}


def keep_drawing(address: str, over: threading.Event) -> list[threading.Thread]:
    """Visitors who draw one picture after the other until it is over."""

    def draw(seed: int) -> None:
        client = Client(address, verbose=False)
        while not over.is_set():
            client.predict(prompt="A red car on the beach.", seed=seed, api_name="/generate_image")

    threads = [threading.Thread(target=draw, args=(seed,), daemon=True) for seed in range(PICTURES)]
    for thread in threads:
        thread.start()
    return threads


def seen_after(http: httpx.Client, code: str, count: int) -> float:
    """Median s from a vote that is sent to the lecturer's window that shows it."""
    seconds = []
    for number in range(count):
        before = http.get("/class/lead").json()
        told: list[float] = []

        def follow(since: str = before["since"], told: list[float] = told) -> None:
            http.get("/class/lead", params={"since": since})
            told.append(time.perf_counter())

        waits = threading.Thread(target=follow)
        waits.start()
        body = {
            "code": code,
            "pupil": f"s{number:031}",
            "poll": before["poll"]["id"],
            "round": 1,
            "choice": 0,
        }
        start = time.perf_counter()
        http.post("/class/vote", json=body).raise_for_status()
        waits.join()
        seconds.append(told[0] - start)
    return float(np.median(seconds))


def measure(repetitions: int) -> Iterator[BenchmarkRow]:
    """Figures of a class; one run of all phones."""
    with served([sys.executable, "app.py"]) as app:
        app = app.rstrip("/")
        page = httpx.get(f"{app}/join", timeout=60)
        opened: dict[str, Any] = httpx.post(f"{app}/class/open", json={}, timeout=60).json()
        secret = {"authorization": f"Bearer {opened['secret']}"}
        over = threading.Event()
        drawing = keep_drawing(app, over)
        command = [sys.executable, "-m", "benchmarks.phones", app, opened["code"], str(PHONES)]
        with httpx.Client(base_url=app, headers=secret, timeout=60) as http:
            phones = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
            assert phones.stdout is not None
            phones.stdout.readline()
            http.post("/class/ask", json={"scene": "image.steps", "question": QUESTION}).raise_for_status()
            found = json.loads(phones.stdout.readline())
            counted = http.get("/class/lead").json()["poll"]
            seen = seen_after(http, opened["code"], 2 * repetitions)
            http.post("/class/remove", json={}).raise_for_status()
        over.set()
        for thread in drawing:
            thread.join(60)
    votes = np.array([phone["vote"] for phone in found])
    wanted = [sum(i % 3 == option for i in range(PHONES)) for option in range(3)]
    wrong = sum(abs(a - b) for a, b in zip(counted["counts"][0], wanted, strict=True))
    print(
        "votes, s: median",
        np.median(votes),
        "longest",
        votes.max(),
        "refused",
        sum(p["refused"] for p in found),
    )
    yield row("class.vote_p95_s", float(np.quantile(votes, 0.95)), PHONES)
    yield row("class.votes_wrong", float(wrong), PHONES)
    yield row("class.seen_s", seen, 2 * repetitions)
    yield row("class.join_kb", len(page.content) / 1000, 1)
