"""Word maps of runs and of given pictures, and what hiding a token does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from pipelines.image import cross_attention, image
from pipelines.image import cross_attention_of_picture as picture_attention
from pipelines.image.cross_attention_of_picture import (
    KnownPicture,
    overlap,
    overlaps,
    picture_maps,
    rows_of,
    world_picture,
)
from pipelines.image.load import image_pipeline
from pipelines.image.request import ImageRequest
from pipelines.image.steering import Steering
from pipelines.serving import loading
from pipelines.serving.errors import InputError

pytestmark = pytest.mark.usefixtures("tiny_models")

ROOM = ImageRequest(
    "a red cat", "blur", seed=3, num_inference_steps=2, model="classroom-image", look_inside=True
)


def test_groups_are_means_over_their_layers():
    trace = image.run(ROOM)
    groups = cross_attention.trace_maps(trace).groups
    assert list(groups) == [
        "all", "16×16", "8×8", "4×4",
        "down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.1", "up_blocks.2",
    ]  # fmt: skip
    step = trace.steps[1].inside
    fine = np.mean([m.prompt.astype(float) for m in step.maps if m.grid == (16, 16)], axis=0)
    assert np.allclose(groups["16×16"].maps[1], fine, atol=2e-3)
    enlarged = [
        interpolate(torch.tensor(m.prompt.astype(np.float32))[None], (16, 16), mode="bilinear")[0].numpy()
        for m in step.maps
    ]
    assert np.allclose(groups["all"].maps[1], np.mean(enlarged, axis=0), atol=2e-3)
    assert groups["all"].layers == len(step.maps) == 7


def test_rows_are_the_tokens_and_the_padding():
    trace = image.run(ROOM)
    for negative, texts in ((False, ["a", "red", "cat"]), (True, ["blur"])):
        maps = cross_attention.trace_maps(trace, negative).groups["all"]
        assert [p.text for p in maps.pieces if not p.special] == texts
        assert [p.special for p in maps.pieces if p.special] == ["start", "end"]
        assert maps.maps.shape == (2, len(maps.pieces) + 1, 16, 16)
        assert np.allclose(maps.maps.sum(1), 1, atol=1e-4)
        assert maps.shares.sum() == pytest.approx(1, abs=1e-4)


def test_a_run_without_a_look_inside_has_no_maps():
    trace = image.run(replace(ROOM, look_inside=False))
    assert not cross_attention.has_maps(trace)
    assert not cross_attention.has_maps(None)
    with pytest.raises(InputError, match="attention_not_traced"):
        cross_attention.trace_maps(trace)


def test_a_distilled_run_has_no_maps_of_a_negative_prompt():
    trace = image.run(replace(ROOM, model="tiny-turbo", negative_prompt="", guidance_scale=1))
    assert cross_attention.trace_maps(trace).groups
    with pytest.raises(InputError, match="attention_not_traced"):
        cross_attention.trace_maps(trace, negative=True)


def test_hiding_tokens_draws_what_lone_runs_draw():
    told = []
    found = cross_attention.hide_tokens(replace(ROOM, look_inside=False), told.append)
    assert [len(steps) for steps in told] == [
        6,
        6,
    ]  # all, then without start, a, red, cat, end
    assert found.places.tolist() == [0, 1, 2, 3, 4]
    plain = image.run(replace(ROOM, look_inside=False))
    assert image.picture_change(found.reference, plain.image) < 0.5
    for place, picture, change in zip(found.places, found.images, found.changes, strict=True):
        alone = image.run(replace(ROOM, steering=Steering(places_hidden=(int(place),)))).image
        assert image.picture_change(picture, alone) < 0.5
        assert change == pytest.approx(image.picture_change(picture, found.reference))
    shares = cross_attention.trace_maps(image.run(ROOM)).groups["all"].shares
    assert np.allclose(found.shares, shares[:5], atol=1e-3)


def test_hiding_stops_with_its_visitor():
    class Leave(Exception):  # noqa: N818
        pass

    def leave(steps):
        raise Leave

    with pytest.raises(Leave):
        cross_attention.hide_tokens(replace(ROOM, num_inference_steps=50), leave)


def test_a_long_prompt_hides_only_its_first_tokens():
    found = cross_attention.hide_tokens(replace(ROOM, prompt="a cat " * 20, num_inference_steps=1))
    assert len(found.places) == cross_attention.MAX_HIDDEN == len(found.images)


def test_rank_correlation_is_spearmans():
    shares, changes = np.array([0.5, 0.3, 0.2, 0.1]), np.array([1.0, 5.0, 3.0, 0.0])
    found = cross_attention.HiddenTokens(np.arange(4), (), shares, changes, (), Image.new("RGB", (1, 1)))
    assert found.rank_correlation == pytest.approx(0.4)  # 1 - 6 * (4 + 1 + 1 + 0) / (4 * 15)
    assert np.isnan(replace(found, changes=np.ones(4)).rank_correlation)


def test_maps_of_a_given_picture_are_those_of_the_noised_picture():
    """The same by hand: encode, add noise, one call with the library's own classes."""
    known, text = world_picture(13)
    found = picture_maps(known.picture, text, "classroom-image", timesteps=(300,), seed=4)
    pipe = image_pipeline("classroom-image")
    pixels = pipe.image_processor.preprocess(found.picture)
    with torch.no_grad():
        latents = pipe.vae.encode(pixels).latent_dist.mean * pipe.vae.config.scaling_factor
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(4))
        noisy = pipe.scheduler.add_noise(latents, noise, torch.tensor([300]))
        states = pipe.encode_prompt(text, pipe.device, 1, False)[0]
        layer = pipe.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2
        seen = []
        hook = layer.register_forward_pre_hook(
            lambda m, args, kwargs: seen.append((args[0], kwargs["encoder_hidden_states"])), with_kwargs=True
        )
        pipe.unet(noisy, 300, encoder_hidden_states=states)
        hook.remove()
        hidden, context = seen[0]
        scores = layer.head_to_batch_dim(layer.to_q(hidden)) @ layer.head_to_batch_dim(layer.to_k(context)).mT
        expected = (scores * layer.scale).softmax(-1).mean(0).T  # [key, place]
    rows = found.maps.groups["down_blocks.0"].maps[0]
    assert np.allclose(rows[:-1].reshape(len(rows) - 1, -1), expected[: len(rows) - 1].numpy(), atol=3e-3)


@pytest.mark.parametrize(
    ("size", "expected"), [((300, 100), (112, 32)), ((50, 50), (64, 64)), ((9, 900), (32, 128))]
)
def test_given_pictures_keep_their_proportions(size, expected):
    found = picture_maps(Image.new("RGB", size, "red"), "a cat", "classroom-image")
    assert found.picture.size == expected
    width, height = expected
    assert found.maps.finest.maps.shape[2:] == (height // 4, width // 4)
    assert len(found.maps.finest.maps) == len(picture_attention.TIMESTEPS)


def test_a_model_that_is_loaded_in_half_precision_meanwhile_changes_no_map():
    """Libraries set the default precision of all threads while they build a model."""
    known, text = world_picture(13)
    expected = picture_maps(known.picture, text, "classroom-image", timesteps=(300,), seed=4)
    torch.set_default_dtype(torch.float16)
    try:
        found = picture_maps(known.picture, text, "classroom-image", timesteps=(300,), seed=4)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found.maps.finest.maps, expected.maps.finest.maps)


@pytest.mark.parametrize("model", ["tiny-sd", "tiny-turbo"])
def test_other_models_look_at_given_pictures(model):
    found = picture_maps(Image.new("RGB", (80, 40)), "two cats", model)
    assert found.maps.finest.pieces[1].text == "two"
    assert np.isfinite(found.maps.finest.maps).all()


@pytest.mark.in_process
def test_a_model_whose_autoencoder_alone_is_held_in_full_precision_looks_too():
    """As SDXL on a GPU, where its autoencoder would overflow in half precision."""
    pipe = image_pipeline("tiny-turbo")
    try:
        for part in (pipe.unet, pipe.text_encoder, pipe.text_encoder_2):
            part.to(torch.bfloat16)
        found = picture_maps(Image.new("RGB", (80, 40)), "two cats", "tiny-turbo")
        assert np.isfinite(found.maps.finest.maps).all()
    finally:
        loading.unload("tiny-turbo")


@pytest.mark.in_process
def test_sdxl_is_told_the_size_of_the_picture_that_it_looks_at():
    told: list[dict[str, Any]] = []
    unet = image_pipeline("tiny-turbo").unet
    hook = unet.register_forward_pre_hook(lambda _, args, more: told.append(more), with_kwargs=True)
    try:
        found = picture_maps(Image.new("RGB", (80, 40)), "two cats", "tiny-turbo")
    finally:
        hook.remove()
    width, height = found.picture.size
    assert width > height
    assert told[0]["added_cond_kwargs"]["time_ids"][0].tolist() == [height, width, 0, 0, height, width]


def test_an_empty_text_is_refused():
    with pytest.raises(InputError, match="prompt_empty"):
        picture_maps(Image.new("RGB", (64, 64)), " ", "classroom-image")


def test_overlap_by_hand():
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    looked = np.array([[1.0, 1.0], [0.0, 0.0]])  # enlarged: rows 1, .75, .25, 0 against a mean of .5
    assert overlap(looked, mask) == pytest.approx(1.0)
    assert overlap(1 - looked, mask) == pytest.approx(0.0)
    half = np.zeros((4, 4), bool)
    half[0] = True  # figure: 4 of 8 found; ground: 8 of 12
    assert overlap(looked, half) == pytest.approx((4 / 8 + 8 / 12) / 2)


def test_world_pictures_say_what_they_show():
    for seed in range(20):
        known, text = world_picture(seed)
        assert len(known.nouns) == len(known.masks) in (1, 2)
        assert all(noun in text for noun in known.nouns)
        assert all(mask.shape == (64, 64) and mask.any() for mask in known.masks)
    assert world_picture(3)[1] == world_picture(3)[1]


def test_overlaps_name_the_things_that_the_text_names():
    known, _ = world_picture(13)
    maps = picture_maps(known.picture, "a drum", "classroom-image")
    assert [(noun, mask.max()) for noun, mask, _ in overlaps(maps, known)] == [("drum", 255)]
    assert overlaps(maps, KnownPicture(known.picture)) == []
    pieces = picture_maps(known.picture, "a drumdrum and a Drum", "classroom-image").maps.finest.pieces
    assert [pieces[i].text for i in rows_of(pieces, "drum")] == ["drum"]  # not a part of another word
