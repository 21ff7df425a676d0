"""Self-distillation without labels: a student imitates a teacher that is its own moving average.

The live part of the tab runs this code; `training.dino_losses` adds what DINOv2 added.
Source: Caron et al. 2021, arXiv:2104.14294 (DINO).
"""

import copy
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

from pipelines.dino.crops import Crops

STUDENT_TEMPERATURE = 0.1
TEACHER_TEMPERATURE = 0.04
UNSHARPENED = 1.0  # the teacher's temperature where sharpening is off: its logits as they are


class Head(nn.Module):
    """From a feature to a score for each of the prototypes, which have no names.

    Three layers, a bottleneck of length one, and the cosine with every prototype. Without the layers the
    prototypes lie among the features themselves, so that these have to let go of what the crops of a
    picture do not share; with them, the head does that in their place.
    """

    def __init__(
        self, width: int, prototypes: int, hidden: int = 256, bottleneck: int = 64, straight: bool = False
    ) -> None:
        super().__init__()
        layers = () if straight else (
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )  # fmt: skip
        self.layers = nn.Sequential(*layers)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.prototypes = nn.Parameter(torch.randn(prototypes, width if straight else bottleneck))

    def forward(self, features: Tensor) -> Tensor:
        """`[..., width]` features to `[..., prototypes]` cosines, -1..1."""
        with torch.autocast(features.device.type, enabled=False):  # a temperature of 0.05 magnifies errors
            bottleneck = F.normalize(self.layers(features.float()), dim=-1, eps=1e-6)
            return bottleneck @ F.normalize(self.prototypes, dim=-1).T


class DinoNetwork(nn.Module):
    """A vision transformer with a head for its class token.

    Args:
        config: of the transformer.
        prototypes: how many.
        straight: whether the head has no layers of its own; see `Head`.
    """

    def __init__(self, config: Dinov2Config, prototypes: int, straight: bool = False) -> None:
        super().__init__()
        self.backbone = Dinov2Model(config)
        self.head = Head(config.hidden_size, prototypes, straight=straight)

    def tokens(self, pixels: Tensor) -> Tensor:
        """`[batch, 1 + patch, width]`: the class token and the patches of `[batch, 3, y, x]`."""
        return self.backbone(pixels).last_hidden_state


Network = TypeVar("Network", bound=DinoNetwork)


class SelfDistillation(nn.Module, Generic[Network]):
    """Student, teacher and the center of the teacher's outputs: everything that a run has learned."""

    def __init__(self, student: Network) -> None:
        super().__init__()
        self.student = student
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        self.register_buffer("center", torch.zeros(len(student.head.prototypes)))
        self.center: Tensor


@dataclass(frozen=True)
class DinoRecipe:
    """What prevents collapse.

    Attributes:
        centering: subtract the running mean of the teacher's scores.
        sharpening: divide them by a low temperature.
        center_momentum: how much of itself the center keeps at a step.
    """

    centering: bool = True
    sharpening: bool = True
    center_momentum: float = 0.9


@dataclass(frozen=True, eq=False)
class Forward:
    """What one step computed.

    Attributes:
        loss: scalar with a gradient.
        student: `[crop, batch, prototype]` the student's distributions, large crops first.
        targets: `[2, batch, prototype]` the teacher's distributions.
        features: `[batch, width]` the teacher's class tokens of the first large crop.
        new_center: `[prototype]` what the center becomes.
    """

    loss: Tensor
    student: Tensor
    targets: Tensor
    features: Tensor
    new_center: Tensor


def targets_of(scores: Tensor, center: Tensor, recipe: DinoRecipe) -> Tensor:
    """The teacher's distributions: centered, sharpened, `[..., prototype]`, each sums to 1.

    Source: Caron et al. 2021, section 3.1, "Avoiding collapse".
    """
    if recipe.centering:
        scores = scores - center
    return F.softmax(scores / (TEACHER_TEMPERATURE if recipe.sharpening else UNSHARPENED), dim=-1)


def update_center(center: Tensor, scores: Tensor, momentum: float) -> Tensor:
    """The center after a batch: exponential moving average of the mean score. Source: ibid., eq. 4."""
    return momentum * center + (1 - momentum) * scores.flatten(0, -2).mean(0)


def crop_loss(student: Tensor, targets: Tensor, first: int = 0) -> Tensor:
    """Mean cross-entropy over all pairs of a teacher's and another crop of the student's.

    Args:
        student: `[crop, batch, prototype]` scores; the first crops are those of the teacher, from its
            `first` on.
        targets: `[teacher's crop, batch, prototype]` distributions.
        first: how many of the teacher's crops the student has nothing to say about.

    Source: ibid., eq. 3.
    """
    log_probabilities = F.log_softmax(student / STUDENT_TEMPERATURE, dim=-1)
    losses = -torch.einsum("tbk,sbk->ts", targets, log_probabilities) / student.shape[1]
    of_teacher, of_student = (torch.arange(n, device=losses.device) for n in losses.shape)
    return losses[of_teacher[:, None] != of_student + first].mean()


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Exponential moving average: every weight of the teacher keeps `momentum` of itself."""
    for theirs, ours in zip(teacher.parameters(), student.parameters(), strict=True):
        theirs.mul_(momentum).add_(ours, alpha=1 - momentum)


def forward(model: SelfDistillation[DinoNetwork], crops: Crops, recipe: DinoRecipe) -> Forward:
    """Show the crops to teacher and student and compare what they say.

    The student gets the gradient, the teacher none; neither is moved.
    """
    large = crops.large.flatten(0, 1)
    with torch.no_grad():
        seen = model.teacher.tokens(large)[:, 0]
        scores = model.teacher.head(seen)
        targets = targets_of(scores, model.center, recipe).unflatten(0, (2, -1))
    classes = [model.student.tokens(large)[:, 0]]
    if len(crops.small):
        classes.append(model.student.tokens(crops.small.flatten(0, 1))[:, 0])
    batch = crops.large.shape[1]
    student = model.student.head(torch.cat(classes)).unflatten(0, (-1, batch))
    return Forward(
        crop_loss(student, targets),
        distributions(student),
        targets,
        seen[:batch].float(),
        update_center(model.center, scores, recipe.center_momentum),
    )


def distributions(scores: Tensor) -> Tensor:
    """The student's distributions of its scores, `[..., prototype]`, without a gradient."""
    return F.softmax(scores.detach() / STUDENT_TEMPERATURE, dim=-1)


def update_teacher_and_center(model: SelfDistillation[Network], done: Forward, momentum: float) -> None:
    """After the student's step: the teacher follows it, the center follows the teacher."""
    ema_update(model.teacher, model.student, momentum)
    model.center.copy_(done.new_center)
