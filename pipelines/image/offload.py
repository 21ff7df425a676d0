"""Weights that take turns on a GPU that does not hold them all: diffusers' CPU offload of whole parts."""

from typing import Any

import torch


def device_of(pipe: Any) -> torch.device:
    """Where a pipeline computes, which is not where its weights lie while its parts take turns."""
    return pipe._execution_device


def take_turns(pipe: Any, device: str) -> None:
    """Let text encoders and denoiser of a pipeline come to a device when they are called, and go again.

    The autoencoder stays there: it is small, and decodes a preview after each step, for which the denoiser
    would go and come back.

    Args:
        pipe: a diffusers pipeline on the CPU.
        device: where it computes.
    """
    pipe.model_cpu_offload_seq = "->".join(p for p in pipe.model_cpu_offload_seq.split("->") if p != "vae")
    pipe._exclude_from_cpu_offload = [*pipe._exclude_from_cpu_offload, "vae"]
    pipe.enable_model_cpu_offload(device=device)


def make_room(pipe: Any) -> None:
    """Send away the part that was called last, before another one comes that the library does not expect.

    The library does so at the end of each call; here runs of several visitors share a pipeline, and a prompt
    may be read while another one's picture is under way. Called where pictures are computed, between steps.
    """
    pipe.maybe_free_model_hooks()
