"""Instruments in a model of films: they note how frames look at each other, and can keep frames apart.

With them out, the model is the library's, untouched. While they only look, its output stays the same to
the bit.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.image.recorder import RecordingProcessor, attention_of, block_of
from pipelines.video.motion_unet import motion_modules

MAX_SIDE = 16  # cells of places and features; finer grids are averaged


@dataclass(frozen=True, eq=False)
class VideoInside:
    """How the frames looked at each other in one step, in the branch with the prompt.

    Attributes:
        blocks: names of the blocks with attention between frames, in the order of computation.
        frames: `[block, frame, frame]` float32: how much a frame (row) looks at each frame (column), averaged
            over layers, heads and places; rows sum to one.
        places: `[y, x, frame, frame]` float16, the same for each place of the finest grid, averaged over its
            layers and to at most 16 cells a side; None in steps where it is not kept.
        features: `[frame, dim, y, x]` float16, what the model makes of each place; None where not kept.
        same_place: whether a place looks at the same place of the other frames alone, as motion modules do;
            otherwise `places` sums up all places of a frame.
    """

    blocks: tuple[str, ...]
    frames: np.ndarray
    places: np.ndarray | None = None
    features: np.ndarray | None = None
    same_place: bool = True


@dataclass
class VideoAttentionRecord:
    """What the recording of one call has noted.

    Attributes:
        branches: films in the call; the last one has the prompt.
        cells: height and width of the latents.
        keep: whether places and features are kept, too.
    """

    branches: int
    cells: tuple[int, int]
    keep: bool
    _frames: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))  # [frame, frame]
    _places: list[Tensor] = field(default_factory=list)  # [y * x, frame, frame]
    _features: Tensor | None = None  # [frame, dim, y, x]

    def note(self, layer: str, looks: Tensor) -> None:
        """Keep what a layer did in the branch with the prompt; `looks` is `[place, frame, frame]`."""
        self._frames[block_of(layer)].append(looks.mean(0))
        if self.keep and len(looks) == self.cells[0] * self.cells[1]:
            self._places.append(looks)

    def prompt_of(self, states: Tensor) -> Tensor:
        """The part of `[branch * place, ...]` that belongs to the branch with the prompt."""
        return states.unflatten(0, (self.branches, -1))[-1]

    def inside(self) -> VideoInside:
        """What was noted, as arrays."""
        frames = np.stack([torch.stack(found).mean(0).cpu().numpy() for found in self._frames.values()])
        if not self._places or self._features is None:
            return VideoInside(tuple(self._frames), frames)
        places = torch.stack(self._places).mean(0).unflatten(0, self.cells).permute(2, 3, 0, 1)
        return VideoInside(
            tuple(self._frames), frames, coarse(places).transpose(2, 3, 0, 1), coarse(self._features)
        )


def coarse(maps: Tensor) -> np.ndarray:
    """`[a, b, y, x]` averaged down to at most `MAX_SIDE` cells; a rest at the edges is left out."""
    factor = -(-max(maps.shape[-2:]) // MAX_SIDE)
    return F.avg_pool2d(maps.float(), factor).half().cpu().numpy()


def _note_looks(record: VideoAttentionRecord, layer: str) -> Callable[..., Tensor]:
    def watch(attn: Any, hidden: Tensor, context: Tensor | None, mask: Tensor | None, out: Tensor) -> Tensor:
        record.note(layer, attention_of(attn, record.prompt_of(hidden), context, mask))
        return out

    return watch


@contextmanager
def recording_video(
    unet: Any, branches: int, cells: tuple[int, int], *, look: bool, keep: bool, motion: bool
) -> Iterator[VideoAttentionRecord | None]:
    """Let a U-Net for films be recorded for one call; everything is put back, whatever happens.

    Args:
        unet: a diffusers `UNetMotionModel`.
        branches: films in the call.
        cells: height and width of the latents.
        look: note how frames look at each other; nothing to see where they do not.
        keep: note places and features, too.
        motion: False leaves every frame alone: the motion modules are passed over.

    Yields:
        What is noted; None if nothing is.
    """
    modules = motion_modules(unet)
    record = VideoAttentionRecord(branches, cells, keep) if look and motion else None
    with ExitStack() as stack:
        for name, module in modules.items():
            if not motion:
                module.forward = _passed_over  # type: ignore[method-assign]
                stack.callback(delattr, module, "forward")  # the class's own is back
            if record:
                for layer, attn in _layers(name, module):
                    stack.callback(attn.set_processor, attn.processor)
                    attn.set_processor(RecordingProcessor(attn.processor, _note_looks(record, layer)))
        if record and keep:
            stack.callback(unet.up_blocks[-1].register_forward_hook(_note_features(record)).remove)
        yield record


def _layers(name: str, module: nn.Module) -> Iterator[tuple[str, Any]]:
    """The attention layers of a motion module with their full names."""
    for path, part in module.named_modules():
        if path.endswith(("attn1", "attn2")):
            yield f"{name}.{path}", part


def _passed_over(hidden_states: Tensor, *args: object, **kwargs: object) -> Tensor:
    return hidden_states


def _note_features(record: VideoAttentionRecord) -> Callable[..., None]:
    def note(module: nn.Module, inputs: object, out: Tensor) -> None:
        record._features = out.unflatten(0, (record.branches, -1))[-1]

    return note
