"""One of two processes that train a toy together; `test_together.py` starts both with torchrun."""

import sys
from argparse import Namespace
from pathlib import Path

import torch
from torch import Tensor, nn

from training import common, together
from training.common import Average, Progress, train

STEPS, BATCH = 6, 5


def toy() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, 2)


def batch(step: int, rank: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(10 * step + rank)
    return torch.randn(BATCH, 4, generator=generator), torch.randn(BATCH, 2, generator=generator)


def main(folder: Path) -> None:
    """Train; this process's own clock would end the training at another step than the other's."""
    torch.set_num_threads(1)
    rank = together.join()
    common.RUNS = folder
    common.Clock.lr_scale = 1.0
    ticks = iter(range(1000))  # the clock looks twice a step
    common.time.monotonic = lambda: next(ticks) * (1.0 if rank == 0 else 0.1)
    model = toy() if rank == 0 else nn.Linear(4, 2)
    together.share_weights(model)
    run = Progress("toy", model, torch.optim.SGD(model.parameters()), Average(model))
    steps = iter(range(1000))

    def compute() -> tuple[Tensor, dict[str, float]]:
        inputs, targets = batch(next(steps), rank)
        return (model(inputs) - targets).square().mean(), {}

    args = Namespace(minutes=(STEPS - 0.5) / 60, lr=0.1, fall=0.25)
    done = train(run, args, compute, export=lambda weights: None, log_every=2, save_every=100, clip_norm=1e9)
    torch.save({"steps": done, "weights": model.state_dict()}, folder / f"rank{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
