"""Other people's film models: tiny checkpoints of the published architectures, through the same functions."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKLWan,
    DDIMScheduler,
    MotionAdapter,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

from pipelines.serving import catalogue, loading
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.errors import InputError
from pipelines.video import video, wan
from pipelines.video.cost import video_cost
from pipelines.video.latent_tokens import video_tokens
from pipelines.video.load import load_video_model, video_pipeline
from pipelines.video.request import VideoRequest
from tests.pipelines.conftest import build_sd15

LETTERS = "abcdefghijklmnopqrstuvwxyz.,"


def build_adapter(folder: Path) -> Path:
    """Laid out as animatediff-motion-adapter-v1-5-3, for the widths of the tiny Stable Diffusion."""
    torch.manual_seed(3)
    MotionAdapter(
        block_out_channels=(16, 32), motion_layers_per_block=1, motion_num_attention_heads=2,
        motion_norm_num_groups=8, motion_max_seq_length=32, use_motion_mid_block=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def build_wan(folder: Path) -> Path:
    """Laid out as Wan2.1-T2V-1.3B-Diffusers: UMT5, 16 channels of latents, patches of 1 × 2 × 2."""
    torch.manual_seed(4)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -3.0) for letter in LETTERS]
    config = UMT5Config(
        vocab_size=len(pieces),
        d_model=32,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    vae = AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    WanPipeline(
        tokenizer=T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=64),
        text_encoder=UMT5EncoderModel(config).eval(), vae=vae,
        transformer=WanTransformer3DModel(
            num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16, text_dim=32,
            freq_dim=256, ffn_dim=32, num_layers=2, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
            rope_max_seq_len=32,
        ),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
        ),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def _row(name: str, source: Path | str, base: Path | str = "", frame: str = "") -> str:
    row = f'[[model]]\nid = "{name}"\nrole = "video"\nlicence = "none"\nsource = "{source}"\n'
    return row + (f'base = "{base}"\n' if base else "") + (f"frame = {frame}\n" if frame else "")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A catalogue with both tiny models."""
    folder = tmp_path_factory.mktemp("films")
    base, adapter, wan = (
        build_sd15(folder / "sd15"),
        build_adapter(folder / "adapter"),
        build_wan(folder / "wan"),
    )
    absent = "nobody/has-this"
    (folder / "models.toml").write_text(
        _row("tiny-film", adapter, base)
        + _row("tiny-wan", wan, frame="{count = 9, most = 17, unit = 16, held = 4}")
        + _row("absent-film", absent, absent)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEUERVEKTOR_MODELS", str(folder / "models.toml"))
        catalogue._added.cache_clear()
        yield folder
    for name in ("tiny-film", "tiny-wan"):
        loading.unload(name)
    catalogue._added.cache_clear()


ANIMATED = VideoRequest(
    "a cat",
    negative_prompt="blur",
    seed=2,
    num_inference_steps=3,
    num_frames=4,
    model="tiny-film",
    guidance_scale=7.5,
)
PATCHED = VideoRequest(
    "a cat runs.", negative_prompt="blur", seed=2, num_inference_steps=4, num_frames=9, height=64, width=32,
    model="tiny-wan",
)  # fmt: skip


def test_the_published_adapter_over_stable_diffusion_draws_as_its_card_says(films: Path) -> None:
    library = AnimateDiffPipeline.from_pretrained(
        films / "sd15", motion_adapter=MotionAdapter.from_pretrained(films / "adapter")
    )
    library.scheduler = DDIMScheduler.from_pretrained(
        films / "sd15", subfolder="scheduler", clip_sample=False, timestep_spacing="linspace",
        beta_schedule="linear", steps_offset=1,
    )  # fmt: skip
    library.set_progress_bar_config(disable=True)
    expected = on_compute_thread(library)(
        "a cat", negative_prompt="blur", num_frames=4, num_inference_steps=3, guidance_scale=7.5,
        generator=torch.Generator().manual_seed(2), output_type="np",
    ).frames[0]  # fmt: skip
    trace = video.run(ANIMATED)
    found = np.stack([np.asarray(frame) for frame in trace.frames])
    assert np.abs(found - expected * 255).max() < 1, "what rounding does, and no more"
    assert trace.steps[0].inside is not None
    tokens = video_tokens(trace)
    assert tokens.shape == (4, 8, 8, 4) and tokens.same_place


def test_patches_of_space_and_time_draw_as_the_library_has_them(films: Path) -> None:
    pipe = video_pipeline("tiny-wan")
    library = WanPipeline(**pipe.components)
    library.set_progress_bar_config(disable=True)

    @on_compute_thread
    def draw(kind: str) -> object:
        return library(
            "a cat runs.", negative_prompt="blur", height=64, width=32, num_frames=9, num_inference_steps=4,
            guidance_scale=5.0, generator=torch.Generator().manual_seed(2), output_type=kind,
        ).frames[0]  # fmt: skip

    trace = video.run(PATCHED)
    assert np.array_equal(trace.steps[-1].latents, draw("latent").transpose(0, 1).numpy())
    assert [a.tobytes() for a in trace.frames] == [b.tobytes() for b in draw("pil")]
    assert len(trace.frames) == 9 and trace.steps[0].latents.shape == (3, 16, 8, 4)
    np.testing.assert_allclose(trace.steps[-1].denoised, trace.steps[-1].latents, atol=1e-4)


def test_patches_are_tokens_in_the_same_view(films: Path) -> None:
    trace = video.run(PATCHED)
    tokens = video_tokens(trace)
    assert tokens.values.shape == (3, 4, 2, 16) and not tokens.same_place
    latents = trace.steps[-1].latents
    np.testing.assert_allclose(tokens.values[1, 2, 1], latents[1, :, 4:6, 2:4].mean((1, 2)), atol=1e-6)
    assert trace.steps[0].inside.blocks == ("blocks.0", "blocks.1")
    previews = video.preview(trace.steps[1].denoised, "tiny-wan")
    assert [picture.size for picture in previews] == [(16, 32)] * 3, "four pixels a cell"
    apart = video.run(replace(PATCHED, motion=False))
    assert apart.steps[0].inside is None
    assert not np.allclose(apart.steps[-1].latents, latents)


def test_pixels_become_the_latents_that_the_library_decodes(films: Path) -> None:
    pipe = video_pipeline("tiny-wan")
    to_latents, to_pixels, factor = wan.autoencoder(pipe)
    pixels = torch.rand((2, 3, 32, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        own = pipe.vae.encode(pixels[:, :, None]).latent_dist.mode()
        latents = to_latents(pixels)
        again, expected = to_pixels(latents), pipe.vae.decode(own, return_dict=False)[0][:, :, 0]
    assert latents.shape == (2, 16, 32 // factor, 16 // factor)
    np.testing.assert_allclose(again.numpy(), expected.numpy(), atol=1e-4)
    mean, deviation = (
        torch.tensor(pipe.vae.config[k]).view(16, 1, 1) for k in ("latents_mean", "latents_std")
    )
    np.testing.assert_allclose((latents[0] * deviation + mean).numpy(), own[0, :, 0].numpy(), atol=1e-4)


def test_numbers_of_frames_are_those_that_the_latents_can_hold(films: Path) -> None:
    assert replace(PATCHED, num_frames=8).validated().num_frames == 5
    assert replace(PATCHED, num_frames=None).validated().num_frames == 9
    for change, key in (
        ({"num_frames": 18}, "frames_range"),
        ({"height": 40}, "film_size_range"),
    ):
        with pytest.raises(InputError, match=key):
            replace(PATCHED, **change).validated()
    with pytest.raises(InputError, match="schedule_closed"):
        video.run(replace(PATCHED, later=((4, "a dog"),)))


def test_a_model_that_is_not_there_says_so(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="model_needs_network"):
        next(video.generate(replace(ANIMATED, model="absent-film")))


def test_costs_grow_with_steps_and_frames_and_long_runs_are_known(monkeypatch) -> None:
    monkeypatch.setattr("pipelines.video.cost.teraflops", lambda: 0.1)  # as two cores have
    wan = VideoRequest("a cat", model="wan-2.1-1.3b", num_inference_steps=10).validated()
    cost = video_cost(wan)
    assert cost.long and cost.gib > 5
    assert video_cost(replace(wan, num_inference_steps=20)).seconds == pytest.approx(2 * cost.seconds)
    assert video_cost(replace(wan, num_frames=41)).teraflop < cost.teraflop
    assert not video_cost(VideoRequest("a cat", model="classroom-video").validated()).long


def test_a_wan_whose_steps_two_transformers_share_is_refused(films: Path, tmp_path: Path) -> None:
    later = tmp_path / "wan22"
    shutil.copytree(films / "wan", later)
    index = json.loads((later / "model_index.json").read_text())
    (later / "model_index.json").write_text(json.dumps(index | {"boundary_ratio": 0.875}))
    entry = replace(catalogue.entry("tiny-wan"), id="wan-2.2", source=str(later))
    with pytest.raises(ValueError, match=r"a Wan 2\.2"):
        load_video_model(entry, "cpu")
    assert load_video_model(replace(entry, source=str(films / "wan")), "cpu").transformer is not None


def test_a_film_model_is_there_once_its_picture_model_is(monkeypatch: pytest.MonkeyPatch) -> None:
    film = catalogue.entry("animatediff-v1-5-3")
    there = {film.source}
    monkeypatch.setattr(
        catalogue, "try_to_load_from_cache", lambda source, file: "/here" if source in there else None
    )
    assert not catalogue.on_disk(film)
    there.add(film.base)
    assert catalogue.on_disk(film)
