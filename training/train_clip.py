"""Train the classroom CLIP on freshly drawn scenes and their captions.

The loss is CLIP's (Radford et al. 2021, arXiv:2103.00020, section 2.3) with additions that see nothing
but captions, too. Each picture has a wrong caption of its own, in which the things are exchanged or one is
another thing (hard negatives: Yuksekgonul et al. 2023, arXiv:2210.01936, section 4), and which has to stand
at a distance from the right one (Zhang et al. 2024, arXiv:2306.08832, section 3.1). And pictures are told
apart by the names of their things alone, which several share (Yang et al. 2022, arXiv:2204.03610).

Run: `python -m training.train_clip --minutes 25` (CPU or CUDA; resumes from its checkpoint).
"""

import json
from dataclasses import replace

import numpy as np
import open_clip
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, relu

from pipelines.clip.contrastive import (
    CONFIG,
    PREPROCESS,
    TRAIN_CONTEXT,
    build_clip,
    limit_scale,
    tokenize,
)
from pipelines.world.captions import holds, parse
from pipelines.world.films import Film, film_caption
from pipelines.world.scene import NOUNS, Scene
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
from training.pool import Example, Pool, Shares, to_tensor

NAME = "clip"
FOLDER = MODELS / "clip"
WEIGHTS = "open_clip_model.safetensors"
SHARES = Shares(pairs=0.3)  # who stands where is the hardest to see
# A wrong caption may be as alike as this; beyond it, each square of what is too much costs `PUSH`.
ALIKE, PUSH = 0.85, 50.0
# Tables and the layers that touch pixels or the joint space: not hidden, so not for Muon.
EDGES = ("token_embedding", "positional_embedding", "text_projection", "visual.conv1", "visual.proj",
         "visual.positional_embedding")  # fmt: skip


def captions_of(example: Example, rng: np.random.Generator) -> tuple[str, str]:
    """A caption, and one in the same words that is wrong."""
    seed = int(rng.integers(2**32))

    def worded(scene: Scene) -> str:
        return film_caption(Film(scene, example.motion), np.random.default_rng(seed))

    right = worded(example.scene)
    if rng.random() < 0.5:
        wrong = worded(_exchanged(example.scene, rng))
        if not holds(parse(wrong), example.scene):
            return right, wrong
    return right, worded(_renamed(example.scene, rng))


def _exchanged(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with its things, or only their names, in the reverse order."""
    if rng.random() < 0.5:
        return replace(scene, things=scene.things[::-1])
    names = [t.noun for t in scene.things[::-1]]
    return replace(scene, things=tuple(replace(t, noun=n) for t, n in zip(scene.things, names, strict=True)))


def _renamed(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with another name for all things of a kind."""
    shown = sorted({t.noun for t in scene.things})
    old = shown[rng.integers(len(shown))]
    new = str(rng.choice([noun for noun in NOUNS if noun not in shown]))
    return replace(scene, things=tuple(replace(t, noun=new) if t.noun == old else t for t in scene.things))


def loss_of(
    model: open_clip.CLIP, images: Tensor, captions: list[tuple[str, str]], names: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """CLIP's loss with a wrong caption for each picture, and the names of things.

    Args:
        model: in training.
        images: `[batch, 3, y, x]`, -1..1.
        captions: of each picture, a right and a wrong one.
        names: `[noun, place]` token ids of a text for each of `NOUNS`.

    Returns:
        The loss, and metrics as scalars.
    """
    count, device = len(images), images.device
    right, wrong = zip(*captions, strict=True)
    tokens = torch.cat([tokenize([*right, *wrong]).to(device), names])
    pictures = model.encode_image(images, normalize=True)
    texts = model.encode_text(tokens, normalize=True)
    logits = model.logit_scale.exp() * (pictures.float() @ texts.float().T)
    own = torch.arange(count, device=device)
    contrast = (cross_entropy(logits[:, : 2 * count], own) + cross_entropy(logits[:, :count].T, own)) / 2
    said = torch.zeros(count, len(NOUNS), device=device)
    for row, text in enumerate(right):
        for thing in parse(text).things:
            said[row, NOUNS.index(thing.noun)] = 1
    by_name = logits[:, 2 * count :]
    naming = cross_entropy(by_name, said / said.sum(1, keepdim=True).clamp(min=1))
    alike = (texts[:count].float() * texts[count : 2 * count].float()).sum(1)
    pushed = PUSH * relu(alike - ALIKE).square().mean()
    metrics = {
        "alike": alike.detach().mean(),
        "in_batch": (logits[:, :count].argmax(1) == own).float().mean(),
        "told_from_wrong": (logits[own, own] > logits[own, own + count]).float().mean(),
        "named": said[own, by_name.argmax(1)].mean(),
        "scale": model.logit_scale.exp().detach(),
    }
    return contrast + naming + pushed, metrics


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
    pool = Pool(args, SHARES)
    names = tokenize([f"a {noun}" for noun in NOUNS])

    def compute() -> tuple[Tensor, dict[str, Tensor]]:
        rows = pool.sample()
        images = rows["images"].to(args.device)
        captions = [captions_of(example, pool.rng) for example in rows["examples"]]
        limit_scale(model)
        # On a CPU, PyTorch's fused attention takes twice as long for the way back.
        fused = [SDPBackend.MATH] if args.device == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
        with mixed_precision(args.device), sdpa_kernel(fused):
            return loss_of(model, images, captions, names.to(args.device))

    step = train(run, args, compute, export=export)
    model.load_state_dict(run.average.weights)
    report(NAME, step=step, five_by_five=five_by_five(model.eval(), pool))


if __name__ == "__main__":
    main()
