"""Models are loaded once, beside downloads, within a budget; and every failure says what it is."""

import errno
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import httpx
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from pipelines.audio.audio import audio_model
from pipelines.clip.model import clip_model, encode_texts
from pipelines.dino.model import vision_model
from pipelines.image.load import image_pipeline, weight_type
from pipelines.serving import catalogue, loading
from pipelines.serving.catalogue import ModelEntry
from pipelines.serving.errors import InputError
from pipelines.text.tokens import token_view
from pipelines.video.load import video_pipeline

HUB = ModelEntry("some", "image", "hub", "Some model", "someone/some", "none", 1, 2500)
MIB = 2**20


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model of as many MiB as asked for."""

    layer: torch.nn.Linear


def build(mib: int):
    return lambda e, device: Loaded(torch.nn.Linear(256, mib * 1024, bias=False))


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of this test's own."""
    monkeypatch.setattr(loading, "_loaded", {})
    monkeypatch.setattr(loading, "_evicted", type(loading._evicted)())
    monkeypatch.setattr(loading, "_failed", {})


def refused(error: Exception) -> RepositoryNotFoundError:
    response = httpx.Response(401, request=httpx.Request("GET", "https://hub"))
    return error("refused", response=response)  # type: ignore[operator]


def wrapped(cause: Exception) -> Exception:
    """As libraries hand it on: the cause behind an OSError of their own."""
    try:
        raise OSError("Cannot load model") from cause
    except OSError as error:
        return error


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "model_too_large"),
        (MemoryError(), "model_too_large"),
        (OSError(errno.ENOSPC, "No space left on device"), "model_disk_full"),
        (ModuleNotFoundError("no", name="sentencepiece"), "model_package_missing"),
        (refused(GatedRepoError), "model_gated"),
        (refused(RepositoryNotFoundError), "model_not_found"),
        (LocalEntryNotFoundError("not cached"), "model_needs_network"),
        (httpx.ConnectError("no route"), "model_needs_network"),
        (wrapped(LocalEntryNotFoundError("not cached")), "model_needs_network"),
        (wrapped(torch.OutOfMemoryError()), "model_too_large"),
        (ValueError("header too large"), "model_broken"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_failure_says_what_it_is_and_its_cause_stands_in_the_log(error, key, caplog) -> None:
    def fail(e: ModelEntry, device: str) -> Loaded:
        raise error

    with caplog.at_level(logging.WARNING), pytest.raises(InputError, match=key) as caught:
        loading.load(HUB, fail)
    assert caught.value.values["title"] == "Some model"
    assert "some" in caplog.text
    assert key == "model_needs_network" or caplog.records[-1].exc_info


def test_a_folder_of_ones_own_never_blames_the_network() -> None:
    def fail(e: ModelEntry, device: str) -> Loaded:
        raise LocalEntryNotFoundError("a missing file")

    with pytest.raises(InputError, match="model_broken"):
        loading.load(replace(HUB, family="local"), fail)


def test_what_failed_for_want_of_a_network_is_not_tried_again_at_once(monkeypatch) -> None:
    tries: list[str] = []

    def download(e: ModelEntry) -> None:
        tries.append(e.id)
        raise httpx.ConnectError("no route")

    for _ in range(2):
        with pytest.raises(InputError, match="model_needs_network"):
            loading.load(HUB, build(1), download)
    assert tries == ["some"]
    monkeypatch.setattr(loading, "RETRY_AFTER", 0.0)
    with pytest.raises(InputError, match="model_needs_network"):
        loading.load(HUB, build(1), download)
    assert tries == ["some"] * 2


def test_a_download_keeps_no_other_model_waiting_and_happens_once() -> None:
    downloading, go_on, downloads = threading.Event(), threading.Event(), []

    def download(e: ModelEntry) -> None:
        downloads.append(e.id)
        downloading.set()
        assert go_on.wait(60)

    with ThreadPoolExecutor(2) as visitors:
        large = [visitors.submit(loading.load, HUB, build(1), download) for _ in range(2)]
        assert downloading.wait(60)
        small = loading.load(replace(HUB, id="small"), build(1))  # comes back while the download goes on
        assert not any(found.done() for found in large)
        go_on.set()
        assert large[0].result() is large[1].result() is not small
    assert downloads == ["some"]


def test_models_not_used_for_longest_make_room(monkeypatch) -> None:
    monkeypatch.setenv("STEUERVEKTOR_MODEL_GIB", str(5 / 1024))
    a, b, c = (replace(HUB, id=name) for name in "abc")
    first = loading.load(a, build(2))
    loading.load(b, build(2))
    assert loading.load(a, build(2)) is first  # used again: b is the oldest now
    loading.load(c, build(2))
    assert [loading.is_loaded(name) for name in "abc"] == [True, False, True]
    assert loading.weight_bytes(first) == 2 * MIB
    assert loading.load(replace(HUB, id="huge"), build(9)) is not None  # larger than all: kept alone
    assert list(loading._loaded) == ["huge"]


def test_a_model_in_a_run_is_found_again_rather_than_loaded_twice(monkeypatch) -> None:
    monkeypatch.setenv("STEUERVEKTOR_MODEL_GIB", str(3 / 1024))
    running = loading.load(replace(HUB, id="a"), build(2))
    loading.load(replace(HUB, id="b"), build(2))
    assert not loading.is_loaded("a")
    assert loading.load(replace(HUB, id="a"), build(2)) is running
    del running
    loading.load(replace(HUB, id="b"), build(2))
    assert "a" not in loading._evicted  # nobody held it: its memory is free


@pytest.mark.parametrize(
    ("of_role", "other"),
    [
        (clip_model, "classroom-dino"), (vision_model, "classroom-clip"), (image_pipeline, "classroom-video"),
        (video_pipeline, "classroom-image"), (audio_model, "classroom-clip"),
        (lambda model: encode_texts(["a"], model), "classroom-dino"),
        (lambda model: token_view("a cat", model), "classroom-audio"),
        (lambda model: token_view("a cat", model), "classroom-dino"),
    ],
)  # fmt: skip
def test_an_id_of_another_role_is_refused_with_the_list_of_its_own(of_role, other: str) -> None:
    with pytest.raises(InputError, match="model_unknown") as caught:
        of_role(other)
    assert caught.value.values["received"] == other
    assert other not in caught.value.values["known"]


def test_a_hub_model_is_preselected_only_where_it_was_downloaded_before(monkeypatch) -> None:
    monkeypatch.delenv("STEUERVEKTOR_FAMILY", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    here: list[str] = []
    monkeypatch.setattr(
        catalogue, "try_to_load_from_cache", lambda source, file: "path" if source in here else None
    )
    assert catalogue.default_id("image") == "classroom-image"
    here.append("stable-diffusion-v1-5/stable-diffusion-v1-5")
    assert catalogue.default_id("image") == "stable-diffusion-v1-5"
    assert catalogue.default_id("clip") == "classroom-clip"
    monkeypatch.setenv("STEUERVEKTOR_FAMILY", "classroom")
    assert catalogue.default_id("image") == "classroom-image"


def test_a_model_that_wants_more_memory_than_there_is_is_refused_before_its_download(monkeypatch) -> None:
    monkeypatch.setattr("pipelines.image.load.download_pipeline", lambda source: pytest.fail("a download"))
    monkeypatch.setattr(loading, "machine_bytes", lambda: 8 * 2**30)
    with pytest.raises(InputError, match="model_needs_memory") as caught:
        image_pipeline("flux-2-klein-4b")
    assert caught.value.values["there_gib"] == 8.0
    assert caught.value.values["needed_gib"] == pytest.approx(1.2 * 2 * 7_982_058_787 / 2**30, abs=0.1)
    assert not loading.is_loaded("flux-2-klein-4b")


def test_weights_are_held_whole_where_they_fit_and_halved_where_they_do_not(monkeypatch) -> None:
    klein, sd = (catalogue.entry(name) for name in ("flux-2-klein-4b", "stable-diffusion-v1-5"))
    kinds = {8: torch.bfloat16, 64: torch.float32}
    for gib, kind in kinds.items():
        monkeypatch.setattr(loading, "machine_bytes", lambda gib=gib: gib * 2**30)
        assert weight_type(klein, "cpu") == kind
        assert (weight_type(klein, "cuda"), weight_type(sd, "cuda")) == (torch.bfloat16, torch.float16)
        assert weight_type(sd, "cpu") == torch.float32
