"""Cross-attention maps of nouns against the true masks, on renders that no run has made.

Source: the protocol of Helbling et al. 2025 (ConceptAttention), arXiv:2502.04320, section 4: noise a picture,
ask the model once with a text about it, and compare a noun's map, cut at its mean, with the thing's place.
"""

from dataclasses import replace

import numpy as np
from tqdm import tqdm

from pipelines.image.cross_attention_of_picture import overlaps, picture_maps, world_picture
from training.figures import Row, mean_row

SCENES, FIRST_SEED = 300, 10_000  # layers and noise levels were chosen on other scenes
VISIBLE = 20  # px; a thing of which less is to be seen has no map to speak of


def evaluate_attention(scenes: int = SCENES) -> list[Row]:
    """Mean overlap of nouns' maps and true places; beside it, of a noun's map and the other thing's place."""
    right, wrong = [], []
    for seed in tqdm(range(FIRST_SEED, FIRST_SEED + scenes), "looking", mininterval=20):
        known, text = world_picture(seed)
        if any(np.count_nonzero(mask) < VISIBLE for mask in known.masks):
            continue
        maps = picture_maps(known.picture, text, "classroom-image", seed=seed)
        right += [value for _, _, value in overlaps(maps, known)]
        if len(known.masks) == 2:
            exchanged = replace(known, masks=known.masks[::-1])
            wrong += [value for _, _, value in overlaps(maps, exchanged)]
    return [
        mean_row("image.attention_miou", right, 0.50),
        mean_row("image.attention_miou_other_thing", wrong, None),
    ]
