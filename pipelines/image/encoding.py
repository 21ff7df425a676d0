"""What the text encoders hand to the U-Net, as it is or with its levers pulled."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pipelines.image.request import ImageRequest
from pipelines.image.steering import check_places
from pipelines.serving import catalogue
from pipelines.serving.compute import on_text_thread


@dataclass(frozen=True)
class Conditioning:
    """What the text encoders hand to the U-Net.

    Attributes:
        states: `[branch, token, dim]`; the branches are empty, prompt, or prompt alone.
        added: further inputs of SDXL's U-Net, each `[branch, dim]`.
        ends: place of the last end token in each branch; what follows is padding.
        pools: place at which the encoder pools in each branch: the first end token. It lies before `ends`
            where a visitor typed the mark.
    """

    states: Tensor
    added: dict[str, Tensor]
    ends: tuple[int, ...]
    pools: tuple[int, ...]

    @property
    def branches(self) -> int:
        return len(self.states)


def picture_size(pipe: Any, request: ImageRequest) -> tuple[int, int]:
    """Height and width in px: the request's, or the size the model was trained at."""
    size = pipe.unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    scale = pipe.vae_scale_factor
    return request.height or height * scale, request.width or width * scale


def wants_empty_branch(request: ImageRequest) -> bool:
    """Whether a run asks the model without the prompt, too.

    The library leaves that branch out up to a scale of 1; here only distilled models do, because
    the page shows what the model draws without the prompt at every scale.
    """
    return request.guidance_scale > 1 or not catalogue.entry(request.model, "image").distilled


@on_text_thread
@torch.inference_mode()
def encode(pipe: Any, request: ImageRequest) -> Conditioning:
    """Read a request's prompt and negative prompt with the pipeline's own encoders.

    On one thread alone: transformers' tokenizers keep the padding of the last call as state, and two threads
    at once get each other's.
    """
    guided = wants_empty_branch(request)
    encoded = pipe.encode_prompt(
        prompt=request.prompt,
        device=pipe.device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=guided,
        negative_prompt=request.negative_prompt or None,
    )
    prompt, empty = encoded[:2]
    states = torch.cat([empty, prompt]) if guided else prompt
    texts = [request.negative_prompt, request.prompt] if guided else [request.prompt]
    pools, ends = zip(*(_end_places(pipe, text) for text in texts), strict=True)
    if len(encoded) == 2:
        return Conditioning(states, {}, ends, pools)
    pooled, empty_pooled = encoded[2:]
    size = picture_size(pipe, request)
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


def _end_places(pipe: Any, text: str) -> tuple[int, int]:
    """Places of the first and of the last end token."""
    length = pipe.tokenizer.model_max_length
    ids = pipe.tokenizer(text, truncation=True, max_length=length).input_ids
    return ids.index(ids[-1]), len(ids) - 1


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
            first = _pooled_of_the_empty(first)
        check_places(levers.places_hidden, first.states.shape[1])
        return first, first if levers.switch_at is None else self._second(pipe, request)

    def _second(self, pipe: Any, request: ImageRequest) -> Conditioning:
        return self._plain(pipe, replace(request, prompt=request.steering.prompt_b))

    def _plain(self, pipe: Any, request: ImageRequest) -> Conditioning:
        key = (request.model, request.prompt, request.negative_prompt, request.height, request.width,
               wants_empty_branch(request))  # fmt: skip
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


@torch.inference_mode()
def _between(a: Conditioning, b: Conditioning, share: float) -> Conditioning:
    """A point on the straight line from one text's vectors to another's, place by place."""
    names = a.added.keys() & {"text_embeds"}
    pooled = {name: torch.lerp(a.added[name][-1], b.added[name][-1], share) for name in names}
    mixed = _with_prompt(a, torch.lerp(a.states[-1], b.states[-1], share), **pooled)
    return replace(
        mixed,
        ends=(*a.ends[:-1], max(a.ends[-1], b.ends[-1])),
        pools=(*a.pools[:-1], max(a.pools[-1], b.pools[-1])),
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


def _pooled_of_the_empty(read: Conditioning) -> Conditioning:
    """SDXL hands its pooled vector to the time embedding; here it gets the one without the prompt."""
    if "text_embeds" not in read.added:
        return read
    pooled = read.added["text_embeds"]
    kept = pooled[0] if read.branches == 2 else torch.zeros_like(pooled[0])
    return _with_prompt(read, read.states[-1], text_embeds=kept)
