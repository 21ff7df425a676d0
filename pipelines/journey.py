"""One prompt at every station on its way to a picture, each with the pipeline of its own tab."""

from dataclasses import dataclass

from pipelines.clip.embeddings import Neighbour, embed
from pipelines.clip.model import clip_scores
from pipelines.image.control_vector import ControlVector, control_vector
from pipelines.image.handed_over import HandedOver, check_on_disk, handed_over
from pipelines.image.request import Trace
from pipelines.serving import catalogue
from pipelines.text.context import Context, read_contexts


@dataclass(frozen=True, eq=False)
class JourneyReading:
    """How a prompt is read, up to what the generator is handed.

    Attributes:
        context: tokens, their vectors from layer to layer, and who looks at whom.
        neighbours: the nearest short phrases of the classroom world in CLIP's space.
        vector: what the picture model is handed; of a transformer, with what its pipeline wraps around it.
    """

    context: Context
    neighbours: tuple[Neighbour, ...]
    vector: ControlVector | HandedOver


def read(prompt: str, clip_model: str, image_model: str) -> JourneyReading:
    """Read a prompt with a CLIP and with a picture model's own encoders.

    Args:
        prompt: at least one word.
        clip_model: catalogue id of the role "clip".
        image_model: catalogue id of the role "image".

    Raises:
        InputError: what the pipelines of the stations raise; `model_not_on_disk` for a transformer, which
            nothing but drawing fetches.
    """
    transformer = catalogue.entry(image_model, "image").is_transformer
    if transformer:
        check_on_disk(image_model)
    (found,) = embed([prompt], clip_model, count=3)
    (context,) = read_contexts([prompt], clip_model)
    hand_over = handed_over if transformer else control_vector
    return JourneyReading(context, found.phrases, hand_over(prompt, image_model))


def score(trace: Trace) -> float:
    """How well a run's picture fits its prompt according to the preselected CLIP, as a cosine, -1..1."""
    return float(clip_scores([trace.image], [trace.request.prompt], catalogue.default_id("clip"))[0, 0])
