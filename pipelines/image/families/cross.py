"""Transformers whose patches look at the words of a language model, which stay as they are.

Source: Xie et al. 2024 (SANA), arXiv:2410.10629; Chen et al. 2025 (SANA-Sprint), arXiv:2503.09641; Photoroom
2025 (PRX).
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pipelines.image.autoencoder import to_latents, to_pixels
from pipelines.image.families.family import Band, Conditioning, DenoiseRun, Family, Segment, Views, segment
from pipelines.image.families.transformer_recorder import Instruments, TransformerLayout, looking
from pipelines.image.offload import device_of
from pipelines.image.request import ImageRequest, Inside
from pipelines.serving import catalogue

GEMMA_PLACES = 300  # of the sequence that SANA reads: the start and the last that follow
_UNIT_SANA = 32  # px, which the library's pipeline asks for
_MIDDLE = 1.3  # angle in the middle of two steps of SANA-Sprint, the library's default
_LEVERS = frozenset({"switch_at"})


def _instruction(pipe: Any) -> list[str]:
    """What SANA's pipeline tells the language model before the prompt."""
    parameter = inspect.signature(type(pipe).__call__).parameters["complex_human_instruction"]
    return list(parameter.default)


def _encode_sana(pipe: Any, request: ImageRequest, guided: bool) -> Conditioning:
    """The last layer of a language model that was told to describe a picture, then the prompt."""
    prompt, seen, empty, seen_empty = pipe.encode_prompt(
        request.prompt, do_classifier_free_guidance=guided, negative_prompt=request.negative_prompt,
        device=device_of(pipe), max_sequence_length=GEMMA_PLACES,
        complex_human_instruction=_instruction(pipe),
    )  # fmt: skip
    states = torch.cat([empty, prompt]) if guided else prompt
    return _masked(
        states, torch.cat([seen_empty, seen]) if guided else seen, _segment_sana(pipe, request.prompt)
    )


def _encode_sprint(pipe: Any, request: ImageRequest, guided: bool) -> Conditioning:
    states, seen = pipe.encode_prompt(
        request.prompt, device=device_of(pipe), max_sequence_length=GEMMA_PLACES,
        complex_human_instruction=_instruction(pipe),
    )  # fmt: skip
    return _masked(states, seen, _segment_sana(pipe, request.prompt))


def _masked(states: Tensor, seen: Tensor, text: Segment) -> Conditioning:
    """A sequence of which some places cannot be looked at.

    Args:
        states: `[branch, token, dim]`.
        seen: `[branch, token]`, 0 at padding.
    """
    places = torch.arange(seen.shape[1], device=seen.device)
    ends = tuple((seen.bool() * places).max(dim=1).values.tolist())
    return Conditioning(states, {"seen": seen}, ends, ends, (text,))


def _segment_sana(pipe: Any, prompt: str) -> Segment:
    """Of instruction and prompt, the places that the transformer reads."""
    prompt = pipe._text_preprocessing(prompt)[0]
    instruction = "\n".join(_instruction(pipe))
    places = len(pipe.tokenizer.encode(instruction)) + GEMMA_PLACES - 2
    whole = segment(pipe, "tokenizer", instruction + prompt, places, prompt=prompt)
    behind = places - GEMMA_PLACES + 1  # the instruction
    tokens = (*whole.tokens[:1], *whole.tokens[behind:])
    return Segment("tokenizer", 0, GEMMA_PLACES, 0, tokens, whole.cut, whole.tokens[1:behind])


def _bands(pipe: Any, places: int) -> tuple[Band, ...]:
    """The last layer of one encoder."""
    return (Band("text_encoder", -1, (0, places), (0, pipe.text_encoder.config.hidden_size)),)


def _size_sana(pipe: Any) -> tuple[int, int]:
    side = pipe.transformer.config.sample_size * pipe.vae_scale_factor
    return side, side


def _noise_shape(pipe: Any, height: int, width: int) -> tuple[int, int, int, int]:
    factor = pipe.vae_scale_factor
    return 1, pipe.transformer.config.in_channels, height // factor, width // factor


def _layout_sana(transformer: Any) -> TransformerLayout:
    blocks = tuple(f"transformer_blocks.{i}" for i in range(len(transformer.transformer_blocks)))
    return TransformerLayout(blocks, ("time_embed.linear",) * len(blocks), "attn2")


def _layout_prx(transformer: Any) -> TransformerLayout:
    blocks = tuple(f"blocks.{i}" for i in range(len(transformer.blocks)))
    return TransformerLayout(blocks, tuple(f"{block}.modulation.lin" for block in blocks), "attention")


def _ungated(block: Any, modulation: Tensor) -> Tensor:
    return modulation.new_ones(())


def _modulate_sana(block: Any, given: Tensor) -> Tensor:
    """All blocks are given the same, and add a table of their own."""
    return given + block.scale_shift_table.flatten()


def _gate_prx(block: Any, modulation: Tensor) -> Tensor:
    """The third of its six parts."""
    return modulation.chunk(6, dim=1)[2][:, None]


_SANA_INSTRUMENTS = Instruments(
    _layout_sana, _ungated, lambda transformer: transformer.config.patch_size, _modulate_sana
)
_PRX_INSTRUMENTS = Instruments(_layout_prx, _gate_prx, lambda transformer: transformer.patch_size)


def _ask(
    runs: Sequence[DenoiseRun], instruments: Instruments, call: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, list[Inside | None]]:
    """Ask a transformer for all runs and branches at once; see `Family.predict`.

    Args:
        call: `(states, seen)` of all samples to their predictions.
    """
    conditionings = [run.conditioning for run in runs]
    branches = conditionings[0].branches
    states = torch.cat([c.states for c in conditionings])
    seen = torch.cat([c.added["seen"] for c in conditionings])
    with looking(runs, runs[0].pipe.transformer, branches, instruments) as record:
        out = call(states, seen)
    insides = [record.inside_of(i) if record else None for i in range(len(runs))]
    return out.unflatten(0, (len(runs), branches)), insides


def _predict_sana(runs: Sequence[DenoiseRun]) -> tuple[Tensor, list[Inside | None]]:
    transformer, branches = runs[0].pipe.transformer, runs[0].first.branches
    latents = torch.cat([run.latents for run in runs]).repeat_interleave(branches, dim=0)
    timestep = torch.stack([run.timestep.float() for run in runs]).repeat_interleave(branches)

    def call(states: Tensor, seen: Tensor) -> Tensor:
        out = transformer(
            latents.to(transformer.dtype),
            encoder_hidden_states=states.to(transformer.dtype),
            encoder_attention_mask=seen,
            timestep=timestep * transformer.config.timestep_scale,
            return_dict=False,
        )[0].float()
        learned_deviation = transformer.config.out_channels // 2 == latents.shape[1]
        return out.chunk(2, dim=1)[0] if learned_deviation else out

    return _ask(runs, _SANA_INSTRUMENTS, call)


def _predict_sprint(runs: Sequence[DenoiseRun]) -> tuple[Tensor, list[Inside | None]]:
    """A model of straight paths, asked as one of angles: both its input and its answer are turned.

    Source: Chen et al. 2025, arXiv:2503.09641, section 3; the library's pipeline.
    """
    transformer, config = runs[0].pipe.transformer, runs[0].scheduler.config
    angle = torch.stack([run.timestep for run in runs])
    share = angle.sin() / (angle.cos() + angle.sin())  # of noise, on a straight path
    s = share.view(-1, 1, 1, 1)
    length = torch.sqrt(s**2 + (1 - s) ** 2)
    noisy = torch.cat([run.latents for run in runs]) / config.sigma_data * length
    scales = torch.tensor([run.request.guidance_scale for run in runs], device=angle.device)

    def call(states: Tensor, seen: Tensor) -> Tensor:
        out = transformer(
            noisy.to(transformer.dtype),
            encoder_hidden_states=states.to(transformer.dtype),
            encoder_attention_mask=seen,
            guidance=scales.to(states.dtype) * transformer.config.guidance_embeds_scale,
            timestep=share,
            return_dict=False,
        )[0]
        turned = ((1 - 2 * s) * noisy + (1 - 2 * s + 2 * s**2) * out) / length
        return turned.float() * config.sigma_data

    return _ask(runs, _SANA_INSTRUMENTS, call)


def _encode_prx(pipe: Any, request: ImageRequest, guided: bool) -> Conditioning:
    """The last layer of a language model's encoder, of the cleaned prompt."""
    prompt, seen, empty, seen_empty = pipe.encode_prompt(
        request.prompt,
        device_of(pipe),
        do_classifier_free_guidance=guided,
        negative_prompt=request.negative_prompt,
    )
    states = torch.cat([empty, prompt]) if guided else prompt
    return _masked(
        states, torch.cat([seen_empty, seen]) if guided else seen, _segment_prx(pipe, request.prompt)
    )


def _segment_prx(pipe: Any, prompt: str) -> Segment:
    cleaned = pipe.text_preprocessor.clean_text(prompt)
    return segment(pipe, "tokenizer", cleaned, pipe.tokenizer.model_max_length)


def _predict_prx(runs: Sequence[DenoiseRun]) -> tuple[Tensor, list[Inside | None]]:
    transformer, branches = runs[0].pipe.transformer, runs[0].first.branches
    latents = torch.cat([run.latents for run in runs]).repeat_interleave(branches, dim=0)
    times = torch.stack([run.timestep.float() / run.scheduler.config.num_train_timesteps for run in runs])

    def call(states: Tensor, seen: Tensor) -> Tensor:
        out: Tensor = transformer(
            hidden_states=latents,
            timestep=times.repeat_interleave(branches),
            encoder_hidden_states=states,
            attention_mask=seen,
            return_dict=False,
        )[0]
        return out

    return _ask(runs, _PRX_INSTRUMENTS, call)


SANA = Family(
    denoiser="cross",
    views=lambda pipe: Views(catalogue.TWO_BRANCHES, "picture", _LEVERS),
    size=_size_sana,
    unit=lambda pipe: _UNIT_SANA,
    encode=_encode_sana,
    segments=lambda pipe, prompt: (_segment_sana(pipe, prompt),),
    bands=lambda pipe: _bands(pipe, GEMMA_PLACES),
    check=lambda pipe, request: None,
    noise_shape=_noise_shape,
    noise_type=lambda pipe, conditioning: torch.float32,
    timing=lambda pipe, steps, latents: {},
    predict=_predict_sana,
    decode=to_pixels,
    to_latents=to_latents,
)

SPRINT = replace(
    SANA,
    views=lambda pipe: Views(catalogue.GUIDANCE_INPUT, "picture", _LEVERS),
    encode=_encode_sprint,
    timing=lambda pipe, steps, latents: {"intermediate_timesteps": _MIDDLE if steps == 2 else None},
    predict=_predict_sprint,
)

PRX = Family(
    denoiser="cross",
    views=lambda pipe: Views(catalogue.TWO_BRANCHES, "picture", _LEVERS),
    size=lambda pipe: (pipe.default_sample_size, pipe.default_sample_size),
    unit=lambda pipe: pipe.vae_scale_factor * pipe.transformer.config.patch_size,
    encode=_encode_prx,
    segments=lambda pipe, prompt: (_segment_prx(pipe, prompt),),
    bands=lambda pipe: _bands(pipe, pipe.tokenizer.model_max_length),
    check=lambda pipe, request: None,
    noise_shape=_noise_shape,
    noise_type=lambda pipe, conditioning: conditioning.states.dtype,
    timing=lambda pipe, steps, latents: {},
    predict=_predict_prx,
    decode=to_pixels,
    to_latents=to_latents,
)
