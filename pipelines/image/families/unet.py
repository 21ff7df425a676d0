"""U-Nets that read text by cross-attention: Stable Diffusion 1.x and 2.x, SDXL, their turbo models, ours."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from pipelines.image.autoencoder import to_latents, to_pixels
from pipelines.image.families.family import (
    Band,
    Conditioning,
    DenoiseRun,
    Family,
    Segment,
    Views,
    segment,
)
from pipelines.image.offload import device_of
from pipelines.image.recorder import AttentionRecord, RecordedRun, check_blocks, layout_of, recording
from pipelines.image.request import SIZE_UNIT, ImageRequest, Inside
from pipelines.image.steering import LEVERS
from pipelines.serving import catalogue
from pipelines.serving.compute import beside_browser

WIDE = 320  # channels at which one picture keeps all cores busy: those of Stable Diffusion's first block


def size_of(pipe: Any) -> tuple[int, int]:
    """Height and width in px at which a U-Net was trained."""
    size = pipe.unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return height * pipe.vae_scale_factor, width * pipe.vae_scale_factor


def encode(pipe: Any, request: ImageRequest, guided: bool) -> Conditioning:
    """Read prompt and negative prompt with the pipeline's own encoders."""
    encoded = pipe.encode_prompt(
        prompt=request.prompt,
        device=device_of(pipe),
        num_images_per_prompt=1,
        do_classifier_free_guidance=guided,
        negative_prompt=request.negative_prompt or None,
    )
    prompt, empty = encoded[:2]
    states = torch.cat([empty, prompt]) if guided else prompt
    texts = [request.negative_prompt, request.prompt] if guided else [request.prompt]
    pools, ends = zip(*(end_places(pipe.tokenizer, text) for text in texts), strict=True)
    if len(encoded) == 2:
        return Conditioning(states, {}, ends, pools)
    pooled, empty_pooled = encoded[2:]
    own_height, own_width = size_of(pipe)
    size = request.height or own_height, request.width or own_width
    ids = pipe._get_add_time_ids(
        size, (0, 0), size, dtype=states.dtype,
        text_encoder_projection_dim=pipe.text_encoder_2.config.projection_dim,
    )  # fmt: skip
    return Conditioning(
        states,
        {
            "text_embeds": torch.cat([empty_pooled, pooled]) if guided else pooled,
            "time_ids": ids.to(states.device).repeat(len(states), 1),
        },
        ends,
        pools,
    )


def end_places(tokenizer: Any, text: str) -> tuple[int, int]:
    """Places of the first and of the last end token that CLIP's tokenizer puts behind a text."""
    ids = tokenizer(text, truncation=True, max_length=tokenizer.model_max_length).input_ids
    return ids.index(ids[-1]), len(ids) - 1


def predict(runs: Sequence[DenoiseRun]) -> tuple[Tensor, list[Inside | None]]:
    """Ask the U-Net for all runs at once, each at its own timestep; see `Family.predict`."""
    conditionings = [run.conditioning for run in runs]
    branches = conditionings[0].branches
    noisy = [run.scheduler.scale_model_input(run.latents, run.timestep) for run in runs]
    added = {name: torch.cat([c.added[name] for c in conditionings]) for name in conditionings[0].added}
    states = torch.cat([c.states for c in conditionings])
    unet = runs[0].pipe.unet
    alone = len(runs) == 1 and max(unet.config.block_out_channels) < WIDE
    with beside_browser() if alone else nullcontext(), _recording(runs) as record:
        mask = record.encoder_mask(states.shape[1]) if record else None
        out = unet(
            torch.cat(noisy).repeat_interleave(branches, dim=0),
            # float32 holds every timestep exactly; some schedulers count in whole numbers, some do not
            torch.stack([run.timestep.float() for run in runs]).repeat_interleave(branches),
            encoder_hidden_states=states,
            added_cond_kwargs=added or None,
            return_dict=False,
            **({} if mask is None else {"encoder_attention_mask": mask.to(states.device)}),
        )[0]
    insides = [record.inside_of(i, layout_of(unet).blocks) if record else None for i in range(len(runs))]
    return out.unflatten(0, (len(runs), branches)), insides


def _recording(runs: Sequence[DenoiseRun]) -> AbstractContextManager[AttentionRecord | None]:
    """Instruments where one of the runs needs them; the untouched U-Net elsewhere."""
    if not runs[0].needs_recording:
        return nullcontext()
    subjects = [RecordedRun(r.conditioning.ends, r.request.steering, r.request.look_inside) for r in runs]
    height, width = runs[0].latents.shape[-2:]
    return recording(runs[0].pipe.unet, subjects, (height, width))


def _noise_shape(pipe: Any, height: int, width: int) -> tuple[int, int, int, int]:
    factor = pipe.vae_scale_factor
    return 1, pipe.unet.config.in_channels, height // factor, width // factor


def _segments(pipe: Any, prompt: str) -> tuple[Segment, ...]:
    return (segment(pipe, "tokenizer", prompt, pipe.tokenizer.model_max_length),)


def _bands(pipe: Any) -> tuple[Band, ...]:
    """CLIP's last layer; in SDXL the last but one of two encoders, side by side."""
    places, width = (0, pipe.tokenizer.model_max_length), pipe.text_encoder.config.hidden_size
    second = getattr(pipe, "text_encoder_2", None)
    if second is None:
        return (Band("text_encoder", -1, places, (0, width)),)
    stop = width + second.config.hidden_size
    return Band("text_encoder", -2, places, (0, width)), Band("text_encoder_2", -2, places, (width, stop))


UNET = Family(
    denoiser="unet",
    views=lambda pipe: Views(catalogue.TWO_BRANCHES, "cross", frozenset(LEVERS)),
    size=size_of,
    unit=lambda pipe: SIZE_UNIT,
    encode=encode,
    segments=_segments,
    bands=_bands,
    check=lambda pipe, request: check_blocks(pipe.unet, request.steering.blocks_off),
    noise_shape=_noise_shape,
    noise_type=lambda pipe, conditioning: conditioning.states.dtype,
    timing=lambda pipe, steps, latents: {},
    predict=predict,
    decode=to_pixels,
    to_latents=to_latents,
)
