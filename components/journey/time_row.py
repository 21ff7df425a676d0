"""What the journey's last two rows share: the same prompt, once more, as something that lasts."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.journey.view import HTML
from components.page.address import asked_tab
from components.page.prompt_bar import PromptBar, values_from_query
from components.runs.slot import RunSlot
from components.ui.errors import explained, message
from components.ui.language import Texts
from components.ui.layout import live_html
from pipelines.image.request import Trace
from pipelines.serving.errors import InputError

Fill = Callable[[str, int, RunSlot], Iterator[Any]]  # prompt, seed, slot: views of the station
Shown = tuple[str, int]  # prompt and seed


def new_shown() -> gr.State:
    """Whose film and sound the rows show, or ask for: a `Shown`, None before there is any."""
    return gr.State(None)


def opens_elsewhere(request: gr.Request) -> bool:
    """Whether the page's address leads to another tab than the journey."""
    return asked_tab(request.query_params) not in ("", "journey")


@dataclass(frozen=True)
class TimeRow:
    """A row with one station.

    Attributes:
        place: where it stands; once it comes into sight and asks, the handler fills it.
        handler: draws what it shows.
        slot: its run.
        view: the empty station, and, unless it is "", by what mark it asks to be filled.
    """

    place: gr.HTML
    handler: Callable[..., Any]
    slot: gr.State
    view: Callable[[str], str]


def fill_when_seen(bar: PromptBar, shown: gr.State, rows: Sequence[TimeRow]) -> Callable[[Any], None]:
    """Let rows be emptied once a new picture is drawn: each is filled when it is seen.

    Most who draw a picture do not scroll down to them, and a film costs as much as sixteen pictures. What is
    there of a prompt and a seed stays, whatever else has changed of the picture.

    Args:
        bar: whose picture the rows are of.
        shown: what `new_shown` has made.

    Returns:
        What has to be told of each event that draws one, by its dependency.
    """

    def empty(
        request: gr.Request, trace: Trace | None, shown: Shown | None, *slots: RunSlot
    ) -> tuple[Any, ...]:
        # the picture's own, whatever has been typed since; while the first is drawn, the address's
        values = trace.request if trace is not None else values_from_query(request.query_params)
        asked = values.prompt, values.seed
        if opens_elsewhere(request) or asked == shown:
            return (gr.skip(),) * (1 + len(rows))
        for row, slot in zip(rows, slots, strict=True):
            slot.silence(str(row.place.elem_id))  # what still runs there is of another picture
        # told apart: emptied twice, a place asks twice, for the first run has fallen silent
        return asked, *(row.view(secrets.token_hex(4)) for row in rows)

    def follow(picture: Any) -> None:
        picture.then(
            empty, [bar.trace, shown, *(row.slot for row in rows)], [shown, *(row.place for row in rows)],
            queue=False, show_progress="hidden", api_visibility="private",
        )  # fmt: skip

    return follow


def build_time_row(
    shown: gr.State, t: Texts, stem: str, view: Callable[[str], str], fill: Fill, wiring: dict[str, Any]
) -> TimeRow:
    """Draw a row.

    Args:
        shown: what `new_shown` has made: the prompt and the seed it is filled for.
        stem: of the tab that its station is a door to, "video" or "audio".
        view: see `TimeRow`.
        fill: draws what it shows; what it raises as an `InputError` is shown as a sentence.
        wiring: how its handler is called.
    """

    @explained(t)
    def handler(shown: Shown | None, slot: RunSlot, request: gr.Request) -> Iterator[Any]:
        if shown is None:  # of a session that was forgotten meanwhile, as on a phone that was locked
            values = values_from_query(request.query_params)
            shown = values.prompt, values.seed
        try:
            yield from fill(*shown, slot)
        except InputError as error:
            yield HTML.refused(message(error, t))

    place = live_html("journey/view", f"journey-{stem}", t(f"journey.as_{stem}"), view(""))
    slot = gr.State(RunSlot())
    place.submit(handler, [shown, slot], place, **wiring, trigger_mode="multiple")
    return TimeRow(place, handler, slot, view)
