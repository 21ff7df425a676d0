"""One figure a row, its bound, and how rivals are timed."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

MUST = {
    "image.trace_ratio": 1.10,  # fully traced picture / plain StableDiffusionPipeline call
    "guidance.sweep_ratio": 0.5,  # sweep of eight scales / eight single runs
    "stepper.sharing_ratio": 0.6,  # eight visitors together / one after the other
    "cross_attention.recording_ratio": 1.25,  # attention of every layer recorded / untraced run
    "context.text_ratio": 1.5,  # all numbers of the context tab / a bare call of the text encoder
    "control_vector.text_ratio": 1.5,  # all numbers of what is handed over / the library's encode_prompt
    "control_vector.strip_ratio": 0.6,  # seven pictures from A to B / seven single runs
    "contrastive.update_s": 0.1,  # a step of a visitor's CLIP with its measurements: ten a second
    "video.film_ratio": 1.3,  # a film of 16 frames / 16 single pictures of the same model and steps
    "video.first_preview_s": 1.0,  # until all frames of the first step can be shown
    "video.whole_film_s": 20.0,  # until a film of 12 steps is decoded, measured and encoded
    "audio.stream_ratio": 1.15,  # sound streamed frame by frame / the library's plain generate call
    "audio.first_sound_s": 2.0,  # from the click to the first sound on the page
    "audio.real_time_factor": 1.0,  # seconds on the page to make a second of sound
    "page.training_updates_per_s": 10.0,  # of a visitor's CLIP, as frames of the page show them; at least
    "page.interactive_ratio": 2.0,  # page ready to type / an empty Gradio page
    "page.next_scene_s": 0.2,  # on the stage, from the key to the next scene in its own size
    "page.layout_shift": 0.1,  # what moves while the page opens at the journey, summed (web.dev's good value)
    "page.link_ratio": 1.5,  # opening a link to a scene with choices on several tabs / opening a tab
    "class.vote_p95_s": 0.3,  # of 300 phones, until the vote is on the disk, while eight pictures are drawn
    "class.votes_wrong": 0.0,  # of these, lost, doubled or miscounted
    "class.seen_s": 1.0,  # from a vote to the lecturer's window that shows it
    "class.join_kb": 40.0,  # the phone's page, in one answer
    "load.memory_start_gib": 1.5,  # resident, once the first examples are drawn
    "load.pictures_p95_s": 15.0,  # of thirty visitors who ask for a picture at once
    "load.pictures_p99_to_p50": 2.0,  # of these: nobody waits much longer than the others
    "load.pictures_wrong": 0.0,  # of these, further than 1/255 from the one drawn alone
    "load.texts_p95_s": 1.0,  # views of texts, for a hundred readers within ten seconds
    "load.texts_beside_pictures_p95_s": 0.3,  # the same for four readers while eight pictures are drawn
    "load.page_mb": 10.0,  # memory of an open page with a picture drawn
    "soak.memory_growth": 1.05,  # resident memory in the last quarter of a mixed hour / in the second
    "soak.failed": 0.0,  # of its calls, with an error
    "soak.pictures_wrong": 0.0,  # as load.pictures_wrong
    "soak.tracebacks": 0.0,  # in the log
    "soak.threads_growth": 1.1,  # the same of threads
    "soak.open_files_growth": 1.1,  # the same of open files and connections
    "fuzz.http_500": 0.0,  # answers of 500 and above to payloads that no program should send
    "fuzz.hung": 0.0,  # of these, without an answer within a minute
    "fuzz.leaked": 0.0,  # answers that hold a file of the machine, and addresses that the app fetched
    "fuzz.tracebacks": 0.0,  # in the log
    "fuzz.memory_growth": 1.05,  # resident memory over the last quarter of them / over the second
    "cluster.two_to_one": 1.8,  # pictures in a time: of two workers of one thread / of one; at least
    "cluster.computed_two_to_one": 1.8,  # seconds computed by one worker / by the busier of two; at least
    "cluster.lost": 0.0,  # of twenty runs under way when a worker is killed, without all their steps
    "cluster.mixed": 0.0,  # of these, with steps twice or in another order, or the picture of another run
    "cluster.wrong": 0.0,  # of these, further than 1/255 from the picture drawn alone
    "cluster.back_s": 30.0,  # until there are two workers again
    "image.first_preview_s": 0.5,  # from the click to the first estimate on the page
    "image.whole_picture_s": 2.0,  # from the click to the finished picture on the page
}

AT_LEAST = {
    "page.training_updates_per_s",
    "cluster.two_to_one",
    "cluster.computed_two_to_one",
}  # all others may have that much at most


@dataclass(frozen=True)
class BenchmarkRow:
    """One figure.

    Attributes:
        id: stable name.
        value: ratio, s or 1/s.
        must: upper bound; lower bound of those in `AT_LEAST`.
        n: repetitions of each rival.
        ok: whether the bound holds.
    """

    id: str
    value: float
    must: float
    n: int
    ok: bool


def row(name: str, value: float, n: int) -> BenchmarkRow:
    """A figure judged against its bound."""
    must = MUST[name]
    return BenchmarkRow(name, round(value, 3), must, n, value >= must if name in AT_LEAST else value <= must)


def medians(rivals: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median seconds of each rival; they take turns, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(repetitions + 1):
        for name, work in rivals.items():
            start = time.perf_counter()
            work()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
