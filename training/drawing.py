"""Pictures for the evaluation, drawn by the unchanged pipeline of the library."""

from collections.abc import Sequence

import torch
from PIL import Image
from tqdm import tqdm

from pipelines import models

STEPS, GUIDANCE_SCALE, BATCH = 20, 5.0, 48


def draw(
    prompts: Sequence[str], seeds: Sequence[int], negative: Sequence[str] | None = None
) -> list[Image.Image]:
    """Pictures of the unchanged diffusers pipeline, in batches."""
    pipe = models.load("classroom-image")
    out: list[Image.Image] = []
    for start in tqdm(range(0, len(prompts), BATCH), "drawing", mininterval=20):
        part = slice(start, start + BATCH)
        generators = [torch.Generator().manual_seed(s) for s in seeds[part]]
        out += pipe(
            list(prompts[part]),
            negative_prompt=list(negative[part]) if negative is not None else None,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE_SCALE,
            generator=generators,
        ).images
    return out
