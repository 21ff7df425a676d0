"""What the generator is handed, against a bare call; the way from A to B, against seven single runs."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.engine import REQUEST, one_after_the_other
from benchmarks.rows import BenchmarkRow, medians, row
from pipelines.clip.model import clip_model
from pipelines.image import control_vector
from pipelines.image.control_vector import Drawn
from pipelines.image.load import image_pipeline
from pipelines.image.steering import Steering
from pipelines.serving import catalogue
from pipelines.serving.compute import on_compute_thread

PROMPT_B = "A red car in the snow."
CALLS = 40  # for each repetition: one takes but milliseconds, and rivals that alternate share disturbances


@on_compute_thread
@torch.inference_mode()
def encode() -> Tensor:
    """The sequence as the unchanged library computes it."""
    pipe = image_pipeline(REQUEST.model)
    return pipe.encode_prompt(REQUEST.prompt, pipe.device, 1, False)[0]


def strip() -> Drawn:
    """As the tab draws it: one batch, pictures decoded, CLIP's scores for both texts."""
    requests = control_vector.strip_requests(REQUEST, PROMPT_B)
    return control_vector.draw(requests, (REQUEST.prompt, PROMPT_B))


def measure(repetitions: int) -> Iterator[BenchmarkRow]:
    """Ratios of the tab's work to the library's, and of the strip to seven runs of the same requests."""
    view = {"bare": encode, "view": lambda: control_vector.control_vector(REQUEST.prompt, REQUEST.model)}
    seconds = medians(view, CALLS * repetitions)
    print("one prompt read by the picture model's encoder, s:", seconds)
    yield row("control_vector.text_ratio", seconds["view"] / seconds["bare"], CALLS * repetitions)

    clip_model(catalogue.default_id("clip"))
    single = [
        replace(REQUEST, steering=Steering(prompt_b=PROMPT_B, blend=blend))
        for blend in control_vector.STATIONS
    ]
    rivals = {"single": lambda: one_after_the_other(single), "strip": strip}
    seconds = medians(rivals, repetitions)
    print("seven guided pictures from A to B, 20 steps, s:", seconds)
    yield row("control_vector.strip_ratio", seconds["strip"] / seconds["single"], repetitions)
