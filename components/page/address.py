"""The page's state in its address: a link shows what was shown, and a reload or another language keeps it."""

import contextlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from html import escape
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr

from components.page.prompt_bar import BarValues, Dependent, PromptBar, values_from_query
from components.ui.language import Texts
from components.ui.numbers import short

VERSION = 1  # of links; a change of what a name or a value means makes it one more
MAX_TEXT = 2000
MAX_QUERY = 8000
# The tabs' own controls by their names in addresses, alike on all pages; `as_asked` sets them.
_KEPT: dict[str, gr.components.Component] = {}
_DEPENDENT: dict[str, Dependent] = {}
_NAMES = ", ".join(field.name for field in fields(BarValues))


def _tell(what: str) -> str:
    """A script that hands the bar's values to `page.js`."""
    return f"({_NAMES}) => {{ window.steuervektor?.{what}({{ {_NAMES} }}); }}"


def _told_controls(kept: Mapping[str, gr.components.Component]) -> str:
    """A script that hands the kept controls to `page.js`: those at their defaults as nothing."""
    names = json.dumps([[name, control.value] for name, control in kept.items()])
    return f"(...values) => {{ window.steuervektor?.rememberControls({names}, values); }}"


def value_of(control: gr.components.Component, text: str, choices: Sequence[Any] | None = None) -> Any:
    """The value that an address asks for.

    Args:
        control: whose value it is.
        text: from an address, for which nobody vouches.
        choices: of a control that offers others than it was built with.

    Raises:
        ValueError: the control does not take it.
    """
    if isinstance(control, gr.Slider | gr.Number):
        number = float(text)
        low = -math.inf if control.minimum is None else control.minimum
        high = math.inf if control.maximum is None else control.maximum
        if math.isfinite(number) and low <= number <= high:
            return int(number) if number.is_integer() else number
    elif isinstance(control, gr.Radio | gr.Dropdown):
        for _, value in _pairs(choices) if choices is not None else control.choices:
            if str(value) == text:
                return value
    elif isinstance(control, gr.Checkbox):
        if text in ("true", "false"):
            return text == "true"
    elif len(text) <= MAX_TEXT:
        return text
    raise ValueError("not a value of this control")


def _pairs(choices: Sequence[Any]) -> list[tuple[str, Any]]:
    """Choices as Gradio keeps them: label and value."""
    return [choice if isinstance(choice, tuple) else (str(choice), choice) for choice in choices]


def choices_asked(
    name: str,
    kept: Mapping[str, gr.components.Component],
    dependent: Mapping[str, Dependent],
    query: Mapping[str, str],
) -> Sequence[Any] | None:
    """What a control offers for what an address says of the one it depends on; None: as it was built."""
    if name not in dependent or dependent[name].on not in query:
        return None
    on = dependent[name].on
    try:
        return dependent[name].choices(value_of(kept[on], query[on]))
    except ValueError:
        return None


def _possible(control: gr.components.Component, choices: Sequence[Any] | None, t: Texts) -> str:
    """What a control takes, for a sentence of refusal."""
    if isinstance(control, gr.Slider | gr.Number):
        return t("common.link.range", low=short(control.minimum, t), high=short(control.maximum, t))
    if isinstance(control, gr.Radio | gr.Dropdown):
        offered = control.choices if choices is None else _pairs(choices)
        return ", ".join(str(label) for label, _ in offered[:8])
    return t("common.link.text", most=MAX_TEXT)


def restored_controls(
    kept: Mapping[str, gr.components.Component],
    query: Mapping[str, str],
    t: Texts,
    dependent: Mapping[str, Dependent] = MappingProxyType({}),
) -> tuple[list[Any], list[str]]:
    """Values for the kept controls out of an address, and a phrase for each that does not fit.

    Returns:
        One value per control, `gr.skip()` where the address is silent or asks for the impossible, and with it
        the choices where another control decides them; and the phrases.
    """
    values: list[Any] = []
    refused: list[str] = []
    for name, control in kept.items():
        choices = choices_asked(name, kept, dependent, query)
        others = gr.skip()
        if choices is not None:
            others = gr.update(choices=choices, value=_pairs(choices)[dependent[name].usual][1])
        if name not in query:
            values.append(others)
            continue
        try:
            value = value_of(control, query[name], choices)
            values.append(value if choices is None else gr.update(choices=choices, value=value))
        except ValueError:
            values.append(others)
            label, possible = getattr(control, "label", None) or name, _possible(control, choices, t)
            refused.append(
                t("common.link.refused_one", label=label, received=query[name][:40], possible=possible)
            )
    return values, refused


def asked_tab(query: Mapping[str, str]) -> str:
    """The tab that an address leads to, if it names one: its own, or that of its scene."""
    return query.get("scene", "").partition(".")[0] or query.get("tab", "")


def as_asked(html: str, query: Mapping[str, str]) -> str:
    """Gradio's document with the tab, the texts, the numbers and the controls that the address asks for.

    So no tab is drawn that nobody asked for, and nothing that the page shows is exchanged a moment later.

    Args:
        html: with the page's components as JSON.
        query: of the address, for which nobody vouches.
    """
    if query.keys() & {field.name for field in fields(BarValues)}:
        bar = values_from_query(query)
        asked: dict[str, Any] = {
            "prompt": bar.prompt, "prompt-b": bar.prompt_b, "negative-prompt": bar.negative_prompt,
            "seed": bar.seed, "guidance-scale": bar.guidance_scale, "guidance-dial": bar.guidance_scale,
            "num-inference-steps": bar.num_inference_steps,
        }  # fmt: skip
        for elem_id, value in asked.items():
            html = _with_property(html, elem_id, "value", value)
    for name, control in _KEPT.items():
        choices = choices_asked(name, _KEPT, _DEPENDENT, query)
        if choices is not None:
            usual = _pairs(choices)[_DEPENDENT[name].usual][1]
            html = _with_property(html, str(control.elem_id), "choices", _pairs(choices))
            html = _with_property(html, str(control.elem_id), "value", usual)
        if name in query:
            with contextlib.suppress(ValueError):  # `restore` says what does not fit
                value = value_of(control, query[name], choices)
                html = _with_property(html, str(control.elem_id), "value", value)
    tab = asked_tab(query)
    if re.fullmatch(r"[a-z_]+", tab) and f'"elem_id":"tab-{tab}"' in html:
        html = _with_property(html, "tabs", "selected", tab)
    return html


def _with_property(html: str, elem_id: str, name: str, value: Any) -> str:
    """The document with one property of a component changed; as it is, where there is no such component."""
    at = html.find(f'"elem_id":"{elem_id}"')
    begin = html.rfind('{"id":', 0, max(at, 0))
    if begin < 0:
        return html
    component, end = json.JSONDecoder().raw_decode(html, begin)
    component["props"][name] = value
    text = json.dumps(component, separators=(",", ":"))
    for mark in "<>&'":  # it stands in a script
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return html[:begin] + text + html[end:]


def wire_address(page: gr.Blocks, bar: PromptBar, t: Texts) -> None:
    """Write bar and kept controls into the address as they change, and read them back when the page loads.

    Args:
        page: the page being built; its load event restores what `as_asked` does not.
        bar: the prompt bar, which knows what is kept.
        t: texts of the page, for what cannot be restored.
    """
    models = ("clip_model", "image_model")
    _KEPT.update(bar.kept)
    _DEPENDENT.update(bar.dependent)

    def restore(request: gr.Request) -> list[object]:
        query = {name: str(value) for name, value in request.query_params.items()}
        controls, refused = restored_controls(bar.kept, query, t, bar.dependent)
        if refused:
            told = t("common.link.refused", list="; ".join(refused))
            gr.Warning(escape(told, quote=False))  # Gradio shows it as HTML
        if query.get("v", str(VERSION)) != str(VERSION):
            gr.Warning(t("common.link.other_version"))
        values = values_from_query(query)
        return [*(getattr(values, name) if name in query else gr.skip() for name in models), *controls]

    def take(text: str) -> list[object]:
        query = dict(parse_qsl(text[:MAX_QUERY]))
        values = values_from_query(query)
        kept, _ = restored_controls(bar.kept, query, t, bar.dependent)
        return [*(getattr(values, name) if name in query else gr.skip() for name in names), *kept]

    names = [field.name for field in fields(BarValues)]
    # Lessons lead from state to state without opening the page anew, which would leave the full screen.
    door = gr.Textbox(elem_id="sv-door", elem_classes="sv-store", show_label=False, container=False)
    taken = door.change(
        take, door, [*bar.values, *bar.kept.values()], show_progress="hidden", api_visibility="private",
        concurrency_limit=None, trigger_mode="always_last",
    )  # fmt: skip
    taken.then(fn=None, js="() => dispatchEvent(new Event('sv-taken'))", api_visibility="private")
    page.load(None, bar.values, js=_tell("opened"), api_visibility="private")
    loaded = page.load(
        restore, outputs=[*(getattr(bar, name) for name in models), *bar.kept.values()],
        show_progress="hidden", api_visibility="private", concurrency_limit=None,
    )  # fmt: skip
    loaded.then(
        fn=None, inputs=bar.values, js=_tell("restored"), api_visibility="private",
    )  # fmt: skip
    gr.on(
        [component.change for component in bar.values],
        fn=None, inputs=bar.values, js=_tell("remember"), api_visibility="private",
    )  # fmt: skip
    controls = list(bar.kept.values())
    gr.on(
        [control.change for control in controls],
        fn=None, inputs=controls, js=_told_controls(bar.kept), api_visibility="private",
    )  # fmt: skip
