"""Attention between frames in a picture U-Net: without effect it is the picture model, with it frames mix."""

import pytest
import torch
from diffusers import AnimateDiffPipeline, MotionAdapter, UNet2DConditionModel, UNetMotionModel

from pipelines.image.load import assemble, classroom_scheduler
from pipelines.serving.catalogue import ASSETS
from pipelines.video.motion_unet import motion_modules, with_motion
from training.train_motion import CONFIG, Modules, new_adapter

FRAMES = 3
PLAIN = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 16,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
}
HEARING = PLAIN | {
    "resnet_time_scale_shift": "scale_shift",
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 4,
    "encoder_hid_dim": None,
}


def tiny(config: dict) -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(**config).eval()


def adapter(scale: float) -> MotionAdapter:
    torch.manual_seed(1)
    made = MotionAdapter(
        block_out_channels=(16, 32), motion_layers_per_block=1, motion_num_attention_heads=2,
        motion_norm_num_groups=8, use_motion_mid_block=False,
    )  # fmt: skip
    for name, parameter in made.named_parameters():
        if ".proj_out." in name:
            parameter.data *= scale
    return made


@pytest.fixture(params=[PLAIN, HEARING], ids=["plain", "hearing"])
def unet(request: pytest.FixtureRequest) -> UNet2DConditionModel:
    return tiny(request.param)


@torch.no_grad()
def both(unet: UNet2DConditionModel, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames through the picture U-Net one by one, and as two films; `[film, channel, frame, y, x]`."""
    torch.manual_seed(2)
    films, text = torch.randn(2, 4, FRAMES, 8, 8), torch.randn(2, 5, 16)
    rows = text.repeat_interleave(FRAMES, 0)
    out = with_motion(unet, adapter(scale)).eval()(films, 400, rows).sample
    frames = films.transpose(1, 2).flatten(0, 1)
    alone = unet(frames, 400, rows).sample.unflatten(0, (2, FRAMES)).transpose(1, 2)
    return out, alone


def test_modules_without_effect_leave_every_frame_as_it_is(unet: UNet2DConditionModel) -> None:
    out, alone = both(unet, 0)
    torch.testing.assert_close(out, alone, atol=1e-5, rtol=1e-4)


def test_modules_mix_the_frames_of_a_film_and_of_no_other(unet: UNet2DConditionModel) -> None:
    model = with_motion(unet, adapter(1)).eval()
    torch.manual_seed(3)
    films, rows = torch.randn(2, 4, FRAMES, 8, 8), torch.randn(2 * FRAMES, 5, 16)
    changed = films.clone()
    changed[0, :, 0] += 1
    with torch.no_grad():
        before, after = model(films, 400, rows).sample, model(changed, 400, rows).sample
    assert (before[0, :, 2] - after[0, :, 2]).abs().max() > 1e-3
    torch.testing.assert_close(before[1], after[1], atol=1e-5, rtol=1e-4)


def test_a_plain_u_net_draws_as_the_library_has_it() -> None:
    unet = tiny(PLAIN)
    torch.manual_seed(4)
    films, rows = torch.randn(1, 4, FRAMES, 8, 8), torch.randn(FRAMES, 5, 16)
    library = UNetMotionModel.from_unet2d(unet, adapter(1)).eval()
    with torch.no_grad():
        torch.testing.assert_close(
            with_motion(unet, adapter(1)).eval()(films, 7, rows).sample, library(films, 7, rows).sample
        )


def test_the_picture_model_is_shared_and_only_the_modules_learn() -> None:
    unet = tiny(HEARING).requires_grad_(False)
    model = with_motion(unet, adapter(1))
    modules = Modules(model).requires_grad_(True)
    assert model.conv_in is unet.conv_in and model.add_embedding is unet.add_embedding
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning and all("motion_modules" in name for name in learning)
    assert set(modules.state_dict()) == set(adapter(1).state_dict())
    other = {name: value + 1 for name, value in modules.state_dict().items()}
    modules.load_state_dict(other)
    found = dict(model.named_parameters())
    assert all(torch.equal(found[name], other[name]) for name in learning)


def test_the_librarys_pipeline_draws_a_film_with_the_classroom_model() -> None:
    pipe = assemble(ASSETS / "image")
    made = new_adapter()
    film = AnimateDiffPipeline(
        pipe.vae, pipe.text_encoder, pipe.tokenizer, with_motion(pipe.unet, made), made,
        classroom_scheduler(),
    )  # fmt: skip
    film.set_progress_bar_config(disable=True)
    drawn = film(
        "a cat", num_frames=4, num_inference_steps=2, height=64, width=64, guidance_scale=5.0,
        generator=torch.Generator().manual_seed(0), output_type="latent",
    ).frames  # fmt: skip
    assert drawn.shape == (1, 4, 4, 16, 16)
    assert len(motion_modules(film.unet)) == 9
    assert MotionAdapter(**CONFIG).config.use_motion_mid_block is False
