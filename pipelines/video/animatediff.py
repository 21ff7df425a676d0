"""Films of an AnimateDiff pipeline: a picture model draws all frames, attention between them joins them.

Source: Guo et al. 2023 (AnimateDiff), arXiv:2307.04725.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor

from pipelines.image.autoencoder import to_latents, to_pixels
from pipelines.image.denoise import classifier_free_guidance
from pipelines.image.schedulers import (
    denoising_factors,
    make_scheduler,
    nearest_step,
    noise_levels,
    set_timesteps,
)
from pipelines.serving.compute import on_text_thread
from pipelines.video.animatediff_recorder import recording_video
from pipelines.video.request import FEATURE_TIMESTEP, VideoRequest, VideoStep

_FRAMES_AT_ONCE = 16  # decoded in one call, as the library does


@dataclass
class AnimateDiffRun:
    """One film under way.

    Attributes:
        states: `[2 * frame, token, dim]` text of every frame, without the prompt and with it.
        latents: `[1, 4, frame, y, x]` on the scheduler's own scale.
        keep_at: index of the step whose places and features are kept.
    """

    request: VideoRequest
    pipe: Any
    scheduler: SchedulerMixin
    states: Tensor
    latents: Tensor
    keep_at: int
    index: int = 0

    @property
    def finished(self) -> bool:
        return self.index == len(self.scheduler.timesteps)

    @torch.inference_mode()
    def advance(self) -> VideoStep:
        """One step for all frames: a single U-Net call, guidance, the scheduler."""
        index, before = self.index, self.latents
        timestep, levels = self.scheduler.timesteps[index], noise_levels(self.scheduler)
        height, width = before.shape[-2:]
        with recording_video(
            self.pipe.unet, 2, (height, width), look=True, keep=index == self.keep_at,
            motion=self.request.motion,
        ) as record:  # fmt: skip
            noisy = self.scheduler.scale_model_input(torch.cat([before] * 2), timestep)
            out = self.pipe.unet(noisy, timestep, encoder_hidden_states=self.states).sample
        guided = classifier_free_guidance(out.chunk(2), self.request.guidance_scale)
        self.latents = self.scheduler.step(guided, timestep, before, return_dict=False)[0]
        self.index += 1
        a, b = denoising_factors(self.scheduler.config.prediction_type, levels[index])
        latents, denoised = (
            x[0].transpose(0, 1).float().cpu().numpy() for x in (self.latents, a * before + b * guided)
        )
        inside = record.inside() if record else None
        return VideoStep(index, len(self.scheduler.timesteps), int(timestep), latents, denoised, inside)


@torch.inference_mode()
def start(pipe: Any, request: VideoRequest) -> AnimateDiffRun:
    """A run before its first step; the noise is drawn as the library's pipeline draws it."""
    scheduler = make_scheduler("ddim", pipe)
    set_timesteps(scheduler, request.num_inference_steps, pipe.device)
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    cells = ((request.height or side) // pipe.vae_scale_factor,
             (request.width or side) // pipe.vae_scale_factor)  # fmt: skip
    states = read_schedule(pipe, request)
    noise = randn_tensor(
        (1, pipe.unet.config.in_channels, len(states) // 2, *cells),
        generator=torch.Generator().manual_seed(request.seed), device=pipe.device, dtype=states.dtype,
    )  # fmt: skip
    keep_at = nearest_step(scheduler, FEATURE_TIMESTEP)
    return AnimateDiffRun(request, pipe, scheduler, states, noise * scheduler.init_noise_sigma, keep_at)


def read_schedule(pipe: Any, request: VideoRequest) -> Tensor:
    """What every frame is told, `[2 * frame, token, dim]`: first the negative prompt for all, then the texts.

    Between two texts of a schedule the vectors go over in a straight line, as in the library's
    `enable_free_noise`.

    Source: Qiu et al. 2023 (FreeNoise), arXiv:2310.15169, section 3.3.
    """
    frames = request.num_frames or 0
    texts = [(0, request.prompt), *request.later]
    encode_prompt = on_text_thread(torch.inference_mode()(pipe.encode_prompt))
    read, empty = encode_prompt(
        [text for _, text in texts], pipe.device, 1, True, [request.negative_prompt or ""] * len(texts)
    )
    rows = []
    for frame in range(frames):
        i = max(i for i, (first, _) in enumerate(texts) if first <= frame)
        (first, _), last = texts[i], texts[i + 1][0] if i + 1 < len(texts) else None
        share = (frame - first) / (last - first) if last else 0.0
        rows.append(torch.lerp(read[i], read[min(i + 1, len(texts) - 1)], share) if share else read[i])
    return torch.cat([empty[:1].expand(frames, -1, -1), torch.stack(rows)])


@torch.inference_mode()
def decode(pipe: Any, latents: np.ndarray) -> list[Image.Image]:
    """`[frame, 4, y, x]` clean latents to pictures."""
    films = torch.from_numpy(latents).to(pipe.device, pipe.vae.dtype).transpose(0, 1)[None]
    video = pipe.decode_latents(films, _FRAMES_AT_ONCE)
    return list(pipe.video_processor.postprocess_video(video=video, output_type="pil")[0])


def autoencoder(pipe: Any) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], int]:
    """What `pipelines.image.previews.fit` asks for: each frame is a picture of its own."""
    return partial(to_latents, pipe), partial(to_pixels, pipe), pipe.vae_scale_factor
