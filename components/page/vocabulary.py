"""Which words of a prompt the chosen model never read, while it is typed, and those that it knows.

`vocabulary.js` does both in the browser, so that nobody waits for the server; here stands what it is told.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache

import gradio as gr

from components.ui.language import Texts, load_texts
from components.ui.layout import live_html, one_click_away
from components.ui.templates import templates
from pipelines.serving import catalogue
from pipelines.text import related_words, vocabulary

_html = templates("page/vocabulary.html")
_VIEW = "page/words"
# Kinds of words that stand in the panel; counts are left to whoever types.
PALETTE = tuple(kind for kind in vocabulary.KINDS if kind != "count")
# Who reads the bar's prompts while a tab is open; in all others it is the picture model.
TAB_ROLES = {
    "tokens": "clip", "embeddings": "clip", "context": "clip", "clip_matrix": "clip", "contrastive": "clip",
    "video": "video", "audio": "audio",
}  # fmt: skip
APART = ("contrastive", "clip_matrix", "dino")  # tabs that read no prompt of the bar
THE_OPEN_TAB = "tab"
_LABELS = ("german", "more", "replace", "typo", "why", "examples", "apart")
_BY_ROLE = ("never_read", "chance", "because")


def reads(role: str = THE_OPEN_TAB) -> str:
    """Class of a text field whose unread words are to be marked, for `elem_classes`.

    Args:
        role: of the model that reads it: "clip", "image", "video" or "audio"; `THE_OPEN_TAB` for a field
            above all tabs.
    """
    return f"sv-reads-{role}"


def watch(*fields: gr.Textbox, **models: gr.Dropdown) -> None:
    """Mark the unread words also of what others write into a field, and follow the choice of a model.

    Args:
        fields: that have the class `reads`.
        models: choice of a model by its role.
    """
    if fields:
        gr.on([field.change for field in fields], None, js="() => window.svVocabulary.look()",
              api_visibility="private")  # fmt: skip
    for role, choice in models.items():
        choice.change(None, choice, js=f"(id) => window.svVocabulary.choose('{role}', id)",
                      api_visibility="private")  # fmt: skip


def unread_line() -> gr.HTML:
    """The place of the line under the prompt; what it says takes the place of the examples."""
    return live_html(_VIEW, "prompt-unread", value=_html.line(), script=False)


def build_palette(t: Texts) -> None:
    """All words that the classroom models know, one click away."""
    with one_click_away(t("vocabulary.palette"), "words-known"):
        live_html(_VIEW, "words-palette", value=_html.palette(_rows(t), t), script=False)


def _rows(t: Texts) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Kind by kind: each word in its usual wording, what that means, and its other wordings."""
    return [
        (
            kind,
            [(words[0], _meaning(value, t), ", ".join(words[1:])) for value, words in _usual(kind).items()],
        )
        for kind in PALETTE
    ]


def _usual(kind: str) -> Mapping[str, Sequence[str]]:
    """Wordings by value, without the plurals of things."""
    phrases = vocabulary.KINDS[kind]
    if kind != "object":
        return phrases
    return {value: words[: len(words) // 2] for value, words in phrases.items()}


def _meaning(value: str, t: Texts) -> str:
    """What a word means in the page's language; "" where that is the same word."""
    keys = (f"vocabulary.meaning.{value}", f"prompt_lab.meaning.{value}",
            f"video.motion_name.{value.replace(' ', '_')}")  # fmt: skip
    meaning = next((t.entries[key] for key in keys if key in t.entries), "") if t.language != "en" else ""
    return "" if meaning.casefold() == value.casefold() else meaning


@lru_cache(maxsize=2)
def script_data(language: str) -> str:
    """What `vocabulary.js` is told, as JSON that may stand in a script."""
    t = load_texts(language)
    roles = tuple(vocabulary.KINDS_READ)
    told = {
        "word": vocabulary.WORD,
        "kinds": vocabulary.KINDS,
        "roles": vocabulary.KINDS_READ,
        "between": vocabulary.BETWEEN,
        "typos": vocabulary.TYPOS,
        "near": related_words.NEAR_TO,
        "german": related_words.OTHER_GERMAN,
        "adjectives": related_words.ADJECTIVES,
        "endings": related_words.ENDINGS,
        "ambiguous": related_words.AMBIGUOUS,
        "tabs": TAB_ROLES,
        "apart": APART,
        "listed": [e.id for role in roles for e in catalogue.entries(role) if vocabulary.has_list(e.id)],
        "chosen": {role: catalogue.default_id(role) for role in roles},
        "labels": {label: t(f"vocabulary.{label}") for label in _LABELS},
        **{part: {role: t(f"vocabulary.{part}.{role}") for role in roles} for part in _BY_ROLE},
    }
    return json.dumps(told, ensure_ascii=False).replace("<", "\\u003c")
