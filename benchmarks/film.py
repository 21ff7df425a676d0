"""Films against single pictures of the same model, and how soon a film is there."""

import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import numpy as np
import torch

from benchmarks.rows import BenchmarkRow, medians, row
from pipelines.dino.model import vision_model
from pipelines.image import stepper
from pipelines.image.image import decode
from pipelines.image.request import ImageRequest
from pipelines.serving import catalogue
from pipelines.serving.compute import on_compute_thread
from pipelines.video import video
from pipelines.video.files import video_bytes
from pipelines.video.load import video_pipeline
from pipelines.video.measures import measure as measured
from pipelines.video.request import VideoRequest

STEPS, FRAMES = 12, 16
REQUEST = VideoRequest(
    "A cat walks right in a meadow.", seed=1, num_inference_steps=STEPS, num_frames=FRAMES,
    model="classroom-video",
)  # fmt: skip
PICTURES = [
    ImageRequest(REQUEST.prompt, seed=i, num_inference_steps=STEPS, model="classroom-image")
    for i in range(FRAMES)
]


def pictures() -> list[object]:
    """As many single pictures as a film has frames, drawn together by the same engine."""
    runs = [list(run) for run in stepper.submit_all(PICTURES)]
    return list(decode(np.stack([steps[-1].latents for steps in runs]), "classroom-image"))


@on_compute_thread
def library_film() -> object:
    """The film as the unchanged `AnimateDiffPipeline` draws it."""
    return video_pipeline(REQUEST.model)(
        REQUEST.prompt, num_frames=FRAMES, num_inference_steps=STEPS, guidance_scale=REQUEST.guidance_scale,
        generator=torch.Generator().manual_seed(REQUEST.seed),
    ).frames[0]  # fmt: skip


def shown() -> tuple[float, float]:
    """Seconds until the first preview, and until the whole film is decoded, measured and written as MP4."""
    start, steps, first = time.perf_counter(), [], 0.0
    for step in video.generate(REQUEST):
        steps.append(step)
        video.preview(step.denoised, REQUEST.model)
        first = first or time.perf_counter() - start
    trace = video.finish(REQUEST, steps)
    measured(trace.frames)
    video_bytes(trace.frames, "mp4", REQUEST)
    return first, time.perf_counter() - start


def measure(repetitions: int) -> Iterator[BenchmarkRow]:
    """Ratio of a film to single pictures, and seconds."""
    same = [f.tobytes() for f in video.run(REQUEST).frames] == [f.tobytes() for f in library_film()]  # type: ignore[attr-defined]
    print(f"traced film and library call draw the same film: {same}")
    vision_model(catalogue.default_id("dino"))
    rivals = {
        "film": lambda: video.run(REQUEST),
        "apart": lambda: video.run(replace(REQUEST, motion=False)),
        "library": library_film,
        "pictures": pictures,
    }
    seconds = medians(rivals, repetitions)
    print(f"a film of {FRAMES} frames, {STEPS} steps, against as many single pictures, s:", seconds)
    yield row("video.film_ratio", seconds["film"] / seconds["pictures"], repetitions)
    firsts, wholes = zip(*(shown() for _ in range(repetitions)), strict=True)
    yield row("video.first_preview_s", median(firsts), repetitions)
    yield row("video.whole_film_s", median(wholes), repetitions)
