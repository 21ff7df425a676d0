"""What the classroom's DINO learns by, beside DINO's own loss: KoLeo, Sinkhorn-Knopp, iBOT and CutMix.

Source: Oquab et al. 2023, arXiv:2304.07193 (DINOv2); Zhou et al. 2021, arXiv:2111.07832 (iBOT); Yun et al.
2019, arXiv:1905.04899 (CutMix).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from transformers import Dinov2Config

from pipelines.dino import self_distillation as dino
from pipelines.dino.crops import Crops
from pipelines.dino.self_distillation import (
    STUDENT_TEMPERATURE,
    TEACHER_TEMPERATURE,
    DinoNetwork,
    DinoRecipe,
    Forward,
    Head,
    SelfDistillation,
    crop_loss,
    distributions,
    update_center,
)

GATE_SCALE = 2.0  # low: only patches that lie far from or near the gate's direction are damped or stressed


class PatchDinoNetwork(DinoNetwork):
    """With a head for single patches and a gate.

    Attributes:
        gate: `[width]`, the direction of those patches of a pasted picture that count; as it begins, it
            is that of no patch, since the library's last norm takes their means off: all count alike.
    """

    def __init__(self, config: Dinov2Config, prototypes: int, straight: bool = False) -> None:
        super().__init__(config, prototypes, straight)
        self.patch_head = Head(config.hidden_size, prototypes, straight=straight)
        self.gate = nn.Parameter(torch.ones(config.hidden_size))

    def masked_tokens(self, pixels: Tensor, masked: Tensor) -> Tensor:
        """As `tokens`, the patches in `masked` (`[batch, patch]` bool) replaced by the mask token."""
        return self.backbone(pixels, bool_masked_pos=masked).last_hidden_state


class PatchSelfDistillation(SelfDistillation[PatchDinoNetwork]):
    """With a center of the patches' scores."""

    def __init__(self, student: PatchDinoNetwork) -> None:
        super().__init__(student)
        self.register_buffer("patch_center", torch.zeros(len(student.patch_head.prototypes)))
        self.patch_center: Tensor


@dataclass(frozen=True)
class TrainingRecipe(DinoRecipe):
    """What a step of the training does.

    Attributes:
        koleo: weight of `koleo_loss`; 0 leaves it out, as DINO did before DINOv2.
        sinkhorn: share the prototypes out evenly over the batch (`sinkhorn_knopp`) instead of centering.
        patches: weight of the patch loss; 0 leaves it out.
        masked: share of a large crop's patches that the student must guess, 0..1.
        cutmix: weight of `cutmix_loss`; 0 leaves it out. Otherwise the student's first large crop is pasted
            together from two pictures, and only its patches count. Excludes `patches`.
    """

    koleo: float = 0.0
    sinkhorn: bool = False
    patches: float = 0.0
    masked: float = 0.3
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if self.cutmix and self.patches:
            raise ValueError(
                "cutmix and patches exclude each other: a pasted patch is none that the teacher sees"
            )


@dataclass(frozen=True, eq=False)
class PatchForward(Forward):
    """What one step computed; `student` is without the first large crop where that was pasted.

    Attributes:
        new_patch_center: `[prototype]` what the center of the patches' scores becomes.
    """

    new_patch_center: Tensor


def targets_of(scores: Tensor, center: Tensor, recipe: TrainingRecipe) -> Tensor:
    """The teacher's distributions, `[..., prototype]`."""
    if recipe.sinkhorn:
        return sinkhorn_knopp(scores / TEACHER_TEMPERATURE)
    return dino.targets_of(scores, center, recipe)


def sinkhorn_knopp(scores: Tensor, rounds: int = 3) -> Tensor:
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


def koleo_loss(features: Tensor) -> Tensor:
    """Minus the mean logarithm of each feature's distance to its nearest in the batch (Kozachenko-Leonenko).

    Made small, it spreads features evenly over the sphere.

    Args:
        features: `[batch, width]`, at least two; brought to length one.

    Source: Sablayrolles et al. 2018, arXiv:1806.03198, eq. 4; in DINOv2, arXiv:2304.07193, section 4.
    """
    unit = F.normalize(features, dim=-1)
    with torch.no_grad():
        nearest = (unit @ unit.T).fill_diagonal_(-1).argmax(1)
    return -((unit - unit[nearest]).norm(dim=1) + 1e-6).log().mean()


def patch_loss(student: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy at the masked patches, `[masked patch, prototype]` both.

    Source: Zhou et al. 2021, eq. 2.
    """
    return -(targets * F.log_softmax(student / STUDENT_TEMPERATURE, dim=-1)).sum(-1).mean()


def draw_masks(count: int, patches: int, share: float, rng: Generator) -> Tensor:
    """`[count, patches]` bool: `share` of the patches in every other crop, none in the rest."""
    order = torch.rand(count, patches, generator=rng).argsort(1)
    masks = order < round(share * patches)
    masks[1::2] = False
    return masks


def cutmix(pictures: Tensor, grid: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of the next picture of the batch onto each, along the borders of patches.

    Args:
        pictures: `[batch, 3, side, side]`.
        grid: patches in a row; divides `side`.
        rng: source of the rectangles: a quarter to three quarters of the patches, at least two wide and high.

    Returns:
        The pictures, and where the next one shows: `[batch, grid, grid]` bool.

    Source: Yun et al. 2019, arXiv:1905.04899 (CutMix).
    """
    sides = range(2, grid + 1)
    sizes = torch.tensor([(h, w) for h in sides for w in sides if grid**2 <= 4 * h * w <= 3 * grid**2])
    chosen = sizes[torch.randint(len(sizes), (len(pictures),), generator=rng)]
    corners = (torch.rand(len(pictures), 2, generator=rng) * (grid + 1 - chosen)).long()
    steps = torch.arange(grid)
    rows, columns = ((steps >= c[:, None]) & (steps < (c + s)[:, None])
                     for c, s in zip(corners.T, chosen.T, strict=True))  # fmt: skip
    pasted = (rows[:, :, None] & columns[:, None, :]).to(pictures.device)
    patch = pictures.shape[-1] // grid
    shown = pasted.repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, None]
    return torch.where(shown, pictures.roll(1, 0), pictures), pasted


def cutmix_loss(student: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of the parts of pasted pictures with what the teacher says of their wholes.

    A part is judged by its patches alone: a patch can only help by telling what it shows itself, and a patch
    that shows nothing lasting can only spoil the mean, unless the gate damps it; see `gated_means`.

    Args:
        student: `[2, batch, prototype]` scores of each picture's own part and of what is pasted on it.
        targets: `[batch, prototype]` distributions of another crop of the pictures; that of the one before
            counts for what is pasted.
    """
    wanted = torch.stack([targets, targets.roll(1, 0)])
    return -(wanted * F.log_softmax(student / STUDENT_TEMPERATURE, dim=-1)).sum(-1).mean()


def gated_means(patches: Tensor, pasted: Tensor, gate: Tensor) -> Tensor:
    """The means of the patches of both parts of pasted pictures, weighted by a gate.

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


def forward(
    model: PatchSelfDistillation, crops: Crops, recipe: TrainingRecipe, rng: Generator
) -> PatchForward:
    """Show the crops to teacher and student and compare what they say.

    Args:
        model: its student gets the gradient, its teacher none; neither is moved.
        crops: the batch.
        recipe: losses and what prevents collapse.
        rng: source of masks and rectangles.
    """
    batch, large = crops.large.shape[1], crops.large.flatten(0, 1)
    with torch.no_grad():
        seen = model.teacher.tokens(large)
        scores = model.teacher.head(seen[:, 0])
        targets = targets_of(scores, model.center, recipe).unflatten(0, (2, -1))
    grid = round((seen.shape[1] - 1) ** 0.5)
    patch_center, extra, whole = model.patch_center, large.new_zeros(()), 0
    if recipe.cutmix:
        mixed, pasted = cutmix(crops.large[0], grid, rng)
        tokens = model.student.tokens(torch.cat([mixed, crops.large[1]]))
        parts = model.student.head(gated_means(tokens[:batch, 1:], pasted, model.student.gate))
        extra, whole = recipe.cutmix * cutmix_loss(parts, targets[1]), batch
    elif recipe.patches:
        masks = draw_masks(len(large), grid**2, recipe.masked, rng).to(large.device)
        tokens = model.student.masked_tokens(large, masks)
        of_patches, patch_center = _compare_patches(model, tokens[:, 1:], seen[:, 1:], masks, recipe)
        extra = recipe.patches * of_patches
    else:
        tokens = model.student.tokens(large)
    classes = [tokens[whole:, 0]]
    if len(crops.small):
        classes.append(model.student.tokens(crops.small.flatten(0, 1))[:, 0])
    student = model.student.head(torch.cat(classes)).unflatten(0, (-1, batch))
    loss = crop_loss(student, targets, first=whole // batch) + extra
    if recipe.koleo:
        features = classes[0].float().unflatten(0, (-1, batch))
        loss = loss + recipe.koleo * torch.stack([koleo_loss(crop) for crop in features]).mean()
    return PatchForward(
        loss,
        distributions(student),
        targets,
        seen[:batch, 0].float(),
        update_center(model.center, scores, recipe.center_momentum),
        patch_center,
    )


def _compare_patches(
    model: PatchSelfDistillation, ours: Tensor, theirs: Tensor, masks: Tensor, recipe: TrainingRecipe
) -> tuple[Tensor, Tensor]:
    """The patch loss at the masked places, and the center after it."""
    with torch.no_grad():
        scores = model.teacher.patch_head(theirs[masks])
        targets = targets_of(scores, model.patch_center, recipe)
    loss = patch_loss(model.student.patch_head(ours[masks]), targets)
    return loss, update_center(model.patch_center, scores, recipe.center_momentum)


def update_teacher_and_centers(model: PatchSelfDistillation, done: PatchForward, momentum: float) -> None:
    """After the student's step: the teacher follows it, the centers follow the teacher."""
    dino.update_teacher_and_center(model, done, momentum)
    model.patch_center.copy_(done.new_patch_center)
