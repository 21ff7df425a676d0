"""Instruments in a U-Net: they see what the library computes, change nothing, and leave nothing behind."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.image import image, stepper
from pipelines.image.load import image_pipeline
from pipelines.image.recorder import RecordedRun, layout_of, recording
from pipelines.image.request import ImageRequest
from pipelines.image.steering import Steering
from pipelines.serving.errors import InputError

pytestmark = pytest.mark.usefixtures("tiny_models")

ROOM = ImageRequest("a small cat", seed=3, num_inference_steps=2, model="classroom-image")
TINY = replace(ROOM, model="tiny-sd", negative_prompt="blur, text")
WIDE = replace(TINY, height=72, width=136)  # 9 x 17 latent cells, which halve to 5 x 9
TURBO = replace(ROOM, model="tiny-turbo", guidance_scale=1)


def attention_by_hand(attn: Any, hidden: Tensor, context: Tensor) -> Tensor:
    """Softmax of scaled products, head by head: `[sample, query, key]`, mean over heads."""
    query, key = attn.to_q(hidden), attn.to_k(context)
    size = query.shape[-1] // attn.heads
    heads = []
    for h in range(attn.heads):
        q, k = (x[..., h * size : (h + 1) * size] for x in (query, key))
        heads.append(torch.softmax(torch.einsum("sqd,skd->sqk", q, k) / size**0.5, dim=-1))
    return torch.stack(heads).mean(0)


def spied(request: ImageRequest) -> tuple[list[image.DenoiseStep], dict[str, list[Tensor]]]:
    """A run that looks inside, and the same attention by hand, layer by layer and step by step."""
    unet = image_pipeline(request.model).unet
    seen: dict[str, list[Tensor]] = {}
    hooks = []
    for layer in layout_of(unet).layers:

        def note(module: Any, args: tuple, kwargs: dict, layer: str = layer) -> None:
            context = kwargs["encoder_hidden_states"]
            seen.setdefault(layer, []).append(attention_by_hand(module, args[0], context))

        hooks.append(unet.get_submodule(layer).register_forward_pre_hook(note, with_kwargs=True))
    try:
        return list(image.generate(replace(request, look_inside=True))), seen
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("request_", [ROOM, TINY, WIDE, TURBO], ids=["classroom", "sd", "wide", "turbo"])
@pytest.mark.in_process
def test_maps_are_the_attention_of_the_model(request_):
    steps, seen = spied(request_.validated())
    end = len(image_pipeline(request_.model).tokenizer(request_.prompt).input_ids) - 1
    assert seen
    for index, step in enumerate(steps):
        assert [m.layer for m in step.inside.maps] == list(seen)
        for maps in step.inside.maps:
            expected = seen[maps.layer][index][-1].T  # the prompt's branch is the last
            rows = torch.cat([expected[: end + 1], expected[end + 1 :].sum(0, keepdim=True)])
            found = torch.from_numpy(maps.prompt.astype(np.float32)).flatten(1)
            torch.testing.assert_close(found, rows, atol=2e-3, rtol=2e-3)
            assert np.allclose(maps.prompt.astype(float).sum(0), 1, atol=5e-3)


def test_the_negative_prompt_has_rows_of_its_own():
    step = next(iter(image.generate(replace(TINY, look_inside=True))))
    tokenizer = image_pipeline("tiny-sd").tokenizer
    for maps in step.inside.maps:
        assert len(maps.prompt) == len(tokenizer(TINY.prompt).input_ids) + 1
        assert len(maps.empty) == len(tokenizer(TINY.negative_prompt).input_ids) + 1


def test_maps_keep_the_shape_of_a_wide_picture():
    step = next(iter(image.generate(replace(WIDE, look_inside=True))))
    assert {m.prompt.shape[1:] for m in step.inside.maps} == {(9, 17), (5, 9)}


def test_large_maps_are_averaged():
    step = next(iter(image.generate(replace(TINY, height=320, width=520, look_inside=True))))
    assert {m.prompt.shape[1:] for m in step.inside.maps} == {(14, 22), (10, 17)}  # 40 x 65 and 20 x 33 cells
    assert all(np.allclose(m.prompt.astype(float).sum(0), 1, atol=5e-3) for m in step.inside.maps)


@pytest.mark.parametrize("request_", [ROOM, TINY, TURBO], ids=["classroom", "sd", "turbo"])
def test_looking_changes_no_picture(request_):
    plain, seen = image.run(request_), image.run(replace(request_, look_inside=True))
    assert seen.image.tobytes() == plain.image.tobytes()
    assert np.array_equal(seen.steps[-1].latents, plain.steps[-1].latents)
    assert all(step.inside is None for step in plain.steps)
    assert all(step.inside is not None for step in seen.steps)


def test_what_a_batch_notes_belongs_to_its_runs():
    requests = [replace(ROOM, prompt=p, look_inside=True) for p in ("a cat", "two red cars in the snow")]
    requests.append(replace(requests[0], look_inside=False, steering=Steering(text_in_time=False)))
    runs = [list(run) for run in stepper.submit_all(requests)]
    assert runs[2][0].inside is None
    for request, steps in zip(requests[:2], runs[:2], strict=True):
        alone = next(iter(image.generate(request))).inside
        for ours, theirs in zip(steps[0].inside.maps, alone.maps, strict=True):
            assert np.allclose(ours.prompt, theirs.prompt, atol=2e-3)
        for name in ("text_effect", "attention_effect", "time_effect", "text_in_time"):
            ours, theirs = getattr(steps[0].inside, name), getattr(alone, name)
            assert np.allclose(ours, theirs, rtol=1e-3, equal_nan=True)


def test_nothing_is_left_behind_even_after_a_failure():
    unet = image_pipeline("tiny-sd").unet
    before = dict(unet.attn_processors)
    hooks = sum(len(m._forward_hooks) for m in unet.modules())
    subject = RecordedRun((1, 3), Steering(text_in_time=False), look=True)
    try:
        with recording(unet, [subject], (8, 8)):
            assert unet.attn_processors != before
            raise RuntimeError("on purpose")
    except RuntimeError:
        pass
    after = unet.attn_processors
    assert all(after[name] is processor for name, processor in before.items())
    assert sum(len(m._forward_hooks) for m in unet.modules()) == hooks


def inside_of(request: ImageRequest) -> image.Trace:
    return next(iter(image.generate(replace(request, look_inside=True)))).inside


@pytest.mark.in_process
def test_effects_are_what_the_branches_show():
    """The text's effect on the last block, measured from outside."""
    unet = image_pipeline("tiny-sd").unet
    outputs = []
    hook = unet.up_blocks[-1].register_forward_hook(lambda _, __, out: outputs.append(out))
    try:
        inside = inside_of(TINY)
    finally:
        hook.remove()
    empty, prompt = outputs[0]
    expected = float((prompt - empty).norm() / empty.norm())
    assert inside.blocks[-1] == "up_blocks.1"
    assert inside.text_effect[-1] == pytest.approx(expected, rel=1e-4)


def test_text_reaches_time_only_where_the_model_lets_it():
    assert np.allclose(inside_of(TINY).text_in_time, 0)
    assert (inside_of(ROOM).text_in_time > 0.01).all()
    assert np.isnan(inside_of(TURBO).text_effect).all()  # no other branch to compare with


def test_blocks_without_cross_attention_say_so():
    inside = inside_of(TINY)
    with_it = {m.block for m in inside.maps}
    for block, effect in zip(inside.blocks, inside.attention_effect, strict=True):
        assert np.isnan(effect) == (block not in with_it)


def test_a_block_that_is_off_adds_nothing():
    steered = replace(TINY, steering=Steering(blocks_off=("down_blocks.0",)))
    effect = dict(zip(inside_of(steered).blocks, inside_of(steered).attention_effect, strict=True))
    assert effect["down_blocks.0"] == 0
    assert effect["up_blocks.1"] > 0


@pytest.mark.parametrize("name", ["down_blocks.1", "attic"])  # the first has no cross-attention
def test_blocks_that_cannot_be_switched_off_are_refused(name):
    with pytest.raises(InputError, match="block_unknown"):
        list(image.generate(replace(TINY, steering=Steering(blocks_off=(name,)))))
