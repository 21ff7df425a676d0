"""Models are loaded once, beside downloads, within a budget; and every failure says what it is."""

import errno
import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import httpx2
import pytest
import torch
from huggingface_hub import constants, file_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from pipelines.audio.audio import audio_model
from pipelines.audio.musicgen import load_musicgen
from pipelines.clip.model import clip_model, encode_texts, load_clip
from pipelines.dino.model import load_vision, vision_model
from pipelines.image.load import image_pipeline, load_diffusion, weight_type
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


def refused(error: type[HfHubHTTPError], status: int = 401) -> HfHubHTTPError:
    response = httpx.Response(status, request=httpx.Request("GET", "https://hub"))
    return error("refused", response=response)


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
        (httpx2.ConnectError("no route"), "model_needs_network"),
        (httpx2.ReadTimeout("silence"), "model_needs_network"),
        (httpx2.RemoteProtocolError("incomplete body"), "model_download_cut"),
        (wrapped(httpx.ReadError("reset")), "model_download_cut"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "model_disk_full"),
        (wrapped(LocalEntryNotFoundError("not cached")), "model_needs_network"),
        (wrapped(torch.OutOfMemoryError()), "model_too_large"),
        (refused(HfHubHTTPError, 503), "model_download_cut"),
        (refused(HfHubHTTPError, 429), "model_download_cut"),
        (refused(HfHubHTTPError, 400), "model_broken"),
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
    assert key in ("model_needs_network", "model_download_cut") or caplog.records[-1].exc_info


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


# Of each library that reads weights: a classroom model, its file, and what loads it.
FILES: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "open_clip": ("classroom-clip", "open_clip_model.safetensors", load_clip),
    "diffusers": ("classroom-image", "unet/diffusion_pytorch_model.safetensors", load_diffusion),
    "transformers": ("classroom-dino", "model.safetensors", load_vision),
    "musicgen": ("classroom-audio", "model.safetensors", load_musicgen),
}


@pytest.mark.parametrize("fault", ["truncated", "swapped"])
@pytest.mark.parametrize("library", FILES)
def test_weights_that_are_not_the_models_are_never_loaded(
    library: str, fault: str, tmp_path: Path, caplog
) -> None:
    model, file, make = FILES[library]
    e = catalogue.entry(model)
    folder = Path(shutil.copytree(e.source, tmp_path / "model"))
    if fault == "truncated":
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) // 2])
    else:
        other = FILES["open_clip" if library == "transformers" else "transformers"]
        shutil.copyfile(Path(catalogue.entry(other[0]).source) / other[1], folder / file)
    mine = replace(e, id="mine", source=str(folder), family="local")
    with pytest.raises(InputError, match="model_broken"):
        loading.load(mine, make)
    assert "mine could not be loaded" in caplog.text and not loading.is_loaded("mine")
    shutil.copyfile(Path(e.source) / file, folder / file)
    assert loading.load(mine, make) is not None  # once it is mended, without a restart


class Hub:
    """A hub of models on this machine, with one repository of two files; it can hang up within the second.

    Attributes:
        files: path to content.
        cut: whether it does.
        asked: paths of files that were asked for.
    """

    COMMIT = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self) -> None:
        self.files = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 4096}
        self.cut, self.asked = True, list[str]()
        hub = self

        class Answer(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self._file(body=False)

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path.startswith("/api/") and "/tree/" not in path:
                    self._send(json.dumps({"id": "someone/some", "sha": hub.COMMIT, "siblings": []}).encode())
                elif path.startswith("/api/"):
                    rows = [
                        {"type": "file", "path": name, "size": len(content), "oid": name}
                        for name, content in hub.files.items()
                    ]
                    self._send(json.dumps(rows).encode())
                else:
                    self._file(body=True)

            def _send(self, content: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _file(self, body: bool) -> None:
                name = self.path.rpartition("/")[2]
                content = hub.files[name]
                if body:
                    hub.asked.append(name)
                self.send_response(200)
                for header, value in {
                    "ETag": f'"{name}"', "X-Repo-Commit": hub.COMMIT, "Content-Length": str(len(content)),
                }.items():  # fmt: skip
                    self.send_header(header, value)
                self.end_headers()
                if body and hub.cut and name == "model.safetensors":
                    content = content[: len(content) // 2]
                    self.close_connection = True
                self.wfile.write(content if body else b"")

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The hub that the hub's own client asks; it keeps what it brings in a folder of this test."""
    hub = Hub()
    address = f"http://127.0.0.1:{hub.server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=lambda seconds: None))
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


def test_a_download_that_is_cut_off_is_told_begins_anew_and_no_half_file_is_loaded(
    hub: Hub, tmp_path: Path
) -> None:
    loaded: list[bytes] = []

    def make(e: ModelEntry, device: str) -> Loaded:
        folder = Path(snapshot_download(e.source, local_files_only=True))
        loaded.append((folder / "model.safetensors").read_bytes())
        return build(1)(e, device)

    def load() -> Loaded:
        return loading.load(HUB, make, lambda e: snapshot_download(e.source))

    with pytest.raises(InputError, match="model_download_cut") as caught:
        load()
    assert caught.value.values == {"title": "Some model", "download_gb": 2.5}
    assert hub.asked.count("model.safetensors") > 1, "the client tried several times by itself"
    assert loaded == [] and not list(tmp_path.rglob("model.safetensors"))
    hub.cut, hub.asked = False, []
    assert load() is load()
    assert loaded == [hub.files["model.safetensors"]]
    assert hub.asked == ["model.safetensors"], "the file that had come whole was kept"
    assert not list(tmp_path.rglob("*.incomplete"))
