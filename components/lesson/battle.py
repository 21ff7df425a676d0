"""Battle of prompts: two texts of pupils drawn from one noise, for CLIP and the class to judge."""

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from components.lesson.items import Question
from components.page.picture_tabs import example_request
from components.runs.frames import encode
from components.ui.language import Texts
from components.ui.numbers import fixed
from pipelines.clip.model import clip_scores
from pipelines.image import image
from pipelines.serving import catalogue

SIDE = 224  # px of a picture on phones and stage


def battle(prompts: Sequence[str], seed: int, t: Texts) -> Question:
    """Draw two prompts from one seed and ask which picture shows its prompt better.

    Returns:
        A question without a right answer; its explanation tells what CLIP says.

    Raises:
        InputError: what `pipelines.image.image.run` raises.
    """
    like = example_request()
    requests = [replace(like, prompt=prompt, seed=seed).validated() for prompt in prompts]
    pictures = [image.run(request).image for request in requests]
    scores = clip_scores(pictures, list(prompts), catalogue.default_id("clip"))
    told = [fixed(float(scores[i, i]), t) for i in range(len(pictures))]
    return Question(
        t("lesson.battle.question"), tuple(prompts), tuple(encode(_large(picture)) for picture in pictures),
        explanation=t("lesson.battle.explanation", a=told[0], b=told[1], seed=seed),
    )  # fmt: skip


def _large(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
