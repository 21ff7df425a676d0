"""Streamed sound against the library's plain call."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from benchmarks.rows import BenchmarkRow, medians, row
from pipelines.audio.audio import audio_model, run
from pipelines.audio.request import AudioRequest
from pipelines.serving.compute import on_compute_thread

REQUEST = AudioRequest("a slow, sad piano melody", seed=1, model="classroom-audio")


@on_compute_thread
@torch.inference_mode()
def library_call() -> np.ndarray:
    """The sound as the unchanged `MusicgenForConditionalGeneration.generate` makes it."""
    loaded = audio_model(REQUEST.model)
    words = loaded.tokenizer([REQUEST.prompt], return_tensors="pt")
    torch.manual_seed(REQUEST.seed)
    made = loaded.model.generate(
        **words,
        do_sample=True,
        guidance_scale=REQUEST.guidance_scale,
        temperature=REQUEST.temperature,
        top_k=REQUEST.top_k,
        max_new_tokens=round(REQUEST.seconds * loaded.frame_rate) + loaded.codebooks - 1,
    )
    return made[0, 0].numpy()


def measure(repetitions: int) -> Iterator[BenchmarkRow]:
    """Ratio of a streamed run, all distributions and chunks of sound included, to the plain call."""
    same = np.allclose(run(REQUEST).samples, library_call(), atol=1e-5)
    print(f"streamed run and library call make the same sound: {same}")
    rivals = {"library": library_call, "streamed": lambda: run(REQUEST)}
    if "audiocraft" in audio_model(REQUEST.model).backends:
        rivals["audiocraft"] = lambda: run(replace(REQUEST, backend="audiocraft"))
    seconds = medians(rivals, repetitions)
    print("four guided seconds of sound, s:", seconds)
    yield row("audio.stream_ratio", seconds["streamed"] / seconds["library"], repetitions)
