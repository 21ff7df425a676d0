"""Battle of prompts: two texts of pupils drawn from one noise, for CLIP and the class to judge."""

import base64
import io
from collections.abc import Sequence

from PIL import Image

from components.lesson.items import Question
from components.ui.language import Texts
from components.ui.numbers import fixed
from pipelines.clip.model import clip_scores
from pipelines.image import image
from pipelines.image.request import ImageRequest
from pipelines.serving import catalogue

SIDE = 224  # px of a picture on phones and stage
QUALITY = 80


def battle(prompts: Sequence[str], seed: int, t: Texts) -> Question:
    """Draw two prompts from one seed and ask which picture shows its prompt better.

    Returns:
        A question without a right answer; its explanation tells what CLIP says.

    Raises:
        InputError: what `pipelines.image.image.generate` raises.
    """
    entry = catalogue.entry(catalogue.default_id("image"), "image")
    requests = [
        ImageRequest(
            prompt, seed=seed, guidance_scale=entry.guidance_scale, num_inference_steps=entry.steps
        ).validated()
        for prompt in prompts
    ]
    pictures = [image.run(request).image for request in requests]
    scores = clip_scores(pictures, list(prompts), catalogue.default_id("clip"))
    told = [fixed(float(scores[i, i]), t) for i in range(len(pictures))]
    return Question(
        t("lesson.battle.question"), tuple(prompts), tuple(_address(picture) for picture in pictures),
        explanation=t("lesson.battle.explanation", a=told[0], b=told[1], seed=seed),
    )  # fmt: skip


def _address(picture: Image.Image) -> str:
    """A picture as a WebP of a few kilobytes."""
    out = io.BytesIO()
    picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(out, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
