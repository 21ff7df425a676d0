"""What a film will cost is told from the fastest that this machine was seen to multiply."""

import pytest
import torch

from pipelines.serving import catalogue
from pipelines.video import cost
from pipelines.video.request import VideoRequest


def test_a_machine_that_was_busy_once_is_not_called_slow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "_fastest", 0.0)
    waits = iter([5.0, 5.0, 5.0, 0.5, 0.5, 0.5, 5.0, 5.0, 5.0])  # s that each multiplication seems to take
    now = [0.0]

    def clock() -> float:
        now[0] += next(waits) if clock.stops else 0.0  # type: ignore[attr-defined]
        clock.stops = not clock.stops  # type: ignore[attr-defined]
        return now[0]

    clock.stops = False  # type: ignore[attr-defined]
    monkeypatch.setattr(cost.time, "perf_counter", clock)
    busy, idle, again = (cost.teraflops() for _ in range(3))
    assert idle == pytest.approx(10 * busy)
    assert again == idle


def test_a_film_costs_its_steps_frames_and_the_memory_of_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "teraflops", lambda: 2.0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    request = VideoRequest("a cat", model="animatediff-v1-5-3", num_inference_steps=10).validated()
    rule = catalogue.entry("animatediff-v1-5-3").frame
    assert rule is not None
    found = cost.video_cost(request)
    assert found.seconds == pytest.approx(10 * rule.teraflop / 2)
    assert found.gib == pytest.approx(2 * rule.gib)
    assert found.long
    assert cost.video_cost(VideoRequest("a cat", model="classroom-video").validated()).seconds == 0
