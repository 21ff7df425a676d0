"""What one visitor has laid on the matrix, and what CLIP made of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from markupsafe import Markup
from PIL import Image

from components.clip_matrix import view as draw
from components.runs.frames import thumbnail
from components.ui.errors import message
from components.ui.language import Texts
from components.ui.uploads import kept, strip_html
from pipelines.clip import clip_matrix as pipeline
from pipelines.clip.clip_matrix import ClipMatrix, ZeroShot
from pipelines.image.request import Trace
from pipelines.serving.errors import InputError

LABELS = ("cat", "dog", "rabbit", "bird", "fish", "house", "tree", "car", "boat", "bed", "flower", "guitar")
TEMPLATE = "a {label}"

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class MatrixState:
    """Pictures, texts and results.

    Attributes:
        images: at most `uploads.KEPT_SIDE` px a side.
        thumbs: a `data:` address for each picture.
        prompts: the texts.
        model: catalogue id that the results belong to; "" before the first.
        learned: that model's own temperature.
        bias: of a model that was trained with a sigmoid for each pair, what it learned to add; else None.
        matrix: pictures against texts, or why that cannot be; None before the first time.
        zero_shot: pictures against labels, or why that cannot be; None before the first time.
    """

    images: tuple[Image.Image, ...] = ()
    thumbs: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    model: str = ""
    learned: float = 0.07  # what CLIP's training starts from; replaced when a model is there
    bias: float | None = None
    matrix: ClipMatrix | InputError | None = None
    zero_shot: ZeroShot | InputError | None = None

    def temperature(self, moved: float | None) -> float:
        """Where the slider stands: the model's own temperature until somebody has moved it."""
        return self.learned if moved is None else moved


def lines(text: str) -> tuple[str, ...]:
    """The texts of a box: one a line, blank lines left out."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def with_images(state: MatrixState, images: Sequence[Image.Image]) -> MatrixState:
    """Other pictures; the results are void.

    Raises:
        InputError: `pictures_count` if there are more than a matrix holds. None at all is allowed: a
            visitor may take all away before bringing others.
    """
    if len(images) > pipeline.MOST:
        raise InputError("pictures_count", received=len(images), most=pipeline.MOST)
    small = kept(images)
    thumbs = tuple(thumbnail(image) for image in small)
    return replace(state, images=small, thumbs=thumbs, matrix=None, zero_shot=None)


def _attempt(compute: Callable[..., Result], *args: Any) -> Result | InputError:
    """A result, or the reason why there is none, to be shown in its place."""
    try:
        return compute(*args)
    except InputError as error:
        return error


def _with_model(state: MatrixState, model: str) -> MatrixState:
    """This model, its temperature and its bias."""
    learned = _attempt(pipeline.learned_temperature, model)
    if isinstance(learned, InputError):
        return replace(state, model=model)
    return replace(state, model=model, learned=learned, bias=pipeline.learned_logit_bias(model))


def compare(state: MatrixState, texts: str, model: str) -> MatrixState:
    """Compare the pictures with the texts of a box."""
    state = replace(_with_model(state, model), prompts=lines(texts))
    matrix = _attempt(pipeline.compute_clip_matrix, state.images, state.prompts, model)
    return replace(state, matrix=matrix)


def name(state: MatrixState, labels: str, template: str, model: str) -> MatrixState:
    """Let the model choose a label of a box for each picture."""
    state = _with_model(state, model)
    zero_shot = _attempt(pipeline.classify, state.images, lines(labels), template, model)
    return replace(state, zero_shot=zero_shot)


def matrix_panel(state: MatrixState, view: str, tau: float, t: Texts) -> Markup:
    """The matrix, or why there is none."""
    if isinstance(state.matrix, InputError):
        return strip_html(state.thumbs, t) + draw.alert_html(message(state.matrix, t))
    return draw.matrix_html(state.thumbs, state.prompts, state.matrix, view, tau, t)


def zero_shot_panel(state: MatrixState, tau: float, t: Texts) -> Markup:
    """The zero-shot cards, or why there are none."""
    if isinstance(state.zero_shot, InputError):
        return draw.alert_html(message(state.zero_shot, t))
    if state.zero_shot is None:
        return Markup()
    return draw.zero_shot_html(state.thumbs, state.zero_shot, tau, t)


def score_panel(
    state: MatrixState, trace: Trace | None, prompts: tuple[str, ...], model: str, t: Texts
) -> Markup:
    """The last generated picture against the bar's texts; while there is none, the first of the matrix."""
    if trace is None and not state.images:
        return draw.alert_html(t("clip_matrix.score_nothing"))
    names = ("prompt_a", "prompt_b", "negative")
    rows = [(t(f"clip_matrix.{n}"), text) for n, text in zip(names, prompts, strict=True) if text.strip()]
    image = state.images[0] if trace is None else trace.image
    try:
        cosines = pipeline.compute_clip_matrix([image], [text for _, text in rows], model).similarity[0]
    except InputError as error:
        return draw.alert_html(message(error, t))
    caption = t("clip_matrix.score_sample" if trace is None else "clip_matrix.score_generated")
    scored = [(label, text, float(cosine)) for (label, text), cosine in zip(rows, cosines, strict=True)]
    return draw.score_html(thumbnail(image), scored, caption, t)


def panels(state: MatrixState, view: str, temperature: float | None, t: Texts) -> tuple[Markup, ...]:
    """Slider, matrix, zero-shot cards, and what the numbers come from."""
    tau = state.temperature(temperature)
    is_sigmoid = state.bias is not None
    return (
        draw.temperature_html(tau, state.learned, t)
        if state.bias is None
        else draw.sigmoid_html(1 / state.learned, state.bias, t),
        matrix_panel(state, view, tau, t),
        zero_shot_panel(state, tau, t),
        draw.hint_html(t(f"clip_matrix.{'sigmoid' if is_sigmoid else 'temperature'}_hint")),
    )
