"""Self-distillation without labels: a student imitates a teacher that is its own moving average.

The training script and the live part of the tab run this same code.
Source: Caron et al. 2021, arXiv:2104.14294 (DINO); Oquab et al. 2023, arXiv:2304.07193 (DINOv2), whose
patch loss is that of Zhou et al. 2021, arXiv:2111.07832 (iBOT).
"""

import copy
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from transformers import Dinov2Config, Dinov2Model

from pipelines.dino.crops import Crops, glue

STUDENT_TEMPERATURE = 0.1
TEACHER_TEMPERATURE = 0.04
UNSHARPENED = 1.0  # the teacher's temperature where sharpening is off: its logits as they are
GATE_SCALE = 2.0  # so low that patches have to lie far apart to be heard or not: what is far apart is seen


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


class Pupil(nn.Module):
    """A vision transformer with a head for whole crops and one for single patches.

    Attributes:
        gate: `[width]`, the direction of those patches of a glued picture that are heard; as it begins, it
            is that of no patch, since the library's last norm takes their means off: all are heard alike.
    """

    def __init__(self, config: Dinov2Config, prototypes: int, straight: bool = False) -> None:
        super().__init__()
        self.backbone = Dinov2Model(config)
        self.head = Head(config.hidden_size, prototypes, straight=straight)
        self.patch_head = Head(config.hidden_size, prototypes, straight=straight)
        self.gate = nn.Parameter(torch.ones(config.hidden_size))

    def tokens(self, pixels: Tensor, masked: Tensor | None = None) -> Tensor:
        """`[batch, 1 + patch, width]`: the class token and the patches of `[batch, 3, y, x]`."""
        return self.backbone(pixels, bool_masked_pos=masked).last_hidden_state


class SelfDistillation(nn.Module):
    """Student, teacher and the centers of the teacher's outputs: everything that a run has learned.

    Args:
        config: of both.
        prototypes: how many.
        straight: whether heads have no layers of their own; see `Head`.
    """

    def __init__(self, config: Dinov2Config, prototypes: int, straight: bool = False) -> None:
        super().__init__()
        self.student = Pupil(config, prototypes, straight)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("center", torch.zeros(prototypes))
        self.register_buffer("patch_center", torch.zeros(prototypes))
        self.center: Tensor
        self.patch_center: Tensor


@dataclass(frozen=True)
class Recipe:
    """What a step does.

    Attributes:
        centering: subtract the running mean of the teacher's scores.
        sharpening: divide them by a low temperature.
        patches: weight of the patch loss; 0 leaves it out.
        masked: share of a large crop's patches that the student must guess, 0..1.
        apart: weight of `crowding`; 0 leaves it out, as DINO did before DINOv2.
        center_momentum: how much of itself the center keeps at a step.
        balanced: instead of centering, share the prototypes out evenly over the batch, as DINOv2 does.
        glued: weight of `glued_loss`; 0 leaves it out. Otherwise the student's first large crop is glued
            together from two pictures, and only its patches have something to say. Excludes `patches`.
    """

    centering: bool = True
    sharpening: bool = True
    patches: float = 0.0
    masked: float = 0.3
    apart: float = 0.0
    center_momentum: float = 0.9
    balanced: bool = False
    glued: float = 0.0

    def __post_init__(self) -> None:
        if self.glued and self.patches:
            raise ValueError(
                "glued and patches exclude each other: a glued patch is none that the teacher sees"
            )


@dataclass(frozen=True, eq=False)
class Forward:
    """What one step computed.

    Attributes:
        loss: scalar with a gradient.
        student: `[crop, batch, prototype]` the student's distributions, large crops first; without the first
            large one where that was glued.
        targets: `[2, batch, prototype]` the teacher's distributions.
        features: `[batch, width]` the teacher's class tokens of the first large crop.
        new_centers: what the centers become, for crops and for patches.
    """

    loss: Tensor
    student: Tensor
    targets: Tensor
    features: Tensor
    new_centers: tuple[Tensor, Tensor] = field(repr=False)


def targets_of(scores: Tensor, center: Tensor, recipe: Recipe) -> Tensor:
    """The teacher's distributions: centered, sharpened, `[..., prototype]`, each sums to 1.

    Source: Caron et al. 2021, section 3.1, "Avoiding collapse".
    """
    if recipe.balanced:
        return shared_out(scores / TEACHER_TEMPERATURE)
    if recipe.centering:
        scores = scores - center
    return F.softmax(scores / (TEACHER_TEMPERATURE if recipe.sharpening else UNSHARPENED), dim=-1)


def shared_out(scores: Tensor, rounds: int = 3) -> Tensor:
    """Distributions that together use every prototype equally.

    A constant center can be followed by a teacher that says the same of all pictures; this cannot.

    Args:
        scores: `[batch, prototype]`, sharpened.
        rounds: of bringing columns and rows to their sums in turn.

    Returns:
        The same shape; rows sum to 1, columns nearly to batch / prototype.

    Source: Cuturi 2013, arXiv:1306.0895 (Sinkhorn-Knopp); so used in SwAV, arXiv:2006.09882, and DINOv2.
    """
    shares = (scores - scores.max()).double().exp().clamp(min=1e-30)
    for _ in range(rounds):
        shares = shares / shares.sum(0, keepdim=True) / shares.shape[1]
        shares = shares / shares.sum(1, keepdim=True)
    return shares.to(scores.dtype)


def moved_center(center: Tensor, scores: Tensor, momentum: float) -> Tensor:
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


def glued_loss(student: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of the parts of glued pictures with what the teacher says of their wholes.

    A part is heard through its patches alone: a patch can only help by saying what it shows itself, and a
    patch that shows nothing lasting can only spoil it, unless it lies where nobody listens; see `heard`.

    Args:
        student: `[2, batch, prototype]` scores of each picture's own part and of what is pasted on it.
        targets: `[batch, prototype]` distributions of another crop of the pictures; that of the one before
            counts for what is pasted.
    """
    wanted = torch.stack([targets, targets.roll(1, 0)])
    return -(wanted * F.log_softmax(student / STUDENT_TEMPERATURE, dim=-1)).sum(-1).mean()


def patch_loss(student: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy at the masked patches, `[masked patch, prototype]` both.

    Source: Zhou et al. 2021, eq. 2.
    """
    return -(targets * F.log_softmax(student / STUDENT_TEMPERATURE, dim=-1)).sum(-1).mean()


def crowding(features: Tensor) -> Tensor:
    """How near each feature of a batch is to its nearest, as minus the logarithm of their distance.

    Made small, it spreads features evenly over the sphere (KoLeo).

    Args:
        features: `[batch, width]`, at least two; brought to length one.

    Source: Sablayrolles et al. 2018, arXiv:1806.03198, eq. 4; in DINOv2, arXiv:2304.07193, section 4.
    """
    unit = F.normalize(features, dim=-1)
    with torch.no_grad():
        nearest = (unit @ unit.T).fill_diagonal_(-1).argmax(1)
    return -((unit - unit[nearest]).norm(dim=1) + 1e-6).log().mean()


@torch.no_grad()
def move_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Every weight of the teacher becomes `momentum` of itself and the rest of the student's."""
    for theirs, ours in zip(teacher.parameters(), student.parameters(), strict=True):
        theirs.mul_(momentum).add_(ours, alpha=1 - momentum)


def draw_masks(count: int, patches: int, share: float, rng: Generator) -> Tensor:
    """`[count, patches]` bool: `share` of the patches in every other crop, none in the rest."""
    order = torch.rand(count, patches, generator=rng).argsort(1)
    masks = order < round(share * patches)
    masks[1::2] = False
    return masks


def forward(model: SelfDistillation, crops: Crops, recipe: Recipe, rng: Generator) -> Forward:
    """Show the crops to teacher and student and compare what they say.

    Args:
        model: its student gets the gradient, its teacher none; neither is moved.
        crops: the batch.
        recipe: what prevents collapse, and whether patches count.
        rng: source of the masks.
    """
    large = crops.large.flatten(0, 1)
    with torch.no_grad():
        seen = model.teacher.tokens(large)
        scores = model.teacher.head(seen[:, 0])
        targets = targets_of(scores, model.center, recipe).unflatten(0, (2, -1))
    masks = pasted = None
    grid = round((seen.shape[1] - 1) ** 0.5)
    if recipe.patches:
        masks = draw_masks(len(large), grid**2, recipe.masked, rng).to(large.device)
    if recipe.glued:
        glued, pasted = glue(crops.large[0], grid, rng)
        large = torch.cat([glued, crops.large[1]])
    tokens = model.student.tokens(large, masks)
    unglued = tokens if pasted is None else tokens[len(pasted) :]
    classes = [unglued[:, 0]]
    if len(crops.small):
        classes.append(model.student.tokens(crops.small.flatten(0, 1))[:, 0])
    student = model.student.head(torch.cat(classes)).unflatten(0, (-1, crops.large.shape[1]))
    loss = crop_loss(student, targets, first=0 if pasted is None else 1)
    patch_center = model.patch_center
    if recipe.apart:
        ours = unglued[:, 0].float().unflatten(0, (-1, crops.large.shape[1]))
        loss = loss + recipe.apart * torch.stack([crowding(features) for features in ours]).mean()
    if masks is not None:
        extra, patch_center = _compare_patches(model, tokens[:, 1:], seen[:, 1:], masks, recipe)
        loss = loss + recipe.patches * extra
    if pasted is not None:
        parts = model.student.head(heard(tokens[: len(pasted), 1:], pasted, model.student.gate))
        loss = loss + recipe.glued * glued_loss(parts, targets[1])
    return Forward(
        loss,
        F.softmax(student.detach() / STUDENT_TEMPERATURE, dim=-1),
        targets,
        seen[: crops.large.shape[1], 0].float(),
        (moved_center(model.center, scores, recipe.center_momentum), patch_center),
    )


def heard(patches: Tensor, pasted: Tensor, gate: Tensor) -> Tensor:
    """What the two parts of glued pictures say: the means of their patches, weighted by a gate.

    Args:
        patches: `[batch, patch, width]`.
        pasted: `[batch, grid, grid]` bool, what belongs to the second part.
        gate: `[width]`; a patch counts exp(`GATE_SCALE` cosine with it).

    Returns:
        `[2, batch, width]`.

    Source: Ilse et al. 2018, arXiv:1802.04712 (attention-based pooling of instances).
    """
    theirs = pasted.flatten(1)
    scores = GATE_SCALE * F.normalize(patches, dim=-1) @ F.normalize(gate, dim=0)
    shares = torch.stack([scores.masked_fill(part, -torch.inf) for part in (theirs, ~theirs)]).softmax(-1)
    return torch.einsum("sbp,bpw->sbw", shares.to(patches.dtype), patches)


def _compare_patches(
    model: SelfDistillation, ours: Tensor, theirs: Tensor, masks: Tensor, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """The patch loss at the masked places, and the center after it."""
    with torch.no_grad():
        scores = model.teacher.patch_head(theirs[masks])
        targets = targets_of(scores, model.patch_center, recipe)
    loss = patch_loss(model.student.patch_head(ours[masks]), targets)
    return loss, moved_center(model.patch_center, scores, recipe.center_momentum)


def settle(model: SelfDistillation, done: Forward, momentum: float) -> None:
    """After the student's step: the teacher follows it, the centers follow the teacher."""
    move_teacher(model.teacher, model.student, momentum)
    model.center.copy_(done.new_centers[0])
    model.patch_center.copy_(done.new_centers[1])
