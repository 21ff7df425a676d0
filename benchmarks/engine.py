"""The engine against the library: traced runs, sweeps and shared runs of the classroom model."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from PIL import Image

from benchmarks.rows import BenchmarkRow, medians, row
from pipelines.clip.model import clip_model
from pipelines.image import guidance, image, stepper
from pipelines.image.load import image_pipeline
from pipelines.image.request import ImageRequest
from pipelines.serving import catalogue
from pipelines.serving.compute import on_compute_thread

REQUEST = ImageRequest("A small cat on a bed.", seed=1, num_inference_steps=20, model="classroom-image")
SCALES = (0, 1, 2, 3.5, 5, 7.5, 12, 20)
VISITORS = [replace(REQUEST, prompt=f"A small cat on a bed, {i}.", seed=i) for i in range(8)]


@on_compute_thread  # where all rivals compute: a second thread would slow both down
def library_call() -> Image.Image:
    """The picture as the unchanged `StableDiffusionPipeline` draws it."""
    result = image_pipeline(REQUEST.model)(
        REQUEST.prompt,
        num_inference_steps=REQUEST.num_inference_steps,
        guidance_scale=REQUEST.guidance_scale,
        generator=torch.Generator().manual_seed(REQUEST.seed),
    )
    return result.images[0]


def one_after_the_other(requests: list[ImageRequest]) -> list[image.Trace]:
    """Each request when the one before it is done."""
    return [image.run(request) for request in requests]


def together(requests: list[ImageRequest]) -> list[image.Trace]:
    """All requests at once; every visitor's picture is decoded for itself."""
    runs = stepper.submit_all(requests)
    return [image.finish(request, tuple(run)) for request, run in zip(requests, runs, strict=True)]


def measure(repetitions: int) -> Iterator[BenchmarkRow]:
    """Ratios of the engine to plain library calls and to lone runs."""
    same = image.run(REQUEST).image.tobytes() == library_call().tobytes()
    print(f"traced run and library call draw the same picture: {same}; {torch.get_num_threads()} threads")
    clip_model(catalogue.default_id("clip"))
    seconds = medians({"library": library_call, "traced": lambda: image.run(REQUEST)}, repetitions)
    print("one guided picture, 20 steps, s:", seconds)
    yield row("image.trace_ratio", seconds["traced"] / seconds["library"], repetitions)

    seconds = medians(
        {
            "plain": lambda: image.run(REQUEST),
            "looking": lambda: image.run(replace(REQUEST, look_inside=True)),
        },
        repetitions,
    )
    print("one guided picture, 20 steps, without and with recorded attention, s:", seconds)
    yield row("cross_attention.recording_ratio", seconds["looking"] / seconds["plain"], repetitions)

    single = [replace(REQUEST, guidance_scale=scale) for scale in SCALES]
    seconds = medians(
        {
            "single": lambda: one_after_the_other(single),
            "sweep": lambda: guidance.guidance_sweep(REQUEST, SCALES),
            "alone": lambda: one_after_the_other(VISITORS),
            "together": lambda: together(VISITORS),
        },
        repetitions,
    )
    print("eight guided pictures, 20 steps, s:", seconds)
    yield row("guidance.sweep_ratio", seconds["sweep"] / seconds["single"], repetitions)
    yield row("stepper.sharing_ratio", seconds["together"] / seconds["alone"], repetitions)
