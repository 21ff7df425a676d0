"""Two workers of one thread against one, and runs whose worker is killed: `python -m benchmarks.cluster`.

Needs `requirements-ray.txt`. Everything stays on this machine and ends by itself. The last lines are one JSON
object each, as of the bench.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import psutil

from benchmarks.rows import BenchmarkRow, medians, row
from pipelines.image import image, stepper
from pipelines.image.load import image_pipeline
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.serving.compute import one_core
from pipelines.serving.ray_engine import RayEngine, app_name
from pipelines.serving.work import Work, behind

REQUEST = ImageRequest("A small cat on a bed.", num_inference_steps=20, model="classroom-image")
AT_ONCE = 16  # runs that one worker, or two, are given to measure them
LOST = 20  # runs under way when a worker is killed
KILL_AFTER = 100  # of their 400 steps
PATIENCE_S = 120.0
# Roles: a replica computes whatever it is asked, so the one of texts is the single worker.
ONE, TWO = "text", "image"
CROWD = [
    replace(REQUEST, prompt=f"A small {thing} on a {place}.", seed=seed, guidance_scale=scale)
    for seed, (thing, place, scale) in enumerate(
        (thing, place, scale)
        for scale in (1.0, 5.0)
        for thing in ("cat", "dog", "bird", "car", "tree")
        for place in ("bed", "table")
    )
]


def drawn(engine: RayEngine, role: str, requests: Sequence[ImageRequest]) -> list[list[DenoiseStep]]:
    """The steps of requests of as many visitors at once."""
    work = Work(stepper.submit_all, role, image_pipeline)

    def visit(request: ImageRequest) -> list[DenoiseStep]:
        return list(engine.submit(work, [request])[0])

    with ThreadPoolExecutor(len(requests)) as visitors:
        return list(visitors.map(visit, requests))


def workers(role: str) -> dict[int, psutil.Process]:
    """The processes of a role's replicas, which are among those that this one has started."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            if f"ServeReplica:{app_name(role)}:" in " ".join(process.cmdline()):
                found[process.pid] = process
        except psutil.Error:
            continue  # it has just ended
    return found


def computed_s(role: str) -> np.ndarray:
    """Seconds that each worker of a role has computed, whatever else the machine did."""
    return np.array([sum(worker.cpu_times()[:2]) for worker in workers(role).values()])


def running(role: str) -> int:
    """Replicas that answer, as Ray Serve says."""
    from ray import serve

    deployment = serve.status().applications[app_name(role)].deployments[role]
    return dict(deployment.replica_states).get("RUNNING", 0)


def until_back(killed: int, count: int) -> float:
    """Seconds until as many replicas run as before, one of them new."""
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE_S:
        there = workers(TWO)
        if killed not in there and len(there) == count and running(TWO) == count:
            break
        time.sleep(0.25)
    return time.monotonic() - begun


def pictures(runs: Sequence[Sequence[DenoiseStep]]) -> np.ndarray:
    """`[run, y, x, 3]` pixels at the ends of runs."""
    decoded = behind(image.decode)(np.stack([steps[-1].latents for steps in runs]), REQUEST.model)
    return np.stack([np.asarray(picture, np.int16) for picture in decoded])


def killed_in_the_middle(engine: RayEngine) -> dict[str, Any]:
    """Kill one of two workers while `LOST` runs are under way; what came of them."""
    with one_core():
        alone = [list(behind(stepper.submit_all)([request])[0]) for request in CROWD]
    expected = pictures(alone)
    work = Work(stepper.submit_all, TWO, image_pipeline)
    received: list[list[DenoiseStep]] = [[] for _ in CROWD]
    failed: list[str] = []

    def visit(number: int) -> None:
        try:
            for step in engine.submit(work, [CROWD[number]])[0]:
                received[number].append(step)
        except Exception as error:
            failed.append(f"{type(error).__name__}: {error}")

    with ThreadPoolExecutor(LOST) as visitors:
        waiting = [visitors.submit(visit, number) for number in range(LOST)]
        while sum(map(len, received)) < KILL_AFTER and not all(each.done() for each in waiting):
            time.sleep(0.02)
        there = workers(TWO)
        under_way = sum(0 < len(steps) < REQUEST.num_inference_steps for steps in received)
        victim = next(iter(there.values()))
        victim.kill()
        back = until_back(victim.pid, len(there))
    whole = [n for n, steps in enumerate(received) if len(steps) == REQUEST.num_inference_steps]
    ordered = [n for n in whole if [step.index for step in received[n]] == list(range(len(received[n])))]
    shown = pictures([received[n] for n in ordered])
    away = np.abs(shown[:, None] - expected[None]).max((2, 3, 4))  # [run, lone run] in 1/255
    pairs = list(zip(away, ordered, strict=True))
    print(f"{under_way} under way when one of {len(there)} workers was killed; failed: {failed[:3]}")
    return {
        "under_way": under_way,
        "lost": LOST - len(whole),
        # in another order, or nearer to somebody else's picture
        "mixed": len(whole) - len(ordered) + sum(int(r.argmin()) != n for r, n in pairs),
        "wrong": sum(int(r[n]) > 1 for r, n in pairs),
        "back_s": back,
    }


def measure(repetitions: int) -> Iterator[BenchmarkRow]:
    """All figures, on a cluster started for them."""
    os.environ.pop("RAY_ADDRESS", None)
    os.environ["STEUERVEKTOR_REPLICAS"] = f"{ONE}=1 {TWO}=2 video=0 audio=0"
    engine = RayEngine()
    requests = [replace(REQUEST, seed=seed) for seed in range(AT_ONCE)]
    for role in (ONE, TWO, TWO):  # models are loaded
        drawn(engine, role, requests)
    before = {role: computed_s(role) for role in (ONE, TWO)}
    rivals: dict[str, Callable[[], object]] = {
        "one": lambda: drawn(engine, ONE, requests),
        "two": lambda: drawn(engine, TWO, requests),
    }
    seconds = medians(rivals, repetitions)
    print(
        f"{AT_ONCE} guided pictures, {REQUEST.num_inference_steps} steps, one thread a worker, s: {seconds}"
    )
    computed = {role: (computed_s(role) - before[role]) / (repetitions + 1) for role in (ONE, TWO)}
    print(
        "computed each time by each worker, s:", {role: s.round(1).tolist() for role, s in computed.items()}
    )
    yield row("cluster.two_to_one", seconds["one"] / seconds["two"], repetitions)
    ratio = float(computed[ONE].max() / computed[TWO].max())
    yield row("cluster.computed_two_to_one", ratio, repetitions)
    found = killed_in_the_middle(engine)
    yield row("cluster.lost", found["lost"], LOST)
    yield row("cluster.mixed", found["mixed"], LOST)
    yield row("cluster.wrong", found["wrong"], LOST)
    yield row("cluster.back_s", found["back_s"], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    rows = list(measure(parser.parse_args().repetitions))
    for line in rows:
        print(json.dumps(asdict(line)), flush=True)


if __name__ == "__main__":
    main()
