"""What the text encoders hand to the denoiser, as it is or with its levers pulled."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pipelines.image.families.choice import family_of
from pipelines.image.families.family import POOLED, Conditioning, Segment
from pipelines.image.offload import make_room
from pipelines.image.request import ImageRequest
from pipelines.image.steering import check_places
from pipelines.serving import catalogue
from pipelines.serving.compute import on_compute_thread, on_text_thread


def wants_empty_branch(request: ImageRequest) -> bool:
    """Whether a run asks the model without the prompt, too, as the catalogue says before the model is loaded.

    The library leaves that branch out up to a scale of 1; of U-Nets, here only distilled ones do, because
    the page shows what the model draws without the prompt at every scale. Transformers, whose every call is
    dear, leave it out at a scale of exactly 1, where it has no part in the picture.
    """
    e = catalogue.entry(request.model, "image")
    return _has_empty_branch(request, e.denoiser, e.guidance)


def _has_empty_branch(request: ImageRequest, denoiser: str, guidance: str) -> bool:
    scale, distilled = request.guidance_scale, catalogue.entry(request.model, "image").distilled
    if guidance != catalogue.TWO_BRANCHES or (denoiser != "unet" and scale == 1):
        return False
    return scale > 1 or not distilled


def encode(pipe: Any, request: ImageRequest) -> Conditioning:
    """Read a request's prompt and negative prompt with the pipeline's own encoders.

    On one thread alone: transformers' tokenizers keep the padding of the last call as state, and two threads
    at once get each other's. T5 and language models take seconds where CLIP takes milliseconds; they go
    where pictures are computed, so that who reads does not wait for them.
    """
    on_thread = on_text_thread if family_of(pipe).denoiser == "unet" else on_compute_thread
    return on_thread(_encode)(pipe, request)


@torch.inference_mode()
def _encode(pipe: Any, request: ImageRequest) -> Conditioning:
    if family_of(pipe).denoiser != "unet":
        make_room(pipe)
    return family_of(pipe).encode(pipe, request, _guided(pipe, request))


def _guided(pipe: Any, request: ImageRequest) -> bool:
    """Whether a run asks a loaded model without the prompt, too."""
    family = family_of(pipe)
    return _has_empty_branch(request, family.denoiser, family.views(pipe).guidance)


@dataclass
class PromptCache:
    """Texts read for runs that start together; a sweep's eight runs share theirs."""

    _read: dict[tuple[object, ...], Conditioning] = field(default_factory=dict)

    def of(self, pipe: Any, request: ImageRequest) -> tuple[Conditioning, Conditioning]:
        """What steers a run before and from its switch on; the same twice where it has none."""
        levers = request.steering
        first = self._plain(pipe, request)
        if levers.blend:
            first = _between(first, self._second(pipe, request), levers.blend)
        if levers.token_weights:
            empty = self._plain(pipe, replace(request, prompt=""))
            first = _weighted(first, empty, levers.token_weights)
        if levers.pooled_only:
            first = _pooled_everywhere(first)
        if not levers.text_in_time:
            first = _with_prompt(first, first.states[-1], **self._pooled_of_empty(pipe, request, first))
        check_places(levers.places_hidden, first.states.shape[1])
        return first, first if levers.switch_at is None else self._second(pipe, request)

    def _second(self, pipe: Any, request: ImageRequest) -> Conditioning:
        return self._plain(pipe, replace(request, prompt=request.steering.prompt_b))

    def _pooled_of_empty(self, pipe: Any, request: ImageRequest, read: Conditioning) -> dict[str, Tensor]:
        """Pooled vectors as they are without the prompt, `[dim]` each; none where there are none.

        SDXL hands its pooled vector to the time embedding, SD 3 to the modulation.
        """
        names = read.added.keys() & POOLED
        if read.branches == 2:
            return {name: read.added[name][0] for name in names}
        if not names or pipe.config.get("force_zeros_for_empty_prompt"):
            return {name: torch.zeros_like(read.added[name][-1]) for name in names}
        empty = self._plain(pipe, replace(request, prompt=""))
        return {name: empty.added[name][-1] for name in names}

    def _plain(self, pipe: Any, request: ImageRequest) -> Conditioning:
        key = (request.model, request.prompt, request.negative_prompt, request.height, request.width,
               _guided(pipe, request))  # fmt: skip
        if key not in self._read:
            self._read[key] = encode(pipe, request)
        return self._read[key]


def _with_prompt(read: Conditioning, states: Tensor, **added: Tensor) -> Conditioning:
    """The same with other vectors in the prompt's branch, which is the last.

    Args:
        read: not changed.
        states: `[token, dim]`.
        **added: `[dim]` each.
    """
    extra = {name: torch.cat([read.added[name][:-1], value[None]]) for name, value in added.items()}
    return replace(read, states=torch.cat([read.states[:-1], states[None]]), added=read.added | extra)


def _longer(a: Segment, b: Segment) -> Segment:
    """Of two texts' stretches, the one with more tokens, so that none of them counts as padding."""
    return a if len(a.tokens) >= len(b.tokens) else b


@torch.inference_mode()
def _between(a: Conditioning, b: Conditioning, share: float) -> Conditioning:
    """A point on the straight line from one text's vectors to another's, place by place."""
    names = a.added.keys() & POOLED
    pooled = {name: torch.lerp(a.added[name][-1], b.added[name][-1], share) for name in names}
    mixed = _with_prompt(a, torch.lerp(a.states[-1], b.states[-1], share), **pooled)
    return replace(
        mixed,
        ends=(*a.ends[:-1], max(a.ends[-1], b.ends[-1])),
        pools=(*a.pools[:-1], max(a.pools[-1], b.pools[-1])),
        segments=tuple(map(_longer, a.segments, b.segments)),
    )


@torch.inference_mode()
def _weighted(
    read: Conditioning, empty: Conditioning, weights: tuple[tuple[int, float], ...]
) -> Conditioning:
    """Each named place moved along the line from the empty prompt's vector there through the prompt's."""
    states = read.states[-1].clone()
    check_places([place for place, _ in weights], len(states))
    for place, weight in weights:
        states[place] = torch.lerp(empty.states[-1, place], states[place], weight)
    return _with_prompt(read, states)


@torch.inference_mode()
def _pooled_everywhere(read: Conditioning) -> Conditioning:
    """The end token's vector, which has read the whole sentence, at every place."""
    states = read.states[-1]
    return _with_prompt(read, states[read.pools[-1]].expand_as(states))
