"""Behind a reverse proxy that tells the app nothing: in a folder, under another name, TLS ended before it."""

import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Route

from benchmarks.browser import go_to_tab
from components.page.theme import FONTS
from tests.conftest import free_port

FOLDER = "/class"
# What a proxy must not hand on as it came.
OWN_HEADERS = {"host", "connection", "transfer-encoding"}


def proxy(server: str) -> Starlette:
    """Hands everything below `FOLDER` on to the server, without its folder and under a wrong name."""
    client = httpx.AsyncClient(base_url=server, timeout=None)

    async def forward(request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            async for part in request.stream():
                yield part

        headers = [(k, v) for k, v in request.headers.items() if k not in OWN_HEADERS]
        path = request.url.path.removeprefix(FOLDER) + ("?" + request.url.query if request.url.query else "")
        asked = client.build_request(
            request.method, path, headers=[*headers, ("host", "app.internal")], content=body()
        )
        answer = await client.send(asked, stream=True)
        kept = {k: v for k, v in answer.headers.items() if k not in OWN_HEADERS}
        return StreamingResponse(
            answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose)
        )

    async def site(request: Request) -> HTMLResponse:
        """Somebody else's page, which shows the app in a frame."""
        inside = str(request.url.replace(hostname="127.0.0.1", path=f"{FOLDER}/", query=request.url.query))
        return HTMLResponse(f'<!doctype html><iframe src="{inside}" width="1200" height="780"></iframe>')

    methods = ["GET", "POST", "HEAD"]
    return Starlette(routes=[Route("/site", site), Route(FOLDER + "/{path:path}", forward, methods=methods)])


def certificate(folder: Path) -> dict[str, str]:
    """Options of a server with TLS; none where no certificate can be made."""
    if (openssl := shutil.which("openssl")) is None:
        return {}
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return {"ssl_keyfile": str(key), "ssl_certfile": str(cert)}


@pytest.fixture
def proxied(server: str, tmp_path: Path) -> Iterator[str]:
    """Address of the app's folder at the proxy."""
    port, tls = free_port(), certificate(tmp_path)
    serving = uvicorn.Server(uvicorn.Config(proxy(server), port=port, log_level="error", **tls))
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    yield f"{'https' if tls else 'http'}://127.0.0.1:{port}{FOLDER}"
    serving.should_exit = serving.force_exit = True
    thread.join(30)


@pytest.fixture
def behind(browser: Browser, proxied: str) -> Iterator[Callable[[str], tuple[Page, list[str]]]]:
    """Opens a path at the proxy; what it asks for is recorded."""
    context = browser.new_context(accept_downloads=True, ignore_https_errors=True)

    def open_page(path: str) -> tuple[Page, list[str]]:
        seen: list[str] = []
        page = context.new_page()
        page.on("request", lambda request: seen.append(request.url))
        page.goto(proxied + path)
        page.locator("html[data-restored]").wait_for(state="attached")
        return page, seen

    yield open_page
    context.close()


def test_everything_works_in_a_folder_of_a_host_that_the_app_does_not_know(
    behind: Callable[[str], tuple[Page, list[str]]], proxied: str, tmp_path: Path
) -> None:
    page, seen = behind("/de?tab=image&num_inference_steps=2")
    assert page.evaluate("document.fonts.load('18px Inter').then((all) => all.length)") > 0
    page.locator("#prompt textarea").fill("a dog")
    page.locator("#tab-image button.primary").first.click()
    expect(page.locator("#image-trace .trace[data-state=done]")).to_contain_text("a dog")
    save = page.locator("#download")
    expect(save).to_be_enabled()
    page.evaluate("window.stays = true")
    with page.expect_download() as saved:
        save.click()
    picture = tmp_path / "picture.png"
    saved.value.save_as(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert page.evaluate("window.stays"), "saving has left the page"

    go_to_tab(page, "clip_matrix")
    sent = page.locator("#tab-clip_matrix input[type=file]").first
    shown = page.locator("#tab-clip_matrix img")
    before = shown.count()
    with page.expect_response("**/gradio_api/upload*") as uploaded:
        sent.set_input_files(picture)
    assert uploaded.value.ok
    page.wait_for_function(
        "before => document.querySelectorAll('#tab-clip_matrix img').length !== before", arg=before
    )
    page.locator('a[data-language="en"]').click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.locator("html[data-restored]").wait_for(state="attached")
    assert [url for url in seen if not url.startswith((proxied, "data:", "blob:"))] == []
    assert any(FONTS.name in url for url in seen)


def test_the_app_works_in_a_frame_of_another_origin(browser: Browser, proxied: str) -> None:
    site = proxied.replace("127.0.0.1", "localhost").removesuffix(FOLDER) + "/site"
    with browser.new_context(ignore_https_errors=True) as context:
        page = context.new_page()
        page.goto(f"{site}?tab=image&num_inference_steps=2&prompt=a+dog")
        frame = page.frame_locator("iframe")
        frame.locator("html[data-restored]").wait_for(state="attached")
        frame.locator("#tab-image button.primary").first.click()
        expect(frame.locator("#image-trace .trace[data-state=done]")).to_contain_text("a dog")
        assert page.url.startswith(site), "the frame has taken the other's page over"
