"""The decoder's own pictures of a run, for whoever begins to scrub through it."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from components.runs.queues import QUIET_MODEL
from components.runs.slot import RunSlot
from components.runs.trace_data import exact_pictures
from components.ui.layout import live_html

Rows = dict[str, list[str]]  # addresses of the pictures of all steps, by name of row


def exact_on_demand(view: gr.HTML, run: gr.State, elem_id: str) -> None:
    """Let a view of a trace (`trace.js`) ask for its exact pictures; `exact.js` hands them over.

    Args:
        view: of the run that the slot shows.
        run: this visitor's slot.
        elem_id: of the place through which the pictures come.
    """
    exact_rows_on_demand(view, run, elem_id, _pictures, QUIET_MODEL)


def exact_rows_on_demand(
    view: gr.HTML, run: gr.State, elem_id: str, rows: Callable[[Any], tuple[str, Rows] | None],
    wiring: dict[str, Any],
) -> None:  # fmt: skip
    """`exact_on_demand` for a run of any kind.

    Args:
        view: its script asks with `trigger("select")` and is told by the event `sv-exact`.
        run: what `rows` is asked about.
        elem_id: of the place through which the pictures come.
        rows: what the page calls the run, and its pictures; None where there is none.
        wiring: in which queue.
    """

    def pictures(value: Any) -> Any:
        found = rows(value)
        return gr.skip() if found is None else {"html": "", "run": found[0], "rows": found[1]}

    store = live_html("runs/exact", elem_id, classes=["sv-store"])
    view.select(pictures, run, store, **wiring)


def _pictures(slot: RunSlot) -> tuple[str, Rows] | None:
    if slot.shown is None:
        return None
    frames = slot.shown[1]
    return frames.run, exact_pictures(frames)
