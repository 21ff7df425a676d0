"""Text to picture: runs through the stepper, decoding, and pictures that carry their parameters."""

import io
import json
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipelines.image import stepper
from pipelines.image.families.choice import cell_size, family_of
from pipelines.image.load import image_pipeline
from pipelines.image.previews import SIDE, shrunk
from pipelines.image.request import DenoiseStep, ImageRequest, Trace
from pipelines.serving import catalogue
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.engine import whole_call
from pipelines.serving.errors import InputError
from pipelines.serving.steps import Steps

_CELLS_AT_ONCE = 8192  # latent cells decoded in one call: 32 classroom pictures or 2 of 512 px
_CHUNK = "parameters"  # name of the PNG text chunk


def generate(request: ImageRequest) -> Steps[DenoiseStep]:
    """Draw one picture, step by step.

    Args:
        request: checked here, before the first step.

    Returns:
        Iterator of `DenoiseStep`; `close()` stops the run at the next tick.

    Raises:
        InputError: a value cannot be used, the model cannot be loaded, or `queue_full`.
    """
    return stepper.submit(request)


@whole_call("image", image_pipeline)
def decode(latents: np.ndarray, model: str) -> list[Image.Image]:
    """Latents to pictures, exactly as the library's pipelines decode them.

    Args:
        latents: `[4, y, x]` or `[picture, 4, y, x]`, on the scale of clean latents.
        model: catalogue id of the role "image".

    Returns:
        One picture each, 8 px per latent cell in Stable Diffusion, 4 px in the classroom model.
    """
    return _decode(image_pipeline(model), latents if latents.ndim == 4 else latents[None])


@on_compute_thread
@torch.inference_mode()
def _decode(pipe: Any, latents: np.ndarray) -> list[Image.Image]:
    batch = torch.tensor(latents, dtype=torch.float32)
    larger = max(1, cell_size(pipe) // 8) ** 2  # than Stable Diffusion's cells
    at_once = max(1, _CELLS_AT_ONCE // (batch.shape[2] * batch.shape[3] * larger))
    decode_part = family_of(pipe).decode
    pixels = [decode_part(pipe, part) for part in batch.split(at_once)]
    return pipe.image_processor.postprocess(torch.cat(pixels), output_type="pil")


def preview(latents: np.ndarray, model: str) -> list[Image.Image]:
    """Like `decode`, but quick enough for every step: large latents are averaged down first.

    The classroom model's latents are small and decoded in full. A 512 px picture of Stable
    Diffusion is shown at 128 px on a CPU, where decoding it in full takes longer than a step.
    """
    return decode(small(latents if latents.ndim == 4 else latents[None]), model)


def small(latents: np.ndarray, noisy: bool = False) -> np.ndarray:
    """`[picture, 4, y, x]` latents as `preview` decodes them; see `pipelines.image.previews.shrunk`."""
    if max(latents.shape[-2:]) <= SIDE or catalogue.device() != "cpu":
        return latents
    return on_compute_thread(shrunk)(latents, noisy)


def finish(request: ImageRequest, steps: Sequence[DenoiseStep]) -> Trace:
    """The picture at the end of a run, with all its steps.

    Args:
        request: the one the steps came from.
        steps: at least one; of a run that was stopped early, the last guided estimate is shown.
    """
    request = request.validated()
    last = steps[-1]
    latents = last.latents if last.index + 1 == last.total else last.denoised_guided
    return Trace(request, tuple(steps), decode(latents, request.model)[0])


def run(request: ImageRequest) -> Trace:
    """Draw one picture and keep its trace; see `generate`."""
    return finish(request, tuple(generate(request)))


def steps_together(requests: Sequence[ImageRequest]) -> Generator[tuple[DenoiseStep, ...], None, None]:
    """The steps of several runs that start together, all at the same step; closing the iterator stops them.

    Args:
        requests: of one number of steps.

    Raises:
        InputError: what `generate` raises.
    """
    with ExitStack() as stack:
        runs = [stack.enter_context(closing(run)) for run in stepper.submit_all(requests)]
        yield from zip(*runs, strict=True)


def draw_together(
    requests: Sequence[ImageRequest], on_step: Callable[[tuple[DenoiseStep, ...]], None] | None = None
) -> tuple[DenoiseStep, ...]:
    """Draw several pictures of one visitor as one batch.

    Args:
        requests: of one model, size and number of steps.
        on_step: called with the step of every run; an exception it raises stops them all.

    Returns:
        The last step of each, for `decode_steps`.

    Raises:
        InputError: what `generate` raises.
    """
    with closing(steps_together(requests)) as arriving:
        for steps in arriving:
            if on_step:
                on_step(steps)
    return steps


def decode_steps(steps: Sequence[DenoiseStep], model: str) -> list[Image.Image]:
    """The pictures at a step of several runs, one each.

    Args:
        steps: one of each run.
        model: catalogue id of the role "image".
    """
    return decode(np.stack([step.latents for step in steps]), model)


def picture_change(picture: Image.Image, reference: Image.Image) -> float:
    """Mean absolute difference of two pictures of one size, over pixels and channels, 0..255."""
    a, b = (np.asarray(p.convert("RGB"), np.int16) for p in (picture, reference))
    return float(np.abs(a - b).mean())


def png_with_parameters(trace: Trace) -> bytes:
    """The picture as PNG, with its request as JSON in the text chunk "parameters"."""
    info = PngInfo()
    info.add_text(_CHUNK, json.dumps(trace.request.parameters()))  # ASCII, as tEXt wants it
    file = io.BytesIO()
    trace.image.save(file, format="PNG", pnginfo=info)
    return file.getvalue()


def read_parameters(png: bytes) -> dict[str, Any]:
    """The parameters a PNG carries; `ImageRequest(**parameters)` draws the same picture again.

    Only the header is read, so a picture of any size is safe.

    Raises:
        InputError: `parameters_missing` if the file is no PNG of this app, and what
            `ImageRequest.validated` raises, as for a model that is not in the catalogue here.
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            found = json.loads(picture.info[_CHUNK])
        request = ImageRequest(**found)
    except Exception as error:  # Pillow and json raise many kinds for a broken file
        raise InputError("parameters_missing") from error
    return request.validated().parameters()
