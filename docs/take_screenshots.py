"""Take the pictures of the README from the running app.

Run: `make demo` in one shell, `.venv/bin/python -m docs.take_screenshots` in another. Writes
docs/images/<tab>-<language>-<screen>.webp for every tab; `--languages en de --screens desktop phone` takes
those that the README does not show, to be looked at.
"""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.browser import FLAGS, chromium_path

FOLDER = Path(__file__).parent / "images"
LANGUAGES = {"en": ("/", "en-GB"), "de": ("/de", "de-DE")}
SCREENS = {"desktop": (1280, 1000), "phone": (390, 844)}  # CSS px
TALL = {"journey": 1720}  # CSS px; what is shown whole on a desktop
PATIENCE = 60  # pictures of a page that keeps changing
FILLED = {  # what a tab shows first, once its first example is computed, by stem
    "journey": (
        "#journey-reading .chips em", "#journey-steering [data-state=done]",
        "#journey-video [data-state=done]", "#journey-audio [data-state=done]",
    ),
    "tokens": ("#tokens-view .tk-strip",),
    "embeddings": (
        "#embedding-map .js-plotly-plot", "#embedding-neighbours .em-card",
    ),
    "context": ("#context-view .cx-share",),
    "control_vector": ("#cv-handed .cv-row",),
    "clip_matrix": ("#clip-matrix .cm-paired",),
    "contrastive": ("#contrastive-stage [data-matrix=pairs] .cell",),
    "dino": ("#dino-patches [data-ready]",),
    "image": ("#image-trace .trace[data-state=done]",),
    "guidance": ("#guidance-live img",),
    "cross_attention": ("#attention-view [data-chips] button",),
    "conditioning": ("#conditioning-one [data-state=done]",),
    "prompt_lab": ("#lab-grid img",),
    "video": ("#video-view .film-view[data-state=done]",),
    "audio": ("#audio-player .player[data-state=done]",),
    "quiz": ("#quiz-items .option",),
}  # fmt: skip


def wait_until_filled(page: Page, stem: str) -> None:
    """Return once a tab's first example is there, however long this machine takes to compute it."""
    page.locator(f"#tab-{stem}[role=tabpanel]").wait_for()
    for selector in FILLED[stem]:
        page.locator(selector.partition(" ")[0]).first.scroll_into_view_if_needed()  # some are made when seen
        page.locator(selector).first.wait_for(state="attached")
    page.evaluate("scrollTo(0, 0)")


def still(page: Page) -> bytes:
    """A PNG of the page once nothing moves any more: five pictures in a row are the same."""
    page.evaluate("document.fonts.ready")
    seen = [page.screenshot()]
    while len(seen) < PATIENCE and (len(seen) < 5 or len(set(seen[-5:])) > 1):
        page.wait_for_timeout(800)
        seen.append(page.screenshot())
    return seen[-1]


def tabs_of(page: Page) -> list[str]:
    """Stems of all tabs, in their order."""
    page.locator("#tabs [role=tab]").first.wait_for(state="attached")
    ids = page.locator("#tabs [role=tab]").evaluate_all("tabs => tabs.map(t => t.id)")
    return list(dict.fromkeys(i.removeprefix("tab-").removesuffix("-button") for i in ids if i))


def shots(browser: Browser, address: str, args: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    """Name and PNG of every picture; tabs are chosen by the address, as a link would."""
    for language in args.languages:
        path, locale = LANGUAGES[language]
        for screen in args.screens:
            width, height = SCREENS[screen]
            context = browser.new_context(
                viewport={"width": width, "height": height},
                locale=locale,
                color_scheme="dark" if args.dark else "light",
                reduced_motion="reduce",
            )
            context.set_default_timeout(600_000)
            page = context.new_page()
            page.goto(address + path)
            page.locator("#prompt textarea").wait_for()
            for stem in tabs_of(page):
                if args.tabs and stem not in args.tabs:
                    continue
                if screen == "desktop":
                    page.set_viewport_size({"width": width, "height": TALL.get(stem, height)})
                page.goto(f"{address}{path}?tab={stem}")
                wait_until_filled(page, stem)
                yield f"{stem}-{language}-{screen}{'-dark' if args.dark else ''}", still(page)
            context.close()


def main() -> None:
    """Read the command line, open Chromium, write the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:7860", help="of the running app")
    parser.add_argument("--tabs", nargs="*", default=[], help="only these (stems); otherwise all")
    parser.add_argument("--languages", nargs="*", choices=LANGUAGES, default=["en"])
    parser.add_argument("--screens", nargs="*", choices=SCREENS, default=["desktop"])
    parser.add_argument("--dark", action="store_true", help="dark theme; the names end in -dark")
    args = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        for name, png in shots(browser, args.address.rstrip("/"), args):
            Image.open(io.BytesIO(png)).convert("RGB").save(FOLDER / f"{name}.webp", quality=86, method=6)
            print(name)
        browser.close()


if __name__ == "__main__":
    main()
