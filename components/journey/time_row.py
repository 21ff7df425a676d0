"""What the journey's last two rows share: the same prompt, once more, as something that lasts."""

from collections.abc import Callable, Iterator
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


def opens_elsewhere(request: gr.Request) -> bool:
    """Whether the page's address leads to another tab than the journey."""
    return asked_tab(request.query_params) not in ("", "journey")


@dataclass(frozen=True)
class TimeRow:
    """A row with one station.

    Attributes:
        place: where it stands.
        handler: fills it.
        inputs: of the handler.
        wiring: how the handler is called.
    """

    place: gr.HTML
    handler: Callable[..., Any]
    inputs: list[Any]
    wiring: dict[str, Any]

    def follow(self, picture: Any) -> None:
        """Fill the row once the picture is drawn, an event's dependency."""
        picture.then(self.handler, self.inputs, self.place, **self.wiring)


def build_time_row(
    bar: PromptBar, t: Texts, stem: str, waiting: str, fill: Fill, wiring: dict[str, Any]
) -> TimeRow:
    """Draw a row.

    Args:
        bar: whose prompt and seed it takes.
        stem: of the tab that its station is a door to, "video" or "audio".
        waiting: what it shows at first.
        fill: draws what it shows; what it raises as an `InputError` is shown as a sentence.
        wiring: how its handler is called.
    """

    @explained(t)
    def handler(
        prompt: str, seed: int, trace: Trace | None, slot: RunSlot, request: gr.Request
    ) -> Iterator[Any]:
        """Gradio tells of the first tab while the page opens at whatever tab; the address is what counts.

        Before the first picture is there, the bar may not have been told yet what the address says.
        """
        if opens_elsewhere(request):
            yield gr.skip()
            return
        if trace is None:
            asked = values_from_query(request.query_params)
            prompt, seed = asked.prompt, asked.seed
        try:
            yield from fill(prompt, seed, slot)
        except InputError as error:
            yield HTML.refused(message(error, t))

    place = live_html("journey/view", f"journey-{stem}", t(f"journey.as_{stem}"), waiting)
    inputs = [bar.prompt, bar.seed, bar.trace, gr.State(RunSlot())]
    return TimeRow(place, handler, inputs, {**wiring, "trigger_mode": "multiple"})
