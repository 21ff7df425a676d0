"""What tells whether self-distillation collapses: of what teacher and student say, and of their features."""

import torch
import torch.nn.functional as F
from torch import Tensor


def entropy(distributions: Tensor) -> float:
    """Mean entropy of `[..., prototype]` distributions in nats: 0 is one prototype, log K is all alike."""
    return float(torch.special.entr(distributions).sum(-1).mean())


def variety(distributions: Tensor) -> float:
    """Entropy in nats of the mean of `[..., prototype]` distributions: 0 if all choose the same prototype.

    Learning has both: each picture's own entropy is low, that of their mean is high.
    """
    mean = distributions.flatten(0, -2).mean(0)
    return float(torch.special.entr(mean).sum())


def spread(features: Tensor) -> float:
    """Standard deviation of features of length one, times the square root of their width.

    Near 1 they point everywhere, at 0 all pictures have the same feature: collapse.
    Source: Chen & He 2020, arXiv:2011.10566, section 4.1.
    """
    unit = F.normalize(features.float(), dim=-1)
    return float(unit.std(0, correction=0).mean() * features.shape[-1] ** 0.5)
