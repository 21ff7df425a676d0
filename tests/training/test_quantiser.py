"""Codebooks that learn: they find clusters, lose no code, and the plain EncodecModel reads them."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from transformers import EncodecConfig, EncodecModel

from training import quantiser
from training.train_codec import CONFIG

TINY = CONFIG | {"codebook_size": 8, "codebook_dim": 4, "hidden_size": 4, "num_filters": 2,
                 "target_bandwidths": [0.6]}  # fmt: skip


@pytest.fixture
def model() -> EncodecModel:
    torch.manual_seed(0)
    return EncodecModel(EncodecConfig(**TINY))


def clusters(count: int, each: int, dim: int = 4, spread: float = 0.05) -> torch.Tensor:
    """`[count * each, dim]` vectors around corners far from each other, shuffled."""
    generator = torch.Generator().manual_seed(1)
    centres = 4 * torch.randn(count, dim, generator=generator)
    points = centres.repeat(each, 1) + spread * torch.randn(count * each, dim, generator=generator)
    return points[torch.randperm(len(points), generator=generator)]


def squared_error(vectors: torch.Tensor, centres: torch.Tensor) -> float:
    return float(torch.cdist(vectors, centres).min(1).values.pow(2).mean())


def test_kmeans_is_about_as_good_as_the_librarys() -> None:
    torch.manual_seed(3)
    vectors = torch.randn(600, 4)
    centres, counts = quantiser.kmeans(vectors, 8)
    theirs = KMeans(8, n_init=4, random_state=0).fit(vectors.numpy())
    assert squared_error(vectors, centres) < 1.1 * theirs.inertia_ / len(vectors)
    assert counts.sum() == len(vectors)


def test_books_start_on_what_the_ones_before_leave(model: EncodecModel) -> None:
    torch.manual_seed(0)
    vectors = torch.randn(2000, 4)
    quantiser.start(model, vectors)
    residual, errors = vectors, [float(vectors.pow(2).mean())]
    for book in quantiser.codebooks_of(model):
        residual = residual - book.decode(book.encode(residual))
        errors.append(float(residual.pow(2).mean()))
    assert all(after < 0.75 * before for before, after in pairwise(errors))


def test_quantising_is_what_the_plain_model_does(model: EncodecModel) -> None:
    torch.manual_seed(0)
    vectors = torch.randn(3, 4, 50)
    quantiser.start(model, vectors.transpose(1, 2).flatten(0, 1))
    model.eval()
    coded, codes = quantiser.quantise(model, vectors)
    theirs = model.quantizer.encode(vectors, 0.6)
    assert torch.equal(torch.stack(codes), theirs)
    torch.testing.assert_close(coded, model.quantizer.decode(theirs))


def test_shallow_examples_use_the_first_books_alone(model: EncodecModel) -> None:
    torch.manual_seed(0)
    vectors = torch.randn(2, 4, 30)
    quantiser.start(model, vectors.transpose(1, 2).flatten(0, 1))
    model.eval()
    coded, codes = quantiser.quantise(model, vectors, torch.tensor([1, len(codes_of(model))]))
    first = quantiser.codebooks_of(model)[0].embed[codes[0][0]]
    torch.testing.assert_close(coded[0].T, first)
    whole, _ = quantiser.quantise(model, vectors)
    torch.testing.assert_close(coded[1], whole[1])


def codes_of(model: EncodecModel) -> list:
    return quantiser.codebooks_of(model)


def test_codes_move_to_the_means_of_their_vectors(model: EncodecModel) -> None:
    book = quantiser.codebooks_of(model)[0]
    vectors = clusters(8, 40)
    centres, counts = quantiser.kmeans(vectors, 8)
    book.embed.copy_(centres + 0.3)
    book.cluster_size.copy_(counts)
    book.embed_avg.copy_(book.embed * counts[:, None])
    for _ in range(1500):
        quantiser.update(book, vectors, book.encode(vectors))
    nearest = book.encode(vectors)
    for code in nearest.unique():
        torch.testing.assert_close(book.embed[code], vectors[nearest == code].mean(0), atol=0.02, rtol=0)


def test_no_code_stays_dead(model: EncodecModel) -> None:
    book = quantiser.codebooks_of(model)[0]
    vectors = clusters(8, 40)
    book.embed.fill_(100.0)  # far from everything
    book.embed[0] = vectors.mean(0)
    book.cluster_size.fill_(1.0)
    book.embed_avg.copy_(book.embed)
    torch.manual_seed(0)
    for _ in range(200):
        quantiser.update(book, vectors, book.encode(vectors))
    used = len(book.encode(vectors).unique())
    assert used == 8
    spread = float((vectors - vectors.mean(0)).pow(2).sum(1).mean())
    assert squared_error(vectors, book.embed) < 0.2 * spread


def test_perplexity_counts_codes_in_equal_use() -> None:
    counts = torch.tensor([[5.0, 5, 5, 5, 0], [20, 0, 0, 0, 0]])
    np.testing.assert_allclose(quantiser.perplexity(counts), [4, 1], rtol=1e-5)
