"""The bar above all tabs: every tab is a view of what it says."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import gradio as gr

from components.page.vocabulary import build_palette, reads, unread_line, watch
from components.runs.slot import RunSlot
from components.ui.fields import slider
from components.ui.language import Texts
from components.ui.layout import ON_ENTER, one_click_away, tab_seen
from components.ui.presets import chips_after, wire_presets
from pipelines.serving import catalogue
from pipelines.serving.checks import MAX_SEED

DEFAULT_PROMPT = "A small cat on a bed."  # of programs that name none, which rely on it


@dataclass(frozen=True)
class Example:
    """A prompt with a seed of which the shipped model makes a picture that shows it.

    Seeds were chosen by looking at pictures of 24 seeds each; `assets/models/image/README.md` says so.
    """

    prompt: str
    seed: int


# The page opens with what the shipped model draws well in all of the seeds looked at.
FIRST = Example("A red car on the beach.", 1)
# As spoken in the lecture, double blank, capital and "Dimm" included: what a tokenizer makes of
# them is part of the lesson.
LECTURE = (
    Example(DEFAULT_PROMPT, 13),
    Example("A  cat in front of a House.", 1),
    Example("A cat. Cozy atmosphere. Dimm lighting.", 17),
)
EXAMPLES = LECTURE  # one click away
GUIDANCE = (0.0, 20.0)
STEPS = (1, 50)


def _of_first_model(name: str) -> Any:
    """What the preselected picture model draws well with."""
    return getattr(catalogue.entry(catalogue.default_id("image")), name)


@dataclass(frozen=True)
class BarValues:
    """What the bar says, as plain values; the defaults are the first example."""

    prompt: str = FIRST.prompt
    prompt_b: str = ""
    negative_prompt: str = ""
    seed: int = FIRST.seed
    guidance_scale: float = field(default_factory=partial(_of_first_model, "guidance_scale"))
    num_inference_steps: int = field(default_factory=partial(_of_first_model, "steps"))
    clip_model: str = field(default_factory=partial(catalogue.default_id, "clip"))
    image_model: str = field(default_factory=partial(catalogue.default_id, "image"))


ChoicesOf = Callable[[Any], Sequence[Any]]  # the choices of a dropdown, as Gradio takes them


@dataclass(frozen=True)
class Dependent:
    """Whose value decides what a kept control offers.

    Attributes:
        on: name of the other kept control.
        choices: of this one, for a value of the other.
        usual: which of them is chosen where nobody has.
    """

    on: str
    choices: ChoicesOf
    usual: int = 0


@dataclass(frozen=True)
class PromptBar:
    """The bar's components.

    Attributes:
        prompt: the text that steers.
        prompt_b: a second text to compare with; may be empty.
        negative_prompt: the text to steer away from; may be empty.
        seed: decides the noise that a picture starts from.
        guidance_scale: 0..20; 0 ignores the prompt, 1 is the plain conditional model.
        num_inference_steps: steps from noise to picture.
        clip_model: catalogue id of the role "clip".
        image_model: catalogue id of the role "image".
        trace: this visitor's last `pipelines.image.request.Trace`, or None.
        run: this visitor's `components.runs.slot.RunSlot`; a new run ends the one under way.
        relays: never seen; holds a field for each function that follows what is typed, see `follow`.
        kept: what else the address holds, the tabs' own controls, by name; see `keep`.
        dependent: those of them whose choices another one decides.
    """

    prompt: gr.Textbox
    prompt_b: gr.Textbox
    negative_prompt: gr.Textbox
    seed: gr.Number
    guidance_scale: gr.Slider
    num_inference_steps: gr.Slider
    clip_model: gr.Dropdown
    image_model: gr.Dropdown
    trace: gr.State
    run: gr.State
    relays: gr.Column
    kept: dict[str, gr.components.Component] = field(default_factory=dict)
    dependent: dict[str, Dependent] = field(default_factory=dict)

    def follow(
        self, tab: gr.Tab, changes: Sequence[Any], function: Callable[..., Any], inputs: Sequence[Any],
        outputs: Any, even_closed: bool = False, **wiring: Any,
    ) -> Any:  # fmt: skip
        """Call a function at each change while its tab is open, and when it is opened; one call at a time.

        Whoever types on has the last text shown, and none between. Each function gets a change of its own, of
        a hidden field: where several wait for their turn at one change, Gradio's page tells all of them anew
        whenever one is through, and so they call each other for ever.

        Args:
            changes: events, such as `bar.prompt.change`.
            even_closed: call it at each change, whatever tab is open, and not when the tab is opened.
            wiring: how the function is called, from `components.runs.queues`.

        Returns:
            The event's dependency.
        """
        seen = "true" if even_closed else tab_seen(str(tab.elem_id))
        with self.relays:
            own = gr.Textbox(show_label=False, container=False)
        gr.on(
            [*changes] if even_closed else [tab.select, *changes], None, own, own, api_visibility="private",
            js=f"(told) => {seen} ? `${{performance.now()}}` : told",
        )  # fmt: skip
        return own.change(function, [*inputs], outputs, **{**wiring, "trigger_mode": "always_last"})

    def keep(
        self,
        stem: str,
        dependent: Mapping[str, Dependent] = MappingProxyType({}),
        **controls: gr.components.Component,
    ) -> None:
        """Let the address hold controls of a tab, where they differ from their defaults.

        Args:
            stem: of the tab; the names in the address begin with it.
            dependent: those of them whose choices another one of the tab decides, by name.
            controls: by name; sliders, numbers, checkboxes, choices and texts.
        """
        self.kept.update({f"{stem}.{name}": control for name, control in controls.items()})
        for name in dependent:
            # Gradio learns the choices of a link only from a handler; the handlers check what comes.
            controls[name].allow_custom_value = True  # type: ignore[attr-defined]
        self.dependent.update(
            {f"{stem}.{name}": replace(one, on=f"{stem}.{one.on}") for name, one in dependent.items()}
        )

    @property
    def values(self) -> list[gr.components.Component]:
        """The components of `BarValues`, in its order."""
        return [getattr(self, f.name) for f in fields(BarValues)]

    @property
    def run_inputs(self) -> list[gr.components.Component]:
        """What a handler needs for a picture run: the values of `request_like`, then trace and run slot."""
        return [
            self.prompt, self.negative_prompt, self.seed, self.guidance_scale, self.num_inference_steps,
            self.image_model, self.trace, self.run,
        ]  # fmt: skip


def run_values(bar: BarValues) -> tuple[Any, ...]:
    """The values of a picture run, in the order of `PromptBar.run_inputs`."""
    return (
        bar.prompt, bar.negative_prompt, bar.seed, bar.guidance_scale, bar.num_inference_steps,
        bar.image_model,
    )  # fmt: skip


def _number(text: str, low: float, high: float, default: float) -> float:
    """A number out of an address; what is none, or not finite, becomes the default."""
    try:
        value = float(text)
    except ValueError:
        return default
    return min(max(value, low), high) if math.isfinite(value) else default


def _model(text: str, role: str) -> str:
    """A model out of an address; what would have to be downloaded first becomes the preselected one.

    A link must not start a download of gigabytes.
    """
    here = {entry.id for entry in catalogue.entries(role) if catalogue.on_disk(entry)}
    return text if text in here else catalogue.default_id(role)


def values_from_query(query: Mapping[str, str]) -> BarValues:
    """The bar's values out of an address, for which nobody vouches.

    Args:
        query: names of `BarValues` to texts; missing names keep their default, numbers outside
            their range are moved to its edge, models the catalogue lacks become the preselected ones.
    """
    default = BarValues()
    return BarValues(
        prompt=query.get("prompt", default.prompt)[:2000],
        prompt_b=query.get("prompt_b", "")[:2000],
        negative_prompt=query.get("negative_prompt", "")[:2000],
        seed=int(_number(query.get("seed", ""), 0, MAX_SEED, default.seed)),
        guidance_scale=_number(query.get("guidance_scale", ""), *GUIDANCE, default.guidance_scale),
        num_inference_steps=round(
            _number(query.get("num_inference_steps", ""), *STEPS, default.num_inference_steps)
        ),
        clip_model=_model(query.get("clip_model", ""), "clip"),
        image_model=_model(query.get("image_model", ""), "image"),
    )


def _model_choice(t: Texts, role: str) -> gr.Dropdown:
    choices = [(entry.title, entry.id) for entry in catalogue.entries(role)]
    return gr.Dropdown(
        choices,
        value=catalogue.default_id(role),
        label=t(f"prompt_bar.{role}_model"),
        info=t(f"prompt_bar.{role}_model_info"),
        filterable=False,
        elem_id=f"{role}-model",
    )


def _text(t: Texts, name: str, value: str = "") -> gr.Textbox:
    return gr.Textbox(
        value,
        label=t(f"prompt_bar.{name}"),
        placeholder=t(f"prompt_bar.{name}_placeholder"),
        lines=1,
        max_lines=3,
        elem_id=name.replace("_", "-"),
        elem_classes=["sv-text", reads()],
    )


def _numbers(t: Texts) -> tuple[gr.Number, gr.Slider, gr.Slider]:
    """Seed, guidance scale and steps."""
    default = BarValues()
    seed = gr.Number(
        default.seed, label=t("prompt_bar.seed"), info=t("prompt_bar.seed_info"),
        precision=0, elem_id="seed",
    )  # fmt: skip
    scale = slider(
        *GUIDANCE, value=default.guidance_scale, step=0.5, label=t("prompt_bar.guidance_scale"),
        info=t("prompt_bar.guidance_scale_info"), elem_id="guidance-scale",
    )  # fmt: skip
    steps = slider(
        *STEPS, value=default.num_inference_steps, step=1, label=t("prompt_bar.num_inference_steps"),
        info=t("prompt_bar.num_inference_steps_info"), elem_id="num-inference-steps",
    )  # fmt: skip
    return seed, scale, steps


def _own_values(model: str) -> tuple[float, int]:
    """Scale and steps that a picture model draws well with: those of others burn a distilled one."""
    chosen = catalogue.entry(model, "image")
    return chosen.guidance_scale, chosen.steps


# Enter presses the open tab's own button for a run of the prompt (`layout.ON_ENTER`), the first that is seen.
_ON_ENTER = f"""() => {{
  const open = document.querySelector('#tabs [role="tab"][aria-selected="true"]');
  const buttons = [...document.querySelectorAll(`#${{open?.id.replace(/-button$/, "")}} .{ON_ENTER}`)];
  (buttons.find((button) => button.checkVisibility()) || buttons[0])?.click();
}}"""


def build_prompt_bar(t: Texts) -> PromptBar:
    """Draw the bar: the prompt first, the rest one click away."""
    with gr.Column(elem_id="prompt-bar"):
        prompt = _text(t, "prompt", FIRST.prompt)
        with gr.Row(elem_classes="sv-examples", elem_id="prompt-examples"):
            unread_line()
            chips = chips_after(t("prompt_bar.examples"), [example.prompt for example in EXAMPLES])
        with one_click_away(t("prompt_bar.more"), "prompt-bar-more"):
            with gr.Row():
                prompt_b, negative = _text(t, "prompt_b"), _text(t, "negative_prompt")
            with gr.Row():
                seed, scale, steps = _numbers(t)
            with gr.Row():
                clip_model, image_model = _model_choice(t, "clip"), _model_choice(t, "image")
        build_palette(t)
        trace, run = gr.State(None), gr.State(RunSlot())
        relays = gr.Column(elem_classes="sv-store")
    watch(prompt, prompt_b, negative, clip=clip_model, image=image_model)
    wire_presets(chips, [(example.prompt, example.seed) for example in EXAMPLES], [prompt, seed])
    image_model.input(_own_values, image_model, [scale, steps], queue=False, show_progress="hidden",
                      api_visibility="private")  # fmt: skip
    prompt.submit(None, js=_ON_ENTER, api_visibility="private")
    return PromptBar(
        prompt, prompt_b, negative, seed, scale, steps, clip_model, image_model, trace, run, relays
    )
