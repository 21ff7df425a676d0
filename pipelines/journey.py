"""One prompt at every station on its way to a picture, each with the pipeline of its own tab."""

from dataclasses import dataclass

from pipelines.clip.embeddings import Neighbour, embed
from pipelines.clip.model import encode_images, encode_texts
from pipelines.clip.world_texts import map_vectors
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
        neighbours: the nearest short phrases of the classroom world in CLIP's space; none of a blank prompt.
        vector: what the picture model is handed; of a transformer, with what its pipeline wraps around it.
    """

    context: Context
    neighbours: tuple[Neighbour, ...]
    vector: ControlVector | HandedOver


def read(prompt: str, clip_model: str, image_model: str) -> JourneyReading:
    """Read a prompt with a CLIP and with a picture model's own encoders.

    Args:
        prompt: may be blank, as models are handed tokens also then; a transformer is asked with a word.
        clip_model: catalogue id of the role "clip".
        image_model: catalogue id of the role "image".

    Raises:
        InputError: what the pipelines of the stations raise; `model_not_on_disk` for a transformer, which
            nothing but drawing fetches.
    """
    transformer = catalogue.entry(image_model, "image").is_transformer
    if transformer:
        check_on_disk(image_model)
    near = embed([prompt], clip_model, count=3)[0].phrases if prompt.strip() else ()
    (context,) = read_contexts([prompt], clip_model)
    hand_over = handed_over if transformer else control_vector
    return JourneyReading(context, near, hand_over(prompt, image_model))


@dataclass(frozen=True)
class Verdict:
    """What the preselected CLIP says of a run's picture.

    Attributes:
        score: cosine of the picture and its prompt, -1..1.
        usual: the same picture's mean cosine with the captions of the map, to compare with: what is high
            differs from CLIP to CLIP.
    """

    score: float
    usual: float


def judge(trace: Trace) -> Verdict:
    """Compare a run's picture with its prompt, and with texts that it was not drawn for."""
    model = catalogue.default_id("clip")
    (image,) = encode_images([trace.image], model)
    (text,) = encode_texts([trace.request.prompt], model)
    return Verdict(float(image @ text), float((map_vectors(model) @ image).mean()))
