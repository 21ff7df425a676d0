"""The endpoints as tools of a language model: Gradio's MCP server, made usable for one.

Gradio's own takes no files where a parameter is a list of them, and writes what an endpoint gives as it is,
pictures in base64 and all numbers, into the text.
"""

import base64
import json
import mimetypes
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote

import gradio.mcp
from gradio.blocks import BlockFunction
from gradio.mcp import GradioMCPServer
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from gradio_client import handle_file
from mcp import types
from mcp.server import Server
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from components.page.answers import Answer, fitted, taken_apart
from components.ui.errors import message
from components.ui.language import load_texts
from components.ui.uploads import uploaded
from pipelines.serving.errors import InputError, is_disk_full

FILE_ROUTE = "/gradio_api/file="
MOST_DATA_MB = 3  # of a file in a data address: base64 makes four bytes of three, and a request has 4 MiB
MOST_ERROR = 1000  # characters of an error
FILE_FORMS = (
    "A file is given as text, in one of three forms: a data address (“data:image/png;base64,…”, of a file of "
    f"at most {MOST_DATA_MB} MB); the address of a file that this app gave (“…{FILE_ROUTE}…”); or the path "
    "that an upload (POST /gradio_api/upload, field “files”) was answered with. Other addresses and paths "
    "are refused."
)
# A picture of 8 × 8 px, red: what examples hand over.
SAMPLE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mO8IyfHgA0wMeAAg1MCAOBWAShOAhDlAAAAAElFTkSuQmCC"
)
_DATA_ADDRESS = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.ASCII)


def offer() -> None:
    """Let Gradio serve this MCP server in the place of its own, from its next `launch` on."""
    gradio.mcp.GradioMCPServer = Tools  # type: ignore[misc]


class _Server(Server):
    """Leaves arguments to the endpoints, which say what they refuse in short."""

    def call_tool(self, *, validate_input: bool = False) -> Any:
        return super().call_tool(validate_input=validate_input)

    def _make_error_result(self, error_message: str) -> types.ServerResult:
        return super()._make_error_result(error_message[:MOST_ERROR])


class Tools(GradioMCPServer):
    """Gradio's MCP server, with files that can be handed over, examples, and answers of limited length."""

    Server = _Server

    @property
    def _file_data_tool_description(self) -> str:
        return f"\n\n{FILE_FORMS}"

    def get_fn_description(self, block_fn: BlockFunction, tool_name: str) -> tuple[str, dict[str, str]]:
        """As Gradio's, with an example."""
        description, parameters = super().get_fn_description(block_fn, tool_name)
        return f"{description}\n\nExample: {json.dumps(self.example(tool_name))}", parameters

    def example(self, tool_name: str) -> dict[str, Any]:
        """Arguments of a call that can be made as it is: what is needed, what has an example, a default."""
        schema, places = self.get_input_schema(tool_name)
        found = {}
        for name, parameter in schema["properties"].items():
            if "examples" in parameter:
                found[name] = parameter["examples"][0]
            elif name in schema.get("required", ()):
                found[name] = [SAMPLE] if (name, "items") in _patterns(places) else SAMPLE
            elif not found and parameter["default"] is not None:
                found[name] = parameter["default"]
        return found

    def simplify_filedata_schema(
        self, schema: dict[str, Any]
    ) -> tuple[dict[str, Any], list[list[str | int]]]:
        """As Gradio's, which makes texts of files, with what such a text has to be."""
        simple, places = super().simplify_filedata_schema(schema)
        for place in places:
            node = simple["properties"]
            for step in place:
                node = node[step]
            described = {"type": "string", "description": FILE_FORMS}
            node.clear()
            node.update(described)
        return simple, places

    def convert_strings_to_filedata(self, value: Any, filedata_positions: list[list[str | int]]) -> Any:
        """Arguments with files where texts name them.

        Objects are refused: Gradio's client, through which the call goes, would read any file of this machine
        that one of them names.

        Raises:
            ValueError: an object, or a text that is in none of the forms that `FILE_FORMS` names.
        """
        patterns = _patterns(filedata_positions)

        def walk(node: Any, place: tuple[str, ...]) -> Any:
            if isinstance(node, list):
                return [walk(part, (*place, "items")) for part in node]
            is_file = isinstance(node, str) and place in patterns
            return handed_over(node) if is_file or isinstance(node, dict) else node

        return {name: walk(part, (name,)) for name, part in value.items()}

    def postprocess_output_data(
        self, data: Any, root_url: str
    ) -> list[types.TextContent | types.ImageContent]:
        """An answer as JSON of limited length, where the whole is to be had, and the pictures."""
        value = data[0] if len(data) == 1 else data

        def address(path: str) -> str:
            return f"{root_url}{FILE_ROUTE}{quote(path)}"

        answer = taken_apart(value, address, _kept)
        text, whole = fitted(answer.value)
        texts = [text]
        if not whole:
            path = _kept(json.dumps(answer.value, ensure_ascii=False).encode(), "answer.json")
            texts.append(f"Shortened; the whole answer as JSON: {address(path)}")
        return [types.TextContent(type="text", text=text) for text in texts] + _contents(answer)

    def launch_mcp_on_sse(self, app: Starlette, subpath: str, root_path: str) -> None:
        """As Gradio's, which sends clients on to the address with a slash; here both answer.

        A redirect names the host and the protocol that the app sees, which behind a proxy are others.
        """
        super().launch_mcp_on_sse(app, subpath, root_path)
        app.router.routes.append(Route(subpath, endpoint=_Served(self)))


class _Served:
    """The MCP server as an ASGI app, which gets every method of HTTP."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.tools.handle_streamable_http(scope, receive, send)


def handed_over(given: Any) -> dict[str, Any]:
    """A file that a text names, as Gradio's client sends it.

    Nothing is fetched: of an address, only the path below the folder of uploads counts.

    Raises:
        ValueError: it is in none of the forms that `FILE_FORMS` names, or the disk is full.
    """
    try:
        if not isinstance(given, str):
            raise ValueError
        if given.startswith("data:"):
            content, name = _decoded(given)
        else:
            path, content = uploaded(_served_path(given), "file_address"), None
            if not path.is_file():
                raise ValueError
    except (InputError, ValueError, OSError):  # no such file, no such address, a name that cannot be one
        refusal = InputError("file_address", received=given, megabytes=MOST_DATA_MB)
        raise ValueError(message(refusal, load_texts("en"))) from None
    return dict(handle_file(path if content is None else _kept(content, name)))


def _served_path(text: str) -> str:
    head, route, path = text.partition(FILE_ROUTE)
    return unquote(path) if route and re.match(r"https?://|$", head) else text


def _decoded(data_address: str) -> tuple[bytes, str]:
    """The file that a data address holds, and a name for it.

    Raises:
        ValueError: it is not in base64, or too large.
    """
    head = _DATA_ADDRESS.match(data_address)
    if head is None or (len(data_address) - head.end()) * 3 // 4 > MOST_DATA_MB * 10**6:
        raise ValueError
    content = base64.b64decode("".join(data_address[head.end() :].split()), validate=True)
    return content, f"file{mimetypes.guess_extension(head[1] or '') or ''}"


def _kept(content: bytes, name: str) -> str:
    """Write a file where the app serves, and later deletes, files from; its path.

    Raises:
        ValueError: the disk is full.
    """
    try:
        return str(save_bytes_to_cache(content, name, get_upload_folder()))
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise ValueError(message(InputError("disk_full"), load_texts("en"))) from error


def _patterns(places: Sequence[Sequence[str | int]]) -> set[tuple[str, ...]]:
    """Places of files in a schema as places in arguments: no alternatives, "items" for any entry."""
    return {tuple(step for step in place if isinstance(step, str) and step != "anyOf") for place in places}


def _contents(answer: Answer) -> list[types.TextContent | types.ImageContent]:
    return [
        types.ImageContent(
            type="image", data=base64.b64encode(picture.content).decode(), mimeType=picture.mime_type
        )
        for picture in answer.pictures
    ]
