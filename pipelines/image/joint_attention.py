"""Who looks at whom while a transformer draws: words and picture, layer by layer and step by step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.image.request import Inside, JointAttention, TextRow, Trace
from pipelines.serving.errors import InputError

WORDS, PICTURE = 0, 1  # of the two axes of shares


@dataclass(frozen=True, eq=False)
class WhoLooks:
    """Shares of all attention.

    Attributes:
        layers: names, in the order of computation.
        shares: `[layer, step, looker, looked at]` float32, each axis words first and picture second; the four
            of a layer and step sum to one. Where text does not look, its two are NaN.
    """

    layers: tuple[str, ...]
    shares: np.ndarray

    @property
    def by_looker(self) -> np.ndarray:
        """The same, the two of each looker made to sum to one: where it looks, however many it is."""
        return self.shares / self.shares.sum(-1, keepdims=True)


@dataclass(frozen=True, eq=False)
class WordMaps:
    """Where each token of the text is in the picture, by attention and by the layers' output.

    Attributes:
        rows: what the rows of the maps are, marks and padding included.
        steps: those that are shown: all that read the same text as the first.
        layers: names of those that were averaged.
        looked_at: `[step, row, y, x]` float32 share of a patch's attention that goes to a row.
        looking: `[step, row, y, x]` float32 share of a row's attention that goes to a patch; None where text
            does not look.
        output: `[step, row, y, x]` float32 how alike the output vectors of patch and row are, 0..1; sums to
            one over the rows of an encoder. None where text does not look.
    """

    rows: tuple[TextRow, ...]
    steps: tuple[int, ...]
    layers: tuple[str, ...]
    looked_at: np.ndarray
    looking: np.ndarray | None
    output: np.ndarray | None

    def word(self, rows: Sequence[int], by_output: bool = False) -> np.ndarray:
        """`[y, x]` the maps of a word's tokens added up, averaged over steps.

        Args:
            rows: places of its tokens in `rows`.
            by_output: by the layers' output vectors instead of their attention.

        Raises:
            InputError: `joint_not_traced` where there is no such map.
        """
        maps = self.output if by_output else self.looked_at
        if maps is None:
            raise InputError("joint_not_traced")
        summed: np.ndarray = maps[:, list(rows)].sum(1).mean(0)
        return summed


@dataclass(frozen=True, eq=False)
class WordChanges:
    """How much each block changes the vectors of the text, which a U-Net's blocks never do.

    Attributes:
        rows: what the rows are.
        blocks: names, in the order of computation.
        steps: those that are shown: all that read the same text as the first.
        changes: `[block, step, row]` length of what is added to a vector, relative to it; NaN where the block
            adds nothing that is read later.
    """

    rows: tuple[TextRow, ...]
    blocks: tuple[str, ...]
    steps: tuple[int, ...]
    changes: np.ndarray


def has_joint(trace: Trace | None) -> bool:
    """Whether a run noted joint attention."""
    return trace is not None and all(step.inside and step.inside.joint for step in trace.steps)


def who_looks(trace: Trace) -> WhoLooks:
    """The four shares of every layer and step of a run.

    Raises:
        InputError: `joint_not_traced` if the run did not note joint attention.
    """
    insides = _insides(trace)
    shares = np.array([[layer.shares for layer in inside.joint] for inside in insides], np.float32)
    return WhoLooks(tuple(layer.layer for layer in insides[0].joint), shares.swapaxes(0, 1))


def word_maps(trace: Trace, blocks: Sequence[str] | None = None) -> WordMaps:
    """The maps of a run's text, averaged over layers.

    Args:
        trace: of a run with `look_inside`.
        blocks: names of the blocks whose layers are averaged; None for all.

    Raises:
        InputError: `joint_not_traced` if the run did not note joint attention, or none in those blocks.

    Source: Helbling et al. 2025 (ConceptAttention), arXiv:2502.04320, section 4: both kinds of map, averaged
        over layers.
    """
    steps, insides = _of_one_text(trace)
    chosen = [[j for j in inside.joint if blocks is None or j.block in blocks] for inside in insides]
    if not chosen[0]:
        raise InputError("joint_not_traced")
    return WordMaps(
        insides[0].rows,
        steps,
        tuple(layer.layer for layer in chosen[0]),
        np.stack([np.mean([j.looked_at for j in some], axis=0, dtype=np.float32) for some in chosen]),
        _mean(chosen, "looking"),
        _mean(chosen, "output"),
    )


def word_changes(trace: Trace) -> WordChanges:
    """How much each block changes the text's vectors, in every step.

    Raises:
        InputError: `joint_not_traced` if the run did not note it.
    """
    steps, insides = _of_one_text(trace)
    changes = [inside.word_changes for inside in insides if inside.word_changes is not None]
    if not changes:
        raise InputError("joint_not_traced")
    return WordChanges(insides[0].rows, insides[0].blocks, steps, np.stack(changes, axis=1))


def _insides(trace: Trace) -> list[Inside]:
    found = [step.inside for step in trace.steps if step.inside is not None and step.inside.joint]
    if not found or len(found) < len(trace.steps):
        raise InputError("joint_not_traced")
    return found


def _of_one_text(trace: Trace) -> tuple[tuple[int, ...], list[Inside]]:
    """Steps that read the same text as the first; a prompt that was swapped has other rows from then on."""
    insides = _insides(trace)
    steps = tuple(i for i, inside in enumerate(insides) if inside.rows == insides[0].rows)
    return steps, [insides[i] for i in steps]


def _mean(steps: Sequence[Sequence[JointAttention]], name: str) -> np.ndarray | None:
    """`[step, row, y, x]` float32 of the layers' maps, averaged; None where a layer has none."""
    maps = [[getattr(layer, name) for layer in layers] for layers in steps]
    if any(m is None for layers in maps for m in layers):
        return None
    return np.stack([np.mean(layers, axis=0, dtype=np.float32) for layers in maps])
