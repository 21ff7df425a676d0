"""Transformers in which the tokens of text and picture attend to each other, and text is changed, too.

Source: Esser et al. 2024 (Stable Diffusion 3), arXiv:2403.03206, section 4; Black Forest Labs 2025 (FLUX.2).
"""

import inspect
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import calculate_shift
from torch import Tensor

from pipelines.image.autoencoder import patched_to_pixels, pixels_to_patched, to_latents, to_pixels
from pipelines.image.families.family import (
    Band,
    Conditioning,
    DenoiseRun,
    Family,
    Segment,
    Views,
    segment,
)
from pipelines.image.families.transformer_recorder import Instruments, TransformerLayout, looking
from pipelines.image.families.unet import end_places
from pipelines.image.offload import device_of
from pipelines.image.request import ImageRequest, Inside
from pipelines.serving import catalogue

QWEN_PLACES = 512  # of the sequence that the language model writes, as the library's pipeline asks for it
T5_PLACES = 256  # of the sequence that T5 writes, as the library's pipeline asks for it

_LEVERS_SD3 = frozenset({"blend", "switch_at", "text_in_time"})
_LEVERS_KLEIN = frozenset({"blend", "switch_at"})


def _encode_sd3(pipe: Any, request: ImageRequest, guided: bool) -> Conditioning:
    """The sequences of two CLIP towers, side by side, then T5's; and the towers' pooled vectors."""
    prompt, empty, pooled, empty_pooled = pipe.encode_prompt(
        prompt=request.prompt, prompt_2=None, prompt_3=None, device=device_of(pipe),
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
    clip = segment(pipe, "tokenizer", prompt, places)
    if pipe.tokenizer_3 is None:  # without T5 its places hold zeros
        return clip, Segment("tokenizer_3", places, places + T5_PLACES, places, ())
    return clip, segment(pipe, "tokenizer_3", prompt, T5_PLACES, places)


def _bands_sd3(pipe: Any) -> tuple[Band, ...]:
    """The last layer but one of two CLIP towers, then T5's last."""
    clip = (0, pipe.tokenizer_max_length)
    width = pipe.text_encoder.config.hidden_size
    stop = width + pipe.text_encoder_2.config.hidden_size
    found = [Band("text_encoder", -2, clip, (0, width)), Band("text_encoder_2", -2, clip, (width, stop))]
    if pipe.text_encoder_3 is not None:
        places = clip[1], clip[1] + T5_PLACES
        found.append(Band("text_encoder_3", -1, places, (0, pipe.text_encoder_3.config.d_model)))
    return tuple(found)


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


def _layout_sd3(transformer: Any) -> TransformerLayout:
    blocks = tuple(f"transformer_blocks.{i}" for i in range(len(transformer.transformer_blocks)))
    modulations = tuple(f"{block}.norm1.linear" for block in blocks)
    return TransformerLayout(blocks, modulations, picture_first=True)


def _gate_sd3(block: Any, modulation: Tensor) -> Tensor:
    """`[sample, 1, dim]` what attention is multiplied by: the third of adaLN's six parts."""
    return modulation.chunk(9 if block.use_dual_attention else 6, dim=1)[2][:, None]


SD3_INSTRUMENTS = Instruments(_layout_sd3, _gate_sd3, lambda transformer: transformer.config.patch_size)


def _predict_sd3(runs: Sequence[DenoiseRun]) -> tuple[Tensor, list[Inside | None]]:
    """Ask the transformer for all runs and branches at once; see `Family.predict`."""
    conditionings = [run.conditioning for run in runs]
    branches = conditionings[0].branches
    transformer = runs[0].pipe.transformer
    with looking(runs, transformer, branches, SD3_INSTRUMENTS) as record:
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
    segments=_segments_sd3,
    bands=_bands_sd3,
    check=lambda pipe, request: None,
    noise_shape=_noise_shape_sd3,
    noise_type=lambda pipe, conditioning: conditioning.states.dtype,
    timing=_timing_sd3,
    predict=_predict_sd3,
    decode=to_pixels,
    to_latents=to_latents,
)


def _encode_klein(pipe: Any, request: ImageRequest, guided: bool) -> Conditioning:
    """Three hidden layers of a language model side by side, which was told the prompt as a user's message."""
    texts = [request.negative_prompt, request.prompt] if guided else [request.prompt]
    states = [
        pipe.encode_prompt(prompt=text, device=device_of(pipe), max_sequence_length=QWEN_PLACES)[0]
        for text in texts
    ]
    segments = [_segment_klein(pipe, text) for text in texts]
    ends = tuple(s.end - 1 for s in segments)
    return Conditioning(torch.cat(states), {}, ends, ends, (segments[-1],))


def _segment_klein(pipe: Any, prompt: str) -> Segment:
    """The chat's template with the prompt in it, as the library's pipeline fills it."""
    message = [{"role": "user", "content": prompt}]
    chat = pipe.tokenizer.apply_chat_template(
        message, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    return segment(pipe, "tokenizer", chat, QWEN_PLACES, prompt=prompt)


def _bands_klein(pipe: Any) -> tuple[Band, ...]:
    """Some hidden layers of the language model, as many as the library's pipeline asks for."""
    layers = inspect.signature(type(pipe).encode_prompt).parameters["text_encoder_out_layers"].default
    width = pipe.text_encoder.config.hidden_size
    return tuple(
        Band("text_encoder", layer, (0, QWEN_PLACES), (i * width, (i + 1) * width))
        for i, layer in enumerate(layers)
    )


def _noise_shape_klein(pipe: Any, height: int, width: int) -> tuple[int, int, int, int]:
    patch = 2 * pipe.vae_scale_factor  # px
    return 1, pipe.transformer.config.in_channels, height // patch, width // patch


def _timing_klein(pipe: Any, steps: int, latents: Tensor) -> dict[str, Any]:
    """Even steps, shifted towards noise by a rule that the publisher fitted to sizes and numbers of steps."""
    mu = compute_empirical_mu(image_seq_len=latents.shape[-2] * latents.shape[-1], num_steps=steps)
    return {"sigmas": np.linspace(1.0, 1 / steps, steps), "mu": mu}


def _layout_klein(transformer: Any) -> TransformerLayout:
    double = [f"transformer_blocks.{i}" for i in range(len(transformer.transformer_blocks))]
    single = [f"single_transformer_blocks.{i}" for i in range(len(transformer.single_transformer_blocks))]
    modulations = ["double_stream_modulation_img.linear"] * len(double)
    modulations += ["single_stream_modulation.linear"] * len(single)
    return TransformerLayout((*double, *single), tuple(modulations))


def _gate_klein(block: Any, modulation: Tensor) -> Tensor | None:
    """The third of six parts; the later blocks add attention and feed-forward as one."""
    if not hasattr(block, "norm1_context"):
        return None
    return modulation.chunk(6, dim=-1)[2][:, None]


def _predict_klein(runs: Sequence[DenoiseRun]) -> tuple[Tensor, list[Inside | None]]:
    """Ask the transformer for all runs at once, one branch after the other; see `Family.predict`."""
    pipe, transformer = runs[0].pipe, runs[0].pipe.transformer
    conditionings = [run.conditioning for run in runs]
    latents = torch.cat([run.latents for run in runs])
    timestep = torch.stack([run.timestep for run in runs]).to(latents.dtype) / 1000
    places = pipe._prepare_latent_ids(latents).to(latents.device)
    instruments = Instruments(_layout_klein, _gate_klein, lambda transformer: 1)
    predictions: list[Tensor] = []
    with ExitStack() as stack:
        for branch in range(conditionings[0].branches):
            states = torch.cat([c.states[branch, None] for c in conditionings])
            record = None
            if branch + 1 == conditionings[0].branches:
                record = stack.enter_context(looking(runs, transformer, 1, instruments))
            out = transformer(
                hidden_states=pipe._pack_latents(latents).to(transformer.dtype),
                timestep=timestep,
                guidance=None,
                encoder_hidden_states=states,
                txt_ids=pipe._prepare_text_ids(states).to(states.device),
                img_ids=places,
                return_dict=False,
            )[0]
            predictions.append(out.transpose(1, 2).unflatten(2, latents.shape[-2:]))
    insides = [record.inside_of(i) if record else None for i in range(len(runs))]
    return torch.stack(predictions, dim=1), insides


def _views_klein(pipe: Any) -> Views:
    guidance = catalogue.NO_GUIDANCE if pipe.config.is_distilled else catalogue.TWO_BRANCHES
    return Views(guidance, "joint", _LEVERS_KLEIN)


KLEIN = Family(
    denoiser="joint",
    views=_views_klein,
    size=_size_sd3,
    unit=lambda pipe: 2 * pipe.vae_scale_factor,
    encode=_encode_klein,
    segments=lambda pipe, prompt: (_segment_klein(pipe, prompt),),
    bands=_bands_klein,
    check=lambda pipe, request: None,
    noise_shape=_noise_shape_klein,
    noise_type=lambda pipe, conditioning: conditioning.states.dtype,
    timing=_timing_klein,
    predict=_predict_klein,
    decode=patched_to_pixels,
    to_latents=pixels_to_patched,
)
