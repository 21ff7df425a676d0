"""Self-attention of a text transformer, recorded beside a forward pass that it leaves untouched."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


@dataclass
class TextRecord:
    """What a text transformer did in its last forward pass.

    Attributes:
        attention: one `[batch, head, token, token]` per layer; a row says whom its token looks at.
        states: the vectors before the first layer and after each, `[batch, token, dim]` each;
            the norm that follows the last layer is left out.
    """

    attention: list[Tensor] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)

    def clear(self) -> None:
        self.attention.clear()
        self.states.clear()


def blocks_of(transformer: Any) -> list[Any]:
    """The layers of an open_clip text transformer; empty if they do not attend in PyTorch's own way."""
    blocks = list(getattr(transformer, "resblocks", ()))
    usual = all(isinstance(getattr(block, "attn", None), nn.MultiheadAttention) for block in blocks)
    return blocks if usual else []


@contextmanager
def recorded(transformer: nn.Module) -> Iterator[TextRecord]:
    """Record every forward pass of a text transformer until the block ends.

    The weights come from the library's own eager attention, computed a second time beside the
    real pass: what the model returns is the same to the bit.

    Args:
        transformer: open_clip's `Transformer`, or a text model of transformers (`CLIPTextModel`,
            `XLMRobertaModel`, …). On leaving, it is as it was before, after an error too; the hooks
            that transformers itself puts in once to report attention do nothing unless asked.

    Yields:
        The record; each pass replaces the one before.
    """
    record = TextRecord()
    if isinstance(transformer, PreTrainedModel):
        handles = [transformer.register_forward_pre_hook(_eager_pass(record), with_kwargs=True)]
    else:
        handles = _hook_blocks(transformer, record)
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


def _hook_blocks(transformer: nn.Module, record: TextRecord) -> list[Any]:
    """Hooks on the layers of an open_clip transformer."""
    batch_first = getattr(transformer, "batch_first", True)

    def begin(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        record.clear()
        keep(args[0])

    def keep(states: Tensor) -> None:
        record.states.append((states if batch_first else states.transpose(0, 1)).detach())

    def attend(layer: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        asked = kwargs | {"need_weights": True, "average_attn_weights": False}
        record.attention.append(layer.forward(*args, **asked)[1].detach())

    blocks = blocks_of(transformer)
    return [
        blocks[0].register_forward_pre_hook(begin),
        *(block.attn.register_forward_pre_hook(attend, with_kwargs=True) for block in blocks),
        *(block.register_forward_hook(lambda _, __, states: keep(states)) for block in blocks),
    ]


def _eager_pass(record: TextRecord) -> Any:
    """A hook that runs a model of transformers once with eager attention before its real pass.

    transformers' fused kernels return no weights, and only the whole model prepares the mask that
    the eager ones need, so the whole model runs.
    """

    def hook(model: PreTrainedModel, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        before = model.config._attn_implementation
        model.set_attn_implementation("eager")
        try:
            out = model.forward(
                *args,
                **kwargs | {"output_attentions": True, "output_hidden_states": True, "return_dict": True},
            )
        finally:
            model.set_attn_implementation(before)
        record.clear()
        record.attention += [a.detach() for a in out.attentions]
        record.states += [s.detach() for s in out.hidden_states]

    return hook


def run_causal(tower: Any, ids: Tensor) -> None:
    """Run the layers of an open_clip text tower on as many tokens as there are.

    The tower's own `encode_text` always computes all places. In a causal model those after the
    last token change nothing before them, so they need not be computed.

    Args:
        tower: open_clip's `CLIP` or `TextTransformer` with a causal mask.
        ids: `[batch, token]`, at most as many tokens as the tower has places.
    """
    count = ids.shape[1]
    dtype = tower.transformer.get_cast_dtype()
    x = tower.token_embedding(ids).to(dtype) + tower.positional_embedding[:count].to(dtype)
    tower.transformer(x, attn_mask=tower.attn_mask[:count, :count])


def is_causal(attention: Tensor) -> bool:
    """Whether no token looks at one that comes after it.

    Args:
        attention: `[..., token, token]`; weights that a mask closes are exactly zero.
    """
    return not bool(torch.triu(attention, 1).any())
