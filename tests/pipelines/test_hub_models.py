"""Other people's models: checkpoints in the published folder layouts, through the same functions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, StableDiffusionXLPipeline
from PIL import Image

from pipelines.clip import model as clip
from pipelines.image import guidance, image
from pipelines.image.load import image_pipeline, load_diffusion
from pipelines.image.request import SCHEDULERS, ImageRequest
from pipelines.image.stepper import Stepper
from pipelines.serving import catalogue, loading
from pipelines.serving.errors import InputError

SD = ImageRequest("A small cat on a bed.", seed=5, num_inference_steps=3, model="tiny-sd")
TURBO = replace(SD, model="tiny-turbo", guidance_scale=0, scheduler="euler", num_inference_steps=2)


@pytest.fixture(scope="module", autouse=True)
def _catalogue(tiny_models: Path) -> Path:
    return tiny_models


def test_the_toml_file_adds_its_models_after_the_shipped_ones():
    ids = [entry.id for entry in catalogue.entries("image")]
    assert ids[0] == "classroom-image"
    assert ids[-3:] == ["tiny-sd", "tiny-turbo", "absent"]
    assert catalogue.entry("tiny-turbo").distilled
    assert [catalogue.entry(i).family for i in ("tiny-sd", "absent")] == ["local", "hub"]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_stable_diffusions_layout_draws_end_to_end(scheduler):
    trace = image.run(replace(SD, scheduler=scheduler))
    assert trace.image.size == (64, 64)
    assert trace.steps[-1].latents.shape == (4, 8, 8)
    assert np.isfinite(trace.steps[-1].latents).all()
    assert len(np.unique(np.asarray(trace.image))) > 20


def test_no_safety_checker_is_loaded_that_would_never_see_a_picture():
    assert image_pipeline("tiny-sd").safety_checker is None


def _turbo_latents(request: ImageRequest, **call: object) -> np.ndarray:
    """What the unchanged `StableDiffusionXLPipeline` draws."""
    loaded = image_pipeline("tiny-turbo")
    kind = {"euler": EulerDiscreteScheduler, "ddim": DDIMScheduler}[request.scheduler]
    settings = {"clip_sample": False} if request.scheduler == "ddim" else {}
    scheduler = kind.from_config(loaded.scheduler.config, **settings)
    pipe = StableDiffusionXLPipeline(**loaded.components | {"scheduler": scheduler}, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    result = pipe(
        request.prompt, num_inference_steps=request.num_inference_steps, output_type="latent",
        guidance_scale=request.guidance_scale, generator=torch.Generator().manual_seed(request.seed), **call,
    )  # fmt: skip
    return result.images[0].numpy()


@pytest.mark.parametrize("scheduler", ["euler", "ddim"])
def test_turbo_runs_without_its_empty_branch_and_is_the_librarys_to_the_bit(scheduler):
    request = replace(TURBO, scheduler=scheduler)
    steps = tuple(image.generate(request))
    assert all(step.denoised_empty is None for step in steps)
    assert np.array_equal(steps[-1].denoised_guided, steps[-1].denoised_prompt)
    assert np.array_equal(steps[-1].latents, _turbo_latents(request))


def test_guided_turbo_is_the_librarys_to_the_bit_and_shows_both_branches():
    request = replace(TURBO, guidance_scale=4, negative_prompt="blur")
    steps = tuple(image.generate(request))
    assert steps[0].denoised_empty is not None
    assert np.array_equal(steps[-1].latents, _turbo_latents(request, negative_prompt="blur"))


def test_a_prompt_changes_what_turbo_draws_through_its_pooled_text_too():
    request = replace(TURBO, num_inference_steps=1)
    one, other = (
        tuple(image.generate(replace(request, prompt=p)))[-1].latents for p in ("a cat", "a tree in the snow")
    )
    assert np.abs(one - other).max() > 1e-3


def test_models_of_all_families_share_the_engine():
    requests = [SD, TURBO, replace(SD, model="classroom-image"), replace(TURBO, guidance_scale=3)]
    runs = [tuple(run) for run in Stepper().submit(requests)]
    for request, steps in zip(requests, runs, strict=True):
        expected = tuple(image.generate(request))[-1].latents
        np.testing.assert_allclose(steps[-1].latents, expected, atol=1e-4)


def test_a_sweep_on_another_model_is_scored_by_the_classroom_clip():
    sweep = guidance.guidance_sweep(SD, (1, 5))
    assert sweep.latents.shape == (2, 4, 8, 8)
    assert np.abs(sweep.clip_scores).max() <= 1


def test_an_open_clip_folder_scores_pictures():
    scores = clip.clip_scores(
        [Image.new("RGB", (90, 40), c) for c in ("red", "blue")], ["a", "b"], "tiny-clip"
    )
    assert scores.shape == (2, 2)
    assert np.abs(scores).max() <= 1
    assert scores[0, 0] != scores[1, 0]


def test_without_a_network_the_message_says_so_and_the_classroom_model_stays(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="model_needs_network") as caught:
        image.generate(replace(SD, model="absent"))
    assert caught.value.values["title"] == "absent"
    assert not loading.is_loaded("absent")
    assert len(tuple(image.generate(replace(SD, model="classroom-image")))) == 3


def test_a_broken_folder_is_named(tmp_path, checkpoints, monkeypatch):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model_index.json").write_text("{}")
    (tmp_path / "models.toml").write_text(
        f'[[model]]\nid = "broken"\nrole = "image"\nsource = "{tmp_path / "broken"}"\nlicence = "none"\n'
    )
    monkeypatch.setenv("STEUERVEKTOR_MODELS", str(tmp_path / "models.toml"))
    catalogue._added.cache_clear()
    try:
        with pytest.raises(InputError, match="model_broken"):
            image.generate(replace(SD, model="broken"))
    finally:
        monkeypatch.undo()
        catalogue._added.cache_clear()


def test_half_size_weights_are_read_where_a_folder_has_only_those(tmp_path, checkpoints):
    pipe = image_pipeline("tiny-sd")
    pipe.save_pretrained(tmp_path / "fp16", variant="fp16", safe_serialization=True)
    entry = replace(catalogue.entry("tiny-sd"), source=str(tmp_path / "fp16"))
    again = load_diffusion(entry, "cpu")
    assert torch.equal(again.unet.conv_in.weight, pipe.unet.conv_in.weight)


def test_weights_that_could_run_code_are_not_read(tmp_path):
    pipe = image_pipeline("tiny-sd")
    pipe.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    with pytest.raises(OSError, match="safetensors"):
        load_diffusion(replace(catalogue.entry("tiny-sd"), source=str(tmp_path / "pickled")), "cpu")
