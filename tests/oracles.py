"""What several tests hold the code against: truths of the world, slow loops, a page as it is read."""

import base64
import html
import io
import json
import re
from dataclasses import fields, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from pipelines.dino.crops import Crops, MultiCrop, multi_crop
from pipelines.world.captions import holds, parse
from pipelines.world.films import Film, motion_phrases, parse_motion
from pipelines.world.sound import FEELINGS, INSTRUMENTS, MOODS, SoundScene, is_held_out_music
from pipelines.world.sound_captions import SoundFacts


def film_holds(text: str, film: Film) -> bool:
    """Whether everything that a text says is true of a film."""
    motion = parse_motion(text)
    for begin, end, _ in reversed(motion_phrases(text)):
        text = f"{text[:begin]} {text[end:]}"
    return motion in (None, film.motion) and holds(parse(text), film.scene)


def held_out_music() -> list[tuple[str, str]]:
    """All pairs of instrument and mood that training never lets hear."""
    return [(i, m) for i, m in product(INSTRUMENTS, MOODS) if is_held_out_music(i, m)]


def implied(facts: SoundFacts) -> SoundFacts:
    """The same facts with what an atmosphere word brings along: "cozy" is slow and calm."""
    if facts.atmosphere is None:
        return facts
    feeling = FEELINGS[facts.atmosphere]
    tempo = feeling.tempi[0] if len(feeling.tempi) == 1 else None
    return replace(
        facts,
        tempo=facts.tempo or tempo,
        mood=facts.mood or feeling.mood,
        structure=facts.structure or (feeling.structure if facts.instrument != "drum" else None),
    )


def sound_holds(facts: SoundFacts, scene: SoundScene) -> bool:
    """Whether everything that `facts` says is true of the scene."""
    return all(getattr(facts, f.name) in (None, getattr(scene, f.name)) for f in fields(SoundFacts))


def slow_loss(student: Tensor, targets: Tensor, first: int = 0) -> float:
    """DINO's published pseudo-code, one pair of crops and one picture at a time, in double precision.

    Args:
        student: `[crop, batch, prototype]` scores.
        targets: `[teacher's crop, batch, prototype]` distributions.
        first: how many of the teacher's crops the student has nothing to say about.
    """
    total, terms = 0.0, 0
    for t in range(len(targets)):
        for s in range(len(student)):
            if s + first == t:
                continue
            for b in range(student.shape[1]):
                scores = student[s, b].double().numpy() / 0.1
                log_p = scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())
                total += -float((targets[t, b].double().numpy() * log_p).sum())
            terms += 1
    return total / terms / student.shape[1]


def small_crops() -> Crops:
    """Two large and three small crops of six pictures of noise."""
    pixels = torch.rand(6, 3, 32, 32, generator=Generator().manual_seed(1)) * 2 - 1
    how = MultiCrop(global_side=16, local_side=8, local_count=3)
    return multi_crop(pixels, pixels, how, Generator().manual_seed(2))


def pixels(uri: str) -> np.ndarray:
    """The picture that a `data:` address holds."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def unpacked(text: str) -> np.ndarray:
    """The numbers of `components.runs.frames.packed`, as `trace.js` reads them."""
    found = base64.b64decode(text)
    return np.frombuffer(found, np.float32, 1) * np.frombuffer(found, np.int8, offset=4)


def data_of(page: str, name: str) -> dict[str, Any]:
    """What a page hands its script in the attribute `data-<name>`."""
    found = re.search(rf'data-{name}="([^"]*)"', page)
    assert found is not None
    return json.loads(html.unescape(found[1]))


def read(drawn: str) -> str:
    """What a person reads: without tags."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"</?bdi[^>]*>", "", drawn))))
