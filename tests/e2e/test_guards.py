"""The server's doors: what it serves, what it refuses, what it tells strangers."""

import json
import re
from typing import Any

import httpx
import pytest

import app
from components.page import theme


def config_of(html: str) -> dict[str, Any]:
    """The page's description that Gradio's script reads."""
    found = re.search(r"window\.gradio_config = (.*?);</script>", html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_two_addresses_serve_the_page_and_no_third_does(server: str) -> None:
    assert httpx.get(f"{server}/").status_code == 200
    assert httpx.get(f"{server}/de").status_code == 200
    assert httpx.get(f"{server}/fr").status_code == 404


def test_language_and_look_are_in_the_document_before_any_script_of_gradios(server: str) -> None:
    for path, language in (("/", "en"), ("/de", "de")):
        html = httpx.get(server + path).text
        assert f'lang="{language}"' in html[:100]
        assert html.index("window.svTitle") < html.index("gradio_config")
        head = html[: html.index("</head>")]
        for address in re.findall(r'<link rel="preload" as="font"[^>]* href="([^"]+)"', head):
            assert f'src:url("{address}")' in head  # else it would be loaded a second time
        assert head.index('rel="preload" as="font"') < head.index("<script>")
        assert head.count('as="font"') == len(theme.FILES)


def test_a_page_is_compressed_for_who_can_read_it_and_holds_no_endpoints_of_programs(server: str) -> None:
    for path in ("/", "/de"):
        plain = httpx.get(server + path, headers={"Accept-Encoding": "identity"})
        packed = httpx.get(server + path, headers={"Accept-Encoding": "gzip, br"})
        assert "content-encoding" not in plain.headers and packed.headers["content-encoding"] == "gzip"
        assert packed.text == plain.text
        assert int(packed.headers["content-length"]) < len(plain.content) / 4
        assert "api" not in {part["type"] for part in config_of(plain.text)["components"]}


def test_the_page_tells_nobody_about_its_visitors(server: str) -> None:
    config = config_of(httpx.get(f"{server}/").text)
    assert config["analytics_enabled"] is False
    assert not config.get("show_error")


def test_fonts_are_served_and_the_servers_own_files_are_not(server: str) -> None:
    font = theme.FONTS / "Inter-Regular.woff2"
    served = httpx.get(f"{server}/gradio_api/file={font}")
    assert served.status_code == 200
    assert served.content == font.read_bytes()
    root = theme.FONTS.parents[1]
    weights = next((root / "assets" / "models").rglob("*.safetensors"))
    for secret in (root / "app.py", "/etc/passwd", f"{theme.FONTS}/../../app.py", weights):
        assert httpx.get(f"{server}/gradio_api/file={secret}").status_code in (403, 404), secret


def test_an_upload_above_the_limit_is_refused(server: str) -> None:
    large = {"files": ("large.png", b"\0" * (21 * 2**20), "image/png")}
    refused = httpx.post(f"{server}/gradio_api/upload", files=large, timeout=60)
    assert refused.status_code == 413
    small = {"files": ("small.png", b"\0" * 1000, "image/png")}
    assert httpx.post(f"{server}/gradio_api/upload", files=small).status_code == 200


def test_mcp_clients_find_the_same_tools(server: str) -> None:
    tools = {tool["name"]: tool for tool in httpx.get(f"{server}/gradio_api/mcp/schema").json()}
    assert set(tools) == set(app.ENDPOINTS)
    assert "prompt" in tools["tokens"]["inputSchema"]["properties"]


def test_mcp_clients_are_told_units_ranges_choices_and_defaults(server: str) -> None:
    for tool in httpx.get(f"{server}/gradio_api/mcp/schema").json():
        needed = tool["inputSchema"].get("required", [])
        for name, schema in tool["inputSchema"]["properties"].items():
            where = (tool["name"], name)
            assert schema["description"], where
            assert ("default" in schema) is (name not in needed), where
            assert {"minimum", "enum", "anyOf"} & set(schema) or schema["type"] not in (
                "integer",
                "number",
            ), where
            assert "enum" in schema or name not in ("model", "scheduler", "format", "experiment"), where


def test_host_port_and_mcp_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT", "MCP"):
        monkeypatch.delenv(name, raising=False)
    options = app.launch_options()
    assert (options["server_name"], options["server_port"]) == ("127.0.0.1", 7860)
    assert options["mcp_server"] is False
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setenv("PORT", "8123")
    monkeypatch.setenv("MCP", "1")
    options = app.launch_options()
    assert (options["server_name"], options["server_port"]) == ("0.0.0.0", 8123)
    assert options["mcp_server"] is True
