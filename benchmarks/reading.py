"""Views that follow while somebody types, against the bare model call."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.rows import BenchmarkRow, medians, row
from pipelines.clip.model import clip_model
from pipelines.serving.compute import on_compute_thread
from pipelines.text.context import read_contexts

MODEL = "classroom-clip"
PROMPT = "A small cat on a bed."
CALLS = 40  # for each repetition: one takes but milliseconds, and rivals that alternate share disturbances


@on_compute_thread
@torch.inference_mode()
def encode(ids: Tensor) -> Tensor:
    """The text's vector as the unchanged library computes it from `[1, 77]` ids."""
    return clip_model(MODEL).model.encode_text(ids)


def context_view() -> list[object]:
    """All numbers that the context tab shows of a prompt."""
    (found,) = read_contexts([PROMPT], MODEL)
    return [found.attention, found.distances, found.start_share]


def measure(repetitions: int) -> Iterator[BenchmarkRow]:
    """Ratios of what a keystroke costs to a bare call of the text encoder."""
    ids = clip_model(MODEL).tokenize([PROMPT])
    calls = CALLS * repetitions
    seconds = medians({"bare": lambda: encode(ids), "context": context_view}, calls)
    print("one prompt read, s:", seconds)
    yield row("context.text_ratio", seconds["context"] / seconds["bare"], calls)
