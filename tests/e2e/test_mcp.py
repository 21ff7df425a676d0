"""The tools as a language model's program sees them, through the official client of MCP."""

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

import app
from components.page import mcp
from tests import loops

MOST_CHARACTERS = 8000
BASE64_RUN = re.compile(r"[A-Za-z0-9+/]{200,}")
QUICK = {"num_inference_steps": 2, "switch_at": [0, 2], "num_frames": 4, "steps": 3, "seconds": 0.5}
PICTURES = {
    "generate_video": 1, "generate_film": 1,
    "generate_image": 1, "steer": 1, "guidance_sweep": 8, "switch_prompts": 2, "cut_blocks": 8,
    "prompt_variants": 3, "leave_one_out": 7,
}  # fmt: skip
Call = Callable[..., types.CallToolResult]


def session(address: str, work: Callable[[ClientSession], Any]) -> Any:
    """What `work` gives within a session."""

    async def run() -> Any:
        async with (
            streamable_http_client(address) as (read, write, _),
            ClientSession(read, write) as opened,
        ):
            await opened.initialize()
            return await work(opened)

    return loops.run(run())


@pytest.fixture(scope="module")
def tools(server: str) -> dict[str, types.Tool]:
    listed = session(f"{server}/gradio_api/mcp/", lambda opened: opened.list_tools()).tools
    return {tool.name: tool for tool in listed}


@pytest.fixture(scope="module")
def call(server: str) -> Call:
    def called(name: str, **arguments: Any) -> types.CallToolResult:
        return session(f"{server}/gradio_api/mcp/", lambda opened: opened.call_tool(name, arguments))

    return called


def texts_of(result: types.CallToolResult) -> list[str]:
    return [part.text for part in result.content if isinstance(part, types.TextContent)]


def images_of(result: types.CallToolResult) -> list[types.ImageContent]:
    return [part for part in result.content if isinstance(part, types.ImageContent)]


def example_of(tool: types.Tool) -> dict[str, Any]:
    return json.loads((tool.description or "").rpartition("\nExample: ")[2])


def data_address(image: types.ImageContent) -> str:
    return f"data:{image.mimeType};base64,{image.data}"


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_address_answers_with_and_without_its_slash_and_sends_nobody_on(server: str, slash: str) -> None:
    address = f"{server}/gradio_api/mcp{slash}"
    assert len(session(address, lambda opened: opened.list_tools()).tools) == len(app.ENDPOINTS)
    assert httpx.get(address, headers={"Accept": "text/html"}).status_code == 200


@pytest.mark.parametrize("name", app.ENDPOINTS)
def test_each_tool_answers_its_example_in_short_with_pictures_as_pictures(
    tools: dict[str, types.Tool], call: Call, name: str
) -> None:
    tool = tools[name]
    arguments = example_of(tool)
    assert set(arguments) >= set(tool.inputSchema.get("required", ())) and arguments
    quick = {key: value for key, value in QUICK.items() if key in tool.inputSchema["properties"]}
    result = call(name, **arguments | quick)
    assert not result.isError, texts_of(result)
    assert len("".join(texts_of(result))) < MOST_CHARACTERS
    assert not BASE64_RUN.search("".join(texts_of(result)))
    json.loads(texts_of(result)[0])
    assert len(images_of(result)) == PICTURES.get(name, 0)
    for image in images_of(result):
        with Image.open(io.BytesIO(base64.b64decode(image.data))) as opened:
            assert Image.MIME[opened.format or ""] == image.mimeType


def test_what_is_left_out_is_named_and_the_whole_is_to_be_had(call: Call) -> None:
    result = call("control_vector", prompt="A cat.")
    short, where = json.loads(texts_of(result)[0]), texts_of(result)[1]
    assert short["sequence"].startswith("left out: 77 × 128 numbers from ")
    whole = httpx.get(where.rpartition(" ")[2]).json()
    assert len(whole["sequence"]) == 77 and len(whole["sequence"][0]) == 128
    assert set(whole) == set(short)


def test_sounds_and_films_are_to_be_had_under_their_address(call: Call) -> None:
    film = call("generate_video", num_frames=2, num_inference_steps=1)
    sound = call("generate_audio", seconds=0.2)
    address = json.loads(texts_of(film)[0])[0]
    assert address["shows"] == "frames of the video, from the first to the last, row by row"
    for where, start in ((address["address"], b"ftyp"), (json.loads(texts_of(sound)[0])[0], b"RIFF")):
        assert start in httpx.get(where).content[:12]
    with Image.open(io.BytesIO(base64.b64decode(images_of(film)[0].data))) as sheet:
        assert sheet.width == 2 * sheet.height
    again = call("generate_audio", seconds=0.2, clip=json.loads(texts_of(sound)[0])[0])
    assert not again.isError and json.loads(texts_of(again)[0])[1]["clip_seconds"] > 0


def test_a_picture_can_be_handed_over_in_each_form_that_the_schema_names(
    server: str, tools: dict[str, types.Tool], call: Call
) -> None:
    assert tools["clip_matrix"].inputSchema["properties"]["images"]["items"] == {
        "type": "string", "description": mcp.FILE_FORMS,
    }  # fmt: skip
    made = call("generate_image", num_inference_steps=1)
    image = images_of(made)[0]
    sent = {"files": ("cat.png", base64.b64decode(image.data), "image/png")}
    path = httpx.post(f"{server}/gradio_api/upload", files=sent).json()[0]
    forms = [data_address(image), json.loads(texts_of(made)[0])[0]["address"], path]
    result = call("clip_matrix", images=forms, prompts=["a cat"])
    assert not result.isError, texts_of(result)
    rows = json.loads(texts_of(result)[0])["similarity"]
    assert [row[0] for row in rows] == pytest.approx([rows[0][0]] * 3, abs=1e-5)


def test_neither_files_of_the_server_nor_other_hosts_are_read(call: Call, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)
    named = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    for form in (str(secret), named, "https://example.org/cat.png"):
        result = call("clip_matrix", images=[form], prompts=["a cat"])
        assert result.isError and "A file has to be a data address" in texts_of(result)[0]
    for name, arguments in (("tokens", {"prompt": named}), ("generate_audio", {"clip": {"a": [named]}})):
        result = call(name, **arguments)
        assert result.isError and len(texts_of(result)[0]) < 1001


def test_what_is_refused_is_said_in_a_short_sentence(call: Call) -> None:
    for arguments, said in (
        ({"seed": -1}, "seed has to be a whole number from 0"),
        ({"prompt": "a" * 30000}, "prompt has to be a text of up to 2000 characters"),
        ({"model": "b" * 30000}, "classroom-image"),
        ({"p" * 30000: 1}, "Parameter"),
    ):
        result = call("generate_image", **arguments)
        assert result.isError and said in texts_of(result)[0], texts_of(result)[0][:200]
        assert len(texts_of(result)[0]) <= mcp.MOST_ERROR
