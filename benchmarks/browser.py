"""The browser that tests, benchmarks and the README's pictures drive."""

import shutil

from playwright.sync_api import Page

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


def chromium_path() -> str | None:
    """The system's Chromium, the one without a window first; none where Playwright's own is meant."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser")
    return next((found for name in names if (found := shutil.which(name))), None)


def go_to_tab(page: Page, stem: str) -> None:
    """Click a tab, or choose it from its chapter's menu where another chapter is open."""
    page.locator("#tabs > .tab-wrapper > #sv-chapters").wait_for(state="attached")
    chapter = page.locator(f'#sv-chapters > [data-stems~="{stem}"]:not([aria-current])')
    if chapter.count():
        chapter.click()
        page.locator(f'[data-opens="{stem}"]').click()
    else:
        page.locator(f"#tab-{stem}-button").click()
    page.locator(f"#tab-{stem}[role=tabpanel]").wait_for()
