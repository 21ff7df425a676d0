"""Scenes: the experiments of a tab. A heading opens one on the page; the stage shows one alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import gradio as gr

from components.ui.language import Texts
from components.ui.templates import templates

_html = templates("ui/scene.html")
Kind = Literal["tab", "lead", "open", "more"]


@dataclass(frozen=True)
class Scene:
    """One experiment, as the stage and links name it.

    Attributes:
        key: "<tab>.<name>", such as "guidance.sweep"; the same in every language, and part of addresses.
        title: its heading.
        on_stage: whether the stage shows it; what is to be read at a desk has its place on the page alone.
        filled_by: id of the button that computes its result, where no tab does so by itself.
    """

    key: str
    title: str
    on_stage: bool = True
    filled_by: str = ""

    @property
    def elem_id(self) -> str:
        return "scene-" + self.key.replace(".", "-")


_keys: tuple[str, ...] = ()  # of the page built last, in their order
_collected: ContextVar[list[Scene] | None] = ContextVar("scenes of the page being built", default=None)


@contextmanager
def collect_scenes() -> Iterator[list[Scene]]:
    """Note the scenes of the page that is built inside, in their order.

    Yields:
        The list that fills.
    """
    global _keys
    found: list[Scene] = []
    token = _collected.set(found)
    try:
        yield found
        _keys = tuple(one.key for one in found)
    finally:
        _collected.reset(token)


def scene_keys() -> tuple[str, ...]:
    """Keys of all scenes of the page that was built."""
    return _keys


@contextmanager
def scene(
    t: Texts,
    key: str,
    title: str = "",
    claim: str = "",
    *,
    kind: Kind = "more",
    stage: Literal["beside", "above", "none"] = "above",
    filled_by: str = "",
) -> Iterator[None]:
    """One experiment: its heading, and its controls and results inside.

    Everything is on the page from the start; `page.js` opens a scene, `style.css` hides what is closed.

    Args:
        t: texts; without `title` and `claim` they are `<key>_title` and `<key>_hint`, or those of the tab.
        key: "<tab>.<name>"; a stable part of addresses.
        title: heading.
        claim: what it shows, in one or two plain sentences.
        kind: "tab" is a tab's first, named by the tab's own title; "lead" is one with its own heading;
            "open" stands open below it; "more" waits for a click on its heading.
        stage: where controls stand on the stage, beside or above the result; "none" keeps it off the stage.
        filled_by: see `Scene`; the stage presses that button once, so that arrow keys alone show each result.
    """
    stem = key.partition(".")[0]
    words = (f"{stem}.title", f"{stem}.claim") if kind == "tab" else (f"{key}_title", f"{key}_hint")
    if not title:
        title, claim = t(words[0]), t(words[1])
    own = Scene(key, title, stage != "none", filled_by)
    scenes = _collected.get()
    if scenes is not None:
        scenes.append(own)
    classes = ["sv-scene", f"sv-scene-{kind}", f"sv-stage-{stage}"]
    with gr.Column(elem_id=own.elem_id, elem_classes=classes):
        head = _html.head(title, claim, kind == "more", own.elem_id)
        gr.HTML(head, elem_classes="sv-scene-head", apply_default_css=False)
        yield


def scene_register(scenes: Sequence[Scene]) -> str:
    """The scenes of a page as data, for its script."""
    rows = [
        {"key": s.key, "id": s.elem_id, "title": s.title, "stage": s.on_stage, "by": s.filled_by}
        for s in scenes
    ]
    return _html.register(rows)
