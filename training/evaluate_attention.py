"""Cross-attention maps of nouns against the true masks, on renders that no run has made.

Source: the protocol of Helbling et al. 2025 (ConceptAttention), arXiv:2502.04320, section 4: noise a picture,
ask the model once with a text about it, and compare a noun's map, cut at its mean, with the thing's place.
"""

from dataclasses import replace

import numpy as np
from tqdm import tqdm

from pipelines.image.cross_attention_of_picture import overlaps, picture_maps, world_picture
from training.evaluation_rows import EvaluationRow, evaluation_row, over_prompts

SCENES, FIRST_SEED = 300, 10_000  # layers and noise levels were chosen on other scenes
VISIBLE = 20  # px; a thing of which less is to be seen has no map to speak of


def evaluate_attention(scenes: int = SCENES) -> list[EvaluationRow]:
    """Mean overlap of nouns' maps and true places; beside it, of a noun's map and the other thing's place."""
    right: list[list[float]] = []
    wrong: list[list[float]] = []
    for seed in tqdm(range(FIRST_SEED, FIRST_SEED + scenes), "looking", mininterval=20):
        known, text = world_picture(seed)
        if any(np.count_nonzero(mask) < VISIBLE for mask in known.masks):
            continue
        maps = picture_maps(known.picture, text, "classroom-image", seed=seed)
        right.append([value for _, _, value in overlaps(maps, known)])
        if len(known.masks) == 2:
            exchanged = replace(known, masks=known.masks[::-1])
            wrong.append([value for _, _, value in overlaps(maps, exchanged)])
    return [
        _mean_row("image.attention_miou", right, 0.50),
        _mean_row("image.attention_miou_other_thing", wrong, None),
    ]


def _mean_row(name: str, by_scene: list[list[float]], must: float | None) -> EvaluationRow:
    """The mean over all things; the two of a scene resemble each other, so scenes are resampled."""
    sums, counts = (np.array([of(values) for values in by_scene]) for of in (sum, len))
    ci95 = over_prompts(lambda s, n: s.sum() / n.sum(), sums, counts, paired=True)
    return evaluation_row(name, sums.sum() / counts.sum(), must, int(counts.sum()), ci95, len(by_scene))
