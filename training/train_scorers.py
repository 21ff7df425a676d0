"""Train the judge of classroom pictures on fresh renders, held-out combinations included.

Run: `python -m training.train_scorers --minutes 15` (CPU or CUDA; resumes from its checkpoint).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.common import (
    Progress,
    load_fp32,
    mixed_precision,
    parse_args,
    save_fp16,
    train,
)
from training.muon import Muon
from training.pool import Pool, Shares
from training.scorers import FOLDER, Scorer, Seen, Truth, noun_maps, truth_of

NAME = "scorers"
SHARES = Shares(pairs=0.3, wide=0.25)  # there things are small, and the hardest to see
THINGS = 3.0  # how much more a cell that shows a thing counts than one of the background
EDGES = ("fine.0", "dense", "count.6", "look_heads", "geometry.7")  # what touches pixels or answers


def _stack(truths: list[Truth], name: str, device: str) -> Tensor:
    return torch.from_numpy(np.stack([getattr(t, name) for t in truths])).to(device)


def loss_of(scorer: Scorer, seen: Seen, truths: list[Truth], device: str) -> tuple[Tensor, dict[str, float]]:
    """Sum of the cross-entropies of all heads, and their accuracies."""
    nouns, colours = _stack(truths, "nouns", device), _stack(truths, "colours", device)
    counts = _stack(truths, "counts", device)
    first, second = _stack(truths, "first", device), _stack(truths, "second", device)
    relation, size = _stack(truths, "relation", device), _stack(truths, "size", device)
    # The maps are inputs here: geometry must not teach the network to draw maps it can read.
    maps = noun_maps(seen).detach()
    rows = torch.arange(len(truths), device=device)
    other = maps[rows, second.clamp(min=0)] * (second >= 0)[:, None, None]
    relation_logits, size_logits = scorer.judge_geometry(maps[rows, first], other)
    weight = torch.full((seen.nouns.shape[1],), THINGS, device=device)
    weight[0] = 1
    parts = {
        "nouns": 2 * F.cross_entropy(seen.nouns, nouns, weight),
        "colours": F.cross_entropy(seen.colours, colours, ignore_index=-1),
        "counts": 4 * F.cross_entropy(seen.counts.flatten(0, 1), counts.flatten()),
        "relation": 0.5 * F.cross_entropy(relation_logits, relation, ignore_index=-1),
        "size": 0.5 * F.cross_entropy(size_logits, size, ignore_index=-1),
    }
    accuracy = {
        "counts": (seen.counts.argmax(2) == counts).all(1),
        "colours": (seen.colours.argmax(1) == colours)[colours >= 0],
        "relation": (relation_logits.argmax(1) == relation)[relation >= 0],
        "size": (size_logits.argmax(1) == size)[size >= 0],
    }
    for name, logits in seen.looks.items():
        target = torch.tensor([t.looks[name] for t in truths], device=device)
        parts[name] = 0.5 * F.cross_entropy(logits, target)
        accuracy[name] = logits.argmax(1) == target
    total = torch.stack(list(parts.values())).sum()
    return total, {k: v.float().mean().item() for k, v in accuracy.items() if v.numel()}


def export(weights: dict[str, Tensor]) -> None:
    """Write the averaged weights."""
    save_fp16(weights, FOLDER / "scorer.safetensors")


def main() -> None:
    args = parse_args("train_scorers", minutes=15, batch=96, lr=2e-3, fresh=24)
    args.seed, args.unseen = args.seed + 7777, True
    torch.manual_seed(args.seed)
    scorer = Scorer().to(args.device).to(memory_format=torch.channels_last)
    optimizer = Muon(scorer, outer=EDGES, weight_decay=0.02)
    run = Progress.resume(NAME, scorer, optimizer, args, load_fp32(FOLDER / "scorer.safetensors"))
    pool = Pool(args, shares=SHARES)

    def compute() -> tuple[Tensor, dict[str, float]]:
        rows = pool.sample()
        images = rows["images"].to(args.device, memory_format=torch.channels_last)
        truths = [truth_of(e.scene, e.masks) for e in rows["examples"]]
        with mixed_precision(args.device):
            return loss_of(scorer, scorer(images), truths, args.device)

    train(run, args, compute, export=export, clip_norm=5.0)


if __name__ == "__main__":
    main()
