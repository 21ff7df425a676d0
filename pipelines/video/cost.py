"""What a film will cost, before it is begun: seconds on this machine, and memory."""

import time
from dataclasses import dataclass

import torch

from pipelines.serving import catalogue
from pipelines.serving.compute import on_compute_thread
from pipelines.video.request import VideoRequest

LONG = 120.0  # s; before a run that takes longer, the page asks
_SIDE, _ROUNDS = 1024, 3


@dataclass(frozen=True)
class VideoCost:
    """An estimate.

    Attributes:
        seconds: of the whole run; 0 where a film takes seconds anyway.
        gib: memory for the weights as this machine holds them; 0 where it is small.
        teraflop: of one guided step.
    """

    seconds: float
    gib: float
    teraflop: float

    @property
    def long(self) -> bool:
        return self.seconds > LONG


def video_cost(request: VideoRequest) -> VideoCost:
    """Estimate a run from the arithmetic that its steps need and the speed at which this machine multiplies.

    The arithmetic was counted at the model's own size and number of frames and is scaled to the request's
    number of frames; a real run is slower, since no model multiplies all the time.

    Args:
        request: checked.
    """
    rule = catalogue.entry(request.model).frame
    if rule is None or not rule.teraflop:
        return VideoCost(0.0, 0.0, 0.0)
    step = rule.teraflop * (request.num_frames or rule.count) / rule.count
    half = catalogue.device() == "cuda"
    return VideoCost(step * request.num_inference_steps / teraflops(), rule.gib * (1 if half else 2), step)


_fastest = 0.0  # 10¹² operations a second


@on_compute_thread
def teraflops() -> float:
    """How fast this machine multiplies matrices, in 10¹² operations a second.

    Measured anew each time, which takes some hundredths of a second; the fastest of all measurements counts,
    as a machine that is busy at the moment only seems slow.
    """
    global _fastest
    device = catalogue.device()
    kind = torch.float16 if device == "cuda" else torch.float32
    a = torch.ones(_SIDE, _SIDE, device=device, dtype=kind)
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        float((a @ a)[0, 0])  # waits for the result
        _fastest = max(_fastest, 2 * _SIDE**3 / (time.perf_counter() - start) / 1e12)
    return _fastest
