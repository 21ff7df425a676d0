"""What the classroom DINO learned without labels: which things it keeps apart, and whether it finds them.

Source: Caron et al. 2021, arXiv:2104.14294, section 4.1 (k-NN, 20 neighbours, class token); Oquab et al.
2023, arXiv:2304.07193, section 7.6 (first principal component as foreground).
"""

from collections import Counter

import numpy as np

from pipelines.dino.components import foreground_scores, intersection_over_union, vote_of_neighbours
from pipelines.dino.model import read_tokens, read_whole
from training.dino_probe import SIDE, Singles, draw_singles, enlarged, pictures_of
from training.evaluation_rows import EvaluationRow, mean_row, share_row

# Whatever was chosen (sizes, thresholds, when to stop) was chosen on the seeds of `dino_probe.Probe`.
BANK, BANK_SEED = 4096, 500_001
QUERIES, QUERIES_SEED = 1024, 500_002
NEIGHBOURS = 20


def evaluate_dino(
    bank: int = BANK, queries: int = QUERIES, model: str = "classroom-dino"
) -> list[EvaluationRow]:
    """k-NN accuracy of things and overlap of the first component, beside what needs no training."""
    known, asked = draw_singles(bank, BANK_SEED), draw_singles(queries, QUERIES_SEED)
    wholes = [read_whole(pictures_of(scenes), model) for scenes in (known, asked)]
    votes = vote_of_neighbours(wholes[0], known.nouns, wholes[1], NEIGHBOURS)
    raw = vote_of_neighbours(_thumbnails(known), known.nouns, _thumbnails(asked), NEIGHBOURS)
    pictures = pictures_of(asked)
    chunks = [pictures[i : i + 32] for i in range(0, len(pictures), 32)]
    patches = np.concatenate([read_tokens(chunk, model).patches for chunk in chunks])
    overlaps = intersection_over_union(enlarged(foreground_scores(patches), SIDE) > 0, asked.masks)
    everywhere = intersection_over_union(np.ones_like(asked.masks), asked.masks)
    commonest = Counter(known.nouns.tolist()).most_common(1)[0][0]
    return [
        share_row("dino.knn", (votes == asked.nouns).tolist(), 0.90),
        share_row("dino.knn_raw_pixels", (raw == asked.nouns).tolist(), None),
        share_row("dino.knn_commonest", (asked.nouns == commonest).tolist(), None),
        mean_row("dino.foreground_miou", overlaps.tolist(), 0.60),
        mean_row("dino.foreground_miou_everywhere", everywhere.tolist(), None),
    ]


def _thumbnails(scenes: Singles) -> np.ndarray:
    """Raw pixels at a quarter of the side, each picture's mean taken off: `[n, dim]`."""
    blocks = scenes.pixels.unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5)).flatten(1)
    return (blocks - blocks.mean(1, keepdim=True)).numpy()
