"""Steuervektor: a page that shows how text steers generative models.

Builds the same page once per language ("/" English, "/de" German), wires what crosses tabs, and
launches. `HOST`, `PORT`, `CLASS=1`, `MCP=1` and `STEUERVEKTOR_EXAMPLES=0` are read from the environment.
"""

# ruff: noqa: E402 - what libraries read when they are imported is set before
import atexit
import os
import signal
import sys
import time

from pipelines.serving.temporary import keep_removing, own_folder

# Read by Gradio and the hub client when they are imported: where files lie, no statistics, no version checks.
os.environ["GRADIO_TEMP_DIR"] = os.environ.get("GRADIO_TEMP_DIR") or own_folder()
# Read by PyTorch, which else leaves a folder of its own among the temporary ones.
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{os.environ['GRADIO_TEMP_DIR']}/compiled")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Read by Gradio's queue: after each call it would sum up its last 10,000 calls with pandas, for a page about
# its load that this app does not offer: a share of its time that grows with each call (docs/decisions.md).
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(2**31)
os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
# Read by OpenMP when PyTorch loads it: how long its threads turn in circles before they sleep. Without a
# bound they do so on cores that another program wants, too (docs/decisions.md).
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# Read by PyTorch on a Mac: what its GPU cannot compute, the processor does.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

import contextlib
import io
import logging
from typing import Any, NoReturn

import gradio as gr
import segno
from starlette.middleware import Middleware

from pipelines.serving.memory import few_heaps, without_triton

without_triton()  # before diffusers is imported

from components import warm_up as examples
from components.audio import tab as audio
from components.clip_matrix import tab as clip_matrix
from components.conditioning import tab as conditioning
from components.context import tab as context
from components.contrastive import tab as contrastive
from components.control_vector import tab as control_vector
from components.cross_attention import tab as cross_attention
from components.dino import tab as dino
from components.embeddings import tab as embeddings
from components.guidance import tab as guidance
from components.image import tab as image
from components.journey import tab as journey
from components.lesson.network import bound_host, own_addresses, shown_on_this_machine
from components.lesson.server import Lessons
from components.lesson.store import classes_file
from components.page import api, file_types, mcp, theme
from components.page.address import wire_address
from components.page.document import Document
from components.page.doors import Doors, GuardedBlocks
from components.page.header import build_footer, build_header
from components.page.prompt_bar import build_prompt_bar
from components.page.qr import QrCodes
from components.page.visits import Visits, open_light_sessions
from components.prompt_lab import tab as prompt_lab
from components.quiz import tab as quiz
from components.runs import training as live
from components.tokens import tab as tokens
from components.ui.language import load_texts
from components.ui.scene import collect_scenes, scene_keys
from components.video import tab as video
from pipelines.serving import catalogue, compute
from pipelines.serving.engine import engine

TELLING_S = 3.0  # s at most in which visitors hear that the app ends
QUEUE_LOOK_S = 0.01  # s between two looks for events: an event waits half of it on average
HOUR, DAY = 3600, 24 * 3600  # s; files are looked for hourly and kept for a day, which outlasts a visit
# After the journey, the order of the tabs is that in which a prompt travels, and so that of a lecture.
CHAPTERS = (
    (
        "reading",
        {
            "tokens": tokens.build_tokens_tab,
            "context": context.build_context_tab,
            "control_vector": control_vector.build_control_vector_tab,
            "embeddings": embeddings.build_embeddings_tab,
        },
    ),
    (
        "pictures",
        {
            "contrastive": contrastive.build_contrastive_tab,
            "clip_matrix": clip_matrix.build_clip_matrix_tab,
            "dino": dino.build_dino_tab,
        },
    ),
    (
        "steering",
        {
            "image": image.build_image_tab,
            "cross_attention": cross_attention.build_cross_attention_tab,
            "conditioning": conditioning.build_conditioning_tab,
            "guidance": guidance.build_guidance_tab,
            "prompt_lab": prompt_lab.build_prompt_lab_tab,
        },
    ),
    (
        "time",
        {
            "video": video.build_video_tab,
            "audio": audio.build_audio_tab,
        },
    ),
    ("quiz", {"quiz": quiz.build_quiz_tab}),
)
WITH_ENDPOINTS = (
    journey,
    tokens,
    embeddings,
    context,
    control_vector,
    clip_matrix,
    contrastive,
    dino,
    image,
    guidance,
    cross_attention,
    conditioning,
    prompt_lab,
    video,
    audio,
)
ENDPOINTS = {name: function for module in WITH_ENDPOINTS for name, function in module.API.items()}


def _build_page(page: gr.Blocks, language: str) -> None:
    """All of one language: header, prompt bar, tabs, footer."""
    t = load_texts(language)
    build_header(t, [("journey", ["journey"]), *((chapter, list(tabs)) for chapter, tabs in CHAPTERS)])
    bar = build_prompt_bar(t)
    builders = {stem: build_tab for _, tabs in CHAPTERS for stem, build_tab in tabs.items()}
    with collect_scenes() as scenes, gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
        landing = journey.build_journey_tab(bar, t)
        for build_tab in builders.values():
            build_tab(bar, t)
    build_footer(scenes, t)
    wire_address(page, bar, t)
    landing.open_at(page)


def quieten(demo: gr.Blocks) -> None:
    """Let no event without a progress bar report its progress to the components that it writes to.

    With each message of any event, Gradio's page tells all components that ever had a status theirs again,
    and walks the whole tree for each: 2,800 times while the page opened.
    """
    for event in demo.fns.values():
        if event.show_progress == "hidden":
            event.show_progress_on = []


def look_less_often(demo: gr.Blocks) -> None:
    """Let the queue look for events every `QUEUE_LOOK_S` while it has none to start, not every millisecond.

    Gradio's takes a twelfth of a core for that, with nobody there, and the interpreter from whoever computes.
    """
    demo._queue.sleep_when_free = demo._queue.progress_update_sleep_when_free = QUEUE_LOOK_S


def build() -> gr.Blocks:
    """The app: two pages, and the endpoints for programs once."""
    with GuardedBlocks(
        title=load_texts("en")("common.page_title"),
        analytics_enabled=False,
        fill_width=True,
        # The folder ends with the app.
        delete_cache=(HOUR, DAY),
    ) as demo:
        _build_page(demo, "en")
    with demo.route("Deutsch", "/de", show_in_navbar=False):
        _build_page(demo, "de")
    # A page of their own: in a visitor's page, their parameters would be a fifth of all that is read.
    with demo.route("Endpoints", "/endpoints", show_in_navbar=False):
        api.register(ENDPOINTS)
    live.wire_leaving(demo)
    quieten(demo)
    open_light_sessions()
    demo.queue(max_size=256, default_concurrency_limit=4, status_update_rate=1)
    look_less_often(demo)
    return demo


def launch_options() -> dict[str, Any]:
    """Gradio's open doors, closed; the look; what the environment decides."""
    return {
        "server_name": bound_host(),
        "server_port": int(os.environ.get("PORT", "7860")),
        "mcp_server": os.environ.get("MCP") == "1",
        "allowed_paths": [str(theme.FONTS)],
        "max_file_size": "20mb",
        "max_threads": 96,
        "state_session_capacity": 500,
        "show_error": False,
        # Else it keeps every visitor's inputs and results in the browser, which a class may share.
        "run_history": False,
        "enable_monitoring": False,
        "share": False,
        "ssr_mode": False,
        "pwa": False,
        "quiet": True,
        "footer_links": [],
        "theme": theme.theme(),
        "app_kwargs": {
            "middleware": [
                Middleware(Lessons, path=classes_file(), scenes=scene_keys),
                *(Middleware(each) for each in (Doors, QrCodes, Visits, Document)),
            ],
        },
    }


def show_way_in(port: int) -> None:
    """Print where phones in the room join, with a QR code, and where to look before the lesson."""
    for address in own_addresses()[:1]:
        join = f"http://{address}:{port}/join"
        segno.make(join, micro=False).terminal(compact=True)
        print(f"Phones: {join}\nBefore the lesson: http://localhost:{port}/check", flush=True)


def leave(demo: gr.Blocks) -> NoReturn:
    """End the process: runs under way are told, files are removed, and nothing else is cleared away.

    Python would take apart all weights, pages and sessions one by one: that takes seconds, on a busy machine
    more of them than a service manager waits before it kills.
    """
    compute.end()
    deadline, unread = time.monotonic() + TELLING_S, demo._queue.pending_event_ids_session
    while any(tuple(unread.values())) and time.monotonic() < deadline:
        time.sleep(0.05)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def end_when_told() -> None:
    """Let the signals that end a program end it in order, those that the machine knows."""
    # the last two when its window is closed, elsewhere and on Windows
    for ending in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, ending):
            signal.signal(getattr(signal, ending), lambda *_: sys.exit(0))


def print_what_can_be_printed() -> None:
    """Let signs that the terminal's code does not have, such as those of a QR code, stop no start."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main() -> gr.Blocks:
    """Launch, say where, load the preselected models behind the visitor's back, and serve until told to end.

    Returns:
        The app, which `leave` ends.

    Raises:
        SystemExit: 2, where the file of added models cannot be used.
    """
    end_when_told()
    print_what_can_be_printed()
    file_types.register()
    few_heaps()  # before the threads that would each get one
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        catalogue.check_added()
    except catalogue.ModelsFileError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(2)
    engine()  # says at once if it cannot be had
    if shown_on_this_machine():
        compute.expect_browser()
    demo = build()
    options = launch_options()
    mcp.offer()
    keep_removing(HOUR, DAY)
    demo.launch(prevent_thread_lock=True, **options)
    print(f"Steuervektor: http://{options['server_name']}:{options['server_port']}", flush=True)
    if os.environ.get("CLASS") == "1":
        show_way_in(options["server_port"])
    if os.environ.get("STEUERVEKTOR_EXAMPLES") != "0":
        examples.warm_up()
    with contextlib.suppress(SystemExit):
        demo.block_thread()
    return demo


if __name__ == "__main__":
    leave(main())
