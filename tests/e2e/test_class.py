"""Predict, vote, reveal on the stage; lessons by the arrow key; the quiz."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.browser import go_to_tab
from components.ui.language import load_texts

EN, DE = load_texts("en"), load_texts("de")
Opener = Callable[..., Page]
SCENE = "/?stage=1&scene=conditioning.switch"
STATE = "new URLSearchParams(location.search).get('%s') === '%s'"


def staged(page: Opener, path: str = SCENE, **options) -> Page:
    """The stage at a scene that has fitted itself."""
    opened = page(path, width=1280, height=720, closed=True, **options)
    expect(opened.locator(".sv-scene[data-fits=true]:visible")).to_have_count(1)
    return opened


def test_the_room_predicts_before_it_looks(page: Opener) -> None:
    opened = staged(page)
    slide = opened.locator("#sv-question")
    opened.keyboard.press("q")
    expect(slide.locator("h2")).to_contain_text("Where does the cat stand?")
    box = slide.bounding_box()
    assert box["width"] >= 1280 and box["height"] >= 680  # nothing of the result is seen
    opened.keyboard.press("1")
    expect(slide.locator(".option button").first).to_have_attribute("aria-pressed", "true")
    opened.keyboard.press("ArrowRight")
    expect(slide).to_have_count(0)
    answer = opened.locator("#sv-answer")
    expect(answer).to_contain_text("B · On the left.")
    answer.get_by_role("button", name=EN("lesson.stage.why")).click()
    expect(answer.locator(".why")).to_be_visible()
    opened.keyboard.press("q")
    expect(answer).to_have_count(0)
    opened.keyboard.press("q")
    expect(slide).to_be_visible()
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("ArrowRight")
    opened.wait_for_function(STATE % ("scene", "conditioning.effects"))
    expect(answer).to_have_count(0)


def open_class(opened: Page) -> str:
    """Open a class from the page; its code."""
    opened.locator("[data-class-switch]").click()
    opened.locator("#sv-class [data-act=class_open]").click()
    code = opened.locator(".sv-class-code").inner_text()
    opened.locator("#sv-class [data-act=dialog_close]").click()
    return code


def test_a_class_votes_talks_and_votes_again(page: Opener, browser: Browser, server: str) -> None:
    opened = page("/?tab=conditioning", width=1280, height=720, closed=True, locale="en-US")
    code = open_class(opened)
    opened.keyboard.press("f")
    opened.wait_for_function(STATE % ("scene", "conditioning.switch"))
    expect(opened.locator("#sv-badge b")).to_have_text(code)
    with browser.new_context(viewport={"width": 390, "height": 844}) as pocket:
        phone = pocket.new_page()
        phone.goto(f"{server}/join?code={code}&lang=en")
        opened.keyboard.press("q")
        slide, status = opened.locator("#sv-question"), opened.locator("#sv-question [role=status]")
        phone.locator(".option").nth(0).click()
        expect(status).to_have_text(EN("lesson.stage.voted").replace("COUNT", "1"))
        expect(slide.locator(".bars")).to_have_count(0)
        opened.keyboard.press("2")  # a raised hand
        expect(slide.locator(".hands output").nth(1)).to_have_text(f"{EN('lesson.remote.hands')} 1")
        opened.keyboard.press("ArrowRight")
        expect(slide.locator(".bars li").nth(0)).to_contain_text("1 · 50 %")
        expect(slide.locator(".right")).to_have_count(0)
        slide.locator("[data-act=vote_again]").click()
        expect(phone.locator(".status")).to_have_text(EN("lesson.phone.again"))
        phone.locator(".option").nth(1).click()
        expect(status).to_have_text(EN("lesson.stage.voted").replace("COUNT", "1"))
        opened.keyboard.press("ArrowRight")
        expect(slide.locator(".bars li").nth(1).locator(".bar")).to_have_count(2)
        assert slide.evaluate("slide => slide.scrollHeight <= slide.clientHeight"), "both votes on one screen"
        opened.keyboard.press("ArrowRight")
        expect(opened.locator("#sv-answer")).to_contain_text("B · On the left.")
        expect(phone.locator(".status")).to_have_text(EN("lesson.phone.was_right"))
        expect(phone.locator(".door")).to_be_visible()
        with opened.expect_popup() as waiting:
            opened.keyboard.press("s")
        speaker = waiting.value
        expect(speaker.locator("[data-phones]")).to_have_attribute("data-phones", "1")
        speaker.locator("[data-act=away]").click()
        expect(phone.locator(".wait")).to_be_visible()
        speaker.locator("[data-act=next]").click()
        opened.wait_for_function(STATE % ("scene", "conditioning.effects"))
    opened.reload()  # as after a restart of the server: the class is still there
    expect(opened.locator("#sv-badge b")).to_have_text(code)
    opened.keyboard.press("Escape")
    opened.locator("[data-class-switch]").click()
    opened.locator("#sv-class [data-act=class_end]").click()
    expect(opened.locator("#sv-badge")).to_have_count(0)
    gone = httpx.get(f"{server}/class/state", params={"code": code, "pupil": "p" * 32})
    assert gone.status_code == 404


KEPT = """() => { window.kept = new Set();
  const { createObjectURL, revokeObjectURL } = URL;
  URL.createObjectURL = (blob) => {
    const made = createObjectURL.call(URL, blob);
    kept.add(made);
    return made;
  };
  URL.revokeObjectURL = (made) => { kept.delete(made); revokeObjectURL.call(URL, made); }; }"""


def test_the_code_of_the_lecturers_link_is_drawn_and_not_kept(page: Opener) -> None:
    opened = page("/?tab=tokens", closed=True, locale="en-US")
    opened.evaluate(KEPT)
    open_class(opened)
    opened.wait_for_function("document.querySelector('#sv-class details img').naturalWidth && !kept.size")


@pytest.mark.parametrize("path", ["/", "/de"], ids=["en", "de"])
def test_the_lesson_goes_from_first_to_last_step_by_the_arrow_key(
    page: Opener, server: str, path: str
) -> None:
    opened = page(f"{path}?tab=quiz&scene=quiz.lessons", width=1280, height=720, closed=True)
    steps = httpx.get(f"{server}/lesson/data", timeout=60).json()["lessons"]["lesson45"]["steps"]
    opened.locator("[data-lesson=lesson45]").click()
    slide, answer = opened.locator("#sv-question"), opened.locator("#sv-answer")
    for number, step in enumerate(steps):
        opened.wait_for_function(STATE % ("step", number))
        expect(slide.locator("h2")).to_be_visible()
        opened.keyboard.press("ArrowRight")
        expect(answer).to_be_visible()
        expect(opened.locator(f"#scene-{step['scene'].replace('.', '-')}")).to_be_visible()
        opened.wait_for_function(STATE % ("scene", step["scene"]))
        if wanted := httpx.QueryParams(step["door"]).get("prompt"):
            expect(opened.locator("#prompt textarea")).to_have_value(wanted)
        opened.keyboard.press("ArrowRight")
    expect(opened.locator("#quiz-summary")).to_be_visible()
    opened.keyboard.press("Escape")
    opened.wait_for_function("new URLSearchParams(location.search).get('lesson') === null")


def test_a_lesson_goes_on_where_it_was_when_the_page_is_opened_anew(
    page: Opener, browser: Browser, server: str
) -> None:
    """As after a restart of the server in the middle of a vote."""
    opened = page("/?tab=quiz&scene=quiz.lessons", width=1280, height=720, closed=True, locale="en-US")
    code = open_class(opened)
    opened.locator("[data-lesson=lesson45]").click()
    status = opened.locator("#sv-question [role=status]")
    expect(status).to_have_text(EN("lesson.stage.voted").replace("COUNT", "0"))
    with browser.new_context(viewport={"width": 390, "height": 844}) as pocket:
        phone = pocket.new_page()
        phone.goto(f"{server}/join?code={code}&lang=en")
        phone.locator(".option").nth(2).click()
        expect(status).to_have_text(EN("lesson.stage.voted").replace("COUNT", "1"))
        opened.reload()
        expect(status).to_have_text(EN("lesson.stage.voted").replace("COUNT", "1"))
        opened.keyboard.press("ArrowRight")
        expect(opened.locator("#sv-question .bars li").nth(2)).to_contain_text("1 · 100 %")
        expect(phone.locator(".bars")).to_be_visible()
    opened.evaluate("localStorage.clear()")


def test_a_lesson_is_recorded_for_the_day_on_which_the_app_fails(
    page: Opener, browser: Browser, tmp_path: Path
) -> None:
    opened = page("/?scene=quiz.lessons", width=1280, height=720, closed=True)
    recorded = (
        opened.locator("#quiz-lessons .card")
        .nth(0)
        .get_by_role("button", name=EN("quiz.words.record"), exact=True)
    )
    expect(recorded).to_be_visible()
    with opened.expect_download() as saved:  # its first and last step of ten
        opened.evaluate(
            """() => { window.svClassroom.data().then(({ lessons: { lesson45: all } }) =>
            window.svRecord.lesson({ ...all, steps: [all.steps[0], all.steps.at(-1)] })); }"""
        )
    opened.wait_for_function("!document.documentElement.hasAttribute('data-stage')")
    file = tmp_path / "lesson.html"
    saved.value.save_as(file)
    with browser.new_context(offline=True, viewport={"width": 1280, "height": 720}) as elsewhere:
        found = elsewhere.new_page()
        found.goto(file.as_uri())
        expect(found.locator(".sv-recorded")).to_contain_text("Recorded on")
        expect(found.locator(".sv-slide:visible .station")).to_have_count(4)
        found.keyboard.press("PageDown")
        expect(found.locator(".sv-slide:visible .summary li")).to_have_count(5)
        expect(found.locator("[data-place]")).to_contain_text("2 / 2")
        assert found.evaluate("document.documentElement.scrollHeight <= innerHeight")
        found.locator("[data-back]").click()
        expect(found.locator(".sv-slide:visible .station")).to_have_count(4)


@pytest.mark.parametrize(
    ("path", "term", "t"), [("/?tab=context", "attention", EN), ("/de?tab=context", "attention", DE)]
)
def test_the_first_use_of_a_term_in_a_tab_leads_to_the_glossary(
    page: Opener, path: str, term: str, t
) -> None:
    opened = page(path, closed=True)
    doors = opened.locator(f"#tab-context .sv-term[data-term={term}]")
    expect(doors).to_have_count(1)
    doors.click()
    entry = opened.locator(f"#term-{term}")
    expect(entry).to_be_focused()
    expect(entry).to_contain_text(t(f"quiz.glossary.{term}.text"))
    entry.locator(".sv-door").click()
    expect(opened.locator("#tab-context-button")).to_have_attribute("aria-selected", "true")
    expect(opened.locator("#tab-context .sv-term")).not_to_have_count(0)
    expect(doors).to_have_count(1)


def test_the_quiz_is_answered_settled_and_compared(page: Opener) -> None:
    opened = page("/?tab=quiz", closed=True)
    quiz = opened.locator("#quiz-items")
    quiz.locator("select").select_option("tokens")
    expect(quiz.locator("[data-done]")).to_have_text("0 of 2 answered")
    for choice in (0, 0):  # wrong, right
        quiz.locator(".option").nth(choice).click()
        quiz.locator("[data-check]").click()
        expect(quiz.locator(".why")).to_be_visible()
        quiz.locator("[data-next]").click()
    sums = quiz.locator(".sum td")
    expect(sums).to_have_text([EN("quiz.words.sum"), "1 / 2", "–"])
    quiz.locator("[data-round=after]").click()
    for choice in (1, 0):
        quiz.locator(".option").nth(choice).click()
        quiz.locator("[data-check]").click()
        quiz.locator("[data-next]").click()
    expect(sums).to_have_text([EN("quiz.words.sum"), "1 / 2", "2 / 2"])
    expect(quiz).to_contain_text(EN("quiz.words.gained").replace("GAINED", "1").replace("ALL", "2"))
    opened.reload()
    quiz.locator("[data-again]").or_(quiz.locator("[data-check]")).first.wait_for()
    quiz.locator("select").select_option("tokens")
    quiz.locator("[data-check]").click()
    quiz.locator(".sv-door").click()
    opened.wait_for_function(STATE % ("scene", "tokens.merges"))
    expect(opened.locator("#prompt textarea")).to_have_value("A cat. Cozy atmosphere. Dimm lighting.")
    expect(opened.locator("#tab-tokens")).to_be_visible()


OWN = """
[[item]]
id = "own"
scene = "image.steps"
answer = 0
[item.en]
question = "<b>Own?</b>"
options = ["yes", "no"]
explanation = "So."
"""


def test_own_questions_are_used_and_wrong_ones_named_with_their_line(page: Opener) -> None:
    opened = page("/?tab=quiz", closed=True)
    quiz = opened.locator("#quiz-items")
    expect(quiz.locator("[data-done]")).to_have_text("0 of 30 answered")
    quiz.locator(".own summary").click()

    def give(text: str) -> None:
        quiz.locator("[data-own]").set_input_files(
            {"name": "mine.toml", "mimeType": "application/toml", "buffer": text.encode()}
        )

    give(OWN.replace("answer = 0", "answer = 7"))
    expect(quiz.locator("[data-wrong]")).to_contain_text("mine.toml: Line 5: ")
    expect(quiz.locator("[data-done]")).to_have_text("0 of 30 answered")
    give(OWN)
    expect(quiz.locator(".item h3")).to_have_text("<b>Own?</b>")
    expect(quiz.locator("[data-done]")).to_have_text("0 of 1 answered")
    quiz.locator("[data-usual]").click()
    expect(quiz.locator("[data-done]")).to_have_text("0 of 30 answered")


def test_a_lesson_of_ones_own_is_made_saved_opened_and_held(page: Opener) -> None:
    opened = page("/?tab=tokens&prompt=a+%22quoted%22+cat", closed=True)
    opened.locator("[data-share]").click()
    opened.locator("[data-add-step]").click()
    opened.keyboard.press("Escape")
    go_to_tab(opened, "conditioning")
    opened.locator("#conditioning-at input[type=number]").fill("12")
    opened.wait_for_function(STATE % ("conditioning.at", "12"))
    opened.locator("[data-share]").click()
    opened.locator("[data-add-step]").click()
    opened.keyboard.press("Escape")
    go_to_tab(opened, "quiz")
    opened.locator("#scene-quiz-lessons .sv-scene-button").click()
    mine = opened.locator("#quiz-lessons")
    expect(mine.locator("[data-mine] li")).to_have_count(2)
    mine.locator("textarea").first.fill('How many\n"tokens"?')
    mine.locator("textarea").first.blur()
    mine.locator("[data-mine] li").nth(1).get_by_role("button", name=EN("quiz.words.up")).click()
    with opened.expect_download() as download:
        mine.locator("[data-mine-save]").click()
    text = download.value.path().read_text("utf-8")
    mine.locator("[data-mine-clear]").click()
    expect(mine.locator("[data-mine] li")).to_have_count(0)
    mine.locator("[data-mine-file]").set_input_files(
        {"name": "l.toml", "mimeType": "text/plain", "buffer": text.encode()}
    )
    expect(mine.locator("[data-mine] li b")).to_have_text(
        [EN("conditioning.switch_title"), EN("tokens.title")]
    )
    expect(mine.locator("textarea").nth(2)).to_have_value('How many\n"tokens"?')
    with opened.expect_popup() as waiting:
        mine.locator("[data-mine-sheet]").click()
    expect(waiting.value.locator("tbody tr")).to_have_count(2)
    mine.locator("[data-mine-start]").click()
    opened.wait_for_function(STATE % ("scene", "conditioning.switch"))
    expect(opened.locator("#conditioning-at input[type=number]")).to_have_value("12")
    opened.keyboard.press("ArrowRight")
    opened.wait_for_function(STATE % ("scene", "tokens.reading"))
    expect(opened.locator("#prompt textarea")).to_have_value('a "quoted" cat')
    mine_file = {
        "name": "bad.toml",
        "mimeType": "text/plain",
        "buffer": text.replace("minutes = 3", "minutes = x").encode(),
    }
    opened.keyboard.press("Escape")
    go_to_tab(opened, "quiz")
    mine.locator("[data-mine-file]").set_input_files(mine_file)
    expect(mine.locator("[data-wrong]")).to_contain_text("bad.toml: Line ")


UNFIT = """async () => {
  const unfit = [];
  for (const { id, question } of (await svClassroom.data()).items) {
    await svClassroom.question(question);
    const slide = document.getElementById("sv-question"), text = slide.querySelector("h2");
    if (text.textContent !== question.text || slide.scrollHeight > slide.clientHeight) unfit.push(id);
    if (parseFloat(getComputedStyle(text).fontSize) < 28) unfit.push(`${id} is too small`);
  }
  return unfit;
}"""


@pytest.mark.parametrize("path", ["/", "/de"], ids=["en", "de"])
def test_every_question_stands_on_the_projector_whole(page: Opener, path: str) -> None:
    opened = staged(page, f"{path}?stage=1&scene=conditioning.switch")
    assert opened.evaluate(UNFIT) == []
