"""The control vector tab: what exactly is handed to the generator, and how one steers with it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import gradio as gr
import numpy as np
from pydantic import Field

from components.control_vector.blend import build_blend, cut_sentence, pair_html
from components.control_vector.own_view import own_table, own_view
from components.control_vector.pooled import build_pooled
from components.control_vector.view import handed_view, names_of, table_html
from components.control_vector.weight import build_weight, followed_choice, tokens_html
from components.page.prompt_bar import DEFAULT_PROMPT, PromptBar
from components.runs.arguments import GuidanceScale, ImageModel, Steps, TokenWeights
from components.runs.files import save_png
from components.runs.queues import STEPPER, TEXT, endpoint
from components.ui.arguments import Flag, RealNumber, Seed, Text
from components.ui.errors import explained, message
from components.ui.language import Texts, load_texts
from components.ui.layout import live_html, tab_frame
from components.ui.scene import scene
from components.ui.templates import templates
from components.ui.token_text import limit_sentence
from pipelines.clip.model import clip_scores
from pipelines.image import control_vector as pipeline
from pipelines.image import image
from pipelines.image.control_vector import Choice
from pipelines.image.handed_over import HandedOver, check_on_disk, handed_over
from pipelines.image.request import ImageRequest
from pipelines.image.steering import Steering
from pipelines.serving import catalogue
from pipelines.serving.catalogue import default_id
from pipelines.serving.errors import InputError
from pipelines.text.tokens import token_view


def build_control_vector_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and wire it.

    Args:
        bar: prompts, numbers and picture model come from it.
    """
    with tab_frame(t, "control_vector") as tab:
        with scene(t, "control_vector.handed", kind="tab"):
            show = gr.Radio(
                [(t(f"control_vector.show_{kind}"), kind) for kind in ("numbers", "difference")],
                value="numbers", label=t("control_vector.show"), elem_id="cv-show",
            )  # fmt: skip
            loading = templates("control_vector/view.html").message(t("control_vector.loading"))
            handed = live_html("control_vector/view", "cv-handed", value=loading)
        with scene(t, "control_vector.table"):
            table = live_html("control_vector/view", "cv-table", script=False)
        pair = build_blend(bar, tab, t)
        picker, chosen = build_weight(bar, t)
        build_pooled(bar, t)
    bar.keep("control_vector", show=show)
    inputs = [bar.prompt, bar.prompt_b, bar.image_model, show, chosen]
    outputs = [handed, table, pair, picker, chosen]
    follow = _follow(t)
    bar.follow(tab, [part.change for part in inputs[:-1]], follow, inputs, outputs, **TEXT)


def _follow(t: Texts) -> Callable[..., Any]:
    """Everything that needs no picture, anew; what cannot be read is explained in its place."""

    @explained(t)
    def follow(prompt: str, prompt_b: str, model: str, show: str, chosen: Choice | None) -> Any:
        try:
            if catalogue.entry(model).is_transformer:
                return _own(prompt or "", prompt_b or "", model, show == "difference", t)
            vector = pipeline.control_vector(prompt or "", model)
            pair = pair_html(prompt or "", prompt_b or "", model, t)
        except InputError as error:
            refused = templates("control_vector/view.html").message(message(error, t), role="alert")
            return refused, *(gr.skip(),) * 4
        kept, note = followed_choice(vector.tokens, chosen, t)
        return (
            handed_view(vector, show == "difference", model, t),
            table_html(vector, model, t),
            pair,
            tokens_html(vector.tokens, kept, note, t),
            kept or chosen,
        )

    return follow


def _own(prompt: str, prompt_b: str, model: str, difference: bool, t: Texts) -> Any:
    """The same of a transformer, where it was downloaded before.

    Raises:
        InputError: what `handed_over` and `pair_html` raise.
    """
    said = templates("control_vector/view.html").message
    try:
        check_on_disk(model)
    except InputError as error:
        return said(message(error, t)), *(gr.skip(),) * 4
    found = handed_over(prompt, model)
    refused = said(t("errors.token_weights_closed", title=catalogue.entry(model).title))
    pair = pair_html(prompt, prompt_b, model, t)
    return own_view(found, difference, t), own_table(found, t), pair, refused, gr.skip()


def _own_json(found: HandedOver) -> dict[str, Any]:
    """What a program is told of a transformer's sequence, whose millions of numbers stay here."""
    return {
        "model": found.model,
        "sequence_shape": list(found.sequence.shape),
        "tokens": [row.text if row.kind != "padding" else "padding" for row in found.rows],
        "kinds": [row.kind for row in found.rows],
        "lengths": [round(float(v), 5) for v in found.lengths],
        "seen": found.seen.tolist(),
        "bands": [asdict(band) for band in found.bands],
        "pooled_vector": None if found.pooled is None else [round(float(v), 5) for v in found.pooled],
    }


@endpoint(TEXT)
def control_vector(prompt: Text = DEFAULT_PROMPT, model: ImageModel = "classroom-image") -> dict[str, Any]:
    """Show what exactly a picture model is handed for a text, and which parts of it the model reads.

    Args:
        prompt: the text; up to 2000 characters. Empty gives what "without prompt" means for guidance.
        model: id of a picture model in the catalogue.

    Returns:
        `sequence_shape` (places, width) and `sequence`, one vector per token place; `tokens` at their places;
        `pooled_place`, counted from 0, of the first end token, and `pooled_vector`; `lengths` of the vectors;
        `nearest`, for each place the places of the vectors most alike and their cosines; `reads`: `kind`,
        `cross_attention_layers`, `pooled_size` (0 where the model reads no pooled vector), `text_in_time`;
        `padding_differs_from_empty`: mean distance of the padding's vectors from the empty prompt's;
        `message`: how full the model's places are. Of a transformer that was downloaded before:
        `sequence_shape`, `lengths`, `pooled_vector` (none where it has none), what stands at each place
        (`tokens`, and `kinds`: "word", "mark", "template" for what is wrapped around the prompt, "padding"),
        whether it is `seen`, and `bands`: which encoder and hidden layer wrote which places and columns.
    """
    if catalogue.entry(model).is_transformer:
        check_on_disk(model)
        return _own_json(handed_over(prompt, model))
    vector = pipeline.control_vector(prompt, model)
    tokens, reads = vector.tokens, vector.reads
    gap = np.linalg.norm((vector.sequence - vector.empty)[tokens.used :], axis=1)
    return {
        "model": model,
        "sequence_shape": list(vector.sequence.shape),
        "sequence": [[round(float(v), 5) for v in row] for row in vector.sequence],
        "tokens": names_of(tokens, load_texts("en")),
        "pooled_place": vector.end,
        "pooled_vector": [round(float(v), 5) for v in vector.pooled],
        "pooled_is_row": vector.pooled_is_row,
        "lengths": [round(float(v), 5) for v in vector.lengths],
        "nearest": [
            [{"place": int(p), "cosine": round(float(c), 5)} for p, c in zip(*row, strict=True)]
            for row in zip(vector.nearest, vector.cosines, strict=True)
        ],
        "reads": {
            "kind": reads.kind, "sequence": True, "cross_attention_layers": reads.layers,
            "pooled_size": reads.pooled, "text_in_time": reads.kind != "sequence", "encoders": reads.encoders,
        },
        "padding_differs_from_empty": round(float(gap.mean()), 5) if len(gap) else None,
        "message": limit_sentence(tokens, load_texts("en")),
    }  # fmt: skip


@endpoint(STEPPER)
def steer(
    prompt: Text = DEFAULT_PROMPT,
    prompt_b: Text = "A red car in the snow.",
    blend: Annotated[RealNumber, Field(ge=0, le=1)] = 0.5,
    token_weights: TokenWeights = [],  # noqa: B006  read only; shown to callers as the default
    pooled_only: Flag = False,
    seed: Seed = 0,
    guidance_scale: GuidanceScale = 5.0,
    num_inference_steps: Steps = 20,
    model: ImageModel = "classroom-image",
) -> tuple[gr.FileData, dict[str, Any]]:
    """Draw a picture from a changed control vector.

    Args:
        prompt: the text; up to 2000 characters.
        prompt_b: a second text to steer towards; may be empty where blend is 0.
        blend: place on the straight line from the prompt's vectors (0) to those of prompt_b (1).
        token_weights: pairs of a token place, counted from 0 (the start token), and its weight from 0 to 2,
            such as [[3, 0.5]]; 0 puts the empty prompt's vector there, 1 leaves the prompt's.
        pooled_only: put the end token's vector at every place.
        seed: 0 to 4294967295; decides the noise that the picture starts from.
        guidance_scale: 0 to 20.
        num_inference_steps: 1 to 100 steps from noise to picture.
        model: id of a picture model in the catalogue.

    Returns:
        The picture as PNG, with its parameters in the text chunk "parameters"; and those parameters,
        `clip_score` with the prompt, `clip_score_b` with prompt_b (none if it is empty), and `message`,
        `message_b`: how full the model's places are with either text.
    """
    levers = Steering(prompt_b or "", blend, None, token_weights, bool(pooled_only))  # type: ignore[arg-type]
    request = ImageRequest(
        prompt, "", seed, guidance_scale, num_inference_steps, "ddim", model, steering=levers
    ).validated()
    second = request.steering.prompt_b
    if request.steering.blend:
        pipeline.check_pair(request.prompt, second, request.model)
    trace = image.run(request)
    texts = [text for text in (request.prompt, second) if text.strip()]
    scores = [round(float(s), 6) for s in clip_scores([trace.image], texts, default_id("clip"))[0]]
    said = [_fullness(text, request.model) for text in texts]
    file = gr.FileData(path=save_png(trace), orig_name=f"seed-{request.seed}.png", mime_type="image/png")
    return file, {
        "parameters": trace.request.parameters(),
        "clip_score": scores[0],
        "clip_score_b": scores[1] if len(scores) > 1 else None,
        "message": said[0],
        "message_b": said[1] if len(said) > 1 else None,
    }


def _fullness(text: str, model: str) -> str:
    """How full a model's places are with a text; of a transformer, only what is cut off."""
    t = load_texts("en")
    if catalogue.entry(model).is_transformer:
        return cut_sentence(text, model, t)
    return limit_sentence(token_view(text, model), t)


API: dict[str, Callable[..., Any]] = {"control_vector": control_vector, "steer": steer}
