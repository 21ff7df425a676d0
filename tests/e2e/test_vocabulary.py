"""Words that the model never read, under the prompt while one types, and the known ones, to be clicked."""

import pytest
from playwright.sync_api import Browser, Page, expect

from components.page.document import HERE
from components.page.vocabulary import script_data
from components.ui.language import load_texts
from pipelines.text.related_words import AMBIGUOUS, GERMAN, RELATED
from pipelines.text.vocabulary import KINDS_READ, unread

HOSTILE = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
LINE = "#prompt-unread .wd-line"
WORDS = f"{LINE} .wd-word"


def _type(page: Page, text: str, field: str = "#prompt") -> None:
    page.locator(f"{field} textarea").fill(text)


def _prompt(page: Page, text: str) -> None:
    expect(page.locator("#prompt textarea")).to_have_value(text)


def test_a_word_that_scripts_know_is_a_word_like_any_other(kept) -> None:
    opened = kept("/?tab=tokens")
    _type(opened, "a red constructor")
    expect(opened.locator(WORDS)).to_have_text(["constructor"])


@pytest.mark.parametrize("language", ["en", "de"])
def test_unread_words_are_named_and_a_click_writes_known_ones(kept, language: str) -> None:
    t = load_texts(language)
    opened = kept("/?tab=tokens" if language == "en" else "/de?tab=tokens")
    expect(opened.locator("#tokens-view .tk-strip")).to_be_visible()
    opened.evaluate("document.fonts.ready.then(() => true)")
    tabs = opened.locator("#tabs").evaluate("(tabs) => tabs.getBoundingClientRect().top")
    _type(opened, "an elephant riding a bicycle")
    expect(opened.locator(WORDS)).to_have_text(["elephant", "riding", "bicycle"])
    line = opened.locator(LINE)
    expect(line).to_have_attribute("role", "status")
    expect(line).to_contain_text(t("vocabulary.never_read.clip"))
    expect(line).to_contain_text(t("vocabulary.chance.clip"))
    assert opened.locator("#tabs").evaluate("(tabs) => tabs.getBoundingClientRect().top") == tabs, "it jumps"
    line.get_by_role("button", name=t("vocabulary.replace", word="elephant", to="horse")).click()
    _prompt(opened, "a horse riding a bicycle")
    expect(opened.locator(WORDS)).to_have_text(["riding", "bicycle"])
    line.get_by_role("button", name=t("vocabulary.replace", word="bicycle", to="car")).click()
    line.get_by_role("button", name=t("vocabulary.replace", word="riding", to="sitting on")).click()
    _prompt(opened, "a horse sitting on a car")
    expect(line).to_be_hidden()
    expect(opened.locator("#prompt-bar .sv-chip").first).to_be_visible()
    expect(opened.locator("#tokens-view .tk-strip")).to_contain_text("horse")  # the kept follows
    expect(opened.locator("#tokens-view .tk-unread")).to_have_count(0)


def test_a_german_prompt_is_offered_in_english(page) -> None:
    opened = page("/de?tab=image", width=390)
    _type(opened, "Ein kleiner roter Hund im Schnee")
    expect(opened.locator(WORDS).first).to_have_text("Ein")
    opened.locator(LINE).get_by_text("A small red dog in the snow").click()
    _prompt(opened, "A small red dog in the snow")
    expect(opened.locator(LINE)).to_be_hidden()
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_lectures_typo_is_known_and_another_is_offered(kept) -> None:
    opened = kept("/?tab=image")
    opened.locator("#prompt-bar .sv-chip", has_text="Dimm").click()
    line = opened.locator(LINE)
    expect(line).to_contain_text("“Dimm” stood in the training captions")
    line.get_by_role("button", name="brigth light").click()
    _prompt(opened, "A cat. Cozy atmosphere. Brigth light.")
    expect(opened.locator(WORDS)).to_have_text(["Brigth"])
    expect(line.locator(".wd-to")).to_have_text(["bright"])
    line.get_by_role("button", name="Why?").click()
    expect(opened.locator("#words-why")).to_contain_text("random numbers")
    opened.keyboard.press("Escape")
    expect(opened.locator("#words-why")).to_be_hidden()


def test_every_tab_judges_by_the_words_of_its_own_model(kept, open_tab) -> None:
    opened = kept("/?tab=tokens")
    _type(opened, "A cat walks left, sad piano")
    expect(opened.locator(WORDS)).to_have_text(["walks", "sad", "piano"])
    open_tab(opened, "audio")
    expect(opened.locator(WORDS)).to_have_text(["walks"])
    open_tab(opened, "video")
    expect(opened.locator(WORDS)).to_have_text(["sad", "piano"])
    expect(opened.locator("#video-prompt textarea")).to_have_value("A cat walks left, sad piano")  # adopted
    _type(opened, "An elephant jumps", "#video-prompt")
    expect(opened.locator("#video-prompt .wd-word")).to_have_text(["elephant"])
    opened.locator("#prompt-bar-more .sv-more-button").click()
    _type(opened, "ugly hands", "#negative-prompt")
    expect(opened.locator("#negative-prompt .wd-word")).to_have_text(["ugly", "hands"])


def test_a_model_of_the_hub_has_no_list(page) -> None:
    opened = page("/?tab=tokens")
    _type(opened, "a unicorn")
    expect(opened.locator(WORDS)).to_have_text(["unicorn"])
    opened.evaluate("svVocabulary.choose('clip', 'clip-vit-b-32')")
    expect(opened.locator(LINE)).to_be_hidden()


def test_the_known_words_are_one_click_away_and_write_into_the_prompt(page, open_tab) -> None:
    opened = page("/?tab=image&prompt=A+small+cat+on+a+bed.")
    opened.locator("#words-known .sv-more-button").click()
    panel = opened.locator("#words-palette")
    for word, prompt in (
        ("dog", "A small dog on a bed."),
        ("orange", "A small orange dog on a bed."),
        ("large", "A large orange dog on a bed."),
        ("in the snow", "A large orange dog on a bed in the snow."),
        ("under", "A large orange dog under a bed in the snow."),
        ("cartoon", "A large orange dog under a bed in the snow. Cartoon."),
    ):
        panel.locator(".wd-known", has_text=word).first.click()
        _prompt(opened, prompt)
    expect(panel.locator('[data-kind="motion"]')).to_be_visible()
    expect(panel.locator('[data-kind="instrument"]')).to_be_hidden()
    open_tab(opened, "audio")
    expect(panel.locator('[data-kind="instrument"]')).to_be_visible()
    expect(panel.locator('[data-kind="motion"]')).to_be_hidden()


def test_what_is_typed_stays_text(kept) -> None:
    opened = kept("/?tab=tokens")
    _type(opened, HOSTILE)
    expect(opened.locator(WORDS).first).to_have_text("img")
    assert opened.locator(f"{LINE} :is(img, script)").count() == 0
    assert opened.title() != "broken"


# Without the app: what the script finds, against the same in Python.

TEXTS = (
    "An elephant riding a BICYCLE.", "Brigth light", "close-up, top-down", "7 cats, don't", "🐱 a 👩‍👩‍👧 cat",
    "schönes Haus", "a_cat", "漢字 cat", "\u202eabc \x07 …", "", "'’''", "İstanbul ẞ",
    "a\u0301 cafe\u0301", HOSTILE,
)  # fmt: skip


@pytest.fixture(scope="module")
def script(browser: Browser):
    """The script alone in an empty page."""
    opened = browser.new_page()
    opened.set_content("<html><body></body></html>")
    opened.evaluate(f"window.svVocabulary = {script_data('en')}")
    opened.evaluate((HERE / "page" / "vocabulary.js").read_text("utf-8"))
    yield opened
    opened.close()


@pytest.mark.parametrize("role", KINDS_READ)
def test_the_script_finds_the_same_words_as_the_pipeline(script: Page, role: str) -> None:
    found = script.evaluate(
        "([texts, role]) => texts.map((t) => svVocabulary.unread(t, role).map((f) => f.text))", [TEXTS, role]
    )
    assert found == [[word.word for word in unread(text, f"classroom-{role}")] for text in TEXTS]


@pytest.mark.parametrize("role", KINDS_READ)
def test_every_suggestion_is_known_to_the_model(script: Page, role: str) -> None:
    words = [*RELATED, *GERMAN, "elephants", "hores", "bycicle", "asdfgh", "x" * 2000, "🐱"]
    found = script.evaluate(
        "([words, role]) => words.map((w) => svVocabulary.nearest(w, role, true))", [words, role]
    )
    for word, suggestions in zip(words, found, strict=True):
        assert all(unread(to, f"classroom-{role}") == () for to in suggestions), word
    nearest = dict(zip(words, found, strict=True))
    assert nearest["elephant"][0] == "horse" and nearest["elephants"][0] == "horses"
    assert nearest["hores"][0] in ("horse", "house") and nearest["bycicle"][0] == "car"
    assert nearest["asdfgh"] == nearest["x" * 2000] == nearest["🐱"] == []


@pytest.mark.parametrize(
    ("german", "english"),
    [
        ("Ein kleiner roter Hund im Schnee", "A small red dog in the snow"),
        ("eine Katze sitzt auf einem Bett.", "a cat sitting on a bed."),
        (
            "Ein orangefarbener Vogel an der Straße, gemütliches Licht",
            "An orange bird at the street, cozy light",
        ),
        ("Ein Hund läuft nach links", "A dog walks left"),
        ("Drei Katzen vor dem Haus", "Three cats in front of the house"),
    ],
)
def test_german_becomes_english_word_by_word(script: Page, german: str, english: str) -> None:
    assert script.evaluate("(t) => svVocabulary.isGerman(t, 'image')", german)
    assert script.evaluate("(t) => svVocabulary.inEnglish(t, 'image')", german) == english
    assert unread(english, "classroom-image") == ()


def test_english_words_that_look_german_make_no_text_german(script: Page) -> None:
    for word in AMBIGUOUS:
        assert not script.evaluate("(t) => svVocabulary.isGerman(t, 'image')", f"I {word} a cat")


def test_a_phrase_takes_the_place_of_its_kind(script: Page) -> None:
    for text, kind, phrase, after in (
        ("", "object", "cat", "A cat"),
        ("two kittens on a bed", "object", "dog", "two dogs on a bed"),
        ("an orange cat", "colour", "red", "a red cat"),
        ("a cat", "colour", "orange", "an orange cat"),
        ("a cat", "relation", "under", "a cat under a house"),
        ("a cat, dim lighting", "light", "warm light", "a cat, warm light"),
        ("a cat", "motion", "camera zooms in", "a cat, camera zooms in"),
        ("A cat.", "motion", "jumps", "A cat jumps."),
    ):
        call = [text, kind, phrase, "video"]
        assert script.evaluate("(c) => svVocabulary.withPhrase(...c)", call) == after


def test_the_examples_stay_one_click_away(kept) -> None:
    opened = kept("/?tab=tokens")
    chips = opened.locator("#prompt-bar .sv-chip")
    _type(opened, "an elephant")
    expect(opened.locator(WORDS)).to_have_text(["elephant"])
    expect(chips.first).to_be_hidden()
    opened.locator(LINE).get_by_role("button", name=load_texts("en")("vocabulary.examples")).press("Enter")
    expect(chips.first).to_be_focused()
    expect(opened.locator(LINE)).to_be_hidden()
    _type(opened, "an elephant and a giraffe")  # another text, another line
    expect(opened.locator(WORDS)).to_have_text(["elephant", "giraffe"])


def test_tabs_that_read_no_prompt_of_the_bar_say_so(kept, open_tab) -> None:
    t = load_texts("en")
    opened = kept("/?tab=dino")
    line = opened.locator("#prompt-unread")
    expect(line).to_contain_text(t("vocabulary.apart"))
    opened.locator("#prompt textarea").fill("a walrus")
    open_tab(opened, "clip_matrix")
    expect(line).to_contain_text(t("vocabulary.apart"))
    open_tab(opened, "tokens")
    expect(line).to_contain_text("walrus")
    expect(line).not_to_contain_text(t("vocabulary.apart"))
