"""Train the classroom CLIP with open_clip's own model and loss on freshly drawn scenes.

Run: `python -m training.train_clip --minutes 25` (CPU or CUDA; resumes from its checkpoint).
Source: Radford et al. 2021, arXiv:2103.00020, section 2.3.
"""

import json

import open_clip
import torch
from torch import Tensor

from pipelines.clip.contrastive import (
    CONFIG,
    PREPROCESS,
    TRAIN_CONTEXT,
    build_clip,
    contrastive_loss,
    limit_scale,
    tokenize,
)
from training.common import (
    MODELS,
    Average,
    Progress,
    load_fp32,
    mixed_precision,
    parse_args,
    report,
    save_fp16,
    train,
)
from training.muon import Muon
from training.pool import Pool, to_tensor

NAME = "clip"
FOLDER = MODELS / "clip"
WEIGHTS = "open_clip_model.safetensors"
# Tables and the layers that touch pixels or the joint space: not hidden, so not for Muon.
EDGES = ("token_embedding", "positional_embedding", "text_projection", "visual.conv1", "visual.proj",
         "visual.positional_embedding")  # fmt: skip


@torch.no_grad()
def five_by_five(model: open_clip.CLIP, pool: Pool, rounds: int = 60) -> float:
    """Share of 5 x 5 batches of fresh scenes in which every picture finds its text."""
    right = 0
    for _ in range(rounds):
        chunk = next(pool.source)[:5]
        tokens = tokenize(pool.captions(chunk)).to(pool.args.device)
        images = to_tensor([e.image for e in chunk]).to(pool.args.device)
        scores = model.encode_image(images, normalize=True) @ model.encode_text(tokens, normalize=True).T
        right += bool((scores.argmax(1) == torch.arange(5, device=scores.device)).all())
    return right / rounds


def export(weights: dict[str, Tensor]) -> None:
    """Write the model as open_clip reads it: a config and safetensors."""
    # A U-Net reads all 77 places, padding included: places behind the captions must never change.
    known = (
        load_fp32(FOLDER / WEIGHTS) or build_clip(CONFIG, CONFIG["text_cfg"]["context_length"]).state_dict()
    )
    places = torch.cat([weights["positional_embedding"].cpu(), known["positional_embedding"][TRAIN_CONTEXT:]])
    weights = weights | {"positional_embedding": places}
    save_fp16(weights, FOLDER / WEIGHTS, in_8_bits=("token_embedding.weight",))
    config = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}
    (FOLDER / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


def main() -> None:
    args = parse_args(
        "train_clip",
        minutes=15,
        batch=256,
        lr=1e-3,
        lock_text="keep the text tower as it is: a U-Net was trained on it",
    )
    torch.manual_seed(args.seed)
    model = build_clip(CONFIG, TRAIN_CONTEXT).to(args.device)
    optimizer = Muon(model, outer=EDGES, weight_decay=0.1)
    shipped = load_fp32(FOLDER / WEIGHTS)
    if shipped is not None:
        shipped["positional_embedding"] = shipped["positional_embedding"][:TRAIN_CONTEXT]
    run = Progress.resume(NAME, model, optimizer, args, shipped)
    if args.lock_text:
        # The shipped (averaged) text tower is what the U-Net knows, not the checkpoint's.
        model.load_state_dict(shipped or {})
        run = Progress(NAME, model, optimizer, Average(model), run.step)
        for part in (model.transformer, model.token_embedding, model.ln_final):
            part.requires_grad_(False)
        model.positional_embedding.requires_grad_(False)
    pool = Pool(args)

    def compute() -> tuple[Tensor, dict[str, float]]:
        rows = pool.sample()
        images = rows["images"].to(args.device)
        tokens = tokenize(pool.captions(rows["examples"])).to(args.device)
        limit_scale(model)
        with mixed_precision(args.device):
            loss, image_features, text_features = contrastive_loss(model, images, tokens)
        found = (image_features @ text_features.T).argmax(1)
        hits = found == torch.arange(len(tokens), device=args.device)
        return loss, {"in_batch": hits.float().mean().item(), "scale": model.logit_scale.exp().item()}

    step = train(run, args, compute, export=export)
    model.load_state_dict(run.average.weights)
    report(NAME, step=step, five_by_five=five_by_five(model.eval(), pool))


if __name__ == "__main__":
    main()
