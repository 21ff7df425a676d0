"""A row of presets: experiments that are one click away, with what they set."""

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

from components.ui.templates import templates


def preset_chips(label: str, titles: Sequence[str], stem: str = "") -> list[gr.Button]:
    """A row with one chip each.

    Args:
        label: what stands before the row.
        titles: what the chips say.
        stem: of their ids ("guidance-preset" for "guidance-preset-0"); without it they have none.
    """
    with gr.Row(elem_classes="sv-examples"):
        return chips_after(label, titles, stem)


def chips_after(label: str, titles: Sequence[str], stem: str = "") -> list[gr.Button]:
    """The chips of `preset_chips`, in a row that is there already."""
    gr.HTML(templates("ui/presets.html").label(label), apply_default_css=False)
    return [
        gr.Button(title, size="sm", elem_classes="sv-chip", elem_id=f"{stem}-{i}" if stem else None)
        for i, title in enumerate(titles)
    ]


def wire_presets(
    chips: Sequence[gr.Button], values: Sequence[Sequence[Any]], outputs: Sequence[gr.components.Component]
) -> list[Any]:
    """Let each chip write its values, without asking the server.

    Args:
        chips: of `preset_chips`.
        values: for each chip one value for each of `outputs`, as JSON has them.

    Returns:
        The event of each chip, for what shall follow it.
    """
    return [
        chip.click(None, None, list(outputs), js=f"() => ({json.dumps(list(row))})", api_visibility="private")
        for chip, row in zip(chips, values, strict=True)
    ]
