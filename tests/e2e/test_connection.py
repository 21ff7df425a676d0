"""What the page asks of the server, and what it does when nobody answers."""

import re
from collections.abc import Callable

from playwright.sync_api import Browser, Page, Route, expect

from components.ui.language import load_texts

Opener = Callable[..., Page]
TabOpener = Callable[[Page, str], None]


def test_a_server_that_is_gone_gets_one_message_and_the_page_comes_back(page: Opener) -> None:
    opened, t = page("/de?tab=tokens&prompt=Hallo"), load_texts("de")
    opened.evaluate("window.before = true")
    opened.route("**/gradio_api/**", lambda route: route.abort())
    opened.locator("#prompt textarea").fill("a dog")
    expect(opened.locator(".sv-lost")).to_have_text(t("common.hint.lost"))
    expect(opened).to_have_url(re.compile("a\\+dog"))
    assert opened.locator("[role=alert]:visible, .toast-body:visible").count() == 1
    opened.unroute("**/gradio_api/**")
    opened.wait_for_function("!window.before")
    expect(opened.locator("#prompt textarea")).to_have_value("a dog")
    opened.locator("html[data-restored]").wait_for(state="attached")

    # another one in its place
    opened.evaluate("() => { window.before = true; window.gradio_config.app_id = 'another'; }")
    opened.evaluate(
        "fetch(location.origin + '/gradio_api/nothing', {signal: AbortSignal.timeout(0)}).catch(() => 0)"
    )
    opened.wait_for_function("!window.before")


def test_a_page_at_rest_asks_for_no_frames(browser: Browser, server: str) -> None:
    """Gradio's clocks asked for sixty a second each, for ever: a tenth of a core."""
    with browser.new_context() as context:
        context.add_init_script("""window.asked = 0;
            const frame = requestAnimationFrame.bind(window);
            window.requestAnimationFrame = (act) => { window.asked += 1; return frame(act); };""")
        opened = context.new_page()
        opened.goto(f"{server}/?tab=tokens")
        opened.locator("#tokens-view .tk-sentence").wait_for()
        opened.wait_for_function("""() => new Promise((done) => {
            const before = window.asked;
            setTimeout(() => done(window.asked - before < 5), 1000); })""")


def test_typing_asks_for_what_is_seen_and_then_nothing_more(page: Opener, open_tab: TabOpener) -> None:
    """Functions that waited for their turns called each other for ever, and kept server and page busy."""
    opened = page("/?tab=tokens&num_inference_steps=2")
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)

    def asked_until_quiet() -> None:
        before, count = len(asked), -1
        while count != len(asked):  # until a second passes without a question
            count = len(asked)
            assert count - before < 100, "it goes on for ever"
            opened.evaluate("new Promise((done) => setTimeout(done, 1000))")

    for stem, shown in (
        ("tokens", "#tokens-view"),
        ("context", "#context-said"),
        ("embeddings", "#embedding-neighbours"),
    ):
        open_tab(opened, stem)
        asked_until_quiet()
        prompt = opened.locator("#prompt textarea")
        prompt.fill("a red")
        prompt.press_sequentially(" dog")
        expect(opened.locator(shown)).to_contain_text("dog")
        asked_until_quiet()
        before = len(asked)
        prompt.fill("a boat")
        expect(opened.locator(shown)).to_contain_text("boat")
        asked_until_quiet()
        assert 1 <= len(asked) - before <= 4, "closed tabs were asked, too"


def test_what_ran_when_the_connection_broke_is_begun_anew(page: Opener) -> None:
    """As on a phone that was locked in the middle of seven pictures."""
    opened = page("/?tab=conditioning&seed=77&num_inference_steps=16", closed=True)
    expect(opened.locator("#conditioning-one img").first).to_be_visible()
    opened.evaluate("window.before = true")
    opened.locator("#conditioning-switch").click()
    expect(opened.locator("#conditioning-switch-stop")).to_be_enabled()
    opened.route("**/gradio_api/**", lambda route: route.abort())
    opened.evaluate("fetch(location.origin + '/gradio_api/nothing').catch(() => 0)")
    expect(opened.locator(".sv-lost")).to_have_text(load_texts("en")("common.hint.lost"))
    opened.unroute("**/gradio_api/**")
    opened.wait_for_function("!window.before")
    expect(opened.locator("#conditioning-scores .js-plotly-plot")).to_be_visible()


def test_a_film_nobody_pressed_a_button_for_is_begun_anew_too(page: Opener) -> None:
    """As where a laptop went to another network while the journey drew its film: it stood there for ever."""
    opened = page("/?num_inference_steps=2&prompt=a+green+boat&seed=5")
    opened.locator("#journey-video").scroll_into_view_if_needed()
    opened.locator("#journey-video [data-state=waiting] .reel").wait_for()
    opened.evaluate("window.before = true")
    opened.route("**/gradio_api/nothing", lambda route: route.abort())  # the server itself answers
    opened.evaluate("fetch(location.origin + '/gradio_api/nothing').catch(() => 0)")
    opened.wait_for_function("!window.before")


def test_what_runs_does_not_hold_a_visitor_who_leaves(page: Opener) -> None:
    """Gradio breaks its connections when a page is about to be left: it was taken for a break of its own."""
    opened = page("/?num_inference_steps=2&prompt=a+green+boat&seed=6", locale="en-GB")
    opened.locator("#journey-video").scroll_into_view_if_needed()
    opened.locator("#journey-video [data-state=waiting] .reel").wait_for()
    opened.evaluate("""() => {
        const ask = window.fetch;
        window.fetch = (...request) => {
            if (String(request[0]).endsWith("/app_id")) console.info("is the server back?");
            return ask(...request);
        }; }""")
    held: list[Route] = []
    opened.route("**/de?**", lambda route: held.append(route))  # a server that takes its time
    with opened.expect_console_message(lambda message: message.text == "is the server back?"):
        opened.locator('a[data-language="de"]').evaluate("link => { link.click(); }")
    # Gradio asks every other second, and has heard by then what it was answered the first time.
    opened.wait_for_event("console", lambda message: message.text == "is the server back?")
    held[0].continue_()
    expect(opened.locator("html[data-restored]")).to_have_attribute("lang", "de")


def test_a_page_at_rest_outlives_a_break_of_its_connection(page: Opener) -> None:
    opened = page("/?tab=tokens")
    opened.locator("#tokens-view .tk-sentence").wait_for()
    opened.evaluate("window.before = true")
    opened.route("**/gradio_api/nothing", lambda route: route.abort())
    with opened.expect_response("**/gradio_api/app_id"):
        opened.evaluate("fetch(location.origin + '/gradio_api/nothing').catch(() => 0)")
    with opened.expect_response("**/gradio_api/app_id"):
        opened.evaluate("fetch(location.origin + '/gradio_api/nothing').catch(() => 0)")
    assert opened.evaluate("window.before") is True


def test_a_tab_for_which_the_browser_has_no_connection_left_says_so_and_goes_on(
    browser: Browser, server: str
) -> None:
    t = load_texts("de")
    with browser.new_context() as context:
        crowd = [context.new_page() for _ in range(4)]
        for one in crowd:
            one.goto(f"{server}/de?tab=tokens", wait_until="commit")
        told = context.new_page()
        # nothing but the document: as where the others hold all connections
        told.route("**/*", lambda route: route.continue_() if route.request.is_navigation_request() else None)
        told.goto(f"{server}/de?tab=tokens", wait_until="commit")
        expect(told.locator(".sv-crowded")).to_have_text(t("common.hint.crowded"))
        assert told.locator("html[data-restored]").count() == 0
        told.evaluate("window.steuervektor.restored({})")
        expect(told.locator(".sv-crowded")).to_have_count(0)
