"""What a model reads stays as it is when the browser translates the page: its tokens would be others."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

PROMPT, OTHER, NEGATIVE = "a walrus beside a violin", "a trombone beside a violin", "a giraffe"
WORDS = ("walrus", "violin", "trombone", "giraffe")  # none of the page's own texts says them
# Each tab with what is pressed there, and what says that it is done; fields, which hold no text nodes, aside.
STATIONS = {
    "journey": (("", "#journey-audio [data-state=done]"),),
    "tokens": (("", ".tk-merges .tk-grid"), ("", ".tk-told")),
    "embeddings": (("", ".em-prompt"),),
    "context": (("", ".cx-readout bdi"), ("", "#context-parted .annotation-text")),
    "control_vector": (
        ("#cv-blend-start", "#cv-blend-view .lever[data-state=done]"),
        ("#cv-weight-start", "#cv-weight-view .lever[data-state=done]"),
    ),
    "clip_matrix": (("", ".cm-text"), ("", ".cm-cards")),
    "image": (("#generate", "#image-trace .trace[data-state=done]"),),
    "guidance": (("#away", "#guidance-away .facts"),),
    "cross_attention": (
        ("#attention-look", "#tab-cross_attention .xa[data-state=done] .legend b"),
        ("#attention-hide", "#tab-cross_attention .verdict"),
    ),
    "conditioning": (("#conditioning-switch", "#conditioning-scores .legendtext"),),
    "prompt_lab": (("#lab-without-run", "#lab-without-bars .ytick"), ("#lab-draw", "#lab-grid .pl-facts")),
    "video": (("", "#tab-video .facts"),),
    "audio": (("#audio-make", "#tab-audio .player[data-state=done]"),),
}
FOUND = """(words) => {
    const seen = { quoted: 0, open: [] };
    const whole = document.querySelector('.gradio-container');
    const texts = document.createTreeWalker(whole, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode, place = text.parentElement;
        if (place.closest('script, style') || !words.some((word) => text.data.includes(word))) continue;
        if (place.closest('[translate=no]')) seen.quoted += 1;
        else seen.open.push(`${place.outerHTML.slice(0, 200)}`);
    }
    return seen; }"""


@pytest.fixture(scope="module")
def opened(kept: Callable[..., Page]) -> Page:
    query = f"prompt={PROMPT}&prompt_b={OTHER}&negative_prompt={NEGATIVE}".replace(" ", "+")
    return kept(f"/?{query}&num_inference_steps=2&tab=journey")


@pytest.mark.parametrize("stem", STATIONS)
def test_no_tab_lets_a_visitors_words_be_translated(
    opened: Page, open_tab: Callable[[Page, str], None], stem: str
) -> None:
    open_tab(opened, stem)
    for button, done in STATIONS[stem]:
        if button:
            opened.locator(button).click()
        place = opened.locator(done.partition(" ")[0]).first  # some are made when seen
        place.evaluate("place => place.scrollIntoView()")  # even if a newer view has just taken its place
        opened.locator(done).first.wait_for()
    seen = opened.evaluate(FOUND, WORDS)
    assert seen["quoted"] > 0
    assert seen["open"] == []


def test_the_captions_of_a_training_and_the_fields_are_not_translated(
    opened: Page, open_tab: Callable[[Page, str], None]
) -> None:
    open_tab(opened, "contrastive")
    captions = opened.locator("#tab-contrastive [data-matrix=pairs] tbody th[scope=row] span")
    expect(captions.first).to_have_attribute("translate", "no")
    assert captions.count() == opened.locator(
        "#tab-contrastive [data-matrix=pairs] tbody th[scope=row] [translate=no]"
    ).count()  # fmt: skip
    expect(opened.locator("#prompt textarea")).to_have_attribute("translate", "no")
    expect(opened.locator("button.sv-chip").first).to_have_attribute("translate", "no")
