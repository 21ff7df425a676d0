"""The page in headless Chromium: until one can type, the first preview, the picture, the
first sound; a training's pace.
"""

import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.browser import FLAGS, chromium_path, go_to_tab
from benchmarks.rows import BenchmarkRow, medians, row

ROOT = Path(__file__).parents[1]
PATIENCE_MS = 120_000
# A link to one scene, with a choice on several tabs.
LINK = (
    "?v=1&scene=guidance.sweep&prompt=a+red+car&seed=3&guidance_scale=7&conditioning.at=12&clip_matrix.view=texts"
    "&contrastive.pace=fast&dino.momentum=0.99&video.lever=motion&audio.temperature=0.7&context.layer=3"
)
MOST_BURSTS = 2  # of a training: it ends before a third is full
EMPTY = """
import os, gradio as gr
with gr.Blocks(analytics_enabled=False) as demo:
    gr.Textbox(elem_id="prompt")
_, address, _ = demo.launch(server_port=int(os.environ["PORT"]), prevent_thread_lock=True, quiet=True)
print(address, flush=True)
demo.block_thread()
"""
# Times are taken in the page, at the frame after which the change is seen.
CLICK_AND_WATCH = """
() => new Promise((resolve) => {
  const start = performance.now();
  let preview = null;
  const shows = (selector) => document.querySelector(`#image-trace ${selector}`);
  const watch = () => {
    if (preview === null && shows('.trace[data-state=running] img[data-row=guided]:not([hidden])'))
      preview = performance.now() - start;
    if (preview !== null && shows('.trace[data-state=done]'))
      resolve([preview / 1000, (performance.now() - start) / 1000]);
    else requestAnimationFrame(watch);
  };
  document.querySelector('#generate').click();
  watch();
})
"""
# The sound is made when its last chunk is there; it goes on sounding.
CLICK_AND_LISTEN = """
() => new Promise((resolve) => {
  const start = performance.now(), player = document.querySelector('#audio-player .player');
  let first = null, began = false;
  const watch = () => {
    began ||= player.dataset.state === 'live';
    if (began && first === null && player.dataset.sounding === 'yes') first = performance.now() - start;
    if (first !== null && player.dataset.state === 'done')
      resolve([first / 1000, (performance.now() - start) / 1000]);
    else requestAnimationFrame(watch);
  };
  document.querySelector('#audio-make').click();
  watch();
})
"""
# From the key to the frame in which the next scene stands there in its own size.
NEXT_SCENE = """
() => new Promise((resolve) => {
  const start = performance.now();
  const shown = () => [...document.querySelectorAll('.sv-scene')].find((scene) => scene.offsetParent);
  const before = shown();
  dispatchEvent(new KeyboardEvent('keydown', { key: 'PageDown' }));
  const watch = () => {
    const now = shown();
    if (now && now !== before && now.dataset.fits) resolve((performance.now() - start) / 1000);
    else requestAnimationFrame(watch);
  };
  watch();
})
"""
# What moves while the page fills itself, as a share of the window.
SHIFTED = """
() => new Promise((resolve) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const shift of list.getEntries()) if (!shift.hadRecentInput) sum += shift.value;
  }).observe({ type: 'layout-shift', buffered: true });
  setTimeout(() => resolve(sum), 4000);
})
"""
# A frame counts if the step that it shows is another one than the last frame's.
GO_ON_AND_WATCH = """
() => new Promise((resolve) => {
  const stage = document.querySelector('#contrastive-stage .stage');
  const frames = [];
  let step = stage.dataset.step;
  const watch = () => {
    if (stage.dataset.step !== step) {
      step = stage.dataset.step;
      frames.push(performance.now());
    }
    if (frames.length && stage.dataset.state !== 'running')
      resolve(1000 * (frames.length - 1) / (frames.at(-1) - frames[0]));
    else requestAnimationFrame(watch);
  };
  document.querySelector('#contrastive-stage [data-act=go]').click();
  watch();
})
"""


@contextmanager
def served_process(command: list[str], log: IO[str] | None = None) -> Iterator[tuple[str, int]]:
    """A server of its own process, without a network; yields its address and process id."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = os.environ | {
        "HOST": "127.0.0.1", "PORT": str(port), "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False",
        "STEUERVEKTOR_FAMILY": "classroom",
    }  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=log)
    try:
        yield next(line.split()[-1] for line in process.stdout or () if "http://" in line), process.pid
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def served(command: list[str]) -> Iterator[str]:
    """A server of its own process, without a network; yields its address."""
    with served_process(command) as (address, _):
        yield address


def wait_until_quiet(pid: int) -> None:
    """Until an app has drawn its first examples, whatever a visitor has asked for meanwhile."""
    process, quiet = psutil.Process(pid), 0
    for _ in range(PATIENCE_MS // 1000):
        quiet = quiet + 1 if process.cpu_percent(interval=1) < 10 else 0
        if quiet == 5:
            return


def until_one_can_type(browser: Browser, address: str) -> None:
    """Open a page with an empty cache and type a letter into its first text field."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(address, wait_until="commit", timeout=PATIENCE_MS)
    page.locator("#prompt textarea, #prompt input").first.type("a", timeout=PATIENCE_MS)
    context.close()


@contextmanager
def visit(browser: Browser, address: str) -> Iterator[Page]:
    """The page as a visitor opens it, in a browser that has never seen it."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(address)
    yield page
    context.close()


def click_to_picture(browser: Browser, address: str, repetitions: int) -> tuple[float, float]:
    """Median seconds from the click on Generate to the first preview and to the picture."""
    with visit(browser, address) as page:
        go_to_tab(page, "image")
        page.locator("#image-trace .trace[data-state=done]").wait_for()  # the first example
        times = [page.evaluate(CLICK_AND_WATCH) for _ in range(repetitions + 1)][1:]
    preview, whole = zip(*times, strict=True)
    return statistics.median(preview), statistics.median(whole)


def key_to_next_scene(browser: Browser, address: str, repetitions: int) -> float:
    """Median seconds from the key to the next scene on the stage, of tabs that are computed already."""
    with visit(browser, f"{address}?stage=1&scene=guidance.live") as page:
        page.locator("#guidance-sum .sum img:not([hidden])").first.wait_for(state="attached")
        page.locator("#guidance-sweep .scatterlayer .point").first.wait_for(state="attached")
        times = []
        for _ in range(repetitions):
            times += [page.evaluate(NEXT_SCENE) for _ in range(3)]
            for _ in range(3):
                page.keyboard.press("PageUp")
            page.locator("#scene-guidance-live").wait_for()
    return statistics.median(times)


def until_restored(browser: Browser, address: str) -> None:
    """Open a page or a link with an empty cache until the page says what its address says."""
    with visit(browser, address) as page:
        page.locator("html[data-restored]").wait_for(state="attached")
        page.locator("#prompt textarea").wait_for()


def layout_shift(browser: Browser, address: str, repetitions: int) -> float:
    """Median sum of layout shifts from the first byte until the first tab is filled."""
    found = []
    for _ in range(repetitions):
        with visit(browser, address) as page:
            found.append(page.evaluate(SHIFTED))
    return statistics.median(found)


def click_to_sound(browser: Browser, address: str, repetitions: int) -> tuple[float, float]:
    """Median seconds from the click to the first sound, and seconds of work for a second of sound."""
    with visit(browser, address) as page:
        go_to_tab(page, "audio")
        silent = page.locator("#audio-player .player[data-state=done][data-sounding=no]")
        length = float(page.locator("#audio-seconds input[type=number]").input_value())
        times = []
        for _ in range(repetitions + 1):
            silent.wait_for()
            times.append(page.evaluate(CLICK_AND_LISTEN))
    first, whole = zip(*times[1:], strict=True)
    return statistics.median(first), statistics.median(whole) / length


def training_updates(browser: Browser, address: str, repetitions: int) -> float:
    """Median of the updates a second that the page shows of a visitor's CLIP, at the pace it opens with."""
    with visit(browser, address) as page:
        go_to_tab(page, "contrastive")
        page.locator("#contrastive-stage .stage[data-state=paused]").wait_for()  # the first example
        rates = []
        for _ in range(min(repetitions, MOST_BURSTS)):
            rates.append(page.evaluate(GO_ON_AND_WATCH))
            page.locator("#contrastive-stage .stage[data-state=paused]").wait_for()
    return statistics.median(rates)


def measure(repetitions: int) -> Iterator[BenchmarkRow]:
    """Figures of the page; the app has had time to load its models before they are taken."""
    with (
        served([sys.executable, "-c", EMPTY]) as empty,
        served_process([sys.executable, "app.py"]) as (app, pid),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        wait_until_quiet(pid)
        preview, whole = click_to_picture(browser, app, repetitions)
        sound, factor = click_to_sound(browser, app, repetitions)
        updates = training_updates(browser, app, repetitions)
        rivals = {"app": app, "empty": empty}
        seconds = medians(
            {name: partial(until_one_can_type, browser, url) for name, url in rivals.items()},
            repetitions,
        )
        scene = key_to_next_scene(browser, app, repetitions)
        links = {"page": app + "?tab=guidance", "link": app + LINK}
        shift = layout_shift(browser, app, repetitions)
        opened = medians(
            {name: partial(until_restored, browser, url) for name, url in links.items()}, repetitions
        )
        browser.close()
    print("until one can type, s:", seconds)
    yield row("page.interactive_ratio", seconds["app"] / seconds["empty"], repetitions)
    yield row("page.next_scene_s", scene, 3 * repetitions)
    yield row("page.layout_shift", shift, repetitions)
    yield row("page.link_ratio", opened["link"] / opened["page"], repetitions)
    yield row("page.training_updates_per_s", updates, min(repetitions, MOST_BURSTS))
    yield row("image.first_preview_s", preview, repetitions)
    yield row("image.whole_picture_s", whole, repetitions)
    yield row("audio.first_sound_s", sound, repetitions)
    yield row("audio.real_time_factor", factor, repetitions)
