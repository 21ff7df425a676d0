"""The page's state in its address: what is typed survives a reload and the change of language."""

from collections.abc import Sequence
from dataclasses import astuple, fields

import gradio as gr

from components.page.prompt_bar import BarValues, PromptBar, values_from_query

_NAMES = ", ".join(field.name for field in fields(BarValues))


def _tell(what: str) -> str:
    """A script that hands the bar's values to `page.js`."""
    return f"({_NAMES}) => {{ window.steuervektor?.{what}({{ {_NAMES} }}); }}"


def wire_address(page: gr.Blocks, bar: PromptBar, tabs: gr.Tabs, stems: Sequence[str]) -> None:
    """Write the bar into the address as it changes, and read it back when the page loads.

    Args:
        page: the page being built; its load event restores.
        bar: the prompt bar.
        tabs: the tabs, of which one is selected.
        stems: names of the tabs that exist.
    """

    def restore(request: gr.Request) -> list[object]:
        query = {name: str(value) for name, value in request.query_params.items()}
        tab = query.get("tab")
        selected = gr.Tabs(selected=tab) if tab in stems else gr.skip()
        if not query.keys() & {field.name for field in fields(BarValues)}:
            return [*(gr.skip() for _ in bar.values), selected]
        return [*astuple(values_from_query(query)), selected]

    loaded = page.load(
        restore, outputs=[*bar.values, tabs], show_progress="hidden", api_visibility="private",
        concurrency_limit=None,
    )  # fmt: skip
    loaded.then(
        fn=None, inputs=bar.values, js=_tell("restored"), api_visibility="private",
    )  # fmt: skip
    gr.on(
        [component.change for component in bar.values],
        fn=None, inputs=bar.values, js=_tell("remember"), api_visibility="private",
    )  # fmt: skip
