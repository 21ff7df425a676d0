"""Which picture fits which text: CLIP's similarity matrix and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.optimize import linear_sum_assignment
from scipy.special import expit, softmax

from pipelines.clip.model import Clip, clip_model, clip_scores
from pipelines.serving import catalogue
from pipelines.serving.checks import has_lone_surrogate, readable
from pipelines.serving.engine import whole_call
from pipelines.serving.errors import InputError
from pipelines.world.captions import caption
from pipelines.world.layout import draw_scene, lay_out
from pipelines.world.render import render
from pipelines.world.scene import Scene, Thing

MOST = 12  # pictures, texts or labels in one matrix
LONGEST_TEXT = 2000  # characters
LOWEST_TEMPERATURE = 0.001
SAMPLE_SIZE = 128  # px; CLIP reads its own size, people like to see more


@dataclass(frozen=True, eq=False)
class ClipMatrix:
    """How well every picture fits every text.

    Attributes:
        similarity: `[image, text]` cosine, -1..1.
        logits_per_image: `[image, text]` logit_scale * cosine + logit_bias, what the model was trained on.
        logit_bias: of a model that was trained with a sigmoid for each pair (SigLIP); None of one that was
            trained with a softmax over the pairs (CLIP), which has none.
    """

    similarity: np.ndarray
    logits_per_image: np.ndarray
    logit_bias: float | None = None

    def pair_probability(self) -> np.ndarray:
        """For each pair alone, how likely picture and text belong together: `[image, text]`, 0..1.

        What stands beside a pair changes nothing, and neither rows nor columns sum to one.

        Raises:
            InputError: `matrix_without_sigmoid` for a model that was trained with a softmax.

        Source: Zhai et al. 2023 (SigLIP), arXiv:2303.15343, section 3.2.
        """
        if self.logit_bias is None:
            raise InputError("matrix_without_sigmoid")
        return expit(self.logits_per_image)

    def softmax_over_texts(self, temperature: float) -> np.ndarray:
        """For each picture, how it divides 100 % among the texts: `[image, text]`, rows sum to 1.

        Args:
            temperature: the cosine is divided by it; CLIP's own is 1 / logit_scale.

        Raises:
            InputError: `temperature_range` unless it is a number above `LOWEST_TEMPERATURE`.
        """
        return softmax(self.similarity / _checked(temperature), axis=1)

    def softmax_over_images(self, temperature: float) -> np.ndarray:
        """For each text, how it divides 100 % among the pictures: `[image, text]`, columns sum to 1."""
        return softmax(self.similarity / _checked(temperature), axis=0)

    def pairing(self) -> tuple[tuple[int, int], ...]:
        """The pairs (picture, text) that CLIP would choose if nobody may be chosen twice.

        The sum of their cosines is the largest that any one-to-one pairing reaches. With more
        pictures than texts, or the other way round, some stay alone.

        Source: Kuhn 1955, "The Hungarian method for the assignment problem".
        """
        rows, columns = linear_sum_assignment(self.similarity, maximize=True)
        return tuple((int(i), int(j)) for i, j in zip(rows, columns, strict=True))


@dataclass(frozen=True, eq=False)
class ZeroShot:
    """What CLIP takes pictures for when it only knows the names of the classes.

    Attributes:
        labels: the classes' names, as given.
        texts: what CLIP read: the template with each label put in.
        matrix: `[image, label]`, each label standing for its text.
    """

    labels: tuple[str, ...]
    texts: tuple[str, ...]
    matrix: ClipMatrix

    def probabilities(self, temperature: float) -> np.ndarray:
        """For each picture, how it divides 100 % among the labels: `[image, label]`.

        Of a model that was trained with a sigmoid, each label's own probability, whatever the temperature.
        """
        if self.matrix.logit_bias is not None:
            return self.matrix.pair_probability()
        return self.matrix.softmax_over_texts(temperature)

    @property
    def best(self) -> tuple[str, ...]:
        """The likeliest label of each picture; no temperature changes which one that is."""
        return tuple(self.labels[i] for i in self.matrix.similarity.argmax(1))


def compute_clip_matrix(images: Sequence[Image.Image], prompts: Sequence[str], model: str) -> ClipMatrix:
    """Compare every picture with every text.

    Args:
        images: 1 to 12 pictures of any size.
        prompts: 1 to 12 texts; tokens beyond the model's context are cut off.
        model: catalogue id of the role "clip".

    Raises:
        InputError: `pictures_count`, `texts_count`, `text_empty`, `text_broken`, `text_too_long`;
            those of `models.load`.

    Source: Radford et al. 2021, arXiv:2103.00020, figure 3.
    """
    _check_texts(prompts)
    return _compared(images, prompts, model)


def _compared(images: Sequence[Image.Image], prompts: Sequence[str], model: str) -> ClipMatrix:
    """`compute_clip_matrix` for texts that are checked, or made of such."""
    _check_count("pictures_count", len(images))
    similarity = clip_scores(images, prompts, catalogue.entry(model, "clip").id)
    bias = learned_logit_bias(model)
    return ClipMatrix(similarity, similarity * learned_logit_scale(model) + (bias or 0.0), bias)


def classify(images: Sequence[Image.Image], labels: Sequence[str], template: str, model: str) -> ZeroShot:
    """Zero-shot classification: each label becomes a text, and each picture chooses among them.

    Args:
        images: 1 to 12 pictures.
        labels: 1 to 12 names of classes.
        template: text with `{label}` where the name goes, such as "a {label}".
        model: catalogue id of the role "clip".

    Raises:
        InputError: `template_without_label`, and those of `compute_clip_matrix`.

    Source: Radford et al. 2021, arXiv:2103.00020, section 3.1.2.
    """
    _check_texts(labels)
    readable(template)
    if "{label}" not in template:
        raise InputError("template_without_label", received=template[:60])
    # Not str.format: a visitor's template must not reach into objects.
    texts = tuple(template.replace("{label}", label.strip()) for label in labels)
    return ZeroShot(tuple(labels), texts, _compared(images, texts, model))


@whole_call("text", clip_model)
def learned_logit_scale(model: str) -> float:
    """The factor that the model learned to put between cosine and logit."""
    clip: Clip = clip_model(catalogue.entry(model, "clip").id)
    return clip.logit_scale


@whole_call("text", clip_model)
def learned_logit_bias(model: str) -> float | None:
    """What the model learned to add to the logit; None for one that was trained with a softmax."""
    clip: Clip = clip_model(catalogue.entry(model, "clip").id)
    return clip.logit_bias


def learned_temperature(model: str) -> float:
    """One over `learned_logit_scale`."""
    return 1 / learned_logit_scale(model)


def draw_pairs(count: int, seed: int) -> tuple[list[Image.Image], list[str]]:
    """Fresh scenes of the classroom world and the captions that tell them apart.

    Args:
        count: 1 to 12.
        seed: the same seed draws the same scenes.

    Returns:
        Pictures of `SAMPLE_SIZE` px, and a caption for each, no two alike.

    Raises:
        InputError: `pictures_count`.
    """
    _check_count("pictures_count", count)
    rng = np.random.default_rng(seed)
    images: list[Image.Image] = []
    prompts: list[str] = []
    while len(images) < count:
        scene = draw_scene(rng)
        text = caption(scene, rng)
        if scene.defect is None and text not in prompts:
            images.append(render(scene, rng, SAMPLE_SIZE)[0])
            prompts.append(text)
    return images, prompts


@dataclass(frozen=True)
class PairSet:
    """Scenes with texts that are one click away; `seed` decides what their texts leave open."""

    seed: int
    scenes: tuple[Scene, ...]
    texts: tuple[str, ...]


SETS = {
    "first": PairSet(  # the tab opens with it: each thing is named right
        1,
        (
            Scene((Thing("cat"),), place="room"),
            Scene((Thing("dog"), Thing("house")), "in front of", "meadow"),
            Scene((Thing("car", "blue"),), place="beach"),
            Scene((Thing("flower", "red"),) * 3, place="snow"),
            Scene((Thing("boat"),), place="sea", atmosphere="dim"),
        ),
        (
            "A cat in a room.", "A dog in front of a house.", "A blue car on the beach.",
            "Three red flowers in the snow.", "A boat on the sea. Dim lighting.",
        ),
    ),
    "relation": PairSet(  # the false text fits no worse
        4,
        (Scene((Thing("cat"), Thing("chair")), "on", "room"),),
        ("a cat on a chair", "a chair on a cat"),
    ),
    "misnamed": PairSet(  # small, and plain to see for anybody else
        4,
        (Scene((Thing("bird"),), place="meadow", composition="wide shot"),),
        ("A bird in a meadow. Wide shot.", "A fish."),
    ),
}  # fmt: skip


def pair_set(name: str) -> tuple[list[Image.Image], list[str]]:
    """The scenes and texts of one of `SETS`, always the same."""
    chosen = SETS[name]
    rng = np.random.default_rng(chosen.seed)
    images = [render(lay_out(scene, rng), rng, SAMPLE_SIZE)[0] for scene in chosen.scenes]
    return images, list(chosen.texts)


def first_pairs() -> tuple[list[Image.Image], list[str]]:
    """The five scenes and captions that the tab opens with."""
    return pair_set("first")


def _checked(temperature: float) -> float:
    if not LOWEST_TEMPERATURE <= temperature < np.inf:  # false for NaN as well
        raise InputError("temperature_range", received=temperature, lowest=LOWEST_TEMPERATURE)
    return temperature


def _check_count(key: str, received: int) -> None:
    if not 1 <= received <= MOST:
        raise InputError(key, received=received, most=MOST)


def _check_texts(texts: Sequence[str]) -> None:
    _check_count("texts_count", len(texts))
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise InputError("text_empty", number=number)
        if has_lone_surrogate(text):  # half a character; no tokenizer reads it
            raise InputError("text_broken")
        if len(text) > LONGEST_TEXT:
            raise InputError("text_too_long", number=number, received=len(text), most=LONGEST_TEXT)
