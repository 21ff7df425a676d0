"""Number fields that take what people leave in them for a moment: nothing, or a number past the end."""

from typing import Any

import gradio as gr

from pipelines.serving.checks import number


def slider(*args: Any, **options: Any) -> gr.Slider:
    """Gradio's, whose handlers get the nearest number it has, or its default for what is none.

    Gradio raises on both, with a line of traceback for every keystroke of someone who types "12" as "120".
    It is no subclass, as Gradio writes a file of types beside the module of each.
    """
    made = gr.Slider(*args, **options)
    read, default = made.preprocess, number(made.value)

    def nearest(payload: float) -> float:
        found = number(payload)
        return read(min(max(default if found != found else found, made.minimum), made.maximum))

    made.preprocess = nearest  # type: ignore[method-assign]
    return made
