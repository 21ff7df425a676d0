"""What must not go wrong before a class: taps and clicks that are lost, browsers that refuse, fingers."""

from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import Browser, Locator, Page, expect

from components.ui.language import load_texts
from tests.e2e.test_class import STATE, open_class, staged

EN = load_texts("en")
Opener = Callable[..., Page]
SECRET = "JSON.parse(localStorage.getItem('steuervektor.class')).secret"


def heard(opened: Page, act: Callable[[], Any]) -> None:
    """Do what a class hears of, and wait until the page has heard it."""
    with opened.expect_response(lambda answer: "/class/lead" in answer.url) as waiting:
        act()
    waiting.value.finished()
    opened.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_a_tap_on_the_remote_is_obeyed_once_also_before_the_stage_opens(page: Opener, server: str) -> None:
    opened = page("/?tab=conditioning", width=1280, height=720, closed=True, locale="en-US")
    open_class(opened)
    lead = {"authorization": f"Bearer {opened.evaluate(SECRET)}"}
    first, second = opened.evaluate("svScenes.staged().slice(0, 2).map((scene) => scene.key)")
    for number, scene in ((1, first), (2, second)):
        httpx.post(f"{server}/class/tell", json={"go": f"next {number}"}, headers=lead).raise_for_status()
        opened.wait_for_function("scene => svScenes.current() === scene", arg=scene)


def test_the_large_code_is_put_away_before_the_stage_and_with_it(page: Opener) -> None:
    opened, code = staged(page, locale="en-US"), "#sv-join"
    opened.evaluate("document.querySelector('[data-class-switch]').click()")
    opened.locator("#sv-class [data-act=class_open]").click()
    opened.locator("#sv-class [data-act=dialog_close]").click()
    opened.keyboard.press("j")
    expect(opened.locator(code)).to_be_visible()
    opened.keyboard.press("Escape")
    expect(opened.locator(code)).to_have_count(0)
    expect(opened.locator("html")).to_have_attribute("data-stage", "")
    opened.keyboard.press("j")
    opened.evaluate("svScenes.leave()")
    expect(opened.locator(code)).to_have_count(0)


def test_a_click_is_heard_though_a_vote_comes_in_between_press_and_release(page: Opener, server: str) -> None:
    opened = page("/?tab=conditioning", width=1280, height=720, closed=True, locale="en-US")
    code = open_class(opened)
    opened.keyboard.press("f")
    opened.wait_for_function(STATE % ("scene", "conditioning.switch"))
    opened.keyboard.press("q")
    close = opened.locator("#sv-question [data-act=close_vote]")
    pressed(opened, close)
    poll = httpx.get(
        f"{server}/class/lead", headers={"authorization": f"Bearer {opened.evaluate(SECRET)}"}
    ).json()["poll"]
    vote = {"code": code, "pupil": "a" * 32, "poll": poll["id"], "round": 1, "choice": 0}
    pressed_at = opened.evaluate("performance.now()")
    heard(opened, lambda: httpx.post(f"{server}/class/vote", json=vote).raise_for_status())
    opened.wait_for_function("at => performance.now() > at + 800", arg=pressed_at)  # a slow hand
    opened.mouse.up()
    expect(opened.locator("#sv-question .bars li").first).to_contain_text("1 · 100 %")


def pressed(opened: Page, button: Locator) -> None:
    """The mouse is pressed on a button, and not yet released."""
    box = button.bounding_box()
    assert box is not None
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.mouse.down()


def test_a_class_whose_end_the_server_did_not_hear_is_kept_and_the_reason_seen(page: Opener) -> None:
    opened = page("/?tab=tokens", closed=True, locale="en-US")
    code = open_class(opened)
    opened.locator("[data-class-switch]").click()
    opened.route("**/class/remove*", lambda route: route.abort())
    opened.locator("#sv-class [data-act=class_end]").click()
    expect(opened.locator("dialog[open] .sv-lost")).to_be_visible()
    expect(opened.locator(".sv-class-code")).to_have_text(code)
    opened.unroute("**/class/remove*")
    opened.locator("#sv-class [data-act=class_end]").click()
    expect(opened.locator(".sv-class-code")).to_have_count(0)
    expect(opened.locator("#sv-badge")).to_have_count(0)


REFUSED = """const refuse = () => { throw new DOMException("", "SecurityError"); };
window.BroadcastChannel = class { constructor() { refuse(); } };
Object.defineProperty(window, "localStorage", { get: refuse });"""


def test_a_browser_that_stores_nothing_has_page_stage_and_own_lesson(browser: Browser, server: str) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 720}, locale="en-US") as context:
        context.add_init_script(REFUSED)
        opened = context.new_page()
        opened.goto(f"{server}/?tab=tokens&lesson=mine&stage=1")
        opened.locator("html[data-restored]").wait_for(state="attached")
        opened.wait_for_function("!new URLSearchParams(location.search).has('lesson')")
        first = opened.evaluate("svScenes.staged().find((scene) => scene.key.startsWith('tokens.')).key")
        opened.wait_for_function("scene => svScenes.current() === scene", arg=first)
        opened.keyboard.press("ArrowRight")
        opened.wait_for_function("scene => svScenes.current() !== scene", arg=first)
        opened.keyboard.press("Escape")
        opened.evaluate("document.querySelector('[data-add-step]').click()")
        assert opened.evaluate("svClassroom.mine().length") == 1


COUNTED = "() => { window.turned = 0; svClassroom.moved = () => { window.turned += 1; return true; }; }"


def test_two_fingers_turn_no_page_and_one_finger_does(page: Opener) -> None:
    opened = staged(page, has_touch=True)
    hand = opened.context.new_cdp_session(opened)

    def touch(kind: str, *places: float) -> None:
        points = [{"x": x, "y": 80, "id": number} for number, x in enumerate(places)]
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    two = (("touchStart", 500), ("touchStart", 500, 700), ("touchMove", 300, 900), ("touchEnd",))
    one = (("touchStart", 900), ("touchMove", 300), ("touchEnd",))
    for fingers, turns in ((one, 1), (two, 0), (one, 0)):  # it is enlarged then
        opened.evaluate(COUNTED)
        for kind, *places in fingers:
            touch(kind, *places)
        opened.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        assert opened.evaluate("window.turned") == turns


def test_a_scene_that_is_read_at_a_desk_leaves_bar_and_arrows_working(page: Opener) -> None:
    opened = staged(page)
    opened.evaluate("svScenes.show('quiz.glossary')")
    expect(opened.locator("#sv-stage-bar .place")).to_have_text(EN("quiz.glossary_title"))
    opened.keyboard.press("ArrowRight")
    opened.wait_for_function("svScenes.current() === svScenes.staged()[0].key")


def test_the_speakers_window_keeps_its_clock(page: Opener) -> None:
    opened = staged(page, locale="en-US")
    with opened.expect_popup() as waiting:
        opened.keyboard.press("s")
    minutes = waiting.value.locator("input[type=number]")
    minutes.fill("90")
    minutes.press("Tab")
    opened.bring_to_front()
    opened.keyboard.press("s")
    expect(minutes).to_have_value("90")
    waiting.value.close()


def test_a_link_is_copied_twice_and_its_button_says_what_it_does(page: Opener) -> None:
    opened = page("/?tab=tokens", closed=True, permissions=["clipboard-read", "clipboard-write"])
    opened.locator("[data-share]").first.click()
    copy = opened.locator('[data-copy="sv-share-link"]')
    usual = copy.inner_text()
    for _ in range(2):
        copy.click()
        expect(copy).to_have_text(EN("common.share.copied"))
    expect(copy).to_have_text(usual)
    opened.evaluate("""() => { Object.defineProperty(navigator, "clipboard", { value: undefined });
        document.execCommand = () => false; }""")
    copy.click()
    expect(copy).to_have_text(usual)


def test_a_term_on_the_stage_leads_nowhere(page: Opener) -> None:
    opened = staged(page)
    opened.evaluate("""() => { const term = document.createElement("button");
        term.className = "sv-term"; term.dataset.term = "token";
        document.querySelector(".sv-scene[data-shown]").append(term); term.click(); }""")
    opened.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    assert opened.evaluate("svScenes.current()") == "conditioning.switch"
