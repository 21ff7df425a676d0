"""How text and time modulate the blocks of a U-Net, and what a picture loses when one of them is cut off."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from pipelines.clip.model import clip_scores
from pipelines.image.families.choice import family_of
from pipelines.image.families.family import title_of
from pipelines.image.image import decode_steps, draw_together, picture_change
from pipelines.image.load import image_pipeline
from pipelines.image.recorder import layout_of
from pipelines.image.request import DenoiseStep, ImageRequest, Trace
from pipelines.image.steering import Steering
from pipelines.serving import catalogue
from pipelines.serving.engine import whole_call
from pipelines.serving.errors import InputError

OnStep = Callable[[tuple[DenoiseStep, ...]], None]
MAX_SWITCHES = 16
PARTS = ("shift", "scale", "gate")  # of a transformer's modulation
NONE, ALL, TIME = "none", "all", "time"  # cuts that are no single block


@dataclass(frozen=True, eq=False)
class BlockEffects:
    """How strongly text and time act on each block in each step; see `pipelines.image.request.Inside`.

    Attributes:
        blocks: names, in the order of computation.
        text_effect: `[block, step]` relative change of a block's output by the prompt.
        attention_effect: `[block, step]` what cross-attention adds, relative to what it is added to.
        time_effect: `[block, step]` strength of what the time embedding hands to the block.
        text_in_time: `[block, step]` how much of that the prompt changes.
    """

    blocks: tuple[str, ...]
    text_effect: np.ndarray
    attention_effect: np.ndarray
    time_effect: np.ndarray
    text_in_time: np.ndarray


def block_effects(trace: Trace) -> BlockEffects:
    """The effects in every step of a run.

    Args:
        trace: of a run with `look_inside`.

    Raises:
        InputError: `attention_not_traced` if the run did not look inside.
    """
    insides = [step.inside for step in trace.steps if step.inside is not None]
    if len(insides) < len(trace.steps):
        raise InputError("attention_not_traced")
    names = ("text_effect", "attention_effect", "time_effect", "text_in_time")
    arrays = {name: np.stack([getattr(inside, name) for inside in insides], axis=1) for name in names}
    return BlockEffects(insides[0].blocks, **arrays)


@dataclass(frozen=True, eq=False)
class Modulation:
    """How strongly the time embedding, and the prompt in it, modulate each block of a transformer.

    Attributes:
        blocks: names, in the order of computation.
        strength: `[block, step, part]` root mean square of `PARTS`.
        by_text: `[block, step, part]` of the difference that the prompt makes to them; 0 where it is not in
            the time embedding, NaN where the model was not asked without it.

    Source: Peebles & Xie 2022 (DiT), arXiv:2212.09748, section 3.2 (adaLN-Zero).
    """

    blocks: tuple[str, ...]
    strength: np.ndarray
    by_text: np.ndarray


def has_modulation(trace: Trace | None) -> bool:
    """Whether a run noted a transformer's modulation in every step."""
    return trace is not None and all(s.inside and s.inside.modulation is not None for s in trace.steps)


def modulation(trace: Trace) -> Modulation:
    """The modulation of every block in every step of a run.

    Args:
        trace: of a transformer's run with `look_inside`.

    Raises:
        InputError: `modulation_not_traced` if the run noted none.
    """
    insides = [step.inside for step in trace.steps if step.inside and step.inside.modulation is not None]
    if not insides:
        raise InputError("modulation_not_traced")
    strength, by_text = (
        np.stack([getattr(inside, name) for inside in insides], axis=1)
        for name in ("modulation", "text_in_modulation")
    )
    return Modulation(insides[0].blocks, strength, by_text)


@dataclass(frozen=True, eq=False)
class Cuts:
    """One prompt and seed, with one way of the text into the picture cut off at a time.

    Attributes:
        names: what was cut: `NONE`, a block's name, `ALL` cross-attention, or the prompt in the time
            embedding (`TIME`).
        images: one picture each.
        changes: `[cut]` mean absolute difference to the uncut picture, 0..255.
        clip_scores: `[cut]` cosine of each picture with the prompt, -1..1.
    """

    names: tuple[str, ...]
    images: tuple[Image.Image, ...]
    changes: np.ndarray
    clip_scores: np.ndarray


def cut_blocks(request: ImageRequest, on_step: OnStep | None = None) -> Cuts:
    """Draw a picture whole, with cross-attention off in each block and in all, and with time embedding deaf.

    Args:
        request: checked here; of its levers, those that cut are replaced.
        on_step: called with the steps of all runs; an exception it raises stops them.

    Raises:
        InputError: what `pipelines.image.image.generate` raises.
    """
    cuts = cut_requests(request)
    return finish_cuts(cuts, draw_together(list(cuts.values()), on_step))


@whole_call("image", image_pipeline)
def cut_requests(request: ImageRequest) -> dict[str, ImageRequest]:
    """What `cut_blocks` draws, by what is cut off; see `Cuts.names`."""
    request = request.validated()
    if catalogue.entry(request.model).is_transformer:  # refused before anything is loaded
        raise InputError("blocks_off_closed", title=title_of(request))
    pipe = image_pipeline(request.model)
    if "blocks_off" not in family_of(pipe).views(pipe).levers:
        raise InputError("blocks_off_closed", title=title_of(request))
    blocks = layout_of(pipe.unet).steered_blocks
    cuts: dict[str, Steering] = {NONE: replace(request.steering, blocks_off=(), text_in_time=True)}
    cuts |= {block: replace(cuts[NONE], blocks_off=(block,)) for block in blocks}
    cuts[ALL] = replace(cuts[NONE], blocks_off=blocks)
    if hears_text(request.model):
        cuts[TIME] = replace(cuts[NONE], text_in_time=False)
    return {name: replace(request, steering=cut) for name, cut in cuts.items()}


def finish_cuts(cuts: dict[str, ImageRequest], steps: Sequence[DenoiseStep]) -> Cuts:
    """Decode, compare and score the last steps of the runs of `cut_requests`."""
    request = cuts[NONE]
    images = decode_steps(steps, request.model)
    return Cuts(
        tuple(cuts),
        tuple(images),
        np.array([picture_change(image, images[0]) for image in images]),
        clip_scores(images, [request.prompt], catalogue.default_id("clip"))[:, 0],
    )


@whole_call("image", image_pipeline)
def hears_text(model: str) -> bool:
    """Whether a picture model's time embedding hears the prompt, too."""
    pipe = image_pipeline(model)
    family = family_of(pipe)
    if family.denoiser != "unet":
        return "text_in_time" in family.views(pipe).levers
    return pipe.unet.config.addition_embed_type in ("text", "text_time")


@dataclass(frozen=True, eq=False)
class Switches:
    """One seed, and a prompt that gives way to another at some step.

    Attributes:
        steps: `[switch]` the step from which the second prompt steers, 0-based; the number of steps: never.
        images: one picture each.
        clip_scores: `[switch, 2]` cosine of each picture with the first and the second prompt, -1..1.
    """

    steps: tuple[int, ...]
    images: tuple[Image.Image, ...]
    clip_scores: np.ndarray


def switch_points(steps: int, most: int = 7) -> tuple[int, ...]:
    """Up to `most` steps to switch at, from 0 (only the second prompt) to `steps` (only the first)."""
    return tuple(sorted({round(i * steps / (most - 1)) for i in range(most)}))


def switch_prompts(
    request: ImageRequest, prompt_b: str, steps: Sequence[int], on_step: OnStep | None = None
) -> Switches:
    """Draw one seed with two prompts, the second taking over at different steps, as one batch.

    Args:
        request: checked here; its prompt is the first.
        prompt_b: the second.
        steps: when it takes over, each 0 to the number of steps.
        on_step: called with the steps of all runs; an exception it raises stops them.

    Raises:
        InputError: `switches_count`, `prompt_b_empty`, `switch_range`, and what
            `pipelines.image.image.generate` raises.
    """
    requests = switch_requests(request, prompt_b, steps)
    return finish_switches(requests, draw_together(requests, on_step))


def switch_requests(request: ImageRequest, prompt_b: str, steps: Sequence[int]) -> list[ImageRequest]:
    """What `switch_prompts` draws."""
    if not 1 <= len(steps) <= MAX_SWITCHES:
        raise InputError("switches_count", limit=MAX_SWITCHES, received=len(steps))
    return [
        replace(request, steering=replace(request.steering, prompt_b=prompt_b, switch_at=step)).validated()
        for step in steps
    ]


def finish_switches(requests: Sequence[ImageRequest], steps: Sequence[DenoiseStep]) -> Switches:
    """Decode and score the last steps of the runs of `switch_requests`."""
    first = requests[0]
    images = decode_steps(steps, first.model)
    scores = clip_scores(images, [first.prompt, first.steering.prompt_b], catalogue.default_id("clip"))
    return Switches(tuple(int(r.steering.switch_at or 0) for r in requests), tuple(images), scores)
