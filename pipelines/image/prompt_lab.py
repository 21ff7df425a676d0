"""What one word of a prompt changes: pictures of one seed, side by side, and how far apart they are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from pipelines.clip.model import encode_images, encode_texts
from pipelines.image.image import decode, picture_change, steps_together
from pipelines.image.prompt_words import DEFECTS, left_out, variants
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError


@dataclass(frozen=True)
class Pictures:
    """Pictures of one batch, each with its distance from the first, the reference.

    Attributes:
        words: `[picture]` the word that was changed; "" where none was.
        prompts: `[picture]` what each was drawn from.
        images: `[picture]`.
        clip_distance: `[picture]` one minus the cosine of CLIP's picture vectors, 0..2.
        pixel_distance: `[picture]` mean absolute difference over pixels and channels, 0..255.
        clip_scores: `[picture]` cosine of each picture with its own prompt, -1..1.
        reference_scores: `[picture]` cosine of each picture with the first one's prompt, -1..1.
        done, total: steps taken of how many; fewer if the run was stopped.
    """

    words: tuple[str, ...]
    prompts: tuple[str, ...]
    images: tuple[Image.Image, ...]
    clip_distance: np.ndarray
    pixel_distance: np.ndarray
    clip_scores: np.ndarray
    reference_scores: np.ndarray
    done: int
    total: int


@dataclass(frozen=True)
class Batch:
    """Pictures to draw together.

    Attributes:
        requests: checked; the first is the reference.
        words: `[request]` the word that was changed; "" where none was.
    """

    requests: tuple[ImageRequest, ...]
    words: tuple[str, ...]


def clip_distance(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """One minus the cosine, row by row; all vectors `[picture, dim]` of length one."""
    return 1 - (vectors * others).sum(axis=-1)


def variants_batch(request: ImageRequest, dimension: str) -> Batch:
    """The prompt with one value of a dimension after another; see `prompt_words.variants`.

    Args:
        request: its prompt is the reference.
        dimension: one of `prompt_words.DIMENSIONS`.

    Raises:
        InputError: `dimension_unknown`, and what `ImageRequest.validated` raises.
    """
    checked = request.validated()
    found = variants(checked.prompt, dimension)
    return Batch(
        tuple(checked.varied(text).validated() for _, text in found),
        tuple(value or "" for value, _ in found),
    )


def left_out_batch(request: ImageRequest) -> Batch:
    """The prompt, and the prompt without each of its words; see `prompt_words.left_out`.

    Raises:
        InputError: `words_too_few`, and what `ImageRequest.validated` raises.
    """
    checked = request.validated()
    found = left_out(checked.prompt)
    texts = [checked.prompt, *(text for _, text in found)]
    requests = tuple(checked.varied(text).validated() for text in texts)
    return Batch(requests, ("", *(word for word, _ in found)))


def seeds_batch(request: ImageRequest, other_prompt: str, seeds: int = 4) -> Batch:
    """Both prompts from the same seeds: first all of the one prompt, then all of the other.

    Args:
        request: its prompt and the first seed.
        other_prompt: the prompt with one word changed.
        seeds: how many, counted on from the request's.
    """
    checked = request.validated()
    requests = [
        replace(checked.varied(text), seed=(checked.seed + i) % 2**32).validated()
        for text in (checked.prompt, other_prompt)
        for i in range(seeds)
    ]
    return Batch(tuple(requests), ("",) * len(requests))


def decoded(batch: Batch, steps: Sequence[DenoiseStep]) -> list[Image.Image]:
    """The pictures of a step; before the last one, the guided estimates."""
    last = steps[0].index + 1 == steps[0].total
    latents = np.stack([step.latents if last else step.denoised_guided for step in steps])
    return decode(latents, batch.requests[0].model)


def finished(batch: Batch, steps: Sequence[DenoiseStep], clip_model: str | None = None) -> Pictures:
    """Decode the last step of a batch and measure its pictures.

    Args:
        batch: the requests that the steps came from.
        steps: `[picture]` the last step of each; where a run was stopped, its guided estimate counts.
        clip_model: catalogue id of the role "clip"; None is the preselected one.
    """
    clip_model = clip_model or catalogue.default_id("clip")
    images = decoded(batch, steps)
    prompts = tuple(request.prompt for request in batch.requests)
    seen, read = encode_images(images, clip_model), encode_texts(prompts, clip_model)
    return Pictures(
        batch.words, prompts, tuple(images),
        clip_distance=clip_distance(seen, seen[:1]),
        pixel_distance=np.array([picture_change(image, images[0]) for image in images]),
        clip_scores=(seen * read).sum(axis=-1),
        reference_scores=seen @ read[0],
        done=steps[0].index + 1, total=steps[0].total,
    )  # fmt: skip


def drawn(batch: Batch) -> Pictures:
    """Draw a batch to its end and measure its pictures; see `finished`."""
    for steps in steps_together(batch.requests):
        last = steps
    return finished(batch, last)


@dataclass(frozen=True)
class SeedTrial:
    """One word against another seed, on one prompt.

    Attributes:
        images: `[prompt, seed]` the pictures; the second row has the word changed.
        word_clip: `[seed]` distance between the two prompts' pictures of one seed, 0..2.
        word_pixel: `[seed]` the same in pixels, 0..255.
        seed_clip: `[pair]` distance between two seeds' pictures of one prompt, 0..2.
        seed_pixel: `[pair]` the same in pixels.
    """

    images: tuple[tuple[Image.Image, ...], ...]
    word_clip: np.ndarray
    word_pixel: np.ndarray
    seed_clip: np.ndarray
    seed_pixel: np.ndarray


def compare_seeds(images: Sequence[Image.Image], clip_model: str) -> SeedTrial:
    """Distances within a batch of `seeds_batch`.

    Args:
        images: `[picture]` all of the one prompt, then as many of the other, in the same seeds.
        clip_model: catalogue id of the role "clip".
    """
    count = len(images) // 2
    seen = encode_images(images, clip_model).reshape(2, count, -1)
    rows = tuple(images[:count]), tuple(images[count:])
    one, other = np.triu_indices(count, k=1)
    return SeedTrial(
        rows,
        word_clip=clip_distance(seen[0], seen[1]),
        word_pixel=np.array([picture_change(a, b) for a, b in zip(*rows, strict=True)]),
        seed_clip=np.concatenate([clip_distance(row[one], row[other]) for row in seen]),
        seed_pixel=np.array(
            [picture_change(row[a], row[b]) for row in rows for a, b in zip(one, other, strict=True)]
        ),
    )


@dataclass(frozen=True)
class NegativePairs:
    """Two pairs from one seed: what a negative prompt does, and what the word "no" does.

    Attributes:
        images: four: the defect invited, the same steered away from it, "a cat, no dog", "a cat" steered
            away from "dog".
        defect_scores: `[2]` cosine of the first pair with the defect's word, -1..1.
        dog_scores: `[2]` cosine of the second pair with "a dog", -1..1.
        done, total: steps taken of how many.
    """

    images: tuple[Image.Image, ...]
    defect_scores: np.ndarray
    dog_scores: np.ndarray
    done: int
    total: int


def negative_batch(request: ImageRequest, defect: str) -> Batch:
    """The four pictures of `NegativePairs`; of the request, all but the two texts is used.

    Raises:
        InputError: `word_unknown` for a defect that the world does not know.
    """
    if defect not in DEFECTS:
        raise InputError("word_unknown", received=defect, known=", ".join(DEFECTS))
    word = DEFECTS[defect]
    invited = f"a cat, {word}"
    texts = ((invited, ""), (invited, word), ("a cat, no dog", ""), ("a cat", "dog"))
    requests = tuple(replace(request, prompt=p, negative_prompt=n).validated() for p, n in texts)
    return Batch(requests, ("",) * 4)


def negative_pairs(batch: Batch, steps: Sequence[DenoiseStep]) -> NegativePairs:
    """Decode the last step of a `negative_batch` and ask CLIP what it sees."""
    images = decoded(batch, steps)
    clip_model = catalogue.default_id("clip")
    texts = encode_texts([batch.requests[1].negative_prompt, "a dog"], clip_model)
    scores = encode_images(images, clip_model) @ texts.T
    return NegativePairs(tuple(images), scores[:2, 0], scores[2:, 1], steps[0].index + 1, steps[0].total)
