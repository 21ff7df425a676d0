"""Loading models: each once, one build at a time, downloads beside it, and failures told apart.

The catalogue says what there is; the module of each role owns the function that builds its models and hands
it in (`pipelines.clip.model.clip_model`, `pipelines.image.load.image_pipeline`, …), so that callers get typed
objects.
"""

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import httpx
import httpx2
import psutil
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from pipelines.serving.catalogue import ModelEntry, device, entry_device
from pipelines.serving.compute import on_short_lived_thread
from pipelines.serving.errors import InputError, is_disk_full, is_out_of_memory

T = TypeVar("T")
log = logging.getLogger(__name__)
ROOM = 1.2  # memory that a model takes while it runs, relative to its weights
LOAD_S = 20.0  # s that a build takes at most
RETRY_AFTER = 60.0  # s; what failed for want of a network is not tried again at every click
# The client of the hub and the libraries above it speak HTTP through one or the other.
_NO_NETWORK = (
    LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.TransportError, httpx2.TransportError,
    ConnectionError, TimeoutError,
)  # fmt: skip
# The other side answered, and hung up before the end.
_CUT_OFF = (httpx.ReadError, httpx2.ReadError, httpx.RemoteProtocolError, httpx2.RemoteProtocolError)

_loaded: dict[str, Any] = {}  # the least recently used first
_evicted: WeakValueDictionary[str, Any] = WeakValueDictionary()  # still there while a run holds them
_failed: dict[str, tuple[float, InputError]] = {}
_table = threading.Lock()  # guards the three above; held for moments only
_own: defaultdict[str, Any] = defaultdict(threading.RLock)  # one download of a model at a time
_building = threading.RLock()  # one build at a time: libraries build models under settings of all threads


def _in_forked_process() -> None:
    """Locks may be held for ever by threads that a forked process does not have."""
    global _table, _building
    _table, _building = threading.Lock(), threading.RLock()
    _own.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_process)


def load(
    e: ModelEntry,
    make: Callable[[ModelEntry, str], T],
    download: Callable[[ModelEntry], object] | None = None,
    part: str = "",
) -> T:
    """Load a model once; later calls return the same object.

    Once all loaded models together exceed `budget()`, those not used for longest are let go. What a run still
    holds stays as it is until the run ends, and is found again rather than loaded twice.

    Args:
        e: a catalogue entry.
        make: builds it, `(entry, device) -> model`; called on a thread of its own, one build at a time.
        download: brings the files of a model of the hub; other models can be loaded meanwhile.
        part: "+name" of another form of the same model, kept beside it.

    Raises:
        InputError: `model_needs_network`, `model_download_cut`, `model_gated`, `model_not_found`,
            `model_too_large`, `model_disk_full`, `model_package_missing` or `model_broken`; the cause stands
            in the log.
    """
    key = e.id + part
    with _table:
        if (found := _find(key)) is not None:
            return found
        own = _own[key]
    with own:
        with _table:
            if (found := _find(key)) is not None:
                return found
        raise_if_just_failed(key)
        try:
            if download is not None and e.family == "hub":
                download(e)
            with _building:
                made = on_short_lived_thread(make)(e, entry_device(e))
        except InputError:
            raise
        except Exception as error:
            raise explained(e, error, key) from error
        with _table:
            _loaded[key] = made
            _evict(key)
        return made


def _find(key: str) -> Any:
    """A loaded model, which becomes the last one used; None if there is none."""
    found = _loaded.pop(key, None)
    if found is None:
        found = _evicted.pop(key, None)
    if found is not None:
        _loaded[key] = found
    return found


def budget() -> int:
    """Bytes of weights kept loaded: `STEUERVEKTOR_MODEL_GIB`, or most of a GPU's memory, or half the RAM."""
    if given := os.environ.get("STEUERVEKTOR_MODEL_GIB"):
        return int(float(given) * 2**30)
    if device() == "cuda":
        return int(0.7 * machine_bytes())
    return machine_bytes() // 2


def machine_bytes() -> int:
    """Memory of the GPU, or of the machine where there is none."""
    if device() == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    return int(psutil.virtual_memory().total)


def fits(e: ModelEntry, bytes_a_weight: int) -> bool:
    """Whether a model's weights, and what is computed with them, find room in an otherwise idle machine."""
    return _needed(e, bytes_a_weight) <= machine_bytes()


def offloads(e: ModelEntry, bytes_a_weight: int) -> bool:
    """Whether a model's parts have to take turns on the GPU, and can.

    All of its weights have to find room in the machine's memory, and the largest part on the GPU. Of U-Nets,
    texts are read beside the denoiser, so that these have to be there together.

    Args:
        e: a catalogue entry; one that does not tell its largest part cannot.
        bytes_a_weight: as it will be held.
    """
    if device() != "cuda" or not e.largest_part or not e.is_transformer or fits(e, bytes_a_weight):
        return False
    largest = int(ROOM * bytes_a_weight * e.largest_part)
    return largest <= machine_bytes() and _needed(e, bytes_a_weight) <= psutil.virtual_memory().total


def check_memory(e: ModelEntry, bytes_a_weight: int | None = None) -> None:
    """Refuse a model that wants more memory than there is, before it is downloaded; its parts may take turns.

    Args:
        e: a catalogue entry; one that tells no number of parameters is let through.
        bytes_a_weight: as it will be held; by default in half precision on a GPU, in full elsewhere.

    Raises:
        InputError: `model_needs_memory`.
    """
    if bytes_a_weight is None:
        bytes_a_weight = 2 if device() == "cuda" else 4
    if not fits(e, bytes_a_weight) and not offloads(e, bytes_a_weight):
        needed, there = (round(n / 2**30, 1) for n in (_needed(e, bytes_a_weight), machine_bytes()))
        raise InputError("model_needs_memory", title=e.title, needed_gib=needed, there_gib=there)


def _needed(e: ModelEntry, bytes_a_weight: int) -> int:
    return int(ROOM * bytes_a_weight * e.parameters)


def _evict(newest: str) -> None:
    """Let go of models until the rest fits, the newest always kept."""
    most, sizes = budget(), {key: weight_bytes(model) for key, model in _loaded.items()}
    for key in list(_loaded):
        if sum(sizes[k] for k in _loaded) <= most or key == newest:
            break
        _evicted[key] = _loaded.pop(key)
        log.warning("model %s made room for %s", key, newest)
    if device() == "cuda":
        torch.cuda.empty_cache()


def weight_bytes(model: Any) -> int:
    """Memory of the weights in an object: a module, a diffusers pipeline, or a dataclass that holds them."""
    modules = {id(m): m for m in _modules(model)}
    tensors = {id(w): w for m in modules.values() for w in (*m.parameters(), *m.buffers())}
    return sum(w.numel() * w.element_size() for w in tensors.values())


def _modules(model: Any) -> Iterator[torch.nn.Module]:
    if isinstance(model, torch.nn.Module):
        yield model
    elif isinstance(components := getattr(model, "components", None), dict):
        yield from (part for part in components.values() if isinstance(part, torch.nn.Module))
    elif is_dataclass(model):
        for field in fields(model):
            yield from _modules(getattr(model, field.name))
    elif hasattr(model, "lm"):  # audiocraft's wrappers are no modules themselves
        yield from (model.lm, model.compression_model)


def raise_if_just_failed(key: str) -> None:
    """Refuse at once what failed for want of a network less than `RETRY_AFTER` ago.

    Raises:
        InputError: the same as then.
    """
    when, error = _failed.get(key, (0.0, None))
    if error is not None and time.monotonic() - when < RETRY_AFTER:
        raise InputError(error.key, **error.values)


def explained(e: ModelEntry, error: Exception, key: str) -> InputError:
    """Why a model could not be loaded, as a sentence for visitors; the log gets the cause.

    Args:
        e: the model.
        error: whatever was raised while it was loaded.
        key: under which a failure for want of a network is remembered.
    """
    kind, values = _kind_of(error)
    gigabytes = round(e.download_mb / 1000, 1)
    if kind == "model_needs_network" and e.family == "hub":
        found = InputError(kind, title=e.title, download_gb=gigabytes)
        _failed[key] = (time.monotonic(), found)
        log.warning("%s could not be downloaded: %s", e.id, error)
        return found
    if kind == "model_download_cut" and e.family == "hub":  # worth another try at once
        log.warning("the download of %s broke off: %s", e.id, error)
        return InputError(kind, title=e.title, download_gb=gigabytes)
    if kind in _OF_THE_HUB and e.family != "hub":
        kind, values = "model_broken", {"reason": type(error).__name__}
    log.error("%s could not be loaded (%s)", e.id, kind, exc_info=error)
    return InputError(kind, title=e.title, **values)


_OF_THE_HUB = ("model_needs_network", "model_download_cut", "model_gated", "model_not_found")


def _kind_of(error: BaseException | None) -> tuple[str, dict[str, str]]:
    """Message key and values for an exception or what caused it: libraries wrap the first in others."""
    reason = type(error).__name__
    while error is not None:
        if is_out_of_memory(error):
            return "model_too_large", {}
        if is_disk_full(error):
            return "model_disk_full", {}
        if isinstance(error, GatedRepoError):
            return "model_gated", {}
        if isinstance(error, RepositoryNotFoundError):
            return "model_not_found", {}
        if isinstance(error, ModuleNotFoundError):
            return "model_package_missing", {"package": str(error.name)}
        if isinstance(error, _CUT_OFF) or _is_outage(error):
            return "model_download_cut", {}
        if isinstance(error, _NO_NETWORK):
            return "model_needs_network", {}
        error = error.__cause__ or error.__context__
    return "model_broken", {"reason": reason}


def _is_outage(error: BaseException) -> bool:
    """Whether the hub answered that it cannot at the moment, or not to so many questions."""
    answer = getattr(error, "response", None) if isinstance(error, HfHubHTTPError) else None
    return answer is not None and (answer.status_code == 429 or answer.status_code >= 500)


def whole(kind: Any, source: str, **settings: Any) -> Any:
    """A model of the transformers library, all of whose weights come from its files.

    The library alone gives random weights to whatever the files do not hold, with a warning in the log: it
    would take the file of another model.

    Args:
        kind: its class.
        source: hub id or folder.
        settings: of `kind.from_pretrained`.

    Raises:
        ValueError: weights are missing, or of another shape.
    """
    settings |= {"output_loading_info": True}
    model, found = kind.from_pretrained(source, **settings)
    if wrong := sorted(map(str, {*found["missing_keys"], *found["mismatched_keys"]})):
        raise ValueError(f"{source} holds other weights: {len(wrong)} do not fit, such as {wrong[0]}")
    return model


def while_nothing_loads(make: Callable[[], T]) -> T:
    """Make a model of one's own while none is built on another thread.

    While diffusers builds one, the parameters of whatever module is built, on any thread, are left without
    storage (accelerate's `init_empty_weights`). Not for the compute thread, since this waits up to `LOAD_S`.

    Args:
        make: builds it; called on a short-lived thread.
    """
    alone = _building.acquire(timeout=LOAD_S)
    try:
        return on_short_lived_thread(make)()
    finally:
        if alone:
            _building.release()


def is_loaded(model: str) -> bool:
    """Whether a model would be there at once."""
    return model in _loaded


def unload(model: str) -> None:
    """Forget a loaded model and its other parts, whatever holds them."""
    with _table:
        for known in (_loaded, _evicted):
            for key in [k for k in known if k == model or k.startswith(f"{model}+")]:
                known.pop(key, None)
