"""The decoder's own pictures of a run, for whoever begins to scrub through it."""

from typing import Any

import gradio as gr

from components.runs.queues import QUIET_MODEL
from components.runs.slot import RunSlot
from components.runs.trace_data import exact_pictures
from components.ui.layout import live_html


def exact_on_demand(view: gr.HTML, run: gr.State, elem_id: str) -> None:
    """Let a view of a trace (`trace.js`) ask for its exact pictures; `exact.js` hands them over.

    Args:
        view: of the run that the slot shows.
        run: this visitor's slot.
        elem_id: of the place through which the pictures come.
    """
    store = live_html("runs/exact", elem_id, classes=["sv-store"])
    view.select(_pictures, run, store, **QUIET_MODEL)


def _pictures(slot: RunSlot) -> Any:
    if slot.shown is None:
        return gr.skip()
    frames = slot.shown[1]
    return {"html": "", "run": frames.run, "rows": exact_pictures(frames)}
