"""Visitors and programs as processes of their own, over plain HTTP as Gradio's page speaks it.

Run by `benchmarks/load.py`: `python -m benchmarks.visitors ADDRESS KIND COUNT SECONDS FIRST`. All begin
at once; each prints one JSON object a call: {"call", "s", "error", …}. `FIRST` is the first visitor's number.
"""

import asyncio
import base64
import json
import random
import re
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

PATIENCE_S = 300.0
PROMPTS = (
    "A small cat on a bed.", "A red car in the snow.", "A dog in a meadow.", "A sailboat at sunset.",
    "A yellow flower.", "Two blue balls on the beach.", "A house at night.", "A drawing of a fish.",
)  # fmt: skip
TEXTS = ("tokens", "context", "control_vector", "embeddings")
# Calls of a mixed hour, each small, so that many kinds meet.
SMALL: dict[str, dict[str, Any]] = {
    "generate_image": {},
    "steer": {"num_inference_steps": 6},
    "guidance_sweep": {"scales": [1, 5, 12], "num_inference_steps": 6},
    "cross_attention": {"num_inference_steps": 4},
    "switch_prompts": {"switch_at": [0, 2], "num_inference_steps": 4},
    "cut_blocks": {"num_inference_steps": 3},
    "leave_one_out": {"num_inference_steps": 4},
    "generate_video": {"num_inference_steps": 2, "num_frames": 8, "prompt": "A cat walks right in a meadow."},
    "generate_audio": {"seconds": 1},
    "train_dino": {"steps": 2},
    "train_contrastive": {"steps": 2},
    **{name: {} for name in TEXTS},
}


def picture(number: int) -> dict[str, Any]:
    """The picture that visitor `number` asks for: each another one."""
    scale = (3.0, 5.0, 8.0)[number % 3]
    return {"prompt": PROMPTS[number % len(PROMPTS)], "seed": number, "guidance_scale": scale}


def page_config(html: str) -> dict[str, Any]:
    """What Gradio's script reads to build a page."""
    found = re.search(r"window\.gradio_config = (.*?);</script>", html, re.DOTALL)
    assert found is not None
    config: dict[str, Any] = json.loads(found[1])
    return config


@dataclass
class Visit:
    """An open page, or a program at work, as the server knows it: a session with its connections.

    Attributes:
        http: connections of its own.
        endpoints: of programs: name to Gradio's number and the parameters' defaults.
        session: Gradio's key.
    """

    http: httpx.AsyncClient
    endpoints: dict[str, tuple[int, dict[str, Any]]]
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    async def call(self, number: int, data: list[Any], leave_after: float | None = None) -> Any:
        """Queue an event and follow it to its end.

        Args:
            number: Gradio's of the event.
            data: one value an input.
            leave_after: s after which the visitor goes away in the middle; the answer is then None.

        Raises:
            RuntimeError: the server says that it failed.
        """
        body = {"data": data, "fn_index": number, "session_hash": self.session}
        answer = await self.http.post("/gradio_api/queue/join", json=body)
        if answer.status_code != 200:
            raise RuntimeError(f"{answer.status_code}: {answer.text[:200]}")
        event = answer.json()["event_id"]
        try:
            async with (
                asyncio.timeout(leave_after),
                self.http.stream(
                    "GET", "/gradio_api/queue/data", params={"session_hash": self.session}
                ) as stream,
            ):
                async for line in stream.aiter_lines():
                    told = json.loads(line[6:]) if line.startswith("data: ") else {}
                    if told.get("event_id") == event and told["msg"] == "process_completed":
                        if not told["success"]:
                            raise RuntimeError(str(told["output"])[:200])
                        return told["output"]["data"]
        except TimeoutError:
            return None
        raise RuntimeError("the stream ended before the answer")

    async def ask(self, name: str, given: dict[str, Any], leave_after: float | None = None) -> Any:
        """Call an endpoint by name."""
        number, defaults = self.endpoints[name]
        return await self.call(number, list((defaults | given).values()), leave_after)

    async def file(self, answer: dict[str, Any]) -> bytes:
        """The content of a file that an endpoint answered with."""
        return (await self.http.get(f"/gradio_api/file={answer['path']}")).content


async def endpoints_of(http: httpx.AsyncClient) -> dict[str, tuple[int, dict[str, Any]]]:
    """Name of each endpoint for programs: its number and its parameters with their defaults."""
    numbers = {
        d["api_name"]: d["id"] for d in page_config((await http.get("/endpoints")).text)["dependencies"]
    }
    listed = (await http.get("/gradio_api/info")).json()["named_endpoints"]
    return {
        name[1:]: (
            numbers[name[1:]],
            {p["parameter_name"]: p.get("parameter_default") for p in endpoint["parameters"]},
        )
        for name, endpoint in listed.items()
    }


def drawing(config: dict[str, Any], prompt: str, seed: int) -> tuple[int, list[Any]]:
    """The event that the button of the image tab starts, with the values that its page holds."""
    parts = {part["id"]: part["props"] for part in config["components"]}
    ids = {props.get("elem_id"): number for number, props in parts.items()}
    event = next(d for d in config["dependencies"] if [ids["generate"], "click"] in d["targets"])
    values = {number: parts[number].get("value") for number in event["inputs"]}
    return event["id"], list((values | {ids["prompt"]: prompt, ids["seed"]: seed}).values())


async def one_picture(visit: Visit, number: int, began: asyncio.Barrier, seconds: float) -> None:
    """Ask for a picture of one's own, and hand over the file."""
    del seconds
    await began.wait()
    start = time.perf_counter()
    answer = await visit.ask("generate_image", picture(number))
    took = time.perf_counter() - start
    shown = base64.b64encode(await visit.file(answer[0])).decode()
    tell("generate_image", took, number=number, png=shown)


async def read_texts(visit: Visit, number: int, began: asyncio.Barrier, seconds: float) -> None:
    """Look at four views of a prompt, one after the other, within some seconds as people do."""
    rng = random.Random(number)
    await began.wait()
    for name in TEXTS:
        await asyncio.sleep(rng.random() * seconds / len(TEXTS))
        start = time.perf_counter()
        await visit.ask(name, {"prompt": f"{PROMPTS[number % len(PROMPTS)]} {number}"})
        tell(name, time.perf_counter() - start)


async def open_page(visit: Visit, number: int, began: asyncio.Barrier, seconds: float) -> None:
    """Open the page, draw one picture in it, and stay."""
    config = page_config((await visit.http.get("/" if number % 2 else "/de")).text)
    await began.wait()
    async with visit.http.stream("GET", f"/gradio_api/heartbeat/{visit.session}"):
        event, data = drawing(config, PROMPTS[number % len(PROMPTS)], number)
        start = time.perf_counter()
        await visit.call(event, data)
        tell("page", time.perf_counter() - start)
        await asyncio.sleep(seconds)


async def mixed(visit: Visit, number: int, began: asyncio.Barrier, seconds: float) -> None:
    """Come, call this and that, leave in the middle, come back, until the time is over."""
    rng = random.Random(number)
    await began.wait()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        if rng.random() < 0.2:  # reloaded, or opened in a tab of its own
            visit.session = uuid.uuid4().hex
            await visit.http.get(rng.choice(["/", "/de", "/join", "/check"]))
        name = rng.choice(list(SMALL))
        leaves = rng.random() * 2 if rng.random() < 0.2 else None
        known = rng.randrange(6)
        given = (
            picture(known)
            if name == "generate_image"
            else {"prompt": rng.choice(PROMPTS), "prompt_b": "A green pear.", **SMALL[name]}
        )
        given = {key: value for key, value in given.items() if key in visit.endpoints[name][1]}
        start, said, shown = time.perf_counter(), "", {}
        try:
            answer = await visit.ask(name, given, leaves)
            if answer is not None and name == "generate_image":
                shown = {"number": known, "png": base64.b64encode(await visit.file(answer[0])).decode()}
        except (RuntimeError, httpx.HTTPError) as error:
            said = f"{type(error).__name__}: {error}"
        tell(name, time.perf_counter() - start, error=said, left=leaves is not None, **shown)


def tell(call: str, seconds: float, error: str = "", **more: Any) -> None:
    print(json.dumps({"call": call, "s": round(seconds, 3), "error": error, **more}), flush=True)


KINDS = {"picture": one_picture, "texts": read_texts, "page": open_page, "mixed": mixed}


async def main(address: str, kind: str, count: int, seconds: float, first: int) -> None:
    limits = httpx.Limits(max_connections=4)
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE_S) as http:
        endpoints = await endpoints_of(http)
    began = asyncio.Barrier(count)

    async def come(number: int) -> None:
        async with httpx.AsyncClient(base_url=address, timeout=PATIENCE_S, limits=limits) as http:
            await KINDS[kind](Visit(http, endpoints), number, began, seconds)

    await asyncio.gather(*(come(first + i) for i in range(count)))


if __name__ == "__main__":
    _, where, what, how_many, how_long, number = sys.argv
    asyncio.run(main(where.rstrip("/"), what, int(how_many), float(how_long), int(number)))
