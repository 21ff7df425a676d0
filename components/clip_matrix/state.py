"""What one visitor has laid on the bench of the matrix tab, and what CLIP made of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from PIL import Image

from components.clip_matrix import view as draw
from components.runs.frames import thumbnail
from components.ui.errors import message
from components.ui.language import Texts
from components.ui.uploads import KEPT_SIDE, strip_html
from pipelines.clip import clip_matrix as pipeline
from pipelines.clip.clip_matrix import ClipMatrix, ZeroShot
from pipelines.image.request import Trace
from pipelines.serving.errors import InputError

LABELS = ("cat", "dog", "rabbit", "bird", "fish", "house", "tree", "car", "boat", "bed", "flower", "guitar")
TEMPLATE = "a {label}"

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Bench:
    """Pictures, texts and results.

    Attributes:
        images: at most `KEPT_SIDE` px a side.
        thumbs: a `data:` address for each picture.
        prompts: the texts.
        model: catalogue id that the results belong to; "" before the first.
        learned: that model's own temperature.
        matrix: pictures against texts, or why that cannot be; None before the first time.
        zero_shot: pictures against labels, or why that cannot be; None before the first time.
    """

    images: tuple[Image.Image, ...] = ()
    thumbs: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    model: str = ""
    learned: float = 0.07  # what CLIP's training starts from; replaced when a model is there
    matrix: ClipMatrix | InputError | None = None
    zero_shot: ZeroShot | InputError | None = None


def lines(text: str) -> tuple[str, ...]:
    """The texts of a box: one a line, blank lines left out."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def with_images(bench: Bench, images: Sequence[Image.Image]) -> Bench:
    """The bench with other pictures; its results are void.

    Raises:
        InputError: `pictures_count` if there are more than a matrix holds. None at all is allowed: a
            visitor may clear the bench before laying other pictures on it.
    """
    if len(images) > pipeline.MOST:
        raise InputError("pictures_count", received=len(images), most=pipeline.MOST)
    kept = []
    for image in images:
        small = image.convert("RGB")
        small.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
        kept.append(small)
    thumbs = tuple(thumbnail(image) for image in kept)
    return replace(bench, images=tuple(kept), thumbs=thumbs, matrix=None, zero_shot=None)


def _attempt(compute: Callable[..., Result], *args: Any) -> Result | InputError:
    """A result, or the reason why there is none, to be shown in its place."""
    try:
        return compute(*args)
    except InputError as error:
        return error


def _with_model(bench: Bench, model: str) -> Bench:
    """The bench with this model and its temperature."""
    learned = _attempt(pipeline.learned_temperature, model)
    return replace(bench, model=model, learned=bench.learned if isinstance(learned, InputError) else learned)


def compare(bench: Bench, texts: str, model: str) -> Bench:
    """Compare the pictures with the texts of a box."""
    bench = replace(_with_model(bench, model), prompts=lines(texts))
    matrix = _attempt(pipeline.compute_clip_matrix, bench.images, bench.prompts, model)
    return replace(bench, matrix=matrix)


def name(bench: Bench, labels: str, template: str, model: str) -> Bench:
    """Let the model choose a label of a box for each picture."""
    bench = _with_model(bench, model)
    zero_shot = _attempt(pipeline.classify, bench.images, lines(labels), template, model)
    return replace(bench, zero_shot=zero_shot)


def matrix_panel(bench: Bench, view: str, tau: float, t: Texts) -> str:
    """The matrix, or why there is none."""
    if isinstance(bench.matrix, InputError):
        return strip_html(bench.thumbs, t) + draw.alert_html(message(bench.matrix, t))
    return draw.matrix_html(bench.thumbs, bench.prompts, bench.matrix, view, tau, t)


def zero_shot_panel(bench: Bench, tau: float, t: Texts) -> str:
    """The zero-shot cards, or why there are none."""
    if isinstance(bench.zero_shot, InputError):
        return draw.alert_html(message(bench.zero_shot, t))
    if bench.zero_shot is None:
        return ""
    return draw.zero_shot_html(bench.thumbs, bench.zero_shot, tau, t)


def score_panel(bench: Bench, trace: Trace | None, prompts: tuple[str, ...], model: str, t: Texts) -> str:
    """The last generated picture against the bar's texts; while there is none, the first of the bench."""
    if trace is None and not bench.images:
        return draw.alert_html(t("clip_matrix.score_nothing"))
    names = ("prompt_a", "prompt_b", "negative")
    rows = [(t(f"clip_matrix.{n}"), text) for n, text in zip(names, prompts, strict=True) if text.strip()]
    image = bench.images[0] if trace is None else trace.image
    try:
        cosines = pipeline.compute_clip_matrix([image], [text for _, text in rows], model).similarity[0]
    except InputError as error:
        return draw.alert_html(message(error, t))
    caption = t("clip_matrix.score_sample" if trace is None else "clip_matrix.score_generated")
    scored = [(label, text, float(cosine)) for (label, text), cosine in zip(rows, cosines, strict=True)]
    return draw.score_html(thumbnail(image), scored, caption, t)


def panels(bench: Bench, view: str, temperature: float | None, t: Texts) -> tuple[str, str, str]:
    """Slider, matrix and zero-shot cards of a bench."""
    tau = bench.learned if temperature is None else temperature
    return (
        draw.temperature_html(tau, bench.learned, t),
        matrix_panel(bench, view, tau, t),
        zero_shot_panel(bench, tau, t),
    )
