"""Train the classroom DINO by self-distillation on freshly drawn scenes, without captions or labels.

Run: `python -m training.train_dino --minutes 40` (CPU or CUDA; resumes from its checkpoint).
Student, teacher, multi-crop and the loss between crops are those of `pipelines.dino`, what DINOv2 added is
in `training.dino_losses`; what is shipped is the teacher. It learns in two stages: from random weights
(`--early`), as DINO does, until features tell things apart; then with prototypes among the features
themselves and pasted crops (CutMix), so that features keep what lasts and patches say what they show.

Source: Caron et al. 2021, arXiv:2104.14294; Oquab et al. 2023, arXiv:2304.07193.
"""

import itertools
import json

import torch
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from pipelines.dino.collapse import entropy, spread, variety
from pipelines.dino.components import foreground_direction
from pipelines.dino.crops import MultiCrop, multi_crop
from pipelines.dino.self_distillation import Forward, ema_update
from training.common import (
    MODELS,
    Average,
    Progress,
    parse_args,
    save_fp16,
    train,
)
from training.dino_losses import (
    PatchDinoNetwork,
    PatchForward,
    PatchSelfDistillation,
    TrainingRecipe,
    forward,
    update_teacher_and_centers,
)
from training.dino_probe import Probe, draw_singles, reduced, tokens_of
from training.muon import Muon
from training.views import sample_views, view_ring

NAME = "dino"
FOLDER = MODELS / "dino"
WEIGHTS = "model.safetensors"
PROTOTYPES = 512
MOMENTUM = 0.99  # of the teacher: it lags behind the student by some 100 steps
GATE_PICTURES = 256  # from which the gate's first direction comes
EXCHANGED = (0.2, 0.8)  # share of pictures whose second crop is from the other drawing: at first, in the end
EXCHANGED_STEPS = 1500  # until then it rises: places and styles are easy to agree on, and a beginning
CONFIG = Dinov2Config(
    hidden_size=128,
    num_hidden_layers=6,
    num_attention_heads=4,
    mlp_ratio=4,
    image_size=64,
    patch_size=8,
    layerscale_value=1.0,
)
PREPROCESS = {
    "image_processor_type": "BitImageProcessor",
    "do_resize": True,
    "size": {"height": 128, "width": 128},
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "do_convert_rgb": True,
    "resample": 3,
}
EARLY_CROPS = MultiCrop(global_scale=(0.5, 1.0), local_scale=(0.25, 0.6))
EARLY_RECIPE = TrainingRecipe(koleo=0.1, sinkhorn=True)
CROPS = MultiCrop(global_scale=(0.5, 1.0), local_count=0)
RECIPE = TrainingRecipe(koleo=0.1, sinkhorn=True, cutmix=1.5)
# What touches pixels, and the prototypes: not hidden, so not for Muon.
EDGES = ("student.backbone.embeddings", "student.head.prototypes", "student.patch_head.prototypes")


class Teacher(Average):
    """The average that the loop moves after every step *is* the teacher."""

    def __init__(self, model: PatchSelfDistillation) -> None:
        self.weights = model.teacher.backbone.state_dict()  # the weights themselves, not copies
        self.done: PatchForward | None = None  # what the step that is being taken has computed

    def update(self, model: torch.nn.Module, step: int) -> None:
        """Move teacher and centers after the student's step."""
        assert self.done is not None and isinstance(model, PatchSelfDistillation)
        update_teacher_and_centers(model, self.done, MOMENTUM)


def build(early: bool = False) -> PatchSelfDistillation:
    """Student and teacher, alike: random in the early stage, later with the shipped weights if there are any.

    The library reads them, since its versions have called the attention's weights by different names.
    """
    model = PatchSelfDistillation(PatchDinoNetwork(CONFIG, PROTOTYPES, straight=not early))
    if not early and (FOLDER / WEIGHTS).exists():
        shipped = Dinov2Model.from_pretrained(FOLDER, dtype=torch.float32)
        model.student.backbone.load_state_dict(shipped.state_dict())
        model.student.gate.data.copy_(first_gate(shipped))
        ema_update(model.teacher, model.student, 0.0)
    return model


def first_gate(backbone: Dinov2Model) -> Tensor:
    """`[width]` the direction of the foreground among a model's patches, of length one."""
    patches = tokens_of(backbone, reduced(draw_singles(GATE_PICTURES, seed=77).pixels), "cpu")[:, 1:]
    return torch.from_numpy(foreground_direction(patches)[1]).float()


def export(weights: dict[str, Tensor]) -> None:
    """Write the teacher as transformers reads it: `Dinov2Model.from_pretrained(FOLDER)`."""
    save_fp16(weights, FOLDER / WEIGHTS)
    (FOLDER / "preprocessor_config.json").write_text(json.dumps(PREPROCESS, indent=2) + "\n")
    config = CONFIG.to_diff_dict() | {"architectures": ["Dinov2Model"], "dtype": "float16"}
    (FOLDER / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def exchanged(step: int) -> float:
    """Share of pictures whose second crop is from the other drawing, at a step of the early stage."""
    first, last = EXCHANGED
    return first + (last - first) * min(1.0, step / EXCHANGED_STEPS)


def _meters(step: Forward) -> dict[str, float]:
    """What tells collapse: `agree` is how often the two views' targets have the same first choice."""
    first, second = step.targets.argmax(-1)
    return {
        "entropy": entropy(step.targets),
        "variety": variety(step.targets),
        "spread": spread(step.features),
        "agree": (first == second).float().mean().item(),
    }


def main() -> None:
    args = parse_args("train_dino", minutes=40, batch=256, lr=1e-3, fresh=5,
        early="begin with random weights, or go on with a training that did",
        plain="cut all crops from one drawing, as DINO does with photographs")  # fmt: skip
    args.pool = min(args.pool, 6000)  # a pair takes 98 kB
    torch.manual_seed(args.seed)
    how, recipe = (EARLY_CROPS, EARLY_RECIPE) if args.early else (CROPS, RECIPE)
    model = build(args.early).to(args.device)
    optimizer = Muon(model, outer=EDGES, weight_decay=0.05)
    run = Progress.resume(f"{NAME}-early" if args.early else NAME, model, optimizer, args)
    run.average = teacher = Teacher(model)
    ring, probe = view_ring(args), Probe(args.device)
    rng = torch.Generator().manual_seed(args.seed + run.step)
    steps = itertools.count(run.step)

    def compute() -> tuple[Tensor, dict[str, float]]:
        share = 0.0 if args.plain else exchanged(next(steps)) if args.early else EXCHANGED[1]
        crops = multi_crop(*sample_views(ring, share), how, rng)
        with torch.autocast(args.device, torch.bfloat16, enabled=args.device != "cpu"):
            step = forward(model, crops, recipe, rng)
        teacher.done = step
        return step.loss, _meters(step)

    train(
        run, args, compute, export=export, log_every=200, after=lambda: probe.measure(model.teacher.backbone)
    )


if __name__ == "__main__":
    main()
