"""Parts that take turns on a GPU: who has to, who can, and that the picture stays the same."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from components.runs.unasked import waits_for_click
from components.ui.language import load_texts
from pipelines.audio.audio import audio_model
from pipelines.audio.bark import bark_voice
from pipelines.image import image
from pipelines.image.load import image_pipeline, load_diffusion, weight_type
from pipelines.image.offload import device_of, make_room, take_turns
from pipelines.image.request import ImageRequest
from pipelines.image.stepper import Stepper
from pipelines.serving import catalogue, loading
from pipelines.serving.errors import InputError
from pipelines.video.load import video_pipeline

GIB = 2**30
HALF = torch.bfloat16.itemsize


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    def of(gpu: float, ram: float, kind: str = "cuda") -> None:
        monkeypatch.setattr(loading, "device", lambda: kind)
        monkeypatch.setattr(loading, "machine_bytes", lambda: int(gpu * GIB))
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=int(ram * GIB)))

    return of


@pytest.mark.parametrize(
    ("gpu", "ram", "kind", "turns", "refused"),
    [
        (24, 32, "cuda", False, False),  # all of it finds room
        (12, 32, "cuda", True, False),  # T5 alone does
        (12, 8, "cuda", False, True),  # nowhere for the parts to wait
        (
            8,
            32,
            "cuda",
            False,
            True,
        ),  # not even T5 alone: 4.76 billion weights of two bytes, and what runs beside
        (12, 32, "cpu", False, True),
    ],
)
def test_parts_take_turns_where_only_the_largest_finds_room(machine, gpu, ram, kind, turns, refused) -> None:
    machine(gpu, ram, kind)
    sd3 = catalogue.entry("stable-diffusion-3.5-medium")
    assert loading.offloads(sd3, HALF) == turns
    if refused:
        with pytest.raises(InputError, match="model_needs_memory"):
            loading.check_memory(sd3, HALF)
    else:
        loading.check_memory(sd3, HALF)


@pytest.mark.parametrize(
    ("model", "load"),
    [("wan-2.1-1.3b", video_pipeline), ("audiogen-medium", audio_model), ("bark-small", bark_voice)],
)
def test_films_and_sounds_are_refused_before_the_download_too(machine, model, load) -> None:
    machine(1, 1, "cpu")
    with pytest.raises(InputError, match="model_needs_memory"):
        load(model)


def test_a_unet_and_a_model_that_tells_no_largest_part_do_not(machine) -> None:
    machine(2, 64)
    klein = catalogue.entry("flux-2-klein-4b")
    machine(12, 64)
    assert loading.offloads(klein, HALF)
    assert not loading.offloads(replace(klein, largest_part=0), HALF)
    assert not loading.offloads(replace(klein, denoiser="unet"), HALF)


def test_the_loader_lets_them(machine, monkeypatch, transformers_of_today) -> None:
    machine(12, 64)
    asked = []
    monkeypatch.setattr("pipelines.image.load.take_turns", lambda pipe, device: asked.append(device))
    large = replace(
        catalogue.entry("stable-diffusion-3.5-medium"),
        source=catalogue.entry("tiny-sd3").source,
        family="local",
    )
    pipe = load_diffusion(large, "cuda")
    assert asked == ["cuda"] and pipe.transformer.device.type == "cpu"
    assert pipe.transformer.dtype == weight_type(large, "cuda") == torch.bfloat16


@pytest.mark.parametrize("model", ["tiny-sd3", "tiny-klein", "tiny-sprint", "tiny-prx"])
def test_the_picture_stays_the_same(model, monkeypatch, transformers_of_today) -> None:
    """The library's hooks around each part, whose device is the CPU here; two runs share the pipeline.

    Coming and going copies the weights, and kernels of a CPU round by where these lie.
    """
    request = ImageRequest(
        "a cat", guidance_scale=1, num_inference_steps=2, model=model, height=64, width=64, look_inside=True
    )
    other = replace(request, seed=3)
    expected = [tuple(image.generate(r)) for r in (request, other)]
    pipe = image_pipeline(model)
    try:
        take_turns(pipe, "cpu")
        assert {name for name, part in pipe.components.items() if hasattr(part, "_hf_hook")} == {
            name
            for name, part in pipe.components.items()
            if isinstance(part, torch.nn.Module) and name != "vae"
        }
        assert device_of(pipe) == torch.device("cpu", 0)
        left = []
        monkeypatch.setattr(type(pipe), "maybe_free_model_hooks", lambda self: left.append(self))
        found = [tuple(run) for run in Stepper().submit([request, other])]
        assert left and all(each is pipe for each in left), "what was there goes before a prompt is read"
        monkeypatch.undo()
        make_room(pipe)
        for run, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(run[-1].latents, wanted[-1].latents, atol=1e-5)
        alone = tuple(image.generate(request))
        np.testing.assert_allclose(alone[-1].latents, expected[0][-1].latents, atol=1e-5)
        assert image.decode(alone[-1].latents, model)[0].size == (64, 64)
    finally:
        loading.unload(model)


def test_it_is_said_before_the_download(machine, monkeypatch) -> None:
    said = []
    monkeypatch.setattr("pipelines.image.load.device", lambda: "cuda")
    monkeypatch.setattr("gradio.Info", lambda text, title: said.append(text))
    t = load_texts("en")
    for gpu in (12, 48):
        machine(gpu, 64)
        assert waits_for_click("stable-diffusion-3.5-medium", t)
        assert waits_for_click("wan-2.1-1.3b", t)
    assert [t("common.takes_turns") in text for text in said] == [True, False, False, False]


def test_a_pipeline_that_holds_all_its_parts_keeps_them(transformers_of_today) -> None:
    pipe = image_pipeline("tiny-sd3")
    make_room(pipe)
    assert not hasattr(pipe.transformer, "_hf_hook") and device_of(pipe) == pipe.device
