"""Parametric UMAP beside a reconstruction: maps that have a place for new samples, and an image
for every place.

T. Sainburg, L. McInnes, T. Q. Gentner, "Parametric UMAP Embeddings for Representation and
Semi-Supervised Learning", Neural Computation 2021, with the graph and the loss of L. McInnes,
J. Healy, J. Melville, "UMAP: Uniform Manifold Approximation and Projection", 2018:

    -log p(x | z) - w ( log q(z_i, z_j) + r m E log(1 - q(z_i, z_k)) ),    z = encoder(x)

(i, j) is an edge, drawn by its weight, of the fuzzy graph of the nearest neighbours of all samples
(section 3.1 there; p_ij = exp(-(d_ij - rho_i) / sigma_i), joined as p + p' - p p'), k any other
sample of the step, and q(a, b) = 1 / (1 + alpha |a - b|^(2 beta)) with alpha and beta by min_dist.

r, of gradients only, rises from 0 to 1 in the first half of the steps. With little
repulsion samples lie as in Laplacian eigenmaps, where groups can pass through each other, which
later they cannot (J. N. Böhm, P. Berens, D. Kobak, "Attraction-Repulsion Spectrum in Neighbor
Embeddings", 2022).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Le
from scipy.optimize import curve_fit
from scipy.sparse import coo_matrix
from torch import Generator, Tensor

from diabolo.bottleneck import Bottleneck, Code, Encoder
from diabolo.data.source import ROWS, Source
from diabolo.draw import own, rows_of
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.linear import reduced
from diabolo.nearest import blocks_of, nearest
from diabolo.params import Count

WIDE, LEARNT = 50, 2**25  # principal components that distances are of; values that teach them
NEAR = 1e-3  # below 1 - q, so that two samples at one place are pushed apart with some force
RISE = 0.5  # share of the steps in which r rises
TINY = 1e-12  # |a - b|^2, where its power has no gradient
BISECTIONS = 64


class NeighbourCode(Bottleneck):
    """z = encoder(x); in training, samples that are neighbours are near and others far."""

    of_training = ("neighbours",)

    def __init__(self, weight: float, neighbours: int, negatives: float, min_dist: float) -> None:
        super().__init__()
        self.weight, self.neighbours, self.negatives = weight, neighbours, negatives
        self.curve = curve(min_dist)

    @contextmanager
    def studying(self, net: Any, source: Source, *, seed: int, steps: int) -> Iterator[None]:
        """Know the graph of the samples of a source while the network learns from them."""
        self.steps = steps
        if len(source) > 2:
            heads, tails, weights = graph(features(net, source, seed), self.neighbours)
            vars(self)["draw"] = _pairs(net, source, heads, tails, weights)
        try:
            yield
        finally:
            vars(self).pop("draw", None)

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        z, draw = encoder(x), vars(self).get("draw")
        if generator is None or draw is None:
            return Code(z, z, {})
        rows = rows_of(len(x), generator)
        compiling = torch.compiler.is_compiling()  # which cannot follow it
        find = torch.compiler.disable(draw) if compiling else draw
        heads, tails = find(rows, generator)
        risen = min(1.0, step / (RISE * self.steps)) if self.training else 1.0
        losses = own(self.cross_entropy(heads.float(), tails.float(), risen), generator)
        return Code(z, z, {"neighbours": (self.weight, losses.to(x.dtype))})

    def cross_entropy(self, heads: Tensor, tails: Tensor, risen: float = 1.0) -> Tensor:
        """-log q of each edge, and m times the mean -log(1 - q) to the other edges' ends, (B,).

        Of the second `risen` is the share that has gradients.
        """
        alpha, beta = self.curve
        squares = (heads[:, None] - tails).square().sum(2)
        stretched = alpha * (squares + TINY) ** beta  # 1 / q - 1
        apart = -torch.log1p(-(1 - NEAR) / (1 + stretched))
        others = (apart.sum(1) - apart.diagonal()) / max(len(heads) - 1, 1)
        others = torch.lerp(others.detach(), others, risen)
        return torch.log1p(stretched.diagonal()) + self.negatives * others


def _pairs(
    net: Any, source: Source, heads: Tensor, tails: Tensor, weights: Tensor
) -> Callable[[int, Generator], tuple[Tensor, Tensor]]:
    """What gives the codes of both ends (B, K) of so many edges, drawn by their weights."""
    totals = weights.double().cumsum(0).to(net.device)
    heads, tails = heads.to(net.device), tails.to(net.device)

    def code(index: Tensor, generator: Generator) -> Tensor:
        batch = source.take(index)
        seen, _ = net.seen(batch, generator)
        encode = net.encoding(batch.given)
        return torch.as_tensor(encode(net.shaped(seen)))

    def draw(rows: int, generator: Generator) -> tuple[Tensor, Tensor]:
        options: Any = {"generator": generator, "device": totals.device, "dtype": totals.dtype}
        places = torch.rand(rows, **options) * totals[-1]
        edges = torch.searchsorted(totals, places).clamp(max=len(totals) - 1)
        return code(heads[edges], generator), code(tails[edges], generator)

    return draw


def features(net: Any, source: Source, seed: int) -> Tensor:
    """What distances between samples are of: scaled values (N, D), or their first principal
    components (N, 50). In blocks, so that of samples on disk only these are in memory."""

    def rows(index: Tensor) -> Tensor:
        scaled = net.scaling(source.take(index.to(net.device)).source)
        return torch.as_tensor(net.filled(scaled)).cpu().float()

    every = torch.arange(len(source))
    if net.features <= WIDE:
        return torch.cat([rows(index) for index in every.split(ROWS)])
    some = every[:: math.ceil(len(source) * net.features / LEARNT)]
    taught = rows(some).numpy()
    found = reduced(taught, taught, WIDE, seed=seed)
    axes = torch.from_numpy(found.decode / np.sqrt(found.variances)[:, None]).float()
    mean = torch.from_numpy(found.mean_y).float()
    return torch.cat([(rows(index) - mean) @ axes.t() for index in every.split(ROWS)])


def graph(rows: Tensor, neighbours: int) -> tuple[Tensor, Tensor, Tensor]:
    """The fuzzy graph of rows (N, K): both ends of its edges (E,), int64, and weights in (0, 1].

    The neighbours of a row are `neighbours` or, of fewer rows, all others.
    """
    n = min(neighbours, len(rows) - 1)
    found = nearest(rows, blocks_of(rows), n + 1)
    itself = found.indices == torch.arange(len(rows))[:, None]
    itself[:, -1] |= ~itself.any(1)  # among many of one value the row may not be its own nearest
    indices, distances = (t[~itself].view(len(rows), n) for t in found)
    heads = torch.arange(len(rows)).repeat_interleave(n)
    ends = (heads.numpy(), indices.flatten().numpy())
    weights = coo_matrix(
        (memberships(distances).flatten().double().numpy(), ends), shape=(len(rows),) * 2
    ).tocsr()
    both = (weights + weights.T - weights.multiply(weights.T)).tocoo()
    kept = both.data > 0
    heads, tails = (torch.from_numpy(end[kept].astype(np.int64)) for end in both.coords)
    return heads, tails, torch.from_numpy(both.data[kept]).float()


def memberships(distances: Tensor) -> Tensor:
    """exp(-(d - rho) / sigma) of the distances (N, n) to a row's neighbours, nearest first.

    rho is the least that is not 0; sigma is found so that the sum is log2 n (McInnes et al. 2018,
    algorithm 3), and at least a thousandth of the mean distance.
    """
    n = distances.shape[1]
    some = torch.where(distances > 0, distances, math.inf).amin(1, keepdim=True)
    off = (distances.double() - torch.where(some.isinf(), 0, some)).clamp(min=0)
    low, high = torch.zeros(len(off), 1).double(), off.amax(1, keepdim=True).clamp(min=1) * 1e4
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        large = torch.exp(-off / middle).sum(1, keepdim=True) > math.log2(max(n, 2))
        low, high = torch.where(large, low, middle), torch.where(large, middle, high)
    least = 1e-3 * distances.double().mean(1, keepdim=True)
    return torch.exp(-off / torch.maximum(high, least).clamp(min=TINY)).float()


def curve(min_dist: float) -> tuple[float, float]:
    """alpha and beta for which 1 / (1 + alpha d^(2 beta)) is most like exp(-(d - min_dist)), and
    like 1 below min_dist."""
    d = np.linspace(0, 3, 300)
    wanted = np.where(d < min_dist, 1.0, np.exp(-(d - min_dist)))
    (alpha, beta), _ = curve_fit(lambda d, a, b: 1 / (1 + a * d ** (2 * b)), d, wanted)
    return float(alpha), float(beta)


class UMAPAutoencoder(Estimator):
    """Parametric UMAP with a decoder: codes in which neighbours stay neighbours, as a map to look
    at or to part into groups, with a place for new samples and a sample for every place.

    Minimises -log p(x | z) + neighbourhood (-log q_ij - negatives E log(1 - q_ik)), in nats per
    sample (Sainburg et al. 2021), over samples and edges of their graph. The graph is of exact
    neighbours, by the scaled values or 50 principal components of them: its time grows with the
    square of the samples (a minute for 60,000), and it keeps 50 numbers and about 20 edges of each
    in memory, however large the samples themselves. `partial_fit` knows neighbours only within
    what it is given.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = UMAPAutoencoder(latent_dim=2, hidden=(16,), epochs=3, random_state=0).fit(X)
    >>> model.transform(X).shape
    (200, 2)
    """

    neighbourhood: Annotated[
        Annotated[float, Ge(0)], "Weight of the cross-entropy of the neighbours."
    ] = 10.0
    neighbours: Annotated[Count, "Nearest samples that a sample is to stay near."] = 15
    negatives: Annotated[
        Annotated[float, Ge(0)], "Samples that it is pushed from, for one that it is drawn to."
    ] = 5.0
    min_dist: Annotated[
        Annotated[float, Ge(0), Le(1)], "Distance below which codes of neighbours are near enough."
    ] = 0.1

    def _bottleneck(self, p: Any) -> Bottleneck:
        if p.latent_dim is None or p.code_activation != "identity":
            raise InputError("A map needs a latent_dim, and no code_activation.")
        return NeighbourCode(p.neighbourhood, p.neighbours, p.negatives, p.min_dist)
