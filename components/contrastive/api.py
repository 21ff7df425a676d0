"""Training a CLIP in small for programs."""

from typing import Annotated

from pydantic import Field, Strict

from components.contrastive.state import EXPERIMENTS, MOST_AT_ONCE, measured, recipe_of
from components.runs.queues import TRAINING, endpoint
from components.ui.arguments import File, OneOf, RealNumber, Seed, Text, WholeNumber
from components.ui.uploads import open_uploads
from pipelines.clip import contrastive_pairs
from pipelines.clip.clip_matrix import compute_clip_matrix
from pipelines.clip.contrastive import begin_training, lowest_loss
from pipelines.serving.checks import whole
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import trainings

_API_STEPS = 200


@endpoint(TRAINING)
def train_contrastive(
    images: Annotated[list[File], Strict(), Field(max_length=MOST_AT_ONCE)] | None = None,
    captions: Annotated[list[Text], Strict(), Field(max_length=MOST_AT_ONCE)] | None = None,
    pairs: Annotated[WholeNumber, Field(ge=2, le=8)] = 5,
    experiment: Annotated[str, Strict(), OneOf(lambda: EXPERIMENTS)] = "pairs",
    batch_size: Annotated[WholeNumber, Field(ge=2, le=32)] = 16,
    temperature: Annotated[RealNumber, Field(ge=0.01, le=1)] | None = None,
    steps: Annotated[WholeNumber, Field(ge=1, le=_API_STEPS)] = 40,
    seed: Seed = 0,
) -> dict:
    """Train a small CLIP from random weights on a few pairs, and measure it after every step.

    Args:
        images: 2 to 8 picture files (PNG, JPEG, WebP, GIF, BMP, AVIF; at most 20 MB, 50 megapixels each);
            without them, scenes of the classroom world.
        captions: one for each picture, if you send pictures.
        pairs: 2 to 8 scenes, if you send no pictures.
        experiment: "pairs"; "swapped" (every picture gets another's caption, once) or "reshuffled" (anew
            at every step); "twins" (the second picture shows what the first shows, under the same caption);
            "many" (each step draws its pairs from 400 more scenes).
        batch_size: 2 to 32 pairs a step in the experiment "many"; in the others a step takes all pairs.
        temperature: fixed, 0.01 to 1; without it, it is learned from 0.07, as CLIP does.
        steps: 1 to 200.
        seed: 0 to 4294967295; decides weights and batches.

    Returns:
        "loss", "accuracy", "unseen_loss", "unseen_accuracy" and "temperature": lists of steps + 1 numbers,
        the untrained model first; "similarity", "similarity_before", "unseen_similarity" and
        "classroom_similarity": rows [image][text] of cosines; "captions", "unseen_captions", "trained_with"
        (the text that each picture was trained with) and "lowest_loss", which equal captions set.
    """
    steps = whole("steps_range", steps, 1, _API_STEPS)
    if experiment not in EXPERIMENTS:
        raise InputError("experiment_unknown", received=experiment, known=", ".join(EXPERIMENTS))
    chosen = (
        contrastive_pairs.first_pairs(int(pairs))
        if not images
        else contrastive_pairs.own_pairs(open_uploads(images, MOST_AT_ONCE), captions or [])
    )
    if experiment == "twins":
        chosen = contrastive_pairs.with_twin(chosen)
    key = begin_training(chosen, recipe_of(experiment, batch_size, temperature, seed))
    try:
        for _ in trainings.run(key, most=int(steps)):
            pass
        return _answer(chosen, key)
    finally:
        trainings.free(key)


def _answer(pairs: contrastive_pairs.Pairs, key: str) -> dict:
    records, count = trainings.records(key), len(pairs)
    numbers = ("loss", "accuracy", "unseen_loss", "unseen_accuracy")
    classroom = compute_clip_matrix(pairs.images, pairs.captions, "classroom-clip")
    return {
        **{name: [round(getattr(record, name), 6) for record in records] for name in numbers},
        "temperature": [round(1 / record.scale, 6) for record in records],
        "similarity": measured(records[-1].similarity),
        "similarity_before": measured(records[0].similarity),
        "unseen_similarity": measured(records[-1].unseen),
        "classroom_similarity": measured(classroom.similarity),
        "captions": list(pairs.captions),
        "unseen_captions": list(pairs.unseen_captions[:count]),
        "trained_with": list(trainings.learner(key).targets),
        "lowest_loss": round(lowest_loss(pairs.captions), 6),
    }
