"""One word or another seed: how far apart their pictures are, over many prompts.

Writes assets/evaluation/evaluation_words.json, which the prompt lab draws its distributions from.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipelines.clip.model import encode_images
from pipelines.image.image import picture_change
from pipelines.image.prompt_lab import clip_distance
from pipelines.image.prompt_words import current, said, with_value, words_of
from pipelines.serving import measured
from pipelines.serving.measured import WORD_KINDS, WORDS_SPEAK_OF, weight_hashes
from pipelines.world.captions import caption
from pipelines.world.layout import draw_scene
from pipelines.world.scene import COLOURABLE
from training.drawing import draw
from training.evaluation_rows import EvaluationRow, evaluation_row, over_prompts

PROMPTS, SEEDS = 60, 2
MAX_CHARACTERS = 90  # longer captions say so much that hardly anything is left to the seed


@dataclass(frozen=True)
class WordTrial:
    """A prompt, and the same with one word of each kind changed or added."""

    prompt: str
    changed: dict[str, str]


@dataclass(frozen=True)
class Distances:
    """Distances between pictures by one measure.

    Attributes:
        word: `[kind, prompt, seed]` one word changed, same seed.
        seed: `[version, prompt, pair]` two seeds of one text; the first version is the prompt itself.
    """

    word: np.ndarray
    seed: np.ndarray


def trials(count: int = PROMPTS) -> list[WordTrial]:
    """Captions of the world as training writes them, the same in every run."""
    rng = np.random.default_rng(41)
    out: dict[str, WordTrial] = {}
    while len(out) < count:
        text = caption(draw_scene(rng), rng)
        if text not in out and len(text) <= MAX_CHARACTERS:
            out[text] = WordTrial(text, {kind: _changed(text, kind, rng) for kind in WORD_KINDS})
    return list(out.values())


def _changed(text: str, kind: str, rng: np.random.Generator) -> str:
    """The text with one other value of a kind: in the place of the one it names, or added."""
    dimension = kind
    if kind == "property":
        takes_colour = said(text, "content")[0].value in COLOURABLE
        dimension = str(rng.choice(["size", "colour"])) if takes_colour else "size"
    there = current(text, dimension)
    others = [value for value in words_of(dimension) if there is None or value != there.value]
    return with_value(text, dimension, str(rng.choice(others)))


def runs(found: Sequence[WordTrial], seeds: int) -> list[tuple[str, int]]:
    """Text and seed of every picture, `[trial, version, seed]` in one row.

    The versions of a prompt share their seeds; no two prompts share one, so that no single noise
    decides what another seed changes.
    """
    return [
        (text, 1000 * i + seed)
        for i, trial in enumerate(found)
        for text in (trial.prompt, *trial.changed.values())
        for seed in range(seeds)
    ]


def measure(found: Sequence[WordTrial], images: Sequence[Image.Image], seeds: int) -> dict[str, Distances]:
    """Distances among the pictures of some trials.

    Args:
        found: the trials.
        images: `[trial, version, seed]` in one row; the first version is the prompt itself.
        seeds: how many of each.

    Returns:
        By measure: "clip" (one minus cosine, 0..2) and "pixel" (mean absolute difference, 0..255).
    """
    shape = (len(found), 1 + len(WORD_KINDS), seeds)
    parts = [encode_images(images[i : i + 64], "classroom-clip") for i in range(0, len(images), 64)]
    seen = np.concatenate(parts).reshape(*shape, -1).swapaxes(0, 1)
    index = np.arange(len(images)).reshape(shape).swapaxes(0, 1)
    one, other = np.triu_indices(seeds, k=1)

    def pixels(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        pairs = zip(*(np.broadcast_to(x, a.shape).ravel() for x in (a, b)), strict=True)
        return np.array([picture_change(images[i], images[j]) for i, j in pairs]).reshape(a.shape)

    return {
        "clip": Distances(
            clip_distance(seen[1:], seen[:1]), clip_distance(seen[:, :, one], seen[:, :, other])
        ),
        "pixel": Distances(pixels(index[1:], index[:1]), pixels(index[:, :, one], index[:, :, other])),
    }


def share_beyond(distances: Distances, kinds: Sequence[int]) -> tuple[float, tuple[float, float]]:
    """Share of word changes that move the picture further than the median of seed changes.

    The changes of one prompt resemble each other, so the interval resamples prompts, not changes.

    Args:
        distances: by one measure.
        kinds: indices of the kinds that count.

    Returns:
        The share, and its 95 % interval.
    """
    word, seed = distances.word[list(kinds)], distances.seed

    def share(prompts: np.ndarray) -> float:
        return float((word[:, prompts] > np.median(seed[:, prompts])).mean())

    prompts = np.arange(word.shape[1])
    return share(prompts), over_prompts(share, prompts)


def _row(name: str, distances: Distances, kinds: Sequence[int]) -> EvaluationRow:
    value, ci95 = share_beyond(distances, kinds)
    word = distances.word[list(kinds)]
    return evaluation_row(name, value, None, word.size, ci95, word.shape[1])


def _write(found: dict[str, Distances], prompts: int, seeds: int) -> None:
    weights = {name: h for name, h in weight_hashes().items() if name.startswith(WORDS_SPEAK_OF)}
    digits = {"clip": 4, "pixel": 1}

    def rounded(values: np.ndarray, measure: str) -> list[float]:
        return [round(float(value), digits[measure]) for value in values.ravel()]

    content = {
        "weights": weights,
        "clip_model": "classroom-clip",
        "image_model": "classroom-image",
        "prompts": prompts,
        "seeds": seeds,
        "word": {
            kind: {m: rounded(d.word[i], m) for m, d in found.items()} for i, kind in enumerate(WORD_KINDS)
        },
        "seed": {m: rounded(d.seed, m) for m, d in found.items()},
    }
    measured.EVALUATION.mkdir(parents=True, exist_ok=True)
    (measured.EVALUATION / "evaluation_words.json").write_text(json.dumps(content) + "\n")


def evaluate_words(prompts: int = PROMPTS, seeds: int = SEEDS) -> list[EvaluationRow]:
    """How often one word changes the picture more than another seed does; writes all distances.

    Args:
        prompts: how many captions; each is drawn as it is and with a word of every kind changed.
        seeds: how many pictures of each text, at least two.
    """
    found = trials(prompts)
    texts, numbers = zip(*runs(found, seeds), strict=True)
    images = draw(texts, numbers)
    distances = measure(found, images, seeds)
    _write(distances, prompts, seeds)
    by_clip = distances["clip"]
    everything = _row("image.word_vs_seed", by_clip, range(len(WORD_KINDS)))
    return [everything, *(_row(f"image.word_{kind}", by_clip, [i]) for i, kind in enumerate(WORD_KINDS))]
