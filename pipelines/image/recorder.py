"""Instruments in a U-Net: they note where cross-attention looks, and can switch parts of it off.

With them out, the U-Net is the library's, untouched. While they only look, its output stays the same to
the bit: what they need is computed beside the model's own kernels.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.image.request import AttentionMaps, Inside
from pipelines.image.steering import Steering
from pipelines.serving.errors import InputError

MAX_SIDE = 32  # cells of a map; finer ones are averaged
NAN = float("nan")


@dataclass(frozen=True)
class RecordedRun:
    """One run in a batch.

    Attributes:
        ends: place of the end token in each of its branches.
        steering: its levers.
        look: whether to note what happens inside.
    """

    ends: tuple[int, ...]
    steering: Steering
    look: bool


def block_of(layer: str) -> str:
    """The block that a layer is in: "up_blocks.1" of "up_blocks.1.attentions.0…"."""
    parts = layer.split(".")
    return parts[0] if parts[0] == "mid_block" else ".".join(parts[:2])


@dataclass(frozen=True)
class Layout:
    """Names of a U-Net's parts, in the order of computation.

    Attributes:
        blocks: all blocks.
        layers: cross-attention layers.
        norms: for each layer, the norm that reads the activations to which its output is added.
        times: name of each projection of the time embedding, and its block.
    """

    blocks: tuple[str, ...]
    layers: tuple[str, ...]
    norms: tuple[str, ...]
    times: tuple[tuple[str, str], ...]

    @property
    def steered_blocks(self) -> tuple[str, ...]:
        """Blocks that have cross-attention."""
        return tuple(dict.fromkeys(block_of(layer) for layer in self.layers))


_layouts: WeakKeyDictionary[nn.Module, Layout] = WeakKeyDictionary()  # walking a U-Net takes ms


def layout_of(unet: Any) -> Layout:
    """The names of a U-Net's parts."""
    if unet not in _layouts:
        down = [f"down_blocks.{i}" for i in range(len(unet.down_blocks))]
        up = [f"up_blocks.{i}" for i in range(len(unet.up_blocks))]
        blocks = (*down, *(["mid_block"] if unet.mid_block is not None else []), *up)
        names = [name for name, _ in unet.named_modules()]
        names = sorted((n for n in names if block_of(n) in blocks), key=lambda n: blocks.index(block_of(n)))
        layers = tuple(name for name in names if name.endswith(".attn2"))
        times = tuple((name, block_of(name)) for name in names if name.endswith(".time_emb_proj"))
        norms = tuple(layer.removesuffix("attn2") + "norm2" for layer in layers)
        _layouts[unet] = Layout(blocks, layers, norms, times)
    return _layouts[unet]


def check_blocks(unet: Any, names: Sequence[str]) -> None:
    """Refuse blocks that a U-Net does not have, or that have no cross-attention to switch off.

    Raises:
        InputError: `block_unknown`.
    """
    known = layout_of(unet).steered_blocks
    for name in names:
        if name not in known:
            raise InputError("block_unknown", received=name, known=", ".join(known))


def per_block(blocks: Sequence[str], value: Callable[[str, int], float], run: int) -> np.ndarray:
    """`[block]` float32 a value of one run."""
    return np.array([value(block, run) for block in blocks], np.float32)


@dataclass
class AttentionRecord:
    """What the recording of one U-Net call has noted, for all runs of the batch.

    Attributes:
        subjects: the runs; each has as many samples in the batch as branches, one after the other.
        cells: height and width of the latents.
    """

    subjects: Sequence[RecordedRun]
    cells: tuple[int, int]
    _maps: dict[str, Tensor] = field(default_factory=dict)  # [sample, y * x, key]
    _streams: dict[str, Tensor] = field(default_factory=dict)  # [sample]
    _added: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))  # [sample]
    _outputs: dict[str, Tensor] = field(default_factory=dict)  # [2, run]: difference, reference
    _times: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))  # [sample, dim]

    @property
    def branches(self) -> int:
        return len(self.subjects[0].ends)

    @property
    def looks(self) -> bool:
        return any(subject.look for subject in self.subjects)

    def encoder_mask(self, keys: int) -> Tensor | None:
        """`[sample, key]`, 0 at the places hidden from the prompt's branch; None where nothing is."""
        if not any(subject.steering.places_hidden for subject in self.subjects):
            return None
        mask = torch.ones(len(self.subjects), self.branches, keys, dtype=torch.float32)
        for i, subject in enumerate(self.subjects):
            mask[i, -1, list(subject.steering.places_hidden)] = 0
        return mask.flatten(0, 1)

    def kept(self, block: str) -> Tensor | None:
        """`[sample, 1, 1]`, 0 for runs whose cross-attention is off in a block; None where none is."""
        off = [block in subject.steering.blocks_off for subject in self.subjects]
        if not any(off):
            return None
        return (~torch.tensor(off)).float().repeat_interleave(self.branches)[:, None, None]

    def inside_of(self, index: int, blocks: Sequence[str]) -> Inside | None:
        """What was noted of one run; None where it did not ask."""
        if not self.subjects[index].look:
            return None
        return Inside(
            blocks=tuple(blocks),
            maps=tuple(self._maps_of(layer, index) for layer in self._maps),
            text_effect=per_block(blocks, self._text_effect, index),
            attention_effect=per_block(blocks, self._attention_effect, index),
            time_effect=per_block(blocks, self._time_effect, index),
            text_in_time=per_block(blocks, self._text_in_time, index),
        )

    def _maps_of(self, layer: str, index: int) -> AttentionMaps:
        ends, looks = self.subjects[index].ends, self._maps[layer]
        grid, first = _grid(looks.shape[1], self.cells), index * self.branches
        found = [_picture(looks[first + branch], end, grid) for branch, end in enumerate(ends)]
        return AttentionMaps(layer, block_of(layer), grid, found[-1], found[0] if len(found) == 2 else None)

    def _text_effect(self, block: str, index: int) -> float:
        if self.branches == 1:
            return NAN
        difference, reference = self._outputs[block][:, index].tolist()
        return difference / max(reference, 1e-12)

    def _attention_effect(self, block: str, index: int) -> float:
        shares = [values[(index + 1) * self.branches - 1] for values in self._added.get(block, ())]
        return float(torch.stack(shares).mean()) if shares else NAN

    def _time_effect(self, block: str, index: int) -> float:
        last = (index + 1) * self.branches - 1
        values = [time[last].square().mean().sqrt() for time in self._times.get(block, ())]
        return float(torch.stack(values).mean()) if values else NAN

    def _text_in_time(self, block: str, index: int) -> float:
        if self.branches == 1:
            return NAN
        first = index * self.branches
        values = [
            (time[first + 1] - time[first]).square().mean().sqrt() for time in self._times.get(block, ())
        ]
        return float(torch.stack(values).mean()) if values else NAN


def _picture(looks: Tensor, end: int, grid: tuple[int, int]) -> np.ndarray:
    """Attention of one branch as maps: `[y * x, key]` to `[end + 2, y, x]` float16, padding added up."""
    height, width = grid
    rows = torch.cat([looks[:, : end + 1], looks[:, end + 1 :].sum(1, keepdim=True)], 1)
    maps = rows.T.reshape(-1, height, width)
    factor = -(-max(height, width) // MAX_SIDE)
    if factor > 1:
        maps = F.avg_pool2d(maps[None], factor, ceil_mode=True, count_include_pad=False)[0]
    return maps.half().cpu().numpy()


def _grid(count: int, cells: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a layer that has `count` cells; each level halves the latents, rounding up."""
    height, width = cells
    while height * width > count:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    if height * width != count:
        raise ValueError(f"{count} cells are no level of {cells}")
    return height, width


class RecordingProcessor:
    """An attention processor of the library that somebody watches.

    Args:
        processor: of the library; it computes what the layer gives.
        watch: told the layer, its activations, its context, its mask and what it gives; returns the latter.
    """

    def __init__(self, processor: Any, watch: Callable[..., Tensor]) -> None:
        self.processor, self.watch = processor, watch

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        out = self.processor(attn, hidden_states, encoder_hidden_states, attention_mask, *args, **kwargs)
        return self.watch(attn, hidden_states, encoder_hidden_states, attention_mask, out)


def _note_looks(record: AttentionRecord, layer: str) -> Callable[..., Tensor]:
    def watch(attn: Any, hidden: Tensor, context: Tensor | None, mask: Tensor | None, out: Tensor) -> Tensor:
        kept = record.kept(block_of(layer))
        if record.looks:
            record._maps[layer] = attention_of(attn, hidden, context, mask)
        return out if kept is None else out * kept.to(out)

    return watch


def attention_of(attn: Any, hidden: Tensor, context: Tensor | None, mask: Tensor | None) -> Tensor:
    """Attention weights of a layer, averaged over its heads, by the library's own softmax.

    Args:
        attn: a diffusers attention layer.
        hidden: `[sample, query, dim]`.
        context: `[sample, key, dim]`, or None for self-attention.
        mask: as the layer gets it, or None.

    Returns:
        `[sample, query, key]`, rows sum to one.

    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
    """
    context = hidden if context is None else context
    if attn.norm_cross:
        context = attn.norm_encoder_hidden_states(context)
    query, key = attn.to_q(hidden), attn.to_k(context)
    if mask is not None:
        mask = attn.prepare_attention_mask(mask, key.shape[1], len(query))
    scores = attn.get_attention_scores(*(attn.head_to_batch_dim(x).contiguous() for x in (query, key)), mask)
    return scores.unflatten(0, (len(query), attn.heads)).mean(1).float()


@contextmanager
def recording(
    unet: Any, subjects: Sequence[RecordedRun], cells: tuple[int, int]
) -> Iterator[AttentionRecord]:
    """Let a U-Net be recorded for one call; everything is put back, whatever happens.

    Args:
        unet: a diffusers `UNet2DConditionModel`.
        subjects: the runs of the batch.
        cells: height and width of the latents.
    """
    record, layout = AttentionRecord(subjects, cells), layout_of(unet)
    with ExitStack() as stack:

        def hook(name: str, call: Callable[..., Any]) -> None:
            stack.callback(unet.get_submodule(name).register_forward_hook(call).remove)

        for layer, norm in zip(layout.layers, layout.norms, strict=True):
            attn = unet.get_submodule(layer)
            stack.callback(attn.set_processor, attn.processor)
            attn.set_processor(RecordingProcessor(attn.processor, _note_looks(record, layer)))
            if record.looks:
                hook(norm, _note_stream(record, layer))
                hook(layer, _note_added(record, layer))
        if record.looks:
            for block in layout.blocks:
                hook(block, _note_output(record, block))
            for name, block in layout.times:
                hook(name, _note_time(record, block))
        if not all(s.steering.text_in_time for s in subjects) and unet.config.addition_embed_type == "text":
            hook("add_embedding", _drop_text_from_time(record))
        yield record


def _note_stream(record: AttentionRecord, layer: str) -> Callable[..., None]:
    def note(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        record._streams[layer] = _lengths(inputs[0])

    return note


def _note_added(record: AttentionRecord, layer: str) -> Callable[..., None]:
    """How long the vectors are that cross-attention adds, relative to what they are added to."""

    def note(module: nn.Module, inputs: object, out: Tensor) -> None:
        record._added[block_of(layer)].append(_lengths(out) / record._streams[layer].clamp(min=1e-12))

    return note


def _note_time(record: AttentionRecord, block: str) -> Callable[..., None]:
    def note(module: nn.Module, inputs: object, out: Tensor) -> None:
        record._times[block].append(out)

    return note


def _note_output(record: AttentionRecord, block: str) -> Callable[..., None]:
    """How much a block's output differs between the branches."""

    def note(module: nn.Module, inputs: object, out: Tensor | tuple[Tensor, ...]) -> None:
        hidden = out[0] if isinstance(out, tuple) else out
        if record.branches == 2:
            empty, prompt = hidden.unflatten(0, (-1, 2)).unbind(1)
            record._outputs[block] = torch.stack([_lengths(prompt - empty), _lengths(empty)])

    return note


def _lengths(values: Tensor) -> Tensor:
    """Euclidean length of each sample, `[sample]`."""
    return values.flatten(1).float().norm(dim=1)


def _drop_text_from_time(record: AttentionRecord) -> Callable[..., Tensor]:
    """The time embedding hears the empty prompt in the prompt's branch, too."""

    def replaced(module: nn.Module, inputs: object, out: Tensor) -> Tensor:
        runs = out.unflatten(0, (-1, record.branches)).clone()
        for i, subject in enumerate(record.subjects):
            if not subject.steering.text_in_time:
                runs[i, -1] = runs[i, 0] if record.branches == 2 else 0
        return runs.flatten(0, 1)

    return replaced
