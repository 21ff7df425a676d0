"""Transformers in which the tokens of text and picture attend to each other, and text is changed, too.

Source: Esser et al. 2024 (Stable Diffusion 3), arXiv:2403.03206, section 4.
"""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import calculate_shift
from torch import Tensor

from pipelines.image.autoencoder import to_latents, to_pixels
from pipelines.image.families.family import (
    Conditioning,
    DenoiseRun,
    Family,
    Segment,
    Views,
    text_rows,
)
from pipelines.image.families.joint_recorder import Instruments, JointLayout, looking
from pipelines.image.families.unet import end_places
from pipelines.image.request import ImageRequest, Inside
from pipelines.serving import catalogue

T5_PLACES = 256  # of the sequence that T5 writes, as the library's pipeline asks for it

_LEVERS_SD3 = frozenset({"blend", "switch_at", "text_in_time"})


def _encode_sd3(pipe: Any, request: ImageRequest, guided: bool) -> Conditioning:
    """The sequences of two CLIP towers, side by side, then T5's; and the towers' pooled vectors."""
    prompt, empty, pooled, empty_pooled = pipe.encode_prompt(
        prompt=request.prompt, prompt_2=None, prompt_3=None, device=pipe.device,
        do_classifier_free_guidance=guided, negative_prompt=request.negative_prompt or None,
        max_sequence_length=T5_PLACES,
    )  # fmt: skip
    texts = [request.negative_prompt, request.prompt] if guided else [request.prompt]
    pools, ends = zip(*(end_places(pipe.tokenizer, text) for text in texts), strict=True)
    return Conditioning(
        torch.cat([empty, prompt]) if guided else prompt,
        {"pooled_projections": torch.cat([empty_pooled, pooled]) if guided else pooled},
        ends,
        pools,
        _segments_sd3(pipe, request.prompt),
    )


def _segments_sd3(pipe: Any, prompt: str) -> tuple[Segment, ...]:
    places = pipe.tokenizer_max_length
    clip = text_rows(pipe, "tokenizer", prompt, places)
    without_t5 = pipe.text_encoder_3 is None  # its places hold zeros then
    t5 = () if without_t5 else text_rows(pipe, "tokenizer_3", prompt, T5_PLACES)
    return (
        Segment("tokenizer", 0, clip, places),
        Segment("tokenizer_3", places, t5, places + T5_PLACES),
    )


def _size_sd3(pipe: Any) -> tuple[int, int]:
    side = pipe.default_sample_size * pipe.vae_scale_factor
    return side, side


def _noise_shape_sd3(pipe: Any, height: int, width: int) -> tuple[int, int, int, int]:
    factor = pipe.vae_scale_factor
    return 1, pipe.transformer.config.in_channels, height // factor, width // factor


def _timing_sd3(pipe: Any, steps: int, latents: Tensor) -> dict[str, Any]:
    """How far the schedule is shifted towards noise, where that depends on the number of patches."""
    config = pipe.scheduler.config
    if not config.get("use_dynamic_shifting"):
        return {}
    patch = pipe.transformer.config.patch_size
    patches = (latents.shape[-2] // patch) * (latents.shape[-1] // patch)
    usual = {"base_image_seq_len": 256, "max_image_seq_len": 4096, "base_shift": 0.5, "max_shift": 1.16}
    return {"mu": calculate_shift(patches, *(config.get(name, value) for name, value in usual.items()))}


def _layout_sd3(transformer: Any) -> JointLayout:
    blocks = tuple(f"transformer_blocks.{i}" for i in range(len(transformer.transformer_blocks)))
    return JointLayout(blocks, tuple(f"{block}.norm1.linear" for block in blocks), picture_first=True)


def _gate_sd3(block: Any, modulation: Tensor) -> Tensor:
    """`[sample, 1, dim]` what attention is multiplied by: the third of adaLN's six parts."""
    return modulation.chunk(9 if block.use_dual_attention else 6, dim=1)[2][:, None]


def _predict_sd3(runs: Sequence[DenoiseRun]) -> tuple[Tensor, list[Inside | None]]:
    """Ask the transformer for all runs and branches at once; see `Family.predict`."""
    conditionings = [run.conditioning for run in runs]
    branches = conditionings[0].branches
    transformer = runs[0].pipe.transformer
    instruments = Instruments(_layout_sd3, _gate_sd3, transformer.config.patch_size)
    with looking(runs, transformer, branches, instruments) as record:
        out = transformer(
            hidden_states=torch.cat([run.latents for run in runs]).repeat_interleave(branches, dim=0),
            timestep=torch.stack([run.timestep for run in runs]).repeat_interleave(branches),
            encoder_hidden_states=torch.cat([c.states for c in conditionings]),
            pooled_projections=torch.cat([c.added["pooled_projections"] for c in conditionings]),
            return_dict=False,
        )[0]
    insides = [record.inside_of(i) if record else None for i in range(len(runs))]
    return out.unflatten(0, (len(runs), branches)), insides


SD3 = Family(
    denoiser="joint",
    views=lambda pipe: Views(catalogue.TWO_BRANCHES, "joint", _LEVERS_SD3),
    size=_size_sd3,
    unit=lambda pipe: pipe.vae_scale_factor * pipe.patch_size,
    encode=_encode_sd3,
    check=lambda pipe, request: None,
    noise_shape=_noise_shape_sd3,
    noise_type=lambda pipe, conditioning: conditioning.states.dtype,
    timing=_timing_sd3,
    predict=_predict_sd3,
    decode=to_pixels,
    to_latents=to_latents,
)
