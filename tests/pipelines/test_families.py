"""Transformers of today: the library's own pictures to the bit, in one engine with everybody else's."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from PIL import Image

from components.ui.language import LANGUAGES, load_texts
from pipelines.image import conditioning, encoding, image, stepper
from pipelines.image.control_vector import control_vector
from pipelines.image.cross_attention_of_picture import picture_maps
from pipelines.image.encoding import PromptCache, wants_empty_branch
from pipelines.image.families.choice import family_of
from pipelines.image.load import image_pipeline
from pipelines.image.previews import linear_decoder
from pipelines.image.request import SCHEDULERS, ImageRequest
from pipelines.image.steering import LEVERS, Steering
from pipelines.serving import catalogue, loading
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.errors import InputError
from tests.pipelines.tiny_transformers import TRANSFORMERS

pytestmark = pytest.mark.usefixtures("transformers_of_today")

MODELS = tuple(TRANSFORMERS)
UNBINNED = ("tiny-sana", "tiny-sprint", "tiny-prx")  # whose pipelines round sizes unless told otherwise
SMALL = {"height": 64, "width": 64}
SD3 = ImageRequest("a small cat on a bed.", "blur", 5, 4.5, 3, "euler", "tiny-sd3")


@on_compute_thread
def library(request: ImageRequest, kind: str = "latent", **more: Any) -> Any:
    """What the library's own pipeline draws, all else equal."""
    loaded = image_pipeline(request.model)
    components = loaded.components | more.pop("components", {})
    flags = {
        name: loaded.config[name] for name in ("is_distilled", "default_sample_size") if name in loaded.config
    }
    pipe = type(loaded)(**components, **flags)
    pipe.set_progress_bar_config(disable=True)
    return pipe(
        prompt=request.prompt, num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale, height=request.height, width=request.width,
        generator=torch.Generator().manual_seed(request.seed), output_type=kind, **more,
    ).images[0]  # fmt: skip


KLEIN = replace(SD3, model="tiny-klein", negative_prompt="", guidance_scale=1, **SMALL)
BASE = replace(KLEIN, model="tiny-klein-base", guidance_scale=4)


SANA = replace(SD3, model="tiny-sana", **SMALL)
SPRINT = replace(KLEIN, model="tiny-sprint", guidance_scale=4.5, scheduler="ddim", num_inference_steps=2)
PRX = replace(SD3, model="tiny-prx", **SMALL)


def latents(request: ImageRequest) -> np.ndarray:
    return tuple(image.generate(request))[-1].latents


@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
def test_sd3_draws_the_librarys_latents_and_picture_to_the_bit(scheduler: str) -> None:
    request = replace(SD3, scheduler=scheduler)
    trace = image.run(request)
    expected = library(request, negative_prompt="blur")
    assert torch.equal(torch.from_numpy(trace.steps[-1].latents), expected)
    assert trace.image.tobytes() == library(request, "pil", negative_prompt="blur").tobytes()
    assert trace.image.size == (64, 64) and len(np.unique(np.asarray(trace.image))) > 20


@pytest.mark.parametrize("change", [{"height": 96, "width": 48}, {"num_inference_steps": 7}, {"seed": 9}])
def test_sd3_does_so_at_other_sizes_and_steps(change: dict[str, int]) -> None:
    request = replace(SD3, **change)
    assert np.array_equal(latents(request), library(request, negative_prompt="blur").numpy())


def test_at_scale_one_sd3_is_asked_with_the_prompt_alone_as_in_the_library() -> None:
    request = replace(SD3, guidance_scale=1, negative_prompt="")
    steps = tuple(image.generate(request))
    assert all(step.denoised_empty is None for step in steps)
    assert np.array_equal(steps[-1].latents, library(request).numpy())
    below = tuple(image.generate(replace(request, guidance_scale=0)))
    assert np.array_equal(below[0].denoised_guided, below[0].denoised_empty)


def test_without_the_text_in_time_sd3_hears_the_empty_prompt_at_any_scale() -> None:
    pipe = image_pipeline("tiny-sd3")
    deaf = replace(SD3, negative_prompt="", steering=Steering(text_in_time=False))
    pooled = [
        PromptCache().of(pipe, replace(deaf, guidance_scale=scale))[0].added["pooled_projections"][-1]
        for scale in (1, 2)
    ]
    assert pooled[0].norm() > 0 and torch.equal(*pooled)


def test_estimates_on_straight_paths_end_where_the_path_ends() -> None:
    """Noise, minus the velocity for the rest of the way, is the picture: the last step arrives there."""
    steps = tuple(image.generate(SD3))
    np.testing.assert_allclose(steps[-1].denoised_guided, steps[-1].latents, atol=1e-5)
    assert steps[0].timestep == 1000 > steps[1].timestep > steps[2].timestep >= 0
    assert np.std(steps[0].start) == pytest.approx(1, abs=0.1)


def packed(request: ImageRequest) -> torch.Tensor:
    """Our last latents as FLUX.2's pipeline returns them: unpatched, on the autoencoder's scale."""
    pipe, found = image_pipeline(request.model), torch.from_numpy(latents(request))[None]
    norm = pipe.vae.bn
    deviation = torch.sqrt(norm.running_var + pipe.vae.config.batch_norm_eps).view(1, -1, 1, 1)
    return pipe._unpatchify_latents(found * deviation + norm.running_mean.view(1, -1, 1, 1))[0]


@pytest.mark.parametrize("request_", [KLEIN, BASE, replace(BASE, guidance_scale=1)], ids=lambda r: r.model)
def test_klein_draws_the_librarys_latents_and_picture_to_the_bit(request_: ImageRequest) -> None:
    assert torch.equal(packed(request_), library(request_))
    trace = image.run(request_)
    assert trace.image.tobytes() == library(request_, "pil").tobytes()
    assert (trace.steps[0].denoised_empty is None) == (request_.guidance_scale == 1)
    wide = replace(request_, height=96, width=128, num_inference_steps=2)
    assert torch.equal(packed(wide), library(wide))


def test_klein_is_guided_away_from_a_negative_prompt_where_it_has_that_branch() -> None:
    away = replace(BASE, negative_prompt="a red car")
    embeds = image_pipeline("tiny-klein-base").encode_prompt("a red car")[0]
    assert torch.equal(packed(away), library(away, negative_prompt_embeds=embeds))
    assert not torch.equal(packed(away), packed(BASE))


def test_visitors_of_klein_share_calls() -> None:
    other = {"prompt": "two red cars", "seed": 8, "num_inference_steps": 5}
    alike([KLEIN, replace(KLEIN, **other)])
    alike([BASE, replace(BASE, **other, guidance_scale=2.5, negative_prompt="blur")])


@pytest.mark.parametrize(
    ("key", "change"),
    [("guidance_closed", {"guidance_scale": 2}), ("negative_prompt_closed", {"negative_prompt": "x"})],
)
def test_what_was_distilled_away_is_refused_rather_than_left_out(key: str, change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"^{key}"):
        image.generate(replace(KLEIN, **change))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_sana_draws_the_librarys_latents_and_picture_to_the_bit(scheduler: str) -> None:
    """With its published scheduler, and on straight paths with another."""
    request = replace(SANA, scheduler=scheduler)
    straight = FlowMatchEulerDiscreteScheduler(shift=3.0)
    other = {} if scheduler == "dpm++" else {"scheduler": straight}
    call = {"negative_prompt": "blur", "use_resolution_binning": False, "components": other}
    trace = image.run(request)
    assert torch.equal(torch.from_numpy(trace.steps[-1].latents), library(request, **call))
    assert trace.image.tobytes() == library(request, "pil", **call).tobytes()
    alone = replace(request, guidance_scale=1, negative_prompt="")
    assert np.array_equal(
        latents(alone), library(alone, use_resolution_binning=False, components=other).numpy()
    )


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_sprint_draws_the_librarys_latents_and_picture_to_the_bit(steps: int) -> None:
    request = replace(SPRINT, num_inference_steps=steps)
    call = {"use_resolution_binning": False, "intermediate_timesteps": 1.3 if steps == 2 else None}
    trace = image.run(request)
    assert torch.equal(torch.from_numpy(trace.steps[-1].latents), library(request, **call))
    assert trace.image.tobytes() == library(request, "pil", **call).tobytes()
    assert trace.steps[0].denoised_empty is None and trace.steps[0].timestep >= 999
    np.testing.assert_allclose(trace.steps[-1].denoised_guided, trace.steps[-1].latents, atol=1e-5)


def test_sprints_scale_is_told_to_the_model() -> None:
    assert not np.array_equal(latents(SPRINT), latents(replace(SPRINT, guidance_scale=1)))
    with pytest.raises(InputError, match=r"^scheduler_closed"):
        image.generate(replace(SPRINT, scheduler="euler"))


def test_prx_draws_the_librarys_latents_and_picture_to_the_bit() -> None:
    call = {"negative_prompt": "blur", "use_resolution_binning": False}
    trace = image.run(PRX)
    assert torch.equal(torch.from_numpy(trace.steps[-1].latents), library(PRX, **call))
    assert trace.image.tobytes() == library(PRX, "pil", **call).tobytes()
    alone = replace(PRX, guidance_scale=1, negative_prompt="", height=96, width=48)
    assert np.array_equal(latents(alone), library(alone, use_resolution_binning=False).numpy())


@pytest.mark.parametrize(
    "request_", [SANA, replace(SANA, scheduler="dpm++"), PRX, SPRINT], ids=lambda r: r.model
)
def test_visitors_of_models_with_cross_attention_share_calls(request_: ImageRequest) -> None:
    other = replace(
        request_, prompt="two red cars in the snow", seed=8, guidance_scale=2.5, num_inference_steps=5
    )
    alike([request_, other])


def test_the_catalogue_says_of_each_model_what_its_family_does() -> None:
    for model in MODELS:
        pipe, entry = image_pipeline(model), catalogue.entry(model)
        family = family_of(pipe)
        assert (entry.denoiser, entry.guidance) == (family.denoiser, family.views(pipe).guidance), model
        for scale in (0, 1, 4):
            request = replace(SD3, model=model, guidance_scale=scale)
            assert wants_empty_branch(request) == encoding._guided(pipe, request)


@pytest.mark.parametrize("request_", [SD3, KLEIN, SANA, SPRINT, PRX], ids=lambda r: r.model)
def test_prompt_and_seed_decide_the_picture(request_: ImageRequest) -> None:
    pictures = [
        image.run(r).image for r in (request_, replace(request_, prompt="snow"), replace(request_, seed=6))
    ]
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert len(np.unique(np.asarray(pictures[0]))) > 20


def alike(requests: list[ImageRequest]) -> None:
    """Runs in one batch are, each, their lone run."""
    for request, steps in zip(requests, stepper.submit_all(requests), strict=True):
        together = list(steps)
        assert len(together) == request.num_inference_steps
        np.testing.assert_allclose(together[-1].latents, latents(request), atol=1e-5)


def test_visitors_of_sd3_share_calls_and_get_the_picture_of_their_lone_run() -> None:
    alike([SD3, replace(SD3, prompt="two red cars", negative_prompt="", seed=8, guidance_scale=2.5,
                        num_inference_steps=5)])  # fmt: skip


def test_ways_between_prompts_end_at_the_prompts() -> None:
    other = replace(SD3, prompt="two red cars in the snow")
    levers = [Steering(other.prompt, blend=1.0), Steering(other.prompt, switch_at=0)]
    for lever in levers:
        assert np.array_equal(latents(replace(SD3, steering=lever)), latents(other))
    between = latents(replace(SD3, steering=Steering(other.prompt, blend=0.5)))
    assert min(np.abs(between - latents(end)).max() for end in (SD3, other)) > 1e-4


def test_a_modulation_that_is_deaf_hears_the_empty_prompts_pooled_vector() -> None:
    found = latents(replace(SD3, steering=Steering(text_in_time=False)))
    pipe = image_pipeline("tiny-sd3")
    prompt, empty, _, empty_pooled = pipe.encode_prompt(SD3.prompt, None, None, negative_prompt="blur")
    expected = pipe(
        prompt_embeds=prompt, negative_prompt_embeds=empty, pooled_prompt_embeds=empty_pooled,
        negative_pooled_prompt_embeds=empty_pooled, num_inference_steps=3, guidance_scale=4.5,
        generator=torch.Generator().manual_seed(5), output_type="latent",
    ).images[0]  # fmt: skip
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert np.abs(found - latents(SD3)).max() > 1e-4


PULLED = {
    "blend": Steering("a car", blend=0.5), "switch_at": Steering("a car", switch_at=0),
    "token_weights": Steering(token_weights=((2, 0.5),)), "pooled_only": Steering(pooled_only=True),
    "blocks_off": Steering(blocks_off=("transformer_blocks.0",)),
    "text_in_time": Steering(text_in_time=False), "places_hidden": Steering(places_hidden=(0,)),
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("lever", LEVERS)
def test_a_lever_moves_the_picture_or_is_refused_in_a_sentence(model: str, lever: str) -> None:
    request = replace(SD3, model=model, negative_prompt="", guidance_scale=1, scheduler="ddim", **SMALL)
    steered = replace(request, steering=PULLED[lever])
    if lever in family_of(image_pipeline(model)).views(image_pipeline(model)).levers:
        assert not np.array_equal(latents(steered), latents(request))
        return
    with pytest.raises(InputError, match=f"^{lever}_closed"):
        image.generate(steered)
    for language in LANGUAGES:
        assert model in load_texts(language)(f"errors.{lever}_closed", title=model)


@pytest.mark.parametrize(
    ("key", "change"), [("size_unit", {"height": 72}), ("scheduler_closed", {"scheduler": "dpm++"})]
)
def test_what_does_not_fit_the_model_is_refused_before_anything_is_computed(
    key: str, change: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=f"^{key}"):
        image.generate(replace(SD3, **change))


@pytest.mark.parametrize("model", MODELS)
def test_views_that_read_a_u_net_say_so_of_other_models(model: str) -> None:
    request = replace(SD3, model=model, negative_prompt="", guidance_scale=1, scheduler="ddim", **SMALL)
    for key, ask in (
        ("blocks_off_closed", lambda: conditioning.cut_requests(request)),
        ("control_vector_closed", lambda: control_vector("a cat", model)),
        ("picture_maps_closed", lambda: picture_maps(Image.new("RGB", (64, 64)), "a cat", model)),
    ):
        with pytest.raises(InputError, match=f"^{key}"):
            ask()
    assert conditioning.hears_text(model) == (model == "tiny-sd3")


@pytest.mark.parametrize("model", MODELS)
def test_latents_go_back_and_forth_and_have_a_linear_preview(model: str) -> None:
    pipe = image_pipeline(model)
    family = family_of(pipe)
    shape = family.noise_shape(pipe, 64, 64)
    pixels = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        assert on_compute_thread(family.to_latents)(pipe, pixels).shape == shape
    decoder = linear_decoder(model)
    small = decoder.decode(np.zeros(shape, np.float32))
    assert small.shape == (1, shape[2] * decoder.patch, shape[3] * decoder.patch, 3)


@pytest.mark.parametrize("request_", [SD3, BASE, SANA, SPRINT, PRX], ids=lambda r: r.model)
@pytest.mark.in_process
def test_in_half_precision_too_they_draw_what_the_library_draws(
    request_: ImageRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where weights are held so."""
    monkeypatch.setattr("pipelines.image.load.weight_type", lambda e, device: torch.bfloat16)
    loading.unload(request_.model)
    request = replace(request_, look_inside=True, negative_prompt="", **SMALL)
    try:
        assert image_pipeline(request.model).transformer.dtype == torch.bfloat16
        trace = image.run(request)
        binned = {"use_resolution_binning": False} if request.model in UNBINNED else {}
        straight = {"components": {"scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0)}}
        more = binned | (straight if request.model == "tiny-sana" else {})
        found, expected = trace.image, library(request, "pil", **more)
        assert np.abs(np.asarray(found, int) - np.asarray(expected, int)).max() <= 2
        inside = trace.steps[-1].inside
        assert inside is not None and inside.joint
        assert np.nansum(inside.joint[0].shares) == pytest.approx(1, abs=0.01)
    finally:
        loading.unload(request.model)
