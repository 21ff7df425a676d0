"""Several processes train one model: each draws batches of its own, all take the mean gradient's step.

Start with `torchrun --nproc-per-node N -m training.train_unet …`: one process per GPU, or per core where the
operations are too small to share one among cores. Process 0 keeps the clock, the log and the files.
"""

import os

import torch
import torch.distributed as dist
from torch import nn


def join() -> int:
    """Join the other processes, if there are any. Returns this one's number, 0 if it is alone."""
    if "RANK" not in os.environ:
        return 0
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return dist.get_rank()


def is_first() -> bool:
    """Whether this process keeps the log and the files."""
    return not dist.is_initialized() or dist.get_rank() == 0


def agreed(value: float) -> float:
    """Process 0's value, on all processes."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor([value], dtype=torch.float64)
    if dist.get_backend() == "nccl":
        shared = shared.cuda()
    dist.broadcast(shared, 0)
    return float(shared)


@torch.no_grad()
def share_weights(model: nn.Module) -> None:
    """Give every process the weights of process 0, in place."""
    if dist.is_initialized():
        for value in model.state_dict().values():
            dist.broadcast(value, 0)


def average_gradients(model: nn.Module) -> None:
    """Replace each gradient by its mean over the processes, in place."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
