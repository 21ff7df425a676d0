"""The audio tab: a prompt becomes sound, token by token, heard while it is made."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import gradio as gr
import numpy as np
from pydantic import Field, Strict

from components.audio.clip import AudioClip, ClipPart, build_clip_part, open_sent, wire_clip_part
from components.audio.pair import build_pair_part, wire_pair_part
from components.audio.run import AudioResult, example_if_ready, made_message, request_of, show_audio
from components.audio.speech import show_speech, speech_message
from components.audio.view import GUESS, HTML, audio_part, feed_html
from components.page.prompt_bar import DEFAULT_PROMPT, PromptBar
from components.page.vocabulary import watch
from components.runs.arguments import AudioModel
from components.runs.files import save_wav, written
from components.runs.queues import AUDIO, endpoint
from components.runs.slot import RunSlot
from components.runs.unasked import waits_for_click
from components.ui.arguments import File, OneOf, RealNumber, Seed, Text, WholeNumber
from components.ui.attention import attention_kinds
from components.ui.errors import explained
from components.ui.fields import slider
from components.ui.language import Texts
from components.ui.layout import ON_ENTER, live_html, tab_frame
from components.ui.scene import scene
from components.ui.templates import isolated
from pipelines.audio import audio, bark
from pipelines.audio import files as sounds
from pipelines.audio.request import (
    MAX_GUIDANCE_SCALE,
    MAX_SECONDS,
    MAX_TEMPERATURE,
    MAX_TOP_K,
    MIN_SECONDS,
    AudioRequest,
)
from pipelines.serving import catalogue
from pipelines.serving.catalogue import backends_of
from pipelines.serving.errors import InputError

PLAYER = "audio-player"
EXAMPLES = ("A slow, sad piano melody.", "Fast drums, dramatic.", "A happy guitar, rising.", "Birdsong.")
_TO_THE_PLAYER = """(...given) => {
  document.getElementById("audio-player").scrollIntoView({ block: "center" });
  return given;
}"""
BOOKS = 4  # codebooks that can be heard apart


@dataclass(frozen=True)
class _Parts:
    """The tab's components."""

    make: gr.Button
    stop: gr.Button
    reseed: gr.Button
    download: gr.DownloadButton
    feed: gr.HTML
    books: gr.Radio
    controls: list[Any]
    model: gr.Dropdown
    backend: gr.Radio
    licence: gr.Markdown
    made: gr.State
    slot: gr.State

    @property
    def outputs(self) -> list[Any]:
        return [self.feed, self.stop, self.download, self.books, self.made]


def build_audio_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and wire it.

    Args:
        bar: prompt, second prompt and seed come from it.
    """
    with tab_frame(t, "audio") as tab:
        parts = _layout(bar, t)
        clip = build_clip_part(t)
        pair = build_pair_part(t)
        with scene(t, "audio.levels"):
            live_html("audio/player", "audio-levels", value=HTML.levels(t), script=False)
    names = ("guidance_scale", "temperature", "top_k", "seconds")
    bar.keep("audio", books=parts.books, **dict(zip(names, parts.controls, strict=True)))
    attention_kinds(tab, "audio", t)
    values = [bar.prompt, bar.seed, *parts.controls, parts.model, parts.backend]
    _wire(values, parts, clip, tab, bar, t)
    wire_pair_part(pair, values, bar.prompt_b, parts.slot, t)


def _layout(bar: PromptBar, t: Texts) -> _Parts:
    with scene(t, "audio.player", kind="tab"):
        with gr.Row(elem_classes="image-actions", equal_height=True):
            make = gr.Button(
                t("audio.make"), variant="primary", elem_id="audio-make", elem_classes=ON_ENTER, scale=2
            )
            stop = gr.Button(t("audio.stop"), variant="stop", interactive=False, elem_id="audio-stop")
            reseed = gr.Button(t("audio.reseed"), elem_id="audio-reseed")
            download = gr.DownloadButton(t("audio.download"), interactive=False, elem_id="audio-download")
        with gr.Row(elem_classes="sv-examples"):
            for text in EXAMPLES:
                chip = gr.Button(text, size="sm", elem_classes="sv-chip")
                chip.click(None, outputs=bar.prompt, js=f"() => {json.dumps(text)}", api_visibility="private")
        player = HTML.player(t("audio.player.waiting"), GUESS, t)
        live_html("audio/player", PLAYER, t("audio.player.tracks"), player)
        feed = live_html("audio/feed", "audio-feed", classes=["sv-sr"])
        with gr.Row(equal_height=False):
            books = _books(t)
    with scene(t, "audio.guess", t("audio.guess.title"), t("audio.guess.hint")):
        live_html("audio/guess", GUESS, t("audio.guess.title"), HTML.guess(t), also=("audio/player",))
    with scene(t, "audio.controls"):
        with gr.Row():
            controls = _controls(t)
        with gr.Row(equal_height=False):
            model, backend = _models(t)
        licence = gr.Markdown(licence_text(catalogue.default_id("audio"), t), elem_classes="sv-hint")
    return _Parts(
        make, stop, reseed, download, feed, books, controls, model, backend, licence,
        gr.State(None), gr.State(RunSlot()),
    )  # fmt: skip


def _books(t: Texts) -> gr.Radio:
    choices = [(t("audio.books_one"), 1), (t("audio.books_some", number=2), 2),
               (t("audio.books_some", number=3), 3), (t("audio.books_all"), BOOKS)]  # fmt: skip
    return gr.Radio(
        choices, value=BOOKS, label=t("audio.books"), info=t("audio.books_info"), elem_id="audio-books"
    )


def _controls(t: Texts) -> list[Any]:
    default = AudioRequest("")
    ranges = {
        "guidance_scale": (0, MAX_GUIDANCE_SCALE, 0.5),
        "temperature": (0, MAX_TEMPERATURE, 0.1),
        "top_k": (0, 256, 1),
        "seconds": (MIN_SECONDS, MAX_SECONDS, 0.2),
    }
    return [
        slider(
            low, high, value=getattr(default, name), step=step, label=t(f"audio.{name}"),
            info=t(f"audio.{name}_info"), elem_id=f"audio-{name.replace('_', '-')}", min_width=400,
        )
        for name, (low, high, step) in ranges.items()
    ]  # fmt: skip


def _models(t: Texts) -> tuple[gr.Dropdown, gr.Radio]:
    model = gr.Dropdown(
        [(f"{e.title} · {e.licence}", e.id) for e in catalogue.entries("audio")],
        value=catalogue.default_id("audio"), label=t("audio.model"), info=t("audio.model_info"),
        filterable=False, elem_id="audio-model", min_width=300,
    )  # fmt: skip
    known = backends_of(catalogue.entry(catalogue.default_id("audio")))
    backend = gr.Radio(
        list(known), value=next(iter(known), None), visible=len(known) > 1,
        label=t("audio.backend"), info=t("audio.backend_info"), elem_id="audio-backend",
        min_width=300,
    )  # fmt: skip
    return model, backend


def licence_text(model: str, t: Texts) -> str:
    """What one may do with a model's weights, and how large they are."""
    e = catalogue.entry(model, "audio")
    kind = "free" if "NC" not in e.licence else "noncommercial"
    text = t(f"audio.licence_{kind}", title=e.title, licence=e.licence)
    size = t("audio.download_size", gigabytes=round(e.download_mb / 1000, 1)) if e.download_mb else ""
    return f"{text} {size}".strip()


def _wire(values: list[Any], p: _Parts, clip: ClipPart, tab: gr.Tab, bar: PromptBar, t: Texts) -> None:
    make, enter, go_on, hear, chosen = _handlers(t)
    again = {"inputs": [*values, p.made, p.slot], "outputs": p.outputs, "trigger_mode": "multiple", **AUDIO}
    p.make.click(make, **again)
    new_seed = "() => Math.floor(Math.random() * 4294967296)"
    p.reseed.click(None, outputs=bar.seed, js=new_seed, api_visibility="private").then(make, **again)
    tab.select(enter, **again)
    p.stop.click(lambda slot: slot.stop(), p.slot, queue=False, api_visibility="private")
    p.books.input(hear, [p.books, p.made], p.feed, **AUDIO)
    watch(audio=p.model)
    p.model.change(chosen, p.model, [p.backend, p.licence], api_visibility="private", show_progress="hidden")
    wire_clip_part(clip, p.model, t)
    clip.go_on.click(
        go_on, [*values, p.made, p.slot, clip.clip], p.outputs, trigger_mode="multiple", **AUDIO,
        js=_TO_THE_PLAYER,
    )  # fmt: skip


def _handlers(t: Texts) -> tuple[Callable[..., Any], ...]:
    """What the buttons, opening the tab, and choosing codebooks do."""

    @explained(t)
    def make(*inputs: Any) -> Iterator[Any]:
        *values, before, slot = inputs
        yield from audio_run(request_of(*values), None, before, slot, t)

    @explained(t)
    def go_on(*inputs: Any) -> Iterator[Any]:
        *values, before, slot, clip = inputs
        request = request_of(*values)
        yield from audio_run(request, codes_of(clip, request.model), before, slot, t)

    @explained(t)
    def enter(*inputs: Any) -> Iterator[Any]:
        *values, before, slot = inputs
        if slot.busy:  # the player is being filled already
            yield (gr.skip(),) * 5
            return
        request = before.sound.request if before is not None else request_of(*values)
        made = before or example_if_ready(request)
        if made is not None:
            example = "" if before is not None else t("audio.example", prompt=isolated(request.prompt))
            page, _, *rest = _shown(made, t, example)
            yield page, gr.skip(), *rest  # who pressed "make" meanwhile needs the stop button
        elif waits_for_click(request.model, t):
            yield gr.skip()
        else:
            yield from audio_run(request, None, None, slot, t, play=False)

    @explained(t)
    def hear(books: int, made: AudioResult | None) -> Any:
        return gr.skip() if made is None else feed_html([books_message(made, int(books), t)])

    @explained(t)
    def chosen(model: str) -> Any:
        known = backends_of(catalogue.entry(model, "audio"))
        backend = gr.update(choices=list(known), value=next(iter(known), None), visible=len(known) > 1)
        return backend, licence_text(model, t)

    return make, enter, go_on, hear, chosen


def codes_of(clip: AudioClip | None, model: str) -> np.ndarray:
    """The codes of a visitor's clip; one that another model's codec wrote is encoded anew."""
    if clip is None:
        raise InputError("clip_missing")
    return clip.codes_for(model)


def audio_run(
    request: AudioRequest, given: np.ndarray | None, before: AudioResult | None, slot: RunSlot, t: Texts,
    play: bool = True,
) -> Iterator[Any]:  # fmt: skip
    """Make a sound for one visitor; values for feed, stop and download button, codebooks and sound."""
    if request.backend == "bark":
        run = show_speech(request, before, slot, PLAYER, t, play)
    else:
        run = show_audio(request, given, before, slot, PLAYER, t, play)
    for page, made, running in run:
        if running:
            yield page, gr.update(interactive=True), gr.skip(), gr.skip(), gr.skip()
        elif made is None:
            yield page, gr.update(interactive=False), gr.skip(), gr.skip(), gr.skip()
        else:
            yield page, *_shown(made, t)[1:]


def _shown(made: AudioResult, t: Texts, text: str = "") -> tuple[Any, ...]:
    if made.level is not None:
        page = feed_html([speech_message(made, PLAYER, t)])
    else:
        page = feed_html([made_message(made, PLAYER, t, text=text)])
    path = written(lambda: save_wav(made.sound), t)
    download = gr.update(value=path, interactive=path is not None)
    return page, gr.update(interactive=False), download, BOOKS, made


def books_message(made: AudioResult, books: int, t: Texts) -> dict[str, Any]:
    """What the first codebooks of a sound alone hold."""
    sound = made.sound
    total = len(sound.codes)
    count = min(books, total)
    samples, text = sound.samples, t("audio.hearing_all")
    if count < total:
        samples = audio.hear(sound.codes[:count], sound.request.model)
        text = t("audio.hearing", books=count, total=total)
    return {
        "kind": "books", "player": PLAYER, "id": made.id, "play": True, "text": text,
        "books": count + (made.level is not None),  # where there is a row of meaning, it comes first
    } | audio_part(sound.sample_rate, sound.frame_rate, samples)  # fmt: skip


@endpoint(AUDIO)
def generate_audio(
    prompt: Text = DEFAULT_PROMPT,
    seed: Seed = 0,
    guidance_scale: Annotated[RealNumber, Field(ge=0, le=MAX_GUIDANCE_SCALE)] = 3.0,
    temperature: Annotated[RealNumber, Field(ge=0, le=MAX_TEMPERATURE)] = 1.0,
    top_k: Annotated[WholeNumber, Field(ge=0, le=MAX_TOP_K)] = 64,
    seconds: Annotated[RealNumber, Field(ge=MIN_SECONDS, le=MAX_SECONDS)] = 4.0,
    model: AudioModel = "classroom-audio",
    backend: Annotated[str, Strict(), OneOf(lambda: ("", "transformers", "audiocraft"))] = "",
    clip: File | None = None,
) -> tuple[gr.FileData, dict[str, Any]]:
    """Make a sound from a text, code by code.

    Args:
        prompt: what shall be heard, in English for the classroom model; up to 2000 characters.
        seed: 0 to 4294967295; the same seed and parameters give the same sound.
        guidance_scale: 0 to 10; 0 ignores the prompt, 1 is the plain conditional model.
        temperature: 0 to 2; 0 always takes the most probable code.
        top_k: codes that may be drawn, the most probable first; 0 for all.
        seconds: 0.2 to 10, what is made.
        model: id of a sound model in the catalogue.
        backend: "transformers" or "audiocraft", the library that runs it; empty for the model's usual one.
        clip: a sound to go on from, of up to 60 s, as WAV, FLAC, OGG, MP3, AIFF, M4A, MP4, WebM or AAC; its
            last 3 s count.

    Returns:
        The sound as WAV, with its parameters as JSON in its comment; and those parameters, with
        "sample_rate" (Hz), "frame_rate" (frames a second) and "codes" (codebook by codebook, frame by frame).
    """
    request = AudioRequest(
        prompt, seed, guidance_scale, temperature, top_k, seconds, model, backend
    ).validated()
    given = open_sent(clip, request.model).codes_for(request.model) if clip else None
    sound = bark.run(request) if request.backend == "bark" else audio.run(request, given)
    path = save_wav(sound)
    facts = {"sample_rate": sound.sample_rate, "frame_rate": sound.frame_rate, "codes": sound.codes.tolist()}
    file = gr.FileData(path=path, orig_name=Path(path).name, mime_type="audio/wav")
    return file, sounds.parameters(sound) | facts


API: dict[str, Callable[..., Any]] = {"generate_audio": generate_audio}
