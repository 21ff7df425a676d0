"""What comes from fields and scripts of the page: whatever it is, a handler gets what it can work with."""

from typing import Any, TypeVar

import gradio as gr

from pipelines.serving.checks import number, within
from pipelines.serving.errors import InputError

Kind = TypeVar("Kind", str, int, float, list)
MOST = 2**53  # up to which JSON's numbers are exact


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


def told(event: gr.EventData, name: str, kind: type[Kind]) -> Kind:
    """What a script of the page tells with an event.

    Args:
        name: of the value.
        kind: of what the value has to be; whole numbers may be written as 3.0.

    Raises:
        InputError: `value_forged` if it is something else, or missing.
    """
    given = event._data if isinstance(event._data, dict) else {}
    value = given.get(name)
    if kind is int or kind is float:
        found = within("value_forged", value, -MOST, MOST)
        if kind is int and found != int(found):
            raise InputError("value_forged")
        return kind(found)
    if not isinstance(value, kind):
        raise InputError("value_forged")
    return value


def filled(block: Any, value: Any) -> Any:
    """A field's value, or what it begins with where nothing came: a page always sends something.

    Number fields are left alone: people empty them, and their handlers know.

    Raises:
        InputError: `value_forged` for a list or an object where one thing is chosen; a field that takes any
            value has Gradio let them in.
    """
    one_of_many = isinstance(block, gr.Radio) or (isinstance(block, gr.Dropdown) and not block.multiselect)
    if one_of_many and isinstance(value, list | dict):
        raise InputError("value_forged")
    if value is not None or not (one_of_many or isinstance(block, gr.Textbox | gr.Checkbox)):
        return value
    return "" if isinstance(block, gr.Textbox) else block.value
