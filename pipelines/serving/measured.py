"""What `make evaluate` measured, for tabs that say it; only as long as the weights are the same.

The evaluation writes into `assets/evaluation`: `evaluation.json` (one figure a row) and
`evaluation_words.json` (every distance between pictures, for the distributions of the prompt lab), each with
the hashes of the weights it speaks of.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import deserialize

from pipelines.serving import catalogue

EVALUATION = Path(__file__).parents[2] / "assets" / "evaluation"
WORD_KINDS = ("content", "property", "style", "atmosphere", "composition", "place")
# What the picture model reads of CLIP: tensors by the beginning of their names. Its other half, pictures and
# the joint space, may learn on without a picture changing.
_CLIP, TEXT_TOWER = "clip/open_clip_model.safetensors", "clip/text_tower"
_TEXT_TENSORS = ("token_embedding", "positional_embedding", "transformer", "ln_final")
# Which weights a figure speaks of, by the beginning of its id; the longest one counts.
_SPEAKS_OF = {
    "clip": ("clip",),
    "dino": ("dino",),
    "scorers": ("scorers",),
    "image": (TEXT_TOWER, "image", "scorers"),
    "image.word": ("clip", "image"),  # distances between pictures as CLIP sees them
    "sound_scorers": ("sound_scorers",),
    "audio": ("audio", "sound_scorers"),
    "film_scorers": ("film_scorers",),
    "video": (TEXT_TOWER, "dino", "film_scorers", "image", "motion"),
    "lessons": ("audio", "clip", "dino", "image", "motion"),
}
WORDS_SPEAK_OF = ("clip", "image")


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        id: such as "image.negative_ratio".
        value: what came out.
        must: what it has to reach, or None.
        n: sample size.
        ci95: 95 % interval.
        ok: whether it reaches what it must.
        judge: the judges that are too weak for this figure to count; empty if it counts.
    """

    id: str
    value: float
    must: float | None
    n: int
    ci95: tuple[float, float]
    ok: bool
    judge: tuple[str, ...] = ()


@dataclass(frozen=True)
class WordDistances:
    """How far pictures lie apart when a word changes, and when the seed does.

    Attributes:
        clip_model, image_model: catalogue ids of the models that were measured.
        prompts: how many prompts.
        seeds: how many seeds each.
        word_clip, word_pixel: by kind of word, `[change]` cosine distance 0..2 and 0..255.
        seed_clip, seed_pixel: `[pair]` between two seeds of one prompt.
        true_of_shipped: whether the weights are those that are shipped now.
    """

    clip_model: str
    image_model: str
    prompts: int
    seeds: int
    word_clip: Mapping[str, np.ndarray]
    word_pixel: Mapping[str, np.ndarray]
    seed_clip: np.ndarray
    seed_pixel: np.ndarray
    true_of_shipped: bool


@lru_cache(maxsize=64)
def _hash(path: Path, changed_ns: int, size: int) -> str:
    """SHA-256 of a file; time and size of the file are part of the key, so that new weights are noticed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=8)
def _hash_of_text_tower(path: Path, changed_ns: int, size: int) -> str:
    """SHA-256 of the names and values of the tensors that make texts into the vectors of their places."""
    digest = hashlib.sha256()
    for name, tensor in sorted(deserialize(path.read_bytes())):
        if name.startswith(_TEXT_TENSORS):
            digest.update(name.encode() + tensor["dtype"].encode() + bytes(tensor["data"]))
    return digest.hexdigest()


def weight_hashes() -> dict[str, str]:
    """SHA-256 of every shipped weight file, by its path under `assets/models`; of CLIP's text tower, too."""
    files = sorted(catalogue.ASSETS.rglob("*.safetensors"))
    found = {}
    for path in files:
        name, stat = path.relative_to(catalogue.ASSETS).as_posix(), path.stat()
        found[name] = _hash(path, stat.st_mtime_ns, stat.st_size)
        if name == _CLIP:
            found[TEXT_TOWER] = _hash_of_text_tower(path, stat.st_mtime_ns, stat.st_size)
    return found


def same_weights(folders: tuple[str, ...], then: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether all weights of some folders of `assets/models` are the same in two tables of hashes."""
    return all(then.get(f) == now.get(f) for f in then.keys() | now.keys() if f.startswith(folders))


def still_true(row_id: str, then: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether the weights that a figure speaks of are those it was measured with."""
    parts = max((part for part in _SPEAKS_OF if row_id.startswith(part)), key=len)
    return same_weights(_SPEAKS_OF[parts], then, now)


@lru_cache(maxsize=8)
def _parsed(path: Path, changed_ns: int) -> Any:
    return json.loads(path.read_text("utf-8"))


def _read(name: str) -> Any:
    """A file of the evaluation, or None where there is none."""
    path = EVALUATION / name
    return _parsed(path, path.stat().st_mtime_ns) if path.exists() else None


def figure(row_id: str) -> Figure | None:
    """A figure of the shipped weights; None if it was not measured, or on other weights.

    The first call reads and hashes the weights (some 30 MB); later ones only look at the files' times.

    Args:
        row_id: such as "image.negative_ratio".
    """
    found = _read("evaluation.json")
    row = next((r for r in found["rows"] if r["id"] == row_id), None) if found else None
    if row is None or not still_true(row_id, found["weights"], weight_hashes()):
        return None
    low, high = row["ci95"]
    judge = tuple(row.get("judge", ()))
    return Figure(row["id"], row["value"], row["must"], row["n"], (low, high), row["ok"], judge)


def word_distances() -> WordDistances | None:
    """The distances that the part "words" of `make evaluate` measured; None if it never ran."""
    found = _read("evaluation_words.json")
    if found is None:
        return None
    kinds = {kind: found["word"][kind] for kind in WORD_KINDS if kind in found["word"]}
    return WordDistances(
        found["clip_model"], found["image_model"], found["prompts"], found["seeds"],
        word_clip={kind: np.array(values["clip"]) for kind, values in kinds.items()},
        word_pixel={kind: np.array(values["pixel"]) for kind, values in kinds.items()},
        seed_clip=np.array(found["seed"]["clip"]), seed_pixel=np.array(found["seed"]["pixel"]),
        true_of_shipped=same_weights(WORDS_SPEAK_OF, found["weights"], weight_hashes()),
    )  # fmt: skip
