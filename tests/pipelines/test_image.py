"""Pictures: the library's own to the bit, every step explained, and nothing unusable let in."""

import io
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
)
from PIL import Image

from pipelines.image import image
from pipelines.image.load import image_pipeline
from pipelines.image.request import SCHEDULERS, ImageRequest
from pipelines.image.steering import Steering
from pipelines.serving import catalogue, loading
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.errors import InputError

pytestmark = pytest.mark.usefixtures("tiny_models")

REQUEST = ImageRequest("A small cat on a bed.", "blur", 7, 6.5, 6, "ddim", "tiny-sd")
LIBRARY = {
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "dpm++": (DPMSolverMultistepScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
}


@on_compute_thread  # on as many cores as the app: sums of another order differ in their last bits
def library_latents(request: ImageRequest) -> torch.Tensor:
    """What the unchanged `StableDiffusionPipeline` draws."""
    loaded = image_pipeline(request.model)
    kind, settings = LIBRARY[request.scheduler]
    scheduler = kind.from_config(loaded.scheduler.config, **settings)
    pipe = StableDiffusionPipeline(
        **loaded.components | {"scheduler": scheduler}, requires_safety_checker=False
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        height=request.height,
        width=request.width,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="latent",
    ).images


@pytest.mark.parametrize("model", ["tiny-sd", "classroom-image"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_lone_run_is_the_librarys_to_the_bit(scheduler, model):
    request = replace(REQUEST, scheduler=scheduler, model=model)
    steps = tuple(image.generate(request))
    assert np.array_equal(steps[-1].latents, library_latents(request)[0].numpy())


def test_other_sizes_are_the_librarys_to_the_bit_too():
    request = replace(REQUEST, height=96, width=48)
    trace = image.run(request)
    assert trace.image.size == (48, 96)
    assert np.array_equal(trace.steps[-1].latents, library_latents(request)[0].numpy())


def test_decoding_is_the_librarys_to_the_bit():
    trace = image.run(REQUEST)
    pipe = image_pipeline("tiny-sd")
    with torch.no_grad():
        latents = torch.tensor(trace.steps[-1].latents)[None]
        pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    expected = pipe.image_processor.postprocess(pixels, output_type="pil")[0]
    assert np.array_equal(np.asarray(trace.image), np.asarray(expected))


def test_same_seed_same_picture_and_another_seed_another():
    first, again, other = (image.run(replace(REQUEST, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.steps[-1].latents, again.steps[-1].latents)
    assert np.abs(np.asarray(first.image, int) - np.asarray(other.image, int)).max() > 20


def test_steps_tell_where_they_are():
    steps = tuple(image.generate(REQUEST))
    assert [s.index for s in steps] == list(range(6))
    assert {s.total for s in steps} == {6}
    assert [s.timestep for s in steps] == sorted((s.timestep for s in steps), reverse=True)
    for step in steps:
        for array in (step.latents, step.denoised_prompt, step.denoised_empty, step.denoised_guided):
            assert array.shape == (4, 8, 8)
            assert array.dtype == np.float32


def test_a_step_shares_no_memory_with_the_run():
    steps = image.generate(REQUEST)
    for step in steps:
        for array in (step.latents, step.denoised_guided):
            array[...] = math.nan
    assert np.array_equal(tuple(image.generate(REQUEST))[-1].latents, library_latents(REQUEST)[0].numpy())


def test_many_latents_decode_as_each_alone():
    latents = np.random.default_rng(0).standard_normal((5, 4, 8, 8)).astype(np.float32)
    together = image.decode(latents, "tiny-sd")
    for one, picture in zip(latents, together, strict=True):
        alone = image.decode(one, "tiny-sd")[0]
        assert np.abs(np.asarray(alone, int) - np.asarray(picture, int)).max() <= 1


def test_previews_decode_large_latents_averaged_down_and_small_ones_in_full():
    latents = np.random.default_rng(1).standard_normal((2, 4, 64, 32)).astype(np.float32)
    averaged = latents.reshape(2, 4, 16, 4, 8, 4).mean(axis=(3, 5))
    shown, expected = image.preview(latents, "tiny-sd"), image.decode(averaged, "tiny-sd")
    for one, other in zip(shown, expected, strict=True):
        assert one.size == (64, 128)
        assert np.abs(np.asarray(one, int) - np.asarray(other, int)).max() <= 1
    small = latents[0, :, :16, :16]
    assert image.preview(small, "tiny-sd")[0].tobytes() == image.decode(small, "tiny-sd")[0].tobytes()


def test_a_run_that_was_stopped_shows_its_last_estimate():
    steps = tuple(image.generate(REQUEST))
    stopped = image.finish(REQUEST, steps[:3])
    expected = image.decode(steps[2].denoised_guided, "tiny-sd")[0]
    assert stopped.image.tobytes() == expected.tobytes()
    assert len(stopped.steps) == 3


def test_a_png_carries_its_parameters_and_draws_itself_again():
    trace = image.run(replace(REQUEST, prompt='Ein Käfer 🐞 "<b>" \n', seed=2**32 - 1))
    png = image.png_with_parameters(trace)
    assert Image.open(io.BytesIO(png)).info["parameters"].isascii()
    found = image.read_parameters(png)
    assert found == trace.request.parameters()
    again = image.run(ImageRequest(**found))
    assert again.image.tobytes() == Image.open(io.BytesIO(png)).convert("RGB").tobytes()


def test_a_png_of_a_steered_run_draws_itself_again():
    levers = Steering("a blue bird", 0.25, 2, ((2, 0.5),), blocks_off=("down_blocks.0",), places_hidden=(3,))
    trace = image.run(replace(REQUEST, steering=levers))
    again = image.run(ImageRequest(**image.read_parameters(image.png_with_parameters(trace))))
    assert again.request == trace.request
    assert again.image.tobytes() == trace.image.tobytes()
    assert again.image.tobytes() != image.run(REQUEST).image.tobytes()


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"<svg/>", b"not a picture"])
def test_files_without_parameters_are_refused(data):
    with pytest.raises(InputError, match="parameters_missing"):
        image.read_parameters(data)


def test_a_png_of_a_model_that_is_not_here_says_so():
    trace = image.run(REQUEST)
    foreign = replace(trace, request=replace(trace.request, model="a-model-of-elsewhere"))
    with pytest.raises(InputError, match="model_unknown"):
        image.read_parameters(image.png_with_parameters(foreign))


def test_a_png_of_another_program_is_refused():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format="PNG")
    with pytest.raises(InputError, match="parameters_missing"):
        image.read_parameters(file.getvalue())


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("prompt_empty", {"prompt": ""}),
        ("prompt_empty", {"prompt": " \n\t"}),
        ("prompt_empty", {"prompt": None}),
        ("prompt_too_long", {"prompt": "a" * 2001}),
        ("prompt_too_long", {"negative_prompt": "a" * 10_000}),
        ("text_broken", {"prompt": "half a pair \ud83d"}),
        ("text_broken", {"negative_prompt": 5}),
        ("guidance_scale_range", {"guidance_scale": math.nan}),
        ("guidance_scale_range", {"guidance_scale": -0.1}),
        ("guidance_scale_range", {"guidance_scale": 20.1}),
        ("guidance_scale_range", {"guidance_scale": math.inf}),
        ("guidance_scale_range", {"guidance_scale": "5"}),
        ("guidance_scale_range", {"guidance_scale": None}),
        ("steps_range", {"num_inference_steps": 0}),
        ("steps_range", {"num_inference_steps": 101}),
        ("steps_range", {"num_inference_steps": 2.5}),
        ("steps_range", {"num_inference_steps": math.nan}),
        ("steps_range", {"num_inference_steps": True}),
        ("seed_range", {"seed": -1}),
        ("seed_range", {"seed": 2**32}),
        ("seed_range", {"seed": 10**400}),
        ("seed_range", {"seed": math.inf}),
        ("size_range", {"height": 60}),
        ("size_range", {"width": 30_000}),
        ("size_range", {"width": math.nan}),
        ("scheduler_unknown", {"scheduler": "DDIM"}),
        ("scheduler_unknown", {"scheduler": None}),
        ("model_unknown", {"model": "../../etc/passwd"}),
        ("model_unknown", {"model": "classroom-clip"}),
    ],
)
def test_unusable_values_are_named(key, change):
    with pytest.raises(InputError, match=f"^{key}"):
        image.generate(replace(REQUEST, **change))


def test_usable_values_are_typed():
    request = ImageRequest("🐈", None, 3.0, 20, np.int64(2), model="").validated()
    assert request == ImageRequest("🐈", "", 3, 20.0, 2, model=catalogue.default_id("image"))
    assert [type(v) for v in (request.seed, request.guidance_scale, request.num_inference_steps)] == [
        int, float, int,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "prompt", ["🐈‍⬛👩🏽‍🚀", "<script>alert(1)</script>", "\x00\x07", "قطة على سرير", "a " * 1000]
)
def test_strange_prompts_are_drawn(prompt):
    assert image.run(replace(REQUEST, prompt=prompt, num_inference_steps=1)).image.size == (64, 64)


def test_change_of_a_picture_is_the_mean_over_pixels_and_channels():
    first, second = Image.new("RGB", (2, 1), (10, 20, 30)), Image.new("RGB", (2, 1), (10, 20, 30))
    second.putpixel((0, 0), (16, 20, 30))
    assert image.picture_change(first, second) == pytest.approx(1.0)


def test_an_engine_is_told_which_model_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be lent a GPU for models of the hub alone, one of which can be preselected."""
    told = []
    stand_in = SimpleNamespace(submit=lambda work, requests: told.extend(requests) or list(requests))
    monkeypatch.setattr("pipelines.serving.engine.engine", lambda: stand_in)
    image.generate(ImageRequest("a cat"))
    assert [request.model for request in told] == [catalogue.default_id("image")]


@pytest.mark.in_process
def test_an_autoencoder_in_half_precision_has_a_mean_and_a_deviation_too() -> None:
    """As Playground v2.5's."""
    pipe = image_pipeline("tiny-turbo")
    latents = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)
    try:
        pipe.vae.register_to_config(latents_mean=[0.1] * 4, latents_std=[2.0] * 4)
        expected = np.asarray(image.decode(latents, "tiny-turbo")[0], int)
        pipe.vae.to(torch.bfloat16)
        assert np.abs(np.asarray(image.decode(latents, "tiny-turbo")[0], int) - expected).mean() < 4
    finally:
        loading.unload("tiny-turbo")
