"""Number fields that take what people leave in them for a moment: nothing, or a number past the end."""

import gradio as gr

from pipelines.serving.checks import number

class Slider(gr.Slider):
    """Gradio's, whose handlers get the nearest number it has, or its default for what is none.

    Gradio raises on both, with a line of traceback for every keystroke of someone who types "12" as "120".
    """

    is_template = True

    def preprocess(self, payload: float) -> float:
        found = number(payload)
        if found != found:
            found = number(self.value)
        low, high = self.minimum, self.maximum
        return super().preprocess(min(max(found, low), high))
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component
