"""The video tab: a film as a sequence of latent tokens, and what keeps it in one piece."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import gradio as gr
from pydantic import Field, Strict

from components.page.prompt_bar import FIRST, BarValues, PromptBar
from components.page.vocabulary import reads, watch
from components.runs.arguments import GuidanceScale, LaterTexts, Steps, VideoModel
from components.runs.exact import exact_rows_on_demand
from components.runs.files import FILM_TYPES, save_video, written
from components.runs.queues import FILM, endpoint
from components.runs.slot import RunSlot
from components.runs.unasked import waits_for_click
from components.ui.arguments import Flag, OneOf, Seed, Text, WholeNumber
from components.ui.attention import attention_kinds
from components.ui.errors import explained
from components.ui.fields import slider
from components.ui.language import Texts
from components.ui.layout import ON_ENTER, live_html, one_click_away, tab_frame
from components.ui.numbers import short
from components.ui.scene import scene
from components.video.pair import build_pair, motion_label, wire_pair
from components.video.run import (
    FIRST_FRAMES,
    FIRST_PROMPT,
    FIRST_STEPS,
    example_video,
    first_request,
    video_run,
)
from components.video.sheets import LiveVideo, VideoResult
from components.video.view import HTML, finished_view, inside_view, inside_waiting, running_view
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.video import video
from pipelines.video.cost import video_cost
from pipelines.video.files import FORMATS
from pipelines.video.measures import measure
from pipelines.video.request import VideoRequest
from pipelines.video.words import said_motion, with_motion_word
from pipelines.world.films import MOTIONS


@dataclass(frozen=True)
class _Parts:
    """The tab's components; `downloads` in the order of `FORMATS`."""

    prompt: gr.Textbox
    motion: gr.Radio
    model: gr.Dropdown
    steps: gr.Slider
    frames: gr.Slider
    cost: gr.HTML
    draw: gr.Button
    from_bar: gr.Button
    stop: gr.Button
    view: gr.HTML
    inside: gr.HTML
    downloads: list[gr.DownloadButton]
    result: gr.State
    slot: gr.State
    asked: gr.State

    @property
    def inputs(self) -> list[Any]:
        return [self.prompt, self.steps, self.frames, self.model, self.asked, self.result, self.slot]

    @property
    def outputs(self) -> list[Any]:
        return [self.view, self.inside, self.cost, self.stop, *self.downloads, self.asked, self.result]


def _layout(t: Texts) -> _Parts:
    with scene(t, "video.consistency", kind="tab"):
        with gr.Row(equal_height=False, elem_classes="video-ask"):
            prompt = gr.Textbox(
                FIRST_PROMPT, label=t("video.prompt"), elem_id="video-prompt",
                elem_classes=["sv-text", reads("video")], max_lines=3, scale=4, min_width=320,
            )  # fmt: skip
            draw = gr.Button(t("video.draw"), variant="primary", elem_id="video-draw", scale=1, min_width=180)
            stop = gr.Button(
                t("image.stop"),
                variant="stop",
                interactive=False,
                elem_id="video-stop",
                scale=0,
                min_width=130,
            )
        choices = [(motion_label(name, t), name) for name in MOTIONS]
        motion = gr.Radio(
            [*choices, (t("video.no_motion"), "")], value=said_motion(FIRST_PROMPT),
            label=t("video.motion_word"), elem_id="video-motion", elem_classes="video-chips",
        )  # fmt: skip
        cost = gr.HTML("", elem_id="video-cost", apply_default_css=False)
        view = live_html("video/view", "video-view", t("video.title"))
        with gr.Row(elem_classes="video-files", equal_height=True):
            downloads = [
                gr.DownloadButton(t("video.save", kind=kind.upper() if kind != "webp" else "WebP"), size="md",
                                  interactive=False, elem_id=f"video-{kind}", min_width=120)
                for kind in FORMATS
            ]  # fmt: skip
            from_bar = gr.Button(
                t("video.from_bar"), size="md", elem_id="video-from-bar", elem_classes=ON_ENTER, min_width=220
            )
        with one_click_away(t("video.more"), "video-more"), gr.Row():
            known = [(e.title, e.id) for e in catalogue.entries("video")]
            model = gr.Dropdown(
                known, value=catalogue.default_id("video"), label=t("video.model"),
                info=t("video.model_info"), filterable=False, elem_id="video-model", scale=2,
            )  # fmt: skip
            steps = slider(2, 50, value=FIRST_STEPS, step=1, label=t("video.steps"), elem_id="video-steps")
            frames = slider(
                2, 32, value=FIRST_FRAMES, step=1, label=t("video.frames"), elem_id="video-frames"
            )
    with scene(t, "video.tokens", t("video.tokens_title"), t("video.tokens_claim")):
        inside = live_html("video/view", "video-inside", t("video.tokens_title"), inside_waiting(t))
    return _Parts(
        prompt, motion, model, steps, frames, cost, draw, from_bar, stop, view, inside, downloads,
        gr.State(None), gr.State(RunSlot()), gr.State(""),
    )  # fmt: skip


def build_video_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and wire it.

    Args:
        bar: seed, scale and negative prompt come from it, and its prompt on a click.
    """
    with tab_frame(t, "video") as tab:
        parts = _layout(t)
        exact_rows_on_demand(parts.view, parts.result, "video-exact", _exact, FILM)
        pair = build_pair(t)
    bar.keep("video", prompt=parts.prompt, steps=parts.steps, frames=parts.frames, lever=pair.lever,
             other=pair.motion, later=pair.later, frame=pair.frame)  # fmt: skip
    attention_kinds(tab, "video", t)
    _wire(bar, t, tab, parts, wire_pair(pair, parts.result, parts.slot, t), pair)


def _wire(bar: PromptBar, t: Texts, tab: gr.Tab, p: _Parts, first_pair: Any, pair: Any) -> None:
    inputs = [*p.inputs, bar.negative_prompt, bar.seed, bar.guidance_scale]
    draw, enter = _handlers(t)
    quiet: dict[str, Any] = {"queue": False, "api_visibility": "private"}

    @explained(t)
    def said(motion: str, prompt: str) -> str:
        return with_motion_word(prompt, motion or "")

    @explained(t)
    def from_bar(prompt: str, motion: str) -> tuple[str, str]:
        told = said_motion(prompt)  # what the prompt says itself comes first
        return (prompt, told) if told else (with_motion_word(prompt, motion or ""), motion or "")

    @explained(t)
    def adopt(typed: str, prompt: str, motion: str, result: VideoResult | None) -> tuple[Any, Any]:
        """A prompt of the visitor's own becomes the video's, as long as this has none of its own."""
        own = prompt != FIRST_PROMPT or result is not None
        return (gr.skip(), gr.skip()) if own or typed == FIRST.prompt else from_bar(typed, motion)

    watch(p.prompt, video=p.model)
    p.motion.input(said, [p.motion, p.prompt], p.prompt, **quiet)
    p.prompt.change(lambda text: said_motion(text) or "", p.prompt, p.motion, **quiet)
    again = {"inputs": inputs, "outputs": p.outputs, "trigger_mode": "multiple", **FILM}
    p.draw.click(draw, **again)
    p.prompt.submit(draw, **again)
    p.from_bar.click(from_bar, [bar.prompt, p.motion], [p.prompt, p.motion], **quiet).then(draw, **again)
    p.stop.click(lambda slot: slot.stop(), p.slot, **quiet)
    p.model.change(_chosen(t), [p.model, p.steps], [p.cost, p.frames], trigger_mode="multiple", **quiet)
    adopted = tab.select(adopt, [bar.prompt, p.prompt, p.motion, p.result], [p.prompt, p.motion], **quiet)
    entered = adopted.then(enter, inputs, p.outputs, **FILM)
    entered.success(
        first_pair, [pair.lever, pair.motion, pair.later, pair.frame, p.result, p.slot, pair.pair],
        [pair.view, pair.stop, pair.pair], **FILM,
    )  # fmt: skip


def _exact(result: VideoResult | None) -> tuple[str, dict[str, list[str]]] | None:
    return None if result is None else (result.run, {"main": list(result.exact_sheets)})


def _handlers(t: Texts) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What a click on Draw does, and what opening the tab does."""

    @explained(t)
    def draw(prompt: str, steps: int, frames: int, model: str, asked: str, result: VideoResult | None,
             slot: RunSlot, negative: str, seed: int, scale: float) -> Iterator[Any]:  # fmt: skip
        request = VideoRequest(
            prompt, (), negative or "", seed, scale, steps, frames, model=model
        ).validated()
        cost = video_cost(request)
        if cost.long and asked != (
            key := f"{request.model} {request.num_inference_steps} {request.num_frames}"
        ):
            slot.stop()
            ask = t("video.ask", **_cost_words(request, t))
            yield gr.skip(), gr.skip(), HTML.notice(ask), *(gr.skip(),) * (2 + len(FORMATS)), key, gr.skip()
            return
        yield from _draw_run(request, result, slot, t)

    @explained(t)
    def enter(prompt: str, steps: int, frames: int, model: str, asked: str, result: VideoResult | None,
              slot: RunSlot, *values: Any) -> Iterator[Any]:  # fmt: skip
        bar = BarValues()
        usual = (bar.negative_prompt, bar.seed, bar.guidance_scale)
        if result is not None or slot.busy:
            yield (gr.skip(),) * (6 + len(FORMATS))
        elif waits_for_click(model, t):
            yield gr.skip()
        elif (prompt, steps, frames, *values) != (FIRST_PROMPT, FIRST_STEPS, FIRST_FRAMES, *usual):
            yield from draw(prompt, steps, frames, model, asked, result, slot, *values)
        elif (ready := example_video(first_request())) is not None:
            page, inside, cost, _, *rest = _show(ready, t("video.example"), t)
            yield page, inside, cost, gr.skip(), *rest  # who pressed "draw" meanwhile needs the stop button
        else:
            yield from _draw_run(first_request(), None, slot, t)

    return draw, enter


def _draw_run(request: VideoRequest, before: VideoResult | None, slot: RunSlot, t: Texts) -> Iterator[Any]:
    off = [gr.update(interactive=False)] * len(FORMATS)

    def restored() -> tuple[Any, ...]:
        if before is not None:
            return _show(before, "", t)
        return "", inside_waiting(t), "", gr.update(interactive=False), *off, "", gr.skip()

    def running(live: LiveVideo) -> tuple[Any, ...]:
        page = running_view(live, t)
        if live.steps:
            return page, *(gr.skip(),) * (5 + len(FORMATS))
        return page, inside_waiting(t), "", gr.update(interactive=True), *off, gr.skip(), gr.skip()

    yield from video_run(
        request, slot, running, lambda result: _show(result, _remark(result, t), t), restored
    )


def _show(result: VideoResult, remark: str, t: Texts) -> tuple[Any, ...]:
    page = finished_view(result, remark, t)
    trace = result.trace
    paths = written(lambda: [save_video(trace, kind) for kind in FORMATS], t) if trace.whole else None
    files = [
        gr.update(value=paths[i] if paths else None, interactive=paths is not None)
        for i in range(len(FORMATS))
    ]
    return page, inside_view(result, t), "", gr.update(interactive=False), *files, "", result


def _remark(result: VideoResult, t: Texts) -> str:
    last = result.trace.steps[-1]
    return "" if result.trace.whole else t("video.stopped", step=last.index + 1, total=last.total)


def _cost_words(request: VideoRequest, t: Texts) -> dict[str, str]:
    cost = video_cost(request)
    return {
        "title": catalogue.entry(request.model).title,
        "minutes": short(cost.seconds / 60, t, 0 if cost.seconds > 600 else 1),
        "gib": short(cost.gib, t, 0),
        "teraflop": short(cost.teraflop, t, 0),
        "device": t(f"video.device_{catalogue.device()}"),
    }


def _chosen(t: Texts) -> Callable[[str, int], tuple[Any, Any]]:
    """What choosing a model says: what it downloads and needs; and how many frames its films have."""

    def chosen(model: str, steps: int) -> tuple[Any, Any]:
        e = catalogue.entry(model, "video")
        rule = e.frame
        assert rule is not None
        slider = gr.update(maximum=rule.most, value=rule.count)
        if e.family == "classroom":
            return "", slider
        request = VideoRequest("a cat", num_inference_steps=steps, model=model).validated()
        words = _cost_words(request, t) | {"download": short(e.download_mb / 1000, t)}
        return HTML.notice(t("video.cost", **words)), slider

    return chosen


@endpoint(FILM)
def generate_video(
    prompt: Text = "A cat walks right in a meadow.",
    later: LaterTexts | None = None,
    negative_prompt: Text = "",
    seed: Seed = 0,
    guidance_scale: GuidanceScale = 5.0,
    num_inference_steps: Steps = FIRST_STEPS,
    num_frames: Annotated[WholeNumber, Field(ge=2)] = 16,
    motion: Flag = True,
    format: Annotated[str, Strict(), OneOf(lambda: FORMATS)] = "mp4",
    model: VideoModel = "classroom-video",
) -> tuple[gr.FileData, dict[str, Any]]:
    """Draw a video from a text.

    Args:
        prompt: what the video shall show, in English for the classroom model: "A dog jumps in the snow."
        later: texts for later frames, such as [[8, "A cat on a beach."]]; frames count from 0, in order;
            between two texts the video goes over from one to the other.
        negative_prompt: what to steer away from; may be empty.
        seed: 0 to 4294967295; the same seed and parameters give the same video.
        guidance_scale: 0 to 20.
        num_inference_steps: 1 to 100 steps from noise to video.
        num_frames: 2 to 32 for the classroom model, which was trained with 16.
        motion: false switches the attention between frames off: each frame is drawn for itself.
        format: "mp4", "gif" or "webp".
        model: id of a video model in the catalogue.

    Returns:
        The video as a file, and "parameters"; "consistency" (VBench's formula on DINO's features, 0 to 1);
        "speed", px a frame at 64 px width, of the fastest twentieth of the picture; "moves"; "similarity"
        [frame][frame], cosines; "blocks" and "attention" [block][frame][frame] of the last step, empty
        without motion.
    """
    if format not in FORMATS:
        raise InputError("film_format_unknown", received=format, known=", ".join(FORMATS))
    request = VideoRequest(
        prompt, tuple(tuple(pair) for pair in later or ()), negative_prompt, seed, guidance_scale,  # type: ignore[misc]
        num_inference_steps, num_frames, motion=motion, model=model,
    )  # fmt: skip
    trace = video.run(request)
    found, inside = measure(trace.frames), trace.steps[-1].inside
    path = save_video(trace, format)
    return gr.FileData(path=path, orig_name=Path(path).name, mime_type=FILM_TYPES[format]), {
        "parameters": trace.request.parameters(),
        "consistency": round(found.consistency, 4),
        "speed": round(found.speed, 3),
        "moves": found.moves,
        "similarity": found.similarity.round(4).tolist(),
        "blocks": list(inside.blocks) if inside else [],
        "attention": inside.frames.round(4).tolist() if inside else [],
    }


@wraps(generate_video)
def _generate_film(*args: Any, **kwargs: Any) -> Any:
    return generate_video(*args, **kwargs)


_generate_film.__name__ = "generate_film"  # what MCP calls it
API: dict[str, Callable[..., Any]] = {
    "generate_video": generate_video,
    "generate_film": _generate_film,  # its name before, for programs that know it
}
