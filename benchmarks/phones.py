"""Phones of a class, as a process of its own: each a client with its own connections.

Run by `benchmarks/lesson.py`: `python -m benchmarks.phones ADDRESS CODE COUNT`. Each phone joins, waits for
the question, votes at a moment of its own within ten seconds, and changes its mind once. Prints one object.
"""

import asyncio
import json
import random
import sys
import time

import httpx

SPREAD_S = 10.0  # within which all vote
LIMITS = httpx.Limits(max_connections=2, max_keepalive_connections=2)


async def phone(number: int, address: str, code: str, begin: asyncio.Barrier) -> dict[str, float]:
    """What one phone sees: s that its votes and its joining took, and 1 for each that was not taken."""
    rng = random.Random(number)
    pupil = f"{number:032x}"
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=LIMITS) as http:
        await asyncio.sleep(rng.random() * 5)
        start = time.perf_counter()
        state = (await http.get("/class/state", params={"code": code, "pupil": pupil})).json()
        joined = time.perf_counter() - start
        await begin.wait()
        while state["poll"] is None:
            asked = {"code": code, "pupil": pupil, "since": state["version"]}
            state = (await http.get("/class/state", params=asked)).json()
        poll, longest, refused = state["poll"], 0.0, 0
        for choice in (rng.randrange(3), number % 3):
            await asyncio.sleep(rng.random() * SPREAD_S / 2)
            body = {"code": code, "pupil": pupil, "poll": poll["id"], "round": 1, "choice": choice}
            start = time.perf_counter()
            answer = await http.post("/class/vote", json=body)
            longest = max(longest, time.perf_counter() - start)
            refused += answer.status_code != 200
    return {"joined": joined, "vote": longest, "refused": refused}


async def all_phones(address: str, code: str, count: int) -> None:
    begin = asyncio.Barrier(count + 1)
    phones = [asyncio.create_task(phone(i, address, code, begin)) for i in range(count)]
    await begin.wait()
    print("joined", flush=True)
    print(json.dumps(await asyncio.gather(*phones)), flush=True)


if __name__ == "__main__":
    asyncio.run(all_phones(sys.argv[1].rstrip("/"), sys.argv[2], int(sys.argv[3])))
