"""Training of EnCodec's codebooks, which transformers' `EncodecModel` can use but not learn.

The codebooks are the model's own buffers; what is learned here is what the plain model then reads.

Source: Défossez et al. 2022, arXiv:2210.13438, section 3.2; van den Oord et al. 2017,
arXiv:1711.00937, appendix A.1; Zeghidour et al. 2021 (SoundStream), arXiv:2107.03312, section III-C.
"""

from typing import Any

import torch
from torch import Tensor

from training import together

DECAY = 0.99
DEAD = 0.1  # share of the mean number of vectors below which a code is put where vectors are
_EPSILON = 1e-5


def counted(codes: Tensor, size: int = 256) -> Tensor:
    """How often each code of each book occurs in `[clip, book, frame]` codes, `[book, code]`."""
    return torch.stack([torch.bincount(book.flatten(), minlength=size) for book in codes.transpose(0, 1)])


def codebooks_of(model: Any) -> list[Any]:
    """The codebooks of an `EncodecModel`, the coarsest first."""
    return [layer.codebook for layer in model.quantizer.layers]


@torch.no_grad()
def kmeans(vectors: Tensor, count: int, rounds: int = 15) -> tuple[Tensor, Tensor]:
    """Centres `[count, dim]` of `[vector, dim]`, and how many vectors each has, `[count]`."""
    centres = vectors[torch.randperm(len(vectors), device=vectors.device)[:count]].clone()
    for _ in range(rounds):
        nearest = torch.cdist(vectors, centres).argmin(1)
        counts, sums = _totals(vectors, nearest, count)
        found = counts > 0
        centres[found] = sums[found] / counts[found, None]
        lost = int((~found).sum())
        if lost:
            centres[~found] = vectors[torch.randint(len(vectors), (lost,), device=vectors.device)]
    return centres, counts


@torch.no_grad()
def start(model: Any, vectors: Tensor) -> None:
    """Put the codebooks where the encoder's vectors are, in place: each on what the ones before leave.

    Args:
        vectors: `[vector, dim]` outputs of the encoder, several for each code.
    """
    residual = vectors
    for book in codebooks_of(model):
        centres, counts = kmeans(residual, book.codebook_size)
        book.embed.copy_(centres)
        book.cluster_size.copy_(counts / counts.mean())  # light, since the encoder soon moves on
        book.embed_avg.copy_(book.embed * book.cluster_size[:, None])
        residual = residual - centres[torch.cdist(residual, centres).argmin(1)]


def quantise(model: Any, vectors: Tensor, depth: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
    """Replace vectors by sums of codes; in training mode, move the codes towards what they stand for.

    Args:
        vectors: `[batch, dim, frame]` outputs of the encoder.
        depth: `[batch]` how many codebooks each example uses, or None for all.

    Returns:
        `[batch, dim, frame]` sums of codes, and the codes of each book, `[batch, frame]`.
    """
    flat = vectors.transpose(1, 2)
    residual, total = flat, torch.zeros_like(flat)
    codes = []
    for i, book in enumerate(codebooks_of(model)):
        used = torch.ones(len(flat), device=flat.device) if depth is None else (depth > i).float()
        nearest = book.encode(residual.detach())
        code = book.decode(nearest)
        if model.quantizer.training:
            update(book, residual.detach().flatten(0, 1), nearest.flatten())
        code = code * used[:, None, None]
        residual, total = residual - code, total + code
        codes.append(nearest)
    if model.quantizer.training:
        together.share_weights(model.quantizer)
    return total.transpose(1, 2), codes


def _totals(vectors: Tensor, nearest: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """How many vectors each code has, `[count]`, and their sum, `[count, dim]`."""
    counts = torch.bincount(nearest, minlength=count).to(vectors.dtype)
    return counts, torch.zeros(count, vectors.shape[1], device=vectors.device).index_add_(0, nearest, vectors)


@torch.no_grad()
def update(book: Any, vectors: Tensor, nearest: Tensor) -> None:
    """Move the codes of one book towards the running means of their vectors, in place.

    Codes that hardly any vector chooses are put on vectors of this batch, so that none stays dead.

    Args:
        vectors: `[vector, dim]`.
        nearest: `[vector]` index of each vector's code.
    """
    size = book.codebook_size
    counts, sums = _totals(vectors, nearest, size)
    book.cluster_size.lerp_(counts, 1 - DECAY)
    book.embed_avg.lerp_(sums, 1 - DECAY)
    total = book.cluster_size.sum()
    smoothed = (book.cluster_size + _EPSILON) / (total + size * _EPSILON) * total
    book.embed.copy_(book.embed_avg / smoothed[:, None])
    dead = book.cluster_size < DEAD * len(vectors) / size
    lost = int(dead.sum())
    if lost:
        chosen = vectors[torch.randint(len(vectors), (lost,), device=vectors.device)]
        book.embed[dead] = chosen
        book.cluster_size[dead] = len(vectors) / size
        book.embed_avg[dead] = chosen * (len(vectors) / size)


def perplexity(counts: Tensor) -> Tensor:
    """How many codes are in use, if all were used alike: 2 to the entropy of `[..., code]` counts."""
    shares = counts / counts.sum(-1, keepdim=True)
    return torch.exp(-(shares * torch.log(shares.clamp(min=1e-12))).sum(-1))
