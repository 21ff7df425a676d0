"""Train the judge of classroom sounds on fresh renders, held-out combinations included.

Run: `python -m training.train_sound_scorers --minutes 15` (CPU or CUDA; resumes from its checkpoint).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.world.sound import SoundScene
from training.common import Progress, load_fp32, parse_args, save_fp16, train
from training.muon import Muon
from training.sound_pool import SoundPool
from training.sound_scorers import FOLDER, WEIGHTS, SoundScorer, truth_of

NAME = "sound_scorers"
EDGES = ("body.0.", "heads")


def loss_of(answers: dict[str, Tensor], scenes: list[SoundScene]) -> tuple[Tensor, dict[str, float]]:
    """Sum of the cross-entropies of all questions, and their accuracies."""
    device = next(iter(answers.values())).device
    truth = {k: v.to(device) for k, v in truth_of(scenes).items()}
    losses = [F.cross_entropy(logits, truth[k]) for k, logits in answers.items()]
    right = {k: (logits.argmax(1) == truth[k]).float().mean().item() for k, logits in answers.items()}
    return torch.stack(losses).sum(), right


def export(weights: dict[str, Tensor]) -> None:
    """Write the averaged weights."""
    save_fp16(weights, FOLDER / WEIGHTS)


def main() -> None:
    args = parse_args("train_sound_scorers", minutes=15, batch=32, lr=2e-3, fresh=16, pool=3000)
    args.seed, args.unseen = args.seed + 7777, True
    torch.manual_seed(args.seed)
    scorer = SoundScorer().to(args.device)
    optimizer = Muon(scorer, outer=EDGES, weight_decay=0.02)
    run = Progress.resume(NAME, scorer, optimizer, args, load_fp32(FOLDER / WEIGHTS))
    pool = SoundPool(args)
    scorer.train()

    def compute() -> tuple[Tensor, dict[str, float]]:
        rows = pool.sample()
        return loss_of(scorer(rows["sounds"].to(args.device)), rows["scenes"])

    train(run, args, compute, export=export, log_every=50, save_every=200, clip_norm=5.0)


if __name__ == "__main__":
    main()
