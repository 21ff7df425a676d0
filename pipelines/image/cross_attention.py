"""Where each word is looked at while a picture is drawn, and what happens when it cannot be looked at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.stats import spearmanr

from pipelines.image.image import decode_steps, draw_together, picture_change
from pipelines.image.request import AttentionMaps, DenoiseStep, ImageRequest, Inside, Trace
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.errors import InputError
from pipelines.text.pieces import Piece, first_word
from pipelines.text.tokens import token_view
from pipelines.world.captions import phrases

MAX_HIDDEN = 16  # tokens that are hidden one by one; a longer prompt's later ones are left out
ALL = "all"


@dataclass(frozen=True, eq=False)
class TokenMaps:
    """Where each token was looked at in each step.

    Attributes:
        pieces: the tokens from start to end; the last row of `maps` is all padding behind them.
        layers: number of cross-attention layers that were averaged.
        maps: `[step, row, y, x]` float32 shares of attention; the rows of each cell sum to one.
    """

    pieces: tuple[Piece, ...]
    layers: int
    maps: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """`[row]` share of all attention that each row got, on average over steps and cells."""
        return self.maps.mean((0, 2, 3))


@dataclass(frozen=True, eq=False)
class TraceMaps:
    """The maps of a run, by groups of layers.

    Attributes:
        groups: by name: `ALL`, "16×16" for the layers of a resolution, "up_blocks.1" for those of a block.
    """

    groups: dict[str, TokenMaps]

    @property
    def finest(self) -> TokenMaps:
        """The layers that work on the finest grid, where outlines are."""
        return self.groups[self.finest_name]

    @property
    def finest_name(self) -> str:
        """Name of the finest grid."""
        return max((name for name in self.groups if "×" in name), key=_cells)


def _cells(grid: str) -> int:
    height, width = grid.split("×")
    return int(height) * int(width)


def has_maps(trace: Trace | None) -> bool:
    """Whether a trace's run noted its attention."""
    return trace is not None and all(step.inside and step.inside.maps for step in trace.steps)


def trace_maps(trace: Trace, negative: bool = False) -> TraceMaps:
    """The attention of a run, token by token and step by step.

    Args:
        trace: of a run with `look_inside`.
        negative: of the branch with the negative or empty prompt instead of the prompt's.

    Raises:
        InputError: `attention_not_traced` if the run did not look inside, or has no such branch.
    """
    request = trace.request
    prompt = request.negative_prompt if negative else request.prompt
    return grouped([step.inside for step in trace.steps], read_pieces(prompt, request.model), negative)


def read_pieces(prompt: str, model: str) -> tuple[Piece, ...]:
    """The tokens that a picture model is fed, from start to end."""
    return token_view(prompt, model).fed


def grouped(insides: Sequence[Inside | None], pieces: tuple[Piece, ...], negative: bool = False) -> TraceMaps:
    """Maps of every step, by groups of layers.

    Args:
        insides: of each step.
        pieces: the tokens whose rows the maps have.
        negative: of the branch with the negative or empty prompt instead of the prompt's.

    Raises:
        InputError: `attention_not_traced` if a step did not look inside, or has no such branch.
    """
    chosen = [_branch(inside, negative) for inside in insides]
    first = insides[0]
    assert first is not None  # or `_branch` would have refused it
    names: dict[str, list[int]] = {ALL: list(range(len(first.maps)))}
    for i, layer in enumerate(first.maps):
        names.setdefault("{}×{}".format(*layer.grid), []).append(i)
    for i, layer in enumerate(first.maps):
        names.setdefault(layer.block, []).append(i)
    groups = {
        name: TokenMaps(pieces, len(indices), _averaged([[step[i] for i in indices] for step in chosen]))
        for name, indices in names.items()
    }
    return TraceMaps(groups)


def _branch(inside: Inside | None, negative: bool) -> list[np.ndarray]:
    """`[row, y, x]` of every layer."""
    maps: Sequence[AttentionMaps] = inside.maps if inside else ()
    found = [layer.empty if negative else layer.prompt for layer in maps]
    if not found or any(m is None for m in found):
        raise InputError("attention_not_traced")
    return [m for m in found if m is not None]


@on_compute_thread
@torch.inference_mode()
def _averaged(steps: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Layers of every step, each `[row, y, x]`, averaged on the finest of their grids.

    Source: Tang et al. 2023 (DAAM), arXiv:2210.04885, section 2.2, which adds up resized maps as well.
    """
    height, width = max(m.shape[1:] for m in steps[0])
    out = []
    for layers in steps:
        resized = [
            F.interpolate(torch.from_numpy(m).float()[None], (height, width), mode="bilinear")[0]
            for m in layers
        ]
        mean = torch.stack(resized).mean(0)
        out.append(mean / mean.sum(0, keepdim=True).clamp(min=1e-6))
    return torch.stack(out).numpy()


@dataclass(frozen=True, eq=False)
class HiddenTokens:
    """What a picture loses when cross-attention cannot look at one of its tokens.

    Attributes:
        places: `[token]` place of the token that was hidden.
        pieces: those tokens.
        shares: `[token]` share of attention it got in the run with all tokens, 0..1.
        changes: `[token]` mean absolute difference to that run's picture, 0..255.
        images: one picture each.
        reference: the picture with all tokens.
    """

    places: np.ndarray
    pieces: tuple[Piece, ...]
    shares: np.ndarray
    changes: np.ndarray
    images: tuple[Image.Image, ...]
    reference: Image.Image

    @property
    def rank_correlation(self) -> float:
        """Spearman's, of attention and effect, -1..1; NaN where all tokens are alike in one of them."""
        if len(self.places) < 3 or np.ptp(self.shares) == 0 or np.ptp(self.changes) == 0:
            return float("nan")
        return float(spearmanr(self.shares, self.changes).statistic)


def hide_tokens(
    request: ImageRequest, on_step: Callable[[tuple[DenoiseStep, ...]], None] | None = None
) -> HiddenTokens:
    """Draw a picture once with all tokens, and once without looking at each of them, as one batch.

    The tokens are hidden from cross-attention alone. What text there is in a time embedding, and what other
    tokens have read of the hidden one, stays.

    Args:
        request: checked here; its own levers stay as they are.
        on_step: called with the steps of all runs, the one with all tokens first; an exception it raises
            stops them.

    Raises:
        InputError: what `pipelines.image.image.generate` raises.
    """
    batch = HiddenBatch(request)

    def note(steps: tuple[DenoiseStep, ...]) -> None:
        batch.add(steps)
        if on_step:
            on_step(steps)

    return batch.finish(draw_together(batch.requests, note))


class HiddenBatch:
    """The runs of `hide_tokens`, and where the first of them has looked so far.

    Args:
        request: checked here; its own levers stay as they are.

    Attributes:
        requests: all tokens first, then without each of `places`.
        places: `[token]` of the tokens that are hidden.
        pieces: those tokens.
    """

    def __init__(self, request: ImageRequest) -> None:
        request = request.validated()
        self._all_pieces = read_pieces(request.prompt, request.model)
        self.places = list(range(len(self._all_pieces)))[:MAX_HIDDEN]
        self.pieces = tuple(self._all_pieces[place] for place in self.places)
        self.requests = [replace(request, look_inside=True)]
        for place in self.places:
            hidden = tuple({*request.steering.places_hidden, place})
            self.requests.append(replace(request, steering=replace(request.steering, places_hidden=hidden)))
        self._insides: list[Inside | None] = []

    def add(self, steps: Sequence[DenoiseStep]) -> None:
        """Note where the run with all tokens looked in a step."""
        self._insides.append(steps[0].inside)

    def finish(self, steps: Sequence[DenoiseStep]) -> HiddenTokens:
        """Decode and compare the last steps of the runs."""
        reference, *images = decode_steps(steps, self.requests[0].model)
        shares = grouped(self._insides, self._all_pieces).groups[ALL].shares
        return HiddenTokens(
            np.array(self.places),
            self.pieces,
            shares[self.places],
            np.array([picture_change(image, reference) for image in images]),
            tuple(images),
            reference,
        )


def first_thing(pieces: Sequence[Piece]) -> int:
    """The row of a map to begin with: the first thing of the classroom world, else `first_word`."""
    things = (i for i, piece in enumerate(pieces) if piece.word >= 0
              and any(found.kind == "noun" for found in phrases(piece.text)))  # fmt: skip
    return next(things, first_word(pieces))
