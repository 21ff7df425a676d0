"""What visitors write stays in memory: neither the log nor the folder of files has it."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import App
from tests.e2e.test_file_names import picture, sent

MARK = "zebrafinkquark"
CALLS: dict[str, list[Any]] = {
    "tokens": [f"A cat {MARK}."],
    "context": [f"A cat {MARK}."],
    "follow_prompt": [f"A cat {MARK}."],
    "embeddings": [f"A cat {MARK}."],
    # Refused: what came is told to the caller alone.
    "control_vector": [f"A cat {MARK}.", MARK, MARK, MARK],
    "cross_attention": [{"prompt": MARK}],
}


def told(server: str, endpoint: str, data: list[Any]) -> str:
    call = f"{server}/gradio_api/call/{endpoint}"
    listed = httpx.get(f"{server}/gradio_api/info", timeout=120).json()["named_endpoints"][f"/{endpoint}"]
    defaults = [parameter.get("parameter_default") for parameter in listed["parameters"]]
    begun = httpx.post(
        call, json={"data": (data + defaults[len(data) :])[: len(defaults)]}, timeout=120
    ).json()
    return httpx.get(f"{call}/{begun['event_id']}", timeout=180).text


def holds(path: Path) -> bool:
    return path.is_file() and MARK.encode() in path.read_bytes()


@pytest.mark.parametrize("endpoint", CALLS)
def test_a_prompt_is_neither_logged_nor_written(server: str, running_app: App, endpoint: str) -> None:
    answer = told(server, endpoint, CALLS[endpoint])
    assert "event: complete" in answer or "event: error" in answer
    assert MARK not in running_app.log.read_text() + (running_app.folder / "out").read_text()
    assert not [path for path in (running_app.folder / "files").rglob("*") if holds(path)]


def test_a_picture_lies_once_under_a_name_that_nobody_can_guess_and_not_in_the_log(
    server: str, running_app: App
) -> None:
    path = Path(sent(server, f"{MARK}.png", picture() + MARK.encode()))
    answer = told(server, "dino_features", [[{"path": str(path), "meta": {"_type": "gradio.FileData"}}]])
    assert "event:" in answer and json.dumps(MARK) not in answer
    files = [p for p in (running_app.folder / "files").resolve().rglob("*") if holds(p)]
    assert files == [path.resolve()] and len(path.parent.name) == 64
    assert MARK not in running_app.log.read_text()
