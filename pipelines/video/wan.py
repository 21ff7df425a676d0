"""Films of a space-time diffusion transformer: patches of frames are tokens, and all look at all.

Wan 2.1, an open kin of Sora and Gen-3. Its autoencoder holds four pictures in one frame of latents, its
transformer cuts those into patches of 2 × 2 cells.

Source: Wan Team 2025, arXiv:2503.20314, section 4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor

from pipelines.image.denoise import classifier_free_guidance
from pipelines.image.schedulers import nearest_step
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.video.request import FEATURE_TIMESTEP, VideoRequest, VideoStep
from pipelines.video.wan_recorder import recording_patches

HEIGHT, WIDTH = 480, 832  # px, what the 1.3B model was trained at


@dataclass
class WanRun:
    """One film under way.

    Attributes:
        prompt, empty: `[1, token, dim]` what the text encoder says with and without the prompt.
        latents: `[1, channel, frame, y, x]`.
        keep_at: index of the step whose places and features are kept.
    """

    request: VideoRequest
    pipe: Any
    scheduler: SchedulerMixin
    prompt: Tensor
    empty: Tensor
    latents: Tensor
    keep_at: int
    index: int = 0

    @property
    def finished(self) -> bool:
        return self.index == len(self.scheduler.timesteps)

    @torch.inference_mode()
    def advance(self) -> VideoStep:
        """One step for all patches: the transformer with and without the prompt, guidance, the scheduler."""
        index, before = self.index, self.latents
        timestep, motion = self.scheduler.timesteps[index], self.request.motion
        keep = index == self.keep_at
        with recording_patches(
            self.pipe.transformer, before.shape, look=True, keep=keep, motion=motion
        ) as record:
            prompt = self._ask(self.prompt, timestep)
        with recording_patches(self.pipe.transformer, before.shape, look=False, keep=False, motion=motion):
            empty = self._ask(self.empty, timestep)
        guided = classifier_free_guidance((empty, prompt), self.request.guidance_scale)
        self.latents = self.scheduler.step(guided, timestep, before, return_dict=False)[0]
        self.index += 1
        # Flow matching: what is left of the noise lies along the predicted velocity.
        clean = before - self.scheduler.sigmas[index].to(before) * guided
        latents, denoised = (x[0].transpose(0, 1).float().cpu().numpy() for x in (self.latents, clean))
        inside = record.inside() if record else None
        return VideoStep(index, len(self.scheduler.timesteps), int(timestep), latents, denoised, inside)

    def _ask(self, text: Tensor, timestep: Tensor) -> Tensor:
        latents = self.latents.to(self.pipe.transformer.dtype)
        out: Tensor = self.pipe.transformer(
            hidden_states=latents, timestep=timestep.expand(1), encoder_hidden_states=text, return_dict=False
        )[0]
        return out


@torch.inference_mode()
def start(pipe: Any, request: VideoRequest) -> WanRun:
    """A run before its first step; the noise is drawn as the library's pipeline draws it.

    Raises:
        InputError: `schedule_closed`: one text steers the whole film.
    """
    if request.later:
        raise InputError("schedule_closed", title=catalogue.entry(request.model).title)
    scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    scheduler.set_timesteps(request.num_inference_steps, device=pipe.device)
    scheduler.set_begin_index(0)
    kind = pipe.transformer.dtype
    prompt, empty = pipe.encode_prompt(
        request.prompt, request.negative_prompt, True, max_sequence_length=512, device=pipe.device
    )
    cells = [
        side // pipe.vae_scale_factor_spatial for side in (request.height or HEIGHT, request.width or WIDTH)
    ]
    frames = ((request.num_frames or 1) - 1) // pipe.vae_scale_factor_temporal + 1
    latents = randn_tensor(
        (1, pipe.transformer.config.in_channels, frames, *cells),
        generator=torch.Generator().manual_seed(request.seed), device=pipe.device, dtype=torch.float32,
    )  # fmt: skip
    keep_at = nearest_step(scheduler, FEATURE_TIMESTEP)
    return WanRun(request, pipe, scheduler, prompt.to(kind), empty.to(kind), latents, keep_at)


@torch.inference_mode()
def decode(pipe: Any, latents: np.ndarray) -> list[Image.Image]:
    """`[frame, channel, y, x]` clean latents to all pictures of the film."""
    film = torch.from_numpy(latents).transpose(0, 1)[None]
    return list(pipe.video_processor.postprocess_video(_pixels(pipe, film), output_type="pil")[0])


def autoencoder(pipe: Any) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], int]:
    """What `pipelines.image.previews.fit` asks for: each frame of latents as a film of its own."""

    def to_latents(pixels: Tensor) -> Tensor:
        found = pipe.vae.encode(pixels[:, :, None].to(pipe.vae.device, pipe.vae.dtype)).latent_dist.mode()
        mean, inverse = _scaling(pipe, found)
        latents: Tensor = (found - mean) * inverse
        return latents[:, :, 0]

    def to_pixels(latents: Tensor) -> Tensor:
        return _pixels(pipe, latents[:, :, None])[:, :, 0]

    return to_latents, to_pixels, pipe.vae_scale_factor_spatial


def _pixels(pipe: Any, latents: Tensor) -> Tensor:
    """`[film, channel, frame, y, x]` latents to pixels, as the library's pipeline decodes them."""
    latents = latents.to(pipe.vae.device, pipe.vae.dtype)
    mean, inverse = _scaling(pipe, latents)
    pixels: Tensor = pipe.vae.decode(latents / inverse + mean, return_dict=False)[0]
    return pixels


def _scaling(pipe: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the autoencoder's latents and one over their deviation, each `[1, channel, 1, 1, 1]`."""
    config, shape = pipe.vae.config, (1, pipe.vae.config.z_dim, 1, 1, 1)
    mean = torch.tensor(config.latents_mean, dtype=torch.float32).view(shape).to(like)
    inverse = 1.0 / torch.tensor(config.latents_std, dtype=torch.float32).view(shape).to(like)
    return mean, inverse
