"""Instruments in a space-time transformer: how much the patches of a frame look at those of each other frame.

With them out, the model is the library's, untouched; while they only look, its output stays the same to the
bit.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.video.animatediff_recorder import VideoInside, coarse

Grid = tuple[int, int, int]  # frames, rows and columns of patches


@dataclass
class PatchAttentionRecord:
    """What the recording of one call has noted.

    Attributes:
        grid: of the patches.
        keep: whether places and features are kept, too.
    """

    grid: Grid
    keep: bool
    _looks: dict[str, Tensor] = field(default_factory=dict)  # [frame, y * x, frame]
    _features: Tensor | None = None  # [frame, dim, y, x]

    def inside(self) -> VideoInside:
        """What was noted, as arrays."""
        frames = torch.stack([looks.mean(1) for looks in self._looks.values()]).cpu().numpy()
        if not self.keep or self._features is None:
            return VideoInside(tuple(self._looks), frames)
        places = torch.stack(list(self._looks.values())).mean(0).unflatten(1, self.grid[1:])
        return VideoInside(
            tuple(self._looks), frames, coarse(places.permute(0, 3, 1, 2)).transpose(2, 3, 0, 1),
            coarse(self._features), same_place=False,
        )  # fmt: skip


class _FrameShares:
    """An attention layer whose values say which frame they come from, and whose outputs are left as they are.

    Run through the library's own processor, it gives each patch's attention summed up over the patches of
    every frame, without a matrix of all pairs.
    """

    fused_projections = False

    def __init__(self, attn: Any, grid: Grid) -> None:
        self._attn = attn
        self._frames, self._places = grid[0], grid[1] * grid[2]
        self.to_out = (nn.Identity(), nn.Identity())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._attn, name)

    def to_v(self, hidden: Tensor) -> Tensor:
        """`[sample, patch, heads * dim]`: in every head, one at the place of the patch's frame."""
        width = hidden.shape[-1] // self._attn.heads
        if width < self._frames:
            raise ValueError(f"a head of {width} numbers cannot tell {self._frames} frames apart")
        own = torch.eye(self._frames, width, device=hidden.device, dtype=hidden.dtype)
        rows = own.repeat_interleave(self._places, 0).repeat(1, self._attn.heads)
        return rows.expand(len(hidden), -1, -1)


class PatchProcessor:
    """A self-attention processor of the library that notes where frames look, or keeps frames apart."""

    def __init__(
        self, processor: Any, layer: str, grid: Grid, record: PatchAttentionRecord | None, motion: bool
    ) -> None:
        self.processor, self.layer, self.grid, self.record, self.motion = (
            processor,
            layer,
            grid,
            record,
            motion,
        )

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        out: Tensor
        if not self.motion:
            frames = self.grid[0]
            turned = tuple(x.unflatten(1, (frames, -1))[0] for x in rotary_emb) if rotary_emb else None
            apart = hidden_states.unflatten(1, (frames, -1)).flatten(0, 1)
            out = self.processor(attn, apart, None, None, turned)
            return out.unflatten(0, (-1, frames)).flatten(1, 2)
        out = self.processor(attn, hidden_states, encoder_hidden_states, attention_mask, rotary_emb)
        if self.record is not None:
            looks = self.processor(_FrameShares(attn, self.grid), hidden_states, None, None, rotary_emb)[0]
            frames = self.grid[0]
            shares = looks.unflatten(-1, (attn.heads, -1))[..., :frames].float().mean(1)
            self.record._looks[self.layer] = shares.unflatten(0, (frames, -1))
        return out


@contextmanager
def recording_patches(
    transformer: Any, shape: tuple[int, ...], *, look: bool, keep: bool, motion: bool
) -> Iterator[PatchAttentionRecord | None]:
    """Let a Wan transformer be recorded for one call; everything is put back, whatever happens.

    Args:
        transformer: a diffusers `WanTransformer3DModel`.
        shape: of the latents, `[1, channel, frame, y, x]`.
        look: note how much the patches of a frame look at each frame.
        keep: note it for every place, and the features of a middle block, too.
        motion: False lets each patch look at those of its own frame alone.

    Yields:
        What is noted; None if nothing is.
    """
    sizes = zip(shape[2:], transformer.config.patch_size, strict=True)
    frames, height, width = (side // patch for side, patch in sizes)
    grid = (frames, height, width)
    record = PatchAttentionRecord(grid, keep) if look and motion else None
    with ExitStack() as stack:
        for i, block in enumerate(transformer.blocks if record or not motion else ()):
            attn = block.attn1
            stack.callback(attn.set_processor, attn.processor)
            attn.set_processor(PatchProcessor(attn.processor, f"blocks.{i}", grid, record, motion))
        if record and keep:
            middle = transformer.blocks[2 * len(transformer.blocks) // 3]
            stack.callback(middle.register_forward_hook(_note_features(record)).remove)
        yield record


def _note_features(record: PatchAttentionRecord) -> Callable[..., None]:
    def note(module: nn.Module, inputs: object, out: Tensor) -> None:
        record._features = out[0].unflatten(0, record.grid).permute(0, 3, 1, 2)

    return note
