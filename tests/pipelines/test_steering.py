"""Levers between text and picture, each against the library called by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.image import image, stepper
from pipelines.image.encoding import PromptCache
from pipelines.image.load import image_pipeline
from pipelines.image.request import ImageRequest
from pipelines.image.steering import Steering
from pipelines.serving.errors import InputError

pytestmark = pytest.mark.usefixtures("tiny_models")

A = ImageRequest("a small cat on a bed", seed=5, num_inference_steps=3, model="classroom-image").validated()
B = replace(A, prompt="a red car in the snow")
TINY = replace(A, model="tiny-sd")
TURBO = replace(A, model="tiny-turbo", guidance_scale=1.0)


def pulled(request: ImageRequest, **levers: object) -> np.ndarray:
    """Latents at the end of a run with its levers pulled."""
    return image.run(replace(request, steering=Steering(**levers))).steps[-1].latents


def latents(request: ImageRequest) -> np.ndarray:
    return image.run(request).steps[-1].latents


def states(request: ImageRequest, text: str) -> torch.Tensor:
    """`[token, dim]` of the library's own encoder."""
    pipe = image_pipeline(request.model)
    return pipe.encode_prompt(text, pipe.device, 1, False)[0][0]


def by_the_library(request: ImageRequest, prompt: torch.Tensor) -> np.ndarray:
    """Latents of the unchanged pipeline, fed `[token, dim]` instead of a text."""
    out = image_pipeline(request.model)(
        prompt_embeds=prompt[None],
        negative_prompt_embeds=states(request, "")[None],
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="latent",
    )
    return out.images[0].numpy()


@pytest.mark.parametrize("request_", [A, TURBO], ids=["classroom", "turbo"])
def test_the_ends_of_the_line_are_the_two_prompts(request_):
    other = replace(request_, prompt=B.prompt)
    assert np.array_equal(pulled(request_, prompt_b=B.prompt, blend=1), latents(other))
    assert np.array_equal(pulled(request_, prompt_b=B.prompt, blend=0), latents(request_))
    between = pulled(request_, prompt_b=B.prompt, blend=0.5)
    assert np.abs(between - latents(request_)).max() > 1e-3
    assert np.abs(between - latents(other)).max() > 1e-3


def test_the_middle_of_the_line_is_the_mean_of_the_vectors():
    mean = (states(A, A.prompt) + states(A, B.prompt)) / 2
    assert np.allclose(pulled(A, prompt_b=B.prompt, blend=0.5), by_the_library(A, mean), atol=1e-4)


@pytest.mark.parametrize(("first", "second"), [("a cat", B.prompt), (B.prompt, "a cat")])
def test_between_two_prompts_the_longer_one_has_its_end(first, second):
    """Else the places of its last words would count as padding where the run is looked into."""
    pipe = image_pipeline(A.model)
    request = replace(A, prompt=first, steering=Steering(prompt_b=second, blend=0.5))
    mixed, _ = PromptCache().of(pipe, request)
    assert mixed.ends[-1] == len(pipe.tokenizer(B.prompt).input_ids) - 1


def test_a_prompt_that_switches_draws_with_one_then_the_other():
    assert np.array_equal(pulled(A, prompt_b=B.prompt, switch_at=0), latents(B))
    assert np.array_equal(pulled(A, prompt_b=B.prompt, switch_at=3), latents(A))
    run = list(image.generate(replace(A, steering=Steering(B.prompt, switch_at=1))))
    first, second = (list(image.generate(r)) for r in (A, B))
    assert np.array_equal(run[0].latents, first[0].latents)
    # From the same latents on, the estimate is that of a model that reads the other prompt.
    assert not np.allclose(run[1].denoised_prompt, first[1].denoised_prompt, atol=1e-3)
    assert not np.allclose(run[2].denoised_prompt, second[2].denoised_prompt, atol=1e-3)


def test_weights_move_a_place_along_its_line():
    prompt, empty = states(A, A.prompt), states(A, "")
    moved = prompt.clone()
    moved[3] = empty[3] + 2 * (prompt[3] - empty[3])
    moved[6] = empty[6]
    found = pulled(A, token_weights=((3, 2.0), (6, 0.0)))
    assert np.allclose(found, by_the_library(A, moved), atol=1e-4)
    assert np.array_equal(pulled(A, token_weights=((3, 1.0),)), latents(A))


def test_the_pooled_vector_alone_is_the_end_tokens_everywhere():
    prompt = states(A, A.prompt)
    end = len(image_pipeline(A.model).tokenizer(A.prompt).input_ids) - 1
    expected = by_the_library(A, prompt[end].expand_as(prompt))
    assert np.allclose(pulled(A, pooled_only=True), expected, atol=1e-4)


def test_a_hidden_place_is_as_good_as_not_there():
    prompt, empty = states(TINY, TINY.prompt), states(TINY, "")
    unet = image_pipeline("tiny-sd").unet
    step = next(iter(image.generate(replace(TINY, steering=Steering(places_hidden=(2, 3))))))
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(TINY.seed))
    kept = prompt[[i for i in range(len(prompt)) if i not in (2, 3)]]
    with torch.no_grad():
        noise_pred = unet(noise, step.timestep, encoder_hidden_states=kept[None]).sample
        noise_empty = unet(noise, step.timestep, encoder_hidden_states=empty[None]).sample
    alpha = image_pipeline("tiny-sd").scheduler.alphas_cumprod[step.timestep].item()
    for found, predicted in ((step.denoised_prompt, noise_pred), (step.denoised_empty, noise_empty)):
        estimate = (noise - math.sqrt(1 - alpha) * predicted) / math.sqrt(alpha)
        assert np.allclose(found, estimate[0].numpy(), atol=1e-3)


@pytest.mark.in_process
def test_blocks_off_is_a_model_without_their_cross_attention():
    pipe = image_pipeline("classroom-image")
    layers = [m for n, m in pipe.unet.named_modules() if n.startswith("mid_block") and n.endswith(".attn2")]
    found = pulled(A, blocks_off=("mid_block",))
    kept = [(m.to_out[0].weight.clone(), m.to_out[0].bias.clone()) for m in layers]
    assert layers
    try:
        for module in layers:
            module.to_out[0].weight.zero_()
            module.to_out[0].bias.zero_()
        expected = latents(A)
    finally:
        for module, (weight, bias) in zip(layers, kept, strict=True):
            module.to_out[0].weight.copy_(weight)
            module.to_out[0].bias.copy_(bias)
    assert np.allclose(found, expected, atol=1e-4)
    assert np.abs(found - latents(A)).max() > 1e-3


@pytest.mark.in_process
def test_a_deaf_time_embedding_hears_the_empty_prompt():
    unet = image_pipeline("classroom-image").unet
    hook = unet.add_embedding.register_forward_hook(lambda _, __, out: out[:1].expand_as(out))
    try:
        expected = latents(A)
    finally:
        hook.remove()
    assert np.allclose(pulled(A, text_in_time=False), expected, atol=1e-4)
    assert np.abs(expected - latents(A)).max() > 1e-2
    assert np.array_equal(pulled(TINY, text_in_time=False), latents(TINY))  # it never hears the prompt


def test_runs_with_different_levers_share_a_batch():
    levers = [
        Steering(), Steering(B.prompt, blend=0.3), Steering(B.prompt, switch_at=1),
        Steering(pooled_only=True), Steering(blocks_off=("mid_block",)), Steering(text_in_time=False),
        Steering(places_hidden=(2,)), Steering(token_weights=((2, 0.0),)),
    ]  # fmt: skip
    requests = [replace(A, steering=lever) for lever in levers]
    together = [list(run)[-1].latents for run in stepper.submit_all(requests)]
    for request, found in zip(requests, together, strict=True):
        assert np.allclose(found, latents(request), atol=2e-4), request.steering


@pytest.mark.parametrize(
    ("levers", "key"),
    [
        ({"prompt_b": "a car", "blend": 1.1}, "blend_range"),
        ({"prompt_b": "a car", "blend": math.nan}, "blend_range"),
        ({"blend": 0.5}, "prompt_b_empty"),
        ({"switch_at": 1}, "prompt_b_empty"),
        ({"prompt_b": "a car", "switch_at": 4}, "switch_range"),
        ({"prompt_b": "a car", "switch_at": -1}, "switch_range"),
        ({"prompt_b": "a car", "switch_at": 1.5}, "switch_range"),
        ({"token_weights": ((2, 2.1),)}, "token_weight_range"),
        ({"token_weights": ((2, math.nan),)}, "token_weight_range"),
        ({"token_weights": ((-1, 1.0),)}, "token_place_unknown"),
        ({"token_weights": ((77, 1.0),)}, "token_place_unknown"),
        ({"places_hidden": (77,)}, "token_place_unknown"),
        ({"places_hidden": ("cat",)}, "token_place_unknown"),
        ({"prompt_b": "x" * 2001, "blend": 0.5}, "prompt_too_long"),
    ],
)
def test_levers_beyond_their_range_are_refused(levers, key):
    with pytest.raises(InputError, match=key):
        pulled(A, **levers)
