"""Engines: what passes to another process and back, what survives its death, and who is told what."""

import importlib
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.audio import audio
from pipelines.audio.request import AudioRequest
from pipelines.clip.model import encode_texts
from pipelines.dino.training import DinoLearner, Settings
from pipelines.image import image, stepper
from pipelines.image.load import image_pipeline
from pipelines.image.previews import linear_decoder
from pipelines.image.request import DenoiseStep, ImageRequest
from pipelines.serving import catalogue, engine, steps, zerogpu_engine
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import Trainings
from pipelines.serving.steps import Begun, EngineError, Message, Relay
from pipelines.serving.work import ROLES, Work, behind, model_in
from pipelines.text.context import read_contexts
from pipelines.video import video
from pipelines.video.request import VideoRequest

pytestmark = pytest.mark.usefixtures("tiny_models")

ROOT = Path(__file__).parents[2]
REQUEST = ImageRequest("a red car", seed=1, num_inference_steps=4, model="tiny-sd")
PATIENCE_S = 20.0
START = behind(stepper.submit_all)


def passed(value: Any) -> Any:
    """A value as another process gets it."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301


class ReplicaDiedError(Exception):
    """What the way to another process says when that is gone."""


def is_lost(error: Exception) -> bool:
    return isinstance(error, ReplicaDiedError)


class Elsewhere:
    """Another process, as far as a caller sees: all that passes is pickled; it dies where it is told to.

    Attributes:
        asked: the requests of each attempt.
        closed: set when the caller stops the runs.
    """

    def __init__(self, dies_after: Sequence[int] = (), start: Callable[..., Any] = START) -> None:
        self.asked: list[list[Any]] = []
        self.closed = threading.Event()
        self._dies_after, self._start = list(dies_after), start
        self._attempts: list[Any] = []  # kept, so that none is closed for want of a reader

    def __call__(self, requests: Sequence[Any]) -> Generator[Message, None, None]:
        self._attempts.append(self._told(requests))
        return self._attempts[-1]

    def _told(self, requests: Sequence[Any]) -> Generator[Message, None, None]:
        self.asked.append(list(requests))
        left = self._dies_after.pop(0) if self._dies_after else None
        begun = Begun(self._start, passed(requests))
        try:
            for count, message in enumerate(begun):
                if count == left:
                    raise ReplicaDiedError
                yield passed(message)
        finally:
            begun.close()
            self.closed.set()


def latents(runs: Sequence[Sequence[DenoiseStep]]) -> list[list[np.ndarray]]:
    return [[step.latents for step in run] for run in runs]


def assert_same(ours: Sequence[Sequence[DenoiseStep]], requests: Sequence[ImageRequest]) -> None:
    """Each run has all its steps, once and in order, and its lone run's picture to 1/255."""
    for run, request in zip(ours, requests, strict=True):
        assert [step.index for step in run] == list(range(request.num_inference_steps))
        (alone,) = START([request])
        last = [run[-1].latents, list(alone)[-1].latents]
        one, other = (np.asarray(picture, int) for picture in image.decode(np.stack(last), request.model))
        assert np.abs(one - other).max() <= 1


# --- who is chosen -----------------------------------------------------------------------------------------


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set the variable for one test."""

    def choose(name: str) -> None:
        monkeypatch.setenv("STEUERVEKTOR_ENGINE", name)
        engine.engine.cache_clear()

    yield choose
    monkeypatch.undo()
    engine.engine.cache_clear()


def test_an_engine_that_is_not_there_is_refused_with_those_that_are(chosen: Callable[[str], None]) -> None:
    chosen("rya")
    with pytest.raises(SystemExit, match="'rya'; it can be local, ray, zerogpu"):
        engine.engine()
    chosen("")
    assert isinstance(engine.engine(), engine.LocalEngine)


def test_a_missing_package_is_named(chosen: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spaces", None)
    chosen("zerogpu")
    with pytest.raises(SystemExit, match="zerogpu needs the package 'spaces'"):
        engine.engine()


# --- what passes -------------------------------------------------------------------------------------------


def doors() -> list[Work]:
    """All functions that may compute elsewhere."""
    found = {}
    for path in sorted((ROOT / "pipelines").rglob("*.py")):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for value in vars(module).values():
            for cell in getattr(value, "__closure__", None) or ():
                if isinstance(cell.cell_contents, Work):
                    found[id(cell.cell_contents)] = cell.cell_contents
    return list(found.values())


def test_every_door_is_known_by_its_name_and_has_replicas() -> None:
    works = doors()
    assert {work.role for work in works} == set(ROLES)
    for work in works:
        assert behind(passed(work.door)) is work.function


def test_the_model_of_a_request_is_found_where_it_stands() -> None:
    sound = type("Sound", (), {"request": AudioRequest("a", model="m")})()
    assert [model_in(each) for each in (REQUEST, (REQUEST, None), sound, 3)] == [
        "tiny-sd",
        "tiny-sd",
        "m",
        "",
    ]
    work = Work(image.decode, "image", image_pipeline)
    assert work.model_of((np.zeros(1),), {"model": "m"}) == "m"


class PickledEngine:
    """In this process, but all that passes is pickled as on its way to another one."""

    def submit(self, work: Work, requests: Sequence[Any]) -> list[Any]:
        return list(Relay(Elsewhere(start=work.function), requests).start())

    def call(self, work: Work, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        args, kwargs = passed((args, kwargs))
        return passed(work.function(*args, **kwargs))


@pytest.fixture
def pickled(chosen: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine.ENGINES, "pickled", PickledEngine)
    chosen("pickled")


def equal(one: Any, other: Any) -> bool:
    """Whether two results say the same, whatever they are made of."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    if hasattr(one, "__dataclass_fields__"):
        return all(equal(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__)
    return bool(one == other)


@pytest.mark.parametrize(
    "work",
    [
        lambda: list(image.generate(replace(REQUEST, look_inside=True))),
        lambda: image.run(REQUEST),
        lambda: linear_decoder.__wrapped__("tiny-sd"),
        lambda: encode_texts(["a red car"], "tiny-clip"),
        lambda: read_contexts(["a red car"], "tiny-clip"),
        lambda: list(video.generate(VideoRequest("A small cat.", num_inference_steps=1, num_frames=4))),
        lambda: list(audio.generate(AudioRequest("A dog barks.", seconds=0.2))),
        lambda: audio.hear(np.zeros((1, 4), np.int64), catalogue.default_id("audio")),
    ],
    ids=["inside", "picture", "decoder", "texts", "context", "film", "sound", "heard"],
)
def test_what_came_through_pickle_is_the_same_to_the_bit(
    work: Callable[[], Any], request: pytest.FixtureRequest
) -> None:
    here = work()
    request.getfixturevalue("pickled")
    assert equal(work(), here)


@pytest.mark.usefixtures("pickled")
def test_a_start_that_fails_elsewhere_is_told_at_once() -> None:
    with pytest.raises(InputError, match="model_unknown"):
        audio.generate(AudioRequest("a", model="nobody"))
    with pytest.raises(InputError) as told:
        stepper.submit(replace(REQUEST, num_inference_steps=101))
    assert (told.value.key, told.value.values["received"]) == ("steps_range", 101)


def test_an_error_keeps_its_key_and_values_on_the_way() -> None:
    error = passed(InputError("steps_range", low=1, high=2, received=float("inf")))
    assert (error.key, error.values) == ("steps_range", {"low": 1, "high": 2, "received": float("inf")})


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (InputError("queue_full", limit=3), "queue_full"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (OSError(28, "No space left"), "disk_full"),
        (RuntimeError("no sentence for it"), "RuntimeError: no sentence for it"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_run_that_fails_tells_its_visitor_and_the_others_go_on(raised: Exception, told: str) -> None:
    def start(requests: Sequence[Any]) -> list[Iterator[int]]:
        def run(number: int) -> Iterator[int]:
            yield from range(3)
            if number == 1:
                raise raised

        return [run(number) for number in requests]

    good, bad = Relay(Elsewhere(start=start), [0, 1]).start()
    seen = []
    with pytest.raises((InputError, EngineError), match=told):
        seen.extend(bad)
    assert (list(good), list(bad)) == ([0, 1, 2], [])


# --- what survives -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies_after", [(0,), (1,), (6,), (6, 1, 10)], ids=str)
def test_runs_whose_replica_dies_go_on_with_another_one_without_a_step_twice(
    dies_after: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "pause", lambda seconds: None)
    requests = [REQUEST, replace(REQUEST, seed=2, scheduler="euler"), replace(REQUEST, prompt="a tree")]
    elsewhere = Elsewhere(dies_after)
    runs = Relay(elsewhere, requests, is_lost).start()
    assert_same([list(run) for run in runs], requests)
    assert len(elsewhere.asked) == len(dies_after) + 1


def test_what_has_ended_or_was_left_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "pause", lambda seconds: None)
    requests = [replace(REQUEST, num_inference_steps=count) for count in (1, 3, 4)]
    # the start, a step of each, the end of the first, a step of both others: then it dies
    elsewhere = Elsewhere((1 + 3 + 1 + 2,))
    runs = Relay(elsewhere, requests, is_lost).start()
    assert_same([list(run) for run in runs], requests)
    assert [len(asked) for asked in elsewhere.asked] == [3, 2]


def test_when_no_replica_comes_back_visitors_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "pause", lambda seconds: None)
    elsewhere = Elsewhere((3,) * 50)
    (run,) = Relay(elsewhere, [REQUEST], is_lost).start()
    with pytest.raises(InputError, match="engine_stopped"):
        list(run)
    assert len(elsewhere.asked) == len(steps.RETRY_S)


def test_an_error_that_is_no_loss_is_not_tried_again() -> None:
    elsewhere = Elsewhere((2,))
    (run,) = Relay(elsewhere, [REQUEST]).start()
    with pytest.raises(ReplicaDiedError):
        list(run)
    assert len(elsewhere.asked) == 1


def test_closing_all_runs_stops_them_elsewhere() -> None:
    elsewhere = Elsewhere()
    runs = Relay(elsewhere, [replace(REQUEST, num_inference_steps=100)] * 2).start()
    next(runs[0])
    runs[0].close()
    assert len(list(runs[0])) == 0
    next(runs[1])  # its companion goes on
    runs[1].close()
    assert elsewhere.closed.wait(PATIENCE_S)


# --- a forked process --------------------------------------------------------------------------------------


class ForkedGpu:
    """`spaces.GPU` without a GPU: a process is forked for each call, and each of its steps is pickled."""

    def __init__(self) -> None:
        self.pids: list[int | None] = []

    def GPU(self, duration: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return self._decorated

    def _decorated(self, task: Callable[..., Any]) -> Callable[..., Any]:
        def generator(*args: Any) -> Generator[Any, None, None]:
            context = multiprocessing.get_context("fork")
            told = context.SimpleQueue()
            process = context.Process(target=_work, args=(task, args, told), daemon=True)
            process.start()
            self.pids.append(process.pid)
            try:
                while (item := told.get()) is not None:
                    yield item
            finally:
                process.kill()
                process.join()

        if task is zerogpu_engine.begun:
            return generator
        return lambda *args: next(generator(*args))


def _work(task: Callable[..., Any], args: tuple[Any, ...], told: Any) -> None:
    found = task(*args)
    for item in found if isinstance(found, Generator) else [found]:
        told.put(item)
    told.put(None)


@pytest.fixture
def forked(chosen: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> ForkedGpu:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this machine cannot fork")
    gpu = ForkedGpu()
    monkeypatch.setitem(sys.modules, "spaces", gpu)
    chosen("zerogpu")
    return gpu


def test_a_hub_models_run_and_its_decoding_happen_in_forked_processes(forked: ForkedGpu) -> None:
    requests = [REQUEST, replace(REQUEST, seed=2)]
    list(START([REQUEST]))  # threads and locks are in use when the process is forked
    runs = stepper.submit_all(requests)
    found = [list(run) for run in runs]
    assert len(forked.pids) == 1
    assert_same(found, requests)
    assert len(forked.pids) == 3  # one for each picture decoded


def test_classroom_models_trainings_and_texts_stay_in_the_pages_process(forked: ForkedGpu) -> None:
    list(image.generate(ImageRequest("a cat", num_inference_steps=1, model="classroom-image")))
    encode_texts(["a red car"], "tiny-clip")
    table = Trainings()
    next(table.run(table.begin(DinoLearner(0, Settings()))))
    assert forked.pids == []


@pytest.mark.usefixtures("chosen")
def test_on_zerogpu_only_models_that_are_lent_a_gpu_are_put_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "device", lambda: "cuda")
    monkeypatch.delenv("STEUERVEKTOR_ENGINE", raising=False)
    ids = ("classroom-image", "classroom-clip", "clip-vit-b-32", "sd-turbo", "musicgen-small", "tiny-sd")
    assert [catalogue.entry_device(catalogue.entry(model)) for model in ids] == ["cuda"] * 6
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")  # what such a Space sets
    assert [catalogue.entry_device(catalogue.entry(model)) for model in ids] == ["cpu"] * 3 + ["cuda"] * 3


def test_a_stop_ends_the_forked_run(forked: ForkedGpu) -> None:
    run = image.generate(replace(REQUEST, num_inference_steps=100))
    next(run)
    run.close()
    (relay,) = [thread for thread in threading.enumerate() if thread.name == "relay"]
    relay.join(PATIENCE_S)
    assert not relay.is_alive()


def test_an_error_of_a_forked_run_keeps_its_sentence(forked: ForkedGpu) -> None:
    with pytest.raises(InputError, match="steps_range"):
        stepper.submit(replace(REQUEST, num_inference_steps=101))
    with pytest.raises(EngineError):
        image.decode(np.zeros((1, 9, 8, 8), np.float32), "tiny-sd")


class GradioError(Exception):
    """As `gradio.Error`, which is what the package raises."""

    def __init__(self, title: str) -> None:
        super().__init__("English text with a link")
        self.title = title


@pytest.mark.parametrize(
    ("title", "key"),
    [
        ("ZeroGPU quota exceeded", "gpu_quota"),
        ("ZeroGPU pending credits exceeded", "gpu_quota"),
        ("ZeroGPU illegal duration", "gpu_quota"),
        ("ZeroGPU queue timeout", "gpu_busy"),
        ("ZeroGPU client error", "gpu_busy"),
        ("ZeroGPU worker error", "engine_stopped"),
    ],
)
def test_what_zerogpu_refuses_becomes_a_sentence_of_ours(
    title: str, key: str, chosen: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise GradioError(title)

    gpu = type("spaces", (), {"GPU": staticmethod(lambda duration: lambda task: refuse)})
    monkeypatch.setitem(sys.modules, "spaces", gpu)
    chosen("zerogpu")
    with pytest.raises(InputError, match=key):
        image.generate(REQUEST)
    with pytest.raises(InputError, match=key):
        image.decode(np.zeros((1, 4, 8, 8), np.float32), "tiny-sd")


def test_any_other_error_stays_as_it_is() -> None:
    error = GradioError("Error")
    assert zerogpu_engine.sentence_for(error) is error


# The real package, with whatever needs its servers and a GPU taken out; the fork and the queues are its own.
REAL = """
import os
os.environ |= {"SPACES_ZERO_GPU": "true", "STEUERVEKTOR_DEVICE": "cpu"}
os.environ["SPACES_ZERO_DEVICE_API_URL"] = "http://127.0.0.1:9"
import spaces
from spaces.zero import client, torch as zero_torch, wrappers
from spaces.zero.api import ScheduleResponse
granted = ScheduleResponse(idle=False, nvidiaIndex=0, nvidiaUUID="none", allowToken="token")
client.schedule = lambda **_: granted
client.release = client.allow = lambda *_, **__: None
zero_torch.init = lambda uuid: None
zero_torch.move = lambda callback=None: None
import numpy as np
from pipelines.image import image, stepper
from pipelines.image.request import ImageRequest
from pipelines.serving.engine import engine
from pipelines.serving.work import behind
request = ImageRequest("a red car", seed=1, num_inference_steps=3, model="tiny-sd")
alone = list(behind(stepper.submit_all)([request])[0])
forked = list(image.generate(request))
assert [s.index for s in forked] == [0, 1, 2]
assert np.abs(forked[-1].latents - alone[-1].latents).max() < 1e-4
from pipelines.serving.errors import InputError
try:
    image.generate(ImageRequest("a", num_inference_steps=101, model="tiny-sd"))
except InputError as error:
    assert error.key == "steps_range"
assert type(engine()).__name__ == "ZeroGpuEngine"
print("steps of a forked process")
"""


@pytest.mark.slow
def test_the_real_package_forks_and_yields_our_steps(checkpoints: Path) -> None:
    pytest.importorskip("spaces", reason="`spaces` is a package of Spaces (docs/scaling.md)")
    environment = os.environ | {
        "STEUERVEKTOR_ENGINE": "zerogpu",
        "STEUERVEKTOR_MODELS": str(checkpoints / "models.toml"),
    }
    done = subprocess.run(
        [sys.executable, "-c", REAL], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert "steps of a forked process" in done.stdout, done.stdout + done.stderr
