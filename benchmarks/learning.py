"""How fast a visitor's model learns: a step with its measurements, as the page shows it."""

from collections.abc import Iterator

from benchmarks.rows import BenchmarkRow, medians, row
from pipelines.clip.contrastive import Recipe, begin_training
from pipelines.clip.contrastive_pairs import first_pairs
from pipelines.serving.live_training import trainings

CALLS = 20  # for each repetition: one takes but some hundredths of a second


def measure(repetitions: int) -> Iterator[BenchmarkRow]:
    """Seconds of an update; ten a second need 0.1 at most."""
    key = begin_training(first_pairs(), Recipe())
    run = trainings.run(key)
    seconds = medians({"update": lambda: next(run)}, CALLS * repetitions)
    trainings.free(key)
    print("a step of five pairs, updates a second:", round(1 / seconds["update"], 1))
    yield row("contrastive.update_s", seconds["update"], CALLS * repetitions)
