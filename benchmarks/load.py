"""The app under many hands: `make load`. Thirty pictures at once, a hundred readers, and a mixed hour.

Everything stays on this machine and ends by itself. The last lines are one JSON object each, as of the bench.
"""

import argparse
import base64
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.page import ROOT, served_process
from benchmarks.rows import BenchmarkRow, row

PICTURES, READERS, PAGES, CLIENTS = 30, 100, 20, 20
PROCESSES = 4  # that visitors are spread over
LOOK_S = 2.0  # between two looks at the app's memory


@dataclass
class App:
    """The app's process, seen from outside."""

    address: str
    pid: int

    def memory_gib(self) -> float:
        """Resident memory."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 2**20

    def cpu_s(self) -> float:
        """Seconds that it has computed."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def rest(self, patience_s: float = 180.0) -> None:
        """Wait until it computes nothing, as after the first examples."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            before = self.cpu_s()
            time.sleep(3)
            if self.cpu_s() - before < 0.3:
                return


def visitors(
    app: App, kind: str, count: int, seconds: float = 0, processes: int = PROCESSES
) -> list[subprocess.Popen[str]]:
    """Start visitors in processes of their own (`benchmarks/visitors.py`)."""
    shares = [count // processes + (i < count % processes) for i in range(processes)]
    command = [sys.executable, "-m", "benchmarks.visitors", app.address, kind]
    return [
        subprocess.Popen(
            [*command, str(share), str(seconds), str(sum(shares[:i]))],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
        )
        for i, share in enumerate(shares)
        if share
    ]


def told(processes: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """All that they print until they are done."""
    return [json.loads(line) for process in processes for line in process.communicate()[0].splitlines()]


def pixels(png: str) -> NDArray[np.int16]:
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int16)


def alone(app: App, count: int) -> dict[int, NDArray[np.int16]]:
    """The pictures of the first visitors, each drawn by itself."""
    found: dict[int, NDArray[np.int16]] = {}
    for number in range(count):
        command = [sys.executable, "-m", "benchmarks.visitors", app.address, "picture", "1", "0", str(number)]
        line = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout
        found[number] = pixels(json.loads(line)["png"])
    return found


def differing(calls: list[dict[str, Any]], wanted: dict[int, NDArray[np.int16]]) -> int:
    """How many pictures are further than 1/255 from the one drawn alone."""
    shown = [call for call in calls if "png" in call]
    return sum(bool(np.abs(pixels(call["png"]) - wanted[call["number"]]).max() > 1) for call in shown)


def seconds_of(calls: list[dict[str, Any]]) -> NDArray[np.float64]:
    return np.array([call["s"] for call in calls])


def at_once(app: App) -> Iterator[BenchmarkRow]:
    """Pictures of thirty visitors at once; readers alone, and readers beside eight pictures."""
    pictures = told(visitors(app, "picture", PICTURES))
    took = seconds_of(pictures)
    print("pictures, s:", np.round(np.sort(took), 1).tolist())
    yield row("load.pictures_p95_s", float(np.quantile(took, 0.95)), PICTURES)
    yield row("load.pictures_p99_to_p50", float(np.quantile(took, 0.99) / np.median(took)), PICTURES)
    yield row("load.pictures_wrong", differing(pictures, alone(app, PICTURES)), PICTURES)
    texts = seconds_of(told(visitors(app, "texts", READERS, 10)))
    yield row("load.texts_p95_s", float(np.quantile(texts, 0.95)), len(texts))
    drawing = visitors(app, "picture", 8, processes=1)
    texts = seconds_of(told(visitors(app, "texts", 4, 4, processes=1)))
    told(drawing)
    yield row("load.texts_beside_pictures_p95_s", float(np.quantile(texts, 0.95)), len(texts))


def open_pages(app: App) -> Iterator[BenchmarkRow]:
    """Memory that an open page holds after its first picture."""
    before = app.memory_gib()
    pages = visitors(app, "page", PAGES, 20)
    time.sleep(1)
    app.rest()
    held = app.memory_gib() - before
    told(pages)
    yield row("load.page_mb", 1024 * held / PAGES, PAGES)


def mixed_hour(app: App, minutes: float, log: Path) -> Iterator[BenchmarkRow]:
    """Clients that come and go; memory by quarters, what is left over, and what went wrong."""
    wanted = alone(app, 6)
    app.rest()
    clients = visitors(app, "mixed", CLIENTS, 60 * minutes)
    looks = []
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        looks.append((app.memory_gib(), app.threads(), app.open_files()))
        time.sleep(LOOK_S)
    calls = told(clients)
    quarters = [np.median(part, axis=0) for part in np.array_split(np.array(looks), 4)]
    left = sum(bool(call.get("left")) for call in calls)
    failed = [call for call in calls if call["error"]]
    print(f"{len(calls)} calls, {left} left in the middle; failed: {failed[:5]}")
    print("memory in GiB, threads, open files:", np.round(quarters, 2).tolist())
    growth = quarters[3] / quarters[1]
    n = len(calls)
    yield row("soak.memory_growth", float(growth[0]), n)
    yield row("soak.threads_growth", float(growth[1]), n)
    yield row("soak.open_files_growth", float(growth[2]), n)
    yield row("soak.failed", len(failed), n)
    yield row("soak.pictures_wrong", differing(calls, wanted), n)
    yield row("soak.tracebacks", log.read_text().count("Traceback"), n)


def measure(minutes: float) -> Iterator[BenchmarkRow]:
    """All figures, on an app started for them."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as written, served_process([sys.executable, "app.py"], written) as (address, pid):
            app = App(address.rstrip("/"), pid)
            httpx.get(app.address, timeout=60)
            app.rest()
            yield row("load.memory_start_gib", app.memory_gib(), 1)
            yield from at_once(app)
            yield from open_pages(app)
            yield from mixed_hour(app, minutes, log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="of mixed calls")
    rows = list(measure(parser.parse_args().minutes))
    for line in rows:
        print(json.dumps(asdict(line)), flush=True)


if __name__ == "__main__":
    main()
