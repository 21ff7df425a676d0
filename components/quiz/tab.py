"""The quiz tab: what a class should now be able to say, and the experiment that settles it.

What is answered stays in the browser (`items.js`); the questions and lessons come from files
(`components/lesson/items.py`).
"""

from components.page.prompt_bar import PromptBar
from components.ui.language import Texts
from components.ui.layout import live_html, tab_frame
from components.ui.scene import scene
from components.ui.templates import templates

_html = templates("quiz/view.html")
# The lecture's summary, a sentence each: where it can be seen.
SUMMARY = (
    "control_vector.handed",
    "clip_matrix.matrix",
    "dino.patches",
    "guidance.live",
    "prompt_lab.builder",
)


def build_quiz_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab.

    Args:
        bar: unused; all tabs are built alike.
    """
    with tab_frame(t, "quiz"):
        with scene(t, "quiz.items", kind="tab"):
            live_html("quiz/items", "quiz-items", t("quiz.title"), _html.items(t, t.table("quiz.words")))
        with scene(t, "quiz.summary"):
            sentences = zip(t.many("quiz.sentences"), t.many("quiz.limits"), SUMMARY, strict=True)
            live_html("quiz/view", "quiz-summary", value=_html.summary(sentences, t), script=False)
        with scene(t, "quiz.lessons", stage="none"):
            live_html(
                "quiz/lessons",
                "quiz-lessons",
                value=_html.lessons(t, t.table("quiz.words")),
                also=["quiz/items"],
            )
        with scene(t, "quiz.teacher", stage="none"):
            live_html("quiz/view", "quiz-teacher", value=_html.teacher(taught(t), t), script=False)
        with scene(t, "quiz.glossary", stage="none"):
            live_html("quiz/view", "quiz-glossary", value=_html.glossary(t), script=False)


def taught(t: Texts) -> list[str]:
    """The tabs that teachers find something about, in the order of the texts."""
    return [key.partition(".")[0] for key in t.table("quiz.teacher") if key.endswith(".aim")]
