"""Phones of a class, without the app around them: the light page, a lost network, a server that returns."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from starlette.responses import PlainTextResponse

from components.lesson.items import Question
from components.lesson.server import Lessons
from components.ui.language import load_texts
from tests.conftest import free_port, violations

EN, DE = load_texts("en"), load_texts("de")
QUESTION = Question(
    "When is the <b>text</b> used?", ("Once.", "At each step.", "Never."), answer=1,
    explanation="See <i>it</i>.", door="tab=image&seed=0",
)  # fmt: skip


async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await PlainTextResponse("the page")(scope, receive, send)


class Hall:
    """A server of classes that can be killed and started again, and a class that a program leads."""

    def __init__(self, path: Path) -> None:
        self.path, self.port = path, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()
        opened = httpx.post(f"{self.address}/class/open", json={}).json()
        self.code, self.secret = opened["code"], opened["secret"]

    def start(self) -> None:
        app = Lessons(elsewhere, self.path, lambda: ())
        config = uvicorn.Config(
            app, port=self.port, log_level="error", lifespan="off", timeout_graceful_shutdown=0
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            self.thread.join(0.02)

    def stop(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()

    def lead(self, path: str, **body: Any) -> None:
        headers = {"authorization": f"Bearer {self.secret}"}
        httpx.post(f"{self.address}/class/{path}", json=body, headers=headers).raise_for_status()

    def poll(self) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.secret}"}
        return httpx.get(f"{self.address}/class/lead", headers=headers).json()["poll"]

    def ask(self, question: Question = QUESTION) -> None:
        self.lead("ask", scene="image.steps", question=question.to_json())

    def phase(self, **values: Any) -> None:
        poll = self.poll()
        told = {"round": poll["round"], "open": False, "revealed": False} | values
        self.lead("phase", poll=poll["id"], **told)

    def phone(self, context: BrowserContext, language: str = "en") -> Page:
        opened = context.new_page()
        opened.goto(f"{self.address}/join?code={self.code.lower()}&lang={language}")
        return opened


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path / "classes.sqlite")
    yield made
    made.stop()


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True) as context:
        yield context


def voted(hall: Hall, count: int) -> None:
    """Wait for as many votes."""
    since = ""
    headers = {"authorization": f"Bearer {hall.secret}"}
    while True:
        state = httpx.get(
            f"{hall.address}/class/lead", params={"since": since}, headers=headers, timeout=60
        ).json()
        if state["poll"]["phones"] == count:
            return
        since = state["since"]


@pytest.mark.parametrize("t", [EN, DE], ids=["en", "de"])
def test_a_pupil_predicts_changes_her_mind_and_sees_the_answer(hall: Hall, phone: BrowserContext, t) -> None:
    opened = hall.phone(phone, t.language)
    expect(opened.locator(".wait")).to_have_text(t("lesson.phone.waiting"))
    hall.ask()
    expect(opened.locator("h1")).to_have_text(QUESTION.text)  # as text, its tags included
    options = opened.locator(".option")
    options.nth(0).click()
    expect(opened.locator(".status")).to_have_text(t("lesson.phone.saved"))
    options.nth(1).click()
    expect(options.nth(1)).to_have_attribute("aria-pressed", "true")
    voted(hall, 1)
    expect(opened.locator(".bars")).to_have_count(0)
    opened.reload()
    expect(options.nth(1)).to_have_attribute("aria-pressed", "true")
    hall.phase()
    expect(opened.locator(".status")).to_have_text(t("lesson.phone.closed"))
    expect(opened.locator(".bars li").nth(1)).to_contain_text("1 · 100 %")
    assert t("lesson.phone.right") not in opened.locator(".bars").inner_text()
    hall.phase(revealed=True)
    expect(opened.locator(".status")).to_have_text(t("lesson.phone.was_right"))
    expect(opened.locator("main")).to_contain_text("See <i>it</i>.")
    door = opened.locator(".door").get_attribute("href")
    assert door == ("de?" if t.language == "de" else "./?") + QUESTION.door
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390


def test_an_answer_given_without_a_network_is_kept_and_comes_through(
    hall: Hall, phone: BrowserContext
) -> None:
    hall.ask()
    opened = hall.phone(phone)
    expect(opened.locator(".option")).to_have_count(3)
    phone.set_offline(True)
    opened.locator(".option").nth(2).click()
    expect(opened.locator("#line")).to_have_text(EN("lesson.phone.kept"))
    assert hall.poll()["phones"] == 0
    phone.set_offline(False)
    expect(opened.locator(".status")).to_have_text(EN("lesson.phone.saved"))
    voted(hall, 1)
    assert hall.poll()["counts"] == [[0, 0, 1]]
    expect(opened.locator("#line")).to_be_hidden()


def test_an_answer_that_comes_too_late_is_told_so(hall: Hall, phone: BrowserContext) -> None:
    hall.ask()
    opened = hall.phone(phone)
    expect(opened.locator(".option")).to_have_count(3)
    phone.set_offline(True)
    opened.locator(".option").nth(0).click()
    hall.phase()
    phone.set_offline(False)
    expect(opened.locator("#line")).to_have_text(EN("lesson.errors.vote_closed"))
    assert hall.poll()["counts"] == [[0, 0, 0]]


def test_the_server_dies_in_mid_vote_and_everybody_is_back_at_the_question(
    hall: Hall, browser: Browser, phone: BrowserContext
) -> None:
    hall.ask()
    first = hall.phone(phone)
    first.locator(".option").nth(1).click()
    voted(hall, 1)
    hall.stop()
    first.locator(".option").nth(0).click()  # on a phone that has not noticed yet
    with browser.new_context(viewport={"width": 390, "height": 844}) as other:
        hall.start()
        expect(first.locator(".status")).to_have_text(EN("lesson.phone.saved"))
        second = hall.phone(other)
        second.locator(".option").nth(2).click()
        expect(second.locator(".status")).to_have_text(EN("lesson.phone.saved"))
        voted(hall, 2)
        assert hall.poll()["counts"] == [[1, 0, 1]]
        hall.phase(round=2, open=True)
        for opened in (first, second):
            expect(opened.locator(".status")).to_have_text(EN("lesson.phone.again"))


def test_a_wrong_code_is_told_and_the_right_one_joins(hall: Hall, phone: BrowserContext) -> None:
    opened = phone.new_page()
    opened.goto(f"{hall.address}/join?lang=de")
    field = opened.locator("#code")
    field.fill("nix<b>")
    field.press("Enter")
    expect(opened.locator("#why")).to_have_text(DE("lesson.errors.unknown"))
    field.fill(f" {hall.code.lower()} ")
    opened.locator(".go").click()
    expect(opened.locator(".room")).to_contain_text(hall.code)
    hall.lead("remove")
    opened.reload()
    expect(opened.locator("#why")).to_have_text(DE("lesson.errors.unknown"))


def test_a_number_on_a_scale_and_a_pupils_own_text(hall: Hall, phone: BrowserContext) -> None:
    hall.ask(Question("How many?", scale=(0, 100), unit="%", answer=94, explanation="Measured."))
    opened = hall.phone(phone)
    opened.locator("#scale").press("End")
    opened.locator("#send").click()
    expect(opened.locator(".status")).to_have_text(EN("lesson.phone.saved"))
    assert hall.poll()["counts"] == [[0] * 9 + [1]]
    opened.locator("summary").click()
    opened.locator("#wish").fill("<img src=x onerror=alert(1)> a red cat")
    opened.get_by_role("button", name=EN("lesson.phone.send_prompt")).click()
    expect(opened.get_by_text(EN("lesson.phone.wish_sent"))).to_be_visible()
    hall.lead("pick", wish=1, picked=True)
    expect(opened.locator("blockquote")).to_have_text("<img src=x onerror=alert(1)> a red cat")
    assert opened.locator("blockquote").evaluate("text => text.translate") is False
    hall.phase(revealed=True)
    expect(opened.locator("main")).to_contain_text("94 %")


def test_a_slider_stays_where_it_was_pulled_to_until_the_next_vote(hall: Hall, phone: BrowserContext) -> None:
    hall.ask(Question("How many?", scale=(0, 100), unit="%", answer=94, explanation="Measured."))
    opened = hall.phone(phone)
    slider, shown = opened.locator("#scale"), opened.locator("output")
    expect(shown).to_have_text("50 %")
    box = slider.bounding_box()
    assert box is not None
    opened.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
    opened.mouse.down()  # and not yet released
    pulled = slider.input_value()
    assert float(pulled) > 75
    wish = {"code": hall.code, "pupil": "p" * 32, "kind": "question", "text": "Why?"}
    httpx.post(f"{hall.address}/class/wish", json=wish).raise_for_status()
    hall.lead("pick", wish=1, picked=True)
    expect(opened.locator("blockquote")).to_have_text("Why?")
    expect(slider).to_have_value(pulled)
    expect(shown).not_to_have_text("50 %")
    opened.mouse.up()
    hall.phase(round=2, open=True)
    expect(opened.locator(".status")).to_have_text(EN("lesson.phone.again"))
    expect(shown).to_have_text("50 %")


def test_what_a_pupil_writes_stays_while_the_lecturer_goes_on(hall: Hall, phone: BrowserContext) -> None:
    hall.ask()
    opened = hall.phone(phone)
    opened.locator("summary").click()
    opened.locator("#wish").fill("a red")
    opened.evaluate("window.field = document.getElementById('wish')")
    with opened.expect_response(lambda answer: "/class/state" in answer.url):
        hall.lead("tell", scene="image.steps", title="Another")
    hall.phase()  # what a phone does show
    expect(opened.locator(".status")).to_have_text(EN("lesson.phone.closed"))
    expect(opened.locator("#wish")).to_have_value("a red")
    assert opened.evaluate("window.field === document.getElementById('wish')")


HELD = 31_000  # ms; what draws no picture is given up after 30 s


def held(opened: Page, address: str, act: Callable[[], Any]) -> Route:
    """Do what a page asks the server for, which answers nothing yet, and let its time pass."""
    asked: list[Route] = []
    opened.route(address, lambda route: asked.append(route))
    with opened.expect_request(address):
        act()
    opened.clock.fast_forward(HELD)
    return asked[0]


def test_a_battle_whose_pictures_take_minutes_is_waited_for(hall: Hall, phone: BrowserContext) -> None:
    for text in ("a red cat", "a blue dog"):
        wish = {"code": hall.code, "pupil": "p" * 32, "kind": "prompt", "text": text}
        httpx.post(f"{hall.address}/class/wish", json=wish).raise_for_status()
    opened = phone.new_page()
    opened.clock.install()
    opened.goto(f"{hall.address}/lead?lang=en#s={hall.secret}")
    for place in (0, 1):
        opened.get_by_role("button", name=EN("lesson.remote.duel")).nth(place).click()
    fight = opened.locator("[data-act=battle]")
    drawn = held(opened, "**/class/battle*", fight.click)
    expect(fight).to_have_count(1)
    drawn.fulfill(json={"done": True})
    expect(fight).to_have_count(0)


def test_a_picture_that_takes_minutes_is_waited_for_before_the_lesson(
    hall: Hall, phone: BrowserContext
) -> None:
    opened = phone.new_page()
    opened.clock.install()
    drawn = held(opened, "**/lesson/picture*", lambda: opened.goto(f"{hall.address}/check?lang=en"))
    drawn.fulfill(json={"seconds": 40})
    said = EN("lesson.check.speed_seconds").replace("SECONDS", "40")
    expect(opened.locator("#check-speed")).to_contain_text(said)


@pytest.mark.parametrize("status", [None, 503])
def test_what_cannot_be_looked_at_before_the_lesson_is_said_in_each_line(
    hall: Hall, phone: BrowserContext, status: int | None
) -> None:
    opened = phone.new_page()

    def refuse(route: Route) -> None:
        route.fulfill(status=status, json={"message": "Full."}) if status else route.abort()

    opened.route("**/lesson/health*", refuse)
    opened.goto(f"{hall.address}/check?lang=de")
    for name in ("models", "speed", "phones", "disk", "network"):
        line = opened.locator(f"#check-{name}")
        expect(line).to_have_attribute("data-state", "bad")
        expect(line).to_contain_text("Full." if status else DE("lesson.check.no_answer"))


LISTENING = """for (const [name, by] of [["addEventListener", 1], ["removeEventListener", -1]]) {
  const usual = EventTarget.prototype[name];
  EventTarget.prototype[name] = function (kind, ...rest) {
    if (["visibilitychange", "online"].includes(kind)) window.listening = (window.listening || 0) + by;
    return usual.call(this ?? window, kind, ...rest);
  };
}"""


def test_a_page_that_is_refused_listens_no_more(hall: Hall, phone: BrowserContext) -> None:
    phone.add_init_script(LISTENING)
    opened = hall.phone(phone)
    expect(opened.locator(".wait")).to_have_text(EN("lesson.phone.waiting"))
    assert opened.evaluate("window.listening") == 2
    opened.goto(f"{hall.address}/join?code=wrong&lang=en")
    expect(opened.locator("#why")).to_have_text(EN("lesson.errors.unknown"))
    assert opened.evaluate("window.listening") == 0


def test_a_sentence_takes_its_values_as_they_are(hall: Hall, phone: BrowserContext) -> None:
    hall.ask(Question("How many?", scale=(0, 100), unit="$& NUMBER", answer=94))
    hall.phase(revealed=True)
    opened = hall.phone(phone)
    expect(opened.locator("main")).to_contain_text("94 $& NUMBER")
    for text, values, said in (
        ("NUMBER of COUNT", {"NUMBER": "COUNT", "COUNT": 3}, "COUNT of 3"),
        ("GB GB free", {"GB": 5}, "5 GB free"),
        ("free", {}, "free"),
    ):
        assert opened.evaluate("([text, values]) => svClass.say(text, values)", [text, values]) == said


def test_the_lecturers_phone_leads(hall: Hall, phone: BrowserContext) -> None:
    hall.ask()
    opened = phone.new_page()
    opened.goto(f"{hall.address}/lead?lang=en#s={hall.secret}")
    expect(opened.locator("h2").first).to_have_text(QUESTION.text)
    opened.get_by_role("button", name=f"{EN('lesson.remote.more')} Never.").click()
    expect(opened.locator(".bars li").nth(2)).to_contain_text("1 · 100 %")
    for act in ("close", "reveal", "away"):
        opened.locator(f"[data-act={act}]").click()
    expect(opened.get_by_text(EN("lesson.remote.no_question"))).to_be_visible()
    opened.goto(f"{hall.address}/lead?lang=en#s=guessed")
    opened.reload()
    expect(opened.locator("main")).to_contain_text(EN("lesson.errors.secret"))


def test_the_light_pages_break_no_rule_of_accessibility(hall: Hall, browser: Browser) -> None:
    hall.ask()
    for scheme in ("light", "dark"):
        with browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme) as context:
            opened = hall.phone(context, "de")
            opened.locator(".option").nth(1).click()
            voted(hall, 1 if scheme == "light" else 2)
            pages = [opened, context.new_page(), context.new_page(), context.new_page()]
            pages[1].goto(f"{hall.address}/lead#s={hall.secret}")
            pages[1].locator(".bars").wait_for()
            pages[2].goto(f"{hall.address}/join")
            pages[2].locator("#code").wait_for()
            pages[3].goto(f"{hall.address}/check")
            pages[3].locator("#check-sound").wait_for()
            for page in pages:
                assert violations(page) == [], page.url
